"""A new loan that pays off the open one: whether it may, and what is left of it to pay out.

Source: docs/domain/products.md, "Refinancing".
"""

from dataclasses import dataclass
from datetime import date

from django.db.models import Sum

from lending.models import Allocation, CountryPack, Loan, ProductVersion
from lending.rules import money
from lending.rules.pricing import KeyFacts
from lending.selectors import contracts, loans, offers, products

REFUSALS = {
    "not_granted": "this product pays off no other loan",
    "not_open": "there is no such open loan",
    "line": "a credit line is drawn, not refinanced",
    "currency": "the open loan is in another currency",
    "late": "something of the open loan is late: it can be rescheduled",
    "repaid_little": "too little of the open loan is repaid",
    "nothing_left": "nothing would be left to pay out",
}


class RefinancingUnderWay(Exception):
    """Money is on its way that pays this loan off; until it is there or known not to come, only payments count."""

    def __init__(self, new: Loan) -> None:
        super().__init__(f"loan {new.reference}, which pays this one off, is on its way")


def under_way(loan_id: int) -> Loan | None:
    """Return the loan that is on its way to pay one off."""
    return Loan.objects.filter(refinances=loan_id, state=Loan.State.APPROVED).first()


@dataclass(frozen=True)
class Refinancing:
    """What a new loan costs, what of it pays off the open one, and what is left for the customer.

    `why` is the code of what speaks against it, "" for nothing.
    """

    priced: KeyFacts
    refinanced_cents: int
    why: str = ""

    @property
    def received_cents(self) -> int:
        return self.priced.received_cents - self.refinanced_cents


def refinancing(
    loan: Loan, version: ProductVersion, principal_cents: int, on: date, pack: CountryPack | None = None
) -> Refinancing:
    """Preview a loan of an amount that is paid out on a day and pays off an open one, read by `with_contract`.

    Rails move whole units: what the open loan takes is rounded up to one, and what is too much stays the
    customer's.

    Raises:
        LoanRefused, NothingInForce: as `offers.quote` says.
    """
    priced = offers.quote(version, principal_cents, on, pack)
    if why := refusal(loan, version, on):
        return Refinancing(priced, 0, why)
    unit_cents = money.currency(loan.currency).payable_cents
    refinanced_cents = -(-contracts.payoff(loan, on).total // unit_cents) * unit_cents
    why = "nothing_left" if priced.received_cents <= refinanced_cents else ""
    return Refinancing(priced, refinanced_cents, why)


def refusal(loan: Loan, version: ProductVersion, on: date) -> str:
    """Return the code of the first thing that speaks against paying off a loan by a new one, "" for nothing."""
    granted = products.terms_of(version).refinance
    if granted is None:
        return "not_granted"
    if loan.is_line:
        return "line"
    if loan.state != Loan.State.LIVE:
        return "not_open"
    if loan.currency != version.currency:
        return "currency"
    if loans.days_past_due(loan, on):
        return "late"
    paid = Allocation.objects.filter(installment__loan=loan, kind=Allocation.Kind.PAID)
    repaid_cents = paid.aggregate(sum=Sum("principal_cents", default=0))["sum"]
    lent_cents = loan.principal_cents + loan.capitalised_cents
    return "" if repaid_cents >= granted.repaid_share * lent_cents else "repaid_little"
