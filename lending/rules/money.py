"""Money: the only place that rounds, splits, parses and prints it. Amounts are integer cents."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction


@dataclass(frozen=True)
class Currency:
    """`payable_cents` is the smallest amount that changes hands in practice: a whole shilling is 100."""

    code: str
    payable_cents: int


CURRENCIES = {code: Currency(code, 100) for code in ("KES", "UGX", "TZS", "RWF")} | {
    code: Currency(code, 1) for code in ("GHS", "NGN", "ETB", "ZMW")
}


class InvalidAmount(ValueError):
    """What was typed is no amount. `typed` is shortened so that it can be shown back."""

    def __init__(self, typed: str) -> None:
        super().__init__(f"amount must be plain digits, got {typed[:20]!r}")
        self.typed = typed[:20]


def currency(code: str) -> Currency:
    """Return the currency; an unknown code is a bug of ours, not of the customer."""
    return CURRENCIES[code]


def round_to(cents: Decimal | Fraction | int, unit_cents: int = 1, mode: str = "half_up") -> int:
    """Round to a multiple of `unit_cents`: "half_up" (halves away from zero), "half_even" or "up" (away from zero).

    >>> [round_to(Decimal("7450"), 100, mode) for mode in ("half_up", "half_even", "up")]
    [7500, 7400, 7500]
    """
    units = Fraction(cents) / unit_cents
    return (_whole(units, mode) if units >= 0 else -_whole(-units, mode)) * unit_cents


def _whole(units: Fraction, mode: str) -> int:
    if mode == "half_even":
        return round(units)
    if mode == "up":
        return units.__ceil__()
    return (units + Fraction(1, 2)).__floor__()


def round_half_up(cents: Decimal | Fraction, unit_cents: int = 1) -> int:
    """Round to a multiple of `unit_cents`, halves away from zero.

    >>> round_half_up(Decimal("7550"), 100)
    7600
    """
    return round_to(cents, unit_cents)


def payable(cents: int, code: str) -> int:
    """Return the smallest amount that can be paid in a currency and covers so many cents.

    >>> payable(51_842, "KES"), payable(51_900, "KES")
    (51900, 51900)
    """
    return round_to(cents, currency(code).payable_cents, "up")


def floor(cents: Fraction) -> int:
    """Return the whole cents of a limit: a part of a cent is no room for one more."""
    return cents.__floor__()


def share(cents: int, rate: Decimal, unit_cents: int = 1) -> int:
    """Return `rate` of an amount, rounded once, half up, to payable units.

    >>> share(100_000, Decimal("0.075"), 100)
    7500
    """
    return round_half_up(Fraction(cents) * Fraction(rate), unit_cents)


def split(cents: int, parts: int, unit_cents: int = 1) -> list[int]:
    """Split without losing a cent; the remainder goes to the last part.

    >>> split(1000, 3), split(100_000, 3, unit_cents=100)
    ([333, 333, 334], [33300, 33300, 33400])
    """
    if parts < 1:
        raise ValueError(f"parts must be 1 or more, got {parts}")
    each = cents // parts // unit_cents * unit_cents
    return [each] * (parts - 1) + [cents - each * (parts - 1)]


def spread(cents: int, parts: int, unit_cents: int = 1, mode: str = "half_up") -> list[int]:
    """Split so that every part is within a unit of the others: each ends where its share of the whole is rounded.

    >>> spread(1000, 3), spread(100_000, 3, unit_cents=100)
    ([333, 334, 333], [33300, 33400, 33300])
    """
    if parts < 1:
        raise ValueError(f"parts must be 1 or more, got {parts}")
    ends = [min(cents, round_to(Fraction(cents * n, parts), unit_cents, mode)) for n in range(1, parts)]
    return [end - start for start, end in zip([0, *ends], [*ends, cents], strict=True)]


def apportion(cents: int, weights: Sequence[int], unit_cents: int = 1) -> list[int]:
    """Split in proportion to weights without losing a cent: whole units by largest remainder, ties to the first.

    What is smaller than a unit goes to the greatest weight, ties to the first.

    >>> apportion(1_000, [1, 1, 1]), apportion(1_050, [1, 2], 100)
    ([334, 333, 333], [300, 750])

    Raises:
        ValueError: no weight is above zero, or one is below.
    """
    total = sum(weights)
    if total <= 0 or min(weights) < 0:
        raise ValueError(f"weights must be 0 or more and one of them above, got {list(weights)[:20]}")
    units, rest_cents = divmod(cents, unit_cents)
    shares = [units * weight // total for weight in weights]
    by_remainder = sorted(range(len(weights)), key=lambda place: -(units * weights[place] % total))
    for place in by_remainder[: units - sum(shares)]:
        shares[place] += 1
    parts = [share * unit_cents for share in shares]
    parts[max(range(len(weights)), key=lambda place: weights[place])] += rest_cents
    return parts


# What one amount may be: PostgreSQL keeps it as a bigint.
MOST_BOOKED_CENTS = 2**63 - 1

_PLAIN = re.compile(r"(?P<whole>[0-9]{1,9}|[0-9]{1,3}(,[0-9]{3}){1,2})(\.(?P<cents>[0-9]{1,2}))?", re.ASCII)


def parse(typed: str) -> int:
    """Return the cents of an amount typed by a human: `500`, `1,000`, `500.50`, `KES 500`, `500/=`.

    Refuses what could be misread instead of guessing: signs, exponents, other scripts' digits.

    Raises:
        InvalidAmount: it is no amount, or it is zero.
    """
    text = typed.strip()
    text = re.sub(r"^(kes|ksh|sh)\.?\s*", "", text, flags=re.IGNORECASE)
    text = re.sub(r"\s*(/=|/-|bob)$", "", text, flags=re.IGNORECASE)
    match = _PLAIN.fullmatch(text)
    if not match:
        raise InvalidAmount(typed)
    whole = int(match["whole"].replace(",", ""))
    cents = whole * 100 + int((match["cents"] or "0").ljust(2, "0"))
    if cents == 0:
        raise InvalidAmount(typed)
    return cents


def show(cents: int, code: str) -> str:
    """Print an amount as people write it: cents only where there are some.

    >>> show(100_000, "KES"), show(-5_050, "KES")
    ('KES 1,000', '-KES 50.50')
    """
    sign = "-" if cents < 0 else ""
    whole, rest = divmod(abs(cents), 100)
    return f"{sign}{code} {whole:,}" + (f".{rest:02d}" if rest else "")


def to_units(cents: int) -> int:
    """Return whole shillings for a rail that knows no cents.

    Raises:
        ValueError: the amount has cents; rounding money on its way out would lose some.
    """
    units, rest = divmod(cents, 100)
    if rest:
        raise ValueError(f"amount must be whole units, got {cents} cents")
    return units


def from_units(value: object) -> int:
    """Return cents of an amount as a rail prints it: 10, 10.0, "10.00".

    Raises:
        ValueError: no finite amount, or fractions of a cent.
    """
    cents = Decimal(str(value)) * 100
    if not cents.is_finite() or cents != cents.quantize(Decimal(1), rounding=ROUND_HALF_UP):
        raise ValueError(f"amount must be whole cents, got {value!r}")
    return int(cents)
