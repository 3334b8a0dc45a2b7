"""Where somebody who owes stands: what is to be paid next, by when, and what in all.

Source: docs/domain/standing.md.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True)
class Standing:
    """`next_cents` is all that is late or due today, from `next_on`, the oldest day, on; where nothing is, what
    falls due on the first day to come. `last_on` is the day on which the last part falls due."""

    next_cents: int
    next_on: date
    all_cents: int
    last_on: date

    @property
    def is_one_sum(self) -> bool:
        """Say whether the next payment is all that is owed."""
        return self.next_cents == self.all_cents

    def is_late(self, on: date) -> bool:
        return self.next_on < on


def standing(unpaid: Iterable[tuple[date, int]], on: date) -> Standing | None:
    """Return where somebody stands with these unpaid parts (due date, cents) on a day; None owes nothing.

    >>> weekly = [(date(2026, 9, day), 26_500) for day in (5, 12, 19)]
    >>> standing(weekly, date(2026, 9, 3)).next_on, standing(weekly, date(2026, 9, 13)).next_cents
    (datetime.date(2026, 9, 5), 53000)
    """
    parts = sorted((day, cents) for day, cents in unpaid if cents)
    if not parts:
        return None
    first = parts[0][0]
    until = max(first, on)
    return Standing(
        next_cents=sum(cents for day, cents in parts if day <= until),
        next_on=first,
        all_cents=sum(cents for _, cents in parts),
        last_on=parts[-1][0],
    )
