"""Customers: one page with everything, numbers masked."""

import json
from typing import Any

from django.contrib import admin
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from lending.admin import cells, refunds
from lending.admin.changes import pending
from lending.admin.dialogs import ReasonForm, act
from lending.admin.history import HistoryInline, LooksAreKept
from lending.admin.refunds import RefundInline
from lending.models import (
    AccessRecord,
    Application,
    AuditEvent,
    Borrower,
    Case,
    Consent,
    LimitRaise,
    Loan,
    Receipt,
    SavingsAccount,
)
from lending.selectors import overpayments, personal_data, preferences, search
from lending.services import audit, people


class LoanInline(HistoryInline):
    model = Loan
    verbose_name_plural = "Loans"
    fields = ("loan", "state", "principal", "outstanding", "disbursed_at", "due_on", "days_past_due")
    ordering = ("-approved_at",)

    principal = cells.amount("principal_cents", "Principal", "currency")
    outstanding = cells.amount("outstanding_cents", "Outstanding", "currency")

    @display(description="Loan")
    def loan(self, row: Loan) -> str:
        return cells.link(row, row.reference)


class ApplicationInline(HistoryInline):
    model = Application
    verbose_name_plural = "Applications"
    fields = ("application", "state", "principal", "submitted_at")
    related = ("product_version",)
    ordering = ("-submitted_at",)

    principal = cells.amount("principal_cents", "Asked for", "product_version.currency")

    @display(description="Application")
    def application(self, row: Application) -> str:
        return cells.link(row, row.reference)


class ReceiptInline(HistoryInline):
    model = Receipt
    verbose_name_plural = "Receipts"
    fields = ("receipt", "money", "over", "source", "state", "paid_at")
    ordering = ("-paid_at",)

    money = cells.amount("amount_cents", "Amount", "currency")
    over = cells.amount("over_cents", "Kept for the customer", "currency")

    @display(description="Receipt")
    def receipt(self, row: Receipt) -> str:
        return cells.link(row, row.receipt_no)


class ConsentInline(HistoryInline):
    model = Consent
    verbose_name_plural = "Consents"
    fields = ("purpose", "granted", "text_version", "language", "given_at", "withdrawn_at")
    ordering = ("purpose", "-given_at")


class LimitRaiseInline(HistoryInline):
    model = LimitRaise
    verbose_name_plural = "Higher limits offered"
    fields = ("raised_to", "state", "offered_at", "answered_at", "text_version", "language")
    related = ("earned_by",)
    ordering = ("-offered_at",)

    raised_to = cells.amount("limit_cents", "Limit", "earned_by.currency")


class LookInline(HistoryInline):
    model = AccessRecord
    verbose_name_plural = "Who looked"
    fields = ("looked_at", "officer", "role", "purpose")
    related = ("officer",)
    ordering = ("-looked_at",)


class CaseInline(HistoryInline):
    model = Case
    verbose_name_plural = "Cases"
    fields = ("case", "note", "opened_at", "closed_at", "resolution")
    ordering = ("-opened_at",)

    @display(description="Case")
    def case(self, row: Case) -> str:
        return cells.link(row, row.get_kind_display())


class TrailInline(HistoryInline):
    model = AuditEvent
    verbose_name_plural = "Trail"
    fields = ("action", "actor", "reason", "happened_at")
    related = ("actor",)
    ordering = ("-happened_at",)


class SavingsInline(HistoryInline):
    model = SavingsAccount
    verbose_name_plural = "Savings"
    fields = ("account", "product_version", "balance", "state", "opened_at")
    related = ("product_version",)
    ordering = ("-opened_at",)

    balance = cells.amount("balance_cents", "Balance", "currency")

    @display(description="Account")
    def account(self, row: SavingsAccount) -> str:
        return cells.link(row, row.goal)


@admin.register(Borrower)
class BorrowerAdmin(LooksAreKept):
    """Everything about one customer; ussd adds the messages."""

    list_display = ("full_name", "phone", "state_label", "rung", "limit", "open_loan", "language", "registered_at")
    list_filter = ("state", "language", "rung")
    # Only switches the box on: what it finds is decided in lending.selectors.search.
    search_fields = ("full_name",)
    search_help_text = "Phone in any form, whole national ID, name, loan reference or receipt number"
    ordering = ("-registered_at",)
    actions_detail = ("give_back", "reset_pin", "copy_of_data")
    inlines: tuple[type[HistoryInline], ...] = (
        LoanInline,
        ApplicationInline,
        ReceiptInline,
        RefundInline,
        SavingsInline,
        ConsentInline,
        LimitRaiseInline,
        CaseInline,
        LookInline,
        TrailInline,
    )
    fieldsets = (
        (None, {"fields": (("full_name", "phone", "identity"), ("state_label", "language", "registered_at"))}),
        ("Borrowing", {"fields": (("rung", "limit", "own_limit"), ("open_loan", "savings", "kept"))}),
        ("Proposed", {"fields": ("waiting",)}),
        ("Access", {"fields": (("pin_state", "wrong_pins", "unwanted"), ("hold", "held_at"))}),
    )

    phone = cells.masked("msisdn")
    limit = cells.amount("limit_cents", "Limit")
    own_limit = cells.amount("own_limit_cents", "At the customer's wish")

    def customer_of(self, object_id: str) -> int | None:
        return int(object_id)

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Borrower]":
        open_loans = Loan.objects.filter(borrower=OuterRef("pk"), state__in=Loan.OPEN)
        return (
            super()
            .get_queryset(request)
            .prefetch_related("savings_accounts")
            .annotate(
                open_loan_id=Subquery(open_loans.values("id")[:1]),
                open_loan_reference=Subquery(open_loans.values("reference")[:1]),
            )
        )

    def get_search_results(
        self, request: HttpRequest, queryset: "QuerySet[Borrower]", search_term: str
    ) -> tuple["QuerySet[Borrower]", bool]:
        """Search by what an officer has at hand, not by columns."""
        if not search_term.strip():
            return queryset, False
        return queryset.filter(pk__in=search.find_borrowers(search_term).values("pk")), False

    @display(description="Wrong PINs in a row")
    def wrong_pins(self, row: Borrower) -> int:
        return row.pin_failures

    @display(description="Messages not wanted")
    @cells.once
    def unwanted(self, row: Borrower) -> str:
        return ", ".join(preferences.stopped(row.msisdn)) or cells.NOTHING

    @display(description="National ID")
    def identity(self, row: Borrower) -> str:
        return f"•••••{row.national_id[-3:]}"

    @display(
        description="State",
        ordering="state",
        label={
            Borrower.State.ACTIVE.label: "success",
            Borrower.State.BLOCKED.label: "danger",
            Borrower.State.DECEASED.label: "info",
        },
    )
    def state_label(self, row: Borrower) -> str:
        return row.get_state_display()

    @display(description="Open loan")
    def open_loan(self, row: Any) -> str:
        if row.open_loan_id is None:
            return cells.NOTHING
        return cells.link(Loan(pk=row.open_loan_id), row.open_loan_reference)

    @display(description="Savings at the partner")
    def savings(self, row: Borrower) -> str:
        accounts = row.savings_accounts.all()
        saved = sum(account.balance_cents for account in accounts)
        return cells.shown(saved, accounts[0].currency) if accounts else cells.NOTHING

    @display(description="Paid too much and kept")
    @cells.once
    def kept(self, row: Borrower) -> str:
        cents = overpayments.kept_cents(row.identity_index)
        away = overpayments.open_refund(row.identity_index)
        shown = cells.shown(cents, cells.home_currency()) if cents else cells.NOTHING
        return format_html("{}; {} on its way back", shown, cells.link(away)) if away else shown

    @display(description="Waiting for a second person")
    @cells.once
    def waiting(self, row: Borrower) -> str:
        return pending(f"borrower:{row.pk}")

    def has_propose_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return request.user.has_perm("lending.add_proposal")

    @action(
        description="Give back what was paid too much", permissions=["propose"], icon="undo", dialog=refunds.DIALOG
    )
    def give_back(self, request: HttpRequest, form: refunds.GiveBackForm, object_id: str) -> HttpResponse:
        return refunds.propose(request, form, object_id)

    @action(description="Copy of all data", permissions=["reset_pin"], icon="folder_shared")
    def copy_of_data(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Hand out every row that names the customer, to be printed for them; the trail keeps who did it."""
        borrower = Borrower.objects.get(pk=object_id)
        audit.record(
            "data_copied",
            subject=f"borrower:{borrower.pk}",
            borrower=borrower,
            actor=request.user,
            at=timezone.now(),
        )
        return HttpResponse(
            json.dumps(personal_data.copy_of(borrower), indent=2, ensure_ascii=False, default=str),
            content_type="application/json",
            headers={"Content-Disposition": f'attachment; filename="customer-{borrower.pk}.json"'},
        )

    @display(description="PIN")
    def pin_state(self, row: Borrower) -> str:
        if row.pin_is_locked:
            until = timezone.localtime(row.pin_opens_at)
            return f"Locked until {until:%d %b %H:%M}: reset it after checking who is calling"
        return "In use" if row.pin_hash else "Reset: the customer chooses a new one at the next dial"

    def has_reset_pin_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """Officers who may change borrowers may open the way to a new PIN; nobody sees or sets one."""
        return request.user.has_perm("lending.change_borrower")

    @action(
        description="Reset PIN",
        permissions=["reset_pin"],
        icon="lock_reset",
        variant=ActionVariant.WARNING,
        dialog={
            "title": "Reset the PIN",
            "description": "First check who is calling. The customer gives the national ID at the next dial and "
            "chooses a new PIN; you never see it.",
            "form_class": ReasonForm,
            "form_submit_text": "Reset the PIN",
        },
    )
    def reset_pin(self, request: HttpRequest, form: ReasonForm, object_id: str) -> HttpResponse:
        return act(
            request,
            lambda: people.reset_pin(
                borrower_id=int(object_id),
                officer=request.user,
                reason=form.cleaned_data["reason"],
                at=timezone.now(),
            ),
            "The PIN is reset. At the next dial the customer gives the national ID and chooses a new one.",
            reverse("admin:lending_borrower_change", args=[object_id]),
            {people.ReasonMissing: "Nothing was changed: a reset needs a reason in words."},
        )
