"""First dial, once the language is chosen: agreement, name, national ID, PIN twice."""

from django.conf import settings

from lending.rules import identity
from lending.services import agents, people
from ussd import alphabet, guard, samples
from ussd.engine import START, Again, Ask, Choice, Dialogue, Elsewhere, End, Go, Menu, View, screen
from ussd.screens import pin
from ussd.tongue import pgettext

CONSENT_VERSION = "consent-1"
NAME_ROOM = 40
ID_SEPTETS = 20


@screen("register.consent", samples=[samples.stranger], resume="register.language")
def ask_consent(dialogue: Dialogue) -> View:
    """The two agreements without which there is no service."""
    return Menu(
        pgettext(
            "register.consent",
            "Jirani keeps your number, ID and loans to serve you, "
            "and a computer decides on loans. Both are needed.",
        ),
        (
            Choice(
                pgettext("register.consent", "I agree"),
                "register.wallet",
                {"consents": {"service": True, "scoring": True}},
            ),
            Choice(pgettext("register.consent", "I refuse"), act=_refuse),
            Choice(pgettext("register.consent", "Help"), "help.stranger"),
        ),
        must_be_seen=True,
        first=dialogue.unused(3),
    )


def _refuse(dialogue: Dialogue, _: None) -> str:
    """Keep nothing, not even what an agent typed."""
    agents.refuse(msisdn=dialogue.msisdn, at=dialogue.at)
    return "register.refused"


@screen("register.refused", samples=[samples.stranger])
def refused(dialogue: Dialogue) -> View:
    return End(
        pgettext("register.refused", "All right. We keep nothing about you. Dial %(code)s if you change your mind.")
        % {"code": settings.USSD_CODE}
    )


@screen("register.abroad", samples=[samples.stranger])
def abroad(dialogue: Dialogue) -> View:
    return End(
        pgettext("register.abroad", "Sorry, Jirani serves +%(prefix)s numbers only for now.")
        % {"prefix": dialogue.facts.country.dialling_prefix}
    )


def _optional(dialogue: Dialogue, purpose: str, granted: bool) -> dict[str, dict[str, bool]]:
    return {"consents": dialogue.answers.get("consents", {}) | {purpose: granted}}


@screen("register.wallet", samples=[samples.stranger], resume="register.language")
def ask_wallet(dialogue: Dialogue) -> View:
    return Menu(
        pgettext(
            "register.wallet",
            "May we look at the flow of your %(wallet)s? It can raise your limit. You may refuse.",
        )
        % {"wallet": dialogue.facts.country.wallet_name},
        (
            Choice(pgettext("register.wallet", "Yes"), "register.marketing", _optional(dialogue, "wallet", True)),
            Choice(pgettext("register.wallet", "No"), "register.marketing", _optional(dialogue, "wallet", False)),
        ),
        must_be_seen=True,
        first=dialogue.unused(2),
    )


@screen("register.marketing", samples=[samples.stranger], resume="register.language")
def ask_marketing(dialogue: Dialogue) -> View:
    return Menu(
        pgettext("register.marketing", "May we send you offers by SMS? You may refuse."),
        (
            Choice(pgettext("register.marketing", "Yes"), "register.name", _optional(dialogue, "marketing", True)),
            Choice(pgettext("register.marketing", "No"), "register.name", _optional(dialogue, "marketing", False)),
        ),
        must_be_seen=True,
        first=dialogue.unused(2),
    )


@screen("register.name", samples=[samples.stranger], resume="register.name")
def ask_name(dialogue: Dialogue) -> View:
    if dialogue.facts.invitation is not None:
        return Go("register.invited")
    return Ask(
        pgettext("register.name", "Type your full name as on your ID card."),
        parse=parse_name,
        save_as="full_name",
        then="register.national_id",
        whole=True,
    )


@screen("register.invited", samples=[samples.invited], resume="register.name")
def ask_whether_it_is_them(dialogue: Dialogue) -> View:
    """What an agent typed, for whoever holds this phone to agree to; the ID is masked."""
    invitation = dialogue.facts.invitation
    if invitation is None:
        return Go("register.name")
    values = {
        "name": alphabet.active().clip(invitation.full_name, NAME_ROOM),
        "id": identity.mask(invitation.national_id),
    }
    return Menu(
        pgettext("register.invited", "An agent typed: %(name)s, ID %(id)s. Is that you?") % values,
        (
            Choice(
                pgettext("register.invited", "Yes, that is me"),
                "register.pin",
                {"full_name": invitation.full_name, "national_id": invitation.national_id},
            ),
            Choice(pgettext("register.invited", "No, I type it myself"), act=_type_myself),
        ),
        must_be_seen=True,
        first=dialogue.unused(2),
    )


def _type_myself(dialogue: Dialogue, _: None) -> str:
    agents.refuse(msisdn=dialogue.msisdn, at=dialogue.at)
    return "register.name"


def parse_name(typed: str) -> str:
    """Return a name as it can be kept, or say what is wrong with it."""
    try:
        return identity.clean_name(typed)
    except identity.InvalidName:
        raise Again(pgettext("register.name", "A name has 2 to 60 letters.")) from None


@screen("register.national_id", samples=[samples.stranger], resume="register.name")
def ask_national_id(dialogue: Dialogue) -> View:
    return Ask(
        pgettext("register.national_id", "Type your national ID number."),
        parse=lambda typed: parse_national_id(dialogue, typed),
        save_as="national_id",
        then="register.pin",
    )


def parse_national_id(dialogue: Dialogue, typed: str) -> str:
    """Return a national ID of the country's form, or say that it is none. The words never repeat it."""
    try:
        return identity.clean_national_id(typed, dialogue.facts.country.national_id.pattern)
    except identity.InvalidNationalId:
        raise Again(pgettext("register.national_id", "That is no ID number.")) from None


@screen("register.pin", samples=[samples.stranger], resume="register.pin", tries=("", "12", "abcd"))
def ask_pin(dialogue: Dialogue) -> View:
    return pin.choose(act=_keep_pin)


def _keep_pin(dialogue: Dialogue, typed: str) -> str:
    pin.keep(dialogue, typed, known_digits=(dialogue.msisdn, dialogue.answers["national_id"]))
    return "register.again"


@screen("register.again", samples=[samples.stranger], resume="register.pin", tries=("", "12", "abcd"))
def ask_pin_again(dialogue: Dialogue) -> View:
    return pin.choose_again(act=_register)


def _register(dialogue: Dialogue, typed: str) -> str:
    pin.refuse_other(dialogue, typed)
    if not guard.may_try_identity(msisdn=dialogue.msisdn):
        raise Elsewhere("register.not_possible")
    try:
        people.register_borrower(
            msisdn=dialogue.msisdn,
            full_name=dialogue.answers["full_name"],
            national_id=dialogue.answers["national_id"],
            pin=typed,
            language=dialogue.language,
            consents=dialogue.answers["consents"],
            text_version=CONSENT_VERSION,
            origin=dialogue.origin,
            at=dialogue.at,
        )
    except identity.WeakPin:
        raise Again(pin.weak()) from None
    except (people.AlreadyRegistered, people.IdentityRefused, identity.InvalidName, identity.InvalidNationalId):
        gateway = guard.gateway_of(dialogue.origin)
        guard.identity_was_refused(gateway=gateway, msisdn=dialogue.msisdn, at=dialogue.at)
        raise Elsewhere("register.not_possible") from None
    agents.finish(msisdn=dialogue.msisdn, at=dialogue.at)
    return START


@screen("register.not_possible", samples=[samples.stranger])
def not_possible(dialogue: Dialogue) -> View:
    """Says the same for a known ID as for a refused one: nobody learns here who is a customer."""
    return End(
        pgettext(
            "register.not_possible",
            "We cannot register this ID on this number. Bring your ID to a Jirani officer, or SMS HELP to %(sms)s.",
        )
        % {"sms": settings.SMS_SHORT_CODE}
    )
