"""What members of a savings group see: the pot, their part, and what waits for their word."""

from dataclasses import dataclass

from lending.models import Borrower, GroupMember, GroupWithdrawal, SavingsAccount
from lending.prepared import Prepared
from lending.rules import money
from lending.rules import savings as rules
from lending.selectors import savings as selectors


def accounts_of(borrower: Borrower) -> list[SavingsAccount]:
    """Return the accounts of the groups that somebody is in now, on whichever of their numbers."""
    return _ACCOUNTS.all(identity_index=borrower.identity_index)


_ACCOUNTS: Prepared[SavingsAccount] = Prepared(
    lambda identity_index: (
        SavingsAccount.objects.filter(
            group__members__in=GroupMember.objects.filter(identity_index=identity_index, left_at=None),
            closing_at=None,
        )
        .select_related("group", "product_version")
        .order_by("-used_on", "id")
    ),
    identity_index=str,
)


@dataclass(frozen=True)
class Part:
    """One member's part of a pot. `share_cents` is what a share-out would bring them today."""

    paid_in_cents: int
    share_cents: int
    pot_cents: int


def part_of(account: SavingsAccount, borrower: Borrower) -> Part:
    """Return what somebody has paid in, and what of the pot that can be taken out is theirs."""
    paid_in, pot = selectors.paid_in(account.id), selectors.available_cents(account)
    member = GroupMember.objects.get(group_id=account.group_id, identity_index=borrower.identity_index)
    unit = money.currency(account.currency).payable_cents
    shares = rules.share_out(pot, paid_in, unit) if sum(paid_in.values()) else {}
    return Part(paid_in.get(member.id, 0), shares.get(member.id, 0), pot)


@dataclass(frozen=True)
class Waiting:
    """A withdrawal that is not decided, and how it stands. `said`: this member has said yes or no."""

    asked: GroupWithdrawal
    approvals: int
    refusals: int
    said: bool


def waiting(account: SavingsAccount, borrower: Borrower) -> list[Waiting]:
    """Return what a group still has to decide, the oldest first."""
    member = GroupMember.objects.get(group_id=account.group_id, identity_index=borrower.identity_index)
    open_now = GroupWithdrawal.objects.filter(account=account, state=GroupWithdrawal.State.ASKED)
    rows = open_now.select_related("asked_by__borrower", "account__group").order_by("id")
    return [_standing(one, member) for one in rows]


def _standing(asked: GroupWithdrawal, member: GroupMember) -> Waiting:
    yes = asked.approvals.filter(member__left_at=None)
    no = asked.refusals.filter(member__left_at=None)
    said = yes.filter(member=member).exists() or no.filter(member=member).exists()
    return Waiting(asked, yes.count(), no.count(), said)
