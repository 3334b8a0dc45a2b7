"""Money comes in: from the borrower, after a write-off, in part of a settlement; and what is over goes back."""

from dataclasses import replace
from datetime import date

from lending.rules import accounting
from lending.rules.allocation import Due, allocate_on
from lending.rules.facts import Fact, FactRefused
from lending.rules.playing import concessions, early, replanning
from lending.rules.playing.played import PAYOUT, Played, source_of, sum_of


def pay(loan: Played, fact: Fact) -> None:
    """Take a repayment."""
    receive(loan, fact.key, fact.on, fact.amount_cents, source_of(fact), "repayment")


def keep(loan: Played, fact: Fact) -> None:
    """Money for a payout that we have not heard of yet is the customer's until then."""
    loan.kept.append(fact)
    loan.over[fact.key] = fact.amount_cents
    loan.book(fact.key, "repayment", fact.on, accounting.repayment(Due(), fact.amount_cents, source_of(fact)))


def receive(loan: Played, key: str, on: date, cents: int, source: str, kind: str) -> None:
    """Cover dues with money; the one way in for all of it."""
    if loan.state in ("charged_off", "written_off"):
        _recover(loan, key, on, cents, source)
        return
    _settle_early(loan, key, on, cents)
    covered, over = allocate_on(cents, loan.rows.met(), on, loan.terms.allocation)
    parts = [(loan.rows.of(number), due) for number, due in covered.items()]
    # After a death nothing more is earned, so there is nothing to work out anew.
    anew = loan.terms.allocation.advance == "reamortise" and loan.stopped_on is None
    replanned = replanning.to_replan(loan, parts, on) if anew else {}
    for row, due in parts:
        loan.rows.cover(key, "paid", row, due)
    total = sum_of(parts)
    loan.book_accrual(key, on, max(loan.booked, loan.rows.paid_interest))
    loan.book(key, kind, on, accounting.repayment(total, over, source))
    loan.over[key] = over
    for draw in replanned:
        replanning.reamortise(loan, key, on, draw)
    _close_as_agreed(loan, key, on, cents)
    _forgive_small_balance(loan, key, on)
    if loan.non_performing and not loan.rows.days_late(on):
        loan.non_performing = None  # it performs again; the next time counts anew


def _settle_early(loan: Played, key: str, on: date, cents: int) -> None:
    """Give back what need not be paid, if the money is enough for all the rest."""
    rebates, _ = early.rebates(loan, on)
    given = sum_of(rebates).total + sum_of(early.paid_ahead(loan, on)).total
    if given and cents >= loan.rows.owed.total - given:
        early.settle(loan, key, on)


def _recover(loan: Played, key: str, on: date, cents: int, source: str) -> None:
    owed = loan.rows.met_written_off() if loan.state == "written_off" else loan.rows.met()
    covered, over = allocate_on(cents, owed, on, loan.terms.allocation)
    for number, due in covered.items():
        row = loan.rows.of(number)
        if loan.state == "written_off":
            loan.rows.recover(key, row, due)
        else:
            loan.rows.cover(key, "paid", row, due)
    total = sum_of([(loan.rows.of(number), due) for number, due in covered.items()])
    loan.book(key, "recovery", on, accounting.recovery(total, over, source, loan.tax_account))
    loan.over[key] = over


def _forgive_small_balance(loan: Played, key: str, on: date) -> None:
    left = loan.rows.owed
    if 0 < left.total <= loan.terms.closing_tolerance_cents:
        loan.book_accrual(key, on, max(loan.booked, loan.rows.accrued(on)))
        parts = [(row, row.owed) for row in loan.rows.unpaid()]
        booked = replace(left, interest=loan.give_up(key, "waived", parts, on))
        loan.book(key, "small_balance", on, accounting.small_balance(booked, loan.tax_account))


def settle(loan: Played, fact: Fact) -> None:
    """An agreed amount closes the loan: what is left is waived.

    With a `due_on` the amount is still to come: payments up to that day count towards it. What another loan
    pays off was worked out for the day on which that one was accepted: what has been charged since is waived,
    principal never.
    """
    if fact.due_on is not None:
        _agree(loan, fact, fact.due_on)
        return
    if not loan.is_live(fact):
        receive(loan, fact.key, fact.on, fact.amount_cents, source_of(fact), "repayment")
        return
    if fact.account == accounting.REFINANCING:
        early.settle(loan, fact.key, fact.on)
        concessions.waive_charges(loan, fact.key, fact.on, loan.rows.owed.total - fact.amount_cents)
        pay(loan, fact)
        return
    pay(loan, fact)
    if loan.rows.owed.total:
        concessions.waive_rest(loan, fact.key, fact.on)


def _agree(loan: Played, fact: Fact, until: date) -> None:
    if until < fact.on:
        raise FactRefused(fact.key, "due_on", "must not be before the day of the agreement", until)
    if loan.is_live(fact):
        loan.agreed = fact.amount_cents, until


def _close_as_agreed(loan: Played, key: str, on: date, cents: int) -> None:
    """Count money towards what was agreed; when all of it has come in time, the rest is waived."""
    if loan.agreed is None or on > loan.agreed[1]:
        return
    loan.agreed = loan.agreed[0] - cents, loan.agreed[1]
    if loan.agreed[0] <= 0 and loan.rows.owed.total:
        concessions.waive_rest(loan, key, on)


def refund(loan: Played, fact: Fact) -> None:
    """Give back what was paid too much."""
    kept = sum(loan.over.values()) - loan.refunded
    if fact.amount_cents > kept:
        loan.notes[fact.key] = f"more than the {kept} that were kept"
    loan.refunded += fact.amount_cents
    lines = accounting.refund(fact.amount_cents, fact.account or PAYOUT)
    loan.book(fact.key, "refund", fact.on, lines)
