"""Business dates. One function turns a moment into a day, so that no two parts disagree about midnight."""

from calendar import monthrange
from collections.abc import Collection, Container
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from dateutil.easter import easter

DAY = timedelta(days=1)
UNITS = ("day", "week", "fortnight", "half_month", "month")
_DAYS_IN = {"day": 1, "week": 7, "fortnight": 14}


class BeyondCalendar(ValueError):
    """A date would be later than there are dates."""


def business_date(at: datetime, zone: str) -> date:
    """Return the local day of an aware moment."""
    return at.astimezone(ZoneInfo(zone)).date()


def start_of(day: date, zone: str) -> datetime:
    """Return the first moment of a local day."""
    return datetime.combine(day, time.min, tzinfo=ZoneInfo(zone))


def end_of(day: date, zone: str) -> datetime:
    """Return the last moment of a local day, also of one whose last hour comes twice."""
    # Local times are subtracted by the clock on the wall; moments are by UTC.
    last = start_of(day + DAY, zone).astimezone(UTC) - timedelta(microseconds=1)
    return last.astimezone(ZoneInfo(zone))


def days_between(first: date, last: date) -> list[date]:
    """Return the days after `first` up to and including `last`: what is still to be closed."""
    return [first + timedelta(days=n) for n in range(1, (last - first).days + 1)]


def add(first: date, count: int, unit: str) -> date:
    """Return the day `count` units after `first`. Always count from the first date of a plan, never from the
    one before: 31 January and one month is 28 or 29 February, and two months is 31 March again.

    >>> add(date(2026, 1, 31), 1, "month"), add(date(2026, 1, 31), 2, "month")
    (datetime.date(2026, 2, 28), datetime.date(2026, 3, 31))
    """
    try:
        if unit == "month":
            return _add_months(first, count, first.day)
        if unit == "half_month":
            return _add_half_months(first, count)
        return first + timedelta(days=count * _DAYS_IN[unit])
    except (OverflowError, ValueError):
        raise BeyondCalendar(f"{count} x {unit} after {first}") from None


def _add_months(first: date, count: int, day: int) -> date:
    year, month = divmod(first.year * 12 + first.month - 1 + count, 12)
    return date(year, month + 1, min(day, monthrange(year, month + 1)[1]))


def _add_half_months(first: date, count: int) -> date:
    """Two dates a month, 15 apart: the 3rd and the 18th, the 15th and the 30th, or the 15th and the last.

    >>> [add(date(2026, 1, 31), n, "half_month").isoformat() for n in (1, 2, 3)]
    ['2026-02-15', '2026-02-28', '2026-03-15']
    """
    early = first.day if first.day <= 15 else min(first.day, 30) - 15
    late = early + 15 if first.day < 31 else 31
    months, second = divmod(count + (first.day > 15), 2)
    return _add_months(first, months, late if second else early)


@dataclass(frozen=True)
class Holidays:
    """The days of a country on which nothing falls due. A day is one of them or not: `day in holidays`.

    `yearly` holds month and day, `around_easter` days after Easter Sunday, below 0 before it, `days` what was
    announced for one year. `after_sunday`: a day of each year on a Sunday is kept on the next day that is none.

    >>> kept = Holidays(yearly=((12, 25), (12, 26)), around_easter=(-2, 1), after_sunday=True)
    >>> date(2026, 4, 3) in kept, date(2022, 12, 27) in kept, date(2026, 12, 27) in kept
    (True, True, False)
    """

    yearly: tuple[tuple[int, int], ...] = ()
    around_easter: tuple[int, ...] = ()
    days: frozenset[date] = frozenset()
    after_sunday: bool = False

    def __contains__(self, day: object) -> bool:
        return isinstance(day, date) and day in _kept(self, day.year)


@lru_cache(maxsize=1_000)
def _kept(holidays: Holidays, year: int) -> frozenset[date]:
    """Return the days that are kept in a year, some of which may stand for a Sunday of the year before."""
    years = (year - 1, year)
    fixed = {date(each, month, day) for each in years for month, day in holidays.yearly}
    moving = {easter(each) + timedelta(days=days) for each in years for days in holidays.around_easter}
    kept = fixed | moving | holidays.days
    for sunday in sorted(day for day in fixed if holidays.after_sunday and day.weekday() == 6):
        kept.add(_nearest(sunday, DAY, (), frozenset(kept)))
    return frozenset(kept)


def move(day: date, rule: str, weekend: Collection[int] = (), holidays: Container[date] = ()) -> date:
    """Return the day on which something due on `day` falls due, if that is a weekend or a holiday.

    `rule`: "none" leaves it, "next" and "previous" go to the nearest open day, "next_in_month" to the next
    one unless that is in another month, and then to the previous one. `weekend` holds weekdays, Monday is 0.

    >>> move(date(2026, 5, 31), "next_in_month", weekend=(5, 6))
    datetime.date(2026, 5, 29)
    """
    if rule == "none" or not _closed(day, weekend, holidays):
        return day
    if rule == "previous":
        return _nearest(day, -DAY, weekend, holidays)
    moved = _nearest(day, DAY, weekend, holidays)
    if rule == "next_in_month" and moved.month != day.month:
        return _nearest(day, -DAY, weekend, holidays)
    return moved


def _nearest(day: date, step: timedelta, weekend: Collection[int], holidays: Container[date]) -> date:
    while _closed(day, weekend, holidays):
        day += step
    return day


def _closed(day: date, weekend: Collection[int], holidays: Container[date]) -> bool:
    return day.weekday() in weekend or day in holidays


def month_ends(after: date, until: date) -> list[date]:
    """Return the last days of months after one day up to another, inclusive."""
    ends = []
    end = after.replace(day=monthrange(after.year, after.month)[1])
    while end <= until:
        if end > after:
            ends.append(end)
        end = _add_months(end, 1, 31)
    return ends
