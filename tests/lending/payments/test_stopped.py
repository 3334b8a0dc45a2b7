"""A payout that stands still has a case, which ends with the money paid or back in the books."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User

from lending.ledger import balance_cents
from lending.models import AuditEvent, Borrower, Case, Loan, OutboxMessage, PaymentIntent, Refund
from lending.payments import engine, stopped
from lending.ports import Failed, NotFound, Unknown
from lending.services import deaths, holds, lost_phones, next_of_kin, proposals, refunds, requests
from tests import factories
from tests.factories import NOON
from tests.lending.payments.operator import Operator

LATER = NOON + timedelta(hours=1)


@pytest.fixture
def officer(db: None) -> User:
    return User.objects.create_user("wambui")


def case_of(intent: PaymentIntent) -> Case:
    return Case.objects.get(kind="payout_stopped", subject_key=f"intent:{intent.id}")


def held(intent: PaymentIntent, why: str = "sim") -> Case:
    """Let a number stand still, and the engine find that its payout does, too."""
    holds.hold(intent.borrower, why, NOON)
    for _ in range(2):
        engine.run_due(NOON)
    return case_of(intent)


def died(borrower: Borrower, officer: User) -> None:
    case = deaths.report(reporter="254722000999", deceased=borrower.msisdn, language="en", at=NOON)
    deaths.confirm(case_id=case.id, officer=officer, resolution="Seen", at=NOON)


class TestItsCase:
    def test_opens_once_and_says_what_stands_still_and_why(self, rail: Operator, payout: PaymentIntent) -> None:
        case = held(payout)
        assert rail.sent == [] and case.borrower == payout.borrower
        assert "KES 500" in case.note and payout.loan.reference in case.note and "SIM" in case.note

    def test_closes_by_itself_when_the_number_was_checked(
        self, rail: Operator, payout: PaymentIntent, officer: User
    ) -> None:
        case = held(payout)
        holds.lift(payout.borrower, officer, "Spoke with her", NOON)
        engine.run_due(NOON)
        case.refresh_from_db()
        assert case.closed_at == NOON and len(rail.sent) == 1

    def test_is_none_for_what_was_sent_before(self, rail: Operator, payout: PaymentIntent) -> None:
        engine.run_due(NOON)
        holds.hold(payout.borrower, "death", NOON)
        engine.run_due(LATER)
        assert not Case.objects.filter(kind="payout_stopped").exists()


class TestPayingAfterAll:
    def test_lets_the_money_go_out(self, rail: Operator, payout: PaymentIntent, officer: User) -> None:
        case = held(payout)
        stopped.pay_after_all(case_id=case.id, officer=officer, resolution="Spoke with her", at=LATER)
        engine.run_due(LATER)
        case.refresh_from_db()
        assert (case.closed_at, case.closed_by, len(rail.sent)) == (LATER, officer, 1)

    def test_of_a_lost_phone_takes_a_new_pin(self, rail: Operator, payout: PaymentIntent, officer: User) -> None:
        case = held(payout, "phone")
        stopped.pay_after_all(case_id=case.id, officer=officer, resolution="She has her SIM again", at=LATER)
        assert AuditEvent.objects.filter(action="pin_reset").exists()

    def test_waits_for_the_case_about_the_number(
        self, rail: Operator, payout: PaymentIntent, officer: User
    ) -> None:
        said = {"lost": payout.msisdn, "national_id": "23456781", "first_name": "Amina"}
        lost_phones.report(reporter="254722000999", language="en", at=NOON, **said)
        engine.run_due(NOON)
        with pytest.raises(stopped.CheckedElsewhere, match="Lost the phone"):
            stopped.pay_after_all(case_id=case_of(payout).id, officer=officer, resolution="x", at=LATER)

    def test_waits_for_the_word_that_they_died_on_another_number(
        self, rail: Operator, payout: PaymentIntent, officer: User
    ) -> None:
        other = factories.register(msisdn="254711000102")
        next_of_kin.name_kin(borrower_id=other.id, name="Juma Ali", number="0733000111", at=NOON)
        next_of_kin.answer(msisdn="254733000111", agreed=True, at=NOON)
        deaths.report(reporter="254733000111", deceased=other.msisdn, language="en", at=NOON)
        engine.run_due(NOON)
        with pytest.raises(stopped.CheckedElsewhere, match="said to have died"):
            stopped.pay_after_all(case_id=case_of(payout).id, officer=officer, resolution="x", at=LATER)
        payout.borrower.refresh_from_db()
        assert payout.borrower.hold == "death"

    def test_waits_for_no_death_that_the_customer_told(
        self, rail: Operator, payout: PaymentIntent, officer: User
    ) -> None:
        case = held(payout)
        deaths.report(reporter=payout.msisdn, deceased="254722000999", language="en", at=NOON)
        stopped.pay_after_all(case_id=case.id, officer=officer, resolution="Spoke with her", at=LATER)
        engine.run_due(LATER)
        assert len(rail.sent) == 1

    def test_is_refused_for_a_loan_to_the_dead(self, rail: Operator, payout: PaymentIntent, officer: User) -> None:
        died(payout.borrower, officer)
        engine.run_due(NOON)
        with pytest.raises(stopped.LentToTheDead):
            stopped.pay_after_all(case_id=case_of(payout).id, officer=officer, resolution="x", at=LATER)


class TestARefundThatTheDeadAskedFor:
    @pytest.fixture
    def refund(self, aminas_loan: Loan) -> Refund:
        """KES 70 are on their way back when her phone is lost."""
        factories.pay(aminas_loan.reference, 60_000)
        refund = refunds.refund_to_wallet(borrower_id=aminas_loan.borrower_id, origin="ussd:1", at=NOON)
        holds.hold(aminas_loan.borrower, "phone", NOON)
        return refund

    def test_stands_still_until_two_officers_say_so(
        self, rail: Operator, refund: Refund, officer: User, books_balance: Callable[[], None]
    ) -> None:
        assert refund.intent is not None
        died(refund.borrower, officer)
        for _ in range(2):
            engine.run_due(NOON)
        case = case_of(refund.intent)
        assert rail.sent == [] and "has died" in case.note
        with pytest.raises(stopped.TakesTwoOfficers):
            stopped.pay_after_all(case_id=case.id, officer=officer, resolution="x", at=LATER)

        stopped.give_up(case_id=case.id, officer=officer, resolution="To the estate", at=LATER)
        asked = refunds.propose_refund(borrower=refund.borrower, maker=officer, reason="Her heir", at=LATER)
        njeri = User.objects.create_user("njeri")
        proposals.decide(proposal_id=asked.id, checker=njeri, approve=True, at=LATER)
        engine.run_due(LATER)
        assert len(rail.sent) == 1
        books_balance()


class TestGivingUp:
    def test_brings_the_money_back_into_the_books(
        self,
        rail: Operator,
        payout: PaymentIntent,
        approved: Loan,
        officer: User,
        books_balance: Callable[[], None],
    ) -> None:
        died(payout.borrower, officer)
        engine.run_due(NOON)
        assert balance_cents("payouts_promised", "KES") != 0
        case = case_of(payout)
        stopped.give_up(case_id=case.id, officer=officer, resolution="She has died", at=LATER)
        payout.refresh_from_db()
        approved.refresh_from_db()
        case.refresh_from_db()
        assert (payout.state, approved.state, approved.outstanding_cents) == ("failed", "not_paid_out", 0)
        assert balance_cents("payouts_promised", "KES") == 0 and case.closed_by == officer
        assert AuditEvent.objects.get(action="payout_given_up").actor == officer
        engine.run_due(LATER)
        assert rail.sent == [] and Case.objects.filter(kind="payout_stopped").count() == 1
        with pytest.raises(requests.NotOpen):
            stopped.give_up(case_id=case.id, officer=officer, resolution="again", at=LATER)
        books_balance()

    def test_of_a_refund_keeps_the_money_for_the_customer(
        self, rail: Operator, aminas_loan: Loan, officer: User, books_balance: Callable[[], None]
    ) -> None:
        factories.pay(aminas_loan.reference, 60_000)
        refund = refunds.refund_to_wallet(borrower_id=aminas_loan.borrower_id, origin="ussd:1", at=NOON)
        assert refund.intent is not None
        case = held(refund.intent)
        stopped.give_up(case_id=case.id, officer=officer, resolution="She wants it in savings", at=LATER)
        refund.refresh_from_db()
        assert refund.state == "failed" and OutboxMessage.objects.filter(topic="refund_failed").exists()
        books_balance()

    def test_is_refused_for_what_was_sent_meanwhile(
        self, rail: Operator, payout: PaymentIntent, officer: User, attempt_of: Any
    ) -> None:
        case = held(payout)
        holds.lift(payout.borrower, officer, "Spoke with her", NOON)
        engine._submit_next("daraja", ("disburse",), LATER)
        with pytest.raises(stopped.UnderWay):
            stopped.give_up(case_id=case.id, officer=officer, resolution="x", at=LATER)

    def test_waits_for_what_was_sent_before_and_is_not_known_to_the_rail(
        self, rail: Operator, payout: PaymentIntent, officer: User, attempt_of: Any
    ) -> None:
        rail.submit.append(Unknown("timeout"))
        engine.run_due(NOON)
        holds.hold(payout.borrower, "sim", NOON)
        rail.ask.append(NotFound())
        for minutes in (2, 3):
            engine.run_due(NOON + timedelta(minutes=minutes))
        case = case_of(payout)
        with pytest.raises(stopped.UnderWay):
            stopped.give_up(case_id=case.id, officer=officer, resolution="x", at=LATER)
        assert (payout.attempts.count(), attempt_of(payout).state) == (1, "created")

        stopped.ask_rail(case_id=case.id, officer=officer, at=LATER)
        rail.ask.append(Failed("2001", "not paid"))
        for _ in range(2):
            engine.run_due(LATER)
        payout.refresh_from_db()
        case.refresh_from_db()
        assert (payout.state, len(rail.sent), case.closed_at) == ("failed", 1, LATER)

    def test_takes_words(self, rail: Operator, payout: PaymentIntent, officer: User) -> None:
        with pytest.raises(ValueError, match="resolution"):
            stopped.give_up(case_id=held(payout).id, officer=officer, resolution=" ", at=LATER)
