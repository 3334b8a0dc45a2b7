"""The state of a loan while its facts are played, and the few moves that all facts share."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction

from lending.rules import accounting, charges, money, pricing
from lending.rules.accounting import Line
from lending.rules.allocation import Due
from lending.rules.facts import Booking, Contract, CoverKind, Fact, Installment, State
from lending.rules.rows import OpenRow, Rows

DAY = timedelta(days=1)
PAYBILL, PAYOUT, KEPT = "mpesa_paybill", "mpesa_payout", "customer_overpayments"


@dataclass(slots=True)
class Draw:
    """Money that went out, and the fees that are earned over its term."""

    started_on: date
    ends_on: date
    principal: int
    deferred: int = 0  # earned over the term, not yet given back
    released: int = 0
    rebated: list[charges.Charged] = field(default_factory=list)
    kept_back: Due = field(default_factory=Due)  # fee and tax that are no dues: deducted or capitalised
    curve: pricing.Curve | None = None
    is_bounded: bool = False  # its interest is at most what was accepted

    def earned(self, on: date, paid_cents: int) -> int:
        """Return how much of the deferred fee is earned by the end of a day."""
        if self.curve is not None:
            return min(self.deferred, self.curve.earned((on - self.started_on).days, paid_cents))
        length = (self.ends_on - self.started_on).days
        passed = min(max(0, (on - self.started_on).days), length)
        return self.deferred * passed // length if length else self.deferred

    def unearned(self, on: date) -> tuple[int, int]:
        """Return the fee, and the tax in it, that paying back on a day gives back."""
        length = (self.ends_on - self.started_on).days
        left = max(0, (self.ends_on - on).days)
        fee = sum(one.cents * left // length for one in self.rebated) if length else 0
        tax = sum(one.tax_cents * left // length for one in self.rebated) if length else 0
        return fee, tax


Parts = list[tuple[OpenRow, Due]]


class Played:
    """A loan as far as it is played, and what every fact may do to it."""

    def __init__(self, contract: Contract) -> None:
        self.contract, self.terms = contract, contract.terms
        self.rows = Rows()
        self.bookings: list[Booking] = []
        self.draws: list[Draw] = []
        self.state: State = "approved"
        self.started_on: date | None = None
        self.closed_on: date | None = None
        self.settled_on: date | None = None
        self.stopped_on: date | None = None  # from here on nothing is earned or charged
        self.booked = 0  # interest that is income so far
        self.over: dict[str, int] = {}
        self.kept: list[Fact] = []  # paid before the payout was known
        self.refunded = 0
        self.worst = 0
        self.restructured = False
        self.cancelled = False
        self.skipped = self.extended = 0
        self.agreed: tuple[int, date] | None = None  # what is still to be paid, and by when, to close it all
        self.penalised: dict[str, int] = {}
        self.shared: dict[date, int] = {}  # of a day's sales, what fell due
        self.late_cost = 0  # all that was charged for being late, with taxes; a waiver makes no room for more
        self.non_performing: tuple[int, int] | None = None  # principal owed then, charges that do not count
        self.notes: dict[str, str] = {}
        self.tax_account = f"{self.terms.tax.kind}_payable"

    def add(
        self, key: str, source: str, starts_on: date, due_on: date, due: Due, earned: int = 0, **more: object
    ) -> OpenRow:
        number = self.rows.next_number
        row = Installment(number, source, key, starts_on, due_on, due, min(earned, due.interest))  # type: ignore[arg-type]
        more.setdefault("draw", max(0, len(self.draws) - 1))
        return self.rows.add(row, **more)

    def book(self, key: str, kind: str, on: date, lines: Sequence[Line]) -> None:
        if lines:
            self.bookings.append(Booking(key, kind, on, tuple(lines)))

    def book_accrual(self, key: str, on: date, earned: int) -> None:
        """Book interest so that as much is income as was earned."""
        if earned != self.booked:
            self.book(key, "accrual", on, accounting.accrual(earned - self.booked))
            self.booked = earned

    def is_live(self, fact: Fact) -> bool:
        if self.state == "live":
            return True
        self.notes[fact.key] = f"the loan is {self.state}"
        return False

    def earning_day(self, on: date) -> date:
        return on if self.stopped_on is None else min(on, self.stopped_on)

    def give_up(self, key: str, kind: CoverKind, parts: Parts, on: date) -> int:
        """Cover parts without money; return the interest in them that was booked as income."""
        for row, due in parts:
            self.rows.cover(key, kind, row, due)
        dropped = max(0, self.booked - self.rows.accrued(self.earning_day(on)))
        self.booked -= dropped
        return dropped

    def room(self) -> int | None:
        """Return how much more may be charged, or None without a cap. Below zero: charged already too much."""
        rooms = []
        rate = self.contract.caps.max_total_cost_rate
        if rate is not None:
            rooms.append(self.share_of_lent(rate) - self.rows.cost)
        if self.non_performing is not None:
            principal, before = self.non_performing
            rooms.append(principal - (self.rows.cost - before))
        return min(rooms, default=None)

    def in_room(self, part: str, cents: int, tax: int) -> Due:
        room = self.late_room() if part == "penalty" else self.room()
        cents, tax = charges.within_room(cents, tax, room)
        return Due(**{part: cents, "tax": tax})

    def keep_to_caps(self, key: str, on: date) -> None:
        """Give up interest that is not earned yet, the latest first, as far as a cap is passed."""
        room = self.room()
        if room is None or room >= 0:
            return
        excess, parts = -room, []
        for row in sorted(self.rows.unpaid(), key=lambda row: (row.due_on, row.number), reverse=True):
            part = min(excess, row.unearned(on))
            parts.append((row, Due(interest=part)))
            excess -= part
        self.give_up(key, "capped", parts, on)

    def late_room(self) -> int | None:
        """Return how much more may be charged for being late: a cap on that alone binds beside the others."""
        rate, room = self.contract.caps.max_late_charges_rate, self.room()
        if rate is None:
            return room
        left = max(0, self.share_of_lent(rate) - self.late_cost)
        return left if room is None else min(left, room)

    def share_of_lent(self, rate: Decimal) -> int:
        return money.floor(Fraction(sum(draw.principal for draw in self.draws)) * Fraction(rate))


def sum_of(parts: Iterable[tuple[OpenRow, Due]]) -> Due:
    total = Due()
    for _, due in parts:
        total = total.plus(due)
    return total


def charged_as(charged: Iterable[charges.Charged], way: str) -> Due:
    """Return fees and taxes that are charged in one way."""
    listed = [one for one in charged if one.fee.charged == way]
    return Due(fee=sum(one.cents for one in listed), tax=sum(one.tax_cents for one in listed))


def source_of(fact: Fact) -> str:
    return fact.account or PAYBILL
