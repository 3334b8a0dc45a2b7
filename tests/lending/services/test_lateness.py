"""Why somebody is late, once a word; and the call that is owed to who stays late."""

from datetime import date, datetime, timedelta

import pytest
from django.contrib.auth.models import User

from lending import closing
from lending.models import Borrower, Case, LateReason, Loan, OutboxMessage
from lending.services import bureau, cases, complaints, erasing, holds, lateness, promises
from tests.lending.lending import happen, lend, noon, product

pytestmark = pytest.mark.django_db
START = noon(2026, 3, 2)  # due on 1 April
THIRD = noon(2026, 4, 3)
DAY = timedelta(days=1)


@pytest.fixture
def loan(law: None) -> Loan:
    return lend(product({}), 50_000, START)


def say(loan: Loan, reason: str, at: datetime = THIRD, origin: str = "ussd:1:2") -> LateReason:
    return lateness.tell_why(borrower_id=loan.borrower_id, reason=reason, origin=origin, at=at)


def close(on: date) -> None:
    after = on + DAY
    closing.close_business(on, datetime(after.year, after.month, after.day, 1, tzinfo=START.tzinfo))


class TestTellWhy:
    def test_is_kept_with_its_day_and_once_for_one_word(self, loan: Loan) -> None:
        first, again = say(loan, "sick"), say(loan, "cannot")
        assert first == again
        assert (first.reason, first.days_late, first.told_on) == ("sick", 2, date(2026, 4, 3))
        say(loan, "cannot", origin="ussd:1:3")
        assert LateReason.objects.count() == 2

    def test_opens_a_dispute_when_something_is_wrong_and_only_then(self, loan: Loan) -> None:
        say(loan, "forgot")
        assert not Case.objects.exists()
        say(loan, "dispute", origin="ussd:1:3")
        (case,) = Case.objects.filter(kind="dispute")
        assert case.subject_key == f"loan:{loan.id}"

    @pytest.mark.parametrize("day", [1, 2])
    def test_is_refused_where_nothing_is_late(self, loan: Loan, day: int) -> None:
        if day == 2:
            happen(loan, "pay", noon(2026, 4, 1), amount_cents=50_000)
        with pytest.raises(lateness.NotLate):
            say(loan, "forgot", noon(2026, 4, day))

    def test_of_somebody_without_a_loan_is_refused(self, loan: Loan) -> None:
        happen(loan, "write_off", noon(2026, 4, 2))
        with pytest.raises(lateness.NotLate):
            say(loan, "forgot")

    def test_goes_when_its_owner_asks_to_be_forgotten(self, loan: Loan) -> None:
        say(loan, "sick")
        happen(loan, "pay", noon(2026, 4, 4), amount_cents=50_000)
        erasing.erase(borrower_id=loan.borrower_id, at=noon(2026, 4, 5))
        assert not LateReason.objects.exists() and Loan.objects.exists()


class TestACall:
    def call(self) -> Case | None:
        return Case.objects.filter(kind="late_call").first()

    def test_is_queued_on_the_fourteenth_day_with_what_was_told(self, loan: Loan) -> None:
        say(loan, "not_paid")
        close(date(2026, 4, 13))
        assert self.call() is None
        close(date(2026, 4, 14))
        case = self.call()
        assert case is not None and case.borrower == loan.borrower
        assert "KES 500 was due 2026-04-01; said why: a customer has not paid them, on 2026-04-03" in case.note
        assert case.answer_by == case.opened_at + timedelta(days=2)

    def test_is_one_however_often_the_date_is_closed(self, loan: Loan) -> None:
        lateness.queue_call(loan.id, date(2026, 4, 1), noon(2026, 4, 15))
        close(date(2026, 4, 14))
        assert Case.objects.filter(kind="late_call").count() == 1

    def test_is_not_owed_to_who_promised(self, loan: Loan) -> None:
        promises.make_promise(
            borrower_id=loan.borrower_id, amount_cents=10_000, promised_on=date(2026, 4, 20), origin="a",
            at=noon(2026, 4, 10),
        )  # fmt: skip
        close(date(2026, 4, 14))
        assert self.call() is None
        assert not OutboxMessage.objects.filter(topic="repayment_reminder").exists()

    @pytest.mark.parametrize(
        ("happens", "is_open"),
        [
            ("nothing", True),
            ("part", True),
            ("pay", False),
            ("promise", False),
            ("write_off", False),
            ("death", False),
            ("hold", False),
            ("deceased", False),
            ("dispute", False),
            ("complaint", False),
        ],
    )
    def test_closes_by_itself_when_it_is_needless(self, loan: Loan, happens: str, is_open: bool) -> None:
        lateness.queue_call(loan.id, date(2026, 4, 1), noon(2026, 4, 15))
        at = noon(2026, 4, 16)
        match happens:
            case "pay" | "part":
                happen(loan, "pay", at, amount_cents=50_000 if happens == "pay" else 49_900)
            case "promise":
                promises.make_promise(
                    borrower_id=loan.borrower_id,
                    amount_cents=10_000,
                    promised_on=date(2026, 4, 20),
                    origin="a",
                    at=at,
                )
            case "write_off" | "death":
                happen(loan, happens, at)
            case "hold":
                holds.hold(loan.borrower, "phone", at)
            case "deceased":
                Borrower.objects.update(state="deceased")
            case "dispute":
                bureau.dispute(loan_id=loan.id, actor=None, reason="wrong", at=at)
            case "complaint":
                complaints.complain(msisdn=loan.borrower.msisdn, topic="price", language="en", at=at)
        close(date(2026, 4, 16))
        case = self.call()
        assert case is not None and (case.closed_at is None) is is_open

    def test_whose_day_was_missed_is_queued_on_the_next_one_that_is_closed(self, loan: Loan) -> None:
        close(date(2026, 4, 16))
        case = self.call()
        assert case is not None and "was due 2026-04-01" in case.note

    def test_waits_until_it_may_be_made_and_comes_back_if_it_was_not(self, loan: Loan) -> None:
        holds.hold(loan.borrower, "phone", noon(2026, 4, 14))
        close(date(2026, 4, 14))
        assert self.call() is None
        holds.lift(loan.borrower, None, "checked", noon(2026, 4, 15))
        close(date(2026, 4, 15))
        disputed = bureau.dispute(loan_id=loan.id, actor=None, reason="wrong", at=noon(2026, 4, 16))
        close(date(2026, 4, 16))
        cases.close_case(case_id=disputed.id, officer=None, resolution="explained", at=noon(2026, 4, 17))
        close(date(2026, 4, 17))
        states = Case.objects.filter(kind="late_call").order_by("id").values_list("closed_at", flat=True)
        assert [closed is None for closed in states] == [False, True]

    def test_that_was_made_is_not_asked_for_again_about_the_same_part(self, loan: Loan, admin_user: User) -> None:
        close(date(2026, 4, 14))
        case = self.call()
        assert case is not None
        cases.close_case(case_id=case.id, officer=admin_user, resolution="Spoke", at=noon(2026, 4, 15))
        close(date(2026, 4, 15))
        close(date(2026, 4, 27))
        assert Case.objects.filter(kind="late_call").count() == 1

    def test_is_too_late_when_the_formal_notice_is_due(self, loan: Loan) -> None:
        close(date(2026, 4, 28))
        assert self.call() is None

    def test_is_queued_anew_when_it_is_late_again(self, law: None) -> None:
        monthly = {"kind": "flat", "term": {"installments": 2, "every": 30, "unit": "day"}}
        loan = lend(product(monthly), 50_000, START)
        close(date(2026, 4, 14))
        happen(loan, "pay", noon(2026, 4, 15), amount_cents=25_000)
        close(date(2026, 4, 15))
        close(date(2026, 5, 14))
        states = Case.objects.filter(kind="late_call").order_by("id").values_list("closed_at", flat=True)
        assert [closed is None for closed in states] == [False, True]
