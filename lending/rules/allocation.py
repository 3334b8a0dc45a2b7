"""Which due a payment covers first. Source: docs/domain/allocation.md."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

KINDS = ("penalty", "fee", "tax", "interest", "principal")


@dataclass(frozen=True)
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
        return Due(*(getattr(self, kind) - getattr(other, kind) for kind in KINDS))


def total_of(dues: Iterable[Due]) -> Due:
    """Sum dues by kind."""
    listed = list(dues)
    return Due(*(sum(getattr(due, kind) for due in listed) for kind in KINDS))


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
        part = Due()
        for kind in order:
            paid = min(left, getattr(due, kind))
            part = replace(part, **{kind: paid})
            left -= paid
        covered.append(part)
    assert sum(due.total for due in covered) + left == paid_cents
    return covered, left
