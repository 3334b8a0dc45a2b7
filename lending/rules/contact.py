"""At which hour a message that nobody asked for reaches somebody best. Pure. Source: docs/domain/reminders.md."""

from collections import Counter
from collections.abc import Iterable
from datetime import time

# In the evening, if nothing is known of somebody: see the source.
USUAL = time(17, 30)
# Fewer payments say nothing about a habit.
LEAST_PAYMENTS = 3


def best_time(hours: Iterable[int], opens: time, closes: time) -> time:
    """Return the local time for somebody who paid at these hours of the day before, within contact hours.

    It is half an hour before the hour at which most payments came, its neighbours counted half: who pays at seven
    in the evening one day and at eight the next has one habit, not two. Of two hours alike the later one.

    >>> best_time([12, 12, 13, 20], time(8), time(19))
    datetime.time(11, 30)
    >>> best_time([12], time(8), time(19)), best_time([22, 22, 23], time(8), time(19))
    (datetime.time(17, 30), datetime.time(18, 30))
    """
    paid = Counter(hours)
    if paid.total() < LEAST_PAYMENTS:
        return _within(USUAL, opens, closes)
    weight = {hour: 2 * paid[hour] + paid[(hour - 1) % 24] + paid[(hour + 1) % 24] for hour in range(24)}
    best = max(range(24), key=lambda hour: (weight[hour], hour))
    return _within(time((best - 1) % 24, 30), opens, closes)


def _within(wanted: time, opens: time, closes: time) -> time:
    """Return the nearest half hour within contact hours; the end is not one of them."""
    if wanted < opens:
        return opens
    if wanted >= closes:
        return time((closes.hour - 1) % 24, 30) if closes.minute == 0 else time(closes.hour, 0)
    return wanted
