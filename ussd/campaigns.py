"""Messages that nobody waits for: nudges to savers, insights. Each campaign leaves some people in peace, and is
judged by what they did beside the others.

Who is left in peace is drawn from the campaign's seed and the borrower, so it stays as it is however often a day is
run. One message a person a week, over all campaigns, and only for those who agreed to be told of such things.
Source: docs/domain/campaigns.md.
"""

import hashlib
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from lending import outbox
from lending.models import Borrower, Consent, Loan, SavingsAccount, SavingsMovement
from lending.rules import calendar, contact
from lending.selectors import contact as habits
from lending.selectors import products
from ussd import samples, saving_words, words
from ussd.models import Campaign, CampaignMember, Session
from ussd.tongue import pgettext

APART = timedelta(days=7)
JUDGED_AFTER = timedelta(days=7)
BATCH = 1_000


@dataclass(frozen=True)
class Kind:
    """What a kind of campaign says to whom, and what it hopes for within a week.

    `say` returns the words in the active language, or None if there is nothing to say to this one.
    """

    invites: "Callable[[datetime], QuerySet[Borrower]]"
    say: Callable[[Borrower], str | None]
    succeeded: Callable[[CampaignMember], bool]


# --- who is asked, what is said, what is hoped for ----------------------------------------------------------
def _savers_at_rest(at: datetime) -> "QuerySet[Borrower]":
    """Return those with a goal that is not reached, who have not put anything into it for a week."""
    recent = SavingsMovement.objects.filter(account=OuterRef("pk"), kind="deposit", moved_at__gte=at - APART)
    goals = SavingsAccount.objects.filter(
        ~Exists(recent), borrower=OuterRef("pk"), state=SavingsAccount.State.ACTIVE, target_cents__isnull=False,
        closing_at__isnull=True, opened_at__lt=at - APART,
    )  # fmt: skip
    return Borrower.objects.filter(Exists(goals))


def _goal_of(borrower: Borrower) -> SavingsAccount | None:
    """Return the goal that is nearest to being reached."""
    goals = SavingsAccount.objects.filter(
        borrower=borrower, state=SavingsAccount.State.ACTIVE, target_cents__isnull=False, closing_at__isnull=True
    )
    open_goals = [goal for goal in goals if goal.balance_cents < (goal.target_cents or 0)]
    return min(open_goals, key=lambda goal: (goal.target_cents or 0) - goal.balance_cents, default=None)


def _nudge(borrower: Borrower) -> str | None:
    goal = _goal_of(borrower)
    return nudge_words(goal) if goal else None


def nudge_words(goal: SavingsAccount) -> str:
    """Say how near a goal is, and how to put something into it."""
    return pgettext(
        "sms",
        "Jirani: your goal %(goal)s has %(saved)s of %(target)s. A little today brings you nearer: dial %(code)s. "
        "No such messages: STOP.",
    ) % {
        "goal": saving_words.name(goal),
        "saved": words.amount(goal.balance_cents, goal.currency),
        "target": words.amount(goal.target_cents or 0, goal.currency),
        "code": settings.USSD_CODE,
    }


def _deposited(member: CampaignMember) -> bool:
    since, until = member.assigned_at, member.assigned_at + JUDGED_AFTER
    moves = SavingsMovement.objects.filter(account__borrower=member.borrower, kind="deposit")
    return moves.filter(moved_at__gt=since, moved_at__lte=until).exists()


def _good_payers(at: datetime) -> "QuerySet[Borrower]":
    """Return those who repaid on time and owe nothing now."""
    loans = Loan.objects.filter(borrower=OuterRef("pk"))
    clean = loans.filter(state=Loan.State.SETTLED, worst_days_past_due=0)
    open_now = loans.filter(state__in=(Loan.State.APPROVED, Loan.State.LIVE, Loan.State.WRITTEN_OFF))
    return Borrower.objects.filter(Exists(clean), ~Exists(open_now))


def _insight(borrower: Borrower) -> str | None:
    count = Loan.objects.filter(borrower=borrower, state=Loan.State.SETTLED, worst_days_past_due=0).count()
    return insight_words(count, borrower.offered_limit_cents) if count and borrower.offered_limit_cents else None


def insight_words(count: int, limit_cents: int) -> str:
    """Say what somebody has reached."""
    return pgettext(
        "sms",
        "Jirani: loans you repaid on time: %(count)s. Your limit is %(limit)s. "
        "Borrow only what you need: %(code)s. No such messages: STOP.",
    ) % {
        "count": count,
        "limit": words.amount(limit_cents),
        "code": settings.USSD_CODE,
    }


def _dialled(member: CampaignMember) -> bool:
    since, until = member.assigned_at, member.assigned_at + JUDGED_AFTER
    return Session.objects.filter(msisdn=member.borrower.msisdn, began_at__gt=since, began_at__lte=until).exists()


KINDS = {
    Campaign.Kind.SAVINGS_NUDGE: Kind(_savers_at_rest, _nudge, _deposited),
    Campaign.Kind.INSIGHT: Kind(_good_payers, _insight, _dialled),
}


def load() -> None:
    """Bring in the campaigns of fixtures/campaigns.json that are missing; one that has begun stays as it is."""
    for row in json.loads((settings.BASE_DIR / "fixtures" / "campaigns.json").read_text()):
        Campaign.objects.get_or_create(code=row["code"], defaults=row)


# --- the day ------------------------------------------------------------------------------------------------
def run(at: datetime) -> int:
    """Assign and invite for today, and judge those whose week is over; return how many were assigned.

    Repeats safely: a person is in a campaign once a week.
    """
    judge(at)
    today = calendar.business_date(at, settings.TIME_ZONE)
    running = Campaign.objects.filter(begins_on__lte=today).filter(Q(ends_on__isnull=True) | Q(ends_on__gte=today))
    return sum(_assign(campaign, at) for campaign in running.order_by("id"))


def _assign(campaign: Campaign, at: datetime) -> int:
    lately = CampaignMember.objects.filter(borrower=OuterRef("pk"), assigned_at__gt=at - APART)
    agreed = Consent.objects.filter(
        borrower=OuterRef("pk"), purpose=Consent.Purpose.MARKETING, granted=True, withdrawn_at__isnull=True
    )
    wanted = KINDS[Campaign.Kind(campaign.kind)].invites(at)
    invited = wanted.filter(~Exists(lately), Exists(agreed), state=Borrower.State.ACTIVE).order_by("id")
    assigned = 0
    last_id = 0
    while batch := list(invited.filter(id__gt=last_id)[:BATCH]):
        last_id = batch[-1].id
        assigned += _assign_some(campaign, batch, at)
    return assigned


@transaction.atomic
def _assign_some(campaign: Campaign, borrowers: list[Borrower], at: datetime) -> int:
    """Write members and, for those who are told, the message that is owed at their hour of the day."""
    today = calendar.business_date(at, settings.TIME_ZONE)
    country = products.country_rules(settings.COUNTRY, today)
    hours = habits.hours_paid([borrower.id for borrower in borrowers], at)
    members = [
        CampaignMember(
            campaign=campaign, borrower=borrower, week=_week(at), assigned_at=at,
            arm=CampaignMember.Arm.HELD_OUT if is_held_out(campaign, borrower.id) else CampaignMember.Arm.TOLD,
        )
        for borrower in borrowers
    ]  # fmt: skip
    written = CampaignMember.objects.bulk_create(members, ignore_conflicts=True)
    for member in CampaignMember.objects.filter(campaign=campaign, week=_week(at), borrower__in=borrowers):
        if member.arm == CampaignMember.Arm.TOLD and member.assigned_at == at:
            when = contact.best_time(
                hours.get(member.borrower_id, ()), country.contact.opens, country.contact.closes
            )
            due_at = calendar.start_of(today, settings.TIME_ZONE) + timedelta(hours=when.hour, minutes=when.minute)
            due_at = max(due_at, at)
            outbox.write("campaign", reference=f"campaign:{member.id}", at=at, due_at=due_at, member_id=member.id)
    return len(written)


def _week(at: datetime) -> int:
    """Return the number of the week since a Monday long ago: nobody is assigned twice in one."""
    return (calendar.business_date(at, settings.TIME_ZONE).toordinal() - 1) // 7


def is_held_out(campaign: Campaign, borrower_id: int) -> bool:
    """Say whether a borrower is left in peace by a campaign: always the same answer."""
    drawn = hashlib.sha256(f"{campaign.seed}:{borrower_id}".encode()).digest()
    return int.from_bytes(drawn[:8]) < float(campaign.hold_out) * 2**64


# --- what came of it ----------------------------------------------------------------------------------------
def judge(at: datetime) -> int:
    """Say of each member whose week is over whether what was hoped for happened; return of how many.

    Those who were told and those who were not are judged alike, also if a message could not be sent: who was meant
    to be told differs from who was left in peace by the draw alone.
    """
    over = CampaignMember.objects.filter(succeeded=None, assigned_at__lte=at - JUDGED_AFTER)
    count = 0
    for member in over.select_related("campaign", "borrower").iterator(chunk_size=BATCH):
        succeeded = KINDS[Campaign.Kind(member.campaign.kind)].succeeded(member)
        count += CampaignMember.objects.filter(id=member.id, succeeded=None).update(succeeded=succeeded)
    return count


@dataclass(frozen=True)
class Effect:
    """Shares that did what was hoped for, and their difference with a 95 % interval."""

    told: int
    held_out: int
    told_share: float
    held_out_share: float
    difference: float
    low: float
    high: float


def effect(campaign: Campaign) -> Effect | None:
    """Return what a campaign brought, or None while one of its arms has nobody who was judged."""
    arms = {arm: list(_judged(campaign, arm)) for arm in CampaignMember.Arm.values}
    told, held_out = arms[CampaignMember.Arm.TOLD], arms[CampaignMember.Arm.HELD_OUT]
    return compare(sum(told), len(told), sum(held_out), len(held_out)) if told and held_out else None


def compare(successes: int, told: int, others: int, held_out: int) -> Effect:
    """Return how two groups differ, of each how many did what was hoped for, and how many they are.

    Source of the interval: Newcombe's hybrid score method for two independent proportions (Statistics in Medicine
    17, 1998, method 10).
    """
    p, q = successes / told, others / held_out
    (p_low, p_high), (q_low, q_high) = _wilson(p, told), _wilson(q, held_out)
    return Effect(
        told, held_out, p, q, p - q,
        low=p - q - math.hypot(p - p_low, q_high - q),
        high=p - q + math.hypot(p_high - p, q - q_low),
    )  # fmt: skip


def _judged(campaign: Campaign, arm: str) -> Iterator[bool]:
    found = CampaignMember.objects.filter(campaign=campaign, arm=arm, succeeded__isnull=False)
    yield from map(bool, found.values_list("succeeded", flat=True))


def _wilson(share: float, count: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a share."""
    z = 1.959964
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return middle - half, middle + half


def words_for(member: CampaignMember) -> str | None:
    """Return what a member is told, in the active language; None if there is nothing to say any more."""
    return KINDS[Campaign.Kind(member.campaign.kind)].say(member.borrower)


def longest() -> Iterator[tuple[str, str]]:
    """Yield every message in the active language with its longest values, for measuring."""
    most = samples.MOST_CENTS
    goal = SavingsAccount(goal=samples.NAME, balance_cents=most, target_cents=most, currency="KES")
    yield "campaign savings_nudge", nudge_words(goal)
    yield "campaign insight", insight_words(999, most)
