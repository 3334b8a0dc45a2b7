"""What a borrower may ask for now: one indexed read for the offer screen."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.db.models import Exists, F, Func, OuterRef, QuerySet, TextField

from lending.models import Application, Borrower, CountryPack, Loan, ProductVersion
from lending.rules import pricing
from lending.rules.pricing import KeyFacts
from lending.selectors import contracts, limits, loans, products


@dataclass(frozen=True)
class Offer:
    """`refusal`: empty when the borrower may ask, else blocked, open_loan, payout_pending, undecided or paused.

    `raise_waits`: a higher limit is theirs once they say yes.
    """

    product_version: ProductVersion
    limit_cents: int
    min_cents: int
    refusal: str = ""
    raise_waits: bool = False


def offer(borrower: Borrower, on: date, country: str, refinances: Loan | None = None, code: str = "") -> Offer:
    """Return limit and smallest amount of a product, or why nothing may be asked for now.

    If none is named, it is the first of those on offer that does not rest, so that one product's losses keep nobody
    from another. The open loan that a new one is to pay off is not in its way.
    """
    also = {"is_paused": limits.PAUSED, "raise_waits": limits.raise_waits(borrower.id)}
    version = _product(country, on, code, **also)
    return as_offer(
        borrower,
        version,
        open_loan=loans.open_loan_of_person(borrower.identity_index, beside=refinances),
        is_undecided=loans.undecided_applications(borrower.id).exists(),
        is_paused=version.is_paused,
        raise_waits=version.raise_waits,
    )


def as_offer(
    borrower: Borrower,
    version: ProductVersion,
    *,
    open_loan: Loan | None,
    is_undecided: bool,
    is_paused: bool,
    raise_waits: bool,
) -> Offer:
    """Return the offer that follows from what is known; `open_loan` is the person's, on whichever number."""
    refusal = _refusal(borrower, open_loan, is_undecided) or ("paused" if is_paused else "")
    least = products.terms_of(version).min_cents
    return Offer(version, limit_cents(borrower, version), least, refusal, raise_waits)


def _product(country: str, on: date, code: str, **also: Exists) -> Any:
    if code:
        return products.product_in_force(country, on, code, **also)
    found: list[Any] = products.products_in_force(country, on, **also)
    return next((version for version in found if not version.is_paused), found[0])


def limit_cents(borrower: Borrower, version: ProductVersion) -> int:
    """Return the most that a borrower may ask for of a product: their rung, their own wish, its largest loan."""
    return min(borrower.offered_limit_cents, products.terms_of(version).max_cents)


def on_offer(borrower: Borrower, principal_cents: int, on: date, country: str) -> list[ProductVersion]:
    """Return the products of which a borrower may have this amount now, in the order in which the phone offers
    them."""
    found: list[Any] = products.products_in_force(country, on, is_paused=limits.PAUSED)
    return [version for version in found if not version.is_paused and fits(borrower, principal_cents, version)]


def fits(borrower: Borrower, principal_cents: int, version: ProductVersion) -> bool:
    """Say whether a borrower may have this amount of a product that does not rest."""
    return products.terms_of(version).min_cents <= principal_cents <= limit_cents(borrower, version)


# What the last choice is of somebody who has made none.
NEVER_ASKED = ("", "")


def last_choice(borrower_id: int) -> tuple[str, str]:
    """Return of which product a borrower asked for a loan the last time, and for what, which may not be said."""
    return as_choice(last_asked(borrower_id).first())


def last_asked(borrower: int | OuterRef) -> "QuerySet[Application, Any]":
    """Return of a borrower's last application what `as_choice` reads."""
    parts = F("product_version__code"), F("purpose")
    choice = Func(*parts, template="ARRAY[%(expressions)s]", output_field=ArrayField(TextField()))
    latest = Application.objects.filter(borrower=borrower).order_by("-submitted_at")
    return latest.values_list(choice, flat=True)[:1]


def as_choice(found: Sequence[str] | None) -> tuple[str, str]:
    """Return the product and the purpose of an application; None: there is none."""
    return (found[0], found[1]) if found else NEVER_ASKED


def _refusal(borrower: Borrower, open_loan: Loan | None, is_undecided: bool) -> str:
    if borrower.state != Borrower.State.ACTIVE:
        return "blocked"
    if open_loan is not None:
        return "payout_pending" if open_loan.state == Loan.State.APPROVED else "open_loan"
    return "undecided" if is_undecided else ""


def quote(version: ProductVersion, principal_cents: int, on: date, pack: CountryPack | None = None) -> KeyFacts:
    """Price an amount paid out on a day by the one calculator: what this returns is what is charged.

    `pack`: the law whose holidays count, the one that the loan is made under; without it, the one in force.

    Raises:
        LoanRefused: the amount is outside the product's bounds.
        NothingInForce: due dates keep off holidays, and the country has no law on that day.
    """
    terms = products.terms_of(version)
    if terms.due_dates.rule == "none":
        return products.kept(version, (principal_cents, on), lambda: pricing.key_facts(terms, principal_cents, on))
    pack = pack or products.country_pack(version.country, on)
    return pricing.key_facts(terms, principal_cents, on, contracts.holidays_of(pack.rules))
