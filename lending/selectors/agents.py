"""What an agent may see: counts."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from lending.models import Agent, Invitation
from lending.selectors.preferences import number_index

MONTH = timedelta(days=30)


@dataclass(frozen=True)
class Counts:
    """How many people an agent invited in 30 days, and how many of these are registered by now."""

    invited: int
    registered: int


def counts(agent_id: int, at: datetime) -> Counts:
    lately = Invitation.objects.filter(agent_id=agent_id, invited_at__gt=at - MONTH)
    return Counts(lately.count(), lately.filter(finished_at__isnull=False).count())


def agent_of(borrower_id: int) -> Agent | None:
    """Return the agent that a customer is or asked to be."""
    return Agent.objects.filter(borrower_id=borrower_id).first()


def invitation_of(msisdn: str, at: datetime) -> Invitation | None:
    """Return what waits for a number's own yes."""
    return Invitation.objects.filter(
        number_index=number_index(msisdn), finished_at__isnull=True, ended_at__isnull=True, ends_at__gt=at
    ).first()
