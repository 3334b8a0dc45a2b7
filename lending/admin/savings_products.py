"""Savings products: dated versions. A change of terms is proposed here; open accounts go over on its first day."""

import json
from typing import Any

from django.contrib import admin
from unfold.decorators import display

from lending.admin import cells, terms
from lending.admin.changes import AmountField
from lending.admin.versions import VersionForm, VersionsRoom
from lending.models import SavingsProductVersion
from lending.rules.savings import read_terms
from lending.services import savings_terms


class SavingsProductForm(VersionForm):
    model, service = SavingsProductVersion, savings_terms

    example_cents = AmountField(label="Example balance", help_text="What the preview lets earn for a year.")
    field_order = ("effective_on", "name", "terms", "example_cents", "reason")

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fields["example_cents"].initial = "10,000"

    def rows(self, shown: Any) -> list[tuple[Any, ...]]:
        return terms.savings_rows(shown)


@admin.register(SavingsProductVersion)
class SavingsProductVersionAdmin(VersionsRoom):
    form_of_next = SavingsProductForm
    subject = "savings_product"
    says = (
        "Accounts go over to the next version on its first day. What is worse for savers needs notice to them, and"
        " a locked goal keeps what it was promised until its lock ends. Somebody else approves it."
    )
    list_display = ("name", "version", "country", "effective_on", "rate", "holder")
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("name", "code", "version"),
                    ("country", "currency", "effective_on"),
                    ("proposed_by", "approved_by", "approved_on"),
                    ("holder", "waiting"),
                )
            },
        ),
        ("Terms", {"fields": (("rate",), "agreed")}),
    )

    @display(description="Interest a year")
    def rate(self, row: SavingsProductVersion) -> str:
        interest = read_terms(row.terms).interest
        if interest is None:
            return "what the holder reports"
        low, high = (terms.share(rate) for rate in interest.rates)
        return low if low == high else f"{low} to {high}"

    @display(description="Held by")
    def holder(self, row: SavingsProductVersion) -> str:
        return row.partner or "ourselves"

    @display(description="All that is agreed")
    def agreed(self, row: SavingsProductVersion) -> str:
        return cells.words_as_shown(json.dumps(row.terms, indent=2, ensure_ascii=False))
