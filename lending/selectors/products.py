"""Which product and which law are in force on a day."""

from datetime import date

from lending.models import CountryPack, ProductVersion
from lending.rules.country import Country, country_from
from lending.rules.pricing import Terms


class NothingInForce(LookupError):
    """No product version or country pack is effective on the day: the fixtures were not loaded."""


def country_pack(country: str, on: date) -> CountryPack:
    """Return the country pack in force.

    Raises:
        NothingInForce: none is.
    """
    pack = CountryPack.objects.filter(country=country, effective_on__lte=on).order_by("-version").first()
    if pack is None:
        raise NothingInForce(f"no country pack for {country} on {on}; run manage.py load_fixtures")
    return pack


def country_rules(country: str, on: date) -> Country:
    """Return the law in force, read with types."""
    return country_from(country_pack(country, on).rules)


def product_in_force(country: str, on: date) -> ProductVersion:
    """Return the newest product version effective on the day.

    Raises:
        NothingInForce: none is.
    """
    version = ProductVersion.objects.filter(country=country, effective_on__lte=on).order_by("-version").first()
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


def currencies() -> set[str]:
    """Return the currencies in which there are or were products."""
    return set(ProductVersion.objects.values_list("currency", flat=True))
