"""SMS: each message written once under its reference and sent at most once; keywords answered."""

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils import translation
from django.utils.translation import pgettext

from lending import outbox
from lending.models import Borrower, Loan
from lending.rules import calendar
from lending.rules.standing import Standing
from lending.selectors import loans, people
from lending.services import bureau
from lending.services import people as people_services
from ussd import alphabet, engine, owing, words
from ussd.gateways.africastalking import NotSent, Outcome, Rejected, Sent, SmsGateway, Unknown
from ussd.models import DeliveryReport, IncomingSms, Sms

logger = logging.getLogger(__name__)

FINAL_STATES = {
    "success": Sms.State.DELIVERED,
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
) -> Sms:
    """Write a message once: the same reference returns the message on record."""
    letters = alphabet.of(language)
    with translation.override(language):
        plain = engine.fit(letters.clean(text), f"sms {kind}", letters.sms)
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


# --- in -----------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Keyword:
    """What a word asks for, and the language in which somebody unknown is answered."""

    answer: Callable[[str, Borrower | None, datetime], str]
    language: str


def take_incoming(*, gateway: str, message_id: str, msisdn: str, sent_to: str, text: str, at: datetime) -> None:
    """Answer a customer's message once. No word here moves money."""
    with transaction.atomic():
        found, keyword = keyword_of(text)
        incoming, created = IncomingSms.objects.get_or_create(
            gateway=gateway,
            message_id=message_id,
            defaults={
                "msisdn": msisdn,
                "sent_to": sent_to,
                "text": mask_digits(text)[:480],
                "keyword": found,
                "received_at": at,
            },
        )
        if not created:
            IncomingSms.objects.filter(id=incoming.id).update(times_received=F("times_received") + 1)
            return
        borrower = people.find_borrower(msisdn)
        language = borrower.language if borrower else keyword.language
        with translation.override(language):
            answer = keyword.answer(msisdn, borrower, at)
        reply = write(
            reference=f"answer:{gateway}:{message_id}",
            kind=f"answer_{found.lower() or 'unknown'}",
            msisdn=msisdn,
            text=answer,
            language=language,
            at=at,
            borrower=borrower,
        )
        IncomingSms.objects.filter(id=incoming.id).update(answer=reply)
        outbox.write("sms_due", reference=f"sms:{reply.id}", at=at, sms_id=reply.id)


def keyword_of(text: str) -> tuple[str, Keyword]:
    """Return the keyword that a message begins with and what it asks for; unknown words get help."""
    letters = re.findall(r"[A-Za-z]+", text[:40])
    word = letters[0].upper() if letters else ""
    return (word, KEYWORDS[word]) if word in KEYWORDS else ("", KEYWORDS["HELP"])


def mask_digits(text: str) -> str:
    """Return a message fit to be kept: people type PINs and ID numbers into SMS.

    >>> mask_digits("LOAN 500 4826")
    'LOAN 500 ****'
    """
    return re.sub(r"\d{4,}", lambda digits: "*" * len(digits[0]), text.replace("\x00", ""))


def _balance(msisdn: str, borrower: Borrower | None, at: datetime) -> str:
    if borrower is None:
        return _how(msisdn, borrower, at)
    today = calendar.business_date(at, settings.TIME_ZONE)
    loan = loans.loan_to_repay(borrower.identity_index) or loans.open_loan(borrower.id)
    standing = loans.standing(loan, today) if loan else None
    return balance_words(loan, standing, borrower.offered_limit_cents, today)


def balance_words(loan: Loan | None, standing: Standing | None, limit_cents: int, today: date) -> str:
    """Say what is owed, or what may be borrowed."""
    code = {"code": settings.USSD_CODE}
    if loan is None:
        return pgettext("sms", "You have no loan. Your limit is %(limit)s. Dial %(code)s to borrow.") % (
            code | {"limit": words.amount(limit_cents)}
        )
    if loan.state == Loan.State.APPROVED:
        return pgettext("sms", "%(amount)s is on its way to you, ref %(ref)s.") % {
            "amount": words.amount(loan.on_its_way_cents, loan.currency),
            "ref": loan.reference,
        }
    return pgettext("sms", "%(owed)s, ref %(ref)s. Dial %(code)s to repay.") % (
        code | {"owed": owing.owed(loan, standing, today), "ref": loan.reference}
    )


def _how(msisdn: str, borrower: Borrower | None, at: datetime) -> str:
    return pgettext("sms", "To borrow, dial %(code)s. It is free to dial and you see every cost first.") % {
        "code": settings.USSD_CODE
    }


def _help(msisdn: str, borrower: Borrower | None, at: datetime) -> str:
    return pgettext(
        "sms",
        "Jirani: dial %(code)s for loans. Send BAL for what you owe, STOP for no reminders. "
        "An officer reads your message. Never send your PIN.",
    ) % {"code": settings.USSD_CODE}


def _stop(msisdn: str, borrower: Borrower | None, at: datetime) -> str:
    people_services.stop_sms(msisdn=msisdn, at=at)
    return stopped_words()


def stopped_words() -> str:
    return pgettext("sms", "You get no more reminders or offers. Receipts still come. Send START to undo.")


def _start(msisdn: str, borrower: Borrower | None, at: datetime) -> str:
    people_services.start_sms(msisdn=msisdn, at=at)
    return started_words()


def started_words() -> str:
    return pgettext("sms", "You get reminders again. Send STOP to end them.")


KEYWORDS = {
    "BAL": Keyword(_balance, "en"),
    "SALIO": Keyword(_balance, "sw"),
    "HELP": Keyword(_help, "en"),
    "MSAADA": Keyword(_help, "sw"),
    "STOP": Keyword(_stop, "en"),
    "ACHA": Keyword(_stop, "sw"),
    "START": Keyword(_start, "en"),
    "ANZA": Keyword(_start, "sw"),
    "LOAN": Keyword(_how, "en"),
    "MKOPO": Keyword(_how, "sw"),
}
