"""Interest of one account, brought up to a day and credited, under the lock of the account.

Close of business does the same for many in one statement (lending/savings_closing.py); a test holds the two equal.
Source: docs/domain/savings.md, "Interest".
"""

from datetime import date

from django.conf import settings

from lending.ledger import post
from lending.models import Posting, SavingsAccount, SavingsMovement
from lending.rules import accounting, calendar
from lending.rules import savings as rules
from lending.selectors import savings as selectors


def bring_up(account: SavingsAccount, until: date) -> None:
    """Accrue a locked account to the end of `until` and credit the periods that end on the way.

    Repeats safely. The caller saves the account.
    """
    interest = selectors.terms_of(account).interest
    if interest is None or account.closing_at:
        return
    standing, credits = rules.accrue(interest, selectors.standing_of(account), until, account.locked_until)
    stand(account, standing)
    for credit in credits:
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
