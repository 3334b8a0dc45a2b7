"""A loan is a function of its contract and its facts: `play` returns everything that follows from them.

In order, late, backdated or reversed: a fact is played in its place, and what follows is what would have
followed had everything been known at once. Days are not walked one by one; between two facts only the days
matter on which something falls due, is charged, or a month ends.

Source: docs/domain/whatif.md; docs/domain/arrears.md; docs/domain/accounting.md.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction

from lending.rules import accounting, arrears, calendar, charges, money, pricing, schedule
from lending.rules.accounting import Line
from lending.rules.allocation import KINDS, Due, allocate_on
from lending.rules.course import course_of
from lending.rules.facts import (
    Booking,
    Caps,
    Contract,
    Course,
    Cover,
    CoverKind,
    Fact,
    FactRefused,
    Installment,
    Life,
    State,
)
from lending.rules.rows import OpenRow, Rows

__all__ = [
    "Booking",
    "Caps",
    "Contract",
    "Cover",
    "Due",
    "Fact",
    "FactRefused",
    "Installment",
    "Life",
    "Player",
    "payoff",
    "play",
    "standing",
]

DAY = timedelta(days=1)
PAYBILL, PAYOUT, KEPT = "mpesa_paybill", "mpesa_payout", "customer_overpayments"
NEED_AMOUNT = frozenset({"disburse", "pay", "sales", "charge", "settle", "refund"})
NEED_NO_AMOUNT = frozenset(
    {"reverse", "reschedule", "skip", "extend", "charge_off", "write_off", "cancel", "death"}
)


def play(contract: Contract, facts: Iterable[Fact], until: date | None = None) -> Life:
    """Return the life of a loan: its facts played by (on, order, key), and every day closed up to `until`.

    A fact on a day implies that the days before it have ended. The same facts give the same life, in whatever
    order they arrived; a reversed fact is as if it had never been.

    Raises:
        FactRefused: a fact cannot stand: it names what is not there, comes before the payout, has no amount.
    """
    player = Player(contract)
    for fact in standing(contract, facts):
        player.take(fact)
    if until is not None:
        player.close_through(until)
    return player.life()


def payoff(contract: Contract, facts: Iterable[Fact], on: date) -> Due:
    """Return what settles the loan on a day, after the rebates of the product."""
    player = Player(contract)
    for fact in standing(contract, facts):
        player.take(fact)
    player.close_through(on - DAY)
    rebates, _ = player.rebates(on)
    left = player.rows.owed
    for _, due in rebates:
        left = left.minus(due)
    return left


def standing(contract: Contract, facts: Iterable[Fact]) -> list[Fact]:
    """Return the facts that count, in the order in which they are played.

    Raises:
        FactRefused: keys repeat, an amount is missing or below zero, or a reversal names what cannot be undone.
    """
    listed = sorted(facts, key=lambda fact: (fact.on, fact.order, fact.key))
    by_key: dict[str, Fact] = {}
    for fact in listed:
        if fact.key in by_key:
            raise FactRefused(fact.key, "key", "must be unique")
        by_key[fact.key] = fact
        _check_amount(contract, fact)
    undone: set[str] = set()
    for fact in listed:
        if fact.kind == "reverse":
            _check_reversal(fact, by_key, undone)
            undone.add(fact.of)
    return [fact for fact in listed if fact.kind != "reverse" and fact.key not in undone]


def _check_amount(contract: Contract, fact: Fact) -> None:
    if fact.currency and fact.currency != contract.terms.currency:
        raise FactRefused(fact.key, "currency", f"must be {contract.terms.currency}", fact.currency)
    if fact.amount_cents < 0 or (fact.kind in NEED_AMOUNT and fact.amount_cents == 0 and fact.kind != "sales"):
        raise FactRefused(fact.key, "amount_cents", "must be above 0", fact.amount_cents)
    if fact.kind in NEED_NO_AMOUNT and fact.amount_cents:
        raise FactRefused(fact.key, "amount_cents", f"is nothing that {fact.kind} needs", fact.amount_cents)


def _check_reversal(fact: Fact, by_key: dict[str, Fact], undone: set[str]) -> None:
    target = by_key.get(fact.of)
    if target is None:
        raise FactRefused(fact.key, "of", "must name a fact of this loan", fact.of)
    if target.kind == "reverse":
        raise FactRefused(fact.key, "of", "must not name a reversal: repeat the fact instead", fact.of)
    if fact.of in undone:
        raise FactRefused(fact.key, "of", "names a fact that is reversed already", fact.of)
    if fact.on < target.on:
        raise FactRefused(fact.key, "on", f"must not be before {fact.of}", fact.on)


@dataclass(slots=True)
class _Draw:
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


class Player:
    """The loan as far as it is played. Each method below `take` plays one kind of fact."""

    def __init__(self, contract: Contract) -> None:
        self.contract, self.terms = contract, contract.terms
        self.rows = Rows()
        self.bookings: list[Booking] = []
        self.draws: list[_Draw] = []
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

    # --- facts ----------------------------------------------------------------------------------------------
    def take(self, fact: Fact) -> None:
        """Play one fact; the days before it have ended."""
        if fact.kind == "pay" and self.started_on is None:
            self._keep(fact)
            return
        if fact.kind != "disburse" and self.started_on is None:
            raise FactRefused(fact.key, "on", "must not be before the payout", fact.on)
        self.close_through(fact.on - DAY)
        self.worst = max(self.worst, self.rows.days_late(fact.on))
        try:
            _HANDLERS[fact.kind](self, fact)
        except calendar.BeyondCalendar as beyond:
            raise FactRefused(fact.key, "on", "must not lead beyond the calendar", beyond) from None
        self._settle_if_nothing_is_owed(fact.key, fact.on)

    def _keep(self, fact: Fact) -> None:
        """Money for a payout that we have not heard of yet is the customer's until then."""
        self.kept.append(fact)
        self.over[fact.key] = fact.amount_cents
        self._book(fact.key, "repayment", fact.on, accounting.repayment(Due(), fact.amount_cents, _source(fact)))

    def disburse(self, fact: Fact) -> None:
        self._check_draw(fact)
        charged = charges.fees_of(self.terms, fact.amount_cents)
        lent = fact.amount_cents + charges.total_charged(charged, "capitalised")
        deducted = _of(charged, "deducted")
        if deducted.total + fact.refinanced_cents > fact.amount_cents:
            raise FactRefused(fact.key, "amount_cents", "must cover what is deducted from it", fact.amount_cents)
        if self.started_on is None:
            self.started_on, self.closed_on, self.state = fact.on, fact.on - DAY, "live"
        elif self.state in ("settled", "approved"):
            self.state, self.settled_on = "live", None
        self._add_plan(fact, lent, charged)
        self._book_payout(fact, lent, charged)
        kept, self.kept = self.kept, []
        for paid in kept:
            self.over[paid.key] = 0
            self._receive(paid.key, fact.on, paid.amount_cents, KEPT, "repayment_kept")

    def _check_draw(self, fact: Fact) -> None:
        if self.terms.kind != "credit_line":
            if self.started_on is not None:
                raise FactRefused(fact.key, "kind", "is a second payout, and this is no credit line")
            if fact.amount_cents != self.contract.principal_cents:
                needed = f"must be the {self.contract.principal_cents} that were agreed"
                raise FactRefused(fact.key, "amount_cents", needed, fact.amount_cents)
        if self.stopped_on is not None:
            raise FactRefused(
                fact.key, "kind", f"needs an open credit line, and this one ended on {self.stopped_on}"
            )
        if fact.amount_cents > self.contract.principal_cents:
            needed = f"must not be above the limit ({self.contract.principal_cents})"
            raise FactRefused(fact.key, "amount_cents", needed, fact.amount_cents)
        if fact.amount_cents + self.rows.owed.principal > self.contract.principal_cents:
            self.notes[fact.key] = "drawn above what was available"

    def _add_plan(self, fact: Fact, lent: int, charged: list[charges.Charged]) -> None:
        planned = schedule.plan(self.terms, lent, fact.on, self.contract.holidays)
        planned = schedule.within_interest(planned, fact.most_interest_cents)
        planned = charges.add_fees(self.terms, planned, charged)
        over_term = [one for one in charged if one.fee.earned == "over_term"]
        draw = _Draw(
            fact.on,
            max(row.period.due_on for row in planned),
            fact.amount_cents,
            deferred=sum(one.cents for one in over_term),
            rebated=[one for one in charged if one.fee.rebated],
            kept_back=_of(charged, "deducted").plus(_of(charged, "capitalised")),
            is_bounded=fact.most_interest_cents is not None,
        )
        if self.terms.kind == "sales_share":
            draw.deferred = sum(one.cents for one in charged)
            draw.curve = pricing.fee_curve(
                fact.amount_cents, draw.deferred, self.contract.expected_daily_cents, self.terms.term.every
            )
        self.draws.append(draw)
        starts = fact.on
        for row in planned:
            starts = self._add_planned(fact.key, row, starts)
        for one in charged:
            if one.fee.charged == "on_day":
                day = fact.on + timedelta(days=one.fee.on_day or 0)
                self._add(fact.key, "charge", fact.on, day, Due(fee=one.cents, tax=one.tax_cents))
            elif one.fee.charged in ("deducted", "capitalised"):
                self.rows.cost += one.total

    def _add_planned(self, key: str, row: schedule.Row, starts: date) -> date:
        due = Due(fee=row.fee, tax=row.tax, interest=row.interest, principal=row.principal)
        self._add(key, "plan", starts, row.period.due_on, due, plan=row)
        return row.period.due_on

    def _add(
        self, key: str, source: str, starts_on: date, due_on: date, due: Due, earned: int = 0, **more: object
    ) -> OpenRow:
        number = self.rows.next_number
        row = Installment(number, source, key, starts_on, due_on, due, min(earned, due.interest))  # type: ignore[arg-type]
        more.setdefault("draw", max(0, len(self.draws) - 1))
        return self.rows.add(row, **more)

    def _book_payout(self, fact: Fact, lent: int, charged: list[charges.Charged]) -> None:
        draw = self.draws[-1]
        lines = accounting.disbursement(
            lent,
            sum(one.cents for one in charged),
            sum(one.tax_cents for one in charged),
            kept_back=draw.kept_back,
            deferred_cents=draw.deferred,
            refinanced_cents=fact.refinanced_cents,
            tax_account=self.tax_account,
            source=fact.account,
        )
        self._book(fact.key, "disbursement", fact.on, lines)

    def pay(self, fact: Fact) -> None:
        self._receive(fact.key, fact.on, fact.amount_cents, _source(fact), "repayment")

    def _receive(self, key: str, on: date, cents: int, source: str, kind: str) -> None:
        """Cover dues with money; the one way in for all of it."""
        if self.state in ("charged_off", "written_off"):
            self._recover(key, on, cents, source)
            return
        rebates, tax = self.rebates(on)
        if rebates and cents >= self.rows.owed.total - sum(due.total for _, due in rebates):
            self._rebate(key, on, rebates, tax)
        covered, over = allocate_on(cents, self.rows.met(), on, self.terms.allocation)
        parts = [(self.rows.of(number), due) for number, due in covered.items()]
        replanned = self._to_replan(parts, on) if self.terms.allocation.advance == "reamortise" else {}
        for row, due in parts:
            self.rows.cover(key, "paid", row, due)
        total = _sum(parts)
        self._book_accrual(key, on, max(self.booked, self.rows.paid_interest))
        self._book(key, kind, on, accounting.repayment(total, over, source))
        self.over[key] = over
        for draw in replanned:
            self._reamortise(key, on, draw)
        self._close_as_agreed(key, on, cents)
        self._forgive_small_balance(key, on)
        if self.non_performing and not self.rows.days_late(on):
            self.non_performing = None  # it performs again; the next time counts anew

    def _recover(self, key: str, on: date, cents: int, source: str) -> None:
        owed = self.rows.met_written_off() if self.state == "written_off" else self.rows.met()
        covered, over = allocate_on(cents, owed, on, self.terms.allocation)
        for number, due in covered.items():
            row = self.rows.of(number)
            if self.state == "written_off":
                self.rows.recover(key, row, due)
            else:
                self.rows.cover(key, "paid", row, due)
        total = _sum([(self.rows.of(number), due) for number, due in covered.items()])
        self._book(key, "recovery", on, accounting.recovery(total, over, source, self.tax_account))
        self.over[key] = over

    def _forgive_small_balance(self, key: str, on: date) -> None:
        left = self.rows.owed
        if 0 < left.total <= self.terms.closing_tolerance_cents:
            self._book_accrual(key, on, max(self.booked, self.rows.accrued(on)))
            parts = [(row, row.owed) for row in self.rows.unpaid()]
            booked = replace(left, interest=self._give_up(key, "waived", parts, on))
            self._book(key, "small_balance", on, accounting.small_balance(booked, self.tax_account))

    # --- paying early ---------------------------------------------------------------------------------------
    def rebates(self, on: date) -> tuple[Parts, int]:
        """Return what need not be paid by who pays everything on a day, and the tax in it."""
        if self.state != "live":
            return [], 0
        interest = self._interest_rebates(on)
        left = {row.number: row.owed for row in self.rows.unpaid()}
        parts: Parts = [(row, Due(interest=cents)) for row, cents in interest]
        tax = 0
        for place, draw in enumerate(self.draws):
            fee_cents, tax_cents = draw.unearned(on)
            tax += tax_cents
            parts += self._fee_rebates(place, left, fee_cents, tax_cents)
        return parts, tax

    def _interest_rebates(self, on: date) -> list[tuple[OpenRow, int]]:
        rule = self.terms.early.interest
        found = []
        for row in self.rows.unpaid():
            if rule == "all":
                cents = 0
            elif rule == "to_day":
                cents = row.unearned(on)
            else:
                running = row.installment.starts_on < on or row.number == self._first_of(row.draw)
                cents = 0 if running else row.owed.interest
            if cents:
                found.append((row, cents))
        return self._within_early_cap(found, on)

    def _within_early_cap(self, found: list[tuple[OpenRow, int]], on: date) -> list[tuple[OpenRow, int]]:
        """Give back so much more, the latest first, that paying early costs no more than the law allows."""
        rate = self.contract.caps.max_early_settlement_rate
        if rate is None:
            return found
        given = {row.number: cents for row, cents in found}
        kept = {row.number: row.unearned(on) - given.get(row.number, 0) for row in self.rows.unpaid()}
        excess = max(0, sum(kept.values()) - self._share_of_lent(rate))
        for number in sorted(kept, key=lambda one: (self.rows.of(one).due_on, one), reverse=True):
            more = min(excess, kept[number])
            excess -= more
            given[number] = given.get(number, 0) + more
        return [(self.rows.of(number), cents) for number, cents in sorted(given.items()) if cents]

    def _first_of(self, draw: int) -> int:
        return next(row.number for row in self.rows.all if row.draw == draw)

    def _fee_rebates(self, draw: int, left: dict[int, Due], fee: int, tax: int) -> Parts:
        """Take unearned fee and tax off what is unpaid of them, and off principal what was paid already."""
        parts: Parts = []
        if not fee and not tax:
            return parts
        rows = [row for row in self.rows.all if row.draw == draw and row.number in left][::-1]
        for kind, cents in (("fee", fee), ("tax", tax)):
            for kinds in ((kind,), ("principal",)):
                for row in rows:
                    part = min(cents, getattr(left[row.number], kinds[0]))
                    if part:
                        due = Due(**{kinds[0]: part})
                        left[row.number] = left[row.number].minus(due)
                        parts.append((row, due))
                        cents -= part
        return parts

    def _rebate(self, key: str, on: date, parts: Parts, tax: int) -> None:
        total = _sum(parts)
        fee = total.fee + total.tax + total.principal - tax
        deferred = 0
        for draw in self.draws:
            cents = min(draw.unearned(on)[0], draw.deferred - draw.released)
            draw.deferred -= cents
            deferred += cents
            draw.rebated = []
        dropped = self._give_up(key, "rebated", parts, on)
        given = replace(total, interest=dropped)
        back = Due(fee=fee, tax=tax, interest=dropped)
        self._book(key, "rebate", on, accounting.rebate(given, back, deferred, self.tax_account))

    def _give_up(self, key: str, kind: CoverKind, parts: Parts, on: date) -> int:
        """Cover parts without money; return the interest in them that was booked as income."""
        for row, due in parts:
            self.rows.cover(key, kind, row, due)
        dropped = max(0, self.booked - self.rows.accrued(self._earning_day(on)))
        self.booked -= dropped
        return dropped

    # --- charges and concessions ----------------------------------------------------------------------------
    def charge(self, fact: Fact) -> None:
        if not self._is_live(fact):
            return
        part = fact.part or "fee"
        if part not in ("fee", "penalty"):
            raise FactRefused(fact.key, "part", "must be fee or penalty", fact.part)
        if fact.due_on is not None and fact.due_on < fact.on:
            raise FactRefused(fact.key, "due_on", "must not be before the day of the charge", fact.due_on)
        tax = charges.tax_on(self.terms, fact.amount_cents) if part == "fee" else 0
        due = self._in_room(part, fact.amount_cents, tax)
        self.late_cost += due.total if part == "penalty" else 0
        if due.total < fact.amount_cents + tax:
            self.notes[fact.key] = f"capped at {due.total}"
        if due.total:
            self._add(fact.key, "charge", fact.on, fact.due_on or fact.on, due)
            self._book(fact.key, "charge", fact.on, accounting.charge(due, self.tax_account))

    def waive(self, fact: Fact) -> None:
        if fact.part and fact.part not in KINDS:
            raise FactRefused(fact.key, "part", f"must be one of {', '.join(KINDS)}", fact.part)
        if not self._is_live(fact):
            return
        kinds = (fact.part,) if fact.part else KINDS
        left = fact.amount_cents or self.rows.owed.total  # no amount: all of it
        parts: Parts = []
        for row in sorted(self.rows.unpaid(), key=lambda row: (row.due_on, row.number)):
            cut = {}
            for kind in kinds:
                cut[kind] = min(left, getattr(row.owed, kind))
                left -= cut[kind]
            parts.append((row, Due(**cut)))
        self._waive(fact.key, fact.on, parts)

    def _waive(self, key: str, on: date, parts: Parts) -> None:
        self._book_accrual(key, on, max(self.booked, self.rows.accrued(self._earning_day(on))))
        total = _sum(parts)
        dropped = self._give_up(key, "waived", parts, on)
        waived = replace(total, interest=dropped)
        self._book(key, "waiver", on, accounting.waiver(waived, self.tax_account))

    def settle(self, fact: Fact) -> None:
        """An agreed amount closes the loan: what is left is waived.

        With a `due_on` the amount is still to come: payments up to that day count towards it.
        """
        if fact.due_on is not None:
            self._agree(fact, fact.due_on)
            return
        if not self._is_live(fact):
            self._receive(fact.key, fact.on, fact.amount_cents, _source(fact), "repayment")
            return
        self.pay(fact)
        if self.rows.owed.total:
            self._waive_rest(fact.key, fact.on)

    def _agree(self, fact: Fact, until: date) -> None:
        if until < fact.on:
            raise FactRefused(fact.key, "due_on", "must not be before the day of the agreement", until)
        if self._is_live(fact):
            self.agreed = fact.amount_cents, until

    def _close_as_agreed(self, key: str, on: date, cents: int) -> None:
        """Count money towards what was agreed; when all of it has come in time, the rest is waived."""
        if self.agreed is None or on > self.agreed[1]:
            return
        self.agreed = self.agreed[0] - cents, self.agreed[1]
        if self.agreed[0] <= 0 and self.rows.owed.total:
            self._waive_rest(key, on)

    def _waive_rest(self, key: str, on: date) -> None:
        self._drop_unearned(key, on)
        self._waive(key, on, [(row, row.owed) for row in self.rows.unpaid()])

    def _drop_unearned(self, key: str, on: date) -> None:
        """Interest that is not earned yet will never be."""
        parts = [(row, Due(interest=row.unearned(self._earning_day(on)))) for row in self.rows.unpaid()]
        self._give_up(key, "rebated", parts, on)

    def refund(self, fact: Fact) -> None:
        kept = sum(self.over.values()) - self.refunded
        if fact.amount_cents > kept:
            self.notes[fact.key] = f"more than the {kept} that were kept"
        self.refunded += fact.amount_cents
        lines = accounting.refund(fact.amount_cents, fact.account or PAYOUT)
        self._book(fact.key, "refund", fact.on, lines)

    def cancel(self, fact: Fact) -> None:
        """Within the cooling-off days the borrower gives back what was received, and nothing else."""
        assert self.started_on is not None
        last = self.started_on + timedelta(days=self.terms.cooling_off_days)
        if not self.terms.cooling_off_days or fact.on > last:
            raise FactRefused(fact.key, "on", "must be within the cooling-off days", fact.on)
        if not self._is_live(fact):
            return
        self._turn_to_principal(fact)
        draw = self.draws[0]
        parts = [(row, replace(row.owed, principal=0)) for row in self.rows.unpaid()]
        owed = _sum(parts)
        off = self._off_principal(draw.kept_back.total)
        back = owed.plus(draw.kept_back)
        deferred, draw.deferred = draw.deferred - draw.released, draw.released
        dropped = self._give_up(fact.key, "rebated", [*parts, *off], fact.on)
        given = replace(_sum([*parts, *off]), interest=dropped)
        back = replace(back, interest=dropped)
        over = back.total - given.total
        self.over[fact.key] = self.over.get(fact.key, 0) + over
        self._book(fact.key, "rebate", fact.on, accounting.rebate(given, back, deferred, self.tax_account, over))
        self._due_now(fact)
        self.cancelled, self.stopped_on = True, fact.on

    def _turn_to_principal(self, fact: Fact) -> None:
        """Money that covered charges covers principal instead."""
        turned = Due()
        for row in self.rows.all:
            paid = replace(row.paid, principal=0)
            self.rows.cover(fact.key, "paid", row, Due().minus(paid))
            turned = turned.plus(paid)
        parts = self._off_principal(turned.total)
        for row, due in parts:
            self.rows.cover(fact.key, "paid", row, due)
        over = turned.total - _sum(parts).total
        self.over[fact.key] = over
        self._book(fact.key, "reallocation", fact.on, accounting.reallocation(turned, over))

    def _off_principal(self, cents: int) -> Parts:
        """Return as much principal as there is, the latest first."""
        parts: Parts = []
        for row in reversed(list(self.rows.unpaid())):
            part = min(cents, row.owed.principal)
            parts.append((row, Due(principal=part)))
            cents -= part
        return parts

    def _due_now(self, fact: Fact) -> None:
        left = self.rows.owed
        for row in list(self.rows.unpaid()):
            self.rows.cover(fact.key, "moved", row, row.owed)
        if left.total:
            self._add(fact.key, "plan", fact.on, fact.on, left)

    def death(self, fact: Fact) -> None:
        """Nothing more is earned or charged; an insurer pays, or the loan is written off."""
        if self._is_live(fact):
            self._drop_unearned(fact.key, fact.on)
            self.stopped_on = fact.on

    # --- losses ---------------------------------------------------------------------------------------------
    def charge_off(self, fact: Fact) -> None:
        if self._is_live(fact):
            left, deferred = self._taken_off(fact)
            self._book(fact.key, "charge_off", fact.on, accounting.charge_off(left, deferred, self.tax_account))
            self.state, self.stopped_on = "charged_off", fact.on

    def write_off(self, fact: Fact) -> None:
        if self.state == "charged_off":
            self._cover_written_off(fact)
        elif self._is_live(fact):
            left, deferred = self._taken_off(fact)
            self._cover_written_off(fact)
            self._book(fact.key, "write_off", fact.on, accounting.write_off(left, deferred, self.tax_account))
        else:
            return
        self.state, self.stopped_on = "written_off", fact.on

    def _taken_off(self, fact: Fact) -> tuple[Due, int]:
        """Return what is on the books of this loan, and the fee that is not income yet."""
        self._drop_unearned(fact.key, fact.on)
        self._book_accrual(fact.key, fact.on, self.rows.accrued(self._earning_day(fact.on)))
        deferred = sum(draw.deferred - draw.released for draw in self.draws)
        for draw in self.draws:
            draw.deferred = draw.released
        return self.rows.owed, deferred

    def _cover_written_off(self, fact: Fact) -> None:
        for row in list(self.rows.unpaid()):
            self.rows.cover(fact.key, "written_off", row, row.owed)

    # --- changes of plan ------------------------------------------------------------------------------------
    def reschedule(self, fact: Fact) -> None:
        """Work the rest of the loan out anew, arrears included: later dates, more installments, another rate."""
        if fact.due_on is not None and fact.due_on <= fact.on:
            raise FactRefused(fact.key, "due_on", "must be after the day of the change", fact.due_on)
        self._no_cash_advance(fact)
        if not self._is_live(fact):
            return
        if fact.rate is not None:
            interest = self.terms.interest.model_copy(update={"rate": fact.rate})
            self.terms = self.terms.model_copy(update={"interest": interest})
        rows = list(self.rows.unpaid())
        ahead = len([row for row in rows if row.due_on > fact.on and row.installment.source == "plan"])
        first = fact.due_on or self._next_due(rows, fact.on)
        self._replan(fact.key, fact.on, rows, first, max(1, ahead) + fact.installments, fact.rate is not None)
        self.restructured = self.restructured or fact.restructured

    def _no_cash_advance(self, fact: Fact) -> None:
        if self.terms.kind == "sales_share":
            raise FactRefused(fact.key, "kind", "is nothing for a cash advance, which has no dates")

    def _next_due(self, rows: Sequence[OpenRow], on: date) -> date:
        ahead = [row.due_on for row in rows if row.due_on > on and row.installment.source == "plan"]
        return min(ahead) if ahead else calendar.add(on, self.terms.term.every, self.terms.term.unit)

    def skip(self, fact: Fact) -> None:
        """Leave the next installment out: it and all later ones fall due one period later."""
        if self.skipped >= self.terms.skips:
            raise FactRefused(fact.key, "kind", f"needs a skip, and the product gives {self.terms.skips}")
        self.skipped += 1
        rows = [row for row in self.rows.unpaid() if row.due_on > fact.on and row.installment.source == "plan"]
        if not self._is_live(fact) or not rows:
            self.notes.setdefault(fact.key, "nothing is ahead")
            return
        self._postpone(fact, rows, 1, self.terms.term.unit, self.terms.term.every)

    def extend(self, fact: Fact) -> None:
        """Move everything that is unpaid to later dates against a fee."""
        extension = self.terms.extension
        if extension is None:
            raise FactRefused(fact.key, "kind", "needs a product that can be extended")
        if self.extended >= extension.most_times:
            raise FactRefused(fact.key, "kind", f"is allowed {extension.most_times} times")
        self.extended += 1
        if not self._is_live(fact):
            return
        late = self.rows.days_late(fact.on) > 0
        fee = charges.price(self.terms, extension, self.rows.owed.principal)
        rows = [row for row in self.rows.unpaid() if row.installment.source == "plan"]
        due = self._in_room("fee", fee, charges.tax_on(self.terms, fee))
        if due.total:
            self._add(fact.key, "charge", fact.on, fact.on, due)
            self._book(fact.key, "charge", fact.on, accounting.charge(due, self.tax_account))
        self._postpone(fact, rows, 1, extension.unit, extension.every)
        # More time for somebody who is late hides arrears, so the loan keeps the mark.
        self.restructured = self.restructured or late

    def _postpone(self, fact: Fact, rows: list[OpenRow], times: int, unit: str, every: int) -> None:
        """Move rows as they are; what was earned of them stays earned."""
        rule, weekend = self.terms.due_dates.rule, self.terms.due_dates.weekend_days
        for row in rows:
            old, owed, earned = row.installment, row.owed, row.accrued(fact.on) - row.paid_interest
            anchor = row.plan.period.ends_on if row.plan and row.due_on > fact.on else max(row.due_on, fact.on)
            due_on = calendar.move(calendar.add(anchor, every * times, unit), rule, weekend, self.contract.holidays)
            self.rows.cover(fact.key, "moved", row, owed)
            self._add(fact.key, "plan", max(old.starts_on, fact.on), due_on, owed, max(0, earned), draw=row.draw)

    def _to_replan(self, parts: Parts, on: date) -> dict[int, None]:
        """Return the draws, in order, whose principal is paid ahead of time."""
        ahead = (row.draw for row, due in parts if row.due_on > on and due.principal)
        return dict.fromkeys(sorted(ahead))

    def _reamortise(self, key: str, on: date, draw: int) -> None:
        rows = [
            row
            for row in self.rows.unpaid()
            if row.draw == draw and row.due_on > on and row.installment.source == "plan"
        ]
        planned = [row.plan.period for row in self._ahead_of(draw, on) if row.plan]
        if not rows or self.terms.plan_kind == "sales_share":
            return
        if len(planned) < len(rows):  # dates were moved before: they are the dates now
            planned = [schedule.Period(row.installment.starts_on, row.due_on, row.due_on) for row in rows]
        # Money ahead of time lowers the interest; other days must not raise it above what was accepted.
        most = sum(row.owed.interest for row in rows) if self.draws[draw].is_bounded else None
        self._replan_over(key, on, rows, planned, most=most)

    def _ahead_of(self, draw: int, on: date) -> list[OpenRow]:
        moved = {cover.number for cover in self.rows.covers if cover.kind == "moved"}
        return [
            row
            for row in self.rows.all
            if row.draw == draw and row.due_on > on and row.installment.source == "plan" and row.number not in moved
        ]

    def _replan(self, key: str, on: date, rows: list[OpenRow], first: date, count: int, repriced: bool) -> None:
        times = schedule.periods(self.terms, on, self.contract.holidays, count, first)
        self._replan_over(key, on, rows, times, repriced)

    def _replan_over(
        self,
        key: str,
        on: date,
        old: list[OpenRow],
        times: Sequence[schedule.Period],
        repriced: bool = False,
        most: int | None = None,
    ) -> None:
        """Cover `old` as moved and add new rows over `times`, the first of which starts today."""
        times = [schedule.Period(on, times[0].ends_on, times[0].due_on), *times[1:]]
        left = _sum([(row, row.owed) for row in old])
        exact, earned = self._earned_so_far(old, on)
        planned = schedule.within_interest(self._planned_anew(left, exact, earned, times, repriced), most)
        extras = self._charges_by_place(old, on, len(planned))
        for moved in old:
            self.rows.cover(key, "moved", moved, moved.owed)
        starts = on
        for n, (row, extra) in enumerate(zip(planned, extras, strict=True)):
            due = extra.plus(Due(interest=row.interest, principal=row.principal))
            if due.total:
                already = min(earned, due.interest)
                earned -= already
                carried = exact if n == 0 else Fraction(0)
                self._add(
                    key,
                    "plan",
                    starts,
                    row.period.due_on,
                    due,
                    already,
                    plan=row,
                    draw=old[0].draw,
                    carried=carried,
                )
                starts = row.period.due_on
        self._keep_to_caps(key, on)

    def _charges_by_place(self, old: Sequence[OpenRow], on: date, count: int) -> list[Due]:
        """Fees that were ahead stay in their places, what was due comes with the first new installment."""
        extras = [Due()] * count
        ahead = 0
        for row in old:
            place = 0
            if row.due_on > on:
                place, ahead = min(ahead, count - 1), ahead + 1
            extras[place] = extras[place].plus(row.owed.only("penalty", "fee", "tax"))
        return extras

    def _earned_so_far(self, rows: Sequence[OpenRow], on: date) -> tuple[Fraction, int]:
        """Return the unpaid interest earned by today, exact and in whole cents."""
        exact, cents = Fraction(0), 0
        for row in rows:
            unpaid = row.owed.interest - row.unearned(on)
            cents += unpaid
            exact += self._exact(row, on, unpaid)
        return exact, cents

    def _exact(self, row: OpenRow, on: date, unpaid: int) -> Fraction:
        plan = row.plan
        runs = plan is not None and plan.period.starts_on < on < plan.period.ends_on
        if plan is None or not runs or self.terms.plan_kind in ("bullet", "flat") or row.forgone_interest:
            return Fraction(unpaid)
        line = row.carried + plan.base_cents * schedule.interest_fraction(self.terms.interest, plan.period, on)
        return max(Fraction(0), line - row.paid_interest)

    def _planned_anew(
        self, left: Due, exact: Fraction, earned: int, times: Sequence[schedule.Period], repriced: bool
    ) -> list[schedule.Row]:
        """Flat interest was agreed as an amount and stays one; declining interest is worked out on what is left."""
        flat = self.terms.plan_kind in ("bullet", "flat")
        if not flat:
            first, *later = schedule.amortise(self.terms, left.principal, times, exact)
            # What was earned already is owed, even where the new plan would round it away.
            return [replace(first, interest=max(first.interest, earned)), *later]
        if repriced:
            return schedule.amortise(self.terms, left.principal, times, exact)
        unit, rounding = self.terms.unit_cents, self.terms.rounding
        principals = schedule.parts(left.principal, len(times), rounding, unit)
        interests = schedule.parts(left.interest, len(times), rounding, unit)
        return [
            schedule.Row(period, principal, interest, left.principal)
            for period, principal, interest in zip(times, principals, interests, strict=True)
        ]

    # --- a cash advance -------------------------------------------------------------------------------------
    def sales(self, fact: Fact) -> None:
        """A share of the day's sales falls due today, off the end of the advance."""
        share = self.terms.sales_share
        if share is None:
            raise FactRefused(fact.key, "kind", "is for a cash advance only")
        if not self._is_live(fact):
            return
        row = max(self.rows.unpaid(), key=lambda row: (row.due_on, row.number))
        cents = money.share(fact.amount_cents, share.share, self.terms.unit_cents)
        so_far = self.shared.get(fact.on, 0)
        cents = cents if share.max_daily_cents is None else min(cents, share.max_daily_cents - so_far)
        cents = min(cents, row.owed.total)
        if row.due_on <= fact.on or not cents:
            return
        self.shared[fact.on] = so_far + cents
        due = _portion(row.owed, cents)
        self.rows.cover(fact.key, "moved", row, due)
        self._add(fact.key, "plan", fact.on, fact.on, due)

    # --- the end of the day ---------------------------------------------------------------------------------
    def close_through(self, day: date) -> None:
        """End every day up to one: charge penalties, hold to caps, book what was earned, count how late."""
        if self.closed_on is None or day <= self.closed_on:
            return
        if self.state == "live":
            self._penalise(day)
            for end in [*calendar.month_ends(self.closed_on, day - DAY), day]:
                self._earn(end)
        self.worst = max(self.worst, self.rows.days_late(day))
        self.closed_on = day

    def _earning_day(self, on: date) -> date:
        return on if self.stopped_on is None else min(on, self.stopped_on)

    def _earn(self, day: date) -> None:
        key = f"day:{day.isoformat()}"
        self._book_accrual(key, day, self.rows.accrued(self._earning_day(day)))
        cents = 0
        for draw in self.draws:
            earned = max(draw.released, draw.earned(self._earning_day(day), self.rows.paid_cents))
            cents += earned - draw.released
            draw.released = earned
        self._book(key, "fee_earned", day, accounting.fee_earned(cents))

    def _penalise(self, until: date) -> None:
        assert self.closed_on is not None
        after = self.closed_on
        stop = self._turns_non_performing(after, until)
        if stop is not None:
            self._charge_penalties(after, stop)
            self._become_non_performing(stop)
            after = stop
        self._charge_penalties(after, until)

    def _charge_penalties(self, after: date, until: date) -> None:
        if self.stopped_on is not None or not self.terms.penalties or after >= until:
            return
        overdue = [
            charges.Overdue(row.number, row.due_on, row.owed.principal, row.owed.total - row.owed.penalty)
            for row in self.rows.unpaid()
            if row.installment.source == "plan" and row.due_on < until
        ]
        balance = self.rows.owed.principal
        for falling in charges.penalties_between(self.terms, overdue, balance, after, until):
            self._penalty(falling)

    def _penalty(self, falling: charges.Falling) -> None:
        name, lent = falling.penalty.name, sum(draw.principal for draw in self.draws)
        so_far = self.penalised.get(name, 0)
        cents = charges.within_cap(falling.penalty, falling.cents, so_far, lent)
        due = self._in_room("penalty", cents, charges.tax_on(self.terms, cents, falling.penalty.taxed))
        if due.total:
            key = f"day:{falling.on.isoformat()}"
            self.late_cost += due.total
            self.penalised[name] = so_far + due.penalty
            self._add(key, "penalty", falling.on, falling.on, due, draw=self.rows.of(falling.number).draw)
            self._book(key, "penalty", falling.on, accounting.charge(due, self.tax_account))

    # --- caps of the law ------------------------------------------------------------------------------------
    def _turns_non_performing(self, after: date, until: date) -> date | None:
        days = self.contract.caps.in_duplum_from_days
        oldest = self.rows.oldest_due()
        if days is None or self.non_performing is not None or oldest is None:
            return None
        day = max(oldest + timedelta(days=days), after + DAY)
        return day if day <= until else None

    def _become_non_performing(self, on: date) -> None:
        ahead = sum(row.owed.interest for row in self.rows.unpaid() if row.due_on > on)
        self.non_performing = (self.rows.owed.principal, self.rows.cost - ahead)
        self._keep_to_caps(f"day:{on.isoformat()}", on)

    def _room(self) -> int | None:
        """Return how much more may be charged, or None without a cap. Below zero: charged already too much."""
        rooms = []
        rate = self.contract.caps.max_total_cost_rate
        if rate is not None:
            rooms.append(self._share_of_lent(rate) - self.rows.cost)
        if self.non_performing is not None:
            principal, before = self.non_performing
            rooms.append(principal - (self.rows.cost - before))
        return min(rooms, default=None)

    def _late_room(self) -> int | None:
        """Return how much more may be charged for being late: a cap on that alone binds beside the others."""
        rate, room = self.contract.caps.max_late_charges_rate, self._room()
        if rate is None:
            return room
        left = max(0, self._share_of_lent(rate) - self.late_cost)
        return left if room is None else min(left, room)

    def _share_of_lent(self, rate: Decimal) -> int:
        return money.floor(Fraction(sum(draw.principal for draw in self.draws)) * Fraction(rate))

    def _in_room(self, part: str, cents: int, tax: int) -> Due:
        room = self._late_room() if part == "penalty" else self._room()
        cents, tax = charges.within_room(cents, tax, room)
        return Due(**{part: cents, "tax": tax})

    def _keep_to_caps(self, key: str, on: date) -> None:
        """Give up interest that is not earned yet, the latest first, as far as a cap is passed."""
        room = self._room()
        if room is None or room >= 0:
            return
        excess, parts = -room, []
        for row in sorted(self.rows.unpaid(), key=lambda row: (row.due_on, row.number), reverse=True):
            part = min(excess, row.unearned(on))
            parts.append((row, Due(interest=part)))
            excess -= part
        self._give_up(key, "capped", parts, on)

    # --- the books ------------------------------------------------------------------------------------------
    def _book(self, key: str, kind: str, on: date, lines: Sequence[Line]) -> None:
        if lines:
            self.bookings.append(Booking(key, kind, on, tuple(lines)))

    def _book_accrual(self, key: str, on: date, earned: int) -> None:
        """Book interest so that as much is income as was earned."""
        if earned != self.booked:
            self._book(key, "accrual", on, accounting.accrual(earned - self.booked))
            self.booked = earned

    def _settle_if_nothing_is_owed(self, key: str, on: date) -> None:
        if self.state != "live" or self.rows.owed.total:
            return
        self.state, self.settled_on = "cancelled" if self.cancelled else "settled", on
        self._book_accrual(key, on, self.rows.accrued(date.max))
        cents = sum(draw.deferred - draw.released for draw in self.draws)
        for draw in self.draws:
            draw.released = draw.deferred
        self._book(key, "fee_earned", on, accounting.fee_earned(cents))

    def _is_live(self, fact: Fact) -> bool:
        if self.state == "live":
            return True
        self.notes[fact.key] = f"the loan is {self.state}"
        return False

    # --- the result -----------------------------------------------------------------------------------------
    def life(self) -> Life:
        day = self.closed_on
        late = self.rows.days_late(day) if day else 0
        return Life(
            state=self.state,
            closed_on=day,
            started_on=self.started_on,
            settled_on=self.settled_on,
            installments=tuple(row.installment for row in self.rows.all),
            covers=tuple(self.rows.covers),
            bookings=tuple(self.bookings),
            owed=self.rows.owed,
            owed_of={row.number: row.owed for row in self.rows.unpaid()},
            written_off=_sum([(row, row.written_off) for row in self.rows.all]),
            accrued_interest_cents=self.booked,
            over_cents=dict(self.over),
            days_past_due=late,
            worst_days_past_due=self.worst,
            due_on=self.rows.oldest_due(),
            next_action_on=self._next_action_on(),
            restructured=self.restructured,
            classification=arrears.classify(late),
            room_cents=self._late_room(),
            non_performing=self.non_performing is not None,
            stopped_on=self.stopped_on,
            course=self._course(),
            idle=dict(self.notes),
            refunded_cents=self.refunded,
        )

    def _course(self) -> Course | None:
        if self.state != "live" or self.closed_on is None:
            return None
        turns = [self.closed_on for draw in self.draws if draw.deferred > draw.released]  # a curve, no line
        if self.terms.grows_with_time and (day := self._turns_non_performing(self.closed_on, date.max)):
            turns.append(day)
        return course_of(self.rows, self.terms, self.closed_on, turns, self.stopped_on is not None)

    def _next_action_on(self) -> date | None:
        if self.state != "live" or self.closed_on is None:
            return None
        tomorrow, unpaid = self.closed_on + DAY, list(self.rows.unpaid())
        days = [row.due_on + DAY for row in unpaid]
        if self.stopped_on is None:
            days += [row.installment.starts_on + DAY for row in unpaid if row.unearned(self.closed_on)]
            days += [draw.started_on + DAY for draw in self.draws if draw.deferred > draw.released]
        return max(tomorrow, min(days)) if days else None


def _source(fact: Fact) -> str:
    return fact.account or PAYBILL


def _sum(parts: Iterable[tuple[OpenRow, Due]]) -> Due:
    total = Due()
    for _, due in parts:
        total = total.plus(due)
    return total


def _of(charged: Iterable[charges.Charged], way: str) -> Due:
    """Return fees and taxes that are charged in one way."""
    listed = [one for one in charged if one.fee.charged == way]
    return Due(fee=sum(one.cents for one in listed), tax=sum(one.tax_cents for one in listed))


def _portion(owed: Due, cents: int) -> Due:
    """Return a part of what is owed, with the same share of each kind; the principal takes the rest."""
    parts = {kind: getattr(owed, kind) * cents // owed.total for kind in KINDS[:-1]}
    return Due(**parts, principal=cents - sum(parts.values()))


_HANDLERS: dict[str, Callable[[Player, Fact], None]] = {
    "disburse": Player.disburse,
    "pay": Player.pay,
    "sales": Player.sales,
    "charge": Player.charge,
    "waive": Player.waive,
    "settle": Player.settle,
    "reschedule": Player.reschedule,
    "skip": Player.skip,
    "extend": Player.extend,
    "charge_off": Player.charge_off,
    "write_off": Player.write_off,
    "cancel": Player.cancel,
    "death": Player.death,
    "refund": Player.refund,
}
