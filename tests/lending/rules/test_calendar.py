"""Days are local days, also where a clock is put forward or back."""

from datetime import UTC, date, datetime, timedelta

import pytest

from lending.rules import calendar

# Egypt puts its clocks forward at midnight, so that its longest-known day begins at one o'clock; Morocco puts
# them back for the month of fasting. Source: the time zone database, 2023c and later.
CAIRO = "Africa/Cairo"
FORWARD, BACK = date(2026, 4, 24), date(2026, 10, 29)


@pytest.mark.parametrize(("day", "hours"), [(FORWARD, 23), (BACK, 25), (BACK + calendar.DAY, 24)])
def test_a_day_is_as_long_as_its_clock_makes_it(day: date, hours: int) -> None:
    first, last = calendar.start_of(day, CAIRO).astimezone(UTC), calendar.end_of(day, CAIRO).astimezone(UTC)
    assert last - first == timedelta(hours=hours, microseconds=-1)


@pytest.mark.parametrize("day", [FORWARD, BACK, date(2024, 2, 29)])
def test_every_moment_belongs_to_one_day(day: date) -> None:
    first, next_first = calendar.start_of(day, CAIRO), calendar.start_of(day + calendar.DAY, CAIRO)
    instant = timedelta(microseconds=1)
    assert calendar.business_date(first, CAIRO) == day
    assert calendar.business_date((first.astimezone(UTC) - instant), CAIRO) == day - calendar.DAY
    assert calendar.business_date((next_first.astimezone(UTC) - instant), CAIRO) == day


def test_the_hour_that_comes_twice_is_one_day() -> None:
    """A repayment of 23:30 before the clock is put back, and one of 23:30 after it, count on the same day."""
    before = datetime(2026, 10, 29, 20, 30, tzinfo=UTC)
    assert {calendar.business_date(before + timedelta(hours=n), CAIRO) for n in (0, 1)} == {BACK}


@pytest.mark.parametrize(("yearly", "kept_in_january"), [(((12, 31),), [1]), (((12, 31), (1, 1)), [1, 2])])
def test_a_holiday_on_the_last_sunday_of_a_year_is_kept_in_the_next(
    yearly: tuple[tuple[int, int], ...], kept_in_january: list[int]
) -> None:
    """31 December 2028 is a Sunday; where 1 January is a holiday, too, it is kept on the day after that."""
    kept = calendar.Holidays(yearly=yearly, after_sunday=True)
    assert [day for day in range(1, 32) if date(2029, 1, day) in kept] == kept_in_january
    first_open = date(2029, 1, kept_in_january[-1] + 1)
    assert calendar.move(date(2028, 12, 31), "next", holidays=kept) == first_open


def test_a_plan_from_the_last_of_january_keeps_its_day() -> None:
    january = date(2028, 1, 31)
    dates = [calendar.add(january, n, "month") for n in (1, 2, 12, 49)]
    assert dates == [date(2028, 2, 29), date(2028, 3, 31), date(2029, 1, 31), date(2032, 2, 29)]
    assert calendar.add(date(2028, 2, 29), 12, "month") == date(2029, 2, 28)
