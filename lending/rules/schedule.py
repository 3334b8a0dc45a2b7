"""The plan of a loan: what falls due when. One calculator for quote, key facts, contract and replay.

Interest is worked out exactly and rounded once for each installment. Rounding never changes the number of
installments, and the principal of a plan adds up to what was lent.

Source: docs/domain/pricing.md, "Schedules".
"""

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, replace
from datetime import date
from fractions import Fraction
from math import lcm

from lending.rules import calendar, money
from lending.rules.daycount import year_fraction
from lending.rules.terms import Interest, Rounding, Term, Terms


@dataclass(frozen=True, slots=True)
class Period:
    """Interest runs from `starts_on` to `ends_on`; what it costs is due on `due_on`, moved off closed days."""

    starts_on: date
    ends_on: date
    due_on: date


@dataclass(frozen=True, slots=True)
class Row:
    """One installment of a plan. `base_cents` is the principal on which its interest is worked out."""

    period: Period
    principal: int
    interest: int
    base_cents: int
    fee: int = 0
    tax: int = 0

    @property
    def total(self) -> int:
        return self.principal + self.interest + self.fee + self.tax


def periods(
    terms: Terms,
    starts_on: date,
    holidays: Container[date] = (),
    count: int | None = None,
    first_due_on: date | None = None,
) -> list[Period]:
    """Return the periods of a plan that starts on a day; `first_due_on` puts the first due date elsewhere and
    counts the others from there."""
    number = terms.term.installments if count is None else count
    ends = _ends(terms.term, starts_on, number, first_due_on)
    rule, weekend = terms.due_dates.rule, terms.due_dates.weekend_days
    found, start = [], starts_on
    for end in ends:
        due = calendar.move(end, rule, weekend, holidays)
        # A day before the money went out is no due date: the next open day is.
        due = due if due > starts_on else calendar.move(end, "next", weekend, holidays)
        found.append(Period(start, end, due))
        start = end
    return found


def _ends(term: Term, starts_on: date, count: int, first: date | None) -> list[date]:
    if first is None:
        return [calendar.add(starts_on, term.every * n, term.unit) for n in range(1, count + 1)]
    return [first] + [calendar.add(first, term.every * n, term.unit) for n in range(1, count)]


def interest_fraction(interest: Interest, period: Period, until: date | None = None) -> Fraction:
    """Return what one cent of principal costs from the start of a period to its end, or to a day within."""
    end = period.ends_on if until is None else until
    rate = Fraction(interest.rate)
    if interest.per == "year":
        return rate * year_fraction(period.starts_on, end, interest.day_count)
    if interest.per == "day":
        return rate * (end - period.starts_on).days
    return rate * Fraction((end - period.starts_on).days, max(1, (period.ends_on - period.starts_on).days))


def plan(terms: Terms, principal_cents: int, starts_on: date, holidays: Container[date] = ()) -> list[Row]:
    """Return the installments of principal and interest of what is lent on a day."""
    times = periods(terms, starts_on, holidays)
    if terms.interest.per == "term":
        return _flat(terms, principal_cents, times, Fraction(principal_cents) * Fraction(terms.interest.rate))
    return amortise(terms, principal_cents, times, free=terms.grace.interest_free, grace=True)


def amortise(
    terms: Terms,
    principal_cents: int,
    times: Sequence[Period],
    carried: Fraction = Fraction(0),
    *,
    free: int = 0,
    grace: bool = False,
) -> list[Row]:
    """Spread principal over periods in the way of the product.

    `carried` is interest, in exact cents, that was earned before the first period and is asked for with its
    first installment: rounded once together with the rest.
    """
    rates = [
        Fraction(0) if n < free else interest_fraction(terms.interest, period) for n, period in enumerate(times)
    ]
    if terms.plan_kind in ("bullet", "flat", "sales_share"):
        return _flat(terms, principal_cents, times, principal_cents * sum(rates, Fraction(0)) + carried, grace)
    waits = (terms.grace.principal, terms.grace.interest) if grace else (0, 0)
    principal_of = _PRINCIPAL[terms.plan_kind](terms.rounding, terms.unit_cents, principal_cents, rates, waits)
    return _walk(terms, principal_cents, times, rates, carried, waits[1], principal_of)


def _flat(
    terms: Terms, principal_cents: int, times: Sequence[Period], interest: Fraction, grace: bool = True
) -> list[Row]:
    """Interest on the whole principal for the whole time, rounded once and split over the installments."""
    waits = (terms.grace.principal, terms.grace.interest) if grace else (0, 0)
    rounded = money.round_to(interest, terms.unit_cents, terms.rounding.mode)
    principals = _after(waits[0], principal_cents, len(times), terms)
    interests = _after(waits[1], rounded, len(times), terms)
    return [
        Row(period, principal, part, principal_cents)
        for period, principal, part in zip(times, principals, interests, strict=True)
    ]


def _after(wait: int, cents: int, count: int, terms: Terms) -> list[int]:
    return [0] * wait + parts(cents, count - wait, terms.rounding, terms.unit_cents)


def parts(cents: int, count: int, rounding: Rounding, unit_cents: int) -> list[int]:
    """Split an amount over installments; the remainder is spread or on the last one."""
    if rounding.remainder == "spread":
        return money.spread(cents, count, unit_cents, rounding.mode)
    each = money.round_to(Fraction(cents, count), unit_cents, rounding.mode)
    if each * (count - 1) >= cents:  # rounded up so far that the last ones would be empty
        return money.split(cents, count, unit_cents)
    return [each] * (count - 1) + [cents - each * (count - 1)]


PrincipalOf = Callable[[int, int, int, Fraction], int]


def _walk(
    terms: Terms,
    principal_cents: int,
    times: Sequence[Period],
    rates: Sequence[Fraction],
    carried: Fraction,
    interest_wait: int,
    principal_of: PrincipalOf,
) -> list[Row]:
    """Work interest out on what is left of the principal, period by period."""
    rows, balance, exact, last = [], principal_cents, carried, len(times) - 1
    for n, (period, rate) in enumerate(zip(times, rates, strict=True)):
        waiting, exact, interest = exact, exact + balance * rate, 0
        if n >= interest_wait:
            interest, exact = money.round_to(exact, terms.unit_cents, terms.rounding.mode), Fraction(0)
        principal = balance if n == last else principal_of(n, balance, interest, waiting)
        rows.append(Row(period, principal, interest, balance))
        balance -= principal
    return rows


def _equal_principal(
    rounding: Rounding, unit: int, principal: int, rates: Sequence[Fraction], waits: tuple[int, int]
) -> PrincipalOf:
    shares = [0] * waits[0] + parts(principal, len(rates) - waits[0], rounding, unit)
    return lambda n, balance, interest, waiting: shares[n]


def _interest_only(
    rounding: Rounding, unit: int, principal: int, rates: Sequence[Fraction], waits: tuple[int, int]
) -> PrincipalOf:
    return lambda n, balance, interest, waiting: 0


def _level(
    rounding: Rounding, unit: int, principal: int, rates: Sequence[Fraction], waits: tuple[int, int]
) -> PrincipalOf:
    """Return the principal that makes installments equal, from rate factors, so that unequal periods work.

    The installment is the balance grown to the end over the sum of all growth factors; with a spread remainder
    it is worked out again from each rounded balance.

    Source: docs/domain/pricing.md, "Level installments"; in another notation, Fineract's rate factors.
    """
    factors = growth(rates)
    fixed: list[int] = []

    def principal_of(n: int, balance: int, interest: int, waiting: Fraction) -> int:
        if n < waits[0]:
            return 0
        if not fixed or rounding.remainder == "spread":
            fixed[:] = [_installment(factors, n, balance, waiting, unit, rounding)]
        left = len(rates) - n - 1
        # Each later installment keeps at least a unit of principal, as far as there is enough to go round.
        most = max(0, balance - left * unit) if balance > left * unit else balance // (left + 1) // unit * unit
        return max(0, min(most, fixed[0] - interest))

    return principal_of


@dataclass(frozen=True, slots=True)
class Growth:
    """What a cent at the start of each period is at the end of the plan, and a cent at the end of each period
    from here on together, as whole numbers over powers of one denominator."""

    denominator: int
    one: list[int]
    each: list[int]


def growth(rates: Sequence[Fraction]) -> Growth:
    """Return the growth factors of a plan; whole numbers, because fractions of hundreds of periods are slow."""
    denominator = lcm(1, *(rate.denominator for rate in rates))
    one, each = [1], [0]
    for rate in reversed(rates):
        each.append(each[-1] * denominator + one[-1] if len(each) > 1 else 1)
        one.append(one[-1] * int(denominator * (1 + rate)))
    return Growth(denominator, one[::-1], each[::-1])


def _installment(factors: Growth, n: int, balance: int, waiting: Fraction, unit: int, rounding: Rounding) -> int:
    """Return the level installment from period `n` on: interest that waits is asked for with the first."""
    top = balance * factors.one[n] + waiting * factors.denominator * factors.one[n + 1]
    exact = Fraction(top) / (factors.denominator * factors.each[n])
    return money.round_to(exact, unit, rounding.mode)


_PRINCIPAL: dict[str, Callable[..., PrincipalOf]] = {
    "level": _level,
    "equal_principal": _equal_principal,
    "interest_only": _interest_only,
}


def with_fees(rows: Sequence[Row], fees: Sequence[int], taxes: Sequence[int]) -> list[Row]:
    """Add a fee and the tax on it to each row."""
    return [
        replace(row, fee=row.fee + fee, tax=row.tax + tax) for row, fee, tax in zip(rows, fees, taxes, strict=True)
    ]


def within_interest(rows: Sequence[Row], most: int | None) -> list[Row]:
    """Return a plan that asks for so much interest at most, None for no bound; what is above it comes off the end.

    Source: docs/domain/pricing.md, "Another day than that of the quote".
    """
    excess = 0 if most is None else max(0, sum(row.interest for row in rows) - most)
    kept: list[Row] = []
    for row in reversed(rows):
        less = min(excess, row.interest)
        excess -= less
        kept.append(replace(row, interest=row.interest - less))
    return kept[::-1]
