"""The limit ladder: visible rungs, one up for a clean cycle, down when late. Source: docs/domain/limits.md."""

from collections.abc import Sequence


def next_rung(rung: int, worst_days_late: int, top: int) -> int:
    """Return the rung after a loan is settled: paid by its due date is one up, 1-7 days late one down,
    8-30 two down, more than 30 back to the first.

    Raising without limit makes people repay worse (docs/domain/limits.md), hence one rung at a time.

    >>> next_rung(2, 0, 9), next_rung(2, 3, 9), next_rung(2, 20, 9), next_rung(5, 31, 9), next_rung(9, 0, 9)
    (3, 1, 0, 0, 9)
    """
    if worst_days_late > 30:
        return 0
    if worst_days_late > 7:
        return max(0, rung - 2)
    if worst_days_late > 0:
        return max(0, rung - 1)
    return min(top, rung + 1)


def limit_at(rung: int, ladder_cents: Sequence[int]) -> int:
    """Return the limit in cents at a rung; beyond the last rung the last holds."""
    return ladder_cents[min(rung, len(ladder_cents) - 1)]
