"""The rest of a loan on other dates: rescheduled, skipped, extended, paid ahead, or by share of sales."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from fractions import Fraction

from lending.rules import accounting, calendar, charges, money, schedule
from lending.rules.allocation import KINDS, Due
from lending.rules.facts import Fact, FactRefused
from lending.rules.playing import concessions
from lending.rules.playing.played import (
    Parts,
    Played,
    sum_of,
)
from lending.rules.rows import OpenRow


def reschedule(loan: Played, fact: Fact) -> None:
    """Work the rest of the loan out anew, arrears included: later dates, more installments, another rate."""
    if fact.due_on is not None and fact.due_on <= fact.on:
        raise FactRefused(fact.key, "due_on", "must be after the day of the change", fact.due_on)
    _no_cash_advance(loan, fact)
    if not loan.is_live(fact):
        return
    if fact.rate is not None:
        interest = loan.terms.interest.model_copy(update={"rate": fact.rate})
        loan.terms = loan.terms.model_copy(update={"interest": interest})
    rows = list(loan.rows.unpaid())
    ahead = len([row for row in rows if row.due_on > fact.on and row.installment.source == "plan"])
    first = fact.due_on or _next_due(loan, rows, fact.on)
    _replan(loan, fact.key, fact.on, rows, first, max(1, ahead) + fact.installments, fact.rate is not None)
    if loan.stopped_on is not None:  # no new interest after a death
        concessions.drop_unearned(loan, fact.key, fact.on)
    loan.restructured = loan.restructured or fact.restructured


def _no_cash_advance(loan: Played, fact: Fact) -> None:
    if loan.terms.kind == "sales_share":
        raise FactRefused(fact.key, "kind", "is nothing for a cash advance, which has no dates")


def _next_due(loan: Played, rows: Sequence[OpenRow], on: date) -> date:
    ahead = [row.due_on for row in rows if row.due_on > on and row.installment.source == "plan"]
    return min(ahead) if ahead else calendar.add(on, loan.terms.term.every, loan.terms.term.unit)


def skip(loan: Played, fact: Fact) -> None:
    """Leave the next installment out: it and all later ones fall due one period later."""
    if loan.skipped >= loan.terms.skips:
        raise FactRefused(fact.key, "kind", f"needs a skip, and the product gives {loan.terms.skips}")
    loan.skipped += 1
    rows = [row for row in loan.rows.unpaid() if row.due_on > fact.on and row.installment.source == "plan"]
    if not loan.is_live(fact) or not rows:
        loan.notes.setdefault(fact.key, "nothing is ahead")
        return
    _postpone(loan, fact, rows, 1, loan.terms.term.unit, loan.terms.term.every)


def extend(loan: Played, fact: Fact) -> None:
    """Move everything that is unpaid to later dates against a fee; after a death it costs nothing."""
    extension = loan.terms.extension
    if extension is None:
        raise FactRefused(fact.key, "kind", "needs a product that can be extended")
    if loan.extended >= extension.most_times:
        raise FactRefused(fact.key, "kind", f"is allowed {extension.most_times} times")
    loan.extended += 1
    if not loan.is_live(fact):
        return
    late = loan.rows.days_late(fact.on) > 0
    fee = charges.price(loan.terms, extension, loan.rows.owed.principal) if loan.stopped_on is None else 0
    rows = [row for row in loan.rows.unpaid() if row.installment.source == "plan"]
    due = loan.in_room("fee", fee, charges.tax_on(loan.terms, fee))
    if due.total:
        loan.add(fact.key, "charge", fact.on, fact.on, due)
        loan.book(fact.key, "charge", fact.on, accounting.charge(due, loan.tax_account))
    _postpone(loan, fact, rows, 1, extension.unit, extension.every)
    # More time for somebody who is late hides arrears, so the loan keeps the mark.
    loan.restructured = loan.restructured or late


def _postpone(loan: Played, fact: Fact, rows: list[OpenRow], times: int, unit: str, every: int) -> None:
    """Move rows as they are; what was earned of them stays earned."""
    rule, weekend = loan.terms.due_dates.rule, loan.terms.due_dates.weekend_days
    for row in rows:
        old, owed, earned = row.installment, row.owed, row.accrued(fact.on) - row.paid_interest
        anchor = row.plan.period.ends_on if row.plan and row.due_on > fact.on else max(row.due_on, fact.on)
        due_on = calendar.move(calendar.add(anchor, every * times, unit), rule, weekend, loan.contract.holidays)
        loan.rows.cover(fact.key, "moved", row, owed)
        loan.add(fact.key, "plan", max(old.starts_on, fact.on), due_on, owed, max(0, earned), draw=row.draw)


def to_replan(loan: Played, parts: Parts, on: date) -> dict[int, None]:
    """Return the draws, in order, whose principal is paid ahead of time."""
    ahead = (row.draw for row, due in parts if row.due_on > on and due.principal)
    return dict.fromkeys(sorted(ahead))


def reamortise(loan: Played, key: str, on: date, draw: int) -> None:
    rows = [
        row
        for row in loan.rows.unpaid()
        if row.draw == draw and row.due_on > on and row.installment.source == "plan"
    ]
    planned = [row.plan.period for row in _ahead_of(loan, draw, on) if row.plan]
    if not rows or loan.terms.plan_kind == "sales_share":
        return
    if len(planned) < len(rows):  # dates were moved before: they are the dates now
        planned = [schedule.Period(row.installment.starts_on, row.due_on, row.due_on) for row in rows]
    # Money ahead of time lowers the interest; other days must not raise it above what was accepted.
    most = sum(row.owed.interest for row in rows) if loan.draws[draw].is_bounded else None
    _replan_over(loan, key, on, rows, planned, most=most)


def _ahead_of(loan: Played, draw: int, on: date) -> list[OpenRow]:
    moved = {cover.number for cover in loan.rows.covers if cover.kind == "moved"}
    return [
        row
        for row in loan.rows.all
        if row.draw == draw and row.due_on > on and row.installment.source == "plan" and row.number not in moved
    ]


def _replan(loan: Played, key: str, on: date, rows: list[OpenRow], first: date, count: int, repriced: bool) -> None:
    times = schedule.periods(loan.terms, on, loan.contract.holidays, count, first)
    _replan_over(loan, key, on, rows, times, repriced)


def _replan_over(
    loan: Played,
    key: str,
    on: date,
    old: list[OpenRow],
    times: Sequence[schedule.Period],
    repriced: bool = False,
    most: int | None = None,
) -> None:
    """Cover `old` as moved and add new rows over `times`, the first of which starts today."""
    times = [schedule.Period(on, times[0].ends_on, times[0].due_on), *times[1:]]
    left = sum_of([(row, row.owed) for row in old])
    exact, earned = _earned_so_far(loan, old, on)
    planned = schedule.within_interest(_planned_anew(loan, left, exact, earned, times, repriced), most)
    extras = _charges_by_place(loan, old, on, len(planned))
    for moved in old:
        loan.rows.cover(key, "moved", moved, moved.owed)
    starts = on
    for n, (row, extra) in enumerate(zip(planned, extras, strict=True)):
        due = extra.plus(Due(interest=row.interest, principal=row.principal))
        if due.total:
            already = min(earned, due.interest)
            earned -= already
            carried = exact if n == 0 else Fraction(0)
            loan.add(
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
    loan.keep_to_caps(key, on)


def _charges_by_place(loan: Played, old: Sequence[OpenRow], on: date, count: int) -> list[Due]:
    """Fees that were ahead stay in their places, what was due comes with the first new installment."""
    extras = [Due()] * count
    ahead = 0
    for row in old:
        place = 0
        if row.due_on > on:
            place, ahead = min(ahead, count - 1), ahead + 1
        extras[place] = extras[place].plus(row.owed.only("penalty", "fee", "tax"))
    return extras


def _earned_so_far(loan: Played, rows: Sequence[OpenRow], on: date) -> tuple[Fraction, int]:
    """Return the unpaid interest earned by today, exact and in whole cents."""
    exact, cents = Fraction(0), 0
    for row in rows:
        unpaid = row.owed.interest - row.unearned(on)
        cents += unpaid
        exact += _exact(loan, row, on, unpaid)
    return exact, cents


def _exact(loan: Played, row: OpenRow, on: date, unpaid: int) -> Fraction:
    plan = row.plan
    runs = plan is not None and plan.period.starts_on < on < plan.period.ends_on
    if plan is None or not runs or loan.terms.plan_kind in ("bullet", "flat") or row.forgone_interest:
        return Fraction(unpaid)
    line = row.carried + plan.base_cents * schedule.interest_fraction(loan.terms.interest, plan.period, on)
    return max(Fraction(0), line - row.paid_interest)


def _planned_anew(
    loan: Played, left: Due, exact: Fraction, earned: int, times: Sequence[schedule.Period], repriced: bool
) -> list[schedule.Row]:
    """Flat interest was agreed as an amount and stays one; declining interest is worked out on what is left."""
    flat = loan.terms.plan_kind in ("bullet", "flat")
    if not flat:
        first, *later = schedule.amortise(loan.terms, left.principal, times, exact)
        # What was earned already is owed, even where the new plan would round it away.
        return [replace(first, interest=max(first.interest, earned)), *later]
    if repriced:
        return schedule.amortise(loan.terms, left.principal, times, exact)
    unit, rounding = loan.terms.unit_cents, loan.terms.rounding
    principals = schedule.parts(left.principal, len(times), rounding, unit)
    interests = schedule.parts(left.interest, len(times), rounding, unit)
    return [
        schedule.Row(period, principal, interest, left.principal)
        for period, principal, interest in zip(times, principals, interests, strict=True)
    ]


def sales(loan: Played, fact: Fact) -> None:
    """A share of the day's sales falls due today, off the end of the advance."""
    share = loan.terms.sales_share
    if share is None:
        raise FactRefused(fact.key, "kind", "is for a cash advance only")
    if not loan.is_live(fact):
        return
    row = max(loan.rows.unpaid(), key=lambda row: (row.due_on, row.number))
    cents = money.share(fact.amount_cents, share.share, loan.terms.unit_cents)
    so_far = loan.shared.get(fact.on, 0)
    cents = cents if share.max_daily_cents is None else min(cents, share.max_daily_cents - so_far)
    cents = min(cents, row.owed.total)
    if row.due_on <= fact.on or not cents:
        return
    loan.shared[fact.on] = so_far + cents
    due = _portion(row.owed, cents)
    loan.rows.cover(fact.key, "moved", row, due)
    loan.add(fact.key, "plan", fact.on, fact.on, due)


def _portion(owed: Due, cents: int) -> Due:
    """Return a part of what is owed, with the same share of each kind; the principal takes the rest."""
    parts = {kind: getattr(owed, kind) * cents // owed.total for kind in KINDS[:-1]}
    return Due(**parts, principal=cents - sum(parts.values()))
