"""The one calculator: quote, key facts, charge and schedule all come from here.

Source: docs/domain/pricing.md.
"""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import ROUND_FLOOR, Decimal, localcontext
from functools import lru_cache
from itertools import accumulate

from lending.rules import charges, schedule, terms
from lending.rules.charges import PriceCapExceeded

__all__ = [
    "Cost",
    "Curve",
    "KeyFacts",
    "LoanRefused",
    "PriceCapExceeded",
    "charged_for",
    "daily_discount",
    "effective_apr",
    "fee_curve",
    "key_facts",
    "nominal_apr",
]

BASIS_POINT = Decimal("0.0001")


def nominal_apr(cost_cents: int, received_cents: int, days: int) -> Decimal:
    """Return the yearly rate, act/365, without compounding: cost / received x 365 / days.

    Source: docs/domain/pricing.md, "APR"; 75 on 1,000 for 30 days is 91.25 %.

    >>> nominal_apr(7_500, 100_000, 30)
    Decimal('0.9125')
    """
    with localcontext() as context:
        context.prec = 50
        return _basis_points(Decimal(cost_cents) * 365 / (Decimal(received_cents) * days))


def effective_apr(cost_cents: int, received_cents: int, days: int) -> Decimal:
    """Return the yearly rate with compounding: (1 + cost / received) ^ (365 / days) - 1.

    >>> effective_apr(7_500, 100_000, 30)
    Decimal('1.4107')
    """
    with localcontext() as context:
        context.prec = 50
        growth = (1 + Decimal(cost_cents) / received_cents) ** (Decimal(365) / days)
        return _basis_points(growth - 1)


def _basis_points(rate: Decimal) -> Decimal:
    """Round to basis points; a rate beyond all bounds keeps as many digits as there are."""
    with localcontext() as context:
        context.prec = max(50, rate.adjusted() + 10)
        return rate.quantize(BASIS_POINT)


class LoanRefused(ValueError):
    """This amount cannot be lent on these terms."""

    def __init__(self, field: str, needed: str, got: object) -> None:
        super().__init__(f"{field} {needed}, got {got}")
        self.field, self.needed, self.got = field, needed, got


@dataclass(frozen=True)
class KeyFacts:
    """What is shown before anything is accepted, and what is charged by who pays on time."""

    currency: str
    principal_cents: int
    received_cents: int
    interest_cents: int
    fee_cents: int
    tax_cents: int
    rows: tuple[schedule.Row, ...]
    extra: tuple[tuple[date, int], ...]  # charges with a due date of their own
    apr: Decimal
    effective_rate: Decimal

    @property
    def due_on(self) -> date:
        """Return the day on which the last installment falls due."""
        return self.rows[-1].period.due_on

    @property
    def deducted_cents(self) -> int:
        """Return what of fees and taxes is kept back from the payout."""
        return self.principal_cents - self.received_cents

    @property
    def capitalised_cents(self) -> int:
        """Return what of fees and taxes is lent on top."""
        return sum(row.principal for row in self.rows) - self.principal_cents

    @property
    def cost_cents(self) -> int:
        return self.interest_cents + self.fee_cents + self.tax_cents

    @property
    def total_cents(self) -> int:
        """Return what is paid back in all; deducted fees were paid by receiving less."""
        return sum(row.total for row in self.rows) + sum(cents for _, cents in self.extra)

    def enforce_caps(self, caps: Mapping[str, object]) -> None:
        """Refuse a price above the caps of the country pack.

        Raises:
            PriceCapExceeded: with the rule, what it allows and what was asked.
        """
        cost = Decimal(self.cost_cents) / self.principal_cents
        asked = {"max_apr": self.apr, "max_effective_rate": self.effective_rate, "max_total_cost_rate": cost}
        charges.refuse_above(caps, asked)


def key_facts(product: terms.Terms, principal_cents: int, on: date, holidays: Container[date] = ()) -> KeyFacts:
    """Return what a loan paid out on a day costs.

    Raises:
        LoanRefused: the amount is outside the product's bounds, or less than what is deducted from it.
    """
    cost = charged_for(product, principal_cents, on, holidays)
    apr, effective = yearly_rates(cost.received_cents, on, cost.rows, cost.extra)
    return KeyFacts(
        product.currency,
        principal_cents,
        cost.received_cents,
        cost.interest_cents,
        cost.fee_cents,
        cost.tax_cents,
        cost.rows,
        cost.extra,
        apr,
        effective,
    )


@dataclass(frozen=True)
class Cost:
    """What is charged, without the yearly rates, which take longer to work out than all the rest."""

    received_cents: int
    interest_cents: int
    fee_cents: int
    tax_cents: int
    rows: tuple[schedule.Row, ...]
    extra: tuple[tuple[date, int], ...]


def charged_for(product: terms.Terms, principal_cents: int, on: date, holidays: Container[date] = ()) -> Cost:
    """Return what is charged for a loan paid out on a day.

    Raises:
        LoanRefused: as `key_facts` does.
    """
    if not product.min_cents <= principal_cents <= product.max_cents:
        bounds = f"must be from {product.min_cents} to {product.max_cents}"
        raise LoanRefused("principal_cents", bounds, principal_cents)
    charged = charges.fees_of(product, principal_cents)
    received = principal_cents - charges.total_charged(charged, "deducted")
    if received <= 0:
        raise LoanRefused("principal_cents", "must be above what is deducted from it", principal_cents)
    lent = principal_cents + charges.total_charged(charged, "capitalised")
    rows = charges.add_fees(product, schedule.plan(product, lent, on, holidays), charged)
    extra = [
        (on + timedelta(days=one.fee.on_day or 0), one.total) for one in charged if one.fee.charged == "on_day"
    ]
    return Cost(
        received,
        sum(row.interest for row in rows),
        sum(one.cents for one in charged),
        sum(one.tax_cents for one in charged),
        tuple(rows),
        tuple(extra),
    )


def yearly_rates(
    received_cents: int, on: date, rows: Sequence[schedule.Row], extra: Sequence[tuple[date, int]] = ()
) -> tuple[Decimal, Decimal]:
    """Return the nominal and the effective yearly rate of exact cash flows, act/365.

    The effective rate is the internal rate of return by days. The nominal one is the rate per installment, the
    mean time between two due dates, times as many as a year has: for one installment, cost / received x 365 / days.

    Source: docs/domain/pricing.md, "APR".
    """
    flows = [((row.period.due_on - on).days, row.total) for row in rows]
    flows += [((day - on).days, cents) for day, cents in extra]
    flows = sorted((day, cents) for day, cents in flows if cents)
    if len(flows) == 1:
        day, cents = flows[0]
        cost, days = cents - received_cents, max(1, day)
        return nominal_apr(cost, received_cents, days), effective_apr(cost, received_cents, days)
    with localcontext() as context:
        context.prec = 50
        growth = 1 / daily_discount(received_cents, flows)
        between = Decimal(max(1, flows[-1][0])) / len(rows)
        nominal = (growth**between - 1) * 365 / between
        effective = growth**365 - 1
    return _basis_points(nominal), _basis_points(effective)


def daily_discount(received_cents: int, flows: Sequence[tuple[int, int]]) -> Decimal:
    """Return the factor v of one day for which the flows, each (day, cents), are worth what was received.

    Bisection on decimals of 50 digits: the same on every machine. Flows that do not add up to more than was
    received cost nothing: v is 1.
    """
    if sum(cents for _, cents in flows) <= received_cents:
        return Decimal(1)
    low, high = Decimal(0), Decimal(1)
    with localcontext() as context:
        context.prec = 50
        for _ in range(110):
            middle = (low + high) / 2
            if _worth(flows, middle) < received_cents:
                low = middle
            else:
                high = middle
    return high


def _worth(flows: Sequence[tuple[int, int]], discount: Decimal) -> Decimal:
    worth, before, factor = Decimal(0), 0, Decimal(1)
    for day, cents in flows:
        factor *= discount ** (day - before)
        worth, before = worth + cents * factor, day
    return worth


# --- the fee of a cash advance ------------------------------------------------------------------------------
@dataclass(frozen=True)
class Curve:
    """What a day is expected to have paid and earned in all, day by day, in whole cents."""

    paid: tuple[int, ...]
    fee: tuple[int, ...]

    def earned(self, day: int, paid_cents: int) -> int:
        """Return the fee earned by the end of a day: by time, or by money that came faster than expected."""
        by_time = min(max(0, day), len(self.fee) - 1)
        by_money = next((n for n in range(len(self.paid) - 1, 0, -1) if self.paid[n] <= paid_cents), 0)
        return self.fee[max(by_time, by_money)]


@lru_cache(maxsize=256)
def fee_curve(principal_cents: int, fee_cents: int, daily_cents: int, days: int) -> Curve:
    """Return how the fee of a cash advance is earned by the effective interest rate over the expected payments.

    Each day earns the daily rate on what is still out; whole cents by floor, all of the fee on the last day.
    Without an expected daily payment, equal payments over the term are expected.

    Source: docs/domain/pricing.md, "Cash advance"; IFRS 9, effective interest method.
    """
    total = principal_cents + fee_cents
    daily = daily_cents if daily_cents * days >= total else -(-total // days)
    payments = [min(daily, max(0, total - daily * n)) for n in range(days)]
    flows = [(n, cents) for n, cents in enumerate(payments, 1) if cents]
    earned, out, sofar = [0], Decimal(principal_cents), Decimal(0)
    with localcontext() as context:
        context.prec = 50
        rate = 1 / daily_discount(principal_cents, flows) - 1
        for _, cents in flows:
            gain = out * rate
            sofar, out = sofar + gain, out + gain - cents
            # A rate beyond all reason is not exact in any number of digits; what is earned never falls.
            earned.append(min(fee_cents, max(earned[-1], int(sofar.to_integral_value(ROUND_FLOOR)))))
    earned[-1] = fee_cents
    return Curve((0, *accumulate(cents for _, cents in flows)), tuple(earned))
