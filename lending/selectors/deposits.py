"""Where money that is to be saved goes: which account, whose, and as whose contribution to a group."""

from dataclasses import dataclass

from django.db.models import Q, Sum

from lending.models import Borrower, GroupMember, PaymentIntent, SavingsAccount, SavingsInstruction
from lending.rules import paybill_account as accounts

# Receipts that are savings, or on their way to be.
SAVED = Q(
    pk__in=SavingsInstruction.objects.filter(receipt__isnull=False)
    .exclude(state=SavingsInstruction.State.REJECTED)
    .values("receipt")
)
# A bigint: what is longer is no number of ours.
_MOST = 2**63 - 1


@dataclass(frozen=True)
class Target:
    """An account and whose money it is. In a group's account `member` pays in; None: they are no member now."""

    account: SavingsAccount
    borrower: Borrower
    member: GroupMember | None = None

    @property
    def is_open(self) -> bool:
        """Say whether it can take a deposit of theirs; the account's lock has the last word."""
        return self.account.group_id is None or self.member is not None


def target_of_intent(intent: PaymentIntent) -> Target | None:
    """Return where the money of a prompt goes, if it is to be saved."""
    if intent.savings_account is None:
        return None
    account = intent.savings_account
    return Target(account, intent.borrower, membership(account, intent.borrower))


def target_of_account(typed: str) -> Target | None:
    """Return what somebody typed as account of a payment that is to be saved; None if it names no savings."""
    read = accounts.read(typed)
    if read is None or read[1] > _MOST:
        return None
    kind, number = read
    if kind == "GRP":
        member = GroupMember.objects.select_related("borrower", "group__savings_account").filter(id=number).first()
        if member is None:
            return None
        return Target(member.group.savings_account, member.borrower, None if member.left_at else member)
    account = SavingsAccount.objects.select_related("borrower").filter(id=number, group=None).first()
    return Target(account, account.borrower) if account is not None and account.borrower is not None else None


def membership(account: SavingsAccount, borrower: Borrower) -> GroupMember | None:
    """Return as whom somebody pays into a group's account, by national ID; None of one's own account."""
    if account.group_id is None:
        return None
    members = GroupMember.objects.filter(group_id=account.group_id, left_at=None)
    return members.filter(identity_index=borrower.identity_index).first()


def paybill_account(account: SavingsAccount, borrower: Borrower) -> str:
    """Return what to type as account of a paybill payment that is to be saved here."""
    if account.group_id is None:
        return accounts.write("SAVE", account.id)
    same = GroupMember.objects.get(group_id=account.group_id, identity_index=borrower.identity_index)
    return accounts.write("GRP", same.id)


def on_its_way_cents(account_id: int) -> int:
    """Return what was paid in and the holder has not confirmed yet."""
    asked = SavingsInstruction.objects.filter(
        account_id=account_id, kind=SavingsInstruction.Kind.DEPOSIT, state=SavingsInstruction.State.OPEN
    )
    return asked.aggregate(cents=Sum("amount_cents"))["cents"] or 0
