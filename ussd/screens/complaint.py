"""Complaints by topic, what became of them, and a person's look at a refusal."""

from datetime import datetime
from functools import partial

from django.conf import settings

from lending.models import Case
from lending.rules import calendar
from lending.services import applications, complaints
from ussd import samples, words
from ussd.engine import Choice, Dialogue, Elsewhere, End, Go, Menu, Read, View, screen
from ussd.tongue import pgettext


@screen("complaint.menu", samples=[samples.fresh])
def menu(dialogue: Dialogue) -> View:
    return Menu(
        pgettext("complaint.menu", "Tell us what is wrong. It costs nothing and never counts against you."),
        (
            Choice(pgettext("complaint.menu", "New complaint"), "complaint.topic"),
            Choice(pgettext("complaint.menu", "My complaints"), "complaint.mine"),
            Choice(pgettext("complaint.menu", "A refused loan"), "complaint.refused"),
        ),
    )


def topic_words(topic: str) -> str:
    """Return what a complaint is about."""
    said = {
        Case.Topic.PRICE: pgettext("complaint.topic", "What it costs"),
        Case.Topic.PAYMENT: pgettext("complaint.topic", "A payment"),
        Case.Topic.CHANGE: pgettext("complaint.topic", "Changed without a word"),
        Case.Topic.TREATMENT: pgettext("complaint.topic", "How I was treated"),
        Case.Topic.DATA: pgettext("complaint.topic", "My data"),
        Case.Topic.OTHER: pgettext("complaint.topic", "Something else"),
    }
    return said[Case.Topic(topic)]


@screen("complaint.topic", samples=[samples.fresh])
def ask_topic(dialogue: Dialogue) -> View:
    return Menu(
        pgettext("complaint.topic", "What is it about? An officer calls you."),
        [
            Choice(topic_words(topic), act=partial(_complain, topic=topic))
            for topic in Case.Topic.values
            if topic != Case.Topic.OTHER
        ],
    )


def _complain(dialogue: Dialogue, _: None, *, topic: str) -> str:
    case = complaints.complain(msisdn=dialogue.msisdn, topic=topic, language=dialogue.language, at=dialogue.at)
    dialogue.answers = {"reference": case.reference, "by": case.answer_by.isoformat() if case.answer_by else ""}
    return "complaint.taken"


@screen("complaint.taken", samples=[samples.asked])
def taken(dialogue: Dialogue) -> View:
    """With the reference, and the day of the answer where the law or we name one."""
    said = pgettext("complaint.taken", "We have your complaint, ref %(ref)s. An officer calls you.") % {
        "ref": dialogue.answers["reference"]
    }
    if not dialogue.answers["by"]:
        return End(said)
    day = words.day(calendar.business_date(datetime.fromisoformat(dialogue.answers["by"]), settings.TIME_ZONE))
    return End(
        f"{said} "
        + pgettext("complaint.taken", "You have our answer by %(day)s. An SMS says so, too.") % {"day": day}
    )


@screen("complaint.mine", samples=[samples.asked])
def mine(dialogue: Dialogue) -> View:
    """Each complaint in a line: what became of it, or by when it is answered."""
    found = dialogue.facts.complaints
    return Read([_line(case) for case in found] or [pgettext("complaint.mine", "You have no complaints with us.")])


def _line(case: Case) -> str:
    values = {"ref": case.reference, "topic": topic_words(case.topic)}
    if case.outcome == Case.Outcome.PUT_RIGHT:
        return pgettext("complaint.mine", "%(ref)s %(topic)s: put right.") % values
    if case.outcome == Case.Outcome.NO_FAULT:
        return pgettext("complaint.mine", "%(ref)s %(topic)s: no mistake found.") % values
    if case.answer_by is None:
        return pgettext("complaint.mine", "%(ref)s %(topic)s: with an officer.") % values
    values["day"] = words.day(calendar.business_date(case.answer_by, settings.TIME_ZONE))
    return pgettext("complaint.mine", "%(ref)s %(topic)s: answer by %(day)s.") % values


@screen("complaint.refused", samples=[samples.refused])
def refused(dialogue: Dialogue) -> View:
    """What a person would look at, and why the computer said no."""
    application = dialogue.facts.appealable
    if application is None:
        return Go("complaint.nothing_refused")
    values = {"amount": words.amount(application.principal_cents), "why": words.why(application.decision)}
    return Menu(
        pgettext("complaint.refused", "%(amount)s was refused: %(why)s An officer can look again, once.") % values,
        (Choice(pgettext("complaint.refused", "Ask an officer"), act=_appeal),),
    )


def _appeal(dialogue: Dialogue, _: None) -> str:
    try:
        application = applications.appeal(borrower_id=dialogue.facts.known.id, at=dialogue.at)
    except applications.HasOpenLoan:
        raise Elsewhere("borrow.open_loan") from None
    except (applications.NothingToAppeal, applications.Blocked):
        raise Elsewhere("complaint.nothing_refused") from None
    dialogue.answers = {"reference": application.reference}
    return "complaint.appealed"


@screen("complaint.appealed", samples=[samples.asked])
def appealed(dialogue: Dialogue) -> View:
    return End(
        pgettext(
            "complaint.appealed",
            "An officer looks at your request %(ref)s again. The answer comes by SMS. Until then you cannot ask "
            "anew.",
        )
        % {"ref": dialogue.answers["reference"]}
    )


@screen("complaint.nothing_refused", samples=[samples.fresh])
def nothing_refused(dialogue: Dialogue) -> View:
    return End(
        pgettext(
            "complaint.nothing_refused",
            "No refusal of the last 14 days waits for an officer. To speak with one, dial %(code)s, More, Help.",
        )
        % {"code": settings.USSD_CODE}
    )
