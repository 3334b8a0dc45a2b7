"""Locked goals: locked at their owner's word, opened by the early-exit key or by their day.

Source: docs/domain/savings.md, "Goals".
"""

from datetime import date, datetime

from django.db import transaction

from lending.models import SavingsAccount
from lending.rules import savings as rules
from lending.selectors import savings as selectors
from lending.services import savings, savings_interest
from lending.services.savings import lock_account, today


class LockRefused(ValueError):
    """The product does not lock a goal like that."""


class KeyNotTurned(Exception):
    """The early-exit key was not turned, or not long enough ago; `opens_at` says when, if it was."""

    def __init__(self, opens_at: datetime | None) -> None:
        super().__init__(f"the lock opens at {opens_at}" if opens_at else "the key was not turned")
        self.opens_at = opens_at


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
    on = today(at)
    savings_interest.bring_up(account, on - rules.DAY)
    lock = selectors.terms_of(account).lock
    if lock is None or account.group_id or account.closing_at:
        raise LockRefused("this account has no lock")
    if account.locked_until is not None and on <= account.locked_until:
        raise LockRefused(f"locked until {account.locked_until} already")
    if exit_after_hours not in lock.exit_after_hours or not 0 < (until - on).days <= lock.longest_days:
        raise LockRefused(
            f"need a key of {lock.exit_after_hours} hours and 1 to {lock.longest_days} days,"
            f" got {exit_after_hours} hours and {(until - on).days} days"
        )
    savings_interest.credit_now(account)
    account.locked_until, account.exit_after_hours, account.exit_asked_at = until, exit_after_hours, None
    account.save()
    savings.record("savings_locked", account, at, until=until.isoformat(), exit_after_hours=exit_after_hours)
    return account


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
        savings.record("savings_key_turned", account, at)
    return selectors.exit_opens_at(account)


@transaction.atomic
def turn_key_back(*, account_id: int, at: datetime) -> None:
    """Stay locked after all; nothing was lost by asking. Repeats safely."""
    account = lock_account(account_id)
    if account.exit_asked_at is not None:
        account.exit_asked_at = None
        account.save(update_fields=["exit_asked_at"])
        savings.record("savings_key_turned_back", account, at)


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
    savings_interest.bring_up(account, on - rules.DAY)
    forgone = selectors.earned_cents(account)
    account.accrued_parts = 0  # type: ignore[assignment]
    account.period_on = account.earns_from = on
    account.lowest_cents = None
    account.locked_until = account.exit_asked_at = account.exit_after_hours = None
    # Terms that the lock had kept away begin today.
    savings_interest.bring_up(account, on - rules.DAY)
    account.save()
    savings.record("savings_lock_opened", account, at, forgone_cents=forgone)
    return forgone
