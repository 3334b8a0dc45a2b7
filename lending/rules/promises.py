"""A promise to pay: how much, until when, how often, and whether it was kept.

Source: docs/domain/promises.md.
"""

from collections.abc import Iterable
from datetime import date, timedelta

# Further ahead nobody knows what will be in their hand; after so many broken ones a person talks with them.
MOST_DAYS = 14
MOST_BROKEN = 2
# A payment that we hear of late still keeps its promise for so many days.
LATE_WORD_DAYS = 7


def last_day(on: date) -> date:
    """Return the last day for which a promise can be given on a day."""
    return on + timedelta(days=MOST_DAYS)


def refusal(
    amount_cents: int, promised_on: date, *, on: date, owed_cents: int, unit_cents: int, is_open: bool, broken: int
) -> str:
    """Return why a promise cannot be taken on a day, "" if it can.

    `owed_cents`: all that is owed; `is_open`: another promise waits; `broken`: those of this loan so far. The
    first that holds is said: nothing_owed, promised, officer, day, amount.

    >>> asked = {"on": date(2026, 9, 1), "owed_cents": 53_000, "unit_cents": 100, "is_open": False, "broken": 0}
    >>> [refusal(20_000, date(2026, 9, day), **asked) for day in (1, 2, 15, 16)]
    ['day', '', '', 'day']
    """
    reasons = {
        "nothing_owed": owed_cents <= 0,
        "promised": is_open,
        "officer": broken >= MOST_BROKEN,
        "day": not on < promised_on <= last_day(on),
        "amount": not unit_cents <= amount_cents <= owed_cents + unit_cents - 1 or amount_cents % unit_cents != 0,
    }
    return next((reason for reason, holds in reasons.items() if holds), "")


def is_kept(amount_cents: int, promised_on: date, paid: Iterable[tuple[date, int]], *, owes: bool) -> bool:
    """Say whether a promise was kept: its amount, or all that was owed, came by the end of the day.

    `paid`: what came since it was given, by the operator's day; `owes`: something is owed still.

    >>> is_kept(20_000, date(2026, 9, 4), [(date(2026, 9, 2), 5_000), (date(2026, 9, 4), 15_000)], owes=True)
    True
    """
    return not owes or sum(cents for day, cents in paid if day <= promised_on) >= amount_cents
