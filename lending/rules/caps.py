"""What the law of a country allows a lender to charge and to owe itself: every cap is checked here, exactly.

A cap that is met exactly allows; a cent more does not. An absent cap does not bind. Source: docs/domain/law.md.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction

from lending.rules.country import Country, PenaltyBase

DAYS_OF_A_YEAR = 365
MONTHS_OF_A_YEAR = 12


class AgainstLaw(Exception):
    """A charge, a loan or a product is not what the law in force allows.

    `rule` is the rule's path in the pack, `path` the field of the product at fault, where there is one.
    """

    def __init__(self, rule: str, allowed: object, asked: object, path: str = "") -> None:
        at = f"{path}: " if path else ""
        super().__init__(f"{at}{rule} allows {allowed}, got {asked}")
        self.rule, self.allowed, self.asked, self.path = rule, allowed, asked, path


@dataclass(frozen=True)
class Price:
    """A price as the law looks at it: all that must be paid beside the principal, taxes included.

    `apr` is the nominal yearly rate on the falling balance, a share; None for a loan repaid in one sum, where
    it follows from the rest.
    """

    principal_cents: int
    cost_cents: int
    days: int
    apr: Decimal | Fraction | None = None

    @property
    def total_rate(self) -> Fraction:
        return Fraction(self.cost_cents, self.principal_cents)

    @property
    def yearly_rate(self) -> Fraction:
        return self.total_rate * DAYS_OF_A_YEAR / self.days


def figure(law: Country, rule: str) -> Decimal | int | None:
    """Return the figure at a rule's path in the pack, None where the law has none."""
    section, name = rule.split(".")
    found: Decimal | int | None = getattr(getattr(law, section), name, None)
    return found


# --- one charge, one loan -----------------------------------------------------------------------------------
def price_breaches(price: Price, law: Country, path: str = "") -> Iterator[AgainstLaw]:
    """Yield each price cap that a price is above."""
    asked = {
        "price_caps.max_monthly_rate": price.yearly_rate / MONTHS_OF_A_YEAR,
        "price_caps.max_yearly_rate": price.yearly_rate,
        "price_caps.max_total_cost_rate": price.total_rate,
        "price_caps.max_apr": price.yearly_rate if price.apr is None else Fraction(price.apr),
    }
    for rule, rate in asked.items():
        yield from _above(law, rule, rate, path)


def enforce_price(price: Price, law: Country) -> None:
    """Refuse a price above a cap of the country.

    Raises:
        AgainstLaw: with the rule, what it allows and what was asked.
    """
    _refuse_first(price_breaches(price, law))


def enforce_early_settlement(fee_cents: int, principal_cents: int, law: Country) -> None:
    """Refuse a fee for paying early above the country's share of the principal.

    Raises:
        AgainstLaw: it is.
    """
    _refuse_first(_above(law, "price_caps.max_early_settlement_rate", Fraction(fee_cents, principal_cents)))


LATE_CHARGES = ("penalties.max_rate_of_principal", "default_interest.max_rate_of_principal")


def enforce_late_charges(charged_cents: int, principal_cents: int, law: Country) -> None:
    """Refuse penalties and default interest that together are above a cap of the country.

    Raises:
        AgainstLaw: they are; the rule is the one whose cap is passed.
    """
    for rule in LATE_CHARGES:
        _refuse_first(_above(law, rule, Fraction(charged_cents, principal_cents)))


def late_charges_room(principal_cents: int, charged_cents: int, law: Country) -> int | None:
    """Return how many cents of penalties and default interest may still be charged, None for no cap.

    `charged_cents`: what a loan of this principal was charged for being late so far.
    """
    rates = [Fraction(rate) for rule in LATE_CHARGES if (rate := figure(law, rule)) is not None]
    return max(0, int(min(rates) * principal_cents) - charged_cents) if rates else None


def in_duplum_room(owing_cents: int, charged_cents: int, days_past_due: int, law: Country) -> int | None:
    """Return how many cents of interest, fees and penalties may still be charged, None while nothing binds.

    `owing_cents`: the principal owing when the rule began to apply; `charged_cents`: what was charged since.
    """
    if law.in_duplum is None or days_past_due < law.in_duplum.applies_from_days_past_due:
        return None
    return max(0, owing_cents - charged_cents)


def enforce_exposure(principal_cents: int, owing_cents: int, law: Country) -> None:
    """Refuse a loan that is too large by itself, or with what the person owes over all products.

    Raises:
        AgainstLaw: it is.
    """
    _refuse_first(_above(law, "exposure.max_loan_cents", principal_cents))
    _refuse_first(_above(law, "exposure.max_total_cents", principal_cents + owing_cents))


# --- a product version --------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Product:
    """What the law looks at in a product version. `prices`: examples, each with the field that makes it so dear."""

    country: str
    currency: str
    version: int
    approved_on: date
    effective_on: date
    approval_document: str
    max_cents: int
    prices: tuple[tuple[str, Price], ...]
    penalty_bases: tuple[tuple[str, PenaltyBase], ...] = ()  # each with its field
    late_charges_rate: Decimal | None = None
    early_settlement_rate: Decimal | Fraction | None = None


def breaches(product: Product, law: Country, on: date) -> Iterator[AgainstLaw]:
    """Yield each term of a product version that contradicts the law, if it were lent on a day."""
    for path in ("country", "currency"):
        if getattr(product, path) != getattr(law, path):
            yield AgainstLaw(path, getattr(law, path), getattr(product, path), path)
    for path, price in product.prices:
        yield from price_breaches(price, law, path)
    yield from _above(law, "exposure.max_loan_cents", product.max_cents, "terms.max_cents")
    yield from _late_breaches(product, law)
    yield from _approval_breaches(product, law, on)


def enforce_product(product: Product, law: Country, on: date) -> None:
    """Refuse a product version whose terms contradict the law.

    Raises:
        AgainstLaw: with the field, the rule, what it allows and what the product says.
    """
    _refuse_first(breaches(product, law, on))


def _late_breaches(product: Product, law: Country) -> Iterator[AgainstLaw]:
    """Yield what is wrong with the price of paying late, and of paying early."""
    for path, base in product.penalty_bases:
        if law.penalties and base not in law.penalties.bases:
            yield AgainstLaw("penalties.bases", " or ".join(law.penalties.bases), base, path)
    for rule in LATE_CHARGES:
        yield from _above(law, rule, product.late_charges_rate, "terms.penalties")
    early = product.early_settlement_rate
    yield from _above(law, "price_caps.max_early_settlement_rate", early, "terms.early.interest")


def _approval_breaches(product: Product, law: Country, on: date) -> Iterator[AgainstLaw]:
    """Yield what is wrong with when and by whom a version was approved: a first version changes nobody's terms."""
    if law.notices and product.version > 1:
        first = product.approved_on + timedelta(days=law.notices.change_of_terms_days)
        if product.effective_on < first:
            rule = "notices.change_of_terms_days"
            yield AgainstLaw(rule, f"{first} or later", product.effective_on, "effective_on")
    if law.price_approval is None:
        return
    if not product.approval_document:
        yield AgainstLaw("price_approval", "a document of the regulator", "none", "approval_document")
    if law.price_approval.valid_days is not None:
        last = product.approved_on + timedelta(days=law.price_approval.valid_days)
        if on > last:
            yield AgainstLaw("price_approval.valid_days", f"lending until {last}", on, "approved_on")


def _above(law: Country, rule: str, asked: Fraction | Decimal | int | None, path: str = "") -> Iterator[AgainstLaw]:
    """Yield the breach where something is asked that is above a figure of the law."""
    allowed = figure(law, rule)
    if asked is not None and allowed is not None and asked > Fraction(allowed):
        yield AgainstLaw(rule, allowed, _shown(asked), path)


def _refuse_first(found: Iterator[AgainstLaw]) -> None:
    for breach in found:
        raise breach


def _shown(asked: Fraction | Decimal | int) -> object:
    """Return a rate for a message; what is compared is the exact one."""
    if not isinstance(asked, Fraction):
        return asked
    return (Decimal(asked.numerator) / asked.denominator).quantize(Decimal("0.000001")).normalize()
