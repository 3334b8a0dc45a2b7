"""The ladder of reminders: on which days from a due date something is said, and what. Pure.

Source: docs/domain/reminders.md, "The ladder".
"""

from enum import StrEnum


class Step(StrEnum):
    """What a reminder is for."""

    AHEAD = "ahead"  # what is due soon, and how to pay
    TODAY = "today"
    WHY = "why"  # asks what happened
    AGAIN = "again"
    OFFER = "offer"  # what can be had instead of paying all at once
    CALL = "call"  # an officer will call
    FORMAL = "formal"  # the last one, in writing


# Days from the due date (minus is before).
LADDER = {
    -3: Step.AHEAD,
    0: Step.TODAY,
    1: Step.WHY,
    3: Step.AGAIN,
    7: Step.OFFER,
    14: Step.CALL,
    28: Step.FORMAL,
}
# A call whose day was missed is made up for until the formal notice.
CALL_DAYS = range(14, 28)
# Who told us a hardship is not written to for so many days, but for a call or the formal notice.
HARDSHIP_RESTS_DAYS = 5
FIRM = (Step.CALL, Step.FORMAL)


def step_of(days: int) -> Step:
    """Return the step on which somebody stands so many days from a due date: the last one that was reached.

    >>> [str(step_of(days)) for days in (-3, 0, 2, 6, 30)]
    ['ahead', 'today', 'why', 'again', 'formal']
    """
    reached = [day for day in LADDER if day <= days]
    return LADDER[max(reached)] if reached else Step.AHEAD
