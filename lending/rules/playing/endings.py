"""How a loan ends other than by being paid: cancelled, after a death, charged off, written off."""

from dataclasses import replace
from datetime import timedelta

from lending.rules import accounting
from lending.rules.allocation import Due
from lending.rules.facts import Fact, FactRefused
from lending.rules.playing import concessions
from lending.rules.playing.played import Parts, Played, sum_of


def cancel(loan: Played, fact: Fact) -> None:
    """Within the cooling-off days the borrower gives back what was received, and nothing else."""
    assert loan.started_on is not None
    last = loan.started_on + timedelta(days=loan.terms.cooling_off_days)
    if not loan.terms.cooling_off_days or fact.on > last:
        raise FactRefused(fact.key, "on", "must be within the cooling-off days", fact.on)
    if not loan.is_live(fact):
        return
    _turn_to_principal(loan, fact)
    draw = loan.draws[0]
    parts = [(row, replace(row.owed, principal=0)) for row in loan.rows.unpaid()]
    owed = sum_of(parts)
    off = _off_principal(loan, draw.kept_back.total)
    back = owed.plus(draw.kept_back)
    deferred, draw.deferred = draw.deferred - draw.released, draw.released
    dropped = loan.give_up(fact.key, "rebated", [*parts, *off], fact.on)
    given = replace(sum_of([*parts, *off]), interest=dropped)
    back = replace(back, interest=dropped)
    over = back.total - given.total
    loan.over[fact.key] = loan.over.get(fact.key, 0) + over
    loan.book(fact.key, "rebate", fact.on, accounting.rebate(given, back, deferred, loan.tax_account, over))
    _due_now(loan, fact)
    loan.cancelled, loan.stopped_on = True, fact.on


def _turn_to_principal(loan: Played, fact: Fact) -> None:
    """Money that covered charges covers principal instead."""
    turned = Due()
    for row in loan.rows.all:
        paid = replace(row.paid, principal=0)
        loan.rows.cover(fact.key, "paid", row, Due().minus(paid))
        turned = turned.plus(paid)
    parts = _off_principal(loan, turned.total)
    for row, due in parts:
        loan.rows.cover(fact.key, "paid", row, due)
    over = turned.total - sum_of(parts).total
    loan.over[fact.key] = over
    loan.book(fact.key, "reallocation", fact.on, accounting.reallocation(turned, sum_of(parts), over))


def _off_principal(loan: Played, cents: int) -> Parts:
    """Return as much principal as there is, the latest first."""
    parts: Parts = []
    for row in reversed(list(loan.rows.unpaid())):
        part = min(cents, row.owed.principal)
        parts.append((row, Due(principal=part)))
        cents -= part
    return parts


def _due_now(loan: Played, fact: Fact) -> None:
    left = loan.rows.owed
    for row in list(loan.rows.unpaid()):
        loan.rows.cover(fact.key, "moved", row, row.owed)
    if left.total:
        loan.add(fact.key, "plan", fact.on, fact.on, left)


def death(loan: Played, fact: Fact) -> None:
    """Nothing more is earned or charged; an insurer pays, or the loan is written off. Told twice, the first day
    counts."""
    if loan.is_live(fact):
        concessions.drop_unearned(loan, fact.key, fact.on)
        loan.stopped_on = loan.stopped_on or fact.on


def charge_off(loan: Played, fact: Fact) -> None:
    """Take a loan off the books as a loss, while the borrower owes it still."""
    if loan.is_live(fact):
        left, deferred = _taken_off(loan, fact)
        loan.book(fact.key, "charge_off", fact.on, accounting.charge_off(left, deferred, loan.tax_account))
        loan.state, loan.stopped_on = "charged_off", fact.on


def write_off(loan: Played, fact: Fact) -> None:
    """Ask for a loan no more; what still comes is a recovery."""
    if loan.state == "charged_off":
        _cover_written_off(loan, fact)
    elif loan.is_live(fact):
        left, deferred = _taken_off(loan, fact)
        _cover_written_off(loan, fact)
        loan.book(fact.key, "write_off", fact.on, accounting.write_off(left, deferred, loan.tax_account))
    else:
        return
    loan.state, loan.stopped_on = "written_off", fact.on


def _taken_off(loan: Played, fact: Fact) -> tuple[Due, int]:
    """Return what is on the books of this loan, and the fee that is not income yet."""
    concessions.drop_unearned(loan, fact.key, fact.on)
    loan.book_accrual(fact.key, fact.on, loan.rows.accrued(loan.earning_day(fact.on)))
    deferred = sum(draw.deferred - draw.released for draw in loan.draws)
    for draw in loan.draws:
        draw.deferred = draw.released
    return loan.rows.owed, deferred


def _cover_written_off(loan: Played, fact: Fact) -> None:
    for row in list(loan.rows.unpaid()):
        loan.rows.cover(fact.key, "written_off", row, row.owed)
