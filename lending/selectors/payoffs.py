"""What somebody pays who pays everything today, and from which savings they may.

Source: docs/domain/standing.md, "Paying all today".
"""

from dataclasses import dataclass
from datetime import date

from lending.models import Loan, SavingsAccount
from lending.prepared import Prepared
from lending.rules import money
from lending.selectors import contracts, savings


@dataclass(frozen=True)
class PayOff:
    """`owed_cents`: by the plan, to its end; `payable_cents`: what settles the loan today, in payable units."""

    owed_cents: int
    payable_cents: int

    @property
    def saved_cents(self) -> int:
        """Return what who pays today is spared."""
        return max(0, self.owed_cents - self.payable_cents)


def pay_off(loan: Loan, on: date) -> PayOff:
    """Return the pay-off of a loan, read by `loans.loan_to_repay` or `contracts.with_contract`, on a day.

    What was charged off or written off is owed as it stands: nothing is earned on it any more.
    """
    cents = contracts.payoff(loan, on).total if loan.state == Loan.State.LIVE else loan.owing_cents
    return PayOff(loan.owing_cents, money.payable(cents, loan.currency))


def savings_to_pay_from(identity_index: str, on: date) -> list[tuple[SavingsAccount, int]]:
    """Return the savings of a person from which a loan can be repaid now, the fullest first, each with what can
    be taken out in payable units. A locked goal is left alone."""
    found = []
    for account in _FULLEST_FIRST.all(identity_index=identity_index):
        unit_cents = money.currency(account.currency).payable_cents
        free_cents = savings.available_cents(account) // unit_cents * unit_cents
        locked = account.locked_until is not None and on <= account.locked_until
        if free_cents > 0 and not locked:
            found.append((account, free_cents))
    return found


_FULLEST_FIRST: Prepared[SavingsAccount] = Prepared(
    lambda identity_index: (
        SavingsAccount.objects.filter(borrower__identity_index=identity_index, closing_at__isnull=True)
        .exclude(state=SavingsAccount.State.CLOSED)
        .order_by("-balance_cents", "id")
    ),
    identity_index=str,
)
