"""What becomes of an attempt once something is known: one transaction, whichever road the news came by.

Success beats failure, and nothing makes a success fail. What contradicts itself is posted nowhere and goes to
a person. Locks are taken in one order everywhere: intent, attempt, then whatever the service locks.
"""

import logging
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet

from lending.models import Case, PaymentAttempt, PaymentIntent, Receipt
from lending.payments import breaker
from lending.payments.attempts import SENT_BEFORE
from lending.payments.parties import is_same_party, names_a_wallet
from lending.ports import Accepted, Answer, Failed, NotFound, NotSent, Succeeded, Unknown
from lending.rules.receipts import as_printed
from lending.selectors import deposits
from lending.services import cases, loans, receipts, refunds, repayments

logger = logging.getLogger(__name__)

State = PaymentAttempt.State
Purpose = PaymentIntent.Purpose
# Who knows what a payout means.
SERVICES: dict[str, Any] = {Purpose.DISBURSE: loans, Purpose.REFUND: refunds}

LIVE = (State.SUBMITTING, State.ACCEPTED, State.UNKNOWN)
# When to ask, counted from the sending; after the last one a person takes over.
QUERY_AFTER = [timedelta(seconds=60)] + [timedelta(minutes=m) for m in (5, 15, 60, 180, 360, 720, 1440)]
ALARM_AFTER = timedelta(minutes=15)
# Younger than this a request may still be on its way to where the rail looks.
NOT_FOUND_COUNTS_AFTER = timedelta(seconds=60)
# A prompt is gone from the screen long before; if it was paid after all, the receipt still counts.
PROMPT_FORGOTTEN_AFTER = timedelta(minutes=3)
PROMPT_GIVEN_UP_AFTER = timedelta(hours=1)
GAVE_UP = "no_answer"
# The operator's clock may be this far behind ours.
CLOCK_SKEW = timedelta(minutes=5)


def next_query_at(attempt: PaymentAttempt, at: datetime) -> datetime | None:
    """Return when to ask next, or None when asking has been tried for long enough."""
    sent_at = attempt.submitted_at or attempt.created_at
    waits = QUERY_AFTER
    if attempt.intent.is_prompt:
        waits = sorted([*QUERY_AFTER, PROMPT_FORGOTTEN_AFTER])
    return next((sent_at + wait for wait in waits if sent_at + wait > at), None)


def settle(attempt_id: int, answer: Answer, *, at: datetime, source: str) -> str:
    """Apply what a callback or a query said to an attempt; return what came of it in a few words."""
    match answer:
        case Succeeded():
            return settle_success(attempt_id, answer, at=at, source=source)
        case Failed():
            return settle_failure(attempt_id, answer, at=at)
        case NotFound():
            return _not_found(attempt_id, at)
        case Unknown(why) | NotSent(why):
            return _still_unknown(attempt_id, why)
        case Accepted():
            return "the question was taken"


def lock(attempt_id: int) -> PaymentAttempt:
    """Lock an attempt with its intent, in the order that everybody keeps."""
    intent = PaymentIntent.objects.select_for_update(of=("self",)).get(attempts=attempt_id)
    attempt = PaymentAttempt.objects.select_for_update(of=("self",)).get(id=attempt_id)
    attempt.intent = intent
    return attempt


# -- success -----------------------------------------------------------------------------------------------


@transaction.atomic
def settle_success(attempt_id: int, answer: Succeeded, *, at: datetime, source: str) -> str:
    """Settle an attempt whose money moved, once; repeats change nothing."""
    attempt = lock(attempt_id)
    intent = attempt.intent
    answer = replace(answer, receipt_no=as_printed(answer.receipt_no))
    if answer.at < attempt.created_at - CLOCK_SKEW:
        # Paid before it was asked for: that time is wrong, and a loan that began then would be late at once.
        answer = replace(answer, at=at)
    if (wrong := _mismatch(attempt, answer)) is not None:
        return _refuse(attempt, f"{wrong}; receipt {answer.receipt_no or 'none'}", at)
    if not answer.receipt_no:
        return _await_receipt(attempt, at)
    if attempt.state == State.SUCCEEDED and attempt.receipt_no == answer.receipt_no:
        return "succeeded before"
    if not _claim_receipt(attempt, answer, at, source):
        return _refuse(attempt, f"receipt {answer.receipt_no} pays for something else already", at)
    if attempt.state == State.SUCCEEDED:
        return _another_receipt(attempt, answer, at)
    if attempt.state == State.FAILED or intent.state != PaymentIntent.State.OPEN:
        return _late_success(attempt, answer, at)
    _mark_succeeded(attempt, answer, at)
    _book_payout(attempt, answer, at)
    _close_unknown(attempt, at)
    return "succeeded"


def _mismatch(attempt: PaymentAttempt, answer: Succeeded) -> str | None:
    """Say in words how a success differs from what we asked for."""
    intent = attempt.intent
    if answer.amount_cents != intent.amount_cents:
        return f"asked for {intent.amount_cents} cents, told {answer.amount_cents}"
    if not is_same_party(answer.party, intent.msisdn):
        return "told of another party"
    if not names_a_wallet(answer.party) and _contradictions(attempt).exists():
        # What was contradicted by name is not put right by an answer that leaves the name out.
        return "told of no party"
    return None


def _mark_succeeded(attempt: PaymentAttempt, answer: Succeeded, at: datetime) -> None:
    attempt.state, attempt.result_code, attempt.result_text = State.SUCCEEDED, "0", ""
    attempt.receipt_no, attempt.completed_at, attempt.settled_at = answer.receipt_no, answer.at, at
    attempt.next_query_at = None
    attempt.save()
    intent = attempt.intent
    intent.state, intent.leased_until = PaymentIntent.State.SUCCEEDED, None
    intent.save(update_fields=["state", "leased_until"])


def _book_payout(attempt: PaymentAttempt, answer: Succeeded, at: datetime) -> None:
    """Hand a payout to the service that knows what it means; what a prompt brought is booked already."""
    if not attempt.intent.is_prompt:
        SERVICES[attempt.intent.purpose].payout_succeeded(
            attempt_id=attempt.id,
            receipt_no=answer.receipt_no,
            amount_cents=answer.amount_cents,
            completed_at=answer.at,
            at=at,
        )


def _claim_receipt(attempt: PaymentAttempt, answer: Succeeded, at: datetime, source: str) -> bool:
    """Say whether a receipt can be this attempt's: one number is one movement of money.

    Two payouts told under one number at the same moment meet at the unique reference of their posting.
    """
    if attempt.intent.is_prompt:
        return _record_receipt(attempt, answer, at, source)
    same = PaymentAttempt.objects.filter(provider=attempt.provider, receipt_no=answer.receipt_no)
    return not same.exclude(id=attempt.id).exists()


def _record_receipt(attempt: PaymentAttempt, answer: Succeeded, at: datetime, source: str) -> bool:
    """Count the money of a prompt, whatever state its attempt is in; say whether it is this prompt's.

    Money that pays for another attempt, or that is on record with another amount, has a case and settles
    nothing here.
    """
    try:
        receipt = receipts.record_receipt(
            provider=attempt.provider,
            receipt_no=answer.receipt_no,
            amount_cents=answer.amount_cents,
            currency=attempt.intent.currency,
            party=answer.party,
            account_reference=account_reference(attempt.intent),
            paid_at=answer.at,
            source=source,
            at=at,
            attempt=attempt,
        )
    except receipts.ReceiptTaken:
        return False
    return receipt.attempt_id == attempt.id


def account_reference(intent: PaymentIntent) -> str:
    """Return what the customer's statement and a paybill payment name: the loan, the savings, else the number."""
    if intent.savings_account is not None:
        return deposits.paybill_account(intent.savings_account, intent.borrower)
    return intent.loan.reference if intent.loan else intent.msisdn


def _another_receipt(attempt: PaymentAttempt, answer: Succeeded, at: datetime) -> str:
    if attempt.intent.is_prompt:
        return "succeeded before; another receipt was recorded"  # it is other money, whoever asked for it
    return _refuse(attempt, f"paid as {attempt.receipt_no} and again as {answer.receipt_no}", at)


def _late_success(attempt: PaymentAttempt, answer: Succeeded, at: datetime) -> str:
    """Settle a success that came after a failure; a person looks, unless we had only given up waiting."""
    intent, failure = attempt.intent, attempt.result_code
    intent.attempts.exclude(id=attempt.id).filter(state=State.CREATED).update(
        state=State.FAILED, result_code="superseded", settled_at=at
    )
    if intent.attempts.exclude(id=attempt.id).exclude(state=State.FAILED).exists():
        attempt.receipt_no, attempt.completed_at = answer.receipt_no, answer.at
        attempt.save(update_fields=["receipt_no", "completed_at"])
        return _refuse(attempt, f"late success {answer.receipt_no} beside another try", at)
    try:
        with transaction.atomic():
            _mark_succeeded(attempt, answer, at)
            _book_payout(attempt, answer, at)
    except Exception as error:
        # The customer may have a new loan by now; what to make of the old payout is for a person to say.
        logger.exception("late success of attempt %s cannot be booked", attempt.id)
        attempt = lock(attempt.id)
        return _refuse(attempt, f"late success {answer.receipt_no} is not booked: {type(error).__name__}", at)
    if failure != GAVE_UP:
        _alarm(attempt, f"success {answer.receipt_no} came after failure {failure}", at)
    _close_unknown(attempt, at)
    return "late success"


def _await_receipt(attempt: PaymentAttempt, at: datetime) -> str:
    """A prompt is paid, but this road tells no receipt: take the one that the paybill road brought.

    What is settled keeps its result: why it failed says later whether its success is a contradiction.
    """
    if attempt.state in (State.SUCCEEDED, State.FAILED):
        return "paid, by a query"
    attempt.result_code, attempt.result_text = "0", "paid; the receipt is still to come"
    attempt.save(update_fields=["result_code", "result_text"])
    return _settle_by_paybill(attempt, at) or "paid; waiting for the receipt"


def _settle_by_paybill(attempt: PaymentAttempt, at: datetime) -> str:
    """Settle a prompt by the receipt that came by the paybill road; return nothing when there is none."""
    receipt = _paybill_receipt(attempt)
    if receipt is None:
        return ""
    told = Succeeded(receipt.receipt_no, receipt.amount_cents, receipt.party, receipt.paid_at)
    return settle_success(attempt.id, told, at=at, source=receipt.source)


def _paybill_receipt(attempt: PaymentAttempt) -> Receipt | None:
    """Return the receipt of this customer's wallet and amount, paid after the prompt, that no attempt claims.

    What was told before the prompt, by our clock, was not paid by it; the operator's clock may differ a little.
    """
    intent, sent_at = attempt.intent, attempt.submitted_at or attempt.created_at
    unclaimed = Receipt.objects.filter(
        provider=attempt.provider,
        # Their loan may be on another number of theirs.
        borrower__identity_index=intent.borrower.identity_index,
        amount_cents=intent.amount_cents,
        attempt__isnull=True,
        recorded_at__gte=sent_at,
        paid_at__gte=sent_at - CLOCK_SKEW,
        # A payment to a loan is no answer to a prompt for savings, nor to one for other savings.
        saving__account=intent.savings_account,
    ).order_by("paid_at", "id")
    # Somebody else may pay the same amount for this customer: that is no answer to the prompt.
    return next((receipt for receipt in unclaimed if is_same_party(receipt.party, intent.msisdn)), None)


# -- failure -----------------------------------------------------------------------------------------------


@transaction.atomic
def settle_failure(attempt_id: int, answer: Failed, *, at: datetime, refused: bool = False) -> str:
    """Settle an attempt that certainly failed.

    A fault of ours stops the rail and keeps the intent for a new try; `refused` means that this one request
    was not even taken, which a new try would not change.
    """
    attempt = lock(attempt_id)
    if attempt.state == State.SUCCEEDED:
        _alarm(attempt, f"failure {answer.code} came after success {attempt.receipt_no}", at)
        return "succeeded before; a failure changes nothing"
    if attempt.state == State.FAILED:
        return "failed before"
    if attempt.result_code == "0":
        # A query has said that it was paid: only a receipt or a person can tell now.
        _alarm(attempt, f"failure {answer.code} came after a query said paid", at)
        return "contradiction"
    attempt.state, attempt.next_query_at, attempt.settled_at = State.FAILED, None, at
    attempt.result_code, attempt.result_text = answer.code[:40], answer.text[:200]
    attempt.save()
    _close_unknown(attempt, at)
    if refused and answer.ours:
        _alarm_refused(attempt, at)
    elif answer.ours:
        return _keep_for_person(attempt, at)
    elif answer.again_after_s and attempt.number == 1:
        return _try_again(attempt, at + timedelta(seconds=answer.again_after_s))
    _fail_intent(attempt, answer, at)
    return f"failed: {answer.code}"


def _keep_for_person(attempt: PaymentAttempt, at: datetime) -> str:
    reason = f"result {attempt.result_code}: {attempt.result_text}"
    breaker.stop(breaker.rail_of(attempt.provider, attempt.intent.purpose), reason, at)
    _try_again(attempt, at)
    return f"our fault: {attempt.result_code}; the rail is stopped"


def _try_again(attempt: PaymentAttempt, due_at: datetime) -> str:
    intent = attempt.intent
    intent.due_at, intent.leased_until = due_at, None
    intent.save(update_fields=["due_at", "leased_until"])
    return "failed; a new try will follow"


def _fail_intent(attempt: PaymentAttempt, answer: Failed, at: datetime) -> None:
    intent = attempt.intent
    intent.state, intent.leased_until = PaymentIntent.State.FAILED, None
    intent.save(update_fields=["state", "leased_until"])
    service = repayments.prompt_failed if intent.is_prompt else SERVICES[intent.purpose].payout_failed
    service(attempt_id=attempt.id, code=answer.code, text=answer.text, at=at)


# -- neither -----------------------------------------------------------------------------------------------


@transaction.atomic
def _still_unknown(attempt_id: int, why: str) -> str:
    """Note that nobody knows; the next question is due anyway."""
    PaymentAttempt.objects.filter(id=attempt_id, state__in=LIVE).update(state=State.UNKNOWN, result_text=why[:200])
    return f"unknown: {why}"


@transaction.atomic
def _not_found(attempt_id: int, at: datetime) -> str:
    """The rail has never heard of a payout: send it again under the same id, which it takes only once.

    Not when it had accepted the request, nor when it may still be on its way.
    """
    attempt = lock(attempt_id)
    age = at - (attempt.submitted_at or attempt.created_at)
    takes_ids = not attempt.intent.is_prompt
    if attempt.state != State.UNKNOWN or attempt.request_id or not takes_ids or age < NOT_FOUND_COUNTS_AFTER:
        return "not found; asked again later"
    attempt.state, attempt.next_query_at = State.CREATED, None
    attempt.save(update_fields=["state", "next_query_at"])
    _try_again(attempt, at)
    return "never arrived; sent again under the same id"


@transaction.atomic
def ask_soon(attempt_id: int, request_id: str, at: datetime) -> str:
    """The rail itself gave up waiting: ask now instead of later."""
    attempt = lock(attempt_id)
    if attempt.state not in LIVE:
        return f"{attempt.state} before"
    attempt.state, attempt.next_query_at = State.UNKNOWN, at
    attempt.request_id = attempt.request_id or request_id
    attempt.save(update_fields=["state", "next_query_at", "request_id"])
    return "unknown: queue time-out"


@transaction.atomic
def give_up_prompt(attempt_id: int, at: datetime) -> str:
    """End a prompt that nobody has told us the fate of, unless the paybill road shows that it was paid."""
    attempt = lock(attempt_id)
    if attempt.state not in LIVE:
        return f"{attempt.state} before"
    if attempt.result_code == "0":
        return hand_over(attempt_id, at)  # it was paid, says a query that came meanwhile
    told = _settle_by_paybill(attempt, at)
    attempt.refresh_from_db(fields=["state"])
    if attempt.state == State.SUCCEEDED:
        return told
    return settle_failure(attempt_id, Failed(GAVE_UP, "no answer to the prompt"), at=at)


@transaction.atomic
def hand_over(attempt_id: int, at: datetime) -> str:
    """Give up asking and give it to a person; a callback can still settle it."""
    attempt = lock(attempt_id)
    if attempt.state in LIVE:
        attempt.state, attempt.next_query_at = State.MANUAL, None
        attempt.save(update_fields=["state", "next_query_at"])
        alarm_unknown(attempt, at)
    return attempt.state


@transaction.atomic
def ask_again(attempt_id: int, at: datetime) -> None:
    """Put an attempt back among those that are asked about, at an officer's word: one that is with a person, or
    that was sent and is not known to the rail."""
    waiting = PaymentAttempt.objects.filter(Q(state=State.MANUAL) | SENT_BEFORE, id=attempt_id)
    waiting.update(state=State.UNKNOWN, next_query_at=at)


# -- people ------------------------------------------------------------------------------------------------


def _refuse(attempt: PaymentAttempt, why: str, at: datetime) -> str:
    """Post nothing, tell a person, and ask the rail once more."""
    is_news = _alarm(attempt, why, at)
    if is_news and attempt.state in LIVE:
        attempt.state, attempt.next_query_at = State.UNKNOWN, at
        attempt.save(update_fields=["state", "next_query_at"])
    return f"not posted: {why}"


def _alarm(attempt: PaymentAttempt, why: str, at: datetime) -> bool:
    """Open the case of an attempt that contradicts itself, or add to it; return whether there was none yet."""
    is_news = not _contradictions(attempt).exists()
    case = cases.open_case(
        kind=Case.Kind.PAYOUT_MISMATCH,
        subject_key=f"attempt:{attempt.id}",
        note=why,
        at=at,
        attempt=attempt,
        borrower=attempt.intent.borrower,
    )
    cases.add_note(case, why)
    return is_news


def _contradictions(attempt: PaymentAttempt) -> QuerySet[Case]:
    """Return the open case about what contradicts itself, if there is one."""
    return attempt.cases.filter(kind=Case.Kind.PAYOUT_MISMATCH, closed_at__isnull=True)


def _alarm_refused(attempt: PaymentAttempt, at: datetime) -> None:
    note = f"the rail refuses our request: {attempt.result_code} {attempt.result_text}"
    cases.open_case(kind=Case.Kind.BAD_TASK, subject_key=f"attempt:{attempt.id}", note=note, at=at, attempt=attempt)


def alarm_unknown(attempt: PaymentAttempt, at: datetime) -> None:
    """Open the case of a payment that nobody can tell the outcome of."""
    cases.open_case(
        kind=Case.Kind.PAYOUT_UNKNOWN,
        subject_key=f"attempt:{attempt.id}",
        note=f"sent {attempt.submitted_at:%Y-%m-%d %H:%M}, still unknown: {attempt.result_text}",
        at=at,
        attempt=attempt,
        borrower=attempt.intent.borrower,
    )


def _close_unknown(attempt: PaymentAttempt, at: datetime) -> None:
    """Close the case of an unknown outcome that has become known by itself."""
    open_now = attempt.cases.filter(kind=Case.Kind.PAYOUT_UNKNOWN, closed_at__isnull=True).first()
    if open_now:
        cases.close_case(case_id=open_now.id, officer=None, resolution=f"settled: {attempt.state}", at=at)
