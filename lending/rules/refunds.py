"""What becomes of money that a customer paid too much. Source: docs/domain/overpayments.md."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

Source = TypeVar("Source")


@dataclass(frozen=True)
class Split:
    """What is kept, in three: what a wallet can get, what is too small and closed, what stays the customer's."""

    payable_cents: int
    rounded_cents: int
    left_cents: int


def split(kept_cents: int, unit_cents: int, tolerance_cents: int) -> Split:
    """Split what is kept for a customer, who owes nothing, between wallet, books and what stays.

    No rail pays less than `unit_cents`, a whole shilling. A rest up to `tolerance_cents`, the balance below which
    the product forgives the customer, is closed likewise; without a tolerance it stays owed to them.

    >>> split(7_050, 100, 50)
    Split(payable_cents=7000, rounded_cents=50, left_cents=0)
    >>> split(7_050, 100, 0)
    Split(payable_cents=7000, rounded_cents=0, left_cents=50)
    >>> split(-300, 100, 50)
    Split(payable_cents=0, rounded_cents=0, left_cents=-300)
    """
    rest = kept_cents % unit_cents if kept_cents > 0 else kept_cents
    rounded = rest if 0 < rest <= tolerance_cents else 0
    return Split(kept_cents - rest, rounded, rest - rounded)


def taken_from(cents: int, kept: Iterable[tuple[Source, int]]) -> list[tuple[Source, int]]:
    """Return how much of an amount comes from which source, in their order; nothing from one that is overdrawn.

    >>> taken_from(70, [("first", 50), ("overdrawn", -10), ("last", 30)])
    [('first', 50), ('last', 20)]
    """
    taken = []
    for source, has in kept:
        part = min(cents, max(0, has))
        if part:
            taken.append((source, part))
        cents -= part
    assert cents == 0, "more is given back than is kept"
    return taken
