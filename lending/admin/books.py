"""The books: accounts with their balances, postings with their legs."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from unfold.decorators import display

from lending import ledger
from lending.admin import cells
from lending.admin.history import History
from lending.admin.postings import legs
from lending.admin.statements import StatementsView
from lending.models import Account, Entry, PeriodClosing, Posting


@admin.register(Account)
class AccountAdmin(History):
    """The chart of accounts, and the page of what they add up to."""

    list_display = ("name", "code", "kind", "balance")
    list_filter = ("kind",)
    ordering = ("kind", "name")
    fieldsets = ((None, {"fields": (("name", "code"), ("kind", "balance"))}),)

    def get_custom_urls(self) -> tuple[tuple[str, str, Any], ...]:
        return (("statements", "lending_account_statements", StatementsView.as_view(model_admin=self)),)

    @display(description="Balance")
    def balance(self, row: Account) -> str:
        """Debits minus credits for assets and expenses, the other way round for the rest."""
        currency = cells.home_currency()
        cents = ledger.balance_cents(row.code, currency)
        is_debit = row.kind in (Account.Kind.ASSET, Account.Kind.EXPENSE)
        return cells.shown(cents if is_debit else -cents, currency)


@admin.register(Posting)
class PostingAdmin(History):
    list_display = ("reference", "kind", "customer", "loan_link", "business_date", "occurred_at", "booked_at")
    list_filter = ("kind", "business_date")
    search_fields = ("reference", "loan__reference", "borrower__full_name")
    ordering = ("-id",)
    detail_related = ("borrower", "loan", "reverses", "chained")
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("reference", "kind", "business_date"),
                    ("customer", "loan_link", "reverses_link"),
                    ("occurred_at", "booked_at"),
                    "chained_as",
                )
            },
        ),
        ("Entries", {"fields": ("entries_table",)}),
    )

    customer = cells.link_to("borrower", "Customer")
    loan_link = cells.link_to("loan", "Loan")
    reverses_link = cells.link_to("reverses", "Reverses")

    @display(description="Hash in the chain")
    def chained_as(self, row: Posting) -> str:
        return str(row.chained) if hasattr(row, "chained") else "not chained yet"

    @display(description="")
    def entries_table(self, row: Posting) -> str:
        return legs(row)

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).prefetch_related("entries__account")


@admin.register(Entry)
class EntryAdmin(History):
    list_display = ("id", "posting_link", "account_link", "debit", "credit", "occurred_at")
    list_filter = ("account", "posting__business_date")
    search_fields = ("posting__reference",)
    ordering = ("-id",)
    detail_related = ("posting", "account")
    fieldsets = ((None, {"fields": (("posting_link", "account_link"), ("debit", "credit"), "occurred_at")}),)

    posting_link = cells.link_to("posting", "Posting")
    account_link = cells.link_to("account", "Account")

    @display(description="Debit", ordering="debit_cents")
    def debit(self, row: Entry) -> str:
        return cells.shown(row.debit_cents or None, row.currency)

    @display(description="Credit", ordering="credit_cents")
    def credit(self, row: Entry) -> str:
        return cells.shown(row.credit_cents or None, row.currency)

    @display(description="When", ordering="posting__occurred_at")
    def occurred_at(self, row: Entry) -> str:
        return cells.moment(row.posting.occurred_at)


@admin.register(PeriodClosing)
class PeriodClosingAdmin(History):
    """Which periods are closed, by whom, and what the chain ended with in that moment."""

    list_display = ("last_on", "maker", "checker", "closed_at")
    ordering = ("-last_on",)
    detail_related = ("maker", "checker")
    fieldsets = ((None, {"fields": (("last_on", "closed_at"), ("maker", "checker"), "head")}),)

    @display(description="Head of the chain")
    def head(self, row: PeriodClosing) -> str:
        return f"{row.head_posting_id}:{bytes(row.head_hash).hex()}"
