"""Paying off an open loan by a new one, in the moment in which the payout of the new one arrives.

Source: docs/domain/products.md, "Refinancing".
"""

from datetime import datetime

from lending.models import Loan, LoanEvent
from lending.rules.accounting import REFINANCING
from lending.selectors import contracts, refinancing
from lending.services import life


class RefinancingRefused(Exception):
    """The open loan cannot be paid off by this one. `why` is a code, the text a sentence."""

    def __init__(self, why: str) -> None:
        super().__init__(refinancing.REFUSALS[why])
        self.why = why


def pay_off(loan: Loan, receipt_no: str, completed_at: datetime, at: datetime) -> None:
    """Close the loan that a new one refinances, inside the caller's transaction and lock. Repeats safely.

    What was agreed closes it: a day's interest since is waived, and what it took too much, because something
    was repaid meanwhile, is kept for the customer.
    """
    assert loan.refinances_id is not None, "it refinances a loan"
    life.record(
        contracts.with_contract().get(id=loan.refinances_id),
        key=f"refinanced:{receipt_no}",
        kind=LoanEvent.Kind.SETTLE,
        happened_at=completed_at,
        at=at,
        details={"amount_cents": loan.refinanced_cents, "account": REFINANCING},
    )
