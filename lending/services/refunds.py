"""Giving back what a customer paid too much: to the wallet, into savings, or, where no rail pays so little, not.

Until the money has left it stays a debt of ours to the customer; while it is on its way it is spoken for, and
PostgreSQL lets one refund at a time be on its way to a person. The customer asks, or two officers agree.
Source: docs/domain/overpayments.md.
"""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import transaction

from lending import outbox
from lending.ledger import post
from lending.models import (
    Borrower,
    Case,
    Loan,
    LoanEvent,
    PaymentAttempt,
    PaymentIntent,
    Posting,
    Receipt,
    Refund,
    RefundPart,
)
from lending.rules import accounting
from lending.rules.refunds import taken_from
from lending.selectors import contracts, overpayments
from lending.services import audit, cases, life, proposals
from lending.services.people import lock_person
from lending.wake import wake

Way = Refund.Way
# Where the money leaves from. What goes into savings is handed on from the account on which it arrived.
FROM = {Way.WALLET: "mpesa_payout", Way.SAVINGS: "mpesa_paybill", Way.ROUNDED: "small_balances"}


class NothingKept(Exception):
    """Nothing is kept for this customer that could be given back."""


class TooLittle(Exception):
    """Less is kept than a wallet can get, and the product rounds nothing off. It can go into savings."""


class RefundUnderWay(Exception):
    """A refund to this person is on its way; how it ends has to be known first."""


class LoanUnderWay(Exception):
    """A payout to this person is on its way: money that came early may be for that loan."""


class NotTheirWord(Exception):
    """The customer is blocked or has died: only officers decide about their money."""


# --- asking ---------------------------------------------------------------------------------------------------
@transaction.atomic
def refund_to_wallet(*, borrower_id: int, origin: str, at: datetime) -> Refund:
    """Pay what is kept for a customer to their wallet, at their word; cents that no rail pays stay kept.

    Repeats safely: the same `origin` is the same refund.

    Raises:
        NotTheirWord, NothingKept, TooLittle, RefundUnderWay, LoanUnderWay: nothing was done.
    """
    borrower = Borrower.objects.get(id=borrower_id)
    lock_person(borrower)
    if known := Refund.objects.filter(origin=origin).first():
        return known
    refuse_unless_their_word(borrower)
    return _pay_wallet(borrower, origin, at)


def refuse_unless_their_word(borrower: Borrower) -> None:
    """Refuse, under the person's lock, who cannot decide about their money now.

    Raises:
        NotTheirWord: they are blocked or have died.
    """
    borrower.refresh_from_db(fields=["state"])
    if borrower.state != Borrower.State.ACTIVE:
        raise NotTheirWord(borrower.get_state_display().lower())


def _pay_wallet(borrower: Borrower, origin: str, at: datetime, actor: Any = None, reason: str = "") -> Refund:
    _refuse_while_money_moves(borrower)
    cents = overpayments.ways_out(borrower.identity_index).payable_cents
    if not cents:
        raise TooLittle
    found = overpayments.kept(borrower.identity_index)
    intent = PaymentIntent.objects.create(
        purpose=PaymentIntent.Purpose.REFUND,
        business_key=f"refund:{origin}",
        provider=settings.PAYMENT_PROVIDER,
        borrower=borrower,
        msisdn=borrower.msisdn,
        amount_cents=cents,
        currency=found[0].source.currency,
        due_at=at,
        created_at=at,
    )
    refund = reserve(borrower, Way.WALLET, origin, cents, at, intent=intent, actor=actor, reason=reason)
    wake("lending.tasks.run_payments", queue="money")
    return refund


def _refuse_while_money_moves(borrower: Borrower) -> None:
    if overpayments.open_refund(borrower.identity_index):
        raise RefundUnderWay
    if Loan.objects.filter(identity_index=borrower.identity_index, state=Loan.State.APPROVED).exists():
        raise LoanUnderWay
    if overpayments.kept_cents(borrower.identity_index) <= 0:
        raise NothingKept


def all_kept(borrower: Borrower) -> int:
    """Return everything that is kept for a person, under their lock, if all of it can be given back now.

    Raises:
        NothingKept, RefundUnderWay, LoanUnderWay: as `refund_to_wallet` says.
    """
    _refuse_while_money_moves(borrower)
    return overpayments.kept_cents(borrower.identity_index)


def reserve(borrower: Borrower, way: str, origin: str, cents: int, at: datetime, **more: Any) -> Refund:
    """Speak for money that is kept for a person, inside the caller's transaction and lock."""
    found = [(one.source, one.cents) for one in overpayments.kept(borrower.identity_index)]
    refund = Refund.objects.create(
        borrower=borrower,
        identity_index=borrower.identity_index,
        way=way,
        origin=origin,
        amount_cents=cents,
        currency=found[0][0].currency,
        asked_at=at,
        **more,
    )
    for source, part in taken_from(cents, found):
        kind = "loan" if isinstance(source, Loan) else "receipt"
        RefundPart.objects.create(refund=refund, amount_cents=part, **{kind: source})
    return refund


# --- what became of it ----------------------------------------------------------------------------------------
@transaction.atomic
def payout_succeeded(
    *, attempt_id: int, receipt_no: str, amount_cents: int, completed_at: datetime, at: datetime
) -> Refund:
    """Book a refund that reached the wallet, round off what is left, and tell the customer. Repeats safely.

    One that was reported failed and arrived after all is booked, too; should it be more than is kept by now, a
    person gets a case.
    """
    refund = _locked_refund(attempt_id)
    if refund.state == Refund.State.SUCCEEDED:
        return refund
    assert amount_cents == refund.amount_cents, "the engine settles only exact payouts"
    give(refund, completed_at, at)
    _round_off(refund.borrower, f"rounded:{refund.origin}", at)
    return refund


@transaction.atomic
def payout_failed(*, attempt_id: int, code: str, text: str, at: datetime) -> Refund:
    """Let go of a refund that certainly did not arrive; the money is still the customer's. Repeats safely."""
    refund = _locked_refund(attempt_id)
    if refund.state == Refund.State.OPEN:
        let_go(refund, at, code=code, text=text[:120])
    return refund


def give(refund: Refund, given_at: datetime, at: datetime) -> None:
    """Book what was given back, as a fact of each loan it came from, inside the caller's transaction and lock."""
    given_at = max(given_at, refund.asked_at)
    refund.state, refund.given_at, refund.ended_at = Refund.State.SUCCEEDED, given_at, at
    refund.save(update_fields=["state", "given_at", "ended_at"])
    for part in refund.parts.select_related("receipt"):
        if part.loan_id:
            _book_on_loan(refund, part, at)
        else:
            _book_beside_loans(refund, part, at)
    _record("given_back", refund, at)
    if refund.way != Way.ROUNDED:
        outbox.write("refund_given", reference=f"refund_given:{refund.id}", refund_id=refund.id, at=at)


def _book_on_loan(refund: Refund, part: RefundPart, at: datetime) -> None:
    life.record(
        contracts.with_contract().get(refund_parts=part),
        key=f"refund:{refund.id}:loan:{part.loan_id}",
        kind=LoanEvent.Kind.REFUND,
        happened_at=refund.given_at,
        at=at,
        details={"amount_cents": part.amount_cents, "account": FROM[Way(refund.way)]},
        actor=refund.actor,
        reason=refund.reason,
    )


def _book_beside_loans(refund: Refund, part: RefundPart, at: datetime) -> None:
    assert refund.given_at is not None and part.receipt is not None
    key = f"refund:{refund.id}:receipt:{part.receipt_id}"
    post(
        kind=Posting.Kind.REFUND,
        reference=key,
        occurred_at=refund.given_at,
        currency=refund.currency,
        lines=accounting.refund(part.amount_cents, FROM[Way(refund.way)]),
        borrower=refund.borrower,
        event_key=key,
    )
    watch_receipt(part.receipt, at)


def let_go(refund: Refund, at: datetime, **why: Any) -> None:
    """End a refund that did not come about and tell the customer, inside the caller's transaction and lock."""
    refund.state, refund.ended_at = Refund.State.FAILED, at
    refund.save(update_fields=["state", "ended_at"])
    _record("not_given_back", refund, at, **why)
    outbox.write("refund_failed", reference=f"refund_failed:{refund.id}", refund_id=refund.id, at=at)


def _round_off(borrower: Borrower, origin: str, at: datetime, actor: Any = None, reason: str = "") -> None:
    """Close what is too small for any rail, as far as the product forgives the customer as much."""
    cents = overpayments.ways_out(borrower.identity_index).rounded_cents
    if cents and not overpayments.open_refund(borrower.identity_index):
        give(reserve(borrower, Way.ROUNDED, origin, cents, at, actor=actor, reason=reason), at, at)


def _locked_refund(attempt_id: int) -> Refund:
    attempt = PaymentAttempt.objects.select_related("intent__borrower").get(id=attempt_id)
    lock_person(attempt.intent.borrower)
    return Refund.objects.select_related("borrower").get(intent=attempt.intent)


def _record(action: str, refund: Refund, at: datetime, **detail: Any) -> None:
    audit.record(
        action,
        subject=f"refund:{refund.id}",
        borrower=refund.borrower,
        actor=refund.actor,
        reason=refund.reason,
        at=at,
        cents=refund.amount_cents,
        way=refund.way,
        **detail,
    )


# --- what is in the way of others -----------------------------------------------------------------------------
def refuse_while_under_way(borrower: Borrower) -> None:
    """Refuse, under the person's lock, to undo what a refund on its way is taken from.

    Raises:
        RefundUnderWay: nobody knows yet whether the money has left.
    """
    if refund := overpayments.open_refund(borrower.identity_index):
        raise RefundUnderWay(str(refund))


def watch_receipt(receipt: Receipt, at: datetime) -> None:
    """Give a receipt of which more was given back than it keeps to a person."""
    away = RefundPart.objects.filter(receipt=receipt, refund__state=Refund.State.SUCCEEDED)
    cents = sum(part.amount_cents for part in away)
    receipt.refresh_from_db(fields=["over_cents"])
    if cents > receipt.over_cents:
        cases.open_case(
            kind=Case.Kind.REFUNDED_TOO_MUCH,
            subject_key=f"receipt:{receipt.id}",
            note=f"{cents} given back, {receipt.over_cents} kept",
            receipt=receipt,
            borrower=away[0].refund.borrower,
            at=at,
        )


# --- at the word of two officers --------------------------------------------------------------------------------
ACT = "refund"


def propose_refund(*, borrower: Borrower, maker: Any, reason: str, at: datetime) -> proposals.Proposal:
    """Propose to pay what is kept for a customer to their wallet, also of one who has died or is blocked.

    Raises:
        ValueError, AlreadyPending: as `proposals.propose` says.
        NothingKept, TooLittle, RefundUnderWay, LoanUnderWay: nothing can be given back now.
    """
    return proposals.propose(
        act=ACT,
        subject=f"borrower:{borrower.id}",
        details={"borrower_id": borrower.id},
        maker=maker,
        reason=reason,
        at=at,
        borrower=borrower,
    )


def preview_refund(details: Mapping[str, Any]) -> dict[str, Any]:
    """Say what giving back would do, without doing it: paid, rounded off, and what stays."""
    borrower = Borrower.objects.get(id=details["borrower_id"])
    _refuse_while_money_moves(borrower)
    split = overpayments.ways_out(borrower.identity_index)
    if not split.payable_cents and not split.rounded_cents:
        raise TooLittle
    return {"kept_cents": overpayments.kept_cents(borrower.identity_index), **asdict(split)}


def _refund(details: Mapping[str, Any], *, proposal: Any, at: datetime) -> None:
    borrower = Borrower.objects.get(id=details["borrower_id"])
    word = {"actor": proposal.maker, "reason": proposal.reason}
    if proposal.preview["payable_cents"]:
        _pay_wallet(borrower, f"proposal:{proposal.id}", at, **word)
    else:
        _round_off(borrower, f"proposal:{proposal.id}", at, **word)


proposals.act(ACT, preview_refund, _refund)
