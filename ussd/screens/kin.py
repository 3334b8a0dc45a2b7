"""Next of kin: whom a customer names, and what that person tells us one day."""

from lending.services import deaths, next_of_kin
from ussd import alphabet, samples
from ussd.engine import Again, Ask, Choice, Dialogue, End, Menu, View, screen
from ussd.screens import pin
from ussd.screens.help import parse_number
from ussd.screens.register import parse_name
from ussd.tongue import pgettext

NAME_ROOM = 30


@screen("kin.menu", samples=[samples.fresh, samples.with_kin])
def menu(dialogue: Dialogue) -> View:
    """Who is named, and whether they agreed."""
    kin = dialogue.facts.kin
    name = Choice(pgettext("kin.menu", "Name somebody"), "kin.name")
    if kin is None:
        return Menu(
            pgettext("kin.menu", "Whom may we believe, should you die? They owe nothing and must agree by SMS."),
            (name,),
        )
    values = {"name": alphabet.active().clip(kin.name, NAME_ROOM)}
    said = (
        pgettext("kin.menu", "%(name)s agreed to speak for you, should you die.")
        if kin.agreed_at
        else pgettext("kin.menu", "%(name)s has not answered our SMS yet.")
    )
    return Menu(said % values, (name, Choice(pgettext("kin.menu", "Take it back"), "kin.take_back")))


@screen("kin.name", samples=[samples.fresh])
def ask_name(dialogue: Dialogue) -> View:
    return Ask(
        pgettext("kin.name", "Type the name of the person."),
        parse=parse_name,
        save_as="kin_name",
        then="kin.number",
        whole=True,
    )


@screen("kin.number", samples=[samples.fresh], tries=("", "x", "12", samples.MSISDN))
def ask_number(dialogue: Dialogue) -> View:
    return Ask(
        pgettext("kin.number", "Type their phone number. We ask them by SMS whether they agree."),
        parse=lambda typed: _not_own(dialogue, parse_number(dialogue, typed)),
        save_as="kin_number",
        then="kin.pin",
    )


def _not_own(dialogue: Dialogue, msisdn: str) -> str:
    if msisdn == dialogue.msisdn:
        raise Again(pgettext("kin.number", "That is your own number."))
    return msisdn


@screen("kin.pin", samples=[samples.fresh], tries=pin.PIN_TRIES)
def confirm(dialogue: Dialogue) -> View:
    return pin.enter(act=_name)


def _name(dialogue: Dialogue, typed: str) -> str:
    pin.check(dialogue, typed)
    next_of_kin.name_kin(
        borrower_id=dialogue.facts.known.id,
        name=dialogue.answers["kin_name"],
        number=dialogue.answers["kin_number"],
        at=dialogue.at,
    )
    return "kin.named"


@screen("kin.named", samples=[samples.asked])
def named(dialogue: Dialogue) -> View:
    return End(
        pgettext(
            "kin.named", "We ask %(name)s by SMS. It counts once they reply YES. You can change it at any time."
        )
        % {"name": alphabet.active().clip(dialogue.answers["kin_name"], NAME_ROOM)}
    )


@screen("kin.take_back", samples=[samples.fresh], tries=pin.PIN_TRIES)
def confirm_taking_back(dialogue: Dialogue) -> View:
    return pin.enter(act=_take_back)


def _take_back(dialogue: Dialogue, typed: str) -> str:
    pin.check(dialogue, typed)
    next_of_kin.take_back(borrower_id=dialogue.facts.known.id, at=dialogue.at)
    return "kin.menu"


# --- a death --------------------------------------------------------------------------------------------------
@screen("kin.death", samples=[samples.stranger], tries=("", "x", "12"))
def ask_deceased(dialogue: Dialogue) -> View:
    return Ask(
        pgettext("kin.death", "We are sorry. Type the phone number of the person who has died."),
        parse=lambda typed: parse_number(dialogue, typed),
        act=_report,
    )


def _report(dialogue: Dialogue, deceased: str) -> str:
    case = deaths.report(reporter=dialogue.msisdn, deceased=deceased, language=dialogue.language, at=dialogue.at)
    dialogue.answers = {"reference": case.reference}
    return "kin.death_told"


@screen("kin.death_told", samples=[samples.asked])
def death_told(dialogue: Dialogue) -> View:
    """The same words for everybody: nobody learns here who is a customer."""
    return End(
        pgettext(
            "kin.death_told",
            "Thank you for telling us, ref %(ref)s. An officer calls you on this phone by tomorrow. "
            "We ask the family for nothing.",
        )
        % {"ref": dialogue.answers["reference"]}
    )
