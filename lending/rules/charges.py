"""Fees, the tax on them, penalties, and the caps that bind where a charge is made.

Source: docs/domain/pricing.md, "Fees"; docs/domain/arrears.md, "Penalties" and "Caps".
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction

from lending.rules import money
from lending.rules.schedule import Row, parts, with_fees
from lending.rules.terms import Extension, Fee, Penalty, Terms


@dataclass(frozen=True, slots=True)
class Charged:
    """A fee of a loan in cents, with the tax on it."""

    fee: Fee
    cents: int
    tax_cents: int

    @property
    def total(self) -> int:
        return self.cents + self.tax_cents


def price(terms: Terms, priced: Fee | Penalty | Extension, base_cents: int) -> int:
    """Return a rate of a base, rounded once to payable units, or the fixed amount."""
    if priced.rate is None:
        return priced.amount_cents or 0
    exact = Fraction(base_cents) * Fraction(priced.rate)
    return money.round_to(exact, terms.unit_cents, terms.rounding.mode)


def tax_on(terms: Terms, cents: int, taxed: bool = True) -> int:
    """Return the tax on a fee, taken from the rounded fee and rounded once."""
    if not taxed or not terms.tax.rate:
        return 0
    return money.round_to(Fraction(cents) * Fraction(terms.tax.rate), terms.unit_cents, terms.rounding.mode)


def fees_of(terms: Terms, principal_cents: int) -> list[Charged]:
    """Return every fee of a loan; one on each installment is priced once and charged as often as there are."""
    return [_charged(terms, fee, principal_cents) for fee in terms.fees]


def _charged(terms: Terms, fee: Fee, principal_cents: int) -> Charged:
    cents = max(price(terms, fee, principal_cents), fee.min_cents)
    cents = cents if fee.max_cents is None else min(cents, fee.max_cents)
    tax = tax_on(terms, cents, fee.taxed)
    times = terms.term.installments if fee.charged == "each_installment" else 1
    return Charged(fee, cents * times, tax * times)


def total_charged(charged: Sequence[Charged], *ways: str) -> int:
    """Return fees and taxes that are charged in one of these ways."""
    return sum(one.total for one in charged if one.fee.charged in ways)


def add_fees(terms: Terms, rows: Sequence[Row], charged: Sequence[Charged]) -> list[Row]:
    """Put the fees that are repaid with the loan on its installments."""
    found = list(rows)
    for one in charged:
        if one.fee.charged in ("with_loan", "each_installment"):
            fees = _placed(terms, one, one.cents, len(rows))
            taxes = _placed(terms, one, one.tax_cents, len(rows))
            found = with_fees(found, fees, taxes)
    return found


def _placed(terms: Terms, one: Charged, cents: int, count: int) -> list[int]:
    if one.fee.charged == "each_installment":
        return [cents // count] * count
    if one.fee.due == "spread":
        return parts(cents, count, terms.rounding, terms.unit_cents)
    rest = [0] * (count - 1)
    return [cents, *rest] if one.fee.due == "first" else [*rest, cents]


# --- penalties ----------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Overdue:
    """An installment of the plan that is late, as a penalty meets it."""

    number: int
    due_on: date
    principal_cents: int
    total_cents: int  # without penalties


@dataclass(frozen=True, slots=True)
class Falling:
    """A penalty before caps."""

    on: date
    number: int
    penalty: Penalty
    cents: int


def penalties_between(
    terms: Terms, overdue: Sequence[Overdue], balance_cents: int, after: date, until: date
) -> list[Falling]:
    """Return the penalties that fall at the ends of the days after one and up to another, in order.

    Nothing is paid in between, so their bases stay the same.
    """
    bases = {"balance": balance_cents}
    found = []
    for row in overdue:
        bases |= {"overdue_principal": row.principal_cents, "overdue_installment": row.total_cents}
        for penalty in terms.penalties:
            cents = price(terms, penalty, bases[penalty.of]) if bases[penalty.of] else 0
            if cents:
                found += [
                    Falling(day, row.number, penalty, cents)
                    for day in penalty_days(penalty, row.due_on, after, until)
                ]
    return sorted(found, key=lambda one: (one.on, one.number))


def penalty_days(penalty: Penalty, due_on: date, after: date, until: date) -> Iterator[date]:
    """Yield the days on which an installment that stays unpaid is charged: grace + 1 days after its due date,
    and then every so many days.

    >>> every_week = Penalty(name="late", amount_cents=100, grace_days=2, every_days=7, most_times=2)
    >>> [day.day for day in penalty_days(every_week, date(2026, 3, 1), date(2026, 3, 1), date(2026, 3, 31))]
    [4, 11]
    """
    first = due_on + timedelta(days=penalty.grace_days + 1)
    step = penalty.every_days
    times = penalty.most_times if step else min(1, 1 if penalty.most_times is None else penalty.most_times)
    n = max(0, -(-((after - first).days + 1) // step)) if step else 0
    while times is None or n < times:
        day = first + timedelta(days=n * step)
        if day > until:
            return
        if day > after:
            yield day
        n += 1


def within_cap(penalty: Penalty, cents: int, charged_cents: int, lent_cents: int) -> int:
    """Return what the product's own caps leave of a penalty."""
    room = cents
    if penalty.cap_cents is not None:
        room = min(room, penalty.cap_cents - charged_cents)
    if penalty.cap_rate is not None:
        room = min(room, money.floor(Fraction(lent_cents) * Fraction(penalty.cap_rate)) - charged_cents)
    return max(0, room)


def within_room(cents: int, tax_cents: int, room_cents: int | None) -> tuple[int, int]:
    """Return what a cap of the law leaves of a charge and the tax on it; the tax shrinks with the charge.

    >>> within_room(1_000, 200, 600), within_room(1_000, 200, None), within_room(1_000, 200, 0)
    ((500, 100), (1000, 200), (0, 0))
    """
    kept = cents + tax_cents if room_cents is None else max(0, room_cents)
    if cents + tax_cents <= kept:
        return cents, tax_cents
    tax = kept * tax_cents // (cents + tax_cents)
    return kept - tax, tax


# --- what the price of a loan is held to --------------------------------------------------------------------
class PriceCapExceeded(Exception):
    """A charge would be dearer than the country's law allows; nothing may be lent at this price."""

    def __init__(self, rule: str, allowed: Decimal, asked: Decimal) -> None:
        super().__init__(f"{rule} allows {allowed}, this loan asks {asked}")
        self.rule, self.allowed, self.asked = rule, allowed, asked


def refuse_above(caps: Mapping[str, object], asked: Mapping[str, Decimal]) -> None:
    """Refuse the first price above its cap; an absent cap does not bind, one that is met exactly allows.

    Raises:
        PriceCapExceeded: with the rule, what it allows and what was asked.
    """
    for rule, rate in asked.items():
        if rule in caps and rate > Decimal(str(caps[rule])):
            raise PriceCapExceeded(rule, Decimal(str(caps[rule])), rate)
