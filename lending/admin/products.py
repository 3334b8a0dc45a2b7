"""Products and country packs: dated versions, which loans keep for life.

The next version of a product is proposed here and approved by somebody else; one of a pack is a file in fixtures/.
"""

import json
from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from lending.admin import cells, terms
from lending.admin.changes import AmountField, Refused, a_date, in_words, pending
from lending.admin.dialogs import PreviewedForm, act
from lending.admin.history import History
from lending.models import CountryPack, ProductVersion
from lending.rules import calendar
from lending.selectors import products
from lending.services import products as service


class JsonField(forms.JSONField):
    """JSON in a large box; what cannot be read is refused with its line."""

    def __init__(self, rows: int, **options: Any) -> None:
        style = "font-family: monospace; font-size: 12px; white-space: pre; overflow-x: auto"
        widget = UnfoldAdminTextareaWidget(attrs={"rows": rows, "style": style, "spellcheck": "false"})
        super().__init__(widget=widget, **options)

    def prepare_value(self, value: Any) -> Any:
        return value if isinstance(value, str) else _pretty(value)

    def to_python(self, value: Any) -> Any:
        try:
            return json.loads(value) if isinstance(value, str) and value else None
        except json.JSONDecodeError as fault:
            raise forms.ValidationError(f"No JSON: line {fault.lineno}, {fault.msg.lower()}.") from None


class VersionForm(PreviewedForm):
    """The next version of a product: everything that is agreed, from its first day on."""

    effective_on = a_date("First day")
    name = forms.CharField(label="Name", max_length=60, widget=UnfoldAdminTextInputWidget())
    terms = JsonField(16, label="Terms")
    ladder_cents = JsonField(2, label="Limit at each rung, in cents")
    loss_brake = JsonField(7, label="Loss brake")
    approval_document = forms.CharField(
        label="The regulator's approval",
        max_length=80,
        required=False,
        help_text="Where the country asks for one.",
        widget=UnfoldAdminTextInputWidget(),
    )
    example_cents = AmountField(label="Example loan", help_text="What the preview prices.")
    field_order = (
        "effective_on",
        "name",
        "terms",
        "ladder_cents",
        "loss_brake",
        "approval_document",
        "example_cents",
        "reason",
    )

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        follows = ProductVersion.objects.get(pk=self.object_id)
        for name in ("name", "terms", "ladder_cents", "loss_brake"):
            self.fields[name].initial = getattr(follows, name)
        self.fields["example_cents"].initial = f"{follows.ladder_cents[0] / 100:.0f}"

    def draft(self) -> service.Draft:
        typed = {name: self.cleaned_data[name] for name in service.Draft.__dataclass_fields__ if name != "follows"}
        return service.Draft(follows=int(self.object_id or 0), **typed)

    def preview(self) -> dict[str, Any]:
        on = calendar.business_date(timezone.now(), str(timezone.get_current_timezone()))
        try:
            return service.preview(self.draft(), on)
        except terms.REFUSALS as refusal:
            field = terms.path_of(refusal).split(".")[0].split("[")[0]
            at = field if field in self.fields else "terms" if field else None
            said = forms.ValidationError(terms.refusal_words(refusal))
            raise forms.ValidationError({at: said} if at else said) from refusal

    def rows(self, shown: Any) -> list[tuple[Any, ...]]:
        return terms.preview_rows(shown)


def _pretty(value: Any) -> str:
    """Return JSON with a line for each field; lists of plain values stay on one."""
    if not isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    lines = (f"  {json.dumps(name)}: {json.dumps(part, ensure_ascii=False)}" for name, part in value.items())
    return "{\n" + ",\n".join(lines) + "\n}"


@admin.register(ProductVersion)
class ProductVersionAdmin(History):
    list_display = (
        "name",
        "version",
        "country",
        "effective_on",
        "kind",
        "term",
        "lowest",
        "highest",
    )
    ordering = ("code", "-version")
    actions_detail = ("propose_version",)
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("name", "code", "version"),
                    ("country", "currency", "effective_on"),
                    ("proposed_by", "approved_by", "approved_on"),
                    ("approval_document", "waiting"),
                )
            },
        ),
        ("Terms", {"fields": (("kind", "term"), ("lowest", "highest"), "ladder", "agreed")}),
    )

    @display(description="Waiting for a second person")
    def waiting(self, row: ProductVersion) -> str:
        return pending(f"product:{row.pk}")

    def has_propose_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return request.user.has_perm("lending.add_productversion")

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """Offer to follow the newest version only."""
        row = ProductVersion.objects.get(pk=object_id)
        is_last = not ProductVersion.objects.filter(code=row.code, version__gt=row.version).exists()
        return super().get_actions_detail(request, object_id) if is_last else []

    @action(
        description="Propose the next version",
        permissions=["propose"],
        icon="edit_note",
        variant=ActionVariant.PRIMARY,
    )
    def propose_version(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Show the form on a page of its own: terms are too long for a dialog."""
        back = reverse("admin:lending_productversion_change", args=[object_id])
        form = VersionForm(request, object_id, request.POST if request.method == "POST" else None)
        if not form.is_bound or not form.is_valid():
            page = {"title": "Propose the next version", "opts": self.opts, "form": form, "back": back}
            return TemplateResponse(request, "lending/version.html", self.admin_site.each_context(request) | page)
        return act(
            request,
            lambda: in_words(
                lambda: service.propose_version(
                    draft=form.draft(), maker=request.user, reason=form.cleaned_data["reason"], at=timezone.now()
                )
            ),
            "Proposed: it waits for a second person.",
            back,
            {Refused: "{refusal}"},
        )

    @display(description="Kind")
    def kind(self, row: ProductVersion) -> str:
        return products.terms_of(row).kind.replace("_", " ")

    @display(description="Term")
    def term(self, row: ProductVersion) -> str:
        term = products.terms_of(row).term
        each = f"{term.every} {term.unit.replace('_', ' ')}" + ("" if term.every == 1 else "s")
        return each if term.installments == 1 else f"{term.installments} times {each}"

    @display(description="Smallest loan")
    def lowest(self, row: ProductVersion) -> str:
        return cells.shown(products.terms_of(row).min_cents, row.currency)

    @display(description="Largest loan")
    def highest(self, row: ProductVersion) -> str:
        return cells.shown(products.terms_of(row).max_cents, row.currency)

    @display(description="Limit at each rung")
    def ladder(self, row: ProductVersion) -> str:
        return ", ".join(cells.shown(cents, row.currency) for cents in row.ladder_cents)

    @display(description="All that is agreed")
    def agreed(self, row: ProductVersion) -> str:
        return cells.words_as_shown(json.dumps(row.terms, indent=2, ensure_ascii=False))


@admin.register(CountryPack)
class CountryPackAdmin(History):
    list_display = ("country", "version", "effective_on", "approved_by")
    ordering = ("country", "-version")
    fieldsets = ((None, {"fields": (("country", "version", "effective_on"), "approved_by", "law")}),)

    @display(description="Rules")
    def law(self, row: CountryPack) -> str:
        return cells.words_as_shown(json.dumps(row.rules, indent=2, ensure_ascii=False))
