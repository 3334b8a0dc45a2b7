"""Moving limits: up the ladder after a clean loan, down after a late one, and at the customer's own word."""

from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import transaction

from lending import outbox
from lending.models import AuditEvent, Borrower, LimitRaise, Loan
from lending.rules import calendar, limits
from lending.selectors import limits as standing
from lending.selectors import products
from lending.services import audit
from lending.services.people import lock_borrower


class LimitRefused(ValueError):
    """The limit that the customer asks for is not one they can choose."""

    def __init__(self, limit_cents: int, least_cents: int, most_cents: int) -> None:
        super().__init__(f"limit must be from {least_cents} to {most_cents} cents, got {limit_cents}")
        self.limit_cents, self.least_cents, self.most_cents = limit_cents, least_cents, most_cents


class NothingOffered(Exception):
    """No higher limit waits for an answer: it was answered, or a later loan was late."""


def assign_limit(borrower: Borrower, settled: Loan, at: datetime) -> None:
    """Move the borrower one step on the visible ladder after a settled loan, inside the caller's transaction.

    Where the law in force asks for consent, a step up is only offered.
    """
    rung, limit_cents = step_after(borrower, settled)
    on = calendar.business_date(at, settings.TIME_ZONE)
    if rung > borrower.rung and products.country_rules(settled.product_version.country, on).raises_need_consent:
        _offer_raise(borrower, settled, rung, limit_cents, at)
        return
    if rung < borrower.rung:
        offered = LimitRaise.objects.filter(borrower=borrower, state=LimitRaise.State.OFFERED)
        offered.update(state=LimitRaise.State.WITHDRAWN, answered_at=at)
    _move(borrower, rung, limit_cents, at, days_late=settled.worst_days_past_due, loan_id=settled.id)


def step_after(borrower: Borrower, settled: Loan) -> tuple[int, int]:
    """Return the rung, and its limit, to which a settled loan takes a borrower."""
    ladder = settled.product_version.ladder_cents
    rung = limits.next_rung(borrower.rung, settled.worst_days_past_due, top=len(ladder) - 1)
    return rung, limits.limit_at(rung, ladder)


def moved(borrower: Borrower, rung: int, at: datetime, **why: Any) -> AuditEvent:
    """Return the act of moving a borrower to another rung; it is not stored."""
    return audit.act(
        "limit_moved",
        subject=f"borrower:{borrower.id}",
        borrower=borrower,
        at=at,
        rung_before=borrower.rung,
        rung=rung,
        **why,
    )


def take_limit_back(borrower: Borrower, reopened: Loan, at: datetime) -> None:
    """Undo the step of a loan that is open again: what settled it was a mistake, or the operator took it back.

    Settling it once more makes the step anew.
    """
    offered = LimitRaise.objects.filter(earned_by=reopened, state=LimitRaise.State.OFFERED)
    offered.update(state=LimitRaise.State.WITHDRAWN, answered_at=at)
    moves = AuditEvent.objects.filter(action="limit_moved", borrower=borrower, detail__loan_id=reopened.id)
    moved = moves.order_by("id").last()
    if moved is None:
        return
    ladder = reopened.product_version.ladder_cents
    step = moved.detail["rung"] - moved.detail["rung_before"]
    rung = min(max(0, borrower.rung - step), len(ladder) - 1)
    Borrower.objects.filter(id=borrower.id).update(rung=rung, limit_cents=limits.limit_at(rung, ladder))
    audit.record(
        "limit_taken_back",
        subject=f"borrower:{borrower.id}",
        borrower=borrower,
        at=at,
        rung_before=borrower.rung,
        rung=rung,
        loan_id=reopened.id,
    )


def _offer_raise(borrower: Borrower, settled: Loan, rung: int, limit_cents: int, at: datetime) -> None:
    if standing.offered_raise(borrower.id):
        return
    offered = LimitRaise.objects.create(
        borrower=borrower, earned_by=settled, rung=rung, limit_cents=limit_cents, offered_at=at
    )
    outbox.write("limit_raise_offered", reference=f"limit_raise_offered:{offered.id}", raise_id=offered.id, at=at)


def _move(borrower: Borrower, rung: int, limit_cents: int, at: datetime, **why: Any) -> None:
    Borrower.objects.filter(id=borrower.id).update(rung=rung, limit_cents=limit_cents)
    if rung != borrower.rung:
        moved(borrower, rung, at, **why).save()


@transaction.atomic
def answer_raise(*, borrower_id: int, accepted: bool, text_version: str, language: str, at: datetime) -> LimitRaise:
    """Record what the customer says to the higher limit that waits, and move them if it is yes.

    Raises:
        NothingOffered: none waits.
    """
    borrower = lock_borrower(borrower_id)
    offered = standing.offered_raise(borrower_id)
    if offered is None:
        raise NothingOffered
    offered.state = LimitRaise.State.ACCEPTED if accepted else LimitRaise.State.DECLINED
    offered.answered_at, offered.text_version, offered.language = at, text_version, language
    offered.save(update_fields=["state", "answered_at", "text_version", "language"])
    if accepted:
        _move(borrower, offered.rung, offered.limit_cents, at, consent=offered.id, loan_id=offered.earned_by_id)
    return offered


@transaction.atomic
def choose_limit(*, borrower_id: int, limit_cents: int, at: datetime) -> Borrower:
    """Let a customer be offered less than their rung allows; choosing all of it again ends the wish.

    Raises:
        LimitRefused: below the smallest loan, or above what the rung allows.
    """
    borrower = lock_borrower(borrower_id)
    on = calendar.business_date(at, settings.TIME_ZONE)
    least = products.terms_of(products.product_in_force(settings.COUNTRY, on)).min_cents
    if not least <= limit_cents <= borrower.limit_cents:
        raise LimitRefused(limit_cents, least, borrower.limit_cents)
    before = borrower.offered_limit_cents
    borrower.own_limit_cents = None if limit_cents == borrower.limit_cents else limit_cents
    borrower.save(update_fields=["own_limit_cents"])
    audit.record(
        "limit_chosen",
        subject=f"borrower:{borrower.id}",
        borrower=borrower,
        at=at,
        limit_cents_before=before,
        limit_cents=limit_cents,
    )
    return borrower
