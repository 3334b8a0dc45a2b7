"""Acts on credit lines and cash advances: a draw at the customer's wish, closing a line, a day's sales."""

from datetime import date
from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from unfold.decorators import action
from unfold.forms import BaseDialogForm
from unfold.widgets import UnfoldAdminTextInputWidget

from lending.admin import cells, terms
from lending.admin.changes import AmountField, a_date, loan_of
from lending.admin.dialogs import PreviewedForm, ReasonForm, act
from lending.models import Loan
from lending.rules.caps import AgainstLaw
from lending.rules.pricing import LoanRefused
from lending.selectors import offers, products
from lending.services import lines, sales

REFUSALS: dict[type[Exception], str] = {
    lines.DrawRefused: "Nothing was paid out: {refusal}.",
    lines.AboveFree: "Nothing was paid out: the {refusal}.",
    lines.SomethingIsOwed: "Not closed: {refusal}.",
    LoanRefused: "Nothing was paid out: {refusal}.",
    AgainstLaw: "Nothing was paid out, the law does not allow it: {refusal}.",
    sales.SalesRefused: "Not recorded: {refusal}.",
    sales.ToldOtherwise: "Not recorded: settlement {refusal}. Undo that one first.",
}


class DrawForm(PreviewedForm):
    """What a draw costs is looked at before it is sent."""

    amount_cents = AmountField(label="Amount")
    field_order = ("amount_cents", "reason")

    def preview(self) -> dict[str, Any]:
        loan = loan_of(self.object_id)
        try:
            cents = self.cleaned_data["amount_cents"]
            priced = offers.quote(loan.product_version, cents, timezone.localdate(), loan.country_pack)
        except LoanRefused as refused:
            raise forms.ValidationError({"amount_cents": terms.refusal_words(refused)}) from refused
        return {
            # The same dialog sent twice is one draw; the next one is another.
            "draw": [loan.id, loan.draws.count()],
            "free_cents": lines.free_cents(loan),
            "received_cents": priced.received_cents,
            "total_cents": priced.total_cents,
            "due_on": priced.due_on.isoformat(),
        }

    def rows(self, shown: Any) -> list[tuple[Any, ...]]:
        currency = loan_of(self.object_id).currency
        return [
            ("Free", cells.shown(shown["free_cents"], currency), ""),
            ("The customer gets", "", cells.shown(shown["received_cents"], currency)),
            ("To pay back for it", "", cells.shown(shown["total_cents"], currency)),
            ("The last of it due on", "", shown["due_on"]),
        ]


class SalesForm(BaseDialogForm):
    """One day of one till, as its settlement tells it."""

    sold_on = a_date("Day of the sales")
    sales_cents = AmountField(label="Sales of that day")
    reference = forms.CharField(
        label="Settlement",
        max_length=60,
        help_text="Its number. The same one counts once.",
        widget=UnfoldAdminTextInputWidget(),
    )
    field_order = ("sold_on", "sales_cents", "reference")


class ActsOnLines:
    """The actions on the page of a line or a cash advance."""

    MENU = {
        "title": "Line and sales",
        "icon": "account_balance_wallet",
        "items": ["grant_draw", "grant_close_line", "grant_sales"],
    }

    def also_offered(self, loan: Loan) -> set[str]:
        """Return which of them mean something for a loan as it stands."""
        found = set()
        if loan.is_line and loan.closed_at is None:
            found |= {"draw"} if loan.state in (Loan.State.UNDRAWN, Loan.State.LIVE) else set()
            found |= {"close_line"} if loan.state == Loan.State.UNDRAWN else set()
        is_advance = products.terms_of(loan.product_version).kind == "sales_share"
        return found | ({"sales"} if is_advance and loan.state == Loan.State.LIVE else set())

    @action(
        description="Draw",
        permissions=["grant"],
        icon="payments",
        dialog={
            "title": "Draw",
            "description": "It is paid out to the customer's phone, and owed from the moment that it arrives.",
            "form_class": DrawForm,
            "form_submit_text": "Continue",
        },
    )
    def grant_draw(self, request: HttpRequest, form: DrawForm, object_id: str) -> HttpResponse:
        return act(
            request,
            lambda: lines.take_draw(
                loan_id=int(object_id),
                amount_cents=form.cleaned_data["amount_cents"],
                origin=f"officer:{form.cleaned_data['seen'][:16]}",
                actor=request.user,
                at=timezone.now(),
            ),
            "Done: the payout is under way.",
            reverse("admin:lending_loan_change", args=[object_id]),
            REFUSALS,
        )

    @action(
        description="Close the line",
        permissions=["grant"],
        icon="lock",
        dialog={
            "title": "Close the line",
            "description": "Nothing is drawn any more.",
            "form_class": ReasonForm,
            "form_submit_text": "Close it",
        },
    )
    def grant_close_line(self, request: HttpRequest, form: ReasonForm, object_id: str) -> HttpResponse:
        return act(
            request,
            lambda: lines.close_line(
                loan_id=int(object_id),
                actor=request.user,
                reason=form.cleaned_data["reason"],
                at=timezone.now(),
            ),
            "Done: the line is closed.",
            reverse("admin:lending_loan_change", args=[object_id]),
            REFUSALS,
        )

    @action(
        description="Record a day's sales",
        permissions=["grant"],
        icon="point_of_sale",
        dialog={
            "title": "Record a day's sales",
            "description": "The agreed share of them falls due on that day.",
            "form_class": SalesForm,
            "form_submit_text": "Record",
        },
    )
    def grant_sales(self, request: HttpRequest, form: SalesForm, object_id: str) -> HttpResponse:
        sold_on: date = form.cleaned_data["sold_on"]
        return act(
            request,
            lambda: sales.record_sales(
                loan_id=int(object_id),
                sales_cents=form.cleaned_data["sales_cents"],
                sold_on=sold_on,
                source="officer",
                reference=form.cleaned_data["reference"],
                actor=request.user,
                at=timezone.now(),
            ),
            "Recorded.",
            reverse("admin:lending_loan_change", args=[object_id]),
            REFUSALS,
        )
