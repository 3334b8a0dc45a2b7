"""How late a loan is. Source: docs/domain/arrears.md."""

from collections.abc import Sequence
from datetime import date

# The Kenyan bureau's prudential classes by days late: (class, first day).
CLASSES = (("normal", 0), ("watch", 31), ("substandard", 91), ("doubtful", 181), ("loss", 361))

# How late a portfolio is shown: (name, first day, last day), the last one open.
BUCKETS = (
    ("not late", 0, 0),
    ("1-7", 1, 7),
    ("8-30", 8, 30),
    ("31-60", 31, 60),
    ("61-90", 61, 90),
    ("91-180", 91, 180),
    ("over 180", 181, None),
)


def days_past_due(unpaid_due_dates: Sequence[date], on: date) -> int:
    """Count from the oldest unpaid due date: 0 at the end of that day, 1 the next day.

    >>> days_past_due([date(2026, 3, 1)], date(2026, 3, 1)), days_past_due([date(2026, 3, 1)], date(2026, 3, 2))
    (0, 1)
    """
    if not unpaid_due_dates:
        return 0
    return max(0, (on - min(unpaid_due_dates)).days)


def bucket(days: int) -> str:
    """Return the ageing bucket for days past due.

    >>> bucket(0), bucket(7), bucket(8), bucket(400)
    ('not late', '1-7', '8-30', 'over 180')
    """
    return next(name for name, first, _ in reversed(BUCKETS) if days >= first)


def classify(days: int) -> str:
    """Return the prudential class for days past due.

    >>> classify(30), classify(31), classify(400)
    ('normal', 'watch', 'loss')
    """
    return next(name for name, first in reversed(CLASSES) if days >= first)
