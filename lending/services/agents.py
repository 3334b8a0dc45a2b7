"""Assisted registration: an agent types, the newcomer's own phone says yes, agrees and chooses the PIN.

Source: docs/domain/people.md, "Agents".
"""

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction

from lending import outbox
from lending.models import Agent, Borrower, Invitation
from lending.rules import calendar, identity
from lending.selectors import people, products
from lending.selectors.preferences import number_index
from lending.services import audit

INVITED_FOR = timedelta(hours=48)
# So many a day: whoever registers more of them than a market day brings is looked at by a person.
MOST_A_DAY = 20


class NotAnAgent(Exception):
    """No officer has said yes, or not any more."""


class TooMany(Exception):
    """More invitations than one person can have met in a day."""


@transaction.atomic
def ask_to_be_agent(*, borrower_id: int, at: datetime) -> Agent:
    """Ask officers to be allowed to help others. Repeats safely."""
    borrower = Borrower.objects.select_for_update(no_key=True).get(id=borrower_id)
    agent, created = Agent.objects.get_or_create(borrower=borrower, defaults={"asked_at": at})
    if created:
        audit.record("agent_asked", subject=f"borrower:{borrower_id}", borrower=borrower, at=at)
    return agent


@transaction.atomic
def decide(*, agent_id: int, state: str, officer: Any, reason: str, at: datetime) -> Agent:
    """Let a customer help others, refuse it, or end it.

    Raises:
        ValueError: no reason was given.
    """
    if not reason.strip():
        raise ValueError("a decision about an agent needs a reason in words")
    agent = Agent.objects.select_for_update(of=("self",)).select_related("borrower").get(id=agent_id)
    agent.state, agent.decided_at, agent.decided_by = Agent.State(state), at, officer
    agent.reason = reason.strip()[:300]
    agent.save(update_fields=["state", "decided_at", "decided_by", "reason"])
    subject = f"borrower:{agent.borrower_id}"
    audit.record(
        f"agent_{agent.state}", subject=subject, borrower=agent.borrower, actor=officer, reason=reason, at=at
    )
    outbox.write("agent_decided", reference=f"agent_decided:{agent.id}:{at.isoformat()}", at=at, agent_id=agent.id)
    return agent


@transaction.atomic
def invite(
    *, agent_borrower_id: int, msisdn: str, full_name: str, national_id: str, origin: str, at: datetime
) -> Invitation | None:
    """Keep what an agent typed until the newcomer's own phone dials, and tell that phone so.

    A number that is registered already gets nothing and the agent the same answer: nobody learns here who is a
    customer. Then None is returned. Repeats safely by `origin`; a newer invitation replaces an open one.

    Raises:
        NotAnAgent, TooMany: this agent may not invite now.
        InvalidName, InvalidNationalId: what was typed cannot be taken.
    """
    if known := Invitation.objects.filter(origin=origin).first():
        return known
    mine = Agent.objects.select_for_update(of=("self",)).select_related("borrower")
    agent = mine.filter(borrower_id=agent_borrower_id).first()
    if agent is None or agent.state != Agent.State.APPROVED:
        raise NotAnAgent
    on = calendar.business_date(at, settings.TIME_ZONE)
    since = calendar.start_of(on, settings.TIME_ZONE)
    if agent.invitations.filter(invited_at__gte=since).count() >= MOST_A_DAY:
        raise TooMany
    law = products.country_rules(settings.COUNTRY, on)
    name = identity.clean_name(full_name)
    known_id = identity.clean_national_id(national_id, law.national_id.pattern)
    if people.find_borrower(msisdn) is not None:
        return None
    _end(Invitation.objects.filter(number_index=number_index(msisdn)), at)
    invitation = Invitation.objects.create(
        agent=agent,
        number_index=number_index(msisdn),
        msisdn=msisdn,
        language=agent.borrower.language,
        full_name=name,
        national_id=known_id,
        origin=origin,
        invited_at=at,
        ends_at=at + INVITED_FOR,
    )
    outbox.write(
        "newcomer_invited", reference=f"newcomer_invited:{invitation.id}", at=at, invitation_id=invitation.id
    )
    return invitation


def _end(invitations: Any, at: datetime, **how: Any) -> None:
    """End open invitations; what was typed in them is gone."""
    still_open = invitations.filter(finished_at__isnull=True, ended_at__isnull=True)
    still_open.update(**(how or {"ended_at": at}), msisdn="", full_name="", national_id="")


@transaction.atomic
def finish(*, msisdn: str, at: datetime) -> None:
    """Note that the newcomer is registered."""
    _end(Invitation.objects.filter(number_index=number_index(msisdn)), at, finished_at=at)


@transaction.atomic
def refuse(*, msisdn: str, at: datetime) -> None:
    """Let a newcomer say no: nothing about them is kept."""
    _end(Invitation.objects.filter(number_index=number_index(msisdn)), at)


@transaction.atomic
def forget_old(at: datetime) -> int:
    """Empty invitations that nobody took up; return how many."""
    old = Invitation.objects.filter(ends_at__lte=at, finished_at__isnull=True, ended_at__isnull=True)
    return old.update(ended_at=at, msisdn="", full_name="", national_id="")
