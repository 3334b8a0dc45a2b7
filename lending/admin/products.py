"""Products and country packs: dated versions, which loans keep for life.

The next version of a product is proposed here and approved by somebody else; one of a pack is a file in fixtures/.
"""

import json
from typing import Any

from django import forms
from django.contrib import admin
from unfold.decorators import display
from unfold.widgets import UnfoldAdminTextInputWidget

from lending.admin import cells, terms
from lending.admin.changes import AmountField
from lending.admin.history import History
from lending.admin.versions import JsonField, VersionForm, VersionsRoom
from lending.models import CountryPack, ProductVersion
from lending.selectors import products
from lending.services import products as service


class ProductForm(VersionForm):
    model, service = ProductVersion, service
    starts_as = ("name", "terms", "ladder_cents", "loss_brake")

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
        self.fields["example_cents"].initial = f"{self.follows.ladder_cents[0] / 100:.0f}"

    def rows(self, shown: Any) -> list[tuple[Any, ...]]:
        return terms.preview_rows(shown)


@admin.register(ProductVersion)
class ProductVersionAdmin(VersionsRoom):
    form_of_next = ProductForm
    subject = "product"
    says = "Loans that were made keep their version. Somebody else approves the next one."
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
