"""Saving: opening, deposits and withdrawals, goals and their locks, holds, sweeps.

Each function is one transaction under one lock, that of the account. An account is brought up to the day before
a movement before the movement counts, so interest is the same whether close of business came first or not.
Where a partner holds the money, what we ask for is an instruction and counts when the partner confirms it.
Source: docs/domain/savings.md.
"""

from datetime import date, datetime
from typing import Any

from django.conf import settings
from django.db import transaction

from lending.ledger import post
from lending.models import (
    Borrower,
    GroupMember,
    Loan,
    Posting,
    Refund,
    SavingsAccount,
    SavingsGroup,
    SavingsHold,
    SavingsInstruction,
    SavingsMovement,
    SweepMandate,
)
from lending.rules import accounting, calendar, money
from lending.rules import savings as rules
from lending.selectors import products
from lending.selectors import savings as selectors
from lending.services import audit, refunds
from lending.services.people import lock_person


class PartnerNeeded(Exception):
    """The law keeps us from holding deposits, and the product names nobody who may."""


class NotEnoughSavings(Exception):
    """More was asked for than minimum and holds leave."""

    def __init__(self, asked_cents: int, available_cents: int) -> None:
        super().__init__(f"asked for {asked_cents} cents, {available_cents} can be taken out")
        self.asked_cents, self.available_cents = asked_cents, available_cents


class StillLocked(Exception):
    """The goal is locked; the early-exit key opens it."""

    def __init__(self, locked_until: date) -> None:
        super().__init__(f"locked until {locked_until}")
        self.locked_until = locked_until


class LockRefused(ValueError):
    """The product does not lock a goal like that."""


class KeyNotTurned(Exception):
    """The early-exit key was not turned, or not long enough ago; `opens_at` says when, if it was."""

    def __init__(self, opens_at: datetime | None) -> None:
        super().__init__(f"the lock opens at {opens_at}" if opens_at else "the key was not turned")
        self.opens_at = opens_at


class AccountClosed(Exception):
    """Nothing moves in a closed account, or in one that is being closed."""


class InstructionMismatch(Exception):
    """What is confirmed is not what was instructed, or comes after it was rejected. Nothing was booked."""


def today(at: datetime) -> date:
    """Return the business date of a moment."""
    return calendar.business_date(at, settings.TIME_ZONE)


# --- opening ------------------------------------------------------------------------------------------------
@transaction.atomic
def open_account(
    *,
    product_code: str,
    at: datetime,
    borrower: Borrower | None = None,
    group: SavingsGroup | None = None,
    goal: str = "",
    target_cents: int | None = None,
    target_on: date | None = None,
) -> SavingsAccount:
    """Open a pot under the product version in force; the same goal of the same borrower is the same pot.

    Raises:
        PartnerNeeded: the country pack wants a licensed holder and the product has none.
        NothingInForce: there is no such product.
    """
    on = today(at)
    version = selectors.product_in_force(settings.COUNTRY, product_code, on)
    pack = products.country_pack(settings.COUNTRY, on)
    if rules.must_be_held_by_partner(pack.rules) and not version.partner:
        raise PartnerNeeded(f"{version} under {pack}")
    open_now = SavingsAccount.objects.exclude(state=SavingsAccount.State.CLOSED)
    # An account keeps the version under which it was opened, so a newer one opens no second pot.
    same = open_now.filter(borrower=borrower, group=group, goal=goal, product_version__code=product_code).first()
    if same is not None:
        return same
    return SavingsAccount.objects.create(
        borrower=borrower,
        group=group,
        product_version=version,
        goal=goal,
        partner=version.partner,
        currency=version.currency,
        target_cents=target_cents,
        target_on=target_on,
        minimum_cents=rules.read_terms(version.terms).minimum_balance_cents,
        accrued_on=on - rules.DAY,
        period_on=on,
        earns_from=on,
        used_on=on,
        opened_at=at,
    )


def lock_account(account_id: int) -> SavingsAccount:
    """Take the one lock under which an account moves; inside the caller's transaction."""
    return (
        SavingsAccount.objects.select_for_update(no_key=True, of=("self",))
        .select_related("product_version")
        .get(id=account_id)
    )


# --- interest -----------------------------------------------------------------------------------------------
def bring_up(account: SavingsAccount, until: date) -> None:
    """Accrue a locked account to the end of `until` and credit the periods that end on the way.

    Close of business does the same in one statement for many. Repeats safely. The caller saves the account.
    """
    interest = selectors.terms_of(account).interest
    if interest is None or account.closing_at:
        return
    standing, credits = rules.accrue(interest, selectors.standing_of(account), until, account.locked_until)
    _stand(account, standing)
    for credit in credits:
        _book_interest(account, credit)


def _stand(account: SavingsAccount, standing: rules.Standing) -> None:
    account.balance_cents = standing.balance_cents
    account.accrued_parts = standing.accrued_parts  # type: ignore[assignment]  # whole, as the column is
    account.accrued_on = standing.accrued_on
    account.period_on = standing.period_on
    account.lowest_cents = standing.lowest_cents


def _book_interest(account: SavingsAccount, credit: rules.Credit) -> None:
    """Write what a credit is in the books; the balance has it already."""
    account.floor_cents = rules.floor_after(account.floor_cents, credit.net_cents, account.minimum_cents)
    moved_at = calendar.end_of(credit.on, settings.TIME_ZONE)
    kinds = SavingsMovement.Kind
    SavingsMovement.objects.bulk_create(
        SavingsMovement(
            account=account,
            kind=kind,
            amount_cents=cents,
            reference=f"{kind}:{account.id}:{credit.on}",
            moved_at=moved_at,
            value_on=credit.on + rules.DAY,
        )
        for kind, cents in ((kinds.INTEREST, credit.gross_cents), (kinds.TAX, credit.tax_cents))
        if cents
    )
    post(
        kind=Posting.Kind.SAVINGS,
        reference=f"savings-interest:{account.id}:{credit.on}",
        occurred_at=moved_at,
        currency=account.currency,
        lines=accounting.savings_interest(credit.gross_cents, credit.tax_cents, account.partner),
        borrower=account.borrower,
    )


# --- movements ----------------------------------------------------------------------------------------------
@transaction.atomic
def mirror_movement(
    *,
    borrower_id: int,
    kind: str,
    amount_cents: int,
    reference: str,
    moved_at: datetime,
    product_code: str = "jirani-save",
) -> SavingsMovement:
    """Book what the partner reports of a borrower's plain savings, opened at the first report.

    Repeats safely: a `reference` seen before is returned. PostgreSQL refuses a withdrawal beyond what minimum
    and holds leave.
    """
    borrower = Borrower.objects.select_for_update(no_key=True).get(id=borrower_id)
    account = open_account(product_code=product_code, borrower=borrower, at=moved_at)
    return record_movement(
        account_id=account.id, kind=kind, amount_cents=amount_cents, reference=reference, moved_at=moved_at
    )


@transaction.atomic
def record_movement(
    *,
    account_id: int,
    kind: str,
    amount_cents: int,
    reference: str,
    moved_at: datetime,
    value_on: date | None = None,
    instruction: SavingsInstruction | None = None,
    member: GroupMember | None = None,
) -> SavingsMovement:
    """Book money that moved, on its value date, whichever day we hear of it.

    Repeats safely: a `reference` seen before is returned. A day that is over already is counted again with it.
    """
    account = lock_account(account_id)
    if known := SavingsMovement.objects.filter(reference=reference).first():
        return known
    movement = SavingsMovement(
        account=account,
        kind=kind,
        amount_cents=amount_cents,
        reference=reference,
        instruction=instruction,
        member=member,
        moved_at=moved_at,
        value_on=value_on or today(moved_at),
    )
    _count(account, movement)
    movement.save(force_insert=True)
    account.save()
    deposit = kind == SavingsMovement.Kind.DEPOSIT
    legs = accounting.savings_deposit if deposit else accounting.savings_withdrawal
    post(
        kind=Posting.Kind.SAVINGS,
        reference=f"savings:{reference}",
        occurred_at=moved_at,
        currency=account.currency,
        lines=legs(amount_cents, account.partner),
        borrower=account.borrower,
    )
    return movement


def _count(account: SavingsAccount, movement: SavingsMovement) -> None:
    """Let a movement count in balance, floor, interest and use of a locked account."""
    bring_up(account, movement.value_on - rules.DAY)
    interest = selectors.terms_of(account).interest
    if interest is not None and not account.closing_at and movement.value_on <= account.accrued_on:
        late = rules.Move(movement.value_on, movement.signed_cents)
        standing = selectors.standing_of(account)
        moves = selectors.moves_of(account.id)
        _stand(account, rules.correct(interest, standing, moves, late, account.earns_from))
    else:
        account.balance_cents += movement.signed_cents
    if movement.kind == SavingsMovement.Kind.DEPOSIT:
        account.floor_cents = rules.floor_after(account.floor_cents, movement.amount_cents, account.minimum_cents)
    account.used_on = max(account.used_on, movement.value_on)
    if account.closing_at and account.balance_cents == 0:
        account.state = SavingsAccount.State.CLOSED
    elif account.state == SavingsAccount.State.DORMANT:
        account.state = SavingsAccount.State.ACTIVE


# --- instructions -------------------------------------------------------------------------------------------
@transaction.atomic
def instruct_deposit(*, account_id: int, amount_cents: int, reference: str, at: datetime) -> SavingsInstruction:
    """Announce money to the holder; it counts when confirmed. The same `reference` is the same instruction.

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
    return _instruct_out(account, kind, amount_cents, reference, at, **of_group)


def _instruct_out(
    account: SavingsAccount, kind: str, amount_cents: int, reference: str, at: datetime, **of_group: Any
) -> SavingsInstruction:
    if account.locked_until is not None and today(at) <= account.locked_until:
        raise StillLocked(account.locked_until)
    hold = _hold(account, SavingsHold.Reason.WITHDRAWAL, amount_cents, f"instruction:{reference}", at)
    return SavingsInstruction.objects.create(
        account=account,
        kind=kind,
        amount_cents=amount_cents,
        reference=reference,
        hold=hold,
        instructed_at=at,
        **of_group,
    )


def refuse_closed(account: SavingsAccount) -> None:
    """Refuse an account, under its lock, into and out of which nothing may move any more.

    Raises:
        AccountClosed: it is closed or being closed.
    """
    if account.closing_at or account.state == SavingsAccount.State.CLOSED:
        raise AccountClosed(account.id)


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
    deposit = instruction.kind == SavingsInstruction.Kind.DEPOSIT
    return record_movement(
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
    return instruction


def _locked(reference: str) -> tuple[SavingsInstruction, SavingsAccount]:
    """Lock the account of an instruction, and before it the person whose overpayment it moves."""
    instruction = SavingsInstruction.objects.get(reference=reference)
    if refund := _refund_of(instruction):
        lock_person(refund.borrower)
    account = lock_account(instruction.account_id)
    instruction.refresh_from_db()
    return instruction, account


def _refund_of(instruction: SavingsInstruction) -> Refund | None:
    return Refund.objects.filter(instruction=instruction).select_related("borrower").first()


def _end(instruction: SavingsInstruction, account: SavingsAccount, state: str, at: datetime) -> None:
    instruction.state, instruction.ended_at = state, at
    instruction.save(update_fields=["state", "ended_at"])
    if instruction.hold is not None:
        _release(instruction.hold, account, at)


# --- holds --------------------------------------------------------------------------------------------------
@transaction.atomic
def place_hold(
    *, account_id: int, amount_cents: int, reason: str, reference: str, actor: Any, at: datetime
) -> SavingsHold:
    """Keep money from leaving, for a reason that is never a loan. The same `reference` is the same hold.

    Raises:
        NotEnoughSavings: other holds and the minimum leave less.
    """
    account = lock_account(account_id)
    if known := SavingsHold.objects.filter(reference=reference).first():
        return known
    hold = _hold(account, reason, amount_cents, reference, at)
    _record("savings_held", account, at, actor=actor, cents=amount_cents, why=reason)
    return hold


@transaction.atomic
def release_hold(*, reference: str, actor: Any, at: datetime) -> SavingsHold:
    """Let held money go. Repeats safely. The hold of a withdrawal ends with its instruction and not here."""
    hold = SavingsHold.objects.exclude(reason=SavingsHold.Reason.WITHDRAWAL).get(reference=reference)
    account = lock_account(hold.account_id)
    hold.refresh_from_db()
    if hold.released_at is None:
        _release(hold, account, at)
        _record("savings_hold_released", account, at, actor=actor, cents=hold.amount_cents)
    return hold


def _hold(account: SavingsAccount, reason: str, cents: int, reference: str, at: datetime) -> SavingsHold:
    available = selectors.available_cents(account)
    if not 0 < cents <= available:
        raise NotEnoughSavings(cents, available)
    account.held_cents += cents
    account.save(update_fields=["held_cents"])
    return SavingsHold.objects.create(
        account=account, reason=reason, amount_cents=cents, reference=reference, placed_at=at
    )


def _release(hold: SavingsHold, account: SavingsAccount, at: datetime) -> None:
    hold.released_at = at
    hold.save(update_fields=["released_at"])
    account.held_cents -= hold.amount_cents
    account.save(update_fields=["held_cents"])


# --- locked goals -------------------------------------------------------------------------------------------
@transaction.atomic
def lock_goal(*, account_id: int, until: date, exit_after_hours: int, at: datetime) -> SavingsAccount:
    """Lock a goal at its owner's word, as firmly as they choose. Locking again as it is changes nothing.

    What was earned so far is credited first: only the interest of the lock is ever at stake.

    Raises:
        LockRefused: the product has no such lock, or it is locked otherwise already.
    """
    account = lock_account(account_id)
    if (account.locked_until, account.exit_after_hours) == (until, exit_after_hours):
        return account
    lock, on = selectors.terms_of(account).lock, today(at)
    if lock is None or account.group_id or account.closing_at:
        raise LockRefused("this account has no lock")
    if account.locked_until is not None and on <= account.locked_until:
        raise LockRefused(f"locked until {account.locked_until} already")
    if exit_after_hours not in lock.exit_after_hours or not 0 < (until - on).days <= lock.longest_days:
        raise LockRefused(
            f"need a key of {lock.exit_after_hours} hours and 1 to {lock.longest_days} days,"
            f" got {exit_after_hours} hours and {(until - on).days} days"
        )
    bring_up(account, on - rules.DAY)
    _credit_now(account)
    account.locked_until, account.exit_after_hours, account.exit_asked_at = until, exit_after_hours, None
    account.save()
    _record("savings_locked", account, at, until=until.isoformat(), exit_after_hours=exit_after_hours)
    return account


def _credit_now(account: SavingsAccount) -> None:
    """Credit what is accrued though no period ends, once a day, and let a new period begin."""
    interest = selectors.terms_of(account).interest
    if interest is None:
        return
    standing, credit = rules.credit_now(interest, selectors.standing_of(account))
    _stand(account, standing)
    if credit.gross_cents:
        _book_interest(account, credit)


@transaction.atomic
def turn_key(*, account_id: int, at: datetime) -> datetime:
    """Ask for an early exit; return when the lock can be opened. Turning it again does not start anew.

    Raises:
        LockRefused: nothing is locked.
    """
    account = lock_account(account_id)
    if account.locked_until is None or today(at) > account.locked_until:
        raise LockRefused("nothing is locked")
    if account.exit_asked_at is None:
        account.exit_asked_at = at
        account.save(update_fields=["exit_asked_at"])
        _record("savings_key_turned", account, at)
    return selectors.exit_opens_at(account)


@transaction.atomic
def turn_key_back(*, account_id: int, at: datetime) -> None:
    """Stay locked after all; nothing was lost by asking. Repeats safely."""
    account = lock_account(account_id)
    if account.exit_asked_at is not None:
        account.exit_asked_at = None
        account.save(update_fields=["exit_asked_at"])
        _record("savings_key_turned_back", account, at)


@transaction.atomic
def open_lock(*, account_id: int, at: datetime) -> int:
    """Open a locked goal before its time: its interest is forgone, nothing else. Return the forgone cents.

    Raises:
        LockRefused: nothing is locked any more.
        KeyNotTurned: the key was not turned, or not long enough ago.
    """
    account = lock_account(account_id)
    on = today(at)
    if account.locked_until is None or on > account.locked_until:
        raise LockRefused("nothing is locked")
    opens_at = selectors.exit_opens_at(account) if account.exit_asked_at else None
    if opens_at is None or at < opens_at:
        raise KeyNotTurned(opens_at)
    bring_up(account, on - rules.DAY)
    forgone = selectors.earned_cents(account)
    account.accrued_parts = 0  # type: ignore[assignment]
    account.period_on = account.earns_from = on
    account.lowest_cents = None
    account.locked_until = account.exit_asked_at = account.exit_after_hours = None
    account.save()
    _record("savings_lock_opened", account, at, forgone_cents=forgone)
    return forgone


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
        raise NotEnoughSavings(account.balance_cents, selectors.available_cents(account))
    bring_up(account, today(at) - rules.DAY)
    if account.locked_until is not None and today(at) <= account.locked_until:
        raise StillLocked(account.locked_until)
    _credit_now(account)
    account.minimum_cents = account.floor_cents = 0
    account.closing_at = at
    if account.balance_cents == 0:
        account.state = SavingsAccount.State.CLOSED
    account.save()
    if account.balance_cents == 0:
        return None
    return _instruct_out(account, SavingsInstruction.Kind.WITHDRAWAL, account.balance_cents, reference, at)


def _closing_of(account: SavingsAccount) -> str:
    """Return how the references begin by which an account is emptied; the number of the asking follows."""
    return f"close:{account.id}:"


def _stay_open(account: SavingsAccount, at: datetime) -> None:
    """Take back that an account is being closed: its minimum holds again, as far as its balance reaches."""
    account.closing_at = None
    account.minimum_cents = selectors.terms_of(account).minimum_balance_cents
    account.floor_cents = min(account.minimum_cents, account.balance_cents)
    account.save()
    _record("savings_not_closed", account, at)


# --- sweeps -------------------------------------------------------------------------------------------------
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
    not due, from a locked goal, or while an earlier sweep is open.
    """
    account = lock_account(account_id)
    mandate = account.sweep_mandates.filter(withdrawn_at__isnull=True).first()
    live = Loan.objects.filter(borrower__savings_accounts=account, state=Loan.State.LIVE)
    loan = live.filter(due_on__lte=today(at)).first()
    locked = account.locked_until is not None and today(at) <= account.locked_until
    if mandate is None or loan is None or locked or account.closing_at:
        return None
    reference = f"sweep:{account.id}:loan:{loan.id}:{today(at)}"
    known = account.instructions.filter(kind=SavingsInstruction.Kind.SWEEP)
    if same := known.filter(reference=reference).first():
        return same
    if known.filter(state=SavingsInstruction.State.OPEN).exists():
        return None
    unit = money.currency(account.currency).payable_cents
    cents = rules.sweep_cents(loan.outstanding_cents, selectors.available_cents(account), mandate.keep_cents, unit)
    if not cents:
        return None
    return _instruct_out(account, SavingsInstruction.Kind.SWEEP, cents, reference, at)


def _record(action: str, account: SavingsAccount, at: datetime, actor: Any = None, **detail: Any) -> None:
    audit.record(action, subject=f"savings:{account.id}", borrower=account.borrower, at=at, actor=actor, **detail)
