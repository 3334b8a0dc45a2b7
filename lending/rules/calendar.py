"""Business dates. One function turns a moment into a day, so that no two parts disagree about midnight."""

from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo


def business_date(at: datetime, zone: str) -> date:
    """Return the local day of an aware moment."""
    return at.astimezone(ZoneInfo(zone)).date()


def start_of(day: date, zone: str) -> datetime:
    """Return the first moment of a local day."""
    return datetime.combine(day, time.min, tzinfo=ZoneInfo(zone))


def end_of(day: date, zone: str) -> datetime:
    """Return the last moment of a local day."""
    return start_of(day + timedelta(days=1), zone) - timedelta(microseconds=1)


def days_between(first: date, last: date) -> list[date]:
    """Return the days after `first` up to and including `last`: what is still to be closed."""
    return [first + timedelta(days=n) for n in range(1, (last - first).days + 1)]
