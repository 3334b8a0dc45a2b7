"""Saving: opening an account, and the money that moves in it.

Each function is one transaction under one lock, that of the account. An account is brought up to the day before
a movement before the movement counts, so interest is the same whether close of business came first or not.
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
    Posting,
    SavingsAccount,
    SavingsGroup,
    SavingsInstruction,
    SavingsMovement,
)
from lending.right_of_way import go_first
from lending.rules import accounting, calendar
from lending.rules import savings as rules
from lending.rules.savings_change import correct
from lending.selectors import products, savings_versions
from lending.selectors import savings as selectors
from lending.services import audit, savings_interest, savings_notices
from lending.services.people import lock_borrower


class PartnerNeeded(Exception):
    """The law keeps us from holding deposits, and the product names nobody who may."""


class AccountClosed(Exception):
    """Nothing moves in a closed account, or in one that is being closed."""


def today(at: datetime) -> date:
    """Return the business date of a moment."""
    return calendar.business_date(at, settings.TIME_ZONE)


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
    if borrower is not None:
        # Two openings at once, one on either side of a version's first day, would be two pots for one goal.
        lock_borrower(borrower.id)
    open_now = SavingsAccount.objects.exclude(state=SavingsAccount.State.CLOSED)
    # Accounts go over to a new version on their own day, so that one opens no second pot.
    same = open_now.filter(borrower=borrower, group=group, goal=goal, product_version__code=product_code).first()
    if same is not None:
        return same
    account = SavingsAccount.objects.create(
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
    savings_notices.tell_of_what_comes(account, at)
    return account


def lock_account(account_id: int) -> SavingsAccount:
    """Take the one lock under which an account moves; inside the caller's transaction."""
    # Without its version: whoever waits for an account that goes over to another one would find that join empty.
    return go_first(
        lambda nowait: SavingsAccount.objects.select_for_update(no_key=True, nowait=nowait).get(id=account_id)
    )


def refuse_closed(account: SavingsAccount) -> None:
    """Refuse an account, under its lock, into and out of which nothing may move any more.

    Raises:
        AccountClosed: it is closed or being closed.
    """
    if account.closing_at or account.state == SavingsAccount.State.CLOSED:
        raise AccountClosed(account.id)


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
    borrower = lock_borrower(borrower_id)
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
    savings_interest.bring_up(account, movement.value_on - rules.DAY)
    interest = selectors.terms_of(account).interest
    if interest is not None and not account.closing_at and movement.value_on <= account.accrued_on:
        late = rules.Move(movement.value_on, movement.signed_cents)
        standing, moves = selectors.standing_of(account), selectors.moves_of(account.id)
        agreed = savings_versions.agreed(account)
        savings_interest.stand(account, correct(agreed, standing, moves, late, account.earns_from))
    else:
        account.balance_cents += movement.signed_cents
    if movement.kind == SavingsMovement.Kind.DEPOSIT:
        account.floor_cents = rules.floor_after(account.floor_cents, movement.amount_cents, account.minimum_cents)
    account.used_on = max(account.used_on, movement.value_on)
    if account.closing_at and account.balance_cents == 0:
        account.state = SavingsAccount.State.CLOSED
    elif account.state == SavingsAccount.State.DORMANT:
        account.state = SavingsAccount.State.ACTIVE


def record(action: str, account: SavingsAccount, at: datetime, actor: Any = None, **detail: Any) -> None:
    """Keep in the trail what was done to an account."""
    audit.record(action, subject=f"savings:{account.id}", borrower=account.borrower, at=at, actor=actor, **detail)
