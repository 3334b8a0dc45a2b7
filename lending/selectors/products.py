"""Which product and which law are in force on a day."""

from datetime import date

from django.db.models import Exists

from lending.models import CountryPack, ProductVersion
from lending.rules import caps, pricing
from lending.rules.country import Country, country_from
from lending.rules.pricing import Quote, Terms


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
    """Return the priced part of a version for the calculator."""
    return Terms(
        currency=version.currency,
        term_days=version.term_days,
        fee_rate=version.fee_rate,
        fee_tax_rate=version.fee_tax_rate,
        min_cents=version.min_cents,
        max_cents=version.max_cents,
    )


def price_of(quote: Quote) -> caps.Price:
    """Return a quote as the law looks at it: repaid in one sum, so its yearly rate follows from the rest."""
    return caps.Price(quote.principal_cents, quote.fee_cents + quote.tax_cents, quote.term_days)


def before_the_law(version: ProductVersion) -> caps.Product:
    """Return what the law looks at in a product version: priced at its largest amount, and at its smallest,
    which rounding makes dearest."""
    terms = terms_of(version)
    examples = {"fee_rate": version.max_cents, "min_cents": version.min_cents}
    return caps.Product(
        country=version.country,
        currency=version.currency,
        version=version.version,
        approved_on=version.approved_on,
        effective_on=version.effective_on,
        approval_document=version.approval_document,
        max_cents=version.max_cents,
        prices=tuple((path, price_of(pricing.quote(terms, cents))) for path, cents in examples.items()),
    )
