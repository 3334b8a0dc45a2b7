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
from lending.ledger import post, reverse
from lending.models import (
    AuditEvent,
    Borrower,
    Case,
    Loan,
    LoanEvent,
    PaymentAttempt,
    Posting,
    Receipt,
    Refund,
    Repayment,
)
from lending.rules import accounting, calendar, identity, money
from lending.rules.allocation import Due
from lending.rules.receipts import as_printed, event_key
from lending.selectors import contracts, loans, products, refinancing
from lending.selectors.deposits import Target, target_of_account, target_of_intent
from lending.services import audit, cases, deposits, life, refunds, savings
from lending.services.people import identity_index, lock_person

PAYBILL = "mpesa_paybill"
PAID_FOR_ANOTHER = "paid_for_another"


class ReceiptTaken(Exception):
    """The receipt pays for another attempt already; a case is open, and the caller settles nothing by it."""

    def __init__(self, receipt: Receipt) -> None:
        super().__init__(f"receipt {receipt.receipt_no} belongs to attempt {receipt.attempt_id}")
        self.receipt = receipt


class NotInSuspense(Exception):
    """The receipt is not waiting for a person."""


class NotCounted(Exception):
    """The receipt is nobody's: it is in suspense, or the operator took it back."""


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
    customer; what was paid to be saved is handed on to the holder of those savings and pays no loan; what fits
    nobody goes to suspense with a case. A receipt seen before is returned as it stands;
    if it now claims other facts, a person gets a case and nothing changes.

    Raises:
        ValueError: the amount is not positive, or more than an account can hold.
        ReceiptTaken: `attempt` claims a receipt that pays for another one.
    """
    if not 0 < amount_cents <= money.MOST_BOOKED_CENTS:
        raise ValueError(f"amount_cents must be positive and at most {money.MOST_BOOKED_CENTS}, got {amount_cents}")
    receipt_no, account_reference = as_printed(receipt_no), as_kept(account_reference, at)
    facts = {"amount_cents": amount_cents, "currency": currency}
    if known := Receipt.objects.filter(provider=provider, receipt_no=receipt_no).first():
        return _known(known, facts, attempt, at)
    target = target_of_intent(attempt.intent) if attempt else target_of_account(account_reference)
    borrower = target.borrower if target else _whose(account_reference, party, attempt)
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
            elif target is not None:
                _save(receipt, target, at)
            else:
                _allocate(receipt, at)
            _thank_payer(receipt, at)
            return receipt
    except IntegrityError:
        # The same payment came by two roads at once; the row that is there counts.
        if known := Receipt.objects.filter(provider=provider, receipt_no=receipt_no).first():
            return _known(known, facts, attempt, at)
        raise


def _known(known: Receipt, facts: dict[str, Any], attempt: PaymentAttempt | None, at: datetime) -> Receipt:
    if any(getattr(known, name) != value for name, value in facts.items()):
        told = f"{known.receipt_no} is on record with {known.amount_cents}, now told {facts['amount_cents']}"
        _open_mismatch(known, str(facts["amount_cents"]), told, at)
    elif attempt is not None and known.attempt_id != attempt.id and not _attach(known, attempt):
        told = f"{known.receipt_no} is claimed by attempt {attempt.id}, too, and pays for something else"
        _open_mismatch(known, f"attempt:{attempt.id}", told, at)
        raise ReceiptTaken(known)
    elif attempt is not None and attempt.intent.savings_account_id and not hasattr(known, "saving"):
        told = f"{known.receipt_no} was asked for savings {attempt.intent.savings_account_id}, and went elsewhere"
        _open_mismatch(known, f"savings:{attempt.id}", told, at)
    _thank_payer(known, at)
    return known


def _thank_payer(receipt: Receipt, at: datetime) -> None:
    """Tell whoever paid for somebody else that it arrived, once, by whichever road we hear of it first."""
    if receipt.attempt is not None and receipt.attempt.intent.payer_id is not None:
        outbox.write(PAID_FOR_ANOTHER, reference=f"{PAID_FOR_ANOTHER}:{receipt.id}", receipt_id=receipt.id, at=at)


def _attach(known: Receipt, attempt: PaymentAttempt) -> bool:
    """Say whether a receipt becomes this prompt's; when two claim it at once, PostgreSQL lets one have it."""
    person = attempt.intent.borrower.identity_index
    # Their loan may be on another number. Ids, not a join: who waited for the row looks at it again as it is then.
    numbers = list(Borrower.objects.filter(identity_index=person).values_list("id", flat=True))
    unclaimed = Receipt.objects.filter(id=known.id, borrower_id__in=numbers, attempt__isnull=True).update(
        attempt=attempt
    )
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
    is_known = kept == typed or _of_loan_or_number(typed) or target_of_account(typed)
    return typed if is_known else kept


def _masked(typed: str, at: datetime) -> str:
    try:
        on = calendar.business_date(at, settings.TIME_ZONE)
        pattern = products.country_rules(settings.COUNTRY, on).national_id.pattern
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
    msisdn = msisdn_of(text)
    return Borrower.objects.filter(msisdn=msisdn).first() if msisdn else None


def msisdn_of(typed: str) -> str:
    """Return the phone number that a human typed in any of its forms, as E.164 digits; "" for what is none."""
    digits = re.sub(r"[\s\-.+]", "", typed)
    if not (digits.isascii() and digits.isdigit()) or len(digits) < 9:
        return ""
    try:
        number = phonenumbers.parse(digits.removeprefix("00"), settings.COUNTRY)
    except phonenumbers.NumberParseException:
        return ""
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164).removeprefix("+")


def borrower_of_party(party: str) -> Borrower | None:
    """Find a payer by the plain number or by the hash that Daraja's C2B v1 sends; a masked number says nothing."""
    if re.fullmatch(r"[0-9a-f]{64}", party):
        return Borrower.objects.filter(msisdn_sha256=party).first()
    if re.fullmatch(r"[1-9][0-9]{9,14}", party):
        return Borrower.objects.filter(msisdn_sha256=hashlib.sha256(party.encode()).hexdigest()).first()
    return None


def _hold(receipt: Receipt, at: datetime, why: str = "") -> None:
    nobodys = f"account {receipt.account_reference!r} is nobody's"
    _post(receipt, Posting.Kind.SUSPENSE, "suspense", accounting.suspense(receipt.amount_cents))
    cases.open_case(
        kind=Case.Kind.UNMATCHED_RECEIPT,
        subject_key=f"receipt:{receipt.id}",
        note=f"{receipt.receipt_no}: {why or nobodys}",
        receipt=receipt,
        at=at,
    )


def _post(
    receipt: Receipt, kind: str, way: str, lines: list[accounting.Line], borrower: Borrower | None = None
) -> None:
    """Post what a receipt did beside any loan; once more on a way on which it was posted and reversed."""
    key = key_of(receipt)
    made = Posting.objects.filter(event_key=key, kind=kind, loan=None).count()
    post(
        kind=kind,
        reference=f"{key}:{way}" + (f":{made + 1}" if made else ""),
        occurred_at=receipt.paid_at,
        currency=receipt.currency,
        lines=lines,
        borrower=borrower,
        event_key=key,
    )


def key_of(receipt: Receipt) -> str:
    """Return what names a receipt as an event."""
    return event_key(receipt.provider, receipt.receipt_no)


def _save(receipt: Receipt, target: Target, at: datetime) -> None:
    """Hand on what is to be saved, under the person's lock; what those savings do not take is kept."""
    try:
        with transaction.atomic():
            deposits.take(receipt, target, at)
    except (savings.AccountClosed, deposits.NotTheirAccount):
        _keep(receipt, PAYBILL)
        _tell("deposit_kept", receipt, at)
    else:
        _tell("deposit_received", receipt, at)


def _keep(receipt: Receipt, source: str) -> None:
    receipt.over_cents = receipt.amount_cents
    receipt.save(update_fields=["over_cents"])
    kept = accounting.repayment(Due(), receipt.amount_cents, source)
    _post(receipt, Posting.Kind.REPAYMENT, "kept", kept, receipt.borrower)


def _allocate(receipt: Receipt, at: datetime, *, source: str = PAYBILL) -> None:
    """Cover the person's dues under their lock; the rest is theirs."""
    assert receipt.borrower is not None
    loan = loans.loan_to_repay(receipt.borrower.identity_index)
    if loan is None:
        _keep(receipt, source)
    else:
        _repay(receipt, loan, source, at)
    _tell("repayment_received", receipt, at)


def times_released(receipt: Receipt) -> int:
    """Return how often a receipt was taken from somebody to whom it had been given by mistake."""
    return AuditEvent.objects.filter(action="receipt_released", subject=f"receipt:{receipt.id}").count()


def _tell(topic: str, receipt: Receipt, at: datetime, **more: Any) -> None:
    """Owe whoever the receipt is given to, or taken from, one message each time."""
    nth = times_released(receipt)
    outbox.write(topic, reference=f"{topic}:{receipt.id}:{nth}", receipt_id=receipt.id, nth=nth, at=at, **more)


def _repay(receipt: Receipt, loan: Loan, source: str, at: datetime) -> None:
    """Make the receipt a fact of the loan; the rules say what it covers and what is over.

    Money counts for a loan from its payout on, in whichever order we were told.
    """
    assert loan.disbursed_at is not None
    received_at = max(receipt.paid_at, loan.disbursed_at)
    event = life.add(
        loan,
        key=_next_key(receipt),
        kind=LoanEvent.Kind.PAY,
        happened_at=received_at,
        at=at,
        details={"amount_cents": receipt.amount_cents, "account": source},
    )
    Repayment.objects.update_or_create(
        receipt=receipt, defaults={"loan": loan, "event": event, "amount_cents": 0, "received_at": received_at}
    )
    life.replay(loan, at)
    receipt.refresh_from_db(fields=["over_cents"])


def _next_key(receipt: Receipt) -> str:
    """Return the key of the receipt as a fact: numbered, when it was a fact before and that one is undone."""
    before = Repayment.objects.filter(receipt=receipt).select_related("event").first()
    if before is None:
        return key_of(receipt)
    key, _, number = before.event.key.partition("#")
    return f"{key}#{int(number or 1) + 1}"


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
        saving__isnull=True,  # what was to be saved pays a loan only at its owner's word
    ).exclude(refund_parts__refund__state__in=Refund.SPOKEN_FOR)
    for receipt in early.order_by("paid_at", "id"):
        _repay(receipt, loan, "customer_overpayments", at)


def move_later(old: Loan, new: Loan, since: datetime, at: datetime) -> None:
    """Give what was paid on a loan since another one paid it off to that other one, which has just gone live.

    Inside the caller's transaction and lock; repeats safely, because a receipt has one repayment.
    """
    later = old.repayments.filter(received_at__gte=since, event__reversed_by=None)
    for repayment in later.select_related("event", "receipt").order_by("received_at", "id"):
        _undo(repayment, at)
        receipt, source = repayment.receipt, repayment.event.details.get("account") or PAYBILL
        kept = accounting.repayment(Due(), receipt.amount_cents, source)
        _post(receipt, Posting.Kind.REPAYMENT, "kept", kept, receipt.borrower)
        _repay(receipt, new, "customer_overpayments", at)


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


@transaction.atomic
def release_receipt(*, receipt_id: int, actor: Any, reason: str, at: datetime) -> Receipt:
    """Take a receipt from the loan or person to whom it was given by mistake: it waits in suspense for its owner.

    Repeats safely: money in suspense stays there.

    Raises:
        NotCounted: the operator took it back.
        OpenLoanInTheWay: the loan would be open again beside another one.
        RefinancingUnderWay: a new loan is on its way to pay that loan off.
        RefundUnderWay: what is kept of it may just be leaving.
        HandedOn: it is in somebody's savings.
    """
    receipt = _locked(receipt_id)
    if receipt.state == Receipt.State.SUSPENSE:
        return receipt
    if receipt.state == Receipt.State.REVERSED:
        raise NotCounted(receipt.receipt_no)
    was_of = receipt.borrower
    _take_out(receipt, actor, reason, at)
    receipt.state, receipt.borrower, receipt.over_cents = Receipt.State.SUSPENSE, None, 0
    receipt.save(update_fields=["state", "borrower", "over_cents"])
    refunds.watch_receipt(receipt, at)
    _hold(receipt, at, f"given to {was_of} by mistake: {reason}")
    if was_of is not None:
        _tell("repayment_undone", receipt, at, borrower_id=was_of.id)
    _record("receipt_released", receipt, was_of, actor, reason, at)
    return receipt


@transaction.atomic
def reverse_receipt(*, receipt_id: int, actor: Any, reason: str, at: datetime) -> Receipt:
    """Take money that the operator gave back to its payer out of our books, and of the loan that it covered.

    Repeats safely: a receipt is reversed once.

    Raises:
        OpenLoanInTheWay: the loan would be open again beside another one.
        RefinancingUnderWay: a new loan is on its way to pay that loan off.
        RefundUnderWay: what is kept of it may just be leaving.
        HandedOn: it is in somebody's savings.
    """
    receipt = _locked(receipt_id)
    if receipt.state == Receipt.State.REVERSED:
        return receipt
    _take_out(receipt, actor, reason, at)
    receipt.state, receipt.reversed_at, receipt.over_cents = Receipt.State.REVERSED, at, 0
    receipt.save(update_fields=["state", "reversed_at", "over_cents"])
    refunds.watch_receipt(receipt, at)
    if receipt.borrower is not None:
        _tell("repayment_undone", receipt, at, borrower_id=receipt.borrower.id)
    Case.objects.filter(
        kind=Case.Kind.UNMATCHED_RECEIPT, subject_key=f"receipt:{receipt.id}", closed_at__isnull=True
    ).update(closed_at=at, closed_by=actor, resolution=f"the operator took it back: {reason}"[:300])
    _record("receipt_reversed", receipt, receipt.borrower, actor, reason, at)
    return receipt


def _locked(receipt_id: int) -> Receipt:
    """Lock the person first, as everybody does, and then the receipt."""
    receipt = Receipt.objects.select_related("borrower").get(id=receipt_id)
    if receipt.borrower is not None:
        lock_person(receipt.borrower)
    return Receipt.objects.select_for_update().get(id=receipt_id)


def _take_out(receipt: Receipt, actor: Any, reason: str, at: datetime) -> None:
    """Undo whatever the receipt did, to a loan and beside it, as if it had never come."""
    if receipt.borrower is not None:
        refunds.refuse_while_under_way(receipt.borrower)
    deposits.take_back(receipt, at)
    repayment = Repayment.objects.filter(receipt=receipt).select_related("event__reversed_by").first()
    if repayment is not None and not hasattr(repayment.event, "reversed_by"):
        if new := refinancing.under_way(repayment.loan_id):
            raise refinancing.RefinancingUnderWay(new)
        _undo(repayment, at, actor, reason)
    beside = Posting.objects.filter(event_key=key_of(receipt), loan=None, reversed_by=None)
    for posting in beside.exclude(kind=Posting.Kind.REVERSAL).select_related("borrower"):
        reverse(posting, reference=f"{posting.reference}:reversed", occurred_at=posting.occurred_at)


def _undo(repayment: Repayment, at: datetime, actor: Any = None, reason: str = "") -> None:
    """Undo what a receipt was to its loan."""
    life.record(
        contracts.with_contract().get(id=repayment.loan_id),
        key=f"reverse:{repayment.event.key}",
        kind=LoanEvent.Kind.REVERSE,
        happened_at=max(at, repayment.event.happened_at),
        at=at,
        undoes=repayment.event,
        actor=actor,
        reason=reason,
    )


def _record(
    action: str, receipt: Receipt, borrower: Borrower | None, actor: Any, reason: str, at: datetime
) -> None:
    subject = f"receipt:{receipt.id}"
    audit.record(action, subject=subject, borrower=borrower, actor=actor, reason=reason, at=at)
