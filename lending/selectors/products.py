"""Which product and which law are in force on a day."""

from collections.abc import Callable, Hashable, Iterator, Sequence
from datetime import date
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from typing import Any, TypeVar

from django.conf import settings
from django.db.models import Exists, QuerySet

from lending.models import CountryPack, ProductVersion, SavingsProductVersion
from lending.prepared import Prepared
from lending.rules import calendar, caps, charges, pricing
from lending.rules.country import Country, country_from
from lending.rules.pricing import KeyFacts
from lending.rules.terms import Terms, read_terms

T = TypeVar("T")
KEPT_AT_MOST = 2_000


class NothingInForce(LookupError):
    """No product version or country pack is effective on the day: the fixtures were not loaded."""


def country_pack(country: str, on: date) -> CountryPack:
    """Return the country pack in force.

    Raises:
        NothingInForce: none is.
    """
    pack = _PACK.first(country=country, on=on)
    if pack is None:
        raise NothingInForce(f"no country pack for {country} on {on}; run manage.py load_fixtures")
    return pack


_PACK: Prepared[CountryPack] = Prepared(
    lambda country, on: CountryPack.objects.filter(country=country, effective_on__lte=on).order_by(
        "-effective_on", "-version"
    )[:1],
    country=str,
    on=date,
)


def country_rules(country: str, on: date) -> Country:
    """Return the law in force, read with types."""
    return country_from(country_pack(country, on).rules)


def product_in_force(country: str, on: date, code: str = "", **also: Exists) -> ProductVersion:
    """Return the newest version effective on the day of a product that the phone offers (settings.PRODUCTS), the
    usual one if none is named.

    Others are asked for by their version. `also` is read with it, in the same query.

    Raises:
        NothingInForce: none is.
    """
    code = code or settings.PRODUCTS[0]
    version = _in_force(country, on, [code]).annotate(**also).first()
    if version is None:
        raise NothingInForce(f"no {code} for {country} on {on}; run manage.py load_fixtures")
    return version


def products_in_force(country: str, on: date, **also: Exists) -> list[ProductVersion]:
    """Return the newest effective version of each product that the phone offers, in its order: of one at least.

    Raises:
        NothingInForce: none is.
    """
    found = list(_in_force(country, on, settings.PRODUCTS).annotate(**also).distinct("code"))
    if not found:
        raise NothingInForce(f"none of {settings.PRODUCTS} for {country} on {on}; run manage.py load_fixtures")
    return sorted(found, key=lambda version: settings.PRODUCTS.index(version.code))


def offered(known: Sequence[int], country: str, on: date) -> Sequence[ProductVersion]:
    """Return what `products_in_force` does without asking again, as long as `known` are the ids of all versions.

    None is ever changed. The newest id would not do: of two that are approved at once the lower may come last.

    Raises:
        NothingInForce: the usual product is not in force.
    """
    found = _offered(tuple(known), country, on, tuple(settings.PRODUCTS))
    if not found or found[0].code != settings.PRODUCTS[0]:
        raise NothingInForce(f"no {settings.PRODUCTS[0]} for {country} on {on}; run manage.py load_fixtures")
    return found


@lru_cache(maxsize=64)
def _offered(known: tuple[int, ...], country: str, on: date, codes: tuple[str, ...]) -> Sequence[ProductVersion]:
    found = _in_force(country, on, codes).distinct("code")
    return sorted(found, key=lambda version: codes.index(version.code))


def _in_force(country: str, on: date, codes: Sequence[str]) -> "QuerySet[ProductVersion]":
    versions = ProductVersion.objects.filter(country=country, code__in=codes, effective_on__lte=on)
    return versions.order_by("code", "-version")


def terms_of(version: ProductVersion) -> Terms:
    """Return what is agreed under a version, read with types."""
    return kept(version, "terms", lambda: read_terms(version.terms, "terms"))


def kept(version: ProductVersion, what: Hashable, work_out: Callable[[], T]) -> T:
    """Return what was worked out from the terms of a version, once as long as it holds the same JSON.

    It is kept with the object, of which a process has few (`offered`), and no more of it than `KEPT_AT_MOST`.
    """
    store: dict[Hashable, Any]
    terms, store = version.__dict__.get("_kept") or (None, {})
    if terms is not version.terms or len(store) >= KEPT_AT_MOST:
        store = {}
        version.__dict__["_kept"] = version.terms, store
    if what not in store:
        store[what] = work_out()
    found: T = store[what]
    return found


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


def before_the_law(version: ProductVersion, extended: bool = False) -> caps.Product:
    """Return what the law looks at in a product version: priced at its largest amount, and at its smallest,
    which rounding makes dearest. `extended`: also with as much more time as it may ever sell; a loan that was
    made under another law is kept to its caps when that is charged.

    Raises:
        LoanRefused: nothing is left of one of these amounts after what is deducted.
    """
    terms, on = terms_of(version), version.effective_on
    examples = {path: pricing.key_facts(terms, getattr(terms, path), on) for path in ("max_cents", "min_cents")}
    prices = tuple((f"terms.{path}", price_of(priced, on)) for path, priced in examples.items())
    return caps.Product(
        country=version.country,
        currency=version.currency,
        version=version.version,
        approved_on=version.approved_on,
        effective_on=version.effective_on,
        approval_document=version.approval_document,
        max_cents=terms.max_cents,
        prices=(*prices, *_extended(terms, examples, on)) if extended else prices,
        penalty_bases=tuple((f"terms.penalties[{n}].of", late.of) for n, late in enumerate(terms.penalties)),
        late_charges_rate=sum((p.cap_rate for p in terms.penalties if p.cap_rate), Decimal(0)) or None,
        early_settlement_rate=_early_rate(terms, examples["max_cents"]),
    )


def _extended(terms: Terms, examples: dict[str, KeyFacts], on: date) -> Iterator[tuple[str, caps.Price]]:
    """Yield the price of loans that are extended as often as they can be, all of their principal owed still."""
    extension = terms.extension
    if extension is None:
        return
    for priced in examples.values():
        fee_cents = charges.price(terms, extension, priced.principal_cents)
        cost_cents = price_of(priced, on).cost_cents
        cost_cents += extension.most_times * (fee_cents + charges.tax_on(terms, fee_cents))
        ends_on = calendar.add(priced.due_on, extension.every * extension.most_times, extension.unit)
        yield "terms.extension", caps.Price(priced.principal_cents, cost_cents, (ends_on - on).days)


def _early_rate(terms: Terms, priced: KeyFacts) -> Fraction | None:
    """Return what paying back on the first day costs of interest not earned, as a share; None where nothing."""
    if terms.early.interest != "all":
        return None
    return Fraction(priced.interest_cents, priced.principal_cents)


# --- one version beside another -------------------------------------------------------------------------------
def facts_side_by_side(version: ProductVersion, principal_cents: int, on: date) -> dict[str, Any]:
    """Return the key facts of an example loan paid out on a day, brought within the bounds of the version."""
    terms = terms_of(version)
    cents = min(max(principal_cents, terms.min_cents), terms.max_cents)
    priced = pricing.key_facts(terms, cents, on)
    return {
        "principal_cents": cents,
        "received_cents": priced.received_cents,
        "interest_cents": priced.interest_cents,
        "fee_cents": priced.fee_cents,
        "tax_cents": priced.tax_cents,
        "total_cents": priced.total_cents,
        "installments": len(priced.rows),
        "due_on": priced.due_on.isoformat(),
        "apr": str(priced.apr),
        "effective_rate": str(priced.effective_rate),
    }


AGREED = ("name", "approval_document", "ladder_cents", "loss_brake", "terms")


def differences(
    before: ProductVersion | SavingsProductVersion,
    after: ProductVersion | SavingsProductVersion,
    names: tuple[str, ...] = AGREED,
) -> list[list[Any]]:
    """Return each field whose value is another one in the later version: its path, and both values."""
    old, new = ({name: getattr(one, name) for name in names} for one in (before, after))
    was, will = dict(_leaves(old)), dict(_leaves(new))
    return [[path, was.get(path), will.get(path)] for path in (was | will) if was.get(path) != will.get(path)]


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each value in nested JSON with the path at which it stands; a list of plain values is one."""
    if isinstance(value, dict):
        for name, part in value.items():
            yield from _leaves(part, f"{path}.{name}" if path else name)
    elif isinstance(value, list) and any(isinstance(part, dict) for part in value):
        for place, part in enumerate(value):
            yield from _leaves(part, f"{path}[{place}]")
    else:
        yield path, value
