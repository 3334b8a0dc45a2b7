"""A lost phone, a changed SIM, a forgotten PIN: nothing moves until a person has checked."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User

from lending.models import Borrower, Case, Loan
from lending.payments import engine
from lending.services import applications, cases, holds, lost_phones, new_pins, people, requests
from tests import factories
from tests.factories import NOON, PIN

NEIGHBOUR = "254722000999"


@pytest.fixture
def officer(db: None) -> User:
    return User.objects.create_user("wambui")


def report(**changes: str) -> Case:
    said = {"lost": "254711000101", "national_id": "23456781", "first_name": "amina"} | changes
    return lost_phones.report(reporter=NEIGHBOUR, language="en", at=NOON, **said)


def changed_yesterday(*, msisdn: str) -> datetime:
    return NOON - timedelta(days=1)


def changed_long_ago(*, msisdn: str) -> datetime:
    return NOON - timedelta(days=4)


def is_due() -> bool:
    """Say whether the engine of payments would send a payout now."""
    return bool(list(engine._due("daraja", ("disburse",), NOON)))


class TestALostPhone:
    def test_stops_with_its_owner_s_id_and_name(self, amina: Borrower) -> None:
        case = report()
        amina.refresh_from_db()
        assert (amina.hold, amina.held_at) == ("phone", NOON)
        assert case.details["stopped"] and case.msisdn == NEIGHBOUR and case.borrower is None
        with pytest.raises(people.PinLocked):
            people.check_pin(borrower_id=amina.id, pin=PIN, at=NOON)

    @pytest.mark.parametrize(
        "wrong", [{"national_id": "23456782"}, {"first_name": "Brian"}, {"lost": "254711000109"}]
    )
    def test_stops_nobody_else_and_says_the_same(self, amina: Borrower, wrong: dict[str, str]) -> None:
        case = report(**wrong)
        assert not Borrower.objects.exclude(hold="").exists()
        assert case.reference and not case.details["stopped"]

    def test_is_tried_three_times_and_no_more(self, amina: Borrower) -> None:
        for _ in range(3):
            report(national_id="99999999")
        report()
        amina.refresh_from_db()
        assert amina.hold == "" and Case.objects.get().details["tries"] == 3

    def test_keeps_a_payout_back_until_a_person_lets_it_go(
        self, amina: Borrower, officer: User, fixed_scorer: Any
    ) -> None:
        factories.decide(factories.apply(amina))
        case = report()
        assert not is_due()
        lost_phones.settle(case_id=case.id, officer=officer, resolution="Has her SIM", give_back=True, at=NOON)
        assert is_due()
        amina.refresh_from_db()
        assert amina.pin_hash == "" and amina.hold == ""  # she chooses a new PIN by her ID

    def test_stays_stopped_when_the_phone_is_gone(self, amina: Borrower, officer: User) -> None:
        case = report()
        lost_phones.settle(case_id=case.id, officer=officer, resolution="Phone gone", give_back=False, at=NOON)
        amina.refresh_from_db()
        assert amina.hold == "phone"
        with pytest.raises(requests.NotOpen):
            lost_phones.settle(case_id=case.id, officer=officer, resolution="x", give_back=True, at=NOON)

    def test_still_takes_money_in(self, aminas_loan: Loan, amina: Borrower, books_balance: Any) -> None:
        report()
        factories.pay("0711000101", 53_000)
        assert Loan.objects.get().state == Loan.State.SETTLED
        books_balance()


class TestAChangedSim:
    def decide(self, amina: Borrower) -> None:
        application = factories.apply(amina)
        factories.FixedScorer.says = factories.verdict()
        applications.decide(application.id, NOON)
        amina.refresh_from_db()

    def test_keeps_the_payout_back_and_calls_a_person(
        self, amina: Borrower, officer: User, fixed_scorer: Any, settings: Any
    ) -> None:
        settings.SIM_CHECK = "tests.lending.services.test_lost_phones.changed_yesterday"
        self.decide(amina)
        case = Case.objects.get(kind="sim_changed")
        assert amina.hold == "sim" and not is_due()
        holds.lift_sim_hold(case_id=case.id, officer=officer, resolution="Spoke with her", at=NOON)
        assert is_due()

    def test_gives_way_to_what_its_owner_reports(
        self, amina: Borrower, officer: User, fixed_scorer: Any, settings: Any
    ) -> None:
        settings.SIM_CHECK = "tests.lending.services.test_lost_phones.changed_yesterday"
        self.decide(amina)
        report()
        amina.refresh_from_db()
        assert amina.hold == "phone"
        case = Case.objects.get(kind="sim_changed")
        holds.lift_sim_hold(case_id=case.id, officer=officer, resolution="Somebody answered", at=NOON)
        assert not is_due()

    @pytest.mark.parametrize("path", ["tests.lending.services.test_lost_phones.changed_long_ago", None])
    def test_of_long_ago_or_that_nobody_tells_stops_nothing(
        self, amina: Borrower, fixed_scorer: Any, settings: Any, path: str | None
    ) -> None:
        settings.SIM_CHECK = path or settings.SIM_CHECK
        self.decide(amina)
        assert amina.hold == "" and is_due()


class TestAForgottenPin:
    def test_asks_an_officer_and_tells_them_whether_the_id_was_right(self, amina: Borrower, officer: User) -> None:
        for tries, (typed, told) in enumerate(
            (("99999999", "wrong"), ("2345 6781", "right"), ("1111111", "right")), 1
        ):
            new_pins.ask_new_pin(msisdn=amina.msisdn, national_id=typed, language="en", at=NOON)
            assert Case.objects.get().details == {"national ID": told, "tries": tries}
        people.reset_pin(borrower_id=amina.id, officer=officer, reason="Spoke with her", at=NOON)
        assert Case.objects.get().closed_at == NOON


def test_nobody_types_numbers_until_one_is_right(amina: Borrower) -> None:
    for typed in ("99999999", "99999998", "99999997", amina.national_id):
        new_pins.ask_new_pin(msisdn=amina.msisdn, national_id=typed, language="en", at=NOON)
    assert Case.objects.get().details == {"national ID": "wrong", "tries": 3}


def test_a_hold_is_lifted_by_words_only(amina: Borrower, officer: User) -> None:
    case = cases.open_case(kind="sim_changed", subject_key="x", note="", borrower=amina, at=NOON)
    with pytest.raises(ValueError, match="resolution"):
        holds.lift_sim_hold(case_id=case.id, officer=officer, resolution=" ", at=NOON)
