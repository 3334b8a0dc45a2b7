"""What goes into the life of a loan, and what comes out: contract and facts in, rows and postings out.

Amounts are integer cents, days are business dates. Source: docs/domain/whatif.md.
"""

from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Literal

from lending.rules.accounting import Line
from lending.rules.allocation import Due
from lending.rules.terms import Terms

FactKind = Literal[
    "disburse",
    "pay",
    "sales",
    "charge",
    "waive",
    "settle",
    "reverse",
    "reschedule",
    "skip",
    "extend",
    "charge_off",
    "write_off",
    "cancel",
    "death",
    "refund",
]
_INCOME = ("interest_income", "fee_income")
CoverKind = Literal["paid", "waived", "moved", "written_off", "capped", "rebated"]
State = Literal["approved", "live", "settled", "cancelled", "charged_off", "written_off"]


class FactRefused(ValueError):
    """A fact cannot stand in the life of this loan. `key` names it, `field` what is wrong with it."""

    def __init__(self, key: str, field: str, needed: str, got: object = None) -> None:
        shown = "" if got is None else f", got {str(got)[:60]!r}"
        super().__init__(f"{key}: {field} {needed}{shown}")
        self.key, self.field, self.needed = key, field, needed


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that happened on a business date. `key` is unique within the loan and stays the same for ever.

    Facts are played by (on, order, key), so the order in which they are heard of does not matter.
    """

    key: str
    kind: FactKind
    on: date
    order: int = 0
    amount_cents: int = 0
    currency: str = ""  # empty: the loan's own
    of: str = ""  # reverse: the key of the fact that is undone
    account: str = ""  # pay, disburse: where the money comes from, if not from our own; refund: where it goes
    part: str = ""  # charge: fee or penalty; waive: one kind only
    due_on: date | None = None  # charge: when it is due; reschedule: the next one; settle: pay by then
    installments: int = 0  # reschedule: how many more
    rate: Decimal | None = None  # reschedule: another rate of interest
    refinanced_cents: int = 0  # disburse: the part that pays off another loan
    most_interest_cents: int | None = None  # disburse: what was accepted; other dates may cost less, never more
    restructured: bool = True  # reschedule: a concession to somebody in trouble


@dataclass(frozen=True, slots=True)
class Caps:
    """What the country pack allows. Empty: it does not bind.

    `in_duplum_from_days`: from so many days past due, charges may not exceed the principal owed then.
    `max_total_cost_rate`: all charges together, as a share of what was lent. `max_late_charges_rate`: all that was
    ever charged for being late, taxes included, as such a share. `max_early_settlement_rate`: the interest that is
    not earned and still asked from who pays back early, as such a share.
    """

    in_duplum_from_days: int | None = None
    max_total_cost_rate: Decimal | None = None
    max_late_charges_rate: Decimal | None = None
    max_early_settlement_rate: Decimal | None = None


@dataclass(frozen=True)
class Contract:
    """What was agreed. `principal_cents` is what is lent, or the limit of a credit line."""

    terms: Terms
    principal_cents: int
    caps: Caps = Caps()
    holidays: Container[date] = ()
    expected_daily_cents: int = 0  # sales_share: what a day is expected to bring for us


@dataclass(frozen=True, slots=True)
class Installment:
    """What falls due on one day. `due` never changes; covers take from it.

    Interest is earned in a straight line from `starts_on` to `due_on`, on top of `earned_cents`, which was
    earned already when the row was made.
    """

    number: int
    source: Literal["plan", "charge", "penalty"]
    event_key: str
    starts_on: date
    due_on: date
    due: Due
    earned_cents: int = 0


@dataclass(frozen=True, slots=True)
class Cover:
    """A part of an installment that is owed no longer, and why. A recovery takes a written-off part back."""

    event_key: str
    kind: CoverKind
    number: int
    due: Due


@dataclass(frozen=True, slots=True)
class Booking:
    """The balanced legs of what a fact or a day did."""

    event_key: str
    kind: str
    on: date
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Course:
    """What the end of a day does to a live loan by itself, until it turns.

    By then the interest earned is `base_cents`, and of `cents` as much as has passed of `days` from `starts_on`.
    It holds until the day before `turns_on` (None: until something happens).
    """

    base_cents: int = 0
    cents: int = 0
    starts_on: date | None = None
    days: int = 0
    turns_on: date | None = None

    def earned(self, on: date) -> int:
        """Return the interest earned by the end of a day on this course, floor division.

        >>> course = Course(100, 31, date(2026, 3, 1), 30)
        >>> [course.earned(date(2026, 3, day)) for day in (1, 2, 16, 31)]
        [100, 101, 115, 131]
        """
        if self.starts_on is None:
            return self.base_cents
        passed = min(max(0, (on - self.starts_on).days), self.days)
        return self.base_cents + self.cents * passed // self.days


@dataclass(frozen=True)
class Life:
    """Everything that follows from a contract and its facts, up to the end of `closed_on`."""

    state: State
    closed_on: date | None
    started_on: date | None
    settled_on: date | None
    installments: tuple[Installment, ...]
    covers: tuple[Cover, ...]
    bookings: tuple[Booking, ...]
    owed: Due
    owed_of: Mapping[int, Due]  # by installment number, only what is owed
    written_off: Due  # taken off the books and not recovered
    accrued_interest_cents: int  # earned so far, whether paid or not; what was given up since is taken off
    over_cents: Mapping[str, int]  # by the key of the payment: what belongs to the customer
    days_past_due: int
    worst_days_past_due: int
    due_on: date | None  # the oldest unpaid due date
    next_action_on: date | None  # the next day on whose end something happens by itself
    restructured: bool
    classification: str
    room_cents: int | None  # how much more may be charged for being late under the law; None: no such cap
    non_performing: bool  # in duplum binds
    stopped_on: date | None  # nothing is earned or charged after this day
    course: Course | None = None  # of a live loan: what the days after `closed_on` do to it
    idle: Mapping[str, str] = field(default_factory=dict)  # facts that changed less than they say, and why
    refunded_cents: int = 0  # of what was over

    @property
    def kept_cents(self) -> int:
        """Return what is kept for the customer."""
        return sum(self.over_cents.values()) - self.refunded_cents

    @property
    def outstanding_cents(self) -> int:
        return self.owed.total

    def income_cents(self, kind: str) -> int:
        """Return what the bookings of one kind, such as "accrual" or "fee_earned", put into income.

        What is deferred is no income yet. Interest that was booked and then waived stays in it: the waiver has
        legs of its own.
        """
        lines = (line for booking in self.bookings if booking.kind == kind for line in booking.lines)
        return sum(line.credit_cents - line.debit_cents for line in lines if line.account in _INCOME)

    def balances(self) -> dict[str, int]:
        """Return debit less credit of each account that this loan touched."""
        sums: dict[str, int] = {}
        for booking in self.bookings:
            for line in booking.lines:
                sums[line.account] = sums.get(line.account, 0) + line.debit_cents - line.credit_cents
        return {account: cents for account, cents in sorted(sums.items()) if cents}
