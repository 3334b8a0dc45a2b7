"""An officer takes a promise to pay on the loan's page, as the customer would on the phone."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from lending.models import AuditEvent, Borrower, Loan, OutboxMessage, Promise
from tests import factories
from tests.lending.admin.test_changes import page, send


@pytest.fixture
def loan(amina: Borrower, fixed_scorer: object) -> Loan:
    """KES 500 that reached Amina yesterday; she owes KES 530."""
    return factories.live_loan(amina, at=timezone.now() - timedelta(days=2))


WHY = "Her stall opens again on Friday"


def take(client: Client, loan: Loan, amount: str = "200", days: int = 4) -> str:
    until = timezone.localdate() + timedelta(days=days)
    answer = send(client, loan, "grant_promise", amount_cents=amount, promised_on=until.isoformat(), reason=WHY)
    shown: str = answer.content.decode()
    return shown


def test_it_is_taken_with_who_took_it_and_the_customer_is_told(officer: Client, loan: Loan) -> None:
    assert "Take a promise to pay" in officer.get(page(loan)).content.decode()
    assert "Taken. The customer gets an SMS." in take(officer, loan)
    promise = Promise.objects.get()
    assert (promise.loan, promise.amount_cents, promise.channel) == (loan, 20_000, "officer")
    assert promise.taker is not None and promise.taker.username == "wambui"
    assert OutboxMessage.objects.filter(topic="promise_made").count() == 1
    assert AuditEvent.objects.get(action="promise_made").reason == WHY
    assert "KES 200" in officer.get(page(loan)).content.decode()


def test_it_takes_a_reason(officer: Client, loan: Loan) -> None:
    until = timezone.localdate() + timedelta(days=4)
    answer = send(officer, loan, "grant_promise", amount_cents="200", promised_on=until.isoformat(), reason="")
    assert "This field is required" in answer.content.decode() and not Promise.objects.exists()


@pytest.mark.parametrize(
    ("amount", "days", "said"),
    [
        ("200", 0, "at most 14 days ahead"),
        ("200", 15, "at most 14 days ahead"),
        ("531", 4, "no more than is owed"),
        ("200.50", 4, "no more than is owed"),
        ("", 4, "This field is required"),
    ],
)
def test_what_cannot_be_promised_is_said_in_the_dialog(
    officer: Client, loan: Loan, amount: str, days: int, said: str
) -> None:
    assert said in take(officer, loan, amount, days)
    assert not Promise.objects.exists()


def test_one_waits_at_a_time(officer: Client, loan: Loan) -> None:
    take(officer, loan)
    assert "waits for its day already" in take(officer, loan, "100", 6)
    assert Promise.objects.count() == 1


def test_a_loan_that_nothing_is_asked_for_offers_none(officer: Client, loan: Loan) -> None:
    factories.pay(loan.reference, 53_000, at=timezone.now())
    assert "grant_promise" not in officer.get(page(loan)).content.decode()
    assert "Nothing is asked for on this loan now" in take(officer, loan)


def test_who_may_only_look_takes_none(auditor: Client, loan: Loan) -> None:
    assert send(auditor, loan, "grant_promise", amount_cents="200").status_code == 403
