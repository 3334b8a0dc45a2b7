"""Credit lines: what is free, taking a draw, closing the line.

A line is a loan that was approved with a limit. Each draw is paid out and has a plan of its own; repayments cover
the dues of all of them. Each function is one transaction under the borrower's lock.

Source: docs/domain/products.md, "Credit line".
"""

from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import transaction

from lending.models import Borrower, Draw, Loan
from lending.rules import calendar, caps, money
from lending.rules.country import country_from
from lending.rules.pricing import LoanRefused
from lending.selectors import contracts, limits, loans, offers, products
from lending.services import audit
from lending.services.loans import PRICE, send_off
from lending.services.people import lock_person


class DrawRefused(Exception):
    """Nothing may be drawn now. `why` is a code, the text a sentence."""

    def __init__(self, why: str, text: str) -> None:
        super().__init__(text)
        self.why = why


class AboveFree(Exception):
    """More than is free: of the limit, less what is owed of it and what is on its way."""

    def __init__(self, free_cents: int) -> None:
        super().__init__(f"free is {free_cents} cents")
        self.free_cents = free_cents


class SomethingIsOwed(Exception):
    """A line is closed when nothing of it is owed and nothing is on its way."""


def free_cents(loan: Loan) -> int:
    """Return how much more principal may be drawn."""
    owed = sum(due.principal for _, due in loans.dues(loan))
    under_way = sum(draw.principal_cents for draw in loan.draws.filter(state=Draw.State.UNDER_WAY))
    return max(0, (loan.credit_limit_cents or 0) - owed - under_way)


@transaction.atomic
def take_draw(*, loan_id: int, amount_cents: int, origin: str, at: datetime, actor: Any = None) -> Draw:
    """Owe the payout of a draw; it is owed by the customer from the moment that it arrives.

    What it costs is worked out now and is the most that is charged for it. Repeats safely: the same `origin`
    returns the draw on record.

    Raises:
        DrawRefused: no line, closed, late, another payout under way or loan open, blocked or paused.
        AboveFree: more than is free.
        LoanRefused: outside the bounds of the product, or no amount that changes hands in its currency.
        AgainstLaw: dearer, or more owed, than the law that the line was opened under allows.
    """
    loan = _locked(loan_id)
    if known := Draw.objects.filter(origin=origin).first():
        return known
    on = calendar.business_date(at, settings.TIME_ZONE)
    if why := _refusal(loan, at):
        raise DrawRefused(why, REFUSALS[why])
    priced = offers.quote(loan.product_version, amount_cents, on, loan.country_pack)
    if amount_cents % (unit_cents := money.currency(loan.currency).payable_cents):
        raise LoanRefused("principal_cents", f"must be whole units of {unit_cents}", amount_cents)
    if amount_cents > (free := free_cents(loan)):
        raise AboveFree(free)
    law = country_from(loan.country_pack.rules)
    caps.enforce_price(products.price_of(priced, on), law)
    caps.enforce_exposure(amount_cents, limits.owing_cents(loan.identity_index), law)
    draw = Draw.objects.create(
        loan=loan, origin=origin, asked_at=at, **{name: getattr(priced, name) for name in PRICE}
    )
    draw.intent = send_off(loan, f"draw:{draw.pk}", draw.received_cents, at)
    draw.save(update_fields=["intent"])
    if loan.state == Loan.State.UNDRAWN:
        # From here on it is the one open loan of its borrower.
        Loan.objects.filter(id=loan.id).update(state=Loan.State.APPROVED)
    audit.record(
        "line_drawn",
        subject=f"draw:{draw.pk}",
        borrower=loan.borrower,
        actor=actor,
        at=at,
        amount_cents=amount_cents,
    )
    return draw


REFUSALS = {
    "no_line": "this loan is no credit line",
    "closed": "this line is closed",
    "under_way": "an earlier draw is on its way",
    "late": "something of this line is late",
    "open_loan": "the same person has another open loan",
    "blocked": "this customer may not borrow now",
    "paused": "no new loan of this product is made for now",
}


def _refusal(loan: Loan, at: datetime) -> str:
    """Return the code of the first thing that speaks against any draw now, "" for nothing."""
    on = calendar.business_date(at, settings.TIME_ZONE)
    if not loan.is_line:
        return "no_line"
    if loan.draws.filter(state=Draw.State.UNDER_WAY).exists():
        return "under_way"
    if loan.closed_at is not None or loan.state not in (Loan.State.UNDRAWN, Loan.State.LIVE):
        return "closed"
    if loan.borrower.state != Borrower.State.ACTIVE:
        return "blocked"
    if limits.is_paused(loan.product_version.code):
        return "paused"
    if loans.days_past_due(loan, on):
        return "late"
    others = Loan.objects.filter(identity_index=loan.identity_index, state__in=Loan.OPEN).exclude(id=loan.id)
    return "open_loan" if others.exists() else ""


@transaction.atomic
def close_line(*, loan_id: int, actor: Any, reason: str, at: datetime) -> Loan:
    """Close a line of which nothing is owed. Repeats safely.

    Raises:
        ValueError: no reason was given, or the loan is no line.
        SomethingIsOwed: it has to be repaid, or the payout that is on its way awaited, first.
    """
    if not reason.strip():
        raise ValueError("closing a line needs a reason in words")
    loan = _locked(loan_id)
    if not loan.is_line:
        raise ValueError(REFUSALS["no_line"])
    if loan.closed_at is not None:
        return loan
    if loan.state != Loan.State.UNDRAWN:
        raise SomethingIsOwed(f"line {loan.reference} is {loan.get_state_display().lower()}")
    loan.state, loan.closed_at = Loan.State.CLOSED, at
    loan.save(update_fields=["state", "closed_at"])
    audit.record(
        "line_closed", subject=f"loan:{loan.id}", borrower=loan.borrower, actor=actor, reason=reason, at=at
    )
    return loan


def _locked(loan_id: int) -> Loan:
    borrower = Loan.objects.select_related("borrower").get(id=loan_id).borrower
    lock_person(borrower)
    return contracts.with_contract().get(id=loan_id)
