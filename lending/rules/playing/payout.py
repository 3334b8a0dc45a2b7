"""Money goes out: a plan of installments, the fees, and their place in the books."""

from datetime import date, timedelta

from lending.rules import accounting, charges, pricing, schedule
from lending.rules.allocation import Due
from lending.rules.facts import Fact, FactRefused
from lending.rules.playing import paying
from lending.rules.playing.played import DAY, KEPT, Draw, Played, charged_as


def disburse(loan: Played, fact: Fact) -> None:
    """Start a loan, or a draw of a credit line: its plan, its fees, its money."""
    _check_draw(loan, fact)
    charged = charges.fees_of(loan.terms, fact.amount_cents)
    lent = fact.amount_cents + charges.total_charged(charged, "capitalised")
    deducted = charged_as(charged, "deducted")
    if deducted.total + fact.refinanced_cents > fact.amount_cents:
        raise FactRefused(fact.key, "amount_cents", "must cover what is deducted from it", fact.amount_cents)
    if loan.started_on is None:
        loan.started_on, loan.closed_on, loan.state = fact.on, fact.on - DAY, "live"
    elif loan.state in ("settled", "approved"):
        loan.state, loan.settled_on = "live", None
    _add_plan(loan, fact, lent, charged)
    _book_payout(loan, fact, lent, charged)
    kept, loan.kept = loan.kept, []
    for paid in kept:
        loan.over[paid.key] = 0
        paying.receive(loan, paid.key, fact.on, paid.amount_cents, KEPT, "repayment_kept")


def _check_draw(loan: Played, fact: Fact) -> None:
    if loan.terms.kind != "credit_line":
        if loan.started_on is not None:
            raise FactRefused(fact.key, "kind", "is a second payout, and this is no credit line")
        if fact.amount_cents != loan.contract.principal_cents:
            needed = f"must be the {loan.contract.principal_cents} that were agreed"
            raise FactRefused(fact.key, "amount_cents", needed, fact.amount_cents)
    if loan.stopped_on is not None:
        raise FactRefused(fact.key, "kind", f"needs an open credit line, and this one ended on {loan.stopped_on}")
    if fact.amount_cents > loan.contract.principal_cents:
        needed = f"must not be above the limit ({loan.contract.principal_cents})"
        raise FactRefused(fact.key, "amount_cents", needed, fact.amount_cents)
    if fact.amount_cents + loan.rows.owed.principal > loan.contract.principal_cents:
        loan.notes[fact.key] = "drawn above what was available"


def _add_plan(loan: Played, fact: Fact, lent: int, charged: list[charges.Charged]) -> None:
    planned = schedule.plan(loan.terms, lent, fact.on, loan.contract.holidays)
    planned = schedule.within_interest(planned, fact.most_interest_cents)
    planned = charges.add_fees(loan.terms, planned, charged)
    over_term = [one for one in charged if one.fee.earned == "over_term"]
    draw = Draw(
        fact.on,
        max(row.period.due_on for row in planned),
        fact.amount_cents,
        deferred=sum(one.cents for one in over_term),
        rebated=[one for one in charged if one.fee.rebated],
        kept_back=charged_as(charged, "deducted").plus(charged_as(charged, "capitalised")),
        is_bounded=fact.most_interest_cents is not None,
    )
    if loan.terms.kind == "sales_share":
        draw.deferred = sum(one.cents for one in charged)
        draw.curve = pricing.fee_curve(
            fact.amount_cents, draw.deferred, loan.contract.expected_daily_cents, loan.terms.term.every
        )
    loan.draws.append(draw)
    starts = fact.on
    for row in planned:
        starts = _add_planned(loan, fact.key, row, starts)
    for one in charged:
        if one.fee.charged == "on_day":
            day = fact.on + timedelta(days=one.fee.on_day or 0)
            loan.add(fact.key, "charge", fact.on, day, Due(fee=one.cents, tax=one.tax_cents))
        elif one.fee.charged in ("deducted", "capitalised"):
            loan.rows.cost += one.total


def _add_planned(loan: Played, key: str, row: schedule.Row, starts: date) -> date:
    due = Due(fee=row.fee, tax=row.tax, interest=row.interest, principal=row.principal)
    loan.add(key, "plan", starts, row.period.due_on, due, plan=row)
    return row.period.due_on


def _book_payout(loan: Played, fact: Fact, lent: int, charged: list[charges.Charged]) -> None:
    draw = loan.draws[-1]
    lines = accounting.disbursement(
        lent,
        sum(one.cents for one in charged),
        sum(one.tax_cents for one in charged),
        kept_back=draw.kept_back,
        deferred_cents=draw.deferred,
        refinanced_cents=fact.refinanced_cents,
        tax_account=loan.tax_account,
        source=fact.account,
    )
    loan.book(fact.key, "disbursement", fact.on, lines)
