"""Promises to pay: who gave which word, whether it was kept, and taking one from a customer who calls."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from unfold.decorators import action, display

from lending.admin import cells
from lending.admin.changes import AmountField, a_date, loan_of
from lending.admin.dialogs import ReasonForm, act
from lending.admin.history import History, HistoryInline
from lending.models import Loan, Promise
from lending.rules.promises import MOST_DAYS
from lending.selectors import loans
from lending.selectors import promises as selectors
from lending.services import promises

STATES = {Promise.State.KEPT.label: "success", Promise.State.BROKEN.label: "danger"}
# Why a promise cannot be taken, and beside which field that is said.
WHY = {
    "nothing_owed": ("amount_cents", "Nothing is asked for on this loan now."),
    "promised": ("amount_cents", "A promise of this loan waits for its day already."),
    "day": ("promised_on", f"Choose a day from tomorrow on, at most {MOST_DAYS} days ahead."),
    "amount": ("amount_cents", "It must be what one can pay by phone, and no more than is owed."),
}


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

    @display(description="State", label=STATES)
    def state_label(self, row: Promise) -> str:
        return row.get_state_display()

    @display(description="Kept so far")
    def kept_so_far(self, row: Promise) -> str:
        kept, judged = selectors.kept_rate(row.borrower_id)
        return f"{kept} of {judged}"


class PromiseInline(HistoryInline):
    """What the customer promised for a loan, and whether it came."""

    model = Promise
    verbose_name_plural = "Promises"
    fields = ("amount", "promised_on", "state", "channel", "taker", "made_at")
    related = ("loan", "taker")
    ordering = ("-made_at",)

    amount = cells.amount("amount_cents", "Amount", "loan.currency")


class PromiseForm(ReasonForm):
    """How much the customer says that they will pay, until when, and why the officer takes their word."""

    amount_cents = AmountField(label="Amount")
    promised_on = a_date("Paid by", help_text=f"At most {MOST_DAYS} days ahead; that day included.")
    field_order = ("amount_cents", "promised_on", "reason")

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        if not self.errors and (why := self._refusal(**cleaned)):
            self.add_error(*WHY[why])
        return cleaned

    def _refusal(self, amount_cents: int, promised_on: Any, **_: Any) -> str:
        loan = loan_of(self.object_id)
        if not _is_asked_for(loan):
            return "nothing_owed"
        return promises.refusal(loan, amount_cents, promised_on, timezone.now(), by_officer=True)


def _is_asked_for(loan: Loan) -> bool:
    """Say whether what this customer pays now goes to this loan."""
    return loan.stopped_on is None and loans.loan_to_repay(loan.identity_index) == loan


class TakesPromises:
    """What an officer does when a customer says when they will pay."""

    def also_offered(self, loan: Loan) -> set[str]:
        """Return what means something for a loan as it stands: it is the one that their money goes to."""
        others: set[str] = super().also_offered(loan)  # type: ignore[misc]
        return others | {"promise"} if _is_asked_for(loan) else others

    @action(
        description="Take a promise to pay",
        permissions=["grant"],
        icon="handshake",
        dialog={
            "title": "Take a promise to pay",
            "description": "It costs nothing, and the customer gets an SMS. Nobody reminds them until that day.",
            "form_class": PromiseForm,
            "form_submit_text": "Take it",
        },
    )
    def grant_promise(self, request: HttpRequest, form: PromiseForm, object_id: str) -> HttpResponse:
        cents, until = form.cleaned_data["amount_cents"], form.cleaned_data["promised_on"]
        return act(
            request,
            lambda: promises.make_promise(
                borrower_id=loan_of(object_id).borrower_id,
                amount_cents=cents,
                promised_on=until,
                # The same dialog sent twice is one promise; no day can be promised twice.
                origin=f"officer:{object_id}:{until}:{cents}",
                taker=request.user,
                reason=form.cleaned_data["reason"],
                at=timezone.now(),
            ),
            "Taken. The customer gets an SMS.",
            reverse("admin:lending_loan_change", args=[object_id]),
            {promises.PromiseRefused: "Nothing was taken: the loan has changed meanwhile."},
        )
