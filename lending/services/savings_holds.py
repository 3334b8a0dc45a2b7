"""Money in an account that may not leave for now, under the lock of the account. No reason is a loan.

Source: docs/domain/savings.md, "Minimum and holds".
"""

from datetime import datetime
from typing import Any

from django.db import transaction

from lending.models import SavingsAccount, SavingsHold
from lending.selectors import savings as selectors
from lending.services import savings


class NotEnoughSavings(Exception):
    """More was asked for than minimum and holds leave."""

    def __init__(self, asked_cents: int, available_cents: int) -> None:
        super().__init__(f"asked for {asked_cents} cents, {available_cents} can be taken out")
        self.asked_cents, self.available_cents = asked_cents, available_cents


@transaction.atomic
def place_hold(
    *, account_id: int, amount_cents: int, reason: str, reference: str, actor: Any, at: datetime
) -> SavingsHold:
    """Keep money from leaving, for a reason that is never a loan. The same `reference` is the same hold.

    Raises:
        NotEnoughSavings: other holds and the minimum leave less.
    """
    account = savings.lock_account(account_id)
    if known := SavingsHold.objects.filter(reference=reference).first():
        return known
    placed = hold(account, reason, amount_cents, reference, at)
    savings.record("savings_held", account, at, actor=actor, cents=amount_cents, why=reason)
    return placed


@transaction.atomic
def release_hold(*, reference: str, actor: Any, at: datetime) -> SavingsHold:
    """Let held money go. Repeats safely. The hold of a withdrawal ends with its instruction and not here."""
    held = SavingsHold.objects.exclude(reason=SavingsHold.Reason.WITHDRAWAL).get(reference=reference)
    account = savings.lock_account(held.account_id)
    held.refresh_from_db()
    if held.released_at is None:
        release(held, account, at)
        savings.record("savings_hold_released", account, at, actor=actor, cents=held.amount_cents)
    return held


def hold(account: SavingsAccount, reason: str, cents: int, reference: str, at: datetime) -> SavingsHold:
    """Hold money of a locked account.

    Raises:
        NotEnoughSavings: other holds and the minimum leave less.
    """
    available = selectors.available_cents(account)
    if not 0 < cents <= available:
        raise NotEnoughSavings(cents, available)
    account.held_cents += cents
    account.save(update_fields=["held_cents"])
    return SavingsHold.objects.create(
        account=account, reason=reason, amount_cents=cents, reference=reference, placed_at=at
    )


def release(held: SavingsHold, account: SavingsAccount, at: datetime) -> None:
    """Let go of the held money of a locked account."""
    held.released_at = at
    held.save(update_fields=["released_at"])
    account.held_cents -= held.amount_cents
    account.save(update_fields=["held_cents"])
