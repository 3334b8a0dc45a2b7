"""The one way in for money.

STK callback, status query, C2B confirmation and statement all end here, in any order and any number of times:
(provider, receipt_no) is unique in PostgreSQL, and whoever inserts the row allocates it in the same transaction.
"""

import hashlib
import re
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction

from lending import outbox
from lending.ledger import post
from lending.models import Allocation, Borrower, Case, Loan, PaymentAttempt, Posting, Receipt, Repayment
from lending.rules import accounting
from lending.rules.accounting import Line
from lending.rules.allocation import KINDS, Due, allocate, total_of
from lending.selectors import loans
from lending.services import audit, cases
from lending.services.loans import settle_if_paid


class NotInSuspense(Exception):
    """The receipt is not waiting for a person."""


def record_receipt(
    *,
    provider: str,
    receipt_no: str,
    amount_cents: int,
    currency: str,
    party: str,
    account_reference: str,
    paid_at: datetime,
    source: str,
    at: datetime,
    attempt: PaymentAttempt | None = None,
) -> Receipt:
    """Count money that reached us, once, and allocate it to the borrower's open loan, oldest due first.

    Whoever paid, the account that was named gets the credit. What is more than was owed is kept for the
    customer; what fits nobody goes to suspense with a case. A receipt seen before is returned as it stands;
    if it now claims other facts, a person gets a case and nothing changes.

    Raises:
        ValueError: the amount is not positive.
    """
    if amount_cents <= 0:
        raise ValueError(f"amount_cents must be positive, got {amount_cents}")
    facts = {"amount_cents": amount_cents, "currency": currency}
    if known := Receipt.objects.filter(provider=provider, receipt_no=receipt_no).first():
        return _known(known, facts, attempt, at)
    borrower = _whose(account_reference, party, attempt)
    try:
        with transaction.atomic():
            if borrower is not None:
                borrower = Borrower.objects.select_for_update().get(id=borrower.id)
            receipt = Receipt.objects.create(
                provider=provider,
                receipt_no=receipt_no,
                party=party[:64],
                account_reference=account_reference[:40],
                paid_at=paid_at,
                source=source,
                borrower=borrower,
                attempt=attempt,
                state=Receipt.State.ALLOCATED if borrower else Receipt.State.SUSPENSE,
                recorded_at=at,
                **facts,
            )
            if borrower is None:
                _hold(receipt, at)
            else:
                _allocate(receipt, at)
            return receipt
    except IntegrityError:
        # The same payment came by two roads at once; the row that is there counts.
        if known := Receipt.objects.filter(provider=provider, receipt_no=receipt_no).first():
            return _known(known, facts, attempt, at)
        raise


def _known(known: Receipt, facts: dict[str, Any], attempt: PaymentAttempt | None, at: datetime) -> Receipt:
    if any(getattr(known, name) != value for name, value in facts.items()):
        cases.open_case(
            kind=Case.Kind.RECEIPT_MISMATCH,
            subject_key=f"receipt:{known.id}:{facts['amount_cents']}",
            note=f"{known.receipt_no} is on record with {known.amount_cents}, now told {facts['amount_cents']}",
            receipt=known,
            borrower=known.borrower,
            at=at,
        )
    elif attempt is not None and known.attempt_id is None:
        Receipt.objects.filter(id=known.id, attempt__isnull=True).update(attempt=attempt)
    return known


def _whose(account_reference: str, party: str, attempt: PaymentAttempt | None) -> Borrower | None:
    """Find who is to be credited: our own prompt, then the account that was typed, then a payer known by hash."""
    if attempt is not None:
        return attempt.intent.borrower
    return borrower_of_account(account_reference) or borrower_of_party(party)


def borrower_of_account(typed: str) -> Borrower | None:
    """Read what a human typed as account: a loan's reference, or a phone number in any of its forms."""
    text = re.sub(r"[\s\-.+]", "", typed).upper()
    if not text:
        return None
    if loan := Loan.objects.filter(reference=text).select_related("borrower").first():
        return loan.borrower
    if not (text.isascii() and text.isdigit()) or len(text) < 9:
        return None
    digits = text.removeprefix("00")
    local = [f"254{digits[1:]}"] if digits.startswith("0") and len(digits) == 10 else []
    bare = [f"254{digits}"] if len(digits) == 9 else []
    return Borrower.objects.filter(msisdn__in=[digits, *local, *bare]).first()


def borrower_of_party(party: str) -> Borrower | None:
    """Find a payer by the plain number or by the hash that Daraja's C2B v1 sends; a masked number says nothing."""
    if re.fullmatch(r"[0-9a-f]{64}", party):
        return Borrower.objects.filter(msisdn_sha256=party).first()
    if re.fullmatch(r"[1-9][0-9]{9,14}", party):
        return Borrower.objects.filter(msisdn_sha256=hashlib.sha256(party.encode()).hexdigest()).first()
    return None


def _hold(receipt: Receipt, at: datetime) -> None:
    post(
        kind=Posting.Kind.SUSPENSE,
        reference=_posting_reference(receipt),
        occurred_at=receipt.paid_at,
        currency=receipt.currency,
        lines=accounting.suspense(receipt.amount_cents),
    )
    cases.open_case(
        kind=Case.Kind.UNMATCHED_RECEIPT,
        subject_key=f"receipt:{receipt.id}",
        note=f"{receipt.receipt_no}: account {receipt.account_reference!r} is nobody's",
        receipt=receipt,
        at=at,
    )


def _posting_reference(receipt: Receipt) -> str:
    return f"receipt:{receipt.provider}:{receipt.receipt_no}"


def _allocate(receipt: Receipt, at: datetime, *, from_suspense: bool = False) -> None:
    """Cover the open loan's dues under the borrower's lock; the rest is the customer's."""
    assert receipt.borrower is not None
    loan = Loan.objects.filter(borrower=receipt.borrower, state=Loan.State.LIVE).first()
    items = loans.dues(loan) if loan else []
    order = loan.product_version.allocation_order if loan else KINDS
    covered, over_cents = allocate(receipt.amount_cents, [due for _, due in items], order)
    total = total_of(covered)
    receipt.over_cents = over_cents
    receipt.save(update_fields=["over_cents"])
    post(
        kind=Posting.Kind.REPAYMENT,
        reference=_posting_reference(receipt) + (":matched" if from_suspense else ""),
        occurred_at=receipt.paid_at,
        currency=receipt.currency,
        lines=_lines(total, over_cents, from_suspense),
        borrower=receipt.borrower,
        loan=loan if total.total else None,
    )
    if loan is not None and total.total:
        _write_repayment(receipt, loan, [item for item, _ in items], covered, total.total)
        settle_if_paid(loan, receipt.paid_at, at)
    outbox.write("repayment_received", reference=f"repayment_received:{receipt.id}", receipt_id=receipt.id, at=at)


def _lines(covered: Due, over_cents: int, from_suspense: bool) -> list[Line]:
    legs = accounting.from_suspense if from_suspense else accounting.repayment
    return legs(covered, over_cents)


def _write_repayment(receipt: Receipt, loan: Loan, items: list[Any], covered: list[Due], total_cents: int) -> None:
    repayment = Repayment.objects.create(
        loan=loan, receipt=receipt, amount_cents=total_cents, received_at=receipt.paid_at
    )
    Allocation.objects.bulk_create(
        Allocation(repayment=repayment, installment=item, **{f"{kind}_cents": getattr(due, kind) for kind in KINDS})
        for item, due in zip(items, covered, strict=True)
        if due.total
    )
    loan.outstanding_cents -= total_cents
    loan.save(update_fields=["outstanding_cents"])


@transaction.atomic
def match_receipt(*, receipt_id: int, borrower_id: int, officer: Any, reason: str, at: datetime) -> Receipt:
    """Give money in suspense to the borrower whose it is, at an officer's word.

    Repeats safely for the same borrower.

    Raises:
        NotInSuspense: it was given to somebody already.
        ValueError: no reason was given.
    """
    if not reason.strip():
        raise ValueError("matching a receipt needs a reason")
    borrower = Borrower.objects.select_for_update().get(id=borrower_id)
    receipt = Receipt.objects.select_for_update().get(id=receipt_id)
    if receipt.state == Receipt.State.RESOLVED and receipt.borrower_id == borrower_id:
        return receipt
    if receipt.state != Receipt.State.SUSPENSE:
        raise NotInSuspense(receipt.receipt_no)
    receipt.borrower, receipt.state = borrower, Receipt.State.RESOLVED
    receipt.save(update_fields=["borrower", "state"])
    _allocate(receipt, at, from_suspense=True)
    Case.objects.filter(
        kind=Case.Kind.UNMATCHED_RECEIPT, subject_key=f"receipt:{receipt.id}", closed_at__isnull=True
    ).update(closed_at=at, closed_by=officer, resolution=f"matched to borrower {borrower_id}: {reason}"[:300])
    audit.record(
        "receipt_matched",
        subject=f"receipt:{receipt.id}",
        borrower=borrower,
        actor=officer,
        reason=reason,
        at=at,
    )
    return receipt
