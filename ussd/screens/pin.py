"""Everything about PINs: how one is asked for, chosen twice, checked, and won back after a lock.

A PIN lives in local variables only. Between the two times that a new one is typed, its keyed fingerprint
waits among the (encrypted) answers; the key is outside the database.
"""

import hashlib
import hmac
import re
from collections.abc import Iterable

from django.conf import settings
from django.utils.translation import npgettext, pgettext

from lending.rules import identity
from lending.services import people
from ussd import samples
from ussd.engine import START, Act, Again, Ask, Dialogue, Elsewhere, End, View, screen

PIN_TRIES = ("", "12", "abcd")


def parse_pin(typed: str) -> str:
    """Return four digits, or say that a PIN has four; what was typed is never repeated."""
    if re.fullmatch(r"[0-9]{4}", typed, flags=re.ASCII):
        return typed
    raise Again(pgettext("pin", "A PIN has 4 digits."))


def enter(act: Act, before: str = "") -> Ask:
    """Ask for the customer's PIN; `before` says for what."""
    asked = pgettext("pin", "Enter your Jirani PIN.")
    return Ask(f"{before}\n{asked}" if before else asked, parse=parse_pin, act=act, secret=True)


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
        Elsewhere: the PIN is locked.
    """
    try:
        people.check_pin(borrower_id=dialogue.facts.known.id, pin=pin, at=dialogue.at)
    except people.WrongPin as error:
        raise Again(wrong(error.tries_left)) from None
    except people.PinLocked:
        raise Elsewhere("pin.locked") from None


@screen("pin.locked", samples=[samples.locked])
def locked(dialogue: Dialogue) -> View:
    """The end after three wrong PINs, with the way back."""
    return End(
        pgettext(
            "pin.locked",
            "Your PIN is locked after 3 wrong tries. Bring your ID to a Jirani officer, or SMS HELP to %(sms)s.",
        )
        % {"sms": settings.SMS_SHORT_CODE}
    )


@screen("pin.reset", samples=[samples.fresh], resume="pin.reset")
def ask_identity(dialogue: Dialogue) -> View:
    """The first screen after an officer's reset."""
    return Ask(
        pgettext("pin.reset", "An officer reset your PIN. Type your national ID number to choose a new one."),
        parse=_parse_identity,
        save_as="national_id",
        then="pin.new",
    )


def _parse_identity(typed: str) -> str:
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
