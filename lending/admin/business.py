"""A trader's book, as its owner wrote it. The names of a trader's customers are not for us to see."""

from django.contrib import admin
from unfold.decorators import display

from lending.admin import cells
from lending.admin.history import History
from lending.models import BookEntry


@admin.register(BookEntry)
class BookEntryAdmin(History):
    list_display = ("kind", "amount", "trader", "happened_on", "is_undone", "recorded_at")
    list_filter = ("kind", "happened_on")
    search_fields = ("borrower__full_name", "borrower__msisdn")
    search_help_text = "Name or phone number of the trader"
    ordering = ("-recorded_at", "-id")
    list_select_related = ("borrower", "reversed_by")
    detail_related = ("borrower", "reversed_by", "reverses")
    fieldsets = (
        (
            None,
            {"fields": (("kind", "amount", "trader"), ("happened_on", "recorded_at"), ("is_undone", "takes_back"))},
        ),
    )

    amount = cells.amount("amount_cents", "Amount", "currency")

    @display(description="Whose")
    def trader(self, row: BookEntry) -> str:
        return cells.link(row.borrower)

    @display(description="Taken back", boolean=True)
    def is_undone(self, row: BookEntry) -> bool:
        return hasattr(row, "reversed_by")

    @display(description="Takes back")
    def takes_back(self, row: BookEntry) -> str:
        return cells.link(row.reverses) if row.reverses else cells.NOTHING
