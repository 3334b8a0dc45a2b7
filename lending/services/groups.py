"""Saving together: members, contributions, and money that leaves only when enough members agree.

Who may approve, how often and what may be paid is enforced by PostgreSQL (the triggers of the second migration);
this file asks in time and explains. Source: docs/domain/savings.md, "Groups".
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import transaction

from lending import outbox
from lending.models import (
    Borrower,
    GroupApproval,
    GroupMember,
    GroupRefusal,
    GroupWithdrawal,
    SavingsAccount,
    SavingsGroup,
    SavingsMovement,
)
from lending.rules import calendar, money
from lending.rules import savings as rules
from lending.selectors import savings as selectors
from lending.services import audit, savings, savings_holds, savings_instructions, savings_interest


class NotAMember(Exception):
    """The person is not, or no longer, in this group."""


class AlreadyEnded(Exception):
    """The withdrawal was approved, refused or cancelled before."""


class AlreadySaid(Exception):
    """The member said the opposite before: a word is a word, and PostgreSQL holds them to it."""


class NothingToShare(Exception):
    """The pot is empty, or nobody paid in."""


class TooFewMembers(ValueError):
    """More approvals were asked for than there are members to give them."""


class AlreadyFormed(Exception):
    """One of these people is in a group of this name: it was formed before, or the name has to differ."""


class GroupEnded(Exception):
    """The pot is closed, or being closed: nobody joins any more."""


@transaction.atomic
def form_group(
    *,
    name: str,
    members: Sequence[Borrower],
    approvals_needed: int,
    product_code: str,
    at: datetime,
    officer: Any = None,
    reason: str = "",
) -> SavingsGroup:
    """Form a group with its members and its one account.

    Raises:
        TooFewMembers: fewer members than approvals, the payee's own not counted on.
        AlreadyFormed: one of the members is in a group of that name: asked twice, there is one group.
        PartnerNeeded, NothingInForce: as `savings.open_account` says.
    """
    people = {member.identity_index for member in members}
    if not 1 <= approvals_needed <= len(people):
        raise TooFewMembers(f"approvals needed must be 1 to {len(people)}, got {approvals_needed}")
    # Asked twice at once, the second waits here for the first, and finds its group.
    list(Borrower.objects.filter(identity_index__in=people).order_by("id").select_for_update(no_key=True))
    now_in = GroupMember.objects.filter(identity_index__in=people, left_at=None, group__name__iexact=name)
    if now_in.exclude(group__savings_account__state=SavingsAccount.State.CLOSED).exists():
        raise AlreadyFormed(name)
    group = SavingsGroup.objects.create(name=name, approvals_needed=approvals_needed, formed_at=at)
    savings.open_account(product_code=product_code, group=group, goal=name[:30], at=at)
    _record("group_formed", group.id, officer, reason, at, name=name, approvals_needed=approvals_needed)
    for member in members:
        join(group_id=group.id, borrower=member, at=at, officer=officer, reason=reason)
    return group


@transaction.atomic
def join(*, group_id: int, borrower: Borrower, at: datetime, officer: Any = None, reason: str = "") -> GroupMember:
    """Take somebody in, and tell them by SMS; the same person joins once, on whichever SIM. Who left and comes back
    goes on.

    Raises:
        GroupEnded: its pot is closed, or being closed.
    """
    pot = SavingsAccount.objects.select_for_update().get(group_id=group_id)
    if pot.state == SavingsAccount.State.CLOSED or pot.closing_at is not None:
        raise GroupEnded(f"group {group_id}")
    member, is_new = GroupMember.objects.get_or_create(
        group_id=group_id,
        identity_index=borrower.identity_index,
        defaults={"borrower": borrower, "joined_at": at},
    )
    if not is_new and member.left_at is None:
        return member
    member.left_at, member.joined_at = None, at
    member.save(update_fields=["left_at", "joined_at"])
    _record("group_joined", group_id, officer, reason, at, member.borrower)
    outbox.write(
        "group_joined",
        reference=f"group_joined:{member.id}:{at.isoformat()}",
        at=at,
        member_id=member.id,
        borrower_id=borrower.id,
        joined_at=at.isoformat(),
    )
    return member


def _record(
    action: str,
    group_id: int,
    officer: Any,
    reason: str,
    at: datetime,
    borrower: Borrower | None = None,
    **said: Any,
) -> None:
    subject = f"group:{group_id}"
    audit.record(action, subject=subject, at=at, actor=officer, borrower=borrower, reason=reason, **said)


@transaction.atomic
def leave(*, member_id: int, at: datetime, officer: Any = None, reason: str = "") -> GroupMember:
    """Let a member go; what they paid in stays theirs in the share-out. Repeats safely.

    Raises:
        TooFewMembers: those who stay could not approve anything any more.
    """
    group = SavingsGroup.objects.select_for_update().get(members__id=member_id)
    member = group.members.get(id=member_id)
    if member.left_at is None:
        staying = group.members.filter(left_at__isnull=True).count() - 1
        if staying < group.approvals_needed:
            raise TooFewMembers(f"{staying} would stay, {group.approvals_needed} approvals are needed")
        member.left_at = at
        member.save(update_fields=["left_at"])
        _record("group_left", group.id, officer, reason, at, member.borrower)
    return member


def member_of(group_id: int, borrower_id: int) -> GroupMember:
    """Return somebody's membership.

    Raises:
        NotAMember: they are not in the group now.
    """
    borrower = Borrower.objects.get(id=borrower_id)
    member = GroupMember.objects.filter(
        group_id=group_id, identity_index=borrower.identity_index, left_at__isnull=True
    ).first()
    if member is None:
        raise NotAMember(f"borrower {borrower_id} in group {group_id}")
    return member


@transaction.atomic
def contribute(
    *, group_id: int, borrower_id: int, amount_cents: int, reference: str, moved_at: datetime
) -> SavingsMovement:
    """Book what a member paid in. Repeats safely: a `reference` seen before is returned.

    Raises:
        NotAMember: only members pay in, or the share-out could not name whose it is.
    """
    return savings.record_movement(
        account_id=SavingsAccount.objects.get(group_id=group_id).id,
        kind=SavingsMovement.Kind.DEPOSIT,
        amount_cents=amount_cents,
        reference=reference,
        moved_at=moved_at,
        member=member_of(group_id, borrower_id),
    )


# --- money out ----------------------------------------------------------------------------------------------
@transaction.atomic
def ask_withdrawal(
    *,
    group_id: int,
    asked_by: int,
    to: int,
    amount_cents: int,
    purpose: str,
    origin: str,
    at: datetime,
) -> GroupWithdrawal:
    """Ask the group for money for one member (`to`, a borrower id). The same `origin` asks once.

    Raises:
        NotAMember: whoever asks or is to be paid is not in the group.
        NotEnoughSavings: there is less.
    """
    account = savings.lock_account(SavingsAccount.objects.get(group_id=group_id).id)
    if known := GroupWithdrawal.objects.filter(origin=origin).first():
        return known
    return _ask(
        account,
        GroupWithdrawal.Kind.TO_MEMBER,
        amount_cents,
        asked_by=member_of(group_id, asked_by),
        to_member=member_of(group_id, to),
        purpose=purpose,
        origin=origin,
        asked_at=at,
    )


@transaction.atomic
def ask_share_out(*, group_id: int, asked_by: int, origin: str, at: datetime) -> GroupWithdrawal:
    """Ask the group to divide all that can be taken out. The same `origin` asks once.

    Raises:
        NotAMember: whoever asks is not in the group.
        NothingToShare: the pot is empty, or no member paid in.
    """
    account = savings.lock_account(SavingsAccount.objects.get(group_id=group_id).id)
    if known := GroupWithdrawal.objects.filter(origin=origin).first():
        return known
    savings_interest.bring_up(account, calendar.business_date(at, settings.TIME_ZONE) - rules.DAY)
    account.save()
    pot = selectors.available_cents(account)
    if pot <= 0 or not selectors.paid_in(account.id):
        raise NothingToShare(group_id)
    member = member_of(group_id, asked_by)
    return _ask(
        account,
        GroupWithdrawal.Kind.SHARE_OUT,
        pot,
        asked_by=member,
        purpose="share-out",
        origin=origin,
        asked_at=at,
    )


def _ask(account: SavingsAccount, kind: str, amount_cents: int, **facts: object) -> GroupWithdrawal:
    available = selectors.available_cents(account)
    if not 0 < amount_cents <= available:
        raise savings_holds.NotEnoughSavings(amount_cents, available)
    assert account.group is not None
    asked = GroupWithdrawal.objects.create(
        account=account,
        kind=kind,
        amount_cents=amount_cents,
        approvals_needed=account.group.approvals_needed,
        **facts,
    )
    _tell_members("asked", asked, asked.asked_at)
    return asked


def _tell_members(said: str, asked: GroupWithdrawal, at: datetime) -> None:
    """Owe each member a word about what was asked for or decided."""
    topic = f"group_{said}"
    members = GroupMember.objects.filter(group_id=asked.account.group_id, left_at=None).order_by("id")
    notices = (
        (
            f"{topic}:{asked.id}:{borrower_id}",
            at,
            {"withdrawal_id": asked.id, "borrower_id": borrower_id, "said": said},
        )
        for borrower_id in members.values_list("borrower_id", flat=True)
    )
    outbox.write_many(topic, notices, at=at)


@transaction.atomic
def approve(*, withdrawal_id: int, borrower_id: int, at: datetime) -> GroupWithdrawal:
    """Add one member's yes; the last one that is needed instructs the payment in the same transaction.

    Repeats safely: a member who says yes again changes nothing.

    Raises:
        NotAMember: the person is not in the group now.
        AlreadyEnded: it was refused or cancelled.
        AlreadySaid: they refused it before.
        NotEnoughSavings: the money has gone meanwhile; the approval is not kept either.
    """
    asked, member = _locked(withdrawal_id, borrower_id)
    if asked.state in (GroupWithdrawal.State.CANCELLED, GroupWithdrawal.State.REFUSED):
        raise AlreadyEnded(withdrawal_id)
    if asked.state == GroupWithdrawal.State.APPROVED:
        return asked
    if asked.refusals.filter(member=member).exists():
        raise AlreadySaid(withdrawal_id)
    if asked.approvals.filter(member=member).exists():
        return asked
    GroupApproval.objects.create(withdrawal=asked, member=member, approved_at=at)
    if approvals(asked) >= asked.approvals_needed:
        _end(asked, GroupWithdrawal.State.APPROVED, at)
        _instruct(asked, at)
        audit.record("group_withdrawal_approved", subject=f"group_withdrawal:{asked.id}", at=at)
    return asked


def _locked(withdrawal_id: int, borrower_id: int) -> tuple[GroupWithdrawal, GroupMember]:
    """Lock the account of a withdrawal, and return both it and the membership of whoever has a say."""
    asked = GroupWithdrawal.objects.select_related("account").get(id=withdrawal_id)
    savings.lock_account(asked.account_id)
    asked.refresh_from_db(fields=["state", "ended_at"])
    assert asked.account.group_id is not None
    return asked, member_of(asked.account.group_id, borrower_id)


def _end(asked: GroupWithdrawal, state: str, at: datetime) -> None:
    asked.state, asked.ended_at = state, at
    asked.save(update_fields=["state", "ended_at"])
    _tell_members("decided", asked, at)


@transaction.atomic
def refuse(*, withdrawal_id: int, borrower_id: int, at: datetime) -> GroupWithdrawal:
    """Add one member's no; it is over once those who are left could not agree any more.

    Repeats safely: a member who says no again changes nothing.

    Raises:
        NotAMember: the person is not in the group now.
        AlreadyEnded: it was approved or cancelled.
        AlreadySaid: they agreed to it before.
    """
    asked, member = _locked(withdrawal_id, borrower_id)
    if asked.refusals.filter(member=member).exists():
        return asked
    if asked.state != GroupWithdrawal.State.ASKED:
        raise AlreadyEnded(withdrawal_id)
    if asked.approvals.filter(member=member).exists():
        raise AlreadySaid(withdrawal_id)
    GroupRefusal.objects.create(withdrawal=asked, member=member, refused_at=at)
    members = GroupMember.objects.filter(group_id=asked.account.group_id, left_at=None).count()
    if members - refusals(asked) < asked.approvals_needed:
        _end(asked, GroupWithdrawal.State.REFUSED, at)
        audit.record("group_withdrawal_refused", subject=f"group_withdrawal:{asked.id}", at=at)
    return asked


def refusals(asked: GroupWithdrawal) -> int:
    """Return how many refusals count: those of people who are members now."""
    return asked.refusals.filter(member__left_at__isnull=True).count()


def approvals(asked: GroupWithdrawal) -> int:
    """Return how many approvals count: those of people who are members now."""
    return asked.approvals.filter(member__left_at__isnull=True).count()


@transaction.atomic
def cancel(*, withdrawal_id: int, borrower_id: int, at: datetime) -> GroupWithdrawal:
    """Take back what one asked for, while it is not approved. Repeats safely.

    Raises:
        NotAMember: somebody else asked.
        AlreadyEnded: it was approved or refused.
    """
    asked = GroupWithdrawal.objects.select_for_update().get(id=withdrawal_id)
    borrower = Borrower.objects.get(id=borrower_id)
    if asked.asked_by.identity_index != borrower.identity_index:
        raise NotAMember(f"borrower {borrower_id} did not ask for withdrawal {withdrawal_id}")
    if asked.state in (GroupWithdrawal.State.APPROVED, GroupWithdrawal.State.REFUSED):
        raise AlreadyEnded(withdrawal_id)
    if asked.state == GroupWithdrawal.State.ASKED:
        _end(asked, GroupWithdrawal.State.CANCELLED, at)
    return asked


def _instruct(agreed: GroupWithdrawal, at: datetime) -> None:
    for member_id, cents in _shares(agreed).items():
        savings_instructions.instruct_withdrawal(
            account_id=agreed.account_id,
            amount_cents=cents,
            reference=f"group:{agreed.id}:member:{member_id}",
            at=at,
            withdrawal=agreed,
            member_id=member_id,
        )


def _shares(agreed: GroupWithdrawal) -> dict[int, int]:
    """Return what each member is to get, by member id; nobody with a share of nothing."""
    if agreed.kind == GroupWithdrawal.Kind.TO_MEMBER:
        assert agreed.to_member_id is not None
        return {agreed.to_member_id: agreed.amount_cents}
    unit = money.currency(agreed.account.currency).payable_cents
    shares = rules.share_out(agreed.amount_cents, selectors.paid_in(agreed.account_id), unit)
    return {member_id: cents for member_id, cents in shares.items() if cents}
