"""What the rules need of a loan: its contract and its facts."""

from collections.abc import Iterable, Mapping
from dataclasses import fields
from datetime import date, datetime
from decimal import Decimal
from typing import Any, cast

from django.db.models import QuerySet

from lending.models import Loan, LoanEvent
from lending.rules import life
from lending.rules.allocation import Due
from lending.rules.calendar import Holidays
from lending.rules.caps import LATE_CHARGES
from lending.rules.country import PublicHolidays
from lending.rules.facts import Caps, Contract, Fact, FactKind
from lending.rules.reading import read
from lending.selectors import products

_DATES = {"due_on"}
_RATES = {"rate"}
_FIELDS = {field.name for field in fields(Fact)} - {"key", "kind", "on", "order"}
LAST = 2**62


def with_contract() -> "QuerySet[Loan]":
    """Return loans with everything that playing them reads."""
    return Loan.objects.select_related("borrower", "product_version", "country_pack")


def contract_of(loan: Loan) -> Contract:
    """Return what was agreed: terms and law as they were when the loan was made."""
    return Contract(
        terms=products.terms_of(loan.product_version),
        principal_cents=loan.principal_cents if loan.credit_limit_cents is None else loan.credit_limit_cents,
        caps=caps_of(loan.country_pack.rules),
        holidays=holidays_of(loan.country_pack.rules),
    )


def payoff(loan: Loan, on: date) -> Due:
    """Return what settles a loan, read by `with_contract`, on a day, after the rebates of its product."""
    events = loan.events.select_related("reverses").order_by("business_date", "happened_at", "id")
    return life.payoff(contract_of(loan), facts_of(events), on)


def caps_of(rules: dict[str, Any]) -> Caps:
    """Return the caps of a country pack that bind where a charge is made."""
    in_duplum, prices = rules.get("in_duplum"), rules.get("price_caps", {})
    late = [rules.get(rule.split(".")[0], {}).get(rule.split(".")[1]) for rule in LATE_CHARGES]
    return Caps(
        in_duplum_from_days=in_duplum["applies_from_days_past_due"] if in_duplum else None,
        max_total_cost_rate=_rate(prices.get("max_total_cost_rate")),
        max_late_charges_rate=min((Decimal(rate) for rate in late if rate is not None), default=None),
        max_early_settlement_rate=_rate(prices.get("max_early_settlement_rate")),
    )


def holidays_of(rules: dict[str, Any]) -> Holidays:
    """Return the days of a country pack on which nothing falls due."""
    section = rules.get("holidays")
    return read(PublicHolidays, section).kept() if section else Holidays()


def _rate(written: str | None) -> Decimal | None:
    return None if written is None else Decimal(written)


def facts_of(events: Iterable[LoanEvent]) -> list[Fact]:
    """Return stored events as the rules read them."""
    return [_fact(event) for event in events]


def _fact(event: LoanEvent) -> Fact:
    of = event.reverses.key if event.reverses else ""
    order = order_of(event.happened_at)
    return fact_of(event.key, event.kind, event.business_date, event.details | {"of": of}, order)


def fact_of(key: str, kind: str, on: date, details: Mapping[str, Any], order: int = LAST) -> Fact:
    """Return a fact from what JSON can hold; without an order it is the last one of its day."""
    known = {name: _read(name, value) for name, value in details.items() if name in _FIELDS}
    return Fact(key, cast(FactKind, kind), on, order=order, **known)


def _read(name: str, value: Any) -> Any:
    if name in _DATES:
        return date.fromisoformat(value)
    return Decimal(value) if name in _RATES else value


def order_of(at: datetime) -> int:
    """Return what orders facts of one day: microseconds of the operator's clock."""
    return int(at.timestamp() * 1_000_000)
