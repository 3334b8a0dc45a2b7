"""The book's arithmetic, whatever is written in it."""

from collections.abc import Sequence
from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as st

from lending.rules import business
from lending.rules.business import Entry, Totals

KINDS = st.sampled_from(["sale", "expense", "stock", "credit_given", "credit_paid", "cash_counted"])
DAYS = st.integers(0, 400).map(lambda days: date(2026, 1, 1) + timedelta(days=days))
ENTRIES = st.lists(
    st.builds(Entry, KINDS, st.integers(1, business.MOST_CENTS), DAYS, st.sampled_from(["Mary", "mary ", "John"]))
)


def added(weeks: Sequence[Totals]) -> list[int]:
    return [
        sum(getattr(week, name) for week in weeks)
        for name in ("sold_cents", "costs_cents", "profit_cents", "cash_cents", "credit_paid_cents")
    ]


@given(ENTRIES)
def test_weeks_add_up_to_the_whole(entries: list[Entry]) -> None:
    assert added(list(business.by_week(entries).values())) == added([business.totals(entries)])


@given(ENTRIES)
def test_what_is_taken_back_was_never_there(entries: list[Entry]) -> None:
    mirrors = [Entry(entry.kind, -entry.cents, entry.on, entry.customer) for entry in entries]
    assert business.totals([*entries, *mirrors]) == Totals()
    assert business.owed([*entries, *mirrors]) == {}


@given(ENTRIES)
def test_nobody_owes_less_than_nothing(entries: list[Entry]) -> None:
    assert all(cents > 0 for cents in business.owed(entries).values())
    assert len(business.owed(entries)) <= 2, "Mary is one, however she is written"


@given(ENTRIES, st.integers(0, business.MOST_CENTS))
def test_counting_twice_in_a_row_finds_no_difference(entries: list[Entry], cents: int) -> None:
    counted = [*entries, Entry("cash_counted", cents, date(2026, 1, 1))]
    assert business.Count(cents, business.expected_cash(counted)).difference_cents == 0


def test_a_week_that_runs_and_weeks_long_past_say_nothing_of_a_loan() -> None:
    monday = date(2026, 3, 2)
    weeks = {monday - timedelta(weeks=number): Totals(sales_cents=number * 100) for number in range(12, -1, -1)}
    found = business.affordability(weeks, 0, 30, monday + timedelta(days=3))
    assert (found.weeks, found.margin_cents) == (8, 450)


def test_a_loan_of_a_day_is_that_of_a_week() -> None:
    assert business.affordability({}, 10_000, 1, date(2026, 3, 2)).instalment_cents == 10_000
