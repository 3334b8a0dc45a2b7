"""The one calculator: quote, key facts, charge and schedule all come from here.

Source: docs/domain/pricing.md.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal, localcontext

from lending.rules import money


@dataclass(frozen=True)
class Terms:
    """The priced part of a product version. Rates are shares: 0.075 is 7.5 %."""

    currency: str
    term_days: int
    fee_rate: Decimal
    fee_tax_rate: Decimal
    min_cents: int
    max_cents: int


@dataclass(frozen=True)
class Quote:
    """What a loan costs. The customer gets `principal_cents` whole; fee and tax are paid back with it."""

    currency: str
    principal_cents: int
    fee_cents: int
    tax_cents: int
    term_days: int
    apr: Decimal

    @property
    def total_cents(self) -> int:
        return self.principal_cents + self.fee_cents + self.tax_cents

    def due_on(self, disbursed_on: date) -> date:
        """Return the day by which it is to be repaid, counted from the day the money arrived."""
        return disbursed_on + timedelta(days=self.term_days)


def nominal_apr(cost_cents: int, received_cents: int, days: int) -> Decimal:
    """Return the yearly rate, act/365, without compounding: cost / received x 365 / days.

    Source: docs/domain/pricing.md, "APR"; 75 on 1,000 for 30 days is 91.25 %.

    >>> nominal_apr(7_500, 100_000, 30)
    Decimal('0.9125')
    """
    return (Decimal(cost_cents) / received_cents * 365 / days).quantize(Decimal("0.0001"))


def effective_apr(cost_cents: int, received_cents: int, days: int) -> Decimal:
    """Return the yearly rate with compounding: (1 + cost / received) ^ (365 / days) - 1.

    >>> effective_apr(7_500, 100_000, 30)
    Decimal('1.4107')
    """
    with localcontext() as context:
        context.prec = 28
        growth = (1 + Decimal(cost_cents) / received_cents) ** (Decimal(365) / days)
        return (growth - 1).quantize(Decimal("0.0001"))


def quote(terms: Terms, principal_cents: int) -> Quote:
    """Price a loan: the fee and the tax on it, each rounded once, half up, to payable units."""
    unit = money.currency(terms.currency).payable_cents
    fee = money.share(principal_cents, terms.fee_rate, unit)
    tax = money.share(fee, terms.fee_tax_rate, unit)
    apr = nominal_apr(fee + tax, principal_cents, terms.term_days)
    return Quote(terms.currency, principal_cents, fee, tax, terms.term_days, apr)
