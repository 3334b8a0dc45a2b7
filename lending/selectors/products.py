"""Which product and which law are in force on a day."""

from datetime import date
from decimal import Decimal

from django.db.models import Exists

from lending.models import CountryPack, ProductVersion
from lending.rules import caps, pricing
from lending.rules.country import Country, country_from
from lending.rules.pricing import KeyFacts
from lending.rules.terms import Terms, read_terms


class NothingInForce(LookupError):
    """No product version or country pack is effective on the day: the fixtures were not loaded."""


def country_pack(country: str, on: date) -> CountryPack:
    """Return the country pack in force.

    Raises:
        NothingInForce: none is.
    """
    in_time = CountryPack.objects.filter(country=country, effective_on__lte=on)
    pack = in_time.order_by("-effective_on", "-version").first()
    if pack is None:
        raise NothingInForce(f"no country pack for {country} on {on}; run manage.py load_fixtures")
    return pack


def country_rules(country: str, on: date) -> Country:
    """Return the law in force, read with types."""
    return country_from(country_pack(country, on).rules)


def product_in_force(country: str, on: date, **also: Exists) -> ProductVersion:
    """Return the newest product version effective on the day; `also` is read with it, in the same query.

    Raises:
        NothingInForce: none is.
    """
    in_time = ProductVersion.objects.filter(country=country, effective_on__lte=on).annotate(**also)
    version = in_time.order_by("-version").first()
    if version is None:
        raise NothingInForce(f"no product for {country} on {on}; run manage.py load_fixtures")
    return version


def terms_of(version: ProductVersion) -> Terms:
    """Return what is agreed under a version, read with types."""
    return read_terms(version.terms, "terms")


def currencies() -> set[str]:
    """Return the currencies in which there are or were products."""
    return set(ProductVersion.objects.values_list("currency", flat=True))


def price_of(priced: KeyFacts, on: date) -> caps.Price:
    """Return key facts of a loan paid out on a day as the law looks at them."""
    one_sum = len(priced.rows) == 1 and not priced.extra
    cost_cents = priced.principal_cents - priced.received_cents + priced.total_cents - priced.principal_cents
    return caps.Price(
        priced.principal_cents, cost_cents, (priced.due_on - on).days, apr=None if one_sum else priced.apr
    )


def before_the_law(version: ProductVersion) -> caps.Product:
    """Return what the law looks at in a product version: priced at its largest amount, and at its smallest,
    which rounding makes dearest."""
    terms, on = terms_of(version), version.effective_on
    examples = {"terms.max_cents": terms.max_cents, "terms.min_cents": terms.min_cents}
    late = {penalty.of for penalty in terms.penalties}
    return caps.Product(
        country=version.country,
        currency=version.currency,
        version=version.version,
        approved_on=version.approved_on,
        effective_on=version.effective_on,
        approval_document=version.approval_document,
        max_cents=terms.max_cents,
        prices=tuple((path, price_of(pricing.key_facts(terms, cents, on), on)) for path, cents in examples.items()),
        penalty_base=next(iter(sorted(late)), None),
        late_charges_rate=sum((p.cap_rate for p in terms.penalties if p.cap_rate), Decimal(0)) or None,
    )
