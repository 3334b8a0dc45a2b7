"""What a borrower may ask for now: one indexed read for the offer screen."""

from dataclasses import dataclass
from datetime import date

from lending.models import Borrower, Loan, ProductVersion
from lending.rules import pricing
from lending.rules.pricing import Quote
from lending.selectors import loans, products


@dataclass(frozen=True)
class Offer:
    """`refusal` is empty when the borrower may ask; else one of open_loan, payout_pending, undecided, blocked."""

    product_version: ProductVersion
    limit_cents: int
    min_cents: int
    refusal: str = ""


def offer(borrower: Borrower, on: date, country: str) -> Offer:
    """Return limit and smallest amount, or why nothing may be asked for now."""
    version = products.product_in_force(country, on)
    limit = min(borrower.limit_cents, version.max_cents)
    return Offer(version, limit, version.min_cents, _refusal(borrower))


def _refusal(borrower: Borrower) -> str:
    if borrower.state != Borrower.State.ACTIVE:
        return "blocked"
    if loan := loans.open_loan_of_person(borrower.identity_index):
        return "payout_pending" if loan.state == Loan.State.APPROVED else "open_loan"
    return "undecided" if loans.undecided_application(borrower.id) else ""


def quote(version: ProductVersion, principal_cents: int) -> Quote:
    """Price an amount by the one calculator: what this returns is what is charged."""
    return pricing.quote(products.terms_of(version), principal_cents)
