"""SMS out: each message written once under its reference, sent at most once, and what is reported of it."""

import logging
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import F

from lending.models import Borrower
from lending.services import bureau
from ussd import alphabet, engine
from ussd.gateways.africastalking import NotSent, Outcome, Rejected, Sent, SmsGateway, Unknown
from ussd.models import DeliveryReport, Sms
from ussd.tongue import speaking

logger = logging.getLogger(__name__)

FINAL_STATES = {
    "success": Sms.State.DELIVERED,
    "delivered": Sms.State.DELIVERED,
    "undeliverable": Sms.State.FAILED,
    "failed": Sms.State.FAILED,
    "rejected": Sms.State.FAILED,
    "absentsubscriber": Sms.State.FAILED,
    "expired": Sms.State.FAILED,
}


class NotSentYet(Exception):
    """Nothing left; the outbox tries again later."""


# --- out ----------------------------------------------------------------------------------------------------
def write(
    *,
    reference: str,
    kind: str,
    msisdn: str,
    text: str,
    language: str,
    at: datetime,
    borrower: Borrower | None = None,
    state: str = Sms.State.DUE,
    parts: int = 1,
) -> Sms:
    """Write a message once: the same reference returns the message on record."""
    letters = alphabet.of(language)
    with speaking(language):
        plain = engine.fit(letters.clean(text), f"sms {kind}", letters.room(parts))
    sms, _ = Sms.objects.get_or_create(
        reference=reference,
        defaults={
            "borrower": borrower,
            "msisdn": msisdn,
            "kind": kind,
            "language": language,
            "text": plain,
            "segments": alphabet.of_text(plain).segments(plain),
            "state": state,
            "due_at": at,
        },
    )
    return sms


def send(sms: Sms, at: datetime) -> None:
    """Send a message that is due. One that another try began and did not finish is perhaps sent, and stays so.

    Raises:
        NotSentYet: nothing left; the message is due again.
    """
    begun = Sms.objects.filter(id=sms.id, state=Sms.State.DUE).update(state=Sms.State.SENDING, sent_at=at)
    if not begun:
        Sms.objects.filter(id=sms.id, state=Sms.State.SENDING).update(state=Sms.State.UNKNOWN)
        return
    _record(sms.id, SmsGateway().send(sms.msisdn, sms.text))


def _record(sms_id: int, outcome: Outcome) -> None:
    unfinished = Sms.objects.filter(id=sms_id, state__in=[Sms.State.SENDING, Sms.State.UNKNOWN])
    match outcome:
        case Sent(message_id, cost):
            unfinished.update(state=Sms.State.SENT, provider_message_id=message_id, cost=cost, provider_status="")
            # The report may have been faster than the answer that carries the id.
            for report in DeliveryReport.objects.filter(provider_message_id=message_id).exclude(
                provider_message_id=""
            ):
                _apply(report)
        case Rejected(why):
            unfinished.update(state=Sms.State.FAILED, provider_status=why[:80])
        case Unknown(why):
            unfinished.update(state=Sms.State.UNKNOWN, provider_status=why[:80])
        case NotSent(why):
            unfinished.update(state=Sms.State.DUE, sent_at=None, provider_status=why[:80])
            raise NotSentYet(why)


def send_from_outbox(*, topic: str, payload: dict[str, Any], at: datetime) -> None:
    """Handle the outbox row of an answer to a customer's SMS."""
    send(Sms.objects.get(id=payload["sms_id"]), at)


def take_report(*, message_id: str, status: str, failure_reason: str, network: str, at: datetime) -> None:
    """Keep a delivery report and apply it; a status that nobody has heard of is kept too."""
    with transaction.atomic():
        report, created = DeliveryReport.objects.get_or_create(
            provider_message_id=message_id,
            status=status,
            defaults={"failure_reason": failure_reason, "network": network, "received_at": at},
        )
        if not created:
            DeliveryReport.objects.filter(id=report.id).update(times_received=F("times_received") + 1)
        _apply(report)


def _apply(report: DeliveryReport) -> None:
    """Let a report change its message. The first final word stands, in whatever order reports come."""
    state = FINAL_STATES.get(report.status.lower())
    mine = Sms.objects.filter(provider_message_id=report.provider_message_id).exclude(
        state__in=[Sms.State.DELIVERED, Sms.State.FAILED]
    )
    status = " ".join([report.status, report.failure_reason]).strip()[:80]
    if state is None:
        mine.update(provider_status=status)
        return
    changes: dict[str, Any] = {"state": state, "provider_status": status}
    if state == Sms.State.DELIVERED:
        changes["delivered_at"] = report.received_at
        for sms in mine.filter(kind="bureau_notice"):
            bureau.notice_delivered(int(sms.reference.split(":")[1]), report.received_at)
    mine.update(**changes)
