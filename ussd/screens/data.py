"""My data: what is kept, who looked, putting it right, a copy, agreements, and being forgotten."""

from django.conf import settings

from lending.models import AccessRecord, Consent
from lending.selectors.personal_data import Held, Look
from lending.services import consents, corrections, data_copies, erasing
from ussd import alphabet, samples, words
from ussd.engine import Ask as Question
from ussd.engine import Choice, Dialogue, Elsewhere, End, Go, Menu, Read, View, screen
from ussd.screens import pin
from ussd.screens.register import CONSENT_VERSION, parse_name
from ussd.tongue import pgettext

NAME_ROOM = 30


@screen("data.menu", samples=[samples.fresh])
def menu(dialogue: Dialogue) -> View:
    return Menu(
        pgettext("data.menu", "What Jirani keeps about you is yours to see."),
        (
            Choice(pgettext("data.menu", "See it"), "data.see"),
            Choice(pgettext("data.menu", "Put it right"), "data.correct"),
            Choice(pgettext("data.menu", "Get a copy"), "data.copy"),
            Choice(pgettext("data.menu", "What I agreed to"), "data.agreements"),
            Choice(pgettext("data.menu", "Erase it"), "data.erase"),
        ),
    )


# --- seeing ---------------------------------------------------------------------------------------------------
@screen("data.see", samples=[samples.held_in_full], paged=True)
def see(dialogue: Dialogue) -> View:
    """A plain summary; the ID is masked, since others may hold the phone."""
    return Read(
        _summary(dialogue.facts.held, dialogue.facts.country.wallet_name),
        (Choice(pgettext("data.see", "Who looked at it"), "data.looks"),),
    )


def _summary(held: Held, wallet: str) -> list[str]:
    clip = alphabet.active().clip
    lines = (
        (pgettext("data.see", "Name: %(value)s"), clip(held.name, NAME_ROOM)),
        (pgettext("data.see", "ID: ends with %(value)s"), held.id_ending),
        (pgettext("data.see", "Phone: %(value)s"), words.local_number(held.msisdn)),
        (pgettext("data.see", "With us since %(value)s"), f"{words.day(held.since)} {held.since.year}"),
        (pgettext("data.see", "Loans: %(value)s"), held.loans),
        (pgettext("data.see", "Owed: %(value)s"), words.amount(held.owed_cents)),
        (pgettext("data.see", "Payments: %(value)s"), held.receipts),
        (pgettext("data.see", "Saved: %(value)s"), words.amount(held.saved_cents)),
        (pgettext("data.see", "Movements of your %(wallet)s: %(value)s"), held.wallet_movements),
        (pgettext("data.see", "Next of kin: %(value)s"), clip(held.next_of_kin, NAME_ROOM) or "-"),
    )
    return [label % {"value": value, "wallet": wallet} for label, value in lines]


@screen("data.looks", samples=[samples.held_in_full], paged=True)
def looks(dialogue: Dialogue) -> View:
    """Each day on which an officer looked: as what, and what for."""
    found = dialogue.facts.looks
    return Read([_look(one) for one in found] or [pgettext("data.looks", "No officer has looked at your page.")])


def _look(one: Look) -> str:
    why = {
        AccessRecord.Purpose.REQUEST: pgettext("data.looks", "to answer you"),
        AccessRecord.Purpose.DECISION: pgettext("data.looks", "to decide on your loan"),
        AccessRecord.Purpose.ARREARS: pgettext("data.looks", "about a late payment"),
        AccessRecord.Purpose.CHECK: pgettext("data.looks", "to check something"),
        AccessRecord.Purpose.OTHER: pgettext("data.looks", "no open work"),
    }
    values = {
        "day": words.day(one.on),
        "role": alphabet.active().clip(one.role, 20),
        "why": why[AccessRecord.Purpose(one.purpose)],
        "times": one.times,
    }
    return pgettext("data.looks", "%(day)s %(role)s, %(why)s: %(times)d x") % values


# --- putting right --------------------------------------------------------------------------------------------
@screen("data.correct", samples=[samples.fresh])
def correct(dialogue: Dialogue) -> View:
    return Menu(
        pgettext("data.correct", "What is wrong? Two officers look at it before it changes."),
        (
            Choice(pgettext("data.correct", "My name"), "data.name", {"field": "full_name"}),
            Choice(pgettext("data.correct", "My ID number"), "data.correct_pin", {"field": "national_id"}),
            Choice(pgettext("data.correct", "My next of kin"), "kin.menu"),
            Choice(pgettext("data.correct", "Something else"), "data.correct_pin", {"field": "other"}),
        ),
    )


@screen("data.name", samples=[samples.fresh])
def ask_name(dialogue: Dialogue) -> View:
    return Question(
        pgettext("data.name", "Type your full name as on your ID card."),
        parse=parse_name,
        save_as="right_name",
        then="data.correct_pin",
        whole=True,
    )


@screen("data.correct_pin", samples=[samples.fresh], tries=pin.PIN_TRIES)
def confirm_correction(dialogue: Dialogue) -> View:
    return pin.enter(act=_correct)


def _correct(dialogue: Dialogue, typed: str) -> str:
    pin.check(dialogue, typed)
    field = dialogue.answers["field"]
    case = corrections.ask_correction(
        msisdn=dialogue.msisdn,
        field=field,
        value=dialogue.answers.get("right_name", "") if field == "full_name" else "",
        language=dialogue.language,
        at=dialogue.at,
    )
    dialogue.answers = {"reference": case.reference}
    return "data.correct_taken"


@screen("data.correct_taken", samples=[samples.asked])
def correction_taken(dialogue: Dialogue) -> View:
    return End(
        pgettext(
            "data.correct_taken",
            "An officer calls you about it, ref %(ref)s. Have your ID card at hand. An SMS follows.",
        )
        % {"ref": dialogue.answers["reference"]}
    )


# --- a copy ---------------------------------------------------------------------------------------------------
@screen("data.copy", samples=[samples.fresh])
def copy(dialogue: Dialogue) -> View:
    """By SMS, since every phone reads those; the whole on paper, from a person."""
    return Menu(
        pgettext(
            "data.copy", "A copy in 3 SMS comes at once. All of it on paper: from an officer, with your ID. Free."
        ),
        (
            Choice(pgettext("data.copy", "3 SMS"), "data.copy_pin", {"copy": "sms"}),
            Choice(pgettext("data.copy", "On paper"), "data.copy_pin", {"copy": "paper"}),
        ),
    )


@screen("data.copy_pin", samples=[samples.fresh], tries=pin.PIN_TRIES)
def confirm_copy(dialogue: Dialogue) -> View:
    return pin.enter(act=_copy)


def _copy(dialogue: Dialogue, typed: str) -> str:
    pin.check(dialogue, typed)
    if dialogue.answers["copy"] == "paper":
        case = data_copies.ask_whole_copy(msisdn=dialogue.msisdn, language=dialogue.language, at=dialogue.at)
        dialogue.answers = {"reference": case.reference}
        return "data.copy_on_paper"
    data_copies.send_summary(borrower_id=dialogue.facts.known.id, origin=dialogue.origin, at=dialogue.at)
    return "data.copy_sent"


@screen("data.copy_sent", samples=[samples.fresh])
def copy_sent(dialogue: Dialogue) -> View:
    return End(pgettext("data.copy_sent", "3 SMS are on their way to you. Delete them if others read your phone."))


@screen("data.copy_on_paper", samples=[samples.asked])
def copy_on_paper(dialogue: Dialogue) -> View:
    return End(
        pgettext("data.copy_on_paper", "An officer calls you when it is ready, ref %(ref)s. Bring your ID card.")
        % {"ref": dialogue.answers["reference"]}
    )


# --- agreements -----------------------------------------------------------------------------------------------
def agreement_words(purpose: str, wallet: str) -> str:
    """Return what an agreement is about, short enough for a line of a menu."""
    said = {
        Consent.Purpose.SCORING: pgettext("data.agreements", "Computer decides"),
        Consent.Purpose.WALLET: pgettext("data.agreements", "See my %(wallet)s") % {"wallet": wallet},
        Consent.Purpose.BUREAU: pgettext("data.agreements", "Credit bureaus"),
        Consent.Purpose.SAVINGS: pgettext("data.agreements", "Count my savings"),
        Consent.Purpose.MARKETING: pgettext("data.agreements", "Offers by SMS"),
    }
    return said[Consent.Purpose(purpose)]


@screen("data.agreements", samples=[samples.held_in_full])
def agreements(dialogue: Dialogue) -> View:
    """Each purpose with what holds now."""
    given = dialogue.facts.held.consents
    wallet = dialogue.facts.country.wallet_name
    yes, no = pgettext("data.agreements", "yes"), pgettext("data.agreements", "no")
    return Menu(
        pgettext("data.agreements", "You agreed to:"),
        [
            Choice(
                f"{agreement_words(purpose, wallet)}: {yes if given.get(purpose) else no}",
                "data.agreement",
                {"purpose": str(purpose)},
            )
            for purpose in consents.WITHDRAWABLE
        ],
    )


def what_follows(purpose: str, given: bool, wallet: str) -> str:
    """Say what changes when an agreement is taken back, or given."""
    if not given:
        return {
            Consent.Purpose.SCORING: pgettext("data.agreement", "If you agree, a computer decides on your loans."),
            Consent.Purpose.WALLET: pgettext(
                "data.agreement", "If you agree, we look at the flow of your %(wallet)s. Your limit may rise."
            )
            % {"wallet": wallet},
            Consent.Purpose.BUREAU: pgettext(
                "data.agreement", "If you agree, bureaus learn how you repay, well or late."
            ),
            Consent.Purpose.SAVINGS: pgettext(
                "data.agreement", "If you agree, saving on time speaks for you when you ask for a loan."
            ),
            Consent.Purpose.MARKETING: pgettext("data.agreement", "If you agree, we may send you offers by SMS."),
        }[Consent.Purpose(purpose)]
    return {
        Consent.Purpose.SCORING: pgettext(
            "data.agreement",
            "If you take it back, no computer decides and you get no new loans. Your loan goes on.",
        ),
        Consent.Purpose.WALLET: pgettext(
            "data.agreement", "If you take it back, we look no more. Your limit may stay lower. Your loan goes on."
        ),
        Consent.Purpose.BUREAU: pgettext(
            "data.agreement", "If you take it back, bureaus learn nothing new from us. Your loan goes on."
        ),
        Consent.Purpose.SAVINGS: pgettext(
            "data.agreement",
            "If you take it back, your savings count no more when you ask for a loan. They stay yours.",
        ),
        Consent.Purpose.MARKETING: pgettext(
            "data.agreement", "If you take it back, offers end. Receipts and reminders still come."
        ),
    }[Consent.Purpose(purpose)]


@screen(
    "data.agreement",
    samples=[
        *map(samples.agreement, consents.WITHDRAWABLE),
        *(samples.agreement(one, given=False) for one in consents.WITHDRAWABLE),
    ],
)
def agreement(dialogue: Dialogue) -> View:
    """What follows is said before anything is asked."""
    purpose = dialogue.answers["purpose"]
    given = bool(dialogue.facts.held.consents.get(purpose))
    label = pgettext("data.agreement", "Take it back") if given else pgettext("data.agreement", "I agree")
    return Menu(
        what_follows(purpose, given, dialogue.facts.country.wallet_name),
        (Choice(label, "data.agreement_pin", {"granted": not given}),),
        must_be_seen=True,
    )


@screen("data.agreement_pin", samples=[samples.fresh], tries=pin.PIN_TRIES)
def confirm_agreement(dialogue: Dialogue) -> View:
    return pin.enter(act=_answer)


def _answer(dialogue: Dialogue, typed: str) -> str:
    pin.check(dialogue, typed)
    consents.answer(
        borrower_id=dialogue.facts.known.id,
        purpose=dialogue.answers["purpose"],
        granted=dialogue.answers["granted"],
        text_version=CONSENT_VERSION,
        language=dialogue.language,
        at=dialogue.at,
    )
    return "data.agreements"


# --- erasing --------------------------------------------------------------------------------------------------
def not_yet_words(obstacle: str) -> str:
    """Say what has to end first, and what to do about it."""
    return {
        "undecided": pgettext("data.not_yet", "we still decide on your request. Wait for our SMS."),
        "loan": pgettext("data.not_yet", "a loan is open. Repay it first."),
        "payment": pgettext("data.not_yet", "a payment is on its way. Try again tomorrow."),
        "kept": pgettext("data.not_yet", "we keep money of yours. Ask an officer to give it back: Help, Call me."),
        "savings": pgettext("data.not_yet", "you have savings. Take them out first."),
        "request": pgettext("data.not_yet", "an officer is at a request of yours. Try again next week."),
        "group": pgettext("data.not_yet", "you are in a savings group. Leave it first."),
    }[obstacle]


@screen("data.not_yet", samples=[*map(samples.not_yet, erasing.OBSTACLES)])
def not_yet(dialogue: Dialogue) -> View:
    said = pgettext("data.not_yet", "Nothing is erased yet:")
    return End(f"{said} {not_yet_words(dialogue.facts.obstacle)}")


@screen("data.erase", samples=[samples.fresh, samples.kept_by_law])
def erase(dialogue: Dialogue) -> View:
    """What goes, what the law keeps and until when, and that there is no way back."""
    if dialogue.facts.obstacle:
        return Go("data.not_yet")
    until = dialogue.facts.kept_until
    said = (
        pgettext(
            "data.erase",
            "Your account closes for good. The law keeps records of your loans until %(day)s %(year)d, then they "
            "go. All else goes today.",
        )
        % {"day": words.day(until), "year": until.year}
        if until
        else pgettext("data.erase", "Your account closes for good, and all that we keep about you goes today.")
    )
    return Menu(said, (Choice(pgettext("data.erase", "Erase it"), "data.erase_pin"),), must_be_seen=True)


@screen("data.erase_pin", samples=[samples.fresh], tries=pin.PIN_TRIES)
def confirm_erasing(dialogue: Dialogue) -> View:
    return pin.enter(act=_erase)


def _erase(dialogue: Dialogue, typed: str) -> str:
    pin.check(dialogue, typed)
    try:
        erasing.ask_to_erase(borrower_id=dialogue.facts.known.id, at=dialogue.at)
    except erasing.NotYet:
        raise Elsewhere("data.not_yet") from None
    dialogue.answers = {}
    return "data.erased"


@screen("data.erased", samples=[samples.fresh])
def erased(dialogue: Dialogue) -> View:
    return End(
        pgettext("data.erased", "In a few minutes it is gone, this talk too. Dial %(code)s to begin anew one day.")
        % {"code": settings.USSD_CODE}
    )


@screen("data.closed", samples=[samples.kept_by_law])
def closed(dialogue: Dialogue) -> View:
    """Who dials after having asked to be forgotten, as long as the law keeps the rest."""
    until = dialogue.facts.known_kept_until
    if until is None:
        return Go("home.blocked")
    return End(
        pgettext(
            "data.closed",
            "You closed this account. The law keeps its records until %(day)s %(year)d; nobody uses them. "
            "Questions: SMS HELP to %(sms)s.",
        )
        % {"day": words.day(until), "year": until.year, "sms": settings.SMS_SHORT_CODE}
    )
