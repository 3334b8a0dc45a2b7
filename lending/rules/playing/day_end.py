"""What the end of a day does: penalties, caps of the law, income, days late."""

from datetime import date, timedelta

from lending.rules import accounting, calendar, charges
from lending.rules.playing.played import DAY, Played


def close_through(loan: Played, day: date) -> None:
    """End every day up to one: charge penalties, hold to caps, book what was earned, count how late."""
    if loan.closed_on is None or day <= loan.closed_on:
        return
    if loan.state == "live":
        _penalise(loan, day)
        for end in [*calendar.month_ends(loan.closed_on, day - DAY), day]:
            _earn(loan, end)
    loan.worst = max(loan.worst, loan.rows.days_late(day))
    loan.closed_on = day


def _earn(loan: Played, day: date) -> None:
    key = f"day:{day.isoformat()}"
    loan.book_accrual(key, day, loan.rows.accrued(loan.earning_day(day)))
    cents = 0
    for draw in loan.draws:
        earned = max(draw.released, draw.earned(loan.earning_day(day), loan.rows.paid_cents))
        cents += earned - draw.released
        draw.released = earned
    loan.book(key, "fee_earned", day, accounting.fee_earned(cents))


def _penalise(loan: Played, until: date) -> None:
    assert loan.closed_on is not None
    after = loan.closed_on
    stop = turns_non_performing(loan, after, until)
    if stop is not None:
        _charge_penalties(loan, after, stop)
        _become_non_performing(loan, stop)
        after = stop
    _charge_penalties(loan, after, until)


def _charge_penalties(loan: Played, after: date, until: date) -> None:
    if loan.stopped_on is not None or not loan.terms.penalties or after >= until:
        return
    overdue = [
        charges.Overdue(row.number, row.due_on, row.owed.principal, row.owed.total - row.owed.penalty)
        for row in loan.rows.unpaid()
        if row.installment.source == "plan" and row.due_on < until
    ]
    balance = loan.rows.owed.principal
    for falling in charges.penalties_between(loan.terms, overdue, balance, after, until):
        _penalty(loan, falling)


def _penalty(loan: Played, falling: charges.Falling) -> None:
    name, lent = falling.penalty.name, sum(draw.principal for draw in loan.draws)
    so_far = loan.penalised.get(name, 0)
    cents = charges.within_cap(falling.penalty, falling.cents, so_far, lent)
    due = loan.in_room("penalty", cents, charges.tax_on(loan.terms, cents, falling.penalty.taxed))
    if due.total:
        key = f"day:{falling.on.isoformat()}"
        loan.late_cost += due.total
        loan.penalised[name] = so_far + due.penalty
        loan.add(key, "penalty", falling.on, falling.on, due, draw=loan.rows.of(falling.number).draw)
        loan.book(key, "penalty", falling.on, accounting.charge(due, loan.tax_account))


def turns_non_performing(loan: Played, after: date, until: date) -> date | None:
    days = loan.contract.caps.in_duplum_from_days
    oldest = loan.rows.oldest_due()
    if days is None or loan.non_performing is not None or oldest is None:
        return None
    day = max(oldest + timedelta(days=days), after + DAY)
    return day if day <= until else None


def _become_non_performing(loan: Played, on: date) -> None:
    ahead = sum(row.owed.interest for row in loan.rows.unpaid() if row.due_on > on)
    loan.non_performing = (loan.rows.owed.principal, loan.rows.cost - ahead)
    loan.keep_to_caps(f"day:{on.isoformat()}", on)


def settle_if_nothing_is_owed(loan: Played, key: str, on: date) -> None:
    if loan.state != "live" or loan.rows.owed.total:
        return
    loan.state, loan.settled_on = "cancelled" if loan.cancelled else "settled", on
    loan.book_accrual(key, on, loan.rows.accrued(date.max))
    cents = sum(draw.deferred - draw.released for draw in loan.draws)
    for draw in loan.draws:
        draw.released = draw.deferred
    loan.book(key, "fee_earned", on, accounting.fee_earned(cents))
