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
    interest = [(row, min(cents, row.owed.interest)) for row, cents in _interest_given(loan, on)]
    left = {row.number: row.owed for row in loan.rows.unpaid()}
    parts: Parts = [(row, Due(interest=cents)) for row, cents in interest if cents]
    tax = 0
    for place, draw in enumerate(loan.draws):
        fee_cents, tax_cents = draw.unearned(on)
        tax += tax_cents
        parts += _fee_rebates(loan, place, left, fee_cents, tax_cents)
    return parts, tax


def paid_ahead(loan: Played, on: date) -> Parts:
    """Return the interest that was paid and that who pays everything on a day need not have paid, the latest
    first, as far as there is something else that it can cover instead."""
    if loan.state != "live":
        return []
    until, parts = loan.earning_day(on), []
    left = loan.rows.owed.total - sum(row.unearned(until) for row in loan.rows.unpaid())
    for row, given in reversed(_interest_given(loan, on)):
        cents = min(left, max(0, given - row.owed.interest))
        if cents:
            parts.append((row, Due(interest=cents)))
            left -= cents
    return parts


def settle(loan: Played, key: str, on: date) -> None:
    """Give back what need not be paid, because all the rest is being paid."""
    turn_to_principal(loan, key, on)
    parts, tax = rebates(loan, on)
    if parts:
        give(loan, key, on, parts, tax)


def turn_to_principal(loan: Played, key: str, on: date) -> None:
    """Let interest that was paid ahead cover principal, or what else is owed where none is left: paying in parts
    costs no more than paying at once."""
    turned = paid_ahead(loan, on)
    for row, due in turned:
        loan.rows.cover(key, "paid", row, Due().minus(due))
    left, covered, until = sum_of(turned).interest, Due(), loan.earning_day(on)
    for kind in ("principal", "fee", "tax", "penalty", "interest"):
        for row in reversed(loan.rows.unpaid()):
            unearned = row.unearned(until) if kind == "interest" else 0
            due = Due(**{kind: min(left, getattr(row.owed, kind) - unearned)})
            loan.rows.cover(key, "paid", row, due)
            left, covered = left - due.total, covered.plus(due)
    loan.book(key, "reallocation", on, accounting.reallocation(sum_of(turned), covered))


def _interest_given(loan: Played, on: date) -> list[tuple[OpenRow, int]]:
    """Return the interest, paid already or not, that who pays everything on a day is spared."""
    # After a death nothing more is earned, whatever the product says of the running period.
    rule = loan.terms.early.interest if loan.stopped_on is None else "to_day"
    on, given = loan.earning_day(on), {}
    ahead = [row for row in loan.rows.all if row.due_on > on]
    for row in ahead:
        if rule == "to_day":
            given[row.number] = row.unearned(on) + row.paid_ahead(on)
        elif rule == "to_period_end" and not _is_running(loan, row, on):
            given[row.number] = row.owed.interest + row.paid_ahead(on)
    _keep_to_early_cap(loan, given, ahead, on)
    return [(loan.rows.of(number), cents) for number, cents in sorted(given.items()) if cents]


def _keep_to_early_cap(loan: Played, given: dict[int, int], ahead: list[OpenRow], on: date) -> None:
    """Give back so much more, the latest first, that paying early costs no more than the law allows."""
    rate = loan.contract.caps.max_early_settlement_rate
    if rate is None:
        return
    kept = {row.number: row.unearned(on) + row.paid_ahead(on) - given.get(row.number, 0) for row in ahead}
    excess = max(0, sum(kept.values()) - loan.share_of_lent(rate))
    for number in sorted(kept, key=lambda one: (loan.rows.of(one).due_on, one), reverse=True):
        more = min(excess, kept[number])
        excess -= more
        given[number] = given.get(number, 0) + more


def _is_running(loan: Played, row: OpenRow, on: date) -> bool:
    return row.installment.starts_on < on or row.number == _first_of(loan, row.draw)


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
