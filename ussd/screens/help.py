"""Help: how it works, a call, a complaint, and what cannot wait: a lost phone, a death, a forgotten PIN."""

from datetime import datetime
from functools import partial

from django.conf import settings

from lending.rules import calendar, identity, requests
from lending.services import help as help_services
from lending.services import lost_phones
from ussd import samples, words
from ussd.engine import Again, Ask, Choice, Dialogue, End, Menu, View, screen
from ussd.screens.pin import parse_identity
from ussd.screens.register import parse_name
from ussd.tongue import pgettext


@screen("help.menu", samples=[samples.fresh])
def menu(dialogue: Dialogue) -> View:
    """Who we are, and the ways to a person."""
    return Menu(
        pgettext("help.menu", "Jirani lends and saves. For a person: SMS HELP to %(sms)s, or:")
        % {"sms": settings.SMS_SHORT_CODE},
        (
            Choice(pgettext("help.menu", "Call me"), "help.call"),
            Choice(pgettext("help.menu", "Complaint"), "complaint.menu"),
            Choice(pgettext("help.menu", "Lost phone, death"), "help.urgent"),
            Choice(pgettext("help.menu", "How it works"), "home.help"),
            Choice(pgettext("help.menu", "Be an agent"), "agent.start"),
        ),
    )


@screen("help.stranger", samples=[samples.stranger])
def stranger(dialogue: Dialogue) -> View:
    """What somebody may need who is not registered on this phone."""
    return Menu(
        pgettext("help.stranger", "Jirani: what do you need?"),
        (
            Choice(pgettext("help.stranger", "Call me"), "help.call"),
            Choice(pgettext("help.stranger", "I lost my phone"), "help.lost_number"),
            Choice(pgettext("help.stranger", "A customer has died"), "kin.death"),
            Choice(pgettext("help.stranger", "Complaint"), "complaint.topic"),
        ),
    )


@screen("help.urgent", samples=[samples.fresh])
def urgent(dialogue: Dialogue) -> View:
    return Menu(
        pgettext("help.urgent", "What happened?"),
        (
            Choice(pgettext("help.urgent", "A phone is lost"), "help.lost_number"),
            Choice(pgettext("help.urgent", "I forgot my PIN"), "pin.forgotten"),
            Choice(pgettext("help.urgent", "A customer has died"), "kin.death"),
        ),
    )


# --- a call ---------------------------------------------------------------------------------------------------
@screen("help.call", samples=[samples.fresh])
def ask_when(dialogue: Dialogue) -> View:
    """The hour that suits, within the hours in which anybody is called at all."""
    parts = requests.parts_of_day(dialogue.facts.country.contact)
    return Menu(
        pgettext("help.call", "An officer calls you on this number, free for you. When?"),
        [
            Choice(f"{part.begins:%H:%M}-{part.ends:%H:%M}", act=partial(_call_back, part=number))
            for number, part in enumerate(parts)
        ],
    )


def _call_back(dialogue: Dialogue, _: None, *, part: int) -> str:
    case = help_services.call_back(msisdn=dialogue.msisdn, part=part, language=dialogue.language, at=dialogue.at)
    dialogue.answers = {"reference": case.reference, **case.details}
    return "help.called"


@screen("help.called", samples=[samples.asked])
def called(dialogue: Dialogue) -> View:
    begins, ends = (datetime.fromisoformat(dialogue.answers[name]) for name in ("from", "to"))
    return End(
        pgettext(
            "help.called",
            "An officer calls you on %(day)s between %(from)s and %(to)s, ref %(ref)s. An SMS says so, too. "
            "Nobody asks for your PIN.",
        )
        % {
            "day": words.day(calendar.business_date(begins, settings.TIME_ZONE)),
            "from": words.clock(begins),
            "to": words.clock(ends),
            "ref": dialogue.answers["reference"],
        }
    )


# --- a lost phone ---------------------------------------------------------------------------------------------
@screen("help.lost_number", samples=[samples.stranger], tries=("", "x", "12"))
def ask_lost_number(dialogue: Dialogue) -> View:
    return Ask(
        pgettext("help.lost_number", "Type the number of the lost phone. We stop all that it can do at Jirani."),
        parse=lambda typed: parse_number(dialogue, typed),
        save_as="lost",
        then="help.lost_id",
    )


def parse_number(dialogue: Dialogue, typed: str) -> str:
    """Return a phone number as E.164 digits, or say that it is none."""
    try:
        return identity.clean_number(typed, dialogue.facts.country.dialling_prefix)
    except identity.InvalidNumber:
        raise Again(pgettext("help.lost_number", "That is no phone number. Type it like 0711000001.")) from None


@screen("help.lost_id", samples=[samples.stranger])
def ask_lost_id(dialogue: Dialogue) -> View:
    return Ask(
        pgettext("help.lost_id", "Type the national ID number of its owner."),
        parse=parse_identity,
        save_as="national_id",
        then="help.lost_name",
    )


@screen("help.lost_name", samples=[samples.stranger])
def ask_lost_name(dialogue: Dialogue) -> View:
    return Ask(
        pgettext("help.lost_name", "Type the first name of its owner."),
        parse=parse_name,
        act=_report_lost,
        whole=True,
    )


def _report_lost(dialogue: Dialogue, first_name: str) -> str:
    case = lost_phones.report(
        reporter=dialogue.msisdn,
        lost=dialogue.answers["lost"],
        national_id=dialogue.answers["national_id"],
        first_name=first_name,
        language=dialogue.language,
        at=dialogue.at,
    )
    dialogue.answers = {"reference": case.reference}
    return "help.lost_told"


@screen("help.lost_told", samples=[samples.asked])
def lost_told(dialogue: Dialogue) -> View:
    """The same words whatever was right: nobody learns here who is a customer."""
    return End(
        pgettext(
            "help.lost_told",
            "Thank you, ref %(ref)s. If all was right, that number is stopped now. An officer calls you on this "
            "phone by tomorrow.",
        )
        % {"ref": dialogue.answers["reference"]}
    )
