"""Promises to pay: who gave which word, and whether it was kept."""

from django.contrib import admin
from unfold.decorators import display

from lending.admin import cells
from lending.admin.history import History
from lending.models import Promise
from lending.selectors import promises


@admin.register(Promise)
class PromiseAdmin(History):
    list_display = ("customer", "loan_link", "amount", "promised_on", "state_label", "channel", "made_at")
    list_filter = ("state", "channel", "promised_on")
    search_fields = ("loan__reference", "borrower__full_name", "borrower__msisdn")
    ordering = ("-made_at",)
    list_select_related = ("borrower", "loan")
    detail_related = ("borrower", "loan", "taker")
    fieldsets = (
        (None, {"fields": (("customer", "loan_link"), ("amount", "promised_on"), ("state_label", "judged_at"))}),
        ("Taken", {"fields": (("channel", "taker", "made_at"), "kept_so_far")}),
    )

    customer = cells.link_to("borrower", "Customer")
    amount = cells.amount("amount_cents", "Amount", "loan.currency")

    @display(description="Loan")
    def loan_link(self, row: Promise) -> str:
        return cells.link(row.loan, row.loan.reference)

    @display(description="State", label={"Kept": "success", "Broken": "danger"})
    def state_label(self, row: Promise) -> str:
        return row.get_state_display()

    @display(description="Kept so far")
    def kept_so_far(self, row: Promise) -> str:
        kept, judged = promises.kept_rate(row.borrower_id)
        return f"{kept} of {judged}"
