"""Products and country packs: dated versions, which loans keep for life. A change is a new file in fixtures/."""

import json

from django.contrib import admin
from unfold.decorators import display

from lending.admin import cells
from lending.admin.history import History
from lending.models import CountryPack, ProductVersion


@admin.register(ProductVersion)
class ProductVersionAdmin(History):
    list_display = (
        "name",
        "version",
        "country",
        "effective_on",
        "term_days",
        "fee",
        "fee_tax",
        "lowest",
        "highest",
    )
    ordering = ("code", "-version")
    fieldsets = (
        (None, {"fields": (("name", "code", "version"), ("country", "currency", "effective_on"), "approved_by")}),
        ("Terms", {"fields": (("term_days", "fee", "fee_tax"), ("lowest", "highest"), "ladder", "order")}),
    )

    lowest = cells.amount("min_cents", "Smallest loan", "currency")
    highest = cells.amount("max_cents", "Largest loan", "currency")

    @display(description="Fee")
    def fee(self, row: ProductVersion) -> str:
        return f"{row.fee_rate:.2%}"

    @display(description="Tax on the fee")
    def fee_tax(self, row: ProductVersion) -> str:
        return f"{row.fee_tax_rate:.2%}"

    @display(description="Limit at each rung")
    def ladder(self, row: ProductVersion) -> str:
        return ", ".join(cells.shown(cents, row.currency) for cents in row.ladder_cents)

    @display(description="Money covers")
    def order(self, row: ProductVersion) -> str:
        return ", then ".join(row.allocation_order)


@admin.register(CountryPack)
class CountryPackAdmin(History):
    list_display = ("country", "version", "effective_on", "approved_by")
    ordering = ("country", "-version")
    fieldsets = ((None, {"fields": (("country", "version", "effective_on"), "approved_by", "law")}),)

    @display(description="Rules")
    def law(self, row: CountryPack) -> str:
        return cells.words_as_shown(json.dumps(row.rules, indent=2, ensure_ascii=False))
