"""Whom the close of business owes a reminder: of each part that falls due, until that part is paid."""

from datetime import date, datetime, timedelta
from typing import Any

import pytest

from lending import closing
from lending.models import Borrower, Loan, OutboxMessage
from lending.services import bureau, cases, complaints, holds, lateness, life
from tests.lending.lending import happen, lend, noon, product

pytestmark = pytest.mark.django_db
START = noon(2026, 3, 2)
DAY = timedelta(days=1)
WEEKLY = {
    "kind": "flat",
    "term": {"installments": 4, "every": 1, "unit": "week"},
    "interest": {"rate": "0.08", "per": "term"},
    "penalties": [{"name": "Late", "rate": "0.02", "of": "overdue_installment", "grace_days": 0, "every_days": 1}],
}


@pytest.fixture
def loan(law: None) -> Loan:
    """KES 1,000 over four weeks: KES 270 on 9, 16, 23 and 30 March."""
    return lend(product(WEEKLY), 100_000, START)


def owed_on(today: date) -> list[tuple[int, Any, Any]]:
    """Close the day before; return loan, due date and days of what is owed for the evening of this day."""
    OutboxMessage.objects.filter(topic="repayment_reminder").delete()
    closing.close_business(today - DAY, datetime(today.year, today.month, today.day, 1, tzinfo=START.tzinfo))
    owed = OutboxMessage.objects.filter(topic="repayment_reminder").order_by("id")
    return [(one.payload["loan_id"], one.payload["due_on"], one.payload["days"]) for one in owed]


def march(day: int) -> date:
    return date(2026, 3, day)


class TestReminders:
    def test_are_owed_of_each_part_and_of_the_oldest_one_where_two_would_be(self, loan: Loan) -> None:
        days = {6: ("09", -3), 9: ("09", 0), 10: ("09", 1), 12: ("09", 3), 13: ("16", -3), 16: ("09", 7)}
        for day in range(3, 17):
            told = days.get(day)
            expected = [(loan.id, f"2026-03-{told[0]}", told[1])] if told else []
            assert owed_on(march(day)) == expected, day

    def test_end_with_the_part_that_is_paid(self, loan: Loan) -> None:
        happen(loan, "pay", START + 6 * DAY, amount_cents=27_000)
        assert owed_on(march(9)) == owed_on(march(10)) == []
        assert owed_on(march(13)) == [(loan.id, "2026-03-16", -3)]

    def test_go_on_while_a_cent_of_it_is_unpaid(self, loan: Loan) -> None:
        happen(loan, "pay", START + 6 * DAY, amount_cents=26_999)
        assert owed_on(march(9)) == [(loan.id, "2026-03-09", 0)]

    def test_come_back_with_a_payment_that_is_taken_back(self, loan: Loan) -> None:
        happen(loan, "pay", START + 6 * DAY, amount_cents=27_000)
        paid = loan.events.get(kind="pay")
        life.record(
            Loan.objects.get(id=loan.id), key="undo", kind="reverse", happened_at=START + 6 * DAY,
            at=START + 6 * DAY, undoes=paid,
        )  # fmt: skip
        assert owed_on(march(9)) == [(loan.id, "2026-03-09", 0)]

    @pytest.mark.parametrize("kind", ["death", "write_off", "charge_off"])
    def test_end_when_nothing_is_asked_any_more(self, loan: Loan, kind: str) -> None:
        happen(loan, kind, START + 6 * DAY)
        assert owed_on(march(9)) == []

    def test_end_when_the_borrower_is_known_to_have_died(self, loan: Loan) -> None:
        Borrower.objects.filter(id=loan.borrower_id).update(state="deceased")
        assert owed_on(march(9)) == []

    def test_follow_a_plan_that_was_changed(self, loan: Loan) -> None:
        happen(loan, "reschedule", START + 2 * DAY, due_on="2026-03-20", installments=0)
        assert owed_on(march(9)) == []
        assert owed_on(march(20)) == [(loan.id, "2026-03-20", 0)]

    def test_climb_the_ladder_for_the_oldest_part_alone_and_announce_the_others(self, loan: Loan) -> None:
        first = {16: 7, 17: None, 19: None, 23: 14, 24: None, 37: 28, 38: None}
        others = {20: ("2026-03-23", -3), 27: ("2026-03-30", -3), 30: ("2026-03-30", 0), 31: None}
        for day in sorted({*first, *others}):
            late = first.get(day)
            told = others.get(day) or (("2026-03-09", late) if late else None)
            assert owed_on(march(1) + (day - 1) * DAY) == ([(loan.id, *told)] if told else []), day

    def test_wait_for_an_older_part_only_while_it_is_unpaid(self, loan: Loan) -> None:
        happen(loan, "pay", START + 14 * DAY, amount_cents=27_000)
        assert owed_on(march(17)) == [(loan.id, "2026-03-16", 1)]
        # Penalties of the first part are left, which nobody is reminded of.
        left_since = Loan.objects.get(id=loan.id).unpaid_since
        assert left_since is not None and left_since < march(16)

    @pytest.mark.parametrize("hold", ["phone", "sim", "death"])
    def test_rest_while_all_stands_still_on_the_number(self, loan: Loan, hold: str) -> None:
        holds.hold(loan.borrower, hold, START)
        assert owed_on(march(9)) == []
        holds.lift(loan.borrower, None, "checked", START + 7 * DAY)
        assert owed_on(march(10)) == [(loan.id, "2026-03-09", 1)]

    def test_rest_while_a_dispute_or_a_complaint_waits_and_no_longer(self, loan: Loan) -> None:
        disputed = bureau.dispute(loan_id=loan.id, actor=None, reason="wrong", at=START)
        assert owed_on(march(9)) == []
        cases.close_case(case_id=disputed.id, officer=None, resolution="explained", at=START + 7 * DAY)
        assert owed_on(march(10)) == [(loan.id, "2026-03-09", 1)]
        complaints.complain(msisdn=loan.borrower.msisdn, topic="price", language="en", at=START + 8 * DAY)
        assert owed_on(march(12)) == []

    def test_rest_for_five_days_after_a_hardship_but_for_the_call(self, loan: Loan) -> None:
        def says(reason: str, day: int) -> None:
            at = noon(2026, 3, day)
            lateness.tell_why(borrower_id=loan.borrower_id, reason=reason, origin=f"{day}", at=at)

        says("sick", 10)
        assert owed_on(march(12)) == owed_on(march(13)) == []
        assert owed_on(march(16)) == [(loan.id, "2026-03-09", 7)]
        says("cannot", 20)
        assert owed_on(march(23)) == [(loan.id, "2026-03-09", 14)]

    def test_rest_on_the_fifth_day_after_a_hardship_too(self, loan: Loan) -> None:
        lateness.tell_why(borrower_id=loan.borrower_id, reason="sick", origin="1", at=noon(2026, 3, 11))
        assert owed_on(march(16)) == []

    def test_go_on_for_who_forgot(self, loan: Loan) -> None:
        lateness.tell_why(borrower_id=loan.borrower_id, reason="forgot", origin="1", at=noon(2026, 3, 10))
        assert owed_on(march(12)) == [(loan.id, "2026-03-09", 3)]
