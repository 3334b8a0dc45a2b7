"""Fees that are kept back or lent on top: what arrives, what is owed and what the books say agree to the cent."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db.models import F

from lending import closing
from lending.models import Borrower, Entry, Installment, Loan, PaymentAttempt, PaymentIntent
from lending.rules import calendar
from lending.selectors import loans, offers, products
from lending.services.loans import payout_failed
from tests import factories
from tests.factories import NOON
from ussd.notices import disbursed_words

ON = NOON.date()
FEES = {
    "deducted": [{"name": "Fee", "rate": "0.05", "charged": "deducted"}],
    "capitalised": [{"name": "Fee", "rate": "0.05", "charged": "capitalised"}],
    "both": [
        {"name": "Fee", "rate": "0.03", "charged": "deducted"},
        {"name": "Insurance", "rate": "0.01", "charged": "capitalised", "taxed": False},
        {"name": "Service", "rate": "0.01", "charged": "each_installment"},
    ],
    "interest": [{"name": "Fee", "rate": "0.02", "charged": "deducted", "earned": "over_term", "rebated": True}],
}
TERMS = {
    "interest": {"term": {"installments": 3, "unit": "month"}, "kind": "level", "interest": {"rate": "0.24"}},
    "both": {"term": {"installments": 2, "every": 15, "unit": "day"}, "kind": "flat"},
}
# Principal KES 1,000, tax 20 %: what arrives, what is paid back, what of it is principal.
SUMS = {
    "deducted": (94_000, 100_000, 100_000),
    "capitalised": (100_000, 106_000, 106_000),
    "both": (96_400, 103_400, 101_000),
}


@pytest.fixture(params=FEES)
def name(request: Any, law: None) -> str:
    """A product with such fees is in force."""
    terms = products.product_in_force(settings.COUNTRY, ON).terms
    factories.next_version(terms=terms | TERMS.get(request.param, {}) | {"fees": FEES[request.param]})
    return str(request.param)


def booked(account: str, **where: Any) -> int:
    entries = Entry.objects.filter(account=account, **where)
    return sum(entry.debit_cents - entry.credit_cents for entry in entries)


@pytest.fixture
def loan(name: str, amina: Borrower, fixed_scorer: object) -> Loan:
    factories.decide(factories.apply(amina, 100_000), limit_cents=100_000)
    return Loan.objects.get()


class TestWhatArrives:
    def test_quote_payout_and_plan_agree(self, loan: Loan, name: str, books_balance: Callable[[], None]) -> None:
        quote = offers.quote(loan.product_version, 100_000, ON)
        intent = PaymentIntent.objects.get()
        assert intent.amount_cents == quote.received_cents == booked("payouts_reserved")
        books_balance()
        factories.pay_out(loan)
        loan.refresh_from_db()
        assert loan.outstanding_cents == loan.total_cents == quote.total_cents
        assert -booked("mpesa_payout") == quote.received_cents
        assert quote.received_cents + quote.cost_cents == quote.total_cents
        principal = sum(item.principal_cents for item in Installment.objects.all())
        if name in SUMS:
            assert (quote.received_cents, quote.total_cents, principal) == SUMS[name]
        [paid_out] = loans.statement(loan.borrower_id)
        assert paid_out.amount_cents == quote.received_cents
        assert f"KES {quote.received_cents / 100:,.0f} is in your M-PESA" in disbursed_words(loan)
        assert f"Repay KES {quote.total_cents / 100:,.0f} by" in disbursed_words(loan)
        books_balance()

    def test_paid_on_time_nothing_is_left_anywhere(self, loan: Loan, books_balance: Callable[[], None]) -> None:
        factories.pay_out(loan)
        closing.close_until_yesterday(NOON + timedelta(days=12))
        books_balance()
        for number, item in enumerate(loan.installments.all()):
            at = NOON + timedelta(days=(item.due_on - ON).days)
            closing.close_until_yesterday(at)
            factories.pay(loan.reference, item.total_cents, f"PAID{number}", at=at)
            books_balance()
        loan.refresh_from_db()
        assert (loan.state, loan.outstanding_cents) == (Loan.State.SETTLED, 0)
        for account in ("principal_receivable", "fee_receivable", "tax_receivable", "interest_receivable"):
            assert booked(account) == 0
        assert booked("deferred_fee_income") == booked("customer_overpayments") == 0
        earned = -booked("fee_income") - booked("interest_income")
        assert earned == loan.total_cents - loan.received_cents - loan.tax_cents

    def test_a_payout_that_failed_gives_back_what_was_reserved(
        self, loan: Loan, books_balance: Callable[[], None]
    ) -> None:
        attempt = PaymentAttempt.objects.create(
            intent=PaymentIntent.objects.get(), number=1, provider="daraja", state="failed", created_at=NOON
        )
        payout_failed(attempt_id=attempt.id, code="2040", text="not registered", at=NOON)
        PaymentIntent.objects.update(state="failed")
        assert booked("payouts_reserved") == 0
        books_balance()


@pytest.mark.parametrize("wrong", ["deducted_cents", "capitalised_cents", "fee_cents", "interest_cents"])
def test_a_figure_that_does_not_fit_is_found_out(
    law: None, amina: Borrower, fixed_scorer: object, wrong: str
) -> None:
    terms = products.product_in_force(settings.COUNTRY, ON).terms
    factories.next_version(terms=terms | TERMS["both"] | {"fees": FEES["both"]})
    factories.live_loan(amina, 100_000)
    Loan.objects.update(**{wrong: F(wrong) + 1})
    with pytest.raises(CommandError):
        call_command("audit_books", verbosity=0)


def test_another_day_of_payout_never_costs_more_interest(
    law: None, amina: Borrower, fixed_scorer: object, books_balance: Callable[[], None]
) -> None:
    terms = products.product_in_force(settings.COUNTRY, ON).terms | {
        "kind": "level", "term": {"installments": 1, "unit": "month"}, "interest": {"rate": "0.36"}, "fees": [],
    }  # fmt: skip
    factories.next_version(terms=terms)
    february = NOON.replace(month=2, day=28)  # to 28 March are 28 days, from 1 March to 1 April are 31
    factories.decide(factories.apply(amina, 100_000, at=february), at=february, limit_cents=100_000)
    loan = Loan.objects.get()
    assert loan.interest_cents == 2_800
    factories.pay_out(loan, at=february + timedelta(days=1))
    loan.refresh_from_db()
    assert (loan.interest_cents, loan.total_cents, loan.outstanding_cents) == (2_800, 102_800, 102_800)
    assert loan.due_on == calendar.add(NOON.date().replace(day=1), 1, "month")
    books_balance()
