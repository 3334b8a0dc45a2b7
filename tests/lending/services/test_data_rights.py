"""What is held, who looked, agreements, corrections and copies."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.db import DatabaseError, transaction

from lending.models import AccessRecord, Borrower, Case, Consent, Loan, Proposal
from lending.rules import identity
from lending.selectors import personal_data
from lending.services import access, complaints, consents, corrections, next_of_kin, proposals, requests
from tests import factories
from tests.factories import NOON

SAID: dict[str, Any] = {"text_version": "1", "language": "en", "at": NOON}


@pytest.fixture
def officer(law: None) -> User:
    user = User.objects.create_user("wambui")
    user.groups.add(Group.objects.get(name="Loan officers"))
    return user


class TestLooks:
    def look(self, borrower: Borrower, officer: User, days: int = 0) -> AccessRecord:
        return access.record_look(borrower_id=borrower.id, officer=officer, at=NOON + timedelta(days=days))

    def test_are_told_by_day_role_and_purpose(self, amina: Borrower, officer: User) -> None:
        self.look(amina, officer)
        complaints.complain(msisdn=amina.msisdn, topic="price", language="en", at=NOON)
        for _ in range(2):
            self.look(amina, officer, days=1)
        told = [(f"{one.on:%d}", one.role, one.purpose, one.times) for one in personal_data.looks(amina.id)]
        assert told == [("03", "Loan officers", "request", 2), ("02", "Loan officers", "other", 1)]

    def test_of_a_superuser_and_of_nobody_in_particular_have_a_role_too(self, amina: Borrower, law: None) -> None:
        boss, newcomer = User.objects.create_superuser("boss"), User.objects.create_user("newcomer")
        assert [self.look(amina, one).role for one in (boss, newcomer)] == ["Administrators", "Staff"]

    def test_say_what_was_open(self, amina: Borrower, officer: User, fixed_scorer: Any) -> None:
        assert self.look(amina, officer).purpose == "other"
        application = factories.apply(amina)
        factories.decide(application, "refer")
        assert self.look(amina, officer).purpose == "decision"

    def test_at_somebody_late_are_about_that(self, aminas_loan: Loan, amina: Borrower, officer: User) -> None:
        Loan.objects.filter(id=aminas_loan.id).update(days_past_due=3)
        assert self.look(amina, officer).purpose == "arrears"

    @pytest.mark.parametrize("change", [lambda rows: rows.update(purpose="other"), lambda rows: rows.delete()])
    def test_are_never_taken_back(self, amina: Borrower, officer: User, change: Any) -> None:
        self.look(amina, officer)
        with pytest.raises(DatabaseError, match="is history"), transaction.atomic():
            change(AccessRecord.objects.all())


class TestConsents:
    def test_are_taken_back_one_by_one(self, amina: Borrower) -> None:
        consents.answer(borrower_id=amina.id, purpose="wallet", granted=False, **SAID)
        assert personal_data.consents_of(amina.id) == factories.CONSENTS | {"wallet": False}

    def test_the_same_answer_again_stands_as_it_was_given(self, amina: Borrower) -> None:
        before = Consent.objects.count()
        consents.answer(borrower_id=amina.id, purpose="wallet", granted=True, **SAID)
        assert Consent.objects.count() == before

    def test_one_that_was_never_asked_for_can_be_given(self, amina: Borrower) -> None:
        consents.answer(borrower_id=amina.id, purpose="bureau", granted=True, **SAID)
        assert personal_data.consents_of(amina.id)["bureau"] is True

    @pytest.mark.parametrize("purpose", ["service", "gossip"])
    def test_what_the_service_needs_is_not_taken_back_alone(self, amina: Borrower, purpose: str) -> None:
        with pytest.raises(ValueError, match=purpose):
            consents.answer(borrower_id=amina.id, purpose=purpose, granted=False, **SAID)


class TestCorrections:
    def wish(self, borrower: Borrower, value: str = "Amina Njeri") -> Case:
        return corrections.ask_correction(
            msisdn=borrower.msisdn, field="full_name", value=value, language="en", at=NOON
        )

    def propose(self, case: Case, officer: User) -> Proposal:
        return corrections.propose_correction(
            case_id=case.id, officer=officer, reason="Card seen", full_name=case.details["value"], at=NOON
        )

    def test_take_two_officers_and_end_the_wish(self, amina: Borrower, officer: User) -> None:
        case = self.wish(amina)
        assert case.answer_by == NOON + timedelta(days=7)
        proposal = self.propose(case, officer)
        amina.refresh_from_db()
        assert amina.full_name == "Amina Wanjiru"
        with pytest.raises(proposals.SamePerson):
            proposals.decide(proposal_id=proposal.id, checker=officer, approve=True, at=NOON)
        proposals.decide(proposal_id=proposal.id, checker=User.objects.create_user("kamau"), approve=True, at=NOON)
        amina.refresh_from_db()
        case.refresh_from_db()
        assert amina.full_name == "Amina Njeri"
        assert case.outcome == Case.Outcome.PUT_RIGHT and case.closed_by is not None

    def test_can_be_settled_without_one(self, amina: Borrower, officer: User) -> None:
        case = self.wish(amina)
        corrections.settle(
            case_id=case.id, officer=officer, put_right=False, resolution="The card says so", at=NOON
        )
        with pytest.raises(requests.NotOpen):
            self.propose(case, officer)

    def test_of_an_id_number_is_not_typed_into_a_phone(self, amina: Borrower) -> None:
        said = {"msisdn": amina.msisdn, "language": "en", "at": NOON}
        with pytest.raises(ValueError, match="national_id"):
            corrections.ask_correction(field="national_id", value="23456782", **said)
        assert corrections.ask_correction(field="national_id", value="", **said).details["value"] == ""

    def test_of_a_name_need_one(self, amina: Borrower) -> None:
        with pytest.raises(identity.InvalidName):
            self.wish(amina, "7")


def test_what_is_held_is_told_in_figures(aminas_loan: Loan, amina: Borrower, officer: User) -> None:
    next_of_kin.name_kin(borrower_id=amina.id, name="Juma Ali", number="0733000111", at=NOON)
    factories.pay("0711000101", 10_000)
    access.record_look(borrower_id=amina.id, officer=officer, at=NOON)
    held = personal_data.held(amina)
    assert (held.name, held.id_ending, held.loans, held.receipts, held.looks) == ("Amina Wanjiru", "781", 1, 1, 1)
    assert held.owed_cents == 43_000 and held.next_of_kin == "Juma Ali" and held.consents == factories.CONSENTS


def test_a_copy_holds_every_table_that_names_the_customer_and_no_key_to_them(
    aminas_loan: Loan, amina: Borrower
) -> None:
    copied = personal_data.copy_of(amina)
    assert copied["customer"]["national_id"] == "23456781"  # it is hers
    assert {"loans", "applications", "consents", "payment intents", "audit events"} <= copied.keys()
    text = json.dumps(copied)
    assert amina.pin_hash not in text and amina.identity_index not in text and "Brian" not in text
