"""Late: why, in one tap, and what helps."""

from functools import partial

from django.conf import settings

from lending.models import LateReason, Loan
from lending.rules.promises import MOST_BROKEN
from lending.services import lateness
from ussd import samples
from ussd.engine import Choice, Dialogue, Elsewhere, End, Go, Menu, View, screen
from ussd.tongue import pgettext

Reason = LateReason.Reason
# The keys from the first menu to the question, for a message that leads there; a story dials it.
WAY = "1*6"


def code_to_dial() -> str:
    """Return what to dial to be asked why."""
    return f"{settings.USSD_CODE.removesuffix('#')}*{WAY}#"


def is_late(dialogue: Dialogue) -> bool:
    loan = dialogue.facts.owed_loan
    if loan is None or loan.state != Loan.State.LIVE:
        return False
    standing = dialogue.facts.standing(loan)
    return standing is not None and standing.is_late(dialogue.facts.today)


@screen("late.why", samples=[samples.late], paged=True)
def ask_why(dialogue: Dialogue) -> View:
    """One tap; whatever is said, it costs nothing."""
    if not is_late(dialogue):
        return Go("loan.status")
    said = {
        Reason.FORGOT: pgettext("late.why", "I forgot"),
        Reason.NOT_PAID: pgettext("late.why", "A customer has not paid me"),
        Reason.SICK: pgettext("late.why", "Sickness"),
        Reason.CANNOT: pgettext("late.why", "I cannot pay now"),
        Reason.DISPUTE: pgettext("late.why", "Something is wrong"),
        Reason.LOST_PHONE: pgettext("late.why", "I lost my phone"),
    }
    return Menu(
        pgettext("late.why", "What happened? Telling us costs nothing."),
        [Choice(label, act=partial(_tell, reason)) for reason, label in said.items()],
    )


def _tell(reason: str, dialogue: Dialogue, _: None) -> str:
    """Keep what was said, and lead to what helps."""
    try:
        lateness.tell_why(
            borrower_id=dialogue.facts.known.id, reason=reason, origin=dialogue.origin, at=dialogue.at
        )
    except lateness.NotLate:
        raise Elsewhere("loan.status") from None
    return LEADS_TO.get(reason, "late.ways")


LEADS_TO: dict[str, str] = {Reason.FORGOT: "repay.menu", Reason.DISPUTE: "late.disputed"}


@screen("late.ways", samples=[samples.late], paged=True)
def ways(dialogue: Dialogue) -> View:
    """What the product grants this loan today, and a person. Nothing else is offered."""
    if not is_late(dialogue):
        return Go("loan.status")
    return Menu(
        pgettext("late.ways", "Thank you for telling us. What helps you now?"),
        [
            Choice(pgettext("late.ways", "Pay a part"), "repay.amount"),
            *_another_day(dialogue),
            *_granted(dialogue),
            Choice(pgettext("late.ways", "Call me"), "help.call"),
        ],
    )


def _another_day(dialogue: Dialogue) -> list[Choice]:
    """Offer a promise, while one would be taken."""
    if dialogue.facts.broken_promises >= MOST_BROKEN:
        return []
    return [Choice(pgettext("late.ways", "Promise another day"), "plan.promise")]


def _granted(dialogue: Dialogue) -> list[Choice]:
    loan = dialogue.facts.owed_loan
    granted = dialogue.facts.granted(loan) if loan is not None else []
    labels = {
        "skip": (pgettext("late.ways", "Skip one payment"), "plan.skip"),
        "extend": (pgettext("late.ways", "More time for a fee"), "plan.extend"),
    }
    return [Choice(*labels[kind]) for kind in labels if kind in granted]


@screen("late.disputed", samples=[samples.late])
def disputed(dialogue: Dialogue) -> View:
    """A person looks at it, and nobody asks for money meanwhile."""
    return End(
        pgettext(
            "late.disputed",
            "Thank you. An officer looks at your loan and calls you. Until then no reminders, and no credit bureau "
            "hears of it.",
        )
    )
