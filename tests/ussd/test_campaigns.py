"""Campaigns: who is told, who is left in peace, when, and what it brought."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from lending import outbox
from lending.models import Borrower, OutboxMessage, SavingsAccount
from tests import factories
from tests.lending import saving
from tests.ussd.test_sms import aggregator  # noqa: F401 - a fixture
from ussd import campaigns
from ussd.models import Campaign, CampaignMember, Session, Sms

pytestmark = pytest.mark.django_db
MORNING = factories.NOON.replace(hour=6, minute=30)
DAY = timedelta(days=1)
AGREED = factories.CONSENTS | {"marketing": True}


@pytest.fixture(autouse=True)
def law_alone(law: None) -> None:
    """The campaigns that ship would be in the way."""
    Campaign.objects.all().delete()


@pytest.fixture
def nudge(law_alone: None) -> Campaign:
    return campaign()


def campaign(kind: str = "savings_nudge", **facts: Any) -> Campaign:
    values = {"code": kind, "kind": kind, "hold_out": "0.5", "begins_on": MORNING.date() - 30 * DAY} | facts
    return Campaign.objects.create(**values)


def savers(count: int, consents: dict[str, bool] = AGREED) -> list[SavingsAccount]:
    """Return goals of so many people, opened three weeks ago, with KES 500 in each."""
    goals = []
    for number in range(count):
        somebody = factories.register(
            "Saver Wanjiru", f"2547110002{number:02}", f"330011{number:02}", consents=consents
        )
        goal = saving.pot(somebody, goal="School", target_cents=500_000, at=MORNING - 21 * DAY)
        saving.deposit(goal, 50_000, MORNING - 20 * DAY)
        goals.append(goal)
    return goals


def run(at: datetime = MORNING) -> int:
    return campaigns.run(at)


def told() -> list[CampaignMember]:
    return list(CampaignMember.objects.filter(arm="told").order_by("id"))


def test_half_are_told_and_half_are_left_in_peace_always_the_same(nudge: Campaign) -> None:
    savers(12)
    assert run() == 12
    arms = dict(CampaignMember.objects.values_list("borrower", "arm"))
    assert 1 <= list(arms.values()).count("told") <= 11
    assert OutboxMessage.objects.filter(topic="campaign").count() == list(arms.values()).count("told")
    assert run(MORNING + 8 * DAY) == 12
    for borrower, arm in CampaignMember.objects.values_list("borrower", "arm"):
        assert arms[borrower] == arm


def test_the_draw_leaves_the_share_in_peace_that_was_said(nudge: Campaign) -> None:
    nudge.hold_out = Decimal("0.1")
    held_out = sum(campaigns.is_held_out(nudge, number) for number in range(10_000))
    assert 900 < held_out < 1_100


def test_a_day_that_is_run_twice_assigns_and_tells_once(nudge: Campaign) -> None:
    savers(4)
    run()
    assert run() == 0 and run(MORNING + DAY) == 0
    assert CampaignMember.objects.count() == 4


def test_nobody_is_in_two_campaigns_in_a_week(nudge: Campaign, fixed_scorer: Any) -> None:
    (goal,) = savers(1)
    campaign("insight")
    loan = factories.live_loan(goal.borrower, at=MORNING - 19 * DAY)
    factories.pay(loan.reference, loan.outstanding_cents, at=MORNING - 18 * DAY)
    assert run() == 1
    with pytest.raises(IntegrityError, match="campaign_once_a_week"), transaction.atomic():
        CampaignMember.objects.create(
            campaign=nudge, borrower=goal.borrower, week=campaigns._week(MORNING), arm="told", assigned_at=MORNING
        )


@pytest.mark.parametrize("why", ["no consent", "blocked", "saved lately", "over", "not begun", "goal reached"])
def test_who_is_not_asked(law: None, why: str) -> None:
    days = {"over": {"ends_on": MORNING.date() - DAY}, "not begun": {"begins_on": MORNING.date() + DAY}}
    campaign(**days.get(why, {}))
    (goal,) = savers(1, factories.CONSENTS if why == "no consent" else AGREED)
    if why == "blocked":
        Borrower.objects.update(state="blocked")
    if why == "saved lately":
        saving.deposit(goal, 10_000, MORNING - 2 * DAY)
    if why == "goal reached":
        saving.deposit(goal, 500_000, MORNING - 15 * DAY)
    run()
    outbox.drain(MORNING + timedelta(hours=12), queue="messages")
    assert not Sms.objects.filter(kind="campaign").exists()


class TestAMessage:
    @pytest.fixture
    def member(self, nudge: Campaign) -> CampaignMember:
        savers(8)
        run()
        return told()[0]

    def test_comes_at_the_usual_hour_of_whom_nothing_is_known(self, member: CampaignMember) -> None:
        due = OutboxMessage.objects.get(reference=f"campaign:{member.id}").due_at
        assert due.astimezone(MORNING.tzinfo).strftime("%H:%M") == "17:30"

    def test_names_the_goal_and_how_to_stop(self, member: CampaignMember, aggregator: Any) -> None:  # noqa: F811
        outbox.drain(MORNING + timedelta(hours=11, minutes=1), queue="messages")
        text = Sms.objects.get(reference=f"campaign:{member.id}").text
        assert "School" in text and "KES 500 of KES 5,000" in text and "STOP" in text

    def test_is_not_said_when_the_goal_was_reached_meanwhile(self, member: CampaignMember) -> None:
        goal = SavingsAccount.objects.get(borrower=member.borrower)
        saving.deposit(goal, 600_000, MORNING + timedelta(hours=3))
        assert campaigns.words_for(member) is None


class TestTheOutcome:
    def test_counts_who_did_it_within_the_week_told_or_not(self, nudge: Campaign) -> None:
        goals = savers(12)
        run()
        members = {member.borrower_id: member for member in CampaignMember.objects.all()}
        did = [goal for goal in goals if members[goal.borrower_id].arm == "told"]
        for goal in did:
            saving.deposit(goal, 10_000, MORNING + 2 * DAY)
        late = next(goal for goal in goals if members[goal.borrower_id].arm == "held_out")
        saving.deposit(late, 10_000, MORNING + 8 * DAY)
        assert campaigns.judge(MORNING + 6 * DAY) == 0, "their week is not over"
        assert campaigns.judge(MORNING + 9 * DAY) == 12
        found = campaigns.effect(nudge)
        assert found is not None
        assert (found.told, found.told_share, found.held_out_share) == (len(did), 1.0, 0.0)
        assert 0 < found.low < found.difference <= found.high

    def test_of_an_insight_is_a_dial(self, law: None) -> None:
        insight = campaign("insight")
        somebody = factories.register(consents=AGREED)
        member = CampaignMember.objects.create(
            campaign=insight, borrower=somebody, week=1, arm="told", assigned_at=MORNING
        )
        assert not campaigns._dialled(member)
        Session.objects.create(
            gateway="g", gateway_session="s", msisdn=somebody.msisdn, flow_version="1", screen="home",
            language="en", began_at=MORNING + DAY, last_hop_at=MORNING + DAY,
        )  # fmt: skip
        assert campaigns._dialled(member)

    def test_is_not_said_while_one_arm_is_empty(self, nudge: Campaign) -> None:
        assert campaigns.effect(nudge) is None


def test_the_campaigns_that_ship_leave_some_in_peace(law: None) -> None:
    campaigns.load()
    campaigns.load()
    assert {one.kind for one in Campaign.objects.all()} == set(Campaign.Kind.values)
    assert all(one.hold_out >= Decimal("0.05") for one in Campaign.objects.all())


def test_a_campaign_without_a_hold_out_is_refused(law: None) -> None:
    with pytest.raises(IntegrityError, match="campaign_leaves_some_in_peace"):
        campaign(hold_out="0")
