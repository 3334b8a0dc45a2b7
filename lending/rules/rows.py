"""The installments of one loan while it is played: what is owed, covered and earned, by sums alone.

Source: docs/domain/arrears.md, "Interest day by day".
"""

from dataclasses import dataclass, field
from datetime import date
from fractions import Fraction

from lending.rules import schedule
from lending.rules.allocation import Due, Owed
from lending.rules.facts import Cover, CoverKind, Installment

NOTHING = Due()
_FORGONE = ("waived", "moved", "capped", "rebated")


def earned_by(interest: int, earned: int, starts_on: date, due_on: date, on: date) -> int:
    """Return the interest of an installment that is earned by the end of a day: a straight line of whole cents
    from what was earned when the row was made, floor division, all of it on the due date.

    >>> [earned_by(100, 0, date(2026, 3, 1), date(2026, 3, 31), date(2026, 3, day)) for day in (1, 2, 16, 31)]
    [0, 3, 50, 100]
    """
    if on >= due_on:
        return interest
    if on <= starts_on:
        return earned
    return earned + (interest - earned) * (on - starts_on).days // (due_on - starts_on).days


@dataclass(slots=True)
class OpenRow:
    """An installment with what is left of it."""

    installment: Installment
    owed: Due
    draw: int = 0
    plan: schedule.Row | None = None  # as it was worked out; None once only its dates were moved
    carried: Fraction = Fraction(0)  # exact interest from before it starts that is in it
    paid: Due = field(default_factory=Due)
    forgone_interest: int = 0
    written_off: Due = field(default_factory=Due)

    @property
    def number(self) -> int:
        return self.installment.number

    @property
    def due_on(self) -> date:
        return self.installment.due_on

    @property
    def paid_interest(self) -> int:
        return self.paid.interest

    def accrued(self, on: date) -> int:
        """Return the interest earned by the end of a day: by the line or by being paid, whatever is more, and
        never what was given up."""
        row = self.installment
        line = earned_by(row.due.interest, row.earned_cents, row.starts_on, row.due_on, on)
        return min(row.due.interest - self.forgone_interest, max(line, self.paid_interest))

    def paid_ahead(self, on: date) -> int:
        """Return the interest that is paid but not earned, by the line, by the end of a day."""
        row = self.installment
        line = earned_by(row.due.interest, row.earned_cents, row.starts_on, row.due_on, on)
        return max(0, self.paid_interest - min(line, row.due.interest - self.forgone_interest))

    def unearned(self, on: date) -> int:
        """Return the interest that is owed but not earned by the end of a day."""
        return max(0, self.owed.interest - max(0, self.accrued(on) - self.paid_interest))


class Rows:
    """All installments of a loan. `cost` is every charge that stands, `owed` what is left of everything.

    Sums and the open rows are kept up as rows are added and covered, because a life asks for them at every fact.
    """

    def __init__(self) -> None:
        self.all: list[OpenRow] = []
        self.covers: list[Cover] = []
        self.owed = Due()
        self.cost = 0
        self.paid_cents = 0
        self.paid_interest = 0
        self._open: dict[int, OpenRow] = {}
        self._oldest: date | None = None

    def add(self, row: Installment, **more: object) -> OpenRow:
        """Append an installment; its number is the next one."""
        opened = OpenRow(row, row.due, **more)  # type: ignore[arg-type]
        self.all.append(opened)
        self.owed = self.owed.plus(row.due)
        self.cost += row.due.total - row.due.principal
        self._sort_in(opened)
        return opened

    @property
    def next_number(self) -> int:
        return len(self.all) + 1

    def cover(self, key: str, kind: CoverKind, row: OpenRow, due: Due) -> None:
        """Take a part off what is owed of an installment."""
        if due == NOTHING:
            return
        self.covers.append(Cover(key, kind, row.number, due))
        row.owed = row.owed.minus(due)
        self.owed = self.owed.minus(due)
        if kind == "paid":
            row.paid = row.paid.plus(due)
            self.paid_cents += due.total
            self.paid_interest += due.interest
        elif kind == "written_off":
            row.written_off = row.written_off.plus(due)
        elif kind in _FORGONE:
            row.forgone_interest += due.interest
            self.cost -= due.total - due.principal
        self._sort_in(row)

    def _sort_in(self, row: OpenRow) -> None:
        """Keep the open rows, by number, and the oldest due date."""
        self._oldest = None
        if not row.owed.total:
            self._open.pop(row.number, None)
        elif row.number not in self._open:
            self._open[row.number] = row
            if row is not self.all[-1]:
                self._open = dict(sorted(self._open.items()))

    def recover(self, key: str, row: OpenRow, due: Due) -> None:
        """Take a written-off part back onto the books and cover it with money."""
        self.cover(key, "written_off", row, NOTHING.minus(due))
        self.cover(key, "paid", row, due)

    def unpaid(self) -> list[OpenRow]:
        return list(self._open.values())

    def of(self, number: int) -> OpenRow:
        return self.all[number - 1]

    def met(self) -> list[Owed]:
        """Return what is owed, as a payment meets it."""
        return [Owed(row.number, row.due_on, row.owed) for row in self._open.values()]

    def met_written_off(self) -> list[Owed]:
        return [Owed(row.number, row.due_on, row.written_off) for row in self.all if row.written_off.total]

    def accrued(self, on: date) -> int:
        """Return the interest earned by the end of a day: what was paid, and what of the rest is earned."""
        open_rows = (row for row in self._open.values() if row.owed.interest)
        return self.paid_interest + sum(row.owed.interest - row.unearned(on) for row in open_rows)

    def oldest_due(self) -> date | None:
        if self._oldest is None and self._open:
            self._oldest = min(row.due_on for row in self._open.values())
        return self._oldest

    def days_late(self, on: date) -> int:
        """Return the days past due at the end of a day: 0 on the oldest unpaid due date, 1 the next day."""
        oldest = self.oldest_due()
        return max(0, (on - oldest).days) if oldest else 0
