"""Rooms of dated versions: the next one is proposed here, on a page that shows first what it would change.

Somebody else approves it under "Proposals"; nobody edits one that is there.
"""

import json
from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from lending.admin import terms
from lending.admin.changes import Refused, a_date, in_words, pending
from lending.admin.dialogs import PreviewedForm, act
from lending.admin.history import History
from lending.rules import calendar


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


def _pretty(value: Any) -> str:
    """Return JSON with a line for each field; lists of plain values stay on one."""
    if not isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    lines = (f"  {json.dumps(name)}: {json.dumps(part, ensure_ascii=False)}" for name, part in value.items())
    return "{\n" + ",\n".join(lines) + "\n}"


class VersionForm(PreviewedForm):
    """The next version of something: everything that is agreed, from its first day on."""

    model: Any
    service: Any  # the module with Draft, preview and propose_version
    starts_as: tuple[str, ...] = ("name", "terms")

    effective_on = a_date("First day")
    name = forms.CharField(label="Name", max_length=60, widget=UnfoldAdminTextInputWidget())
    terms = JsonField(16, label="Terms")

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.follows = self.model.objects.get(pk=self.object_id)
        for name in self.starts_as:
            self.fields[name].initial = getattr(self.follows, name)

    def draft(self) -> Any:
        """Return what was typed as the service takes it."""
        names = self.service.Draft.__dataclass_fields__.keys() - {"follows"}
        return self.service.Draft(follows=self.follows.pk, **{name: self.cleaned_data[name] for name in names})

    def preview(self) -> dict[str, Any]:
        on = calendar.business_date(timezone.now(), str(timezone.get_current_timezone()))
        try:
            shown: dict[str, Any] = self.service.preview(self.draft(), on)
        except terms.REFUSALS as refusal:
            field = terms.path_of(refusal).split(".")[0].split("[")[0]
            at = field if field in self.fields else "terms" if field else None
            said = forms.ValidationError(terms.refusal_words(refusal))
            raise forms.ValidationError({at: said} if at else said) from refusal
        return shown


class VersionsRoom(History):
    """A room whose newest version of each product can be followed by the next one."""

    form_of_next: type[VersionForm]
    subject = ""  # how the subject of its proposals begins
    says = ""  # what the page says above the form
    ordering = ("code", "-version")
    actions_detail = ("propose_version",)

    @display(description="Waiting for a second person")
    def waiting(self, row: Any) -> str:
        return pending(f"{self.subject}:{row.pk}")

    def has_propose_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return request.user.has_perm(f"lending.add_{self.opts.model_name}")

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """Offer to follow the newest version only."""
        row = self.model.objects.get(pk=object_id)
        is_last = not self.model.objects.filter(code=row.code, version__gt=row.version).exists()
        return super().get_actions_detail(request, object_id) if is_last else []

    @action(
        description="Propose the next version",
        permissions=["propose"],
        icon="edit_note",
        variant=ActionVariant.PRIMARY,
    )
    def propose_version(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Show the form on a page of its own: terms are too long for a dialog."""
        back = reverse(f"admin:lending_{self.opts.model_name}_change", args=[object_id])
        form = self.form_of_next(request, object_id, request.POST if request.method == "POST" else None)
        if not form.is_bound or not form.is_valid():
            page = {"title": "Propose the next version", "opts": self.opts, "form": form, "back": back}
            context = self.admin_site.each_context(request) | page | {"says": self.says}
            return TemplateResponse(request, "lending/version.html", context)
        return act(
            request,
            lambda: in_words(
                lambda: form.service.propose_version(
                    draft=form.draft(), maker=request.user, reason=form.cleaned_data["reason"], at=timezone.now()
                )
            ),
            "Proposed: it waits for a second person.",
            back,
            {Refused: "{refusal}"},
        )
