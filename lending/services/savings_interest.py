"""Interest of one account, brought up to a day and credited, under the lock of the account.

Close of business does the same for many in one statement (lending/savings_closing.py); a test holds the two equal.
Source: docs/domain/savings.md, "Interest".
"""

from datetime import date

from django.conf import settings

from lending.ledger import post
from lending.models import Posting, SavingsAccount, SavingsMovement, SavingsProductVersion, SavingsVersionChange
from lending.rules import accounting, calendar
from lending.rules import savings as rules
from lending.rules.savings_change import Change, end_terms
from lending.selectors import savings as selectors
from lending.selectors import savings_versions


def bring_up(account: SavingsAccount, until: date) -> None:
    """Accrue a locked account to the end of `until` and credit the periods that end on the way.

    Each day earns by the version of its own: an account whose next version begins by the day after `until` goes
    over to it. Repeats safely. The caller saves the account.
    """
    if account.closing_at:
        return
    while (change := savings_versions.next_change(account)) and change.on <= until + rules.DAY:
        _accrue(account, change.on - rules.DAY)
        _go_over(account, change)
    _accrue(account, until)


def _accrue(account: SavingsAccount, until: date) -> None:
    """Accrue by the version that the account has now."""
    interest = selectors.terms_of(account).interest
    if interest is None:
        return
    standing, credits = rules.accrue(interest, selectors.standing_of(account), until, account.locked_until)
    stand(account, standing)
    for credit in credits:
        _book(account, credit)


def _go_over(account: SavingsAccount, change: Change) -> None:
    """Let an account that stands at the end of the day before go by another version, and keep that it did.

    A higher minimum takes nothing that is in the account already: its floor grows with what comes in.
    """
    _end_terms(account, change.on - rules.DAY)
    before = account.product_version
    account.product_version = SavingsProductVersion.objects.get(id=change.version.id)
    account.minimum_cents = change.version.terms.minimum_balance_cents
    account.floor_cents = min(account.floor_cents, account.minimum_cents)
    SavingsVersionChange.objects.create(
        account=account, before=before, after=account.product_version, effective_on=change.on
    )


def _end_terms(account: SavingsAccount, last: date) -> None:
    interest = selectors.terms_of(account).interest
    if interest is None:
        return
    is_locked = account.locked_until is not None and account.locked_until > last
    standing, credit = end_terms(interest, selectors.standing_of(account), is_locked)
    stand(account, standing)
    if credit:
        _book(account, credit)


def credit_now(account: SavingsAccount) -> None:
    """Credit what is accrued though no period ends, once a day, and let a new period begin."""
    interest = selectors.terms_of(account).interest
    if interest is None:
        return
    standing, credit = rules.credit_now(interest, selectors.standing_of(account))
    stand(account, standing)
    if credit.gross_cents:
        _book(account, credit)


def stand(account: SavingsAccount, standing: rules.Standing) -> None:
    account.balance_cents = standing.balance_cents
    account.accrued_parts = standing.accrued_parts  # type: ignore[assignment]  # whole, as the column is
    account.accrued_on = standing.accrued_on
    account.period_on = standing.period_on
    account.lowest_cents = standing.lowest_cents


def _book(account: SavingsAccount, credit: rules.Credit) -> None:
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
