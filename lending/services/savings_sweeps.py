"""Sweeps: savings pay a loan that is due, at their owner's word and as far as it goes; or once, now.

Source: docs/domain/savings.md, "Sweep".
"""

from datetime import datetime

from django.db import transaction
from django.db.models import QuerySet

from lending.models import Borrower, Loan, SavingsAccount, SavingsInstruction, SweepMandate
from lending.rules import money
from lending.rules import savings as rules
from lending.selectors import loans, payoffs
from lending.selectors import savings as selectors
from lending.services.people import lock_person
from lending.services.repayments import NoOpenLoan, refuse_unpayable
from lending.services.savings import lock_account, refuse_closed, today
from lending.services.savings_instructions import instruct_out


class NotTheirs(Exception):
    """These savings belong to somebody else."""


class SweepUnderWay(Exception):
    """The holder has not answered yet whether other savings of this person pay the loan."""


@transaction.atomic
def allow_sweep(
    *, account_id: int, keep_cents: int, text_version: str, language: str, at: datetime
) -> SweepMandate:
    """Let savings above `keep_cents` pay what falls due, at the owner's word; a new word replaces the old."""
    account = lock_account(account_id)
    _withdraw_mandate(account, at)
    return SweepMandate.objects.create(
        account=account, keep_cents=keep_cents, text_version=text_version, language=language, given_at=at
    )


@transaction.atomic
def stop_sweep(*, account_id: int, at: datetime) -> None:
    """Take the word back, at once and without a reason. Repeats safely."""
    _withdraw_mandate(lock_account(account_id), at)


def _withdraw_mandate(account: SavingsAccount, at: datetime) -> None:
    SweepMandate.objects.filter(account=account, withdrawn_at__isnull=True).update(withdrawn_at=at)


@transaction.atomic
def sweep(*, account_id: int, at: datetime) -> SavingsInstruction | None:
    """Let savings pay what the owner's loan owes today, as far as their word goes, once a day.

    The holder pays it to our paybill, where it arrives like any repayment. Nothing is taken for a loan that is
    not due, from a locked goal, or while an earlier sweep of this person is open, from whichever pot.
    """
    owner = SavingsAccount.objects.select_related("borrower").get(id=account_id).borrower
    if owner is None:
        return None
    lock_person(owner)
    account = lock_account(account_id)
    mandate = account.sweep_mandates.filter(withdrawn_at__isnull=True).first()
    live = Loan.objects.filter(borrower__savings_accounts=account, state=Loan.State.LIVE)
    loan = live.filter(due_on__lte=today(at)).first()
    locked = account.locked_until is not None and today(at) <= account.locked_until
    if mandate is None or loan is None or locked or account.closing_at or owner.hold:
        return None
    reference = f"sweep:{account.id}:loan:{loan.id}:{today(at)}"
    if same := account.instructions.filter(reference=reference).first():
        return same
    if _open_sweeps(owner).exists():
        return None
    unit = money.currency(account.currency).payable_cents
    cents = rules.sweep_cents(loan.outstanding_cents, selectors.available_cents(account), mandate.keep_cents, unit)
    if not cents:
        return None
    return instruct_out(account, SavingsInstruction.Kind.SWEEP, cents, reference, at)


@transaction.atomic
def repay_from_savings(
    *, borrower_id: int, account_id: int, amount_cents: int, origin: str, at: datetime
) -> SavingsInstruction:
    """Let savings pay the loan of their owner, at their word for this once, up to what settles it today.

    The holder pays it to our paybill, where it arrives like any repayment. Repeats safely: the same `origin` is
    the same instruction.

    Raises:
        NotTheirs: the account is not this person's.
        NoOpenLoan: nothing is owed.
        InvalidRepayment: below one unit, not whole units, or more than settles the loan.
        SweepUnderWay: the holder has not answered an earlier one.
        AccountClosed, StillLocked, NotEnoughSavings: as `instruct_withdrawal` says.
    """
    borrower = Borrower.objects.get(id=borrower_id)
    lock_person(borrower)
    account = lock_account(account_id)
    if account.borrower is None or account.borrower.identity_index != borrower.identity_index:
        raise NotTheirs(account_id)
    reference = f"repay:{origin}"
    if known := SavingsInstruction.objects.filter(reference=reference).first():
        return known
    loan = loans.loan_to_repay(borrower.identity_index)
    if loan is None:
        raise NoOpenLoan
    if _open_sweeps(borrower).exists():
        raise SweepUnderWay
    refuse_closed(account)
    refuse_unpayable(amount_cents, payoffs.pay_off(loan, today(at)).payable_cents, loan)
    return instruct_out(account, SavingsInstruction.Kind.SWEEP, amount_cents, reference, at)


def _open_sweeps(borrower: Borrower) -> "QuerySet[SavingsInstruction]":
    return SavingsInstruction.objects.filter(
        account__borrower__identity_index=borrower.identity_index,
        kind=SavingsInstruction.Kind.SWEEP,
        state=SavingsInstruction.State.OPEN,
    )
