"""An agent helps others to register: types who they are, while their own phone agrees and chooses the PIN."""

from lending.models import Agent
from lending.services import agents
from ussd import samples, words
from ussd.engine import Ask, Choice, Dialogue, Elsewhere, End, Go, Menu, View, screen
from ussd.screens import pin
from ussd.screens.help import parse_number
from ussd.screens.register import parse_name, parse_national_id
from ussd.tongue import pgettext

STATES = {
    Agent.State.ASKED.value: "agent.asked",
    Agent.State.APPROVED.value: "agent.menu",
    Agent.State.REFUSED.value: "agent.no",
    Agent.State.ENDED.value: "agent.no",
}


@screen("agent.start", samples=[samples.fresh])
def start(dialogue: Dialogue) -> View:
    """What an agent does, and the wish to be one."""
    agent = dialogue.facts.agent
    if agent is not None:
        return Go(STATES[agent.state])
    return Menu(
        pgettext(
            "agent.start", "Agents help neighbours to register. An officer meets you first. Do you want to be one?"
        ),
        (Choice(pgettext("agent.start", "Yes, ask an officer"), act=_ask),),
    )


def _ask(dialogue: Dialogue, _: None) -> str:
    agents.ask_to_be_agent(borrower_id=dialogue.facts.known.id, at=dialogue.at)
    return "agent.asked"


@screen("agent.asked", samples=[samples.fresh])
def asked(dialogue: Dialogue) -> View:
    return End(pgettext("agent.asked", "An officer will call you about being an agent. The answer comes by SMS."))


@screen("agent.no", samples=[samples.fresh])
def no(dialogue: Dialogue) -> View:
    return End(
        pgettext("agent.no", "You are no agent now. Your own account is as before. Questions: Help, Call me.")
    )


@screen("agent.menu", samples=[samples.agent])
def menu(dialogue: Dialogue) -> View:
    """Counts, and nothing else of anybody."""
    counts = dialogue.facts.agent_counts
    return Menu(
        pgettext("agent.menu", "In 30 days you invited %(invited)d, of whom %(registered)d registered.")
        % {"invited": counts.invited, "registered": counts.registered},
        (Choice(pgettext("agent.menu", "Register somebody"), "agent.number"),),
    )


@screen("agent.number", samples=[samples.agent], tries=("", "x", "12"))
def ask_number(dialogue: Dialogue) -> View:
    return Ask(
        pgettext("agent.number", "Type the newcomer's phone number. They must hold that phone now."),
        parse=lambda typed: parse_number(dialogue, typed),
        save_as="newcomer",
        then="agent.name",
    )


@screen("agent.name", samples=[samples.agent])
def ask_name(dialogue: Dialogue) -> View:
    return Ask(
        pgettext("agent.name", "Type their full name as on the ID card."),
        parse=parse_name,
        save_as="full_name",
        then="agent.national_id",
        whole=True,
    )


@screen("agent.national_id", samples=[samples.agent])
def ask_national_id(dialogue: Dialogue) -> View:
    return Ask(
        pgettext("agent.national_id", "Type their national ID number from the card."),
        parse=lambda typed: parse_national_id(dialogue, typed),
        save_as="national_id",
        then="agent.pin",
    )


@screen("agent.pin", samples=[samples.agent], tries=pin.PIN_TRIES)
def confirm(dialogue: Dialogue) -> View:
    """The agent's own PIN; the newcomer's is typed on the newcomer's phone alone."""
    return pin.enter(act=_invite)


def _invite(dialogue: Dialogue, typed: str) -> str:
    pin.check(dialogue, typed)
    newcomer = dialogue.answers["newcomer"]
    try:
        agents.invite(
            agent_borrower_id=dialogue.facts.known.id,
            msisdn=newcomer,
            full_name=dialogue.answers["full_name"],
            national_id=dialogue.answers["national_id"],
            origin=dialogue.origin,
            at=dialogue.at,
        )
    except agents.NotAnAgent:
        raise Elsewhere("agent.no") from None
    except agents.TooMany:
        raise Elsewhere("agent.too_many") from None
    dialogue.answers = {"newcomer": newcomer}
    return "agent.invited"


@screen("agent.invited", samples=[samples.agent])
def invited(dialogue: Dialogue) -> View:
    """The same words for a number that is registered already."""
    return End(
        pgettext(
            "agent.invited",
            "%(number)s gets an SMS now. They dial, agree and choose a PIN on their own phone, within 2 days. "
            "Never ask for it.",
        )
        % {"number": words.local_number(dialogue.answers["newcomer"])}
    )


@screen("agent.too_many", samples=[samples.agent])
def too_many(dialogue: Dialogue) -> View:
    return End(
        pgettext("agent.too_many", "That is enough for one day. Go on tomorrow, or ask an officer: Help, Call me.")
    )
