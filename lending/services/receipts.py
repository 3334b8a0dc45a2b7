"""The one way in for money.

STK callback, status query, C2B confirmation and statement all end here, in any order and any number of times:
(provider, receipt_no) is unique in PostgreSQL, and whoever inserts the row allocates it in the same transaction.
"""

import hashlib
import re
from datetime import datetime
from typing import Any

import phonenumbers
from django.conf import settings
from django.db import IntegrityError, transaction

from lending import outbox
from lending.ledger import post
from lending.models import (
    Allocation,
    Borrower,
    Case,
    Installment,
    Loan,
    PaymentAttempt,
    Posting,
    Receipt,
    Repayment,
)
from lending.rules import accounting, calendar, identity
from lending.rules.allocation import KINDS, Due, allocate, total_of
from lending.rules.receipts import as_printed
from lending.selectors import loans, products
from lending.services import audit, cases
from lending.services.people import identity_index
from lending.services.settlement import settle_if_paid


class ReceiptTaken(Exception):
    """The receipt pays for another attempt already; a case is open, and the caller settles nothing by it."""

    def __init__(self, receipt: Receipt) -> None:
        super().__init__(f"receipt {receipt.receipt_no} belongs to attempt {receipt.attempt_id}")
        self.receipt = receipt


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
    """Count money that reached us, once, and allocate it to the person's live loan, oldest due first.

    Whoever paid, the person whose account was named gets the credit, on whichever of their numbers the loan
    is. Without a live loan it recovers one that was written off. What is more than was owed is kept for the
    customer; what fits nobody goes to suspense with a case. A receipt seen before is returned as it stands;
    if it now claims other facts, a person gets a case and nothing changes.

    Raises:
        ValueError: the amount is not positive.
        ReceiptTaken: `attempt` claims a receipt that pays for another one.
    """
    if amount_cents <= 0:
        raise ValueError(f"amount_cents must be positive, got {amount_cents}")
    receipt_no, account_reference = as_printed(receipt_no), as_kept(account_reference, at)
    facts = {"amount_cents": amount_cents, "currency": currency}
    if known := Receipt.objects.filter(provider=provider, receipt_no=receipt_no).first():
        return _known(known, facts, attempt, at)
    borrower = _whose(account_reference, party, attempt)
    try:
        with transaction.atomic():
            if borrower is not None:
                lock_person(borrower)
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


def lock_person(borrower: Borrower) -> None:
    """Lock every number of one person, in a fixed order: their loan may be on any of them."""
    numbers = Borrower.objects.select_for_update().filter(identity_index=borrower.identity_index)
    list(numbers.order_by("id").values_list("id", flat=True))


def _known(known: Receipt, facts: dict[str, Any], attempt: PaymentAttempt | None, at: datetime) -> Receipt:
    if any(getattr(known, name) != value for name, value in facts.items()):
        told = f"{known.receipt_no} is on record with {known.amount_cents}, now told {facts['amount_cents']}"
        _open_mismatch(known, str(facts["amount_cents"]), told, at)
    elif attempt is not None and known.attempt_id != attempt.id and not _attach(known, attempt):
        told = f"{known.receipt_no} is claimed by attempt {attempt.id}, too, and pays for something else"
        _open_mismatch(known, f"attempt:{attempt.id}", told, at)
        raise ReceiptTaken(known)
    return known


def _attach(known: Receipt, attempt: PaymentAttempt) -> bool:
    """Say whether a receipt becomes this prompt's; when two claim it at once, PostgreSQL lets one have it."""
    unclaimed = Receipt.objects.filter(
        id=known.id, borrower_id=attempt.intent.borrower_id, attempt__isnull=True
    ).update(attempt=attempt)
    known.refresh_from_db(fields=["attempt"])
    return bool(unclaimed)


def _open_mismatch(known: Receipt, what: str, note: str, at: datetime) -> None:
    cases.open_case(
        kind=Case.Kind.RECEIPT_MISMATCH,
        subject_key=f"receipt:{known.id}:{what}",
        note=note,
        receipt=known,
        borrower=known.borrower,
        at=at,
    )


def _whose(account_reference: str, party: str, attempt: PaymentAttempt | None) -> Borrower | None:
    """Find who is to be credited: our own prompt, then the account that was typed, then a payer known by hash."""
    if attempt is not None:
        return attempt.intent.borrower
    return borrower_of_account(account_reference) or borrower_of_party(party)


# A national ID as it is kept: masked, and findable by the beginning of its blind index.
_KEPT = re.compile(r"\*+\S\S #(?P<index>[0-9a-f]{16})")


def as_kept(typed: str, at: datetime) -> str:
    """Return what a human typed as account in the form in which it may be stored and shown.

    What looks like a national ID, and is nobody's number or loan, is masked. An account that is nothing else
    carries the beginning of its blind index, by which `borrower_of_account` still finds whose it is. Repeats
    safely: what is kept is kept as it is.
    """
    kept = typed if _KEPT.fullmatch(typed) else _masked(typed, at)
    return typed if kept == typed or _of_loan_or_number(typed) else kept


def _masked(typed: str, at: datetime) -> str:
    try:
        on = calendar.business_date(at, settings.TIME_ZONE)
        pattern = products.country_rules(settings.COUNTRY, on).national_id_pattern
    except products.NothingInForce:
        pattern = "[0-9]{5,}"  # no law says what an ID looks like, so any long number may be one
    try:
        national_id = identity.clean_national_id(typed, pattern)
    except identity.InvalidNationalId:
        return identity.mask_within(typed, pattern)
    return f"{identity.mask(national_id)} #{identity_index(national_id)[:16]}"


def borrower_of_account(typed: str) -> Borrower | None:
    """Read what a human typed as account: a loan's reference, a phone number in any of its forms, a national ID."""
    return _of_loan_or_number(typed) or _of_national_id(typed)


def _of_national_id(typed: str) -> Borrower | None:
    kept = _KEPT.fullmatch(typed)
    index = kept["index"] if kept else identity_index(re.sub(r"[\s\-]", "", typed).upper())
    return Borrower.objects.filter(identity_index__startswith=index).order_by("id").first()


def _of_loan_or_number(typed: str) -> Borrower | None:
    text = re.sub(r"[\s\-.+]", "", typed).upper()
    if not text:
        return None
    if loan := Loan.objects.filter(reference=text).select_related("borrower").first():
        return loan.borrower
    if not (text.isascii() and text.isdigit()) or len(text) < 9:
        return None
    try:
        number = phonenumbers.parse(text.removeprefix("00"), settings.COUNTRY)
    except phonenumbers.NumberParseException:
        return None
    msisdn = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164).removeprefix("+")
    return Borrower.objects.filter(msisdn=msisdn).first()


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


def _allocate(receipt: Receipt, at: datetime, *, source: str = "mpesa_paybill") -> None:
    """Cover the person's dues under their lock; the rest is theirs."""
    assert receipt.borrower is not None
    loan = loans.loan_to_repay(receipt.borrower.identity_index)
    over_cents = _cover(receipt, receipt.amount_cents, loan, _received_at(receipt, loan), source)
    receipt.over_cents = over_cents
    receipt.save(update_fields=["over_cents"])
    outbox.write("repayment_received", reference=f"repayment_received:{receipt.id}", receipt_id=receipt.id, at=at)
    if loan is not None:
        settle_if_paid(loan, at)


def apply_kept(loan: Loan, at: datetime) -> None:
    """Cover a loan that has just gone live with what was paid for it before we heard of its payout.

    Facts come in any order: the customer may pay while the operator's word about the payout is still lost.
    Inside the caller's transaction and lock; repeats safely, because a receipt has one repayment.
    """
    early = Receipt.objects.filter(
        borrower__identity_index=loan.identity_index,
        paid_at__gte=loan.approved_at,
        over_cents__gt=0,
        repayment__isnull=True,
    )
    for receipt in early.order_by("paid_at", "id"):
        received_at = _received_at(receipt, loan)
        receipt.over_cents = _cover(receipt, receipt.over_cents, loan, received_at, "customer_overpayments")
        receipt.save(update_fields=["over_cents"])
    settle_if_paid(loan, at)


def _received_at(receipt: Receipt, loan: Loan | None) -> datetime:
    """Return when money counts for a loan: not before there was one, in whichever order we were told."""
    return max(receipt.paid_at, loan.disbursed_at) if loan and loan.disbursed_at else receipt.paid_at


# Where the money of a posting comes from, as the end of its reference: a receipt is posted once on each way.
_WAYS = {"mpesa_paybill": "", "suspense": ":matched", "customer_overpayments": ":applied"}


def _cover(receipt: Receipt, cents: int, loan: Loan | None, received_at: datetime, source: str) -> int:
    """Post money and cover the loan's dues with it; return what is over."""
    items = loans.dues(loan) if loan else []
    order = loan.product_version.allocation_order if loan else KINDS
    covered, over_cents = allocate(cents, [due for _, due in items], order)
    total = total_of(covered)
    kept = 0 if source == "customer_overpayments" else over_cents
    recovers = loan is not None and loan.state == Loan.State.WRITTEN_OFF and total.total > 0
    legs = accounting.recovery if recovers else accounting.repayment
    if total.total or kept:
        post(
            kind=Posting.Kind.RECOVERY if recovers else Posting.Kind.REPAYMENT,
            reference=_posting_reference(receipt) + _WAYS[source],
            occurred_at=received_at,
            currency=receipt.currency,
            lines=legs(total, kept, source),
            borrower=receipt.borrower,
            loan=loan if total.total else None,
        )
    if loan is not None and total.total:
        _write_repayment(receipt, loan, [item for item, _ in items], covered, received_at)
    return over_cents


def _write_repayment(
    receipt: Receipt, loan: Loan, items: list[Installment], covered: list[Due], received_at: datetime
) -> None:
    total_cents = total_of(covered).total
    repayment = Repayment.objects.create(
        loan=loan, receipt=receipt, amount_cents=total_cents, received_at=received_at
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
    borrower = Borrower.objects.get(id=borrower_id)
    lock_person(borrower)
    receipt = Receipt.objects.select_for_update().get(id=receipt_id)
    if receipt.state == Receipt.State.RESOLVED and receipt.borrower_id == borrower_id:
        return receipt
    if receipt.state != Receipt.State.SUSPENSE:
        raise NotInSuspense(receipt.receipt_no)
    receipt.borrower, receipt.state = borrower, Receipt.State.RESOLVED
    receipt.save(update_fields=["borrower", "state"])
    _allocate(receipt, at, source="suspense")
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
