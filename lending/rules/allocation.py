"""Which due a payment covers first. Source: docs/domain/allocation.md."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from lending.rules.terms import KINDS, AllocationRule

__all__ = ["KINDS", "Due", "allocate", "allocate_on", "total_of"]


@dataclass(frozen=True, slots=True)
class Due:
    """What is owed of one installment, by kind, in cents."""

    penalty: int = 0
    fee: int = 0
    tax: int = 0
    interest: int = 0
    principal: int = 0

    @property
    def total(self) -> int:
        return self.penalty + self.fee + self.tax + self.interest + self.principal

    def minus(self, other: "Due") -> "Due":
        """Return what is left after `other` was covered."""
        return Due(
            self.penalty - other.penalty,
            self.fee - other.fee,
            self.tax - other.tax,
            self.interest - other.interest,
            self.principal - other.principal,
        )

    def plus(self, other: "Due") -> "Due":
        return Due(
            self.penalty + other.penalty,
            self.fee + other.fee,
            self.tax + other.tax,
            self.interest + other.interest,
            self.principal + other.principal,
        )

    def only(self, *kinds: str) -> "Due":
        """Return the parts of these kinds."""
        return Due(**{kind: getattr(self, kind) for kind in kinds})


def total_of(dues: Iterable[Due]) -> Due:
    """Sum dues by kind."""
    total = Due()
    for due in dues:
        total = total.plus(due)
    return total


def allocate(paid_cents: int, dues: Sequence[Due], order: Sequence[str] = KINDS) -> tuple[list[Due], int]:
    """Cover dues oldest first, within each in the loan's own order; return what was covered and what is over.

    `order` comes from the product version and is frozen on the loan.

    Source: docs/domain/allocation.md, "Order of allocation".
    """
    if paid_cents < 0:
        raise ValueError(f"paid_cents must not be negative, got {paid_cents}")
    if sorted(order) != sorted(KINDS):
        raise ValueError(f"order must name each of {KINDS} once, got {tuple(order)}")
    covered, left = [], paid_cents
    for due in dues:
        part, left = _cover(left, due, order)
        covered.append(part)
    assert sum(due.total for due in covered) + left == paid_cents
    return covered, left


def _cover(left: int, due: Due, order: Sequence[str]) -> tuple[Due, int]:
    parts = {}
    for kind in order:
        parts[kind] = min(left, getattr(due, kind))
        left -= parts[kind]
    return Due(**parts), left


@dataclass(frozen=True, slots=True)
class Owed:
    """An installment as a payment meets it."""

    number: int
    due_on: date
    due: Due


def allocate_on(
    paid_cents: int, owed: Sequence[Owed], on: date, rule: AllocationRule
) -> tuple[dict[int, Due], int]:
    """Cover what is past due, then what is due today, then what is not due yet; return parts and what is over.

    Within a bucket the oldest comes first (the youngest, if the rule sends money ahead of time to the last
    installment). With "reamortise" principal comes first ahead of time, from the last one backwards.

    Source: docs/domain/allocation.md, "Buckets".
    """
    covered: dict[int, Due] = {}
    left = paid_cents
    for bucket, order in _buckets(owed, on, rule):
        for rows, kinds in _rounds(bucket, order, rule.by):
            for row in rows:
                if not left:
                    return covered, 0
                before = covered.get(row.number, Due())
                part, left = _cover(left, row.due.minus(before), kinds)
                if part.total:
                    covered[row.number] = before.plus(part)
    return covered, left


Bucket = tuple[list[Owed], Sequence[str]]


def _buckets(owed: Sequence[Owed], on: date, rule: AllocationRule) -> list[Bucket]:
    oldest_first = sorted(owed, key=lambda row: (row.due_on, row.number))
    ahead = [row for row in oldest_first if row.due_on > on]
    found: list[Bucket] = [
        ([row for row in oldest_first if row.due_on < on], rule.past_due),
        ([row for row in oldest_first if row.due_on == on], rule.due),
    ]
    if rule.advance == "reamortise":
        found.append((ahead[::-1], ("principal",)))
    return [*found, (ahead[::-1] if rule.advance == "last" else ahead, rule.in_advance)]


def _rounds(rows: list[Owed], order: Sequence[str], by: str) -> list[Bucket]:
    """Return one round with all kinds, or a round for each kind."""
    return [(rows, order)] if by == "installment" else [(rows, (kind,)) for kind in order]
