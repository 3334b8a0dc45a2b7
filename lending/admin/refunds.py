"""What customers paid too much: what went back, and the dialog in which giving back is proposed."""

from collections.abc import Mapping
from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from unfold.decorators import display

from lending.admin import cells
from lending.admin.changes import Refused, in_words, refund_rows
from lending.admin.dialogs import PreviewedForm, act
from lending.admin.history import History, HistoryInline
from lending.models import Borrower, Refund, RefundPart
from lending.services import refunds

STATE_LABEL = display(
    description="State",
    ordering="state",
    label={
        Refund.State.OPEN.label: "warning",
        Refund.State.SUCCEEDED.label: "success",
        Refund.State.FAILED.label: "danger",
    },
)


class GiveBackForm(PreviewedForm):
    """What would go to the wallet, what would be closed and what would stay."""

    def preview(self) -> dict[str, Any]:
        try:
            shown = in_words(lambda: refunds.preview_refund({"borrower_id": int(self.object_id or 0)}))
        except Refused as refused:
            raise forms.ValidationError(str(refused)) from refused
        return dict(shown)

    def rows(self, shown: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        return refund_rows(shown, cells.home_currency())


DIALOG = {
    "title": "Give back what was paid too much",
    "description": "It goes to the wallet of this number once a second person has agreed.",
    "form_class": GiveBackForm,
    "form_submit_text": "Continue",
}


def propose(request: HttpRequest, form: GiveBackForm, object_id: str) -> HttpResponse:
    """Propose to give back what is kept for a customer."""
    return act(
        request,
        lambda: in_words(
            lambda: refunds.propose_refund(
                borrower=Borrower.objects.get(pk=object_id),
                maker=request.user,
                reason=form.cleaned_data["reason"],
                at=timezone.now(),
            )
        ),
        "Proposed: it waits for a second person.",
        reverse("admin:lending_borrower_change", args=[object_id]),
        {Refused: "{refusal}"},
    )


class RefundInline(HistoryInline):
    model = Refund
    verbose_name_plural = "Given back"
    fields = ("refund", "money", "state_label", "asked_at", "given_at")
    ordering = ("-asked_at",)

    money = cells.amount("amount_cents", "Amount", "currency")

    @display(description="Refund")
    def refund(self, row: Refund) -> str:
        return cells.link(row, row.get_way_display())

    @STATE_LABEL
    def state_label(self, row: Refund) -> str:
        return row.get_state_display()


class PartInline(HistoryInline):
    """From what a refund is taken."""

    model = RefundPart
    verbose_name_plural = "Taken from"
    fields = ("source", "money")
    related = ("refund", "loan", "receipt")
    ordering = ("id",)

    money = cells.amount("amount_cents", "Amount", "refund.currency")

    @display(description="Loan or receipt")
    def source(self, row: RefundPart) -> str:
        return cells.link(row.loan or row.receipt)


@admin.register(Refund)
class RefundAdmin(History):
    list_display = ("amount", "customer", "way", "state_label", "asked_at", "given_at")
    list_filter = ("state", "way", "asked_at")
    search_fields = ("borrower__full_name", "borrower__msisdn")
    search_help_text = "Name or phone number"
    ordering = ("-asked_at",)
    list_select_related = ("borrower",)
    detail_related = ("borrower", "intent", "instruction", "actor")
    inlines = (PartInline,)
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("customer", "amount", "state_label"),
                    ("way", "payment", "instruction"),
                    ("asked_at", "given_at", "ended_at"),
                    ("actor", "reason"),
                )
            },
        ),
    )

    customer = cells.link_to("borrower", "Customer")
    payment = cells.link_to("intent", "Payment")
    amount = cells.amount("amount_cents", "Amount", "currency")

    @STATE_LABEL
    def state_label(self, row: Refund) -> str:
        return row.get_state_display()
