"""A loan is a function of its contract and its facts: `play` returns everything that follows from them.

In order, late, backdated or reversed: a fact is played in its place, and what follows is what would have
followed had everything been known at once. Days are not walked one by one; between two facts only the days
matter on which something falls due, is charged, or a month ends.

Source: docs/domain/whatif.md; docs/domain/arrears.md; docs/domain/accounting.md.
"""

from collections.abc import Callable, Iterable
from datetime import date

from lending.rules import arrears, calendar
from lending.rules.allocation import Due
from lending.rules.course import course_of
from lending.rules.facts import Booking, Caps, Contract, Course, Cover, Fact, FactRefused, Installment, Life
from lending.rules.playing import concessions, day_end, early, endings, paying, payout, replanning
from lending.rules.playing.played import DAY, Played, sum_of

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
    "payoff",
    "play",
    "standing",
]

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
    loan = Played(contract)
    for fact in standing(contract, facts):
        take(loan, fact)
    if until is not None:
        day_end.close_through(loan, until)
    return result(loan)


def payoff(contract: Contract, facts: Iterable[Fact], on: date) -> Due:
    """Return what settles the loan on a day, after the rebates of the product."""
    loan = Played(contract)
    for fact in standing(contract, facts):
        take(loan, fact)
    day_end.close_through(loan, on - DAY)
    early.turn_to_principal(loan, "payoff", on)
    rebates, _ = early.rebates(loan, on)
    left = loan.rows.owed
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


def take(loan: Played, fact: Fact) -> None:
    """Play one fact; the days before it have ended."""
    if fact.kind == "pay" and loan.started_on is None:
        paying.keep(loan, fact)
        return
    if fact.kind != "disburse" and loan.started_on is None:
        raise FactRefused(fact.key, "on", "must not be before the payout", fact.on)
    day_end.close_through(loan, fact.on - DAY)
    loan.worst = max(loan.worst, loan.rows.days_late(fact.on))
    try:
        _HANDLERS[fact.kind](loan, fact)
    except calendar.BeyondCalendar as beyond:
        raise FactRefused(fact.key, "on", "must not lead beyond the calendar", beyond) from None
    day_end.settle_if_nothing_is_owed(loan, fact.key, fact.on)


def result(loan: Played) -> Life:
    """Return what has come of a loan so far."""
    day = loan.closed_on
    late = loan.rows.days_late(day) if day else 0
    return Life(
        state=loan.state,
        closed_on=day,
        started_on=loan.started_on,
        settled_on=loan.settled_on,
        installments=tuple(row.installment for row in loan.rows.all),
        covers=tuple(loan.rows.covers),
        bookings=tuple(loan.bookings),
        owed=loan.rows.owed,
        owed_of={row.number: row.owed for row in loan.rows.unpaid()},
        written_off=sum_of([(row, row.written_off) for row in loan.rows.all]),
        accrued_interest_cents=loan.booked,
        over_cents=dict(loan.over),
        days_past_due=late,
        worst_days_past_due=loan.worst,
        due_on=loan.rows.oldest_due(),
        next_action_on=_next_action_on(loan),
        restructured=loan.restructured,
        classification=arrears.classify(late),
        room_cents=loan.late_room(),
        non_performing=loan.non_performing is not None,
        stopped_on=loan.stopped_on,
        course=_course(loan),
        idle=dict(loan.notes),
        refunded_cents=loan.refunded,
    )


def _course(loan: Played) -> Course | None:
    if loan.state != "live" or loan.closed_on is None:
        return None
    turns = [loan.closed_on for draw in loan.draws if draw.deferred > draw.released]  # a curve, no line
    if loan.terms.grows_with_time and (day := day_end.turns_non_performing(loan, loan.closed_on, date.max)):
        turns.append(day)
    return course_of(loan.rows, loan.terms, loan.closed_on, turns, loan.stopped_on is not None)


def _next_action_on(loan: Played) -> date | None:
    if loan.state != "live" or loan.closed_on is None:
        return None
    tomorrow, unpaid = loan.closed_on + DAY, list(loan.rows.unpaid())
    days = [row.due_on + DAY for row in unpaid]
    if loan.stopped_on is None:
        days += [row.installment.starts_on + DAY for row in unpaid if row.unearned(loan.closed_on)]
        days += [draw.started_on + DAY for draw in loan.draws if draw.deferred > draw.released]
        # A plan that is made anew holds what was earned until its own day, which is booked when that day ends.
        days += [tomorrow] if loan.rows.accrued(loan.closed_on) > loan.booked else []
    return max(tomorrow, min(days)) if days else None


_HANDLERS: dict[str, Callable[[Played, Fact], None]] = {
    "disburse": payout.disburse,
    "pay": paying.pay,
    "sales": replanning.sales,
    "charge": concessions.charge,
    "waive": concessions.waive,
    "settle": paying.settle,
    "reschedule": replanning.reschedule,
    "skip": replanning.skip,
    "extend": replanning.extend,
    "charge_off": endings.charge_off,
    "write_off": endings.write_off,
    "cancel": endings.cancel,
    "death": endings.death,
    "refund": paying.refund,
}
