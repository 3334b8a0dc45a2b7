"""Loans: schedule, what was repaid, how the money went out, and every entry in the books."""

from typing import Any

from django.contrib import admin
from django.contrib.admin import SimpleListFilter
from django.db.models import F, QuerySet, Sum
from django.db.models.functions import Coalesce
from django.http import HttpRequest
from django.utils import timezone
from unfold.decorators import display

from lending.admin import cells
from lending.admin.changes import ChangesOfLoan, pending
from lending.admin.disputes import TakesDisputes
from lending.admin.history import HistoryInline, LooksAreKept
from lending.admin.lines import ActsOnLines
from lending.admin.postings import legs
from lending.admin.promises import PromiseInline, TakesPromises
from lending.models import (
    Allocation,
    BureauNotice,
    Installment,
    LateReason,
    Loan,
    LoanEvent,
    PaymentIntent,
    Posting,
    Repayment,
)
from lending.rules.allocation import KINDS
from lending.selectors import contracts, portfolio


class InstallmentInline(HistoryInline):
    model = Installment
    verbose_name_plural = "Schedule"
    fields = ("number", "due_on", "principal", "fee", "tax", "total", "repaid", "left")
    related = ("loan",)
    ordering = ("number",)

    principal = cells.amount("principal_cents", "Principal", "loan.currency")
    fee = cells.amount("fee_cents", "Fee", "loan.currency")
    tax = cells.amount("tax_cents", "Tax", "loan.currency")
    total = cells.amount("total_cents", "Due", "loan.currency")
    repaid = cells.amount("repaid_cents", "Repaid", "loan.currency")

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Installment]":
        parts = sum((F(f"allocations__{kind}_cents") for kind in KINDS[1:]), F(f"allocations__{KINDS[0]}_cents"))
        return super().get_queryset(request).annotate(repaid_cents=Coalesce(Sum(parts), 0))

    @display(description="Left")
    def left(self, row: Any) -> str:
        return cells.shown(row.total_cents - row.repaid_cents, row.loan.currency)


class RepaymentInline(HistoryInline):
    model = Repayment
    verbose_name_plural = "Repayments"
    fields = ("receipt_link", "amount", "received_at")
    related = ("loan", "receipt")
    ordering = ("-received_at",)

    amount = cells.amount("amount_cents", "Amount", "loan.currency")
    receipt_link = cells.link_to("receipt", "Receipt")


class PaymentInline(HistoryInline):
    """Payout and prompts, each with its tries."""

    model = PaymentIntent
    verbose_name_plural = "Payments"
    fields = ("payment", "purpose", "amount", "state", "tries", "created_at")
    prefetch = ("attempts",)
    ordering = ("-created_at",)

    amount = cells.amount("amount_cents", "Amount", "currency")

    @display(description="Payment")
    def payment(self, row: PaymentIntent) -> str:
        return cells.link(row, row.business_key)

    @display(description="Tries")
    def tries(self, row: PaymentIntent) -> str:
        tried = sorted(row.attempts.all(), key=lambda one: one.number)
        return (
            cells.table(
                ("No.", "State", "Result", "Receipt"),
                (
                    (
                        one.number,
                        one.get_state_display(),
                        one.result_text or one.result_code or cells.NOTHING,
                        one.receipt_no or cells.NOTHING,
                    )
                    for one in tried
                ),
            )
            if tried
            else cells.NOTHING
        )


class PostingInline(HistoryInline):
    model = Posting
    verbose_name_plural = "Entries"
    fields = ("posting", "kind", "entries_table", "occurred_at")
    prefetch = ("entries__account",)
    ordering = ("occurred_at", "id")

    @display(description="Posting")
    def posting(self, row: Posting) -> str:
        return cells.link(row)

    @display(description="Entries")
    def entries_table(self, row: Posting) -> str:
        return legs(row)


class EventInline(HistoryInline):
    """What happened to the loan, and who did it."""

    model = LoanEvent
    verbose_name_plural = "Facts"
    fields = ("kind", "what", "happened_at", "undone", "actor", "reason")
    related = ("loan", "actor", "reverses", "reversed_by")
    ordering = ("-happened_at", "-id")

    @display(description="What")
    def what(self, row: LoanEvent) -> str:
        cents = row.details.get("amount_cents")
        named = row.reverses.get_kind_display() if row.reverses else row.details.get("due_on", "")
        return cells.shown(cents, row.loan.currency) if cents else named or cells.NOTHING

    @display(description="Undone")
    def undone(self, row: LoanEvent) -> str:
        return "undone" if hasattr(row, "reversed_by") else cells.NOTHING


class NoticeInline(HistoryInline):
    """What went before a bad record at a credit bureau."""

    model = BureauNotice
    verbose_name_plural = "Bureau notices"
    fields = ("unpaid_since", "repayments", "owed", "owed_at", "delivered_at")
    related = ("loan",)
    ordering = ("-owed_at",)

    owed = cells.amount("owed_cents", "Owed", "loan.currency")


class LateReasonInline(HistoryInline):
    """What the customer said on the phone about being late."""

    model = LateReason
    verbose_name_plural = "Why it is late"
    fields = ("reason", "days_late", "told_at")
    related = ("loan",)
    ordering = ("-told_at",)


class LatenessFilter(SimpleListFilter):
    """How late today, counted as PAR is."""

    title = "lateness"
    parameter_name = "late"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("0", "Late by a day or more"), ("30", "Late by more than 30 days")]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any]":
        value = self.value() or ""
        if value not in ("0", "30"):
            return queryset
        return queryset.filter(portfolio.late_loans(int(value), timezone.localdate()))


@admin.register(Loan)
class LoanAdmin(TakesPromises, TakesDisputes, ActsOnLines, ChangesOfLoan, LooksAreKept):
    list_display = (
        "reference",
        "customer",
        "state_label",
        "principal",
        "outstanding",
        "disbursed_at",
        "due_on",
        "days_past_due",
    )
    list_filter = ("state", LatenessFilter, "due_on")
    search_fields = ("reference", "borrower__full_name", "borrower__msisdn")
    search_help_text = "Loan reference, name or phone number"
    ordering = ("-approved_at",)
    detail_related = ("borrower", "application", "refinances", "product_version", "country_pack")
    inlines = (
        InstallmentInline,
        RepaymentInline,
        LateReasonInline,
        PromiseInline,
        EventInline,
        PaymentInline,
        NoticeInline,
        PostingInline,
    )
    actions_detail = (*ChangesOfLoan.MENUS, ActsOnLines.MENU)
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("customer", "reference", "state_label"),
                    ("principal", "fee", "tax"),
                    ("received", "total", "repaid", "outstanding"),
                    ("refinances_link", "refinanced"),
                    ("credit_limit", "closed_at"),
                    "settles",
                    "waiting",
                )
            },
        ),
        (
            "Dates",
            {
                "fields": (
                    ("approved_at", "disbursed_at", "due_on"),
                    ("days_past_due", "worst_days_past_due", "aged_on"),
                    ("restructured_on", "stopped_on"),
                    ("settled_at", "written_off_at"),
                )
            },
        ),
        ("Made under", {"fields": (("application_link", "origin", "product_version", "country_pack"),)}),
    )

    customer = cells.link_to("borrower", "Customer")
    application_link = cells.link_to("application", "Application")
    principal = cells.amount("principal_cents", "Principal", "currency")
    fee = cells.amount("fee_cents", "Fee", "currency")
    tax = cells.amount("tax_cents", "Tax on the fee", "currency")
    received = cells.amount("received_cents", "The customer got", "currency")
    refinances_link = cells.link_to("refinances", "Pays off")
    refinanced = cells.amount("refinanced_cents", "with", "currency")
    credit_limit = cells.amount("credit_limit_cents", "Limit of the line", "currency")
    total = cells.amount("total_cents", "To repay in all", "currency")
    outstanding = cells.amount("outstanding_cents", "Outstanding", "currency")

    @display(
        description="State",
        ordering="state",
        label={
            Loan.State.APPROVED.label: "info",
            Loan.State.LIVE.label: "success",
            Loan.State.NOT_PAID_OUT.label: "warning",
            Loan.State.WRITTEN_OFF.label: "danger",
            Loan.State.CHARGED_OFF.label: "danger",
            Loan.State.CANCELLED.label: "info",
            Loan.State.SETTLED.label: "primary",
            Loan.State.UNDRAWN.label: "info",
            Loan.State.CLOSED.label: "primary",
        },
    )
    def state_label(self, row: Loan) -> str:
        return row.get_state_display()

    @display(description="Waiting for a second person")
    def waiting(self, row: Loan) -> str:
        return pending(f"loan:{row.pk}")

    @display(description="Settles it today")
    @cells.once
    def settles(self, row: Loan) -> str:
        if row.state != Loan.State.LIVE:
            return cells.NOTHING
        return cells.shown(contracts.payoff(row, timezone.localdate()).total, row.currency)

    @display(description="Repaid")
    def repaid(self, row: Loan) -> str:
        paid = Allocation.objects.filter(installment__loan=row, kind=Allocation.Kind.PAID).aggregate(
            **{kind: Coalesce(Sum(f"{kind}_cents"), 0) for kind in KINDS}
        )
        return cells.shown(sum(paid.values()), row.currency)
