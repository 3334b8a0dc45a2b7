"""Payments: what should move, each try, what came in, and what the rails said."""

from typing import Any

from django.contrib import admin
from django.contrib.admin import SimpleListFilter
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from lending.admin import cells
from lending.admin.cases import MATCH_DIALOG, match, may_close
from lending.admin.changes import ReceiptReversalForm, pending, propose_reversal
from lending.admin.dialogs import MatchForm, act
from lending.admin.history import History, HistoryInline
from lending.models import PaymentAttempt, PaymentIntent, ProviderEvent, Rail, Receipt, SavingsInstruction
from lending.payments.breaker import restart_rail
from lending.selectors import portfolio
from lending.selectors.deposits import SAVED


class AttemptInline(HistoryInline):
    model = PaymentAttempt
    verbose_name_plural = "Tries"
    fields = ("attempt", "state", "result_code", "result_text", "receipt_no", "submitted_at", "completed_at")
    related = ("intent",)
    ordering = ("number",)

    @display(description="Try")
    def attempt(self, row: PaymentAttempt) -> str:
        return cells.link(row, f"#{row.number}")


class EventInline(HistoryInline):
    model = ProviderEvent
    verbose_name_plural = "What the rail said"
    fields = ("kind", "text", "outcome", "times_received", "received_at")
    ordering = ("received_at",)

    @display(description="Message")
    def text(self, row: ProviderEvent) -> str:
        return cells.words_as_shown(row.body)


@admin.register(PaymentIntent)
class IntentAdmin(History):
    list_display = ("purpose", "customer", "amount", "state", "phone", "due_at", "created_at")
    list_filter = ("purpose", "state", "provider", "created_at")
    search_fields = ("business_key", "borrower__full_name", "msisdn")
    ordering = ("-created_at",)
    detail_related = ("borrower", "loan")
    inlines = (AttemptInline,)
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("customer", "loan_link", "phone"),
                    ("purpose", "amount", "state"),
                    ("provider", "due_at", "created_at"),
                    "business_key",
                )
            },
        ),
    )

    customer = cells.link_to("borrower", "Customer")
    loan_link = cells.link_to("loan", "Loan")
    phone = cells.masked("msisdn", "Wallet")
    amount = cells.amount("amount_cents", "Amount", "currency")


class PayoutFilter(SimpleListFilter):
    title = "work"
    parameter_name = "work"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("unknown", "Payouts of unknown outcome")]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any]":
        return queryset.filter(portfolio.UNKNOWN_PAYOUTS) if self.value() == "unknown" else queryset


@admin.register(PaymentAttempt)
class AttemptAdmin(History):
    list_display = (
        "payment",
        "number",
        "customer",
        "amount",
        "state_label",
        "result_text",
        "receipt_no",
        "submitted_at",
    )
    list_filter = (PayoutFilter, "state", "intent__purpose", "provider")
    search_fields = ("request_id", "receipt_no", "intent__business_key", "intent__borrower__full_name")
    ordering = ("-created_at",)
    detail_related = ("intent__borrower",)
    inlines = (EventInline,)
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("payment", "customer", "amount"),
                    ("number", "state_label", "receipt_no"),
                    ("result_code", "result_text"),
                )
            },
        ),
        ("On the rail", {"fields": (("provider", "provider_ref", "request_id"), ("queries", "next_query_at"))}),
        ("Times", {"fields": (("created_at", "submitted_at"), ("completed_at", "settled_at"))}),
    )

    payment = cells.link_to("intent", "Payment")
    customer = cells.link_to("intent.borrower", "Customer")
    amount = cells.amount("intent.amount_cents", "Amount", "intent.currency")

    @display(
        description="State",
        ordering="state",
        label={
            PaymentAttempt.State.SUCCEEDED.label: "success",
            PaymentAttempt.State.FAILED.label: "danger",
            PaymentAttempt.State.UNKNOWN.label: "warning",
            PaymentAttempt.State.MANUAL.label: "warning",
        },
    )
    def state_label(self, row: PaymentAttempt) -> str:
        return row.get_state_display()


class WhereTo(SimpleListFilter):
    """Money for loans, or money that is saved."""

    title = "where to"
    parameter_name = "to"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("loans", "Loans"), ("savings", "Savings")]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Receipt]") -> "QuerySet[Receipt]":
        if self.value() is None:
            return queryset
        return queryset.filter(SAVED) if self.value() == "savings" else queryset.exclude(SAVED)


@admin.register(Receipt)
class ReceiptAdmin(History):
    list_display = (
        "receipt_no",
        "customer",
        "amount",
        "over",
        "state_label",
        "account_reference",
        "source",
        "paid_at",
    )
    list_filter = ("state", WhereTo, "source", "provider", "paid_at")
    search_fields = ("receipt_no", "account_reference", "borrower__full_name", "borrower__msisdn")
    search_help_text = "Receipt number, account as typed, name or phone number"
    ordering = ("-paid_at",)
    detail_related = ("borrower", "attempt__intent")
    actions_detail = ("match_customer", "take_out")
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("receipt_no", "amount", "over"),
                    ("customer", "state_label", "paid_at"),
                    ("saved", "waiting"),
                )
            },
        ),
        (
            "As the rail told it",
            {
                "fields": (
                    ("party", "account_reference", "source"),
                    ("provider", "attempt_link", "recorded_at"),
                    "reversed_at",
                )
            },
        ),
    )

    customer = cells.link_to("borrower", "Customer")
    attempt_link = cells.link_to("attempt", "Our prompt")
    amount = cells.amount("amount_cents", "Amount", "currency")
    over = cells.amount("over_cents", "Kept for the customer", "currency")

    @display(
        description="State",
        ordering="state",
        label={
            Receipt.State.ALLOCATED.label: "success",
            Receipt.State.SUSPENSE.label: "warning",
            Receipt.State.RESOLVED.label: "info",
            Receipt.State.REVERSED.label: "danger",
        },
    )
    def state_label(self, row: Receipt) -> str:
        return row.get_state_display()

    @display(description="To be saved")
    def saved(self, row: Receipt) -> str:
        asked = SavingsInstruction.objects.filter(receipt=row).select_related("account").first()
        return cells.link(asked.account, asked.get_state_display()) if asked else cells.NOTHING

    @display(description="Waiting for a second person")
    def waiting(self, row: Receipt) -> str:
        return pending(f"receipt:{row.pk}")

    def has_propose_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return request.user.has_perm("lending.add_proposal")

    def has_match_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return may_close(request)

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """Offer matching only for money in suspense, and nothing for what is out of the books."""
        receipt = Receipt.objects.get(pk=object_id)
        if receipt.state == Receipt.State.REVERSED:
            return []
        offered = super().get_actions_detail(request, object_id)
        return [one for one in offered if receipt.state == Receipt.State.SUSPENSE or one.path != "match_customer"]

    @action(
        description="The operator took it back",
        permissions=["propose"],
        icon="undo",
        dialog={
            "title": "The operator took this money back",
            "description": "It is taken out of our books again, and out of the loan that it covered.",
            "form_class": ReceiptReversalForm,
            "form_submit_text": "Continue",
        },
    )
    def take_out(self, request: HttpRequest, form: ReceiptReversalForm, object_id: str) -> HttpResponse:
        return propose_reversal(request, form, object_id)

    @action(description="Match to a customer", permissions=["match"], icon="person_search", dialog=MATCH_DIALOG)
    def match_customer(self, request: HttpRequest, form: MatchForm, object_id: str) -> HttpResponse:
        return match(request, form, int(object_id), reverse("admin:lending_receipt_change", args=[object_id]))


@admin.register(ProviderEvent)
class EventAdmin(History):
    list_display = ("kind", "provider", "payment", "outcome", "times_received", "received_at", "processed_at")
    list_filter = ("provider", "kind", "received_at")
    search_fields = ("attempt__request_id", "outcome")
    ordering = ("-received_at",)
    detail_related = ("attempt__intent",)
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("provider", "kind", "payment"),
                    ("received_at", "times_received", "source_address"),
                    ("processed_at", "outcome"),
                )
            },
        ),
        ("As it came", {"fields": ("text",)}),
    )

    payment = cells.link_to("attempt", "Payment")

    @display(description="Body")
    def text(self, row: ProviderEvent) -> str:
        return cells.words_as_shown(row.body)


@admin.register(Rail)
class RailAdmin(History):
    """The circuit breakers; a person restarts what stopped for a fault of ours."""

    list_display = ("provider", "works", "reason", "needs_person", "failures_in_a_row", "stopped_at", "retry_at")
    actions_detail = ("restart",)

    @display(description="State", label={"Works": "success", "Stopped": "danger"})
    def works(self, row: Rail) -> str:
        return "Stopped" if row.stopped_at else "Works"

    def has_restart_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return request.user.has_perm("lending.change_rail")

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """Offer a restart only for a rail that is stopped."""
        is_stopped = Rail.objects.filter(pk=object_id, stopped_at__isnull=False).exists()
        return super().get_actions_detail(request, object_id) if is_stopped else []

    @action(
        description="Restart",
        permissions=["restart"],
        icon="restart_alt",
        variant=ActionVariant.WARNING,
        dialog={
            "title": "Restart this rail",
            "description": "Everything that waits is sent. Restart only when what stopped it is put right.",
            "form_class": None,
            "form_submit_text": "Restart",
        },
    )
    def restart(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        return act(
            request,
            lambda: restart_rail(object_id, request.user, timezone.now()),
            "The rail works again; what waited is on its way.",
            reverse("admin:lending_rail_change", args=[object_id]),
            {},
        )
