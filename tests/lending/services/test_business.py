"""A trader's book: written once, never changed, taken back by its mirror, and seen as it stood."""

from datetime import date, datetime, timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from lending.models import BookEntry, Borrower
from lending.rules.business import Totals
from lending.selectors import business as selectors
from lending.services import business
from tests.factories import NAIROBI, NOON

TODAY = NOON.date()


def write(trader: Borrower, kind: str, cents: int, at: datetime = NOON, **facts: Any) -> BookEntry:
    origin = facts.pop("origin", f"o{BookEntry.objects.count()}")
    return business.write(borrower_id=trader.id, kind=kind, amount_cents=cents, origin=origin, at=at, **facts)


def undo(trader: Borrower, origin: str = "u1", at: datetime = NOON) -> BookEntry:
    return business.undo_last(borrower_id=trader.id, origin=origin, at=at)


def sold(trader: Borrower, at: datetime = NOON) -> int:
    return selectors.day(trader.id, TODAY, at).sold_cents


class TestWrite:
    def test_a_repeated_hop_writes_once(self, amina: Borrower) -> None:
        lines = [write(amina, "sale", 50_000, origin="hop") for _ in range(2)]
        assert lines[0] == lines[1]
        assert sold(amina) == 50_000

    def test_counts_for_the_local_day(self, amina: Borrower) -> None:
        line = write(amina, "sale", 100, datetime(2026, 3, 3, 0, 30, tzinfo=NAIROBI))
        assert line.happened_on == date(2026, 3, 3)

    @pytest.mark.parametrize(
        ("kind", "cents", "customer"),
        [
            ("sale", 0, ""),
            ("sale", 100_000_001, ""),
            ("sale", 100, "Mary"),
            ("credit_given", 100, ""),
            ("credit_given", 100, "   "),
            ("gift", 100, ""),
        ],
    )
    def test_refuses_what_is_no_line(self, amina: Borrower, kind: str, cents: int, customer: str) -> None:
        with pytest.raises(business.BookRefused):
            write(amina, kind, cents, customer=customer)
        assert not BookEntry.objects.exists()

    def test_nobody_pays_back_more_than_they_owe(self, amina: Borrower) -> None:
        write(amina, "credit_given", 50_000, customer="Mary  Achieng")
        with pytest.raises(business.NothingOwed) as refused:
            write(amina, "credit_paid", 50_001, customer="mary achieng")
        assert refused.value.owed_cents == 50_000
        assert write(amina, "credit_paid", 20_000, customer="MARY ACHIENG").customer == "Mary Achieng"
        assert selectors.owed(amina.id, NOON) == {"Mary Achieng": 30_000}

    def test_books_of_two_traders_are_two(self, amina: Borrower, brian: Borrower) -> None:
        write(amina, "sale", 100)
        assert sold(brian) == 0


class TestUndoLast:
    def test_takes_back_the_newest_line_that_stands(self, amina: Borrower) -> None:
        write(amina, "sale", 100)
        write(amina, "sale", 2_000)
        assert undo(amina, "u1").amount_cents == 2_000
        assert undo(amina, "u1").amount_cents == 2_000, "the same hop again"
        assert sold(amina) == 100
        assert undo(amina, "u2").amount_cents == 100
        assert sold(amina) == 0
        with pytest.raises(business.NothingToUndo):
            undo(amina, "u3")

    def test_yesterday_stays(self, amina: Borrower) -> None:
        write(amina, "sale", 100)
        with pytest.raises(business.NothingToUndo):
            undo(amina, at=NOON + timedelta(days=1))

    def test_an_earlier_moment_still_sees_the_line(self, amina: Borrower) -> None:
        write(amina, "sale", 100)
        undo(amina, at=NOON + timedelta(hours=1))
        assert (sold(amina, NOON), sold(amina, NOON + timedelta(hours=1))) == (100, 0)


class TestCloseDay:
    def test_the_first_count_begins_the_tin(self, amina: Borrower) -> None:
        write(amina, "sale", 50_000)
        first = business.close_day(borrower_id=amina.id, counted_cents=48_000, origin="c1", at=NOON)
        assert (first.expected_cents, first.difference_cents) == (None, 0)

    def test_a_repeated_count_says_the_same(self, amina: Borrower) -> None:
        business.close_day(borrower_id=amina.id, counted_cents=48_000, origin="c1", at=NOON)
        write(amina, "sale", 10_000)
        write(amina, "sale", 99_900)
        undo(amina)
        write(amina, "expense", 3_000)
        counts = [
            business.close_day(borrower_id=amina.id, counted_cents=50_000, origin="c2", at=NOON) for _ in range(2)
        ]
        assert {(one.expected_cents, one.difference_cents) for one in counts} == {(55_000, -5_000)}

    def test_an_empty_tin_can_be_counted(self, amina: Borrower) -> None:
        assert business.close_day(borrower_id=amina.id, counted_cents=0, origin="c1", at=NOON).counted_cents == 0


class TestWeeks:
    def test_totals_of_weeks_are_those_of_any_moment(self, amina: Borrower) -> None:
        monday = date(2026, 3, 2)
        write(amina, "sale", 100, NOON)
        write(amina, "sale", 700, NOON + timedelta(days=6))
        write(amina, "stock", 300, NOON + timedelta(days=7))
        assert selectors.weeks(amina.id, NOON) == {monday: Totals(sales_cents=100)}
        assert selectors.weeks(amina.id, NOON + timedelta(days=7)) == {
            monday: Totals(sales_cents=800),
            monday + timedelta(days=7): Totals(stock_cents=300),
        }

    def test_a_week_that_was_taken_back_was_not_written(self, amina: Borrower) -> None:
        write(amina, "sale", 100)
        business.close_day(borrower_id=amina.id, counted_cents=5, origin="c", at=NOON + timedelta(days=7))
        undo(amina)
        assert selectors.weeks(amina.id, NOON + timedelta(days=8)) == {}


class TestMonth:
    def test_says_what_a_month_came_to_and_its_best_day(self, amina: Borrower) -> None:
        write(amina, "sale", 100)
        write(amina, "credit_given", 900, NOON + timedelta(days=1), customer="Mary")
        write(amina, "expense", 300, NOON + timedelta(days=1))
        write(amina, "sale", 5_000, NOON - timedelta(days=5))
        month = selectors.month(amina.id, TODAY, NOON + timedelta(days=2))
        assert (month.totals.sold_cents, month.totals.profit_cents) == (1_000, 700)
        assert month.best_day == (TODAY + timedelta(days=1), 900)
        assert month.owed_cents == 900


class TestPostgres:
    """What Python says, PostgreSQL insists on."""

    @pytest.mark.parametrize(
        "changes",
        [{"amount_cents": 99}, {"kind": "expense"}, {"happened_on": TODAY - timedelta(days=1)}],
        ids=["amount", "kind", "day"],
    )
    def test_a_line_is_taken_back_whole_or_not(self, amina: Borrower, changes: dict[str, Any]) -> None:
        line = write(amina, "sale", 100)
        values = {
            "borrower": amina, "kind": "sale", "amount_cents": 100, "currency": "KES", "happened_on": TODAY,
            "reverses": line, "origin": "by hand", "recorded_at": NOON,
        }  # fmt: skip
        with pytest.raises(IntegrityError, match="cannot be taken back by this"), transaction.atomic():
            BookEntry.objects.create(**values | changes)

    def test_nothing_written_is_changed_or_deleted(self, amina: Borrower) -> None:
        line = write(amina, "sale", 100)
        with pytest.raises(IntegrityError, match="is history"), transaction.atomic():
            BookEntry.objects.filter(id=line.id).update(amount_cents=1)
        with pytest.raises(IntegrityError, match="is history"), transaction.atomic():
            BookEntry.objects.filter(id=line.id).delete()

    def test_credit_names_a_customer(self, amina: Borrower) -> None:
        with pytest.raises(IntegrityError, match="book_entry_names_customer"), transaction.atomic():
            BookEntry.objects.create(
                borrower=amina, kind="credit_given", amount_cents=1, currency="KES", happened_on=TODAY,
                origin="x", recorded_at=NOON,
            )  # fmt: skip
