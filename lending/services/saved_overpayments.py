"""What a customer paid too much goes into their savings, at their word. Source: docs/domain/overpayments.md."""

from datetime import datetime

from django.db import transaction

from lending.models import Refund, SavingsAccount, SavingsMovement
from lending.services import refunds, savings, savings_instructions
from lending.services.people import lock_person


class NotTheirAccount(Exception):
    """The account belongs to a group or to somebody else."""


@transaction.atomic
def save_overpayment(*, account_id: int, origin: str, at: datetime) -> Refund:
    """Put all that is kept for a customer, cents included, into an account of theirs.

    Where a partner holds the money it counts when he confirms it. Repeats safely: the same `origin` is the same
    refund.

    Raises:
        NotTheirAccount: it is a group's account.
        AccountClosed: nothing comes into the account any more.
        NotTheirWord, NothingKept, RefundUnderWay, LoanUnderWay: as `refunds.refund_to_wallet` says.
    """
    account = SavingsAccount.objects.select_related("borrower").get(id=account_id)
    if account.borrower is None:
        raise NotTheirAccount(account)
    lock_person(account.borrower)
    if known := Refund.objects.filter(origin=origin).first():
        return known
    refunds.refuse_unless_their_word(account.borrower)
    cents = refunds.all_kept(account.borrower)
    reference = f"refund:{origin}"
    if account.partner:
        asked = savings_instructions.instruct_deposit(
            account_id=account.id, amount_cents=cents, reference=reference, at=at
        )
        return refunds.reserve(account.borrower, Refund.Way.SAVINGS, origin, cents, at, instruction=asked)
    savings.refuse_closed(savings.lock_account(account.id))
    refund = refunds.reserve(account.borrower, Refund.Way.SAVINGS, origin, cents, at)
    refunds.give(refund, at, at)
    savings.record_movement(
        account_id=account.id,
        kind=SavingsMovement.Kind.DEPOSIT,
        amount_cents=cents,
        reference=reference,
        moved_at=at,
    )
    return refund
