"""What rails tell us: kept first as it came, under a key that makes it once, made sense of afterwards.

A callback that cannot be processed now stays waiting, and the engine takes it up again.
"""

import hashlib
import json
import logging
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F

from lending.models import Case, PaymentAttempt, ProviderEvent
from lending.payments import settling
from lending.payments.providers import daraja_messages as messages
from lending.payments.providers.daraja_messages import Report, Unreadable, UnreadablePayment
from lending.payments.tokens import redact
from lending.ports import Failed, Succeeded
from lending.services import cases, receipts

logger = logging.getLogger(__name__)

PROVIDER = "daraja"
# The view processes at once; the engine leaves it alone for so long.
VIEW_HAS = timedelta(seconds=5)
# What fails for longer than this is for a person.
GIVE_UP_AFTER = timedelta(hours=1)
# What a customer typed as account, wherever it stands in a body, be the rest of it readable or not.
_ACCOUNT = re.compile(r'(?P<name>"BillRefNumber"\s*:\s*)(?P<value>"(?:[^"\\]|\\.)*"|[0-9]+)')
MAX_ACCOUNT = 10_000


def store(
    kind: str, body: bytes, *, token: str, attempt: PaymentAttempt | None, source_address: str, at: datetime
) -> ProviderEvent:
    """Keep a callback without its secrets; the same one again is counted, not kept twice.

    Its key is made of what is kept: from a hash of what came, a masked national ID could be worked out.
    """
    text = body.decode("utf-8", "replace").replace("\x00", "\N{REPLACEMENT CHARACTER}")
    text = _ACCOUNT.sub(lambda found: _account_as_kept(found, at), redact(text))
    key = hashlib.sha256("\x00".join([PROVIDER, kind, token, text]).encode()).hexdigest()
    event, is_new = ProviderEvent.objects.get_or_create(
        dedupe_key=key,
        defaults={
            "provider": PROVIDER,
            "kind": kind,
            "attempt": attempt,
            "body": text,
            "source_address": source_address[:45],
            "received_at": at,
        },
    )
    if not is_new:
        ProviderEvent.objects.filter(id=event.id).update(times_received=F("times_received") + 1)
    return event


def _account_as_kept(found: re.Match[str], at: datetime) -> str:
    """Return the account of a paybill payment as it came, or masked where it is a national ID."""
    try:
        typed = messages.text_of(json.loads(found["value"], strict=False), MAX_ACCOUNT)
    except ValueError:
        typed = messages.text_of(found["value"].strip('"'), MAX_ACCOUNT)
    kept = receipts.as_kept(typed, at)
    return found[0] if kept == typed else found["name"] + json.dumps(kept)


def close(event: ProviderEvent, outcome: str, at: datetime) -> None:
    """Note that nothing more is to be made of an event."""
    ProviderEvent.objects.filter(id=event.id).update(processed_at=at, outcome=outcome[:200])


def waiting(at: datetime, limit: int) -> list[int]:
    """Return events that nobody has processed though there was time to."""
    late = ProviderEvent.objects.filter(processed_at__isnull=True, received_at__lte=at - VIEW_HAS)
    return list(late.order_by("received_at").values_list("id", flat=True)[:limit])


def process(event_id: int, at: datetime) -> bool:
    """Make of an event what there is to make, once; return whether it is done. Never raises."""
    try:
        with transaction.atomic():
            event = (
                ProviderEvent.objects.select_for_update(skip_locked=True, of=("self",))
                .filter(id=event_id, processed_at__isnull=True)
                .first()
            )
            if event is not None:
                close(event, _apply(event, at), at)
    except Exception as error:
        logger.exception("event %s cannot be processed", event_id)
        _postpone(event_id, type(error).__name__, at)
        return False
    return True


def _postpone(event_id: int, error: str, at: datetime) -> None:
    """Leave the event waiting; after an hour a person gets it instead."""
    event = ProviderEvent.objects.get(id=event_id)
    if at - event.received_at < GIVE_UP_AFTER:
        ProviderEvent.objects.filter(id=event_id).update(outcome=f"waiting: {error}")
        return
    note = f"callback {event.kind} cannot be processed: {error}"
    cases.open_case(
        kind=Case.Kind.BAD_TASK, subject_key=f"event:{event_id}", note=note, at=at, attempt=event.attempt
    )
    close(event, f"given to a person: {error}", at)


def process_again(event_id: int, at: datetime) -> bool:
    """Process an event that was given up, at an officer's word."""
    ProviderEvent.objects.filter(id=event_id, outcome__startswith="given to a person").update(processed_at=None)
    return process(event_id, at)


# -- what each kind means ----------------------------------------------------------------------------------


def _apply(event: ProviderEvent, at: datetime) -> str:
    try:
        return APPLY[event.kind](event, json.loads(event.body), at)
    except Unreadable as error:
        return f"not readable: {error}"


def _stk(event: ProviderEvent, body: Any, at: datetime) -> str:
    report = messages.read_stk(body, event.received_at)
    attempt = _attempt(event)
    if attempt.request_id and attempt.request_id != report.request_id:
        return "unknown CheckoutRequestID"
    if not attempt.request_id:
        # The callback has overtaken the answer to our request.
        PaymentAttempt.objects.filter(id=attempt.id, request_id="").update(request_id=report.request_id)
    return settling.settle(attempt.id, report.answer, at=at, source="stk")


def _b2c(event: ProviderEvent, body: Any, at: datetime) -> str:
    report = messages.read_b2c(body, event.received_at)
    return _settle_payout(_attempt(event), report, at, "b2c")


def _b2c_timeout(event: ProviderEvent, body: Any, at: datetime) -> str:
    report, attempt = messages.read_timeout(body), _attempt(event)
    if report.our_ref not in ("", str(attempt.provider_ref)):
        return "unknown OriginatorConversationID"
    return settling.ask_soon(attempt.id, report.request_id, at)


def _status(event: ProviderEvent, body: Any, at: datetime) -> str:
    return _settle_payout(_attempt(event), messages.read_status(body, event.received_at), at, "status")


def _settle_payout(attempt: PaymentAttempt, report: Report, at: datetime, source: str) -> str:
    if report.our_ref not in ("", str(attempt.provider_ref)):
        return "unknown OriginatorConversationID"
    if isinstance(report.answer, Succeeded | Failed) and not report.our_ref:
        # The token names who was asked about; only the id says that the answer is about the same payout.
        return f"{type(report.answer).__name__.lower()} without our id"
    return settling.settle(attempt.id, report.answer, at=at, source=source)


def _confirmation(event: ProviderEvent, body: Any, at: datetime) -> str:
    try:
        payment = messages.read_payment(body, event.received_at)
    except UnreadablePayment as error:
        return _uncounted(event, error, at)
    if not is_our_paybill(payment.shortcode):
        return "another paybill"
    receipt = receipts.record_receipt(
        provider=PROVIDER,
        receipt_no=payment.receipt_no,
        amount_cents=payment.amount_cents,
        currency=messages.CURRENCY,
        party=payment.party,
        account_reference=payment.account_reference,
        # Money with a time that makes no sense is still money.
        paid_at=payment.paid_at or event.received_at,
        source="c2b",
        at=at,
    )
    return f"receipt {receipt.receipt_no}: {receipt.state}"


def _uncounted(event: ProviderEvent, error: UnreadablePayment, at: datetime) -> str:
    """Ask a person about money that came in, says the rail, but cannot be counted as it was told.

    What names neither a receipt nor our paybill is no news of money; what names another paybill is not ours.
    """
    if is_our_paybill(error.shortcode) or (error.receipt_no and not error.shortcode):
        note = f"payment {error.receipt_no or 'without TransID'}: {error} is not readable, so nothing is booked"
        cases.open_case(kind=Case.Kind.UNREADABLE_PAYMENT, subject_key=f"event:{event.id}", note=note, at=at)
    return f"not readable: {error}"


def is_our_paybill(shortcode: str) -> bool:
    """Say whether a payment is for us."""
    return shortcode == settings.DARAJA_PAYBILL


def _attempt(event: ProviderEvent) -> PaymentAttempt:
    """Return the attempt that the token named; without one the view has closed the event already."""
    assert event.attempt is not None, f"event {event.id} of kind {event.kind} names no attempt"
    return event.attempt


APPLY: dict[str, Callable[[ProviderEvent, Any, datetime], str]] = {
    "stk": _stk,
    "b2c_result": _b2c,
    "b2c_timeout": _b2c_timeout,
    "status_result": _status,
    "c2b_confirmation": _confirmation,
}
