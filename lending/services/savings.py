"""Mirroring savings that a licensed partner holds."""

from datetime import datetime

from django.db import transaction
from django.db.models import F

from lending.ledger import post
from lending.models import Borrower, Posting, SavingsAccount, SavingsMovement
from lending.rules import accounting


@transaction.atomic
def mirror_movement(
    *,
    borrower_id: int,
    kind: str,
    amount_cents: int,
    reference: str,
    moved_at: datetime,
    partner: str,
    currency: str,
) -> SavingsMovement:
    """Book what the partner reports. Repeats safely: a `reference` seen before is returned.

    PostgreSQL refuses a withdrawal beyond the balance.
    """
    if known := SavingsMovement.objects.filter(reference=reference).first():
        return known
    borrower = Borrower.objects.select_for_update().get(id=borrower_id)
    account, _ = SavingsAccount.objects.get_or_create(
        borrower=borrower, defaults={"partner": partner, "currency": currency, "opened_at": moved_at}
    )
    deposit = kind == SavingsMovement.Kind.DEPOSIT
    movement = SavingsMovement.objects.create(
        account=account, kind=kind, amount_cents=amount_cents, reference=reference, moved_at=moved_at
    )
    SavingsAccount.objects.filter(id=account.id).update(
        balance_cents=F("balance_cents") + (amount_cents if deposit else -amount_cents)
    )
    legs = accounting.savings_deposit if deposit else accounting.savings_withdrawal
    post(
        kind=Posting.Kind.SAVINGS,
        reference=f"savings:{reference}",
        occurred_at=moved_at,
        currency=currency,
        lines=legs(amount_cents),
        borrower=borrower,
    )
    return movement
