"""What we ask of the holder of savings, and what he says: an instruction counts when he confirms it.

Money on its way out is held until he answers. Emptying an account to close it is an instruction, too.
Source: docs/domain/savings.md.
"""

from datetime import date, datetime
from typing import Any

from django.db import transaction

from lending import outbox
from lending.models import (
    GroupMember,
    Receipt,
    Refund,
    SavingsAccount,
    SavingsHold,
    SavingsInstruction,
    SavingsMovement,
)
from lending.rules import savings as rules
from lending.selectors import savings as selectors
from lending.services import handing_on, refunds, savings, savings_holds, savings_interest
from lending.services.people import lock_person
from lending.services.savings import lock_account, refuse_closed, today


class StillLocked(Exception):
    """The goal is locked; the early-exit key opens it."""

    def __init__(self, locked_until: date) -> None:
        super().__init__(f"locked until {locked_until}")
        self.locked_until = locked_until


class InstructionMismatch(Exception):
    """What is confirmed is not what was instructed, or comes after it was rejected. Nothing was booked."""


@transaction.atomic
def instruct_deposit(
    *,
    account_id: int,
    amount_cents: int,
    reference: str,
    at: datetime,
    receipt: Receipt | None = None,
    member: GroupMember | None = None,
) -> SavingsInstruction:
    """Announce money to the holder; it counts when confirmed. The same `reference` is the same instruction.

    `receipt` is the money, where it came through us; `member` whose contribution to a group it is.

    Raises:
        AccountClosed: nothing comes in any more.
    """
    account = lock_account(account_id)
    if known := SavingsInstruction.objects.filter(reference=reference).first():
        return known
    refuse_closed(account)
    return SavingsInstruction.objects.create(
        account=account,
        kind=SavingsInstruction.Kind.DEPOSIT,
        amount_cents=amount_cents,
        reference=reference,
        receipt=receipt,
        member=member,
        instructed_at=at,
    )


@transaction.atomic
def instruct_withdrawal(
    *,
    account_id: int,
    amount_cents: int,
    reference: str,
    at: datetime,
    kind: str = SavingsInstruction.Kind.WITHDRAWAL,
    **of_group: Any,
) -> SavingsInstruction:
    """Ask the holder to pay out, and hold the money until he has said yes or no.

    Repeats safely: the same `reference` is the same instruction.

    Raises:
        AccountClosed: it is closed or being closed.
        StillLocked: the goal is locked; nothing but the key opens it.
        NotEnoughSavings: minimum and holds leave less.
    """
    account = lock_account(account_id)
    if known := SavingsInstruction.objects.filter(reference=reference).first():
        return known
    refuse_closed(account)
    return instruct_out(account, kind, amount_cents, reference, at, **of_group)


def instruct_out(
    account: SavingsAccount, kind: str, amount_cents: int, reference: str, at: datetime, **of_group: Any
) -> SavingsInstruction:
    """Ask the holder to pay out of a locked account, and hold the money until he has answered.

    Raises:
        StillLocked, NotEnoughSavings: as `instruct_withdrawal` says.
    """
    if account.locked_until is not None and today(at) <= account.locked_until:
        raise StillLocked(account.locked_until)
    hold = savings_holds.hold(account, SavingsHold.Reason.WITHDRAWAL, amount_cents, f"instruction:{reference}", at)
    return SavingsInstruction.objects.create(
        account=account,
        kind=kind,
        amount_cents=amount_cents,
        reference=reference,
        hold=hold,
        instructed_at=at,
        **of_group,
    )


@transaction.atomic
def confirm_instruction(
    *, reference: str, amount_cents: int, partner_reference: str, moved_at: datetime, value_on: date, at: datetime
) -> SavingsMovement:
    """Book what the holder did for an instruction of ours. Repeats safely.

    Raises:
        InstructionMismatch: another amount, a value date that is still to come, or it was rejected before.
    """
    instruction, account = _locked(reference)
    if instruction.amount_cents != amount_cents or value_on > today(at):
        raise InstructionMismatch(
            f"{reference}: instructed {instruction.amount_cents}, confirmed {amount_cents} for {value_on}"
        )
    if instruction.state == SavingsInstruction.State.REJECTED:
        raise InstructionMismatch(f"{reference}: confirmed after it was rejected")
    if instruction.state == SavingsInstruction.State.CONFIRMED:
        return instruction.movement
    _end(instruction, account, SavingsInstruction.State.CONFIRMED, at)
    if refund := _refund_of(instruction):
        refunds.give(refund, moved_at, at)
    handing_on.hand_on(instruction, moved_at)
    _tell_of_payout("savings_paid_out", instruction, at)
    deposit = instruction.kind == SavingsInstruction.Kind.DEPOSIT
    return savings.record_movement(
        account_id=account.id,
        kind=SavingsMovement.Kind.DEPOSIT if deposit else SavingsMovement.Kind.WITHDRAWAL,
        amount_cents=amount_cents,
        reference=partner_reference,
        moved_at=moved_at,
        value_on=value_on,
        instruction=instruction,
        member=instruction.member,
    )


@transaction.atomic
def reject_instruction(*, reference: str, at: datetime) -> SavingsInstruction:
    """Let go of what the holder will not do; held money is free again. An account that was to be closed stays
    open and earns as if nobody had asked. Repeats safely.

    Raises:
        InstructionMismatch: it was confirmed before.
    """
    instruction, account = _locked(reference)
    if instruction.state == SavingsInstruction.State.CONFIRMED:
        raise InstructionMismatch(f"{reference}: rejected after it was confirmed")
    if instruction.state == SavingsInstruction.State.OPEN:
        _end(instruction, account, SavingsInstruction.State.REJECTED, at)
        if instruction.reference.startswith(_closing_of(account)):
            _stay_open(account, at)
        if refund := _refund_of(instruction):
            refunds.let_go(refund, at)
        handing_on.keep_instead(instruction, at)
        _tell_of_payout("savings_not_paid_out", instruction, at)
        if instruction.kind == SavingsInstruction.Kind.SWEEP:
            topic, number = "savings_did_not_pay", instruction.id
            outbox.write(topic, reference=f"{topic}:{number}", instruction_id=number, at=at)
    return instruction


def _tell_of_payout(topic: str, instruction: SavingsInstruction, at: datetime) -> None:
    """Owe whoever waits for their savings a word. A sweep is told as the repayment that it becomes."""
    if instruction.kind == SavingsInstruction.Kind.WITHDRAWAL:
        outbox.write(topic, reference=f"{topic}:{instruction.id}", instruction_id=instruction.id, at=at)


def _locked(reference: str) -> tuple[SavingsInstruction, SavingsAccount]:
    """Lock the account of an instruction, and before it the person whose overpayment or payment it moves."""
    instruction = SavingsInstruction.objects.get(reference=reference)
    if refund := _refund_of(instruction):
        lock_person(refund.borrower)
    elif instruction.receipt is not None and instruction.receipt.borrower is not None:
        lock_person(instruction.receipt.borrower)
    account = lock_account(instruction.account_id)
    instruction.refresh_from_db()
    return instruction, account


def _refund_of(instruction: SavingsInstruction) -> Refund | None:
    return Refund.objects.filter(instruction=instruction).select_related("borrower").first()


def _end(instruction: SavingsInstruction, account: SavingsAccount, state: str, at: datetime) -> None:
    instruction.state, instruction.ended_at = state, at
    instruction.save(update_fields=["state", "ended_at"])
    if instruction.hold is not None:
        savings_holds.release(instruction.hold, account, at)


# --- closing ------------------------------------------------------------------------------------------------
@transaction.atomic
def close_account(*, account_id: int, at: datetime) -> SavingsInstruction | None:
    """Credit what was earned and pay everything out; the account is closed when nothing is left in it.

    Repeats safely while the holder has not answered. Money that came since he did is paid out by asking again, and
    so is everything after he refused.

    Raises:
        StillLocked: a locked goal is opened first.
        NotEnoughSavings: money is held.
    """
    account = lock_account(account_id)
    asked = account.instructions.filter(reference__startswith=_closing_of(account)).order_by("-id")
    last = asked.first()
    is_under_way = last is not None and last.state == SavingsInstruction.State.OPEN
    if account.closing_at and (is_under_way or account.balance_cents == 0):
        return last
    reference = f"{_closing_of(account)}{len(asked) + 1}"
    if account.held_cents:
        raise savings_holds.NotEnoughSavings(account.balance_cents, selectors.available_cents(account))
    savings_interest.bring_up(account, today(at) - rules.DAY)
    if account.locked_until is not None and today(at) <= account.locked_until:
        raise StillLocked(account.locked_until)
    savings_interest.credit_now(account)
    account.minimum_cents = account.floor_cents = 0
    account.closing_at = at
    if account.balance_cents == 0:
        account.state = SavingsAccount.State.CLOSED
    account.save()
    if account.balance_cents == 0:
        return None
    return instruct_out(account, SavingsInstruction.Kind.WITHDRAWAL, account.balance_cents, reference, at)


def _closing_of(account: SavingsAccount) -> str:
    """Return how the references begin by which an account is emptied; the number of the asking follows."""
    return f"close:{account.id}:"


def _stay_open(account: SavingsAccount, at: datetime) -> None:
    """Take back that an account is being closed: its minimum holds again, as far as its balance reaches."""
    account.closing_at = None
    account.minimum_cents = selectors.terms_of(account).minimum_balance_cents
    account.floor_cents = min(account.minimum_cents, account.balance_cents)
    # Close of business has passed it over: it must not come upon days behind a change of terms.
    savings_interest.bring_up(account, today(at) - rules.DAY)
    account.save()
    savings.record("savings_not_closed", account, at)
