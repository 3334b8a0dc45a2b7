"""Answers to texts that reach a person, or change what we send: help, complaints, kin, STOP, START."""

from collections.abc import Iterator, Sequence
from datetime import timedelta

from django.conf import settings

from lending.models import Case, Preference
from lending.services import applications, cases, complaints, next_of_kin, preferences
from lending.services import help as help_services
from ussd import samples
from ussd.asked import Asked
from ussd.models import IncomingSms
from ussd.tongue import pgettext

Purpose = Preference.Purpose
# Two texts in so long that nobody could read, and a person reads them.
PATIENCE = timedelta(hours=24)


# --- a person -----------------------------------------------------------------------------------------------
def ask_person(asked: Asked) -> str:
    case = help_services.ask_for_person(
        msisdn=asked.msisdn, said=asked.one_line, language=asked.language, at=asked.at
    )
    return help_words(case.reference)


def help_words(reference: str) -> str:
    """Say that a person reads this and calls."""
    return pgettext(
        "sms",
        "An officer reads your message and calls you by tomorrow, ref %(ref)s. "
        "Loans: dial %(code)s. Nobody at Jirani asks for your PIN.",
    ) % {"ref": reference, "code": settings.USSD_CODE}


def not_understood(asked: Asked) -> str:
    """Help somebody whom we could not understand; when it happens again, a person reads it."""
    lately = IncomingSms.objects.filter(msisdn=asked.msisdn, keyword="", received_at__gt=asked.at - PATIENCE)
    return ask_person(asked) if lately.count() > 1 else words_we_know()


def words_we_know() -> str:
    return pgettext(
        "sms",
        "Jirani: dial %(code)s for loans. Send BAL for what you owe, HELP for a person, STOP for no more messages. "
        "Never send your PIN.",
    ) % {"code": settings.USSD_CODE}


def too_much_words() -> str:
    """Tell whoever sends more than anybody writes, once."""
    return pgettext(
        "sms", "Too many messages: your last one was not read. Send it again in 10 minutes, or dial %(code)s."
    ) % {"code": settings.USSD_CODE}


def call(asked: Asked) -> str:
    case = help_services.call_back(msisdn=asked.msisdn, language=asked.language, at=asked.at)
    return call_words(case.reference)


def call_words(reference: str) -> str:
    """Say that a call is coming; the SMS that follows says when."""
    return pgettext("sms", "An officer calls you, ref %(ref)s. The next SMS says when.") % {"ref": reference}


def complain(asked: Asked) -> str:
    """Take a complaint by SMS; an officer sorts it by its words."""
    case = complaints.complain(msisdn=asked.msisdn, topic=Case.Topic.OTHER, language=asked.language, at=asked.at)
    cases.add_note(Case.objects.select_for_update().get(id=case.id), asked.one_line)
    return complaint_words(case.reference)


def complaint_words(reference: str) -> str:
    return pgettext("sms", "We have your complaint, ref %(ref)s. The next SMS says by when we answer.") % {
        "ref": reference
    }


def review(asked: Asked) -> str:
    """Put the last refusal before a person, with what the customer wrote about it."""
    if asked.borrower is None:
        return no_review_words()
    try:
        said = asked.one_line if " " in asked.one_line else ""
        application = applications.appeal(borrower_id=asked.borrower.id, at=asked.at, said=said)
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
def yes(asked: Asked) -> str:
    return kin_words(next_of_kin.answer(msisdn=asked.msisdn, agreed=True, at=asked.at), True)


def no(asked: Asked) -> str:
    return kin_words(next_of_kin.answer(msisdn=asked.msisdn, agreed=False, at=asked.at), False)


def kin_words(was_asked: bool, agreed: bool) -> str:
    """Thank somebody for a yes or a no; who was asked nothing gets the words that we know."""
    if not was_asked:
        return words_we_know()
    if agreed:
        return pgettext("sms", "Thank you. If it is ever needed: dial %(code)s, Help, or send HELP.") % {
            "code": settings.USSD_CODE
        }
    return pgettext("sms", "All right. We keep neither your name nor your number.")


# --- STOP and START, for all purposes or for those that are named ---------------------------------------------
PURPOSES = {
    "reminders": Purpose.REMINDERS,
    "reminder": Purpose.REMINDERS,
    "vikumbusho": Purpose.REMINDERS,
    "offers": Purpose.OFFERS,
    "offer": Purpose.OFFERS,
    "ofa": Purpose.OFFERS,
    "tips": Purpose.TIPS,
    "tip": Purpose.TIPS,
    "vidokezo": Purpose.TIPS,
}


def _purposes(asked: Asked) -> list[str]:
    named = [PURPOSES[word] for word in asked.words if word in PURPOSES]
    return list(dict.fromkeys(named)) or list(preferences.EVERY)


def stop(asked: Asked) -> str:
    purposes = _purposes(asked)
    preferences.stop(msisdn=asked.msisdn, at=asked.at, purposes=purposes)
    return stopped_words(purposes)


def start(asked: Asked) -> str:
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


def longest() -> Iterator[tuple[str, str]]:
    """Yield every answer in the active language with its longest values, for measuring."""
    yield "answer unknown", words_we_know()
    yield "answer too much", too_much_words()
    yield "answer STOP", stopped_words(preferences.EVERY)
    yield "answer START", started_words(preferences.EVERY)
    for say in (help_words, call_words, complaint_words, review_words):
        yield f"answer {say.__name__}", say(samples.REFERENCE)
    yield "answer REVIEW", no_review_words()
    for was_asked, agreed in ((False, True), (True, True), (True, False)):
        yield "answer YES or NO", kin_words(was_asked, agreed)
