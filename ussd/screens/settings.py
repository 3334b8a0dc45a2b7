"""Settings: another PIN, another limit, fewer messages."""

from functools import partial

from lending.models import Preference
from lending.rules import identity
from lending.services import limits, people, preferences
from ussd import samples, words
from ussd.engine import Again, Ask, Choice, Dialogue, Elsewhere, End, Go, Menu, View, screen
from ussd.screens import pin
from ussd.screens.borrow import read_amount
from ussd.tongue import pgettext


@screen("settings.menu", samples=[samples.fresh])
def menu(dialogue: Dialogue) -> View:
    return Menu(
        pgettext("settings.menu", "Settings"),
        (
            Choice(pgettext("settings.menu", "Change PIN"), "settings.pin"),
            Choice(pgettext("settings.menu", "My limit"), "loan.limit"),
            Choice(pgettext("settings.menu", "Messages"), "settings.messages"),
            Choice(pgettext("settings.menu", "Forgot PIN"), "pin.forgotten"),
        ),
    )


@screen("settings.messages", samples=[samples.fresh, samples.stopped])
def messages(dialogue: Dialogue) -> View:
    """Which messages that nobody asked for are wanted; one step stops one, without a PIN and without a reason."""
    stopped = dialogue.facts.stopped
    return Menu(
        pgettext("settings.messages", "Receipts, costs and what the law asks of us always come. Beside them:"),
        [
            Choice(message_words(purpose, wanted=purpose not in stopped), act=partial(_turn, purpose=purpose))
            for purpose in preferences.EVERY
        ],
    )


def message_words(purpose: str, *, wanted: bool) -> str:
    """Return what choosing a line does: it ends what comes, and brings back what was ended."""
    said = {
        Preference.Purpose.REMINDERS: (
            pgettext("settings.messages", "Stop reminders"), pgettext("settings.messages", "Reminders again"),
        ),
        Preference.Purpose.OFFERS: (
            pgettext("settings.messages", "Stop offers"), pgettext("settings.messages", "Offers again"),
        ),
        Preference.Purpose.TIPS: (
            pgettext("settings.messages", "Stop tips"), pgettext("settings.messages", "Tips again"),
        ),
    }  # fmt: skip
    return said[Preference.Purpose(purpose)][0 if wanted else 1]


def _turn(dialogue: Dialogue, _: None, *, purpose: str) -> str:
    change = preferences.start if purpose in dialogue.facts.stopped else preferences.stop
    change(msisdn=dialogue.msisdn, purposes=[purpose], at=dialogue.at)
    # Away from here: a copy of this answer that comes late must not turn it back.
    return "settings.menu"


@screen("settings.pin", samples=[samples.fresh], tries=pin.PIN_TRIES)
def old_pin(dialogue: Dialogue) -> View:
    """Check the old PIN first: choosing a new one twice in vain would be unkind."""
    return pin.ask(dialogue, _check_old)


def _check_old(dialogue: Dialogue, typed: str) -> str:
    pin.check(dialogue, typed)
    dialogue.answers["pin_checked_at"] = dialogue.at.isoformat()
    return "settings.new_pin"


@screen("settings.new_pin", samples=[samples.fresh], tries=pin.PIN_TRIES)
def new_pin(dialogue: Dialogue) -> View:
    return pin.choose(act=_keep_new)


def _keep_new(dialogue: Dialogue, typed: str) -> str:
    pin.keep(dialogue, typed, known_digits=(dialogue.msisdn, dialogue.facts.known.national_id))
    return "settings.new_pin_again"


@screen("settings.new_pin_again", samples=[samples.fresh], tries=pin.PIN_TRIES)
def new_pin_again(dialogue: Dialogue) -> View:
    return pin.choose_again(act=_change)


def _change(dialogue: Dialogue, typed: str) -> str:
    """Set the new PIN. One hop carries one PIN, so the old one was checked two hops ago, in this dialogue."""
    if "pin_checked_at" not in dialogue.answers:
        raise Elsewhere("settings.menu")
    pin.refuse_other(dialogue, typed)
    try:
        people.replace_pin(borrower_id=dialogue.facts.known.id, new_pin=typed, at=dialogue.at)
    except identity.WeakPin:
        raise Again(pin.weak()) from None
    dialogue.answers = {}
    return "settings.changed"


@screen("settings.changed", samples=[samples.fresh])
def changed(dialogue: Dialogue) -> View:
    return End(pgettext("settings.changed", "Your PIN is changed. Tell it to nobody."))


@screen("settings.limit", samples=[samples.fresh], tries=("0", "x", "1", "9999999.98", "99999999"))
def own_limit(dialogue: Dialogue) -> View:
    """Be offered less, or again all that the rung allows."""
    borrower = dialogue.facts.known
    if borrower.limit_cents < dialogue.facts.offer.min_cents:
        return Go("borrow.no_limit")
    values = {
        "now": words.amount(borrower.offered_limit_cents),
        "most": words.amount(borrower.limit_cents),
    }
    return Ask(
        pgettext("settings.limit", "You may borrow %(now)s at once. How much should it be? At most %(most)s.")
        % values,
        parse=lambda typed: _read_limit(dialogue, typed),
        act=_choose_limit,
        zero_is_answer=True,
    )


def _read_limit(dialogue: Dialogue, typed: str) -> int:
    """Return the cents of a limit that may be chosen, or say on which side it is out of bounds."""
    offer, most_cents = dialogue.facts.offer, dialogue.facts.known.limit_cents
    cents = read_amount(typed, offer.product_version.currency)
    if cents < offer.min_cents:
        raise Again(pgettext("settings.limit", "At least %(least)s.") % {"least": words.amount(offer.min_cents)})
    if cents > most_cents:
        raise Again(pgettext("settings.limit", "At most %(most)s.") % {"most": words.amount(most_cents)})
    return cents


def _choose_limit(dialogue: Dialogue, cents: int) -> str:
    try:
        limits.choose_limit(borrower_id=dialogue.facts.known.id, limit_cents=cents, at=dialogue.at)
    except limits.LimitRefused:
        raise Elsewhere("settings.limit") from None
    dialogue.answers = {}
    return "settings.limit_chosen"


@screen("settings.limit_chosen", samples=[samples.fresh])
def limit_chosen(dialogue: Dialogue) -> View:
    return End(
        pgettext("settings.limit_chosen", "Your limit is now %(limit)s. You can change it here at any time.")
        % {"limit": words.amount(dialogue.facts.known.offered_limit_cents)}
    )
