"""Agents help others to register, and learn nothing about anybody."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User

from lending.models import Agent, Borrower, Invitation
from lending.rules import identity
from lending.selectors import agents as selectors
from lending.services import agents
from tests.factories import NOON

NEWCOMER = "254722000999"


@pytest.fixture
def officer(db: None) -> User:
    return User.objects.create_user("wambui")


@pytest.fixture
def agent(amina: Borrower, officer: User) -> Agent:
    asked = agents.ask_to_be_agent(borrower_id=amina.id, at=NOON)
    return agents.decide(agent_id=asked.id, state="approved", officer=officer, reason="Met her", at=NOON)


def invite(agent: Agent, msisdn: str = NEWCOMER, **changes: object) -> Invitation | None:
    said = {"full_name": "Cheptoo Koech", "national_id": "23456783", "origin": f"ussd:{msisdn}", "at": NOON}
    return agents.invite(agent_borrower_id=agent.borrower_id, msisdn=msisdn, **said | changes)  # type: ignore[arg-type]


def test_only_an_officer_makes_an_agent(amina: Borrower, officer: User) -> None:
    asked = agents.ask_to_be_agent(borrower_id=amina.id, at=NOON)
    assert agents.ask_to_be_agent(borrower_id=amina.id, at=NOON) == asked
    with pytest.raises(agents.NotAnAgent):
        invite(asked)
    with pytest.raises(ValueError, match="reason"):
        agents.decide(agent_id=asked.id, state="approved", officer=officer, reason=" ", at=NOON)


def test_an_invitation_waits_for_the_newcomer_s_own_phone(agent: Agent) -> None:
    made = invite(agent)
    assert made == invite(agent) == selectors.invitation_of(NEWCOMER, NOON)
    assert selectors.invitation_of(NEWCOMER, NOON + timedelta(hours=48)) is None


@pytest.mark.parametrize("how", ["finish", "refuse", "old"])
def test_what_was_typed_is_gone_when_it_ends(agent: Agent, how: str) -> None:
    invite(agent)
    if how == "old":
        assert agents.forget_old(NOON + timedelta(hours=49)) == 1
    else:
        getattr(agents, how)(msisdn=NEWCOMER, at=NOON)
    ended = Invitation.objects.get()
    assert (ended.full_name, ended.national_id) == ("", "")
    assert (ended.finished_at is not None) == (how == "finish")


def test_an_agent_learns_nothing_about_who_is_a_customer(agent: Agent, brian: Borrower) -> None:
    assert invite(agent, brian.msisdn) is None
    assert not Invitation.objects.exists()


def test_an_agent_sees_counts(agent: Agent) -> None:
    invite(agent)
    invite(agent, "254722000998", national_id="23456784")
    agents.finish(msisdn=NEWCOMER, at=NOON)
    assert selectors.counts(agent.id, NOON) == selectors.Counts(invited=2, registered=1)
    assert selectors.counts(agent.id, NOON + timedelta(days=31)) == selectors.Counts(0, 0)


def test_a_newer_invitation_replaces_an_open_one(agent: Agent) -> None:
    invite(agent)
    newer = invite(agent, origin="ussd:2", full_name="Cheptoo K")
    assert selectors.invitation_of(NEWCOMER, NOON) == newer
    assert Invitation.objects.filter(ended_at__isnull=False, full_name="").count() == 1


def test_one_person_cannot_have_met_so_many(agent: Agent) -> None:
    for number in range(agents.MOST_A_DAY):
        invite(agent, f"2547220{number:05}")
    with pytest.raises(agents.TooMany):
        invite(agent)


@pytest.mark.parametrize(
    ("wrong", "refusal"),
    [({"full_name": "7"}, identity.InvalidName), ({"national_id": "12"}, identity.InvalidNationalId)],
)
def test_what_is_no_name_or_id_is_refused(agent: Agent, wrong: dict[str, str], refusal: type[Exception]) -> None:
    with pytest.raises(refusal):
        invite(agent, **wrong)


def test_an_ended_agent_invites_nobody(agent: Agent, officer: User) -> None:
    agents.decide(agent_id=agent.id, state="ended", officer=officer, reason="Moved away", at=NOON)
    with pytest.raises(agents.NotAnAgent):
        invite(agent)
