"""What is set aside for loans that may not come back, in both views. Source: docs/domain/metrics.md.

The regulator's view takes a rate for each class of days past due from the country pack; the expected loss follows
money through the own roll rates until it is repaid or lost.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

from lending.rules import arrears, money
from lending.rules.country import Country


@dataclass(frozen=True)
class ProvisionClass:
    """A class of the regulator's table. `rate` is a share of the principal outstanding, 0 to 1."""

    name: str
    from_days: int
    rate: Decimal


def provision_table(law: Country) -> list[ProvisionClass]:
    """Return the regulator's table of a country pack, its classes named as loans are classified.

    Raises:
        ValueError: no table is known for the country.
    """
    if law.provisioning is None:
        raise ValueError(f"no provisioning table is known for {law.country}")
    return [
        ProvisionClass(arrears.classify(band.from_days_past_due), band.from_days_past_due, band.rate)
        for band in law.provisioning.bands
    ]


def chances_of_loss(
    rolled: Mapping[tuple[str, str], int], buckets: Sequence[str], lost: Collection[str]
) -> dict[str, Fraction]:
    """Return for each bucket, mildest first, the chance that a cent in it is lost in the end.

    `rolled` holds the cents that went from one bucket to another within a month; `lost` names what counts as lost,
    the worst bucket among them. Money goes on rolling at the same rates until it is lost, or leaves for a place
    that is not in `buckets`. A bucket that nothing was ever in is taken to roll into the next worse one.

    >>> rolled = {("late", "lost"): 20, ("late", "late"): 20, ("late", "repaid"): 60}
    >>> chances_of_loss(rolled, ["late", "lost"], {"lost"})
    {'late': Fraction(1, 4), 'lost': Fraction(1, 1)}

    Source: J. G. Kemeny and J. L. Snell, Finite Markov Chains, 1960, theorem 3.3.7.
    """
    assert buckets[-1] in lost
    seen = {start for (start, _), cents in rolled.items() if cents}
    unseen = {(name, worse): 1 for name, worse in pairwise(buckets) if name not in seen}
    ways = {**rolled, **unseen}
    moving = [name for name in buckets if name not in lost]
    leading = [name for name in moving if _leads_to(name, lost, ways)]
    solved = dict(zip(leading, _solve(_equations(leading, ways, lost)), strict=True))
    return {name: Fraction(name in lost) if name not in solved else solved[name] for name in buckets}


def _leads_to(start: str, lost: Collection[str], rolled: Mapping[tuple[str, str], int]) -> bool:
    """Say whether any way leads from a bucket to a loss. Without one its equation would have no single answer."""
    found, grown = {start}, True
    while grown and not found & set(lost):
        further = {end for (begin, end), cents in rolled.items() if begin in found and cents} - found
        found, grown = found | further, bool(further)
    return bool(found & set(lost))


def _equations(
    names: Sequence[str], rolled: Mapping[tuple[str, str], int], lost: Collection[str]
) -> list[list[Fraction]]:
    """Return a row for each bucket: chance - sum of its shares times their chances = share that is lost at once."""
    had = {name: sum(cents for (start, _), cents in rolled.items() if start == name) for name in names}

    def share(start: str, end: str) -> Fraction:
        return Fraction(rolled.get((start, end), 0), had[start])

    return [
        [int(start == end) - share(start, end) for end in names]
        + [sum((share(start, end) for end in lost), Fraction())]
        for start in names
    ]


def _solve(rows: list[list[Fraction]]) -> list[Fraction]:
    """Solve linear equations exactly, by Gauss and Jordan."""
    for place in range(len(rows)):
        pivot = next(row for row in range(place, len(rows)) if rows[row][place])
        rows[place], rows[pivot] = rows[pivot], rows[place]
        rows[place] = [value / rows[place][place] for value in rows[place]]
        for other in range(len(rows)):
            if other != place:
                factor = rows[other][place]
                rows[other] = [a - factor * b for a, b in zip(rows[other], rows[place], strict=True)]
    return [row[-1] for row in rows]


def expected_loss(exposure_cents: int, chance: Fraction, recovered: Fraction) -> int:
    """Return what is expected to be lost of an exposure, rounded half up to a cent.

    >>> expected_loss(100_000, Fraction(1, 4), Fraction(1, 10))
    22500
    """
    return money.round_half_up(exposure_cents * chance * (1 - recovered))
