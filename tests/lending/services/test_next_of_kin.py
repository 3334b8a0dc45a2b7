"""The next of kin, and the death that they tell."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User

from lending.models import Borrower, Case, Loan, NextOfKin, OutboxMessage, PaymentAttempt, PaymentIntent
from lending.payments import engine
from lending.rules import identity
from lending.selectors import contracts
from lending.services import deaths, life, loans, next_of_kin, people, requests, savings_instructions
from tests import factories
from tests.factories import NOON
from tests.lending import saving
from tests.lending.lending import lend, product

KIN = "254733000111"


def closed(loan: Loan, days: int) -> None:
    """Close the days of a loan."""
    at = NOON + timedelta(days=days)
    life.replay(contracts.with_contract().get(id=loan.id), at, at.date())
    loan.refresh_from_db()


@pytest.fixture
def officer(db: None) -> User:
    return User.objects.create_user("wambui")


def name(amina: Borrower, number: str = "0733 000111") -> NextOfKin:
    return next_of_kin.name_kin(borrower_id=amina.id, name="Juma Ali", number=number, at=NOON)


class TestNaming:
    def test_asks_their_own_phone_once(self, amina: Borrower) -> None:
        assert name(amina) == name(amina)
        kin = NextOfKin.objects.get()
        assert (kin.msisdn, kin.agreed_at) == (KIN, None)
        assert OutboxMessage.objects.filter(topic="kin_asked").count() == 1

    def test_counts_after_their_yes_and_is_forgotten_after_their_no(self, amina: Borrower) -> None:
        name(amina)
        assert next_of_kin.answer(msisdn=KIN, agreed=True, at=NOON)
        assert NextOfKin.objects.get().agreed_at == NOON
        assert not next_of_kin.answer(msisdn=KIN, agreed=False, at=NOON)  # asked and answered
        name(amina, "0733000112")
        assert next_of_kin.answer(msisdn="254733000112", agreed=False, at=NOON)
        assert set(NextOfKin.objects.values_list("name", "msisdn")) == {("", "")}

    def test_nobody_asked_this_number(self, law: None) -> None:
        assert not next_of_kin.answer(msisdn=KIN, agreed=True, at=NOON)

    def test_can_be_taken_back(self, amina: Borrower) -> None:
        name(amina)
        next_of_kin.take_back(borrower_id=amina.id, at=NOON)
        next_of_kin.take_back(borrower_id=amina.id, at=NOON)
        assert NextOfKin.objects.get().ended_at == NOON

    def test_is_somebody_else_with_a_number(self, amina: Borrower) -> None:
        with pytest.raises(next_of_kin.OwnNumber):
            name(amina, "0711000101")
        with pytest.raises(identity.InvalidNumber):
            name(amina, "12")


class TestADeath:
    def report(self, reporter: str = KIN) -> Case:
        return deaths.report(reporter=reporter, deceased="254711000101", language="sw", at=NOON)

    @pytest.fixture
    def kin(self, amina: Borrower) -> NextOfKin:
        kin = name(amina)
        next_of_kin.answer(msisdn=KIN, agreed=True, at=NOON)
        return kin

    def test_told_by_the_next_of_kin_stops_everything_at_once(self, amina: Borrower, kin: NextOfKin) -> None:
        assert self.report() == self.report()
        amina.refresh_from_db()
        assert amina.hold == "death" and amina.state == "active"
        assert Case.objects.get().borrower == amina

    @pytest.mark.parametrize("agreed", [True, False])
    def test_told_by_anybody_else_opens_the_case_alone(self, amina: Borrower, agreed: bool) -> None:
        name(amina)
        if agreed:
            next_of_kin.answer(msisdn=KIN, agreed=True, at=NOON)
        case = self.report("254722000999" if agreed else KIN)
        amina.refresh_from_db()
        assert amina.hold == "" and case.borrower is None and case.reference

    def test_confirmed_ends_the_loan_as_a_death_does(
        self, aminas_loan: Loan, amina: Borrower, kin: NextOfKin, officer: User, books_balance: Any
    ) -> None:
        case = self.report()
        with pytest.raises(ValueError, match="resolution"):
            deaths.confirm(case_id=case.id, officer=officer, resolution="", at=NOON)
        later = NOON + timedelta(days=5)
        deaths.confirm(case_id=case.id, officer=officer, resolution="Burial permit seen", at=later)
        amina.refresh_from_db()
        aminas_loan.refresh_from_db()
        # It counts from the day on which it was told.
        assert (amina.state, amina.hold) == ("deceased", "") and aminas_loan.stopped_on == NOON.date()
        with pytest.raises(requests.NotOpen):
            deaths.refuse(case_id=case.id, officer=officer, resolution="x", at=NOON)
        books_balance()

    @pytest.mark.parametrize("died", [31, None])
    def test_takes_back_what_was_charged_since_the_day_of_death(
        self, law: None, officer: User, books_balance: Any, died: int | None
    ) -> None:
        weekly = {"name": "Late", "rate": "0.02", "of": "overdue_installment", "grace_days": 2, "every_days": 7}
        loan = lend(product({"penalties": [weekly]}), 50_000, NOON)
        case = deaths.report(
            reporter=KIN, deceased=loan.borrower.msisdn, language="en", at=NOON + timedelta(days=35)
        )
        closed(loan, 50)
        assert loan.outstanding_cents == 53_000
        told = NOON + timedelta(days=50)
        day = None if died is None else (NOON + timedelta(days=died)).date()
        deaths.confirm(case_id=case.id, officer=officer, resolution="Seen", at=told, died_on=day)
        loan.refresh_from_db()
        assert loan.stopped_on == (day or case.opened_at.date())
        # The first penalty stands where the death came after it; those of the days since are gone.
        owed = 50_000 if died else 51_000
        assert loan.outstanding_cents == owed
        closed(loan, 70)
        assert loan.outstanding_cents == owed

    def confirmed(self, officer: User, case: Case, days: int = 0, died: int | None = None) -> Case:
        """Confirm a death some days after noon, of another day or of the one on which it was told."""
        at, day = NOON + timedelta(days=days), None if died is None else NOON.date() + timedelta(days=died)
        return deaths.confirm(case_id=case.id, officer=officer, resolution="Seen", at=at, died_on=day)

    def test_of_before_the_payout_counts_from_the_payout(
        self, amina: Borrower, officer: User, fixed_scorer: Any
    ) -> None:
        asked_at = NOON - timedelta(days=4)
        factories.decide(factories.apply(amina, at=asked_at), at=asked_at)
        loan = factories.pay_out(Loan.objects.get())
        self.confirmed(officer, self.report(), days=5, died=-3)
        loan.refresh_from_db()
        assert loan.stopped_on == NOON.date()

    @pytest.mark.parametrize(("paid", "stopped"), [(0, 2), (3, 3)])
    def test_ends_a_loan_that_arrives_after_all(
        self, amina: Borrower, officer: User, fixed_scorer: Any, books_balance: Any, paid: int, stopped: int
    ) -> None:
        factories.decide(factories.apply(amina))
        self.confirmed(officer, self.report(), days=5, died=2)
        attempt = PaymentAttempt.objects.create(
            intent=PaymentIntent.objects.get(), number=1, provider="daraja", state="succeeded", created_at=NOON
        )
        PaymentIntent.objects.update(state="succeeded")
        loan = loans.payout_succeeded(
            attempt_id=attempt.id, receipt_no="LATE1", amount_cents=50_000,
            completed_at=NOON + timedelta(days=paid), at=NOON + timedelta(days=6),
        )  # fmt: skip
        assert (loan.state, loan.stopped_on) == ("live", NOON.date() + timedelta(days=stopped))
        books_balance()

    def test_cannot_be_ahead(self, amina: Borrower, officer: User) -> None:
        with pytest.raises(deaths.NotThatDay, match="day ahead"):
            self.confirmed(officer, self.report(), died=1)

    def test_cannot_be_before_they_registered(self, amina: Borrower, officer: User) -> None:
        case = self.report()
        with pytest.raises(deaths.NotThatDay, match="PIN on 2025-08-14"):
            self.confirmed(officer, case, died=-201)
        self.confirmed(officer, case, died=-200)

    def test_cannot_be_before_their_last_application(
        self, amina: Borrower, aminas_loan: Loan, officer: User
    ) -> None:
        case = self.report()
        with pytest.raises(deaths.NotThatDay, match="PIN on 2026-03-02"):
            self.confirmed(officer, case, days=5, died=-1)
        self.confirmed(officer, case, days=5, died=0)

    def test_cannot_be_before_they_last_took_savings_out(self, amina: Borrower, officer: User) -> None:
        pot = saving.pot(amina)
        saving.deposit(pot, 50_000)
        savings_instructions.instruct_withdrawal(
            account_id=pot.id, amount_cents=10_000, reference="ussd:1:2", at=NOON + timedelta(days=4)
        )
        with pytest.raises(deaths.NotThatDay, match="PIN on 2026-03-06"):
            self.confirmed(officer, self.report(), days=5, died=3)

    def test_is_recorded_once_and_whoever_told_it_is_answered(
        self, aminas_loan: Loan, amina: Borrower, kin: NextOfKin, officer: User
    ) -> None:
        other = factories.register(msisdn="254711000102")
        told = [self.report(), self.report("254722000999")]
        told.append(deaths.report(reporter=KIN, deceased=other.msisdn, language="en", at=NOON))
        self.confirmed(officer, told[1], days=1)
        assert not Case.objects.filter(closed_at__isnull=True).exists()
        answered = OutboxMessage.objects.filter(topic="request_answered").values_list("payload__case_id", flat=True)
        assert set(answered) == {case.id for case in told}
        with pytest.raises(requests.NotOpen):
            self.confirmed(officer, told[0], days=1)

    def test_that_is_told_again_later_changes_nothing(
        self, aminas_loan: Loan, amina: Borrower, officer: User
    ) -> None:
        self.confirmed(officer, self.report(), days=5, died=1)
        self.confirmed(officer, self.report("254722000999"), days=9, died=8)
        aminas_loan.refresh_from_db()
        assert aminas_loan.events.filter(kind="death").count() == 1
        assert aminas_loan.stopped_on == NOON.date() + timedelta(days=1)

    def test_confirmed_pays_out_no_loan_that_was_on_its_way(
        self, amina: Borrower, kin: NextOfKin, officer: User, fixed_scorer: Any
    ) -> None:
        factories.decide(factories.apply(amina))
        assert list(engine._due("daraja", ("disburse",), NOON))
        deaths.confirm(case_id=self.report().id, officer=officer, resolution="Burial permit seen", at=NOON)
        assert not list(engine._due("daraja", ("disburse",), NOON))

    def test_of_somebody_without_a_loan_is_recorded_too(
        self, amina: Borrower, kin: NextOfKin, officer: User
    ) -> None:
        deaths.confirm(case_id=self.report().id, officer=officer, resolution="Seen", at=NOON)
        amina.refresh_from_db()
        assert amina.state == "deceased"

    def test_that_is_not_so_lets_everything_go_on(self, amina: Borrower, kin: NextOfKin, officer: User) -> None:
        deaths.refuse(case_id=self.report().id, officer=officer, resolution="She answered herself", at=NOON)
        amina.refresh_from_db()
        assert (amina.hold, amina.state) == ("", "active")
        people.check_pin(borrower_id=amina.id, pin=factories.PIN, at=NOON)

    def test_goes_on_to_stop_everything_when_only_a_strangers_word_was_not_so(
        self, amina: Borrower, kin: NextOfKin, officer: User
    ) -> None:
        factories.register("Brian Otieno", "254711000107", "45567107", at=NOON)
        strangers, kins, neighbours = self.report("254722000999"), self.report(), self.report("254711000107")
        assert neighbours.borrower is not None, "a customer who tells is the customer of their own case"
        deaths.refuse(case_id=strangers.id, officer=officer, resolution="Hung up", at=NOON)
        amina.refresh_from_db()
        assert amina.hold == "death"
        deaths.refuse(case_id=kins.id, officer=officer, resolution="She answered herself", at=NOON)
        amina.refresh_from_db()
        assert amina.hold == ""

    def test_of_a_stranger_cannot_be_confirmed(self, law: None, officer: User) -> None:
        with pytest.raises(ValueError, match="nobody is registered"):
            deaths.confirm(case_id=self.report().id, officer=officer, resolution="Seen", at=NOON)
