"""How long a PIN stays locked: longer each time, and never for good. Source: docs/domain/pins.md, "Guessing"."""

from datetime import timedelta

# Whoever mistyped is back in a quarter of an hour. Whoever guesses gets three guesses a week in the long run.
WAITS = (
    timedelta(minutes=15),
    timedelta(hours=1),
    timedelta(hours=4),
    timedelta(days=1),
    timedelta(days=3),
    timedelta(days=7),
)


def wait(locks_in_a_row: int) -> timedelta:
    """Return how long the latest of so many locks lasts; a right PIN between two begins anew.

    >>> wait(1), wait(2), wait(99)
    (datetime.timedelta(seconds=900), datetime.timedelta(seconds=3600), datetime.timedelta(days=7))
    """
    return WAITS[min(max(locks_in_a_row, 1), len(WAITS)) - 1]
