"""What is charged beside the plan, and what is given up."""

from dataclasses import replace
from datetime import date

from lending.rules import accounting, charges
from lending.rules.allocation import KINDS, Due
from lending.rules.facts import Fact, FactRefused
from lending.rules.playing.played import Parts, Played, sum_of


def charge(loan: Played, fact: Fact) -> None:
    """Charge a fee or a penalty by hand, with its tax, as far as the caps of the law leave room; after a death
    or a cancellation nothing is."""
    if not loan.is_live(fact):
        return
    part = fact.part or "fee"
    if part not in ("fee", "penalty"):
        raise FactRefused(fact.key, "part", "must be fee or penalty", fact.part)
    if fact.due_on is not None and fact.due_on < fact.on:
        raise FactRefused(fact.key, "due_on", "must not be before the day of the charge", fact.due_on)
    if loan.stopped_on is not None:
        loan.notes[fact.key] = f"nothing is charged after {loan.stopped_on}"
        return
    tax = charges.tax_on(loan.terms, fact.amount_cents) if part == "fee" else 0
    due = loan.in_room(part, fact.amount_cents, tax)
    loan.late_cost += due.total if part == "penalty" else 0
    if due.total < fact.amount_cents + tax:
        loan.notes[fact.key] = f"capped at {due.total}"
    if due.total:
        loan.add(fact.key, "charge", fact.on, fact.due_on or fact.on, due)
        loan.book(fact.key, "charge", fact.on, accounting.charge(due, loan.tax_account))


def waive(loan: Played, fact: Fact) -> None:
    """Forgive an amount of one kind or of all, the oldest due first; without an amount, all of it."""
    if fact.part and fact.part not in KINDS:
        raise FactRefused(fact.key, "part", f"must be one of {', '.join(KINDS)}", fact.part)
    if not loan.is_live(fact):
        return
    kinds = (fact.part,) if fact.part else KINDS
    left = fact.amount_cents or loan.rows.owed.total  # no amount: all of it
    parts: Parts = []
    for row in sorted(loan.rows.unpaid(), key=lambda row: (row.due_on, row.number)):
        cut = {}
        for kind in kinds:
            cut[kind] = min(left, getattr(row.owed, kind))
            left -= cut[kind]
        parts.append((row, Due(**cut)))
    _waive(loan, fact.key, fact.on, parts)


def _waive(loan: Played, key: str, on: date, parts: Parts) -> None:
    loan.book_accrual(key, on, max(loan.booked, loan.rows.accrued(loan.earning_day(on))))
    total = sum_of(parts)
    dropped = loan.give_up(key, "waived", parts, on)
    waived = replace(total, interest=dropped)
    loan.book(key, "waiver", on, accounting.waiver(waived, loan.tax_account))


def waive_charges(loan: Played, key: str, on: date, most: int) -> None:
    """Give up as much as this of what is owed beside principal, interest first and the oldest due first."""
    parts: Parts = []
    for kind in ("interest", "penalty", "fee", "tax"):
        for row in loan.rows.unpaid():
            cents = min(most, getattr(row.owed, kind))
            if cents > 0:
                parts.append((row, Due(**{kind: cents})))
                most -= cents
    if parts:
        _waive(loan, key, on, parts)


def waive_rest(loan: Played, key: str, on: date) -> None:
    drop_unearned(loan, key, on)
    _waive(loan, key, on, [(row, row.owed) for row in loan.rows.unpaid()])


def drop_unearned(loan: Played, key: str, on: date) -> None:
    """Interest that is not earned yet will never be."""
    parts = [(row, Due(interest=row.unearned(loan.earning_day(on)))) for row in loan.rows.unpaid()]
    loan.give_up(key, "rebated", parts, on)
