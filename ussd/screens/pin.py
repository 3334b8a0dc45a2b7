"""Everything about PINs: how one is asked for, chosen twice, checked, and won back after a lock.

A PIN lives in local variables only. Between the two times that a new one is typed, its keyed fingerprint
waits among the (encrypted) answers; the key is outside the database.
"""

import hashlib
import hmac
import re
from collections.abc import Iterable
from datetime import timedelta

from django.conf import settings

from lending.models import Borrower
from lending.rules import calendar, identity
from lending.services import new_pins, people
from ussd import guard, samples, words
from ussd.engine import START, Act, Again, Ask, Choice, Dialogue, Elsewhere, End, Go, Menu, View, screen
from ussd.tongue import npgettext, pgettext

PIN_TRIES = ("", "12", "abcd")


def parse_pin(typed: str) -> str:
    """Return four digits, or say that a PIN has four; what was typed is never repeated."""
    if identity.looks_like_pin(typed):
        return typed
    raise Again(pgettext("pin", "A PIN has 4 digits."))


def enter(act: Act, before: str = "") -> Ask:
    """Ask for the customer's PIN; `before` says for what."""
    asked = pgettext("pin", "Enter your Jirani PIN.")
    return Ask(f"{before}\n{asked}" if before else asked, parse=parse_pin, act=act, secret=True)


def ask(dialogue: Dialogue, act: Act) -> View:
    """Ask for the customer's PIN, unless it is locked."""
    return Go("pin.locked") if dialogue.facts.known.pin_is_locked_at(dialogue.at) else enter(act)


def choose(act: Act) -> Ask:
    return Ask(
        pgettext("pin", "Choose a PIN of 4 digits. Tell it to nobody, not even to us."),
        parse=parse_pin,
        act=act,
        secret=True,
    )


def choose_again(act: Act) -> Ask:
    return Ask(pgettext("pin", "Type the same PIN again."), parse=parse_pin, act=act, secret=True)


def weak() -> str:
    return pgettext("pin", "That PIN is easy to guess.")


def wrong(tries_left: int) -> str:
    return npgettext("pin", "Wrong PIN, %(tries)d try left.", "Wrong PIN, %(tries)d tries left.", tries_left) % {
        "tries": tries_left
    }


def _fingerprint(dialogue: Dialogue, pin: str) -> str:
    return hmac.new(settings.PIN_PEPPER.encode(), f"{dialogue.msisdn}:{pin}".encode(), hashlib.sha256).hexdigest()


def keep(dialogue: Dialogue, pin: str, known_digits: Iterable[str]) -> None:
    """Remember a new PIN's fingerprint until it is typed again.

    Raises:
        Again: the PIN is weak.
    """
    try:
        identity.refuse_weak_pin(pin, known_digits)
    except identity.WeakPin:
        raise Again(weak()) from None
    dialogue.answers["pin_fingerprint"] = _fingerprint(dialogue, pin)


def refuse_other(dialogue: Dialogue, pin: str) -> None:
    """Insist that the same PIN was typed twice.

    Raises:
        Again: it is another one.
    """
    if not hmac.compare_digest(dialogue.answers.get("pin_fingerprint", ""), _fingerprint(dialogue, pin)):
        raise Again(pgettext("pin", "Not the same. 0 chooses anew."))


def check(dialogue: Dialogue, pin: str) -> None:
    """Let only the customer pass.

    Raises:
        Again: a wrong PIN, with the tries that are left.
        Elsewhere: the PIN is locked, or not even looked at for a while.
    """
    gateway, msisdn, at = guard.gateway_of(dialogue.origin), dialogue.msisdn, dialogue.at
    if guard.pin_must_wait(gateway=gateway, msisdn=msisdn):
        raise Elsewhere("pin.wait")
    try:
        people.check_pin(borrower_id=dialogue.facts.known.id, pin=pin, at=at)
    except people.WrongPin as error:
        guard.pin_was(right=False, gateway=gateway, msisdn=msisdn, at=at)
        raise Again(wrong(error.tries_left)) from None
    except people.PinLocked:
        guard.pin_was(right=False, gateway=gateway, msisdn=msisdn, at=at)
        guard.notice(guard.Kind.PIN_LOCKED, gateway=gateway, msisdn=msisdn, at=at)
        raise Elsewhere("pin.locked") from None
    guard.pin_was(right=True, gateway=gateway, msisdn=msisdn, at=at)


@screen("pin.locked", samples=[samples.locked])
def locked(dialogue: Dialogue) -> View:
    """After three wrong PINs, with the ways back."""
    return Menu(
        locked_words(dialogue.facts.known),
        (
            Choice(pgettext("pin.locked", "Ask for a new PIN"), "pin.forgotten"),
            Choice(pgettext("pin.locked", "Call me"), "help.call"),
        ),
        back=None,
    )


def locked_words(borrower: Borrower) -> str:
    """Say that a PIN is locked, and when it opens by itself."""
    said = pgettext("pin.locked", "Your PIN is locked after 3 wrong tries. Your money is safe.")
    opens_at = borrower.pin_opens_at
    if opens_at is None:
        return said
    on = calendar.business_date(opens_at, settings.TIME_ZONE)
    when = {"day": words.day(on), "time": words.clock(opens_at)}
    return f"{said} " + pgettext("pin.locked", "It opens by itself on %(day)s at %(time)s.") % when


@screen("pin.wait", samples=[samples.fresh])
def wait(dialogue: Dialogue) -> View:
    """The end while many PINs are guessed and this number was just wrong: no try is counted."""
    return End(
        pgettext(
            "pin.wait",
            "Many wrong PINs come in just now, so we go slowly. Nothing was changed. Dial %(code)s again in "
            "%(minutes)s minutes.",
        )
        % {"code": settings.USSD_CODE, "minutes": guard.BRAKE.wait // timedelta(minutes=1)}
    )


@screen("pin.forgotten", samples=[samples.fresh])
def ask_for_new_pin(dialogue: Dialogue) -> View:
    return Ask(
        pgettext(
            "pin.forgotten", "Type your national ID number. An officer calls you and opens the way to a new PIN."
        ),
        parse=parse_identity,
        act=_ask_new_pin,
    )


def _ask_new_pin(dialogue: Dialogue, national_id: str) -> str:
    case = new_pins.ask_new_pin(
        msisdn=dialogue.msisdn, national_id=national_id, language=dialogue.language, at=dialogue.at
    )
    dialogue.answers = {"reference": case.reference}
    return "pin.asked"


@screen("pin.asked", samples=[samples.asked])
def new_pin_asked(dialogue: Dialogue) -> View:
    """The same words whether the ID was right: nobody learns here what belongs to a number."""
    return End(
        pgettext("pin.asked", "An officer calls you by tomorrow, ref %(ref)s. They never ask for your PIN.")
        % {"ref": dialogue.answers["reference"]}
    )


@screen("pin.reset", samples=[samples.fresh], resume="pin.reset")
def ask_identity(dialogue: Dialogue) -> View:
    """The first screen after an officer's reset."""
    return Ask(
        pgettext("pin.reset", "An officer reset your PIN. Type your national ID number to choose a new one."),
        parse=parse_identity,
        save_as="national_id",
        then="pin.new",
    )


def parse_identity(typed: str) -> str:
    """Return what may be an ID number of some country, or say that it is none."""
    if re.fullmatch(r"[0-9A-Za-z \-]{4,20}", typed, flags=re.ASCII):
        return typed
    raise Again(pgettext("pin.reset", "That is no ID number."))


@screen("pin.new", samples=[samples.fresh], resume="pin.reset", tries=PIN_TRIES)
def ask_new_pin(dialogue: Dialogue) -> View:
    return choose(act=_keep_new_pin)


def _keep_new_pin(dialogue: Dialogue, pin: str) -> str:
    keep(dialogue, pin, known_digits=(dialogue.msisdn, dialogue.answers["national_id"]))
    return "pin.new_again"


@screen("pin.new_again", samples=[samples.fresh], resume="pin.reset", tries=PIN_TRIES)
def ask_new_pin_again(dialogue: Dialogue) -> View:
    return choose_again(act=_set_after_reset)


def _set_after_reset(dialogue: Dialogue, pin: str) -> str:
    refuse_other(dialogue, pin)
    try:
        people.choose_pin_after_reset(
            borrower_id=dialogue.facts.known.id,
            national_id=dialogue.answers["national_id"],
            new_pin=pin,
            at=dialogue.at,
        )
    except identity.WeakPin:
        raise Again(weak()) from None
    except people.WrongIdentity:
        raise Elsewhere("pin.other_identity") from None
    except people.PinLocked:
        raise Elsewhere("pin.locked") from None
    return START


@screen("pin.other_identity", samples=[samples.fresh])
def other_identity(dialogue: Dialogue) -> View:
    return End(
        pgettext(
            "pin.other_identity",
            "That is not the ID we know for this number. Dial %(code)s again, or see an officer.",
        )
        % {"code": settings.USSD_CODE}
    )
