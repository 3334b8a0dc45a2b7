"""How much of a year or of a period lies between two days, as exact fractions. Source: docs/domain/pricing.md."""

from calendar import isleap
from datetime import date
from fractions import Fraction

YEARS = {"act/360": 360, "act/364": 364, "act/365": 365}
DAY_COUNTS = (*YEARS, "act/act", "30/360")


def year_fraction(first: date, last: date, day_count: str) -> Fraction:
    """Return the part of a year from `first` to `last`; nights count, so the same day is nothing.

    - "act/360", "act/364" and "act/365": days over so many, also in a leap year.
    - "act/act": the days of leap years over 366, the others over 365.
    - "30/360": every month has 30 days; the 31st counts as the 30th (30E/360).

    >>> year_fraction(date(2028, 1, 31), date(2028, 3, 1), "act/365")
    Fraction(6, 73)
    >>> year_fraction(date(2028, 1, 31), date(2028, 3, 1), "30/360")
    Fraction(31, 360)
    """
    if day_count == "act/act":
        return _act_act(first, last)
    if day_count == "30/360":
        months = (last.year - first.year) * 12 + last.month - first.month
        return Fraction(months * 30 + min(last.day, 30) - min(first.day, 30), 360)
    return Fraction((last - first).days, YEARS[day_count])


def _act_act(first: date, last: date) -> Fraction:
    total = Fraction(0)
    while first < last:
        end = min(last, date(first.year + 1, 1, 1))
        total += Fraction((end - first).days, 366 if isleap(first.year) else 365)
        first = end
    return total
