"""Payout, failure, write-off, and the day's close."""

from collections.abc import Callable
from datetime import date, timedelta

import pytest

from lending import closing
from lending.ledger import balance_cents
from lending.models import Borrower, JobRun, Loan, OutboxMessage, PaymentAttempt, PaymentIntent
from lending.services import loans, repayments
from tests import factories
from tests.factories import NOON, pay

pytestmark = pytest.mark.usefixtures("fixed_scorer")


class TestPayout:
    def test_the_loan_starts_when_the_operator_completed_it(self, amina: Borrower) -> None:
        application = factories.apply(amina)
        factories.decide(application)
        late = NOON + timedelta(hours=13)
        loan = factories.pay_out(Loan.objects.get(), at=late)
        assert (loan.disbursed_at, loan.due_on) == (late, date(2026, 4, 2))

    def test_told_twice_it_is_booked_once(self, aminas_loan: Loan, books_balance: Callable[[], None]) -> None:
        attempt = PaymentAttempt.objects.get()
        loans.payout_succeeded(
            attempt_id=attempt.id, receipt_no="AGAIN", amount_cents=50_000, completed_at=NOON, at=NOON
        )
        assert aminas_loan.installments.count() == 1
        assert balance_cents("mpesa_payout", "KES") == -50_000
        books_balance()

    def test_a_certain_failure_releases_the_reservation_and_frees_the_customer(
        self, amina: Borrower, books_balance: Callable[[], None]
    ) -> None:
        factories.decide(factories.apply(amina))
        intent = PaymentIntent.objects.get()
        attempt = PaymentAttempt.objects.create(
            intent=intent, number=1, provider="daraja", state="failed", created_at=NOON
        )
        for _ in range(2):
            loan = loans.payout_failed(attempt_id=attempt.id, code="2040", text="not registered", at=NOON)
        assert (loan.state, loan.outstanding_cents, balance_cents("payouts_reserved", "KES")) == (
            "not_paid_out",
            0,
            0,
        )
        factories.apply(amina, origin="ussd:test:2")
        PaymentIntent.objects.filter(id=intent.id).update(state="failed")
        books_balance()

    def test_no_loan_is_live_without_its_payout(self, amina: Borrower) -> None:
        factories.decide(factories.apply(amina))
        with pytest.raises(Exception, match="loan_live_means_paid_out"):
            Loan.objects.update(state="live")


class TestRequestRepayment:
    def test_prompts_after_the_session_has_ended_and_once(self, aminas_loan: Loan, amina: Borrower) -> None:
        ask = {"borrower_id": amina.id, "amount_cents": 10_000, "origin": "ussd:1", "at": NOON}
        first = repayments.request_repayment(**ask)
        assert first.due_at > NOON
        assert repayments.request_repayment(**ask).id == first.id
        with pytest.raises(repayments.PromptPending):
            repayments.request_repayment(**(ask | {"origin": "ussd:2"}))

    @pytest.mark.parametrize("amount_cents", [0, -100, 50, 53_100, 10_050])
    def test_refuses_what_cannot_be_paid(self, aminas_loan: Loan, amina: Borrower, amount_cents: int) -> None:
        with pytest.raises(repayments.InvalidRepayment):
            repayments.request_repayment(borrower_id=amina.id, amount_cents=amount_cents, origin="ussd:1", at=NOON)

    def test_refuses_without_a_loan(self, amina: Borrower) -> None:
        with pytest.raises(repayments.NoOpenLoan):
            repayments.request_repayment(borrower_id=amina.id, amount_cents=100, origin="ussd:1", at=NOON)


def test_a_write_off_clears_the_receivables_and_keeps_the_history(
    aminas_loan: Loan, books_balance: Callable[[], None]
) -> None:
    pay(aminas_loan.reference, 10_000)
    loan = factories.write_off(aminas_loan, at=NOON + timedelta(days=220))
    assert loan.state == "written_off"
    assert balance_cents("principal_receivable", "KES") == 0
    assert balance_cents("write_off_expense", "KES") == 43_000
    books_balance()


class TestCloseOfBusiness:
    def test_the_due_date_is_day_zero_and_the_next_day_is_one(self, aminas_loan: Loan) -> None:
        for day, expected in [(0, 0), (1, 1), (9, 9)]:
            closing.close_business(date(2026, 4, 1) + timedelta(days=day), NOON)
            aminas_loan.refresh_from_db()
            assert aminas_loan.days_past_due == expected

    def test_closing_a_date_twice_changes_nothing(self, aminas_loan: Loan) -> None:
        assert closing.close_business(date(2026, 4, 4), NOON)
        assert not closing.close_business(date(2026, 4, 4), NOON)
        aminas_loan.refresh_from_db()
        assert aminas_loan.days_past_due == 3

    def test_catches_up_missed_dates_in_order(self, law: None) -> None:
        closing.close_business(date(2026, 2, 25), NOON)
        assert closing.close_until_yesterday(NOON) == [date(2026, 2, day) for day in (26, 27, 28)] + [
            date(2026, 3, 1)
        ]
        assert closing.close_until_yesterday(NOON) == []

    def test_goes_on_at_once_with_a_run_that_was_cut_off(self, law: None) -> None:
        JobRun.objects.create(job=closing.JOB, business_date=date(2026, 3, 1), started_at=NOON)
        assert closing.close_business(date(2026, 3, 1), NOON)

    def test_owes_one_reminder_for_the_evening_and_none_for_a_paid_loan(
        self, aminas_loan: Loan, brian: Borrower
    ) -> None:
        settled = factories.live_loan(brian)
        pay(settled.reference, 53_000, "PAID1")
        closing.close_business(date(2026, 3, 31), NOON + timedelta(days=30))
        owed = OutboxMessage.objects.get(topic="repayment_reminder")
        assert (owed.payload, owed.due_at.astimezone(factories.NAIROBI).hour) == (
            {"loan_id": aminas_loan.id, "due_on": "2026-04-01", "days": 0},
            17,
        )

    def test_a_date_caught_up_late_reminds_nobody(self, aminas_loan: Loan) -> None:
        for day in range(5):
            closing.close_business(date(2026, 3, 28) + timedelta(days=day), NOON + timedelta(days=40))
        assert not OutboxMessage.objects.filter(topic="repayment_reminder").exists()
