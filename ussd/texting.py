"""What customers write: each text is answered once, in one or two parts, in their language.

What a text means is worked out by ussd.understanding; what was asked back is remembered by ussd.threads. A text
that comes twice, under one message id or word for word within seconds, is answered once.
"""

import hashlib
import hmac
import re
from collections.abc import Callable
from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F

from lending import outbox
from lending.models import Borrower
from lending.selectors import people
from ussd import answers, guard, money_answers, sms, threads
from ussd.asked import Asked, mask_digits
from ussd.models import IncomingSms, Sms, SmsThread
from ussd.tongue import speaking
from ussd.understanding import Meaning, understand

# A phone that sends again what it could not see arrive.
SAME_WITHIN = timedelta(seconds=30)
PARTS = 2

ANSWERS: dict[str, Callable[[Asked], str]] = {
    "balance": money_answers.balance,
    "loan": money_answers.loan,
    "pay": money_answers.pay,
    "save": money_answers.save,
    "limit": money_answers.limit,
    "statement": money_answers.statement,
    "sale": money_answers.sale,
    "expense": money_answers.expense,
    "language": money_answers.language,
    "help": answers.ask_person,
    "call": answers.call,
    "complaint": answers.complain,
    "review": answers.review,
    "yes": answers.yes,
    "no": answers.no,
    "stop": answers.stop,
    "start": answers.start,
}
ASKED_FOR_AMOUNT = {
    SmsThread.Awaiting.LOAN_AMOUNT: "loan",
    SmsThread.Awaiting.PAY_AMOUNT: "pay",
    SmsThread.Awaiting.SAVE_AMOUNT: "save",
}
CODES = (SmsThread.Awaiting.PAY_CODE, SmsThread.Awaiting.SAVE_CODE)


@transaction.atomic
def take_incoming(*, gateway: str, message_id: str, msisdn: str, sent_to: str, text: str, at: datetime) -> None:
    """Answer a customer's text once. Repeats safely; no word here moves money."""
    _one_at_a_time(msisdn)
    borrower = people.find_borrower(msisdn)
    meaning = understand(text, borrower.language if borrower else "en")
    language = borrower.language if borrower else (meaning.language if meaning else "en")
    incoming, created = IncomingSms.objects.get_or_create(
        gateway=gateway,
        message_id=message_id,
        defaults={
            "msisdn": msisdn,
            "sent_to": sent_to,
            "text": mask_digits(text)[:480],
            "text_mac": fingerprint(msisdn, text),
            "keyword": meaning.intent if meaning else "",
            "received_at": at,
        },
    )
    if sent_to and sent_to.lstrip("+") != settings.SMS_SHORT_CODE.lstrip("+"):
        guard.notice(guard.Kind.SMS_ODD, gateway=gateway, msisdn=msisdn, at=at)
    if not created:
        _came_again(incoming, msisdn, text, at)
        return
    if (same := _just_said(incoming)) is not None:
        IncomingSms.objects.filter(id=incoming.id).update(answer=same.answer)
        return
    asked = Asked(
        msisdn=msisdn, borrower=borrower, meaning=meaning, text=incoming.text, language=language,
        origin=f"sms:{gateway}:{message_id}", at=at,
    )  # fmt: skip
    with speaking(language):
        said = _answer(asked, text)
    reply = _reply(
        f"answer:{gateway}:{message_id}", incoming.keyword or "unknown", msisdn, said, language, borrower, at
    )
    IncomingSms.objects.filter(id=incoming.id).update(answer=reply)


def _came_again(known: IncomingSms, msisdn: str, text: str, at: datetime) -> None:
    """Count a text that was answered before. Other words under its id are nobody's, and an old one was replayed."""
    IncomingSms.objects.filter(id=known.id).update(times_received=F("times_received") + 1)
    if known.text_mac != fingerprint(msisdn, text):
        guard.notice(guard.Kind.SMS_ODD, gateway=known.gateway, msisdn=msisdn, at=at)
    else:
        guard.answered_before(known.received_at, gateway=known.gateway, msisdn=msisdn, at=at)


@transaction.atomic
def put_off(
    *, gateway: str, message_id: str, msisdn: str, sent_to: str, text: str, is_told: bool, at: datetime
) -> None:
    """Pass over a text of a flood: it is not kept and not answered, but for the one by which its sender is told.

    Only STOP is heard all the same.
    """
    borrower = people.find_borrower(msisdn)
    meaning = understand(text, borrower.language if borrower else "en")
    language = borrower.language if borrower else (meaning.language if meaning else "en")
    if meaning is not None and meaning.intent == "stop":
        answers.stop(
            Asked(msisdn=msisdn, borrower=borrower, meaning=meaning, text="", language=language, origin="", at=at)
        )
    if is_told:
        with speaking(language):
            said = answers.too_much_words()
        _reply(f"put_off:{gateway}:{message_id}", "too_much", msisdn, said, language, borrower, at)


def _reply(
    reference: str, kind: str, msisdn: str, said: str, language: str, borrower: Borrower | None, at: datetime
) -> Sms:
    """Write an answer, and owe it."""
    reply = sms.write(
        reference=reference,
        kind=f"answer_{kind}",
        msisdn=msisdn,
        text=said,
        language=language,
        at=at,
        borrower=borrower,
        parts=PARTS,
    )
    outbox.write("sms_due", reference=f"sms:{reply.id}", at=at, sms_id=reply.id)
    return reply


def _answer(asked: Asked, text: str) -> str:
    """Say something to a text: what was asked back comes first, then what it means by itself."""
    thread = threads.current(asked.msisdn, asked.at)
    typed = "".join(re.findall(r"[0-9]", text))
    if thread is not None and thread.awaiting in CODES and _is_number(asked.meaning, typed):
        return money_answers.take_code(asked, thread, typed)
    intent = asked.meaning.intent if asked.meaning else ""
    if intent == "amount":
        intent = ASKED_FOR_AMOUNT.get(SmsThread.Awaiting(thread.awaiting), "") if thread else ""
    return ANSWERS.get(intent, answers.not_understood)(asked)


def _is_number(meaning: Meaning | None, typed: str) -> bool:
    return bool(typed) and (meaning is None or meaning.intent == "amount")


def _one_at_a_time(msisdn: str) -> None:
    """Answer the texts of one number one after another: of two that are the same, one is first."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"sms:{msisdn}"])


def _just_said(incoming: IncomingSms) -> IncomingSms | None:
    """Return the same text of the same number, if it came a moment ago and was answered."""
    same = IncomingSms.objects.filter(
        msisdn=incoming.msisdn,
        text_mac=incoming.text_mac,
        received_at__gt=incoming.received_at - SAME_WITHIN,
        received_at__lte=incoming.received_at,
        answer__isnull=False,
    )
    return same.exclude(id=incoming.id).order_by("received_at").first()


def fingerprint(msisdn: str, text: str) -> str:
    """Return the keyed fingerprint by which a text is known again without being kept."""
    said = f"text:{msisdn}:{' '.join(text.split())}"
    return hmac.new(settings.CALLBACK_KEY.encode(), said.encode(), hashlib.sha256).hexdigest()
