"""SMS: each message written once under its reference and sent at most once; keywords answered."""

import logging
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils import translation
from django.utils.translation import pgettext

from lending import outbox
from lending.models import Borrower, Case, Loan, Preference
from lending.selectors import loans, people
from lending.services import applications, bureau, cases, complaints, next_of_kin, preferences
from lending.services import help as help_services
from ussd import alphabet, engine, samples, words
from ussd.gateways.africastalking import NotSent, Outcome, Rejected, Sent, SmsGateway, Unknown
from ussd.models import DeliveryReport, IncomingSms, Sms

logger = logging.getLogger(__name__)

Purpose = Preference.Purpose

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
class Asked:
    """One message as it is answered: `text` masked, `also` the words after the keyword, in capitals."""

    msisdn: str
    borrower: Borrower | None
    text: str
    also: tuple[str, ...]
    language: str
    at: datetime


@dataclass(frozen=True)
class Keyword:
    """What a word asks for, and the language in which somebody unknown is answered."""

    answer: Callable[[Asked], str]
    language: str


# Two texts in so long that nobody could read, and a person reads them.
PATIENCE = timedelta(hours=24)


def take_incoming(*, gateway: str, message_id: str, msisdn: str, sent_to: str, text: str, at: datetime) -> None:
    """Answer a customer's message once. No word here moves money."""
    with transaction.atomic():
        found, keyword = keyword_of(text)
        masked = mask_digits(text)[:480]
        incoming, created = IncomingSms.objects.get_or_create(
            gateway=gateway,
            message_id=message_id,
            defaults={
                "msisdn": msisdn,
                "sent_to": sent_to,
                "text": masked,
                "keyword": found,
                "received_at": at,
            },
        )
        if not created:
            IncomingSms.objects.filter(id=incoming.id).update(times_received=F("times_received") + 1)
            return
        borrower = people.find_borrower(msisdn)
        language = borrower.language if borrower else keyword.language
        asked = Asked(msisdn, borrower, masked, tuple(_words_of(text)[1:]), language, at)
        with translation.override(language):
            answer = keyword.answer(asked)
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
    word = next(iter(_words_of(text)), "")
    return (word, KEYWORDS[word]) if word in KEYWORDS else ("", NOT_UNDERSTOOD)


def _words_of(text: str) -> list[str]:
    return [word.upper() for word in re.findall(r"[A-Za-z]+", text[:40])]


def mask_digits(text: str) -> str:
    """Return a message fit to be kept: people type PINs and ID numbers into SMS, also digit by digit.

    >>> mask_digits("LOAN 500 4826"), mask_digits("pin 4 8-2 6"), mask_digits("48 26")
    ('LOAN 500 ****', 'pin * *-* *', '** **')
    """
    runs = r"\d{4,}|(?<!\d)\d{1,2}(?:[ .,\-]{1,2}\d{1,2})+(?!\d)"
    return re.sub(runs, lambda run: re.sub(r"\d", "*", run[0]), text.replace("\x00", ""))


def _one_line(text: str) -> str:
    return " ".join(text.split())[:300]


def _balance(asked: Asked) -> str:
    if asked.borrower is None:
        return how_words()
    return balance_words(loans.open_loan(asked.borrower.id), asked.borrower.offered_limit_cents)


def balance_words(loan: Loan | None, limit_cents: int) -> str:
    """Say what is owed, or what may be borrowed."""
    code = {"code": settings.USSD_CODE}
    if loan is None:
        return pgettext("sms", "You have no loan. Your limit is %(limit)s. Dial %(code)s to borrow.") % (
            code | {"limit": words.amount(limit_cents)}
        )
    if loan.due_on is None:
        return pgettext("sms", "%(amount)s is on its way to you, ref %(ref)s.") % {
            "amount": words.amount(loan.on_its_way_cents, loan.currency),
            "ref": loan.reference,
        }
    return pgettext("sms", "You owe %(amount)s by %(day)s, ref %(ref)s. Dial %(code)s to repay.") % (
        code
        | {
            "amount": words.amount(loan.outstanding_cents, loan.currency),
            "day": words.day(loan.due_on),
            "ref": loan.reference,
        }
    )


def how_words() -> str:
    return pgettext("sms", "To borrow, dial %(code)s. It is free to dial and you see every cost first.") % {
        "code": settings.USSD_CODE
    }


# --- a person -----------------------------------------------------------------------------------------------
def _help(asked: Asked) -> str:
    case = help_services.ask_for_person(
        msisdn=asked.msisdn, said=_one_line(asked.text), language=asked.language, at=asked.at
    )
    return help_words(case.reference)


def help_words(reference: str) -> str:
    """Say that a person reads this and calls."""
    return pgettext(
        "sms",
        "An officer reads your message and calls you by tomorrow, ref %(ref)s. "
        "Loans: dial %(code)s. Nobody at Jirani asks for your PIN.",
    ) % {"ref": reference, "code": settings.USSD_CODE}


def _not_understood(asked: Asked) -> str:
    """Help somebody whom we could not understand; when it happens again, a person reads it."""
    lately = IncomingSms.objects.filter(msisdn=asked.msisdn, keyword="", received_at__gt=asked.at - PATIENCE)
    return _help(asked) if lately.count() > 1 else words_we_know()


def words_we_know() -> str:
    return pgettext(
        "sms",
        "Jirani: dial %(code)s for loans. Send BAL for what you owe, HELP for a person, STOP for no more messages. "
        "Never send your PIN.",
    ) % {"code": settings.USSD_CODE}


def _call(asked: Asked) -> str:
    case = help_services.call_back(msisdn=asked.msisdn, language=asked.language, at=asked.at)
    return call_words(case.reference)


def call_words(reference: str) -> str:
    """Say that a call is coming; the SMS that follows says when."""
    return pgettext("sms", "An officer calls you, ref %(ref)s. The next SMS says when.") % {"ref": reference}


def _complain(asked: Asked) -> str:
    """Take a complaint by SMS; an officer sorts it by its words."""
    case = complaints.complain(msisdn=asked.msisdn, topic=Case.Topic.OTHER, language=asked.language, at=asked.at)
    cases.add_note(Case.objects.select_for_update().get(id=case.id), _one_line(asked.text))
    return complaint_words(case.reference)


def complaint_words(reference: str) -> str:
    return pgettext("sms", "We have your complaint, ref %(ref)s. The next SMS says by when we answer.") % {
        "ref": reference
    }


def _review(asked: Asked) -> str:
    """Put the last refusal before a person."""
    if asked.borrower is None:
        return how_words()
    try:
        application = applications.appeal(borrower_id=asked.borrower.id, at=asked.at)
    except (applications.NothingToAppeal, applications.HasOpenLoan, applications.Blocked):
        return no_review_words()
    return review_words(application.reference)


def review_words(reference: str) -> str:
    """Say that a person looks at a refusal."""
    return pgettext(
        "sms",
        "An officer looks at your request %(ref)s again, with what the computer saw. The answer comes by SMS.",
    ) % {"ref": reference}


def no_review_words() -> str:
    return pgettext(
        "sms", "There is no refusal of the last 14 days that an officer has not seen. Send HELP for a person."
    )


# --- next of kin ---------------------------------------------------------------------------------------------
def _yes(asked: Asked) -> str:
    return kin_words(next_of_kin.answer(msisdn=asked.msisdn, agreed=True, at=asked.at), True)


def _no(asked: Asked) -> str:
    return kin_words(next_of_kin.answer(msisdn=asked.msisdn, agreed=False, at=asked.at), False)


def kin_words(was_asked: bool, agreed: bool) -> str:
    """Thank somebody for a yes or a no; who was asked nothing gets the words that we know."""
    if not was_asked:
        return words_we_know()
    if agreed:
        return pgettext("sms", "Thank you. Should it be needed: dial %(code)s, Help, or send HELP.") % {
            "code": settings.USSD_CODE
        }
    return pgettext("sms", "All right. We keep neither your name nor your number.")


# --- STOP and START, for all purposes or for those that are named ---------------------------------------------
PURPOSES = {
    "REMINDERS": Purpose.REMINDERS,
    "REMINDER": Purpose.REMINDERS,
    "VIKUMBUSHO": Purpose.REMINDERS,
    "OFFERS": Purpose.OFFERS,
    "OFFER": Purpose.OFFERS,
    "OFA": Purpose.OFFERS,
    "TIPS": Purpose.TIPS,
    "TIP": Purpose.TIPS,
    "VIDOKEZO": Purpose.TIPS,
}


def _purposes(asked: Asked) -> list[str]:
    named = [PURPOSES[word] for word in asked.also if word in PURPOSES]
    return list(dict.fromkeys(named)) or list(preferences.EVERY)


def _stop(asked: Asked) -> str:
    purposes = _purposes(asked)
    preferences.stop(msisdn=asked.msisdn, at=asked.at, purposes=purposes)
    return stopped_words(purposes)


def _start(asked: Asked) -> str:
    purposes = _purposes(asked)
    preferences.start(msisdn=asked.msisdn, at=asked.at, purposes=purposes)
    return started_words(purposes)


def purpose_words(purposes: Sequence[str]) -> str:
    """Return purposes of messages in the active language: "reminders, offers"."""
    said = {
        Purpose.REMINDERS: pgettext("sms", "reminders"),
        Purpose.OFFERS: pgettext("sms", "offers"),
        Purpose.TIPS: pgettext("sms", "tips"),
    }
    return ", ".join(said[Purpose(purpose)] for purpose in purposes)


def stopped_words(purposes: Sequence[str]) -> str:
    """Say what comes no more, and what the law still has us send."""
    return pgettext(
        "sms",
        "No more %(what)s from Jirani. What the law asks of us still comes: receipts, costs, and notice before a "
        "credit bureau. START undoes this.",
    ) % {"what": purpose_words(purposes)}


def started_words(purposes: Sequence[str]) -> str:
    return pgettext("sms", "You get %(what)s again; offers only if you agreed to them. Send STOP to end it.") % {
        "what": purpose_words(purposes)
    }


NOT_UNDERSTOOD = Keyword(_not_understood, "en")
KEYWORDS = {
    "BAL": Keyword(_balance, "en"),
    "SALIO": Keyword(_balance, "sw"),
    "HELP": Keyword(_help, "en"),
    "MSAADA": Keyword(_help, "sw"),
    "CALL": Keyword(_call, "en"),
    "NIPIGIE": Keyword(_call, "sw"),
    "COMPLAIN": Keyword(_complain, "en"),
    "COMPLAINT": Keyword(_complain, "en"),
    "MALALAMIKO": Keyword(_complain, "sw"),
    "REVIEW": Keyword(_review, "en"),
    "RUFAA": Keyword(_review, "sw"),
    "YES": Keyword(_yes, "en"),
    "NDIYO": Keyword(_yes, "sw"),
    "NO": Keyword(_no, "en"),
    "HAPANA": Keyword(_no, "sw"),
    "STOP": Keyword(_stop, "en"),
    "ACHA": Keyword(_stop, "sw"),
    "START": Keyword(_start, "en"),
    "ANZA": Keyword(_start, "sw"),
    "LOAN": Keyword(lambda asked: how_words(), "en"),
    "MKOPO": Keyword(lambda asked: how_words(), "sw"),
}


def longest_answers() -> Iterator[tuple[str, str]]:
    """Yield every answer to a keyword in the active language with its longest values, for measuring."""
    for loan in (None, samples.loan(), samples.loan(due_on=None)):
        yield "answer BAL", balance_words(loan, samples.MOST_CENTS)
    yield "answer LOAN", how_words()
    yield "answer unknown", words_we_know()
    yield "answer STOP", stopped_words(preferences.EVERY)
    yield "answer START", started_words(preferences.EVERY)
    for say in (help_words, call_words, complaint_words, review_words):
        yield f"answer {say.__name__}", say(samples.REFERENCE)
    yield "answer REVIEW", no_review_words()
    for was_asked, agreed in ((False, True), (True, True), (True, False)):
        yield "answer YES or NO", kin_words(was_asked, agreed)
