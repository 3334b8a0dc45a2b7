"""Products and country packs: dated versions, which loans keep for life. A change is a new file in fixtures/."""

import json

from django.contrib import admin
from unfold.decorators import display

from lending.admin import cells
from lending.admin.history import History
from lending.models import CountryPack, ProductVersion
from lending.selectors import products


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
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("name", "code", "version"),
                    ("country", "currency", "effective_on"),
                    ("proposed_by", "approved_by"),
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
