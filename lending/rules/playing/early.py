"""What need not be paid by who pays everything early."""

from dataclasses import replace
from datetime import date

from lending.rules import accounting
from lending.rules.allocation import Due
from lending.rules.playing.played import Parts, Played, sum_of
from lending.rules.rows import OpenRow


def rebates(loan: Played, on: date) -> tuple[Parts, int]:
    """Return what need not be paid by who pays everything on a day, and the tax in it."""
    if loan.state != "live":
        return [], 0
    interest = _interest_rebates(loan, on)
    left = {row.number: row.owed for row in loan.rows.unpaid()}
    parts: Parts = [(row, Due(interest=cents)) for row, cents in interest]
    tax = 0
    for place, draw in enumerate(loan.draws):
        fee_cents, tax_cents = draw.unearned(on)
        tax += tax_cents
        parts += _fee_rebates(loan, place, left, fee_cents, tax_cents)
    return parts, tax


def _interest_rebates(loan: Played, on: date) -> list[tuple[OpenRow, int]]:
    rule = loan.terms.early.interest
    found = []
    for row in loan.rows.unpaid():
        if rule == "all":
            cents = 0
        elif rule == "to_day":
            cents = row.unearned(on)
        else:
            running = row.installment.starts_on < on or row.number == _first_of(loan, row.draw)
            cents = 0 if running else row.owed.interest
        if cents:
            found.append((row, cents))
    return _within_early_cap(loan, found, on)


def _first_of(loan: Played, draw: int) -> int:
    return next(row.number for row in loan.rows.all if row.draw == draw)


def _fee_rebates(loan: Played, draw: int, left: dict[int, Due], fee: int, tax: int) -> Parts:
    """Take unearned fee and tax off what is unpaid of them, and off principal what was paid already."""
    parts: Parts = []
    if not fee and not tax:
        return parts
    rows = [row for row in loan.rows.all if row.draw == draw and row.number in left][::-1]
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


def give(loan: Played, key: str, on: date, parts: Parts, tax: int) -> None:
    total = sum_of(parts)
    fee = total.fee + total.tax + total.principal - tax
    deferred = 0
    for draw in loan.draws:
        cents = min(draw.unearned(on)[0], draw.deferred - draw.released)
        draw.deferred -= cents
        deferred += cents
        draw.rebated = []
    dropped = loan.give_up(key, "rebated", parts, on)
    given = replace(total, interest=dropped)
    back = Due(fee=fee, tax=tax, interest=dropped)
    loan.book(key, "rebate", on, accounting.rebate(given, back, deferred, loan.tax_account))


def _within_early_cap(loan: Played, found: list[tuple[OpenRow, int]], on: date) -> list[tuple[OpenRow, int]]:
    """Give back so much more, the latest first, that paying early costs no more than the law allows."""
    rate = loan.contract.caps.max_early_settlement_rate
    if rate is None:
        return found
    given = {row.number: cents for row, cents in found}
    kept = {row.number: row.unearned(on) - given.get(row.number, 0) for row in loan.rows.unpaid()}
    excess = max(0, sum(kept.values()) - loan.share_of_lent(rate))
    for number in sorted(kept, key=lambda one: (loan.rows.of(one).due_on, one), reverse=True):
        more = min(excess, kept[number])
        excess -= more
        given[number] = given.get(number, 0) + more
    return [(loan.rows.of(number), cents) for number, cents in sorted(given.items()) if cents]
