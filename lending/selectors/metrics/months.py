"""Months as reports count them, for any business date."""

import calendar
from datetime import date, timedelta


def is_month_end(day: date) -> bool:
    return (day + timedelta(days=1)).day == 1


def month_before(day: date) -> date:
    """Return the same day of the month before; a month's end goes to a month's end.

    >>> month_before(date(2026, 6, 30)), month_before(date(2026, 3, 31)), month_before(date(2026, 3, 30))
    (datetime.date(2026, 5, 31), datetime.date(2026, 2, 28), datetime.date(2026, 2, 28))
    """
    last = day.replace(day=1) - timedelta(days=1)
    return last if is_month_end(day) else last.replace(day=min(day.day, last.day))


def steps_back(day: date, months: int) -> list[date]:
    """Return so many steps of a month that end with a day, oldest first: one date more than steps."""
    days = [day]
    for _ in range(months):
        days.append(month_before(days[-1]))
    return days[::-1]


def calendar_months(on: date, count: int) -> list[tuple[date, date]]:
    """Return first and last day of the calendar months up to a date's own, oldest first; the last ends with it.

    >>> [(first.isoformat(), last.isoformat()) for first, last in calendar_months(date(2026, 3, 10), 2)]
    [('2026-02-01', '2026-02-28'), ('2026-03-01', '2026-03-10')]
    """
    months = [(on.replace(day=1), on)]
    while len(months) < count:
        last = months[-1][0] - timedelta(days=1)
        months.append((last.replace(day=1), last))
    return months[::-1]


def year_before(day: date) -> date:
    """Return the same day a year before; 29 February goes to the 28th."""
    last = calendar.monthrange(day.year - 1, day.month)[1]
    return day.replace(year=day.year - 1, day=min(day.day, last))
