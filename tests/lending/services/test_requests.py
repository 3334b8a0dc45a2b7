"""Asking for a person, a call, and an answer to a complaint."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction

from lending.models import Application, Borrower, Case, Loan, OutboxMessage
from lending.selectors import requests as asked_for
from lending.services import applications, cases, complaints, help, requests
from tests import factories
from tests.factories import NAIROBI, NOON

STRANGER = "254722000999"


@pytest.fixture
def officer(db: None) -> User:
    return User.objects.create_user("wambui")


class TestHelp:
    def test_opens_one_case_and_keeps_what_is_written_next(self, amina: Borrower) -> None:
        for said in ("HELP my money", "HELP my money", "please call"):
            case = help.ask_for_person(msisdn=amina.msisdn, said=said, language="en", at=NOON)
        assert Case.objects.get() == case
        assert (case.borrower, case.msisdn, case.answer_by) == (amina, amina.msisdn, NOON + timedelta(days=1))
        assert Case.objects.get().note == "HELP my money\nplease call"

    def test_of_a_stranger_names_the_number_only_where_an_officer_dials_it(self, law: None) -> None:
        case = help.ask_for_person(msisdn=STRANGER, said="HELP", language="sw", at=NOON)
        assert case.borrower is None and case.msisdn == STRANGER and STRANGER not in case.subject_key

    def test_is_another_case_once_the_first_is_closed(self, amina: Borrower, officer: User) -> None:
        first = help.ask_for_person(msisdn=amina.msisdn, said="a", language="en", at=NOON)
        cases.close_case(case_id=first.id, officer=officer, resolution="Called her.", at=NOON)
        assert help.ask_for_person(msisdn=amina.msisdn, said="b", language="en", at=NOON).id != first.id


class TestCallBack:
    def test_promises_the_next_such_part_of_a_day(self, amina: Borrower) -> None:
        case = help.call_back(msisdn=amina.msisdn, part=2, language="en", at=NOON)
        assert case.details == {"from": "2026-03-02T15:00:00+03:00", "to": "2026-03-02T19:00:00+03:00"}
        assert case.answer_by == datetime(2026, 3, 2, 19, tzinfo=NAIROBI)

    def test_asked_again_moves_the_promise_and_tells_so(self, amina: Borrower) -> None:
        help.call_back(msisdn=amina.msisdn, part=2, language="en", at=NOON)
        help.call_back(msisdn=amina.msisdn, part=0, language="en", at=NOON)
        moved = Case.objects.get()
        assert moved.details["from"] == "2026-03-03T08:00:00+03:00" and "3 March" in moved.note
        assert OutboxMessage.objects.filter(topic="request_taken").count() == 2


class TestComplaint:
    def complain(self, msisdn: str = "254711000101", topic: str = "price") -> Case:
        return complaints.complain(msisdn=msisdn, topic=topic, language="en", at=NOON)

    def test_carries_the_clocks_of_the_law_and_is_told_once(self, amina: Borrower) -> None:
        case = self.complain()
        assert self.complain() == case and len(case.reference) == 6
        assert case.acknowledge_by == NOON + timedelta(hours=48)
        assert case.answer_by == NOON + timedelta(days=30)
        assert OutboxMessage.objects.filter(topic="request_taken").count() == 1

    def test_about_another_topic_is_another_case(self, amina: Borrower) -> None:
        assert self.complain() != self.complain(topic="treatment")

    def test_is_overdue_when_nobody_took_it_up_and_when_nobody_answered(
        self, amina: Borrower, officer: User
    ) -> None:
        case = self.complain()

        def is_late(at: datetime) -> bool:
            case.refresh_from_db()
            found = Case.objects.filter(asked_for.overdue(at)).exists()
            assert found == asked_for.is_overdue(case, at)
            return found

        assert not is_late(NOON + timedelta(hours=48)) and is_late(NOON + timedelta(hours=49))
        complaints.take_up(case_id=case.id, officer=officer, at=NOON + timedelta(hours=50))
        assert not is_late(NOON + timedelta(hours=51)) and is_late(NOON + timedelta(days=31))

    def test_is_answered_with_an_outcome_in_words_once(self, amina: Borrower, officer: User) -> None:
        case = self.complain()
        said: dict[str, Any] = {"officer": officer, "resolution": "Paid back the fee.", "at": NOON}
        with pytest.raises(complaints.AnswerMissing):
            complaints.answer(case_id=case.id, outcome="put_right", words=" ", **said)
        with pytest.raises(ValueError, match="resolution"):
            complaints.answer(case_id=case.id, outcome="put_right", words="x", **said | {"resolution": " "})
        complaints.answer(case_id=case.id, outcome="put_right", words="The fee is back.", **said)
        with pytest.raises(requests.NotOpen):
            complaints.answer(case_id=case.id, outcome="no_fault", words="No.", **said)
        case.refresh_from_db()
        assert (case.outcome, case.answer, case.acknowledged_at) == ("put_right", "The fee is back.", NOON)
        assert OutboxMessage.objects.filter(topic="request_answered").count() == 1

    def test_is_not_closed_by_words_alone(self, amina: Borrower, officer: User) -> None:
        case = self.complain()
        with pytest.raises(cases.NeedsAnAnswer):
            cases.close_case(case_id=case.id, officer=officer, resolution="Nonsense.", at=NOON)
        with pytest.raises(IntegrityError, match="case_complaint_has_topic_and_outcome"), transaction.atomic():
            Case.objects.filter(id=case.id).update(closed_at=NOON)

    def test_can_be_asked_after(self, amina: Borrower) -> None:
        mine, others = self.complain(), self.complain(STRANGER)
        assert list(asked_for.complaints_of(amina.msisdn, amina)) == [mine]
        assert list(asked_for.complaints_of(STRANGER, None)) == [others]


class TestAppeal:
    @pytest.fixture
    def refused(self, amina: Borrower, fixed_scorer: Any) -> Application:
        application = factories.apply(amina)
        factories.decide(application, "decline")
        application.refresh_from_db()
        return application

    def appeal(self, amina: Borrower, at: datetime = NOON) -> Application:
        return applications.appeal(borrower_id=amina.id, at=at)

    def review(self, application: Application, officer: User, approve: bool) -> None:
        code = "" if approve else "low_inflow"
        applications.review(
            application_id=application.id, officer=officer, approve=approve, reason="Spoke.", code=code, at=NOON
        )

    def test_puts_a_refusal_before_a_person(
        self, amina: Borrower, refused: Application, books_balance: Any
    ) -> None:
        assert self.appeal(amina) == refused == self.appeal(amina, NOON + timedelta(hours=1))
        refused.refresh_from_db()
        assert (refused.state, refused.appealed_at) == ("referred", NOON)
        books_balance()

    def test_keeps_what_the_customer_said_a_line_for_each_time(self, amina: Borrower, refused: Application) -> None:
        for said in ("REVIEW I was ill", "", "REVIEW I was ill", "and my stall burned"):
            applications.appeal(borrower_id=amina.id, at=NOON, said=said)
        refused.refresh_from_db()
        assert refused.appeal_words == "REVIEW I was ill\nand my stall burned"
        applications.appeal(borrower_id=amina.id, at=NOON, said="x" * 400)
        refused.refresh_from_db()
        assert len(refused.appeal_words) == 300

    def test_an_officer_can_say_yes_after_all(
        self, amina: Borrower, refused: Application, officer: User, books_balance: Any
    ) -> None:
        self.appeal(amina)
        self.review(refused, officer, approve=True)
        assert Loan.objects.get().state == Loan.State.APPROVED
        books_balance()

    def test_is_heard_once(self, amina: Borrower, refused: Application, officer: User, books_balance: Any) -> None:
        self.appeal(amina)
        self.review(refused, officer, approve=False)
        with pytest.raises(applications.NothingToAppeal):
            self.appeal(amina)
        books_balance()

    def test_comes_too_late_after_two_weeks(self, amina: Borrower, refused: Application) -> None:
        with pytest.raises(applications.NothingToAppeal):
            self.appeal(amina, NOON + timedelta(days=14))

    def test_is_not_about_what_came_before_the_latest_request(self, amina: Borrower, refused: Application) -> None:
        factories.apply(amina, origin="ussd:test:2")
        with pytest.raises(applications.NothingToAppeal):
            self.appeal(amina)

    def test_there_is_nothing_to_appeal_without_a_refusal(self, amina: Borrower) -> None:
        with pytest.raises(applications.NothingToAppeal):
            self.appeal(amina)

    def test_the_blocked_are_told_so(self, amina: Borrower, refused: Application) -> None:
        Borrower.objects.update(state=Borrower.State.BLOCKED)
        with pytest.raises(applications.Blocked):
            self.appeal(amina)
