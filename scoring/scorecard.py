"""The chance of default by a table of points, for when no model can answer.

Set by judgement, from what each fact is known to mean, and fitted to nothing: it says who is surely good, and the
policy lends only to them by it (`scoring.policy.only_the_scorecard`). Pure. Source: docs/domain/decisions.md, "When
no model answers".
"""

from collections.abc import Mapping
from typing import NamedTuple

VERSION = "fallback-1"
# What a decision without a model names as its model; "": nothing was scored.
NO_MODEL = ("", VERSION)
# With so many points five repay for one who does not; so many more double the odds (Siddiqi 2006, scaling).
BASE_POINTS, BASE_ODDS, TO_DOUBLE = 500, 5.0, 40


class Fact(NamedTuple):
    """One fact. `bands`: (from this value on, points), rising; `missing`: where it is missing or below them."""

    name: str
    missing: int
    bands: tuple[tuple[float, int], ...]


CARD: tuple[Fact, ...] = (
    Fact("loans_settled", -20, ((0, -20), (1, 0), (2, 20), (5, 40))),
    Fact("on_time_share", 0, ((0, -60), (0.5, -20), (0.8, 10), (1, 30))),
    Fact("worst_days_late", 0, ((0, 25), (1, 0), (8, -40), (31, -100))),
    Fact("last_days_late", 0, ((-3650, 20), (1, -15), (8, -50))),
    Fact("defaults_90", 0, ((0, 0), (1, -100))),
    Fact("loans_written_off", 0, ((0, 0), (1, -150))),
    Fact("days_since_registered", -20, ((0, -20), (30, 0), (180, 15))),
    Fact("savings_deposits_90d", 0, ((0, 0), (1, 10), (4, 20))),
    Fact("wallet_active_days_30d", 0, ((0, -15), (5, 0), (15, 10))),
    Fact("requested_to_mean_inflow", -15, ((0, 15), (0.25, 0), (0.5, -25))),
    Fact("requested_to_repaid_max", 0, ((0, 10), (1.1, 0), (1.5, -25))),
    Fact("promises_kept_share", 0, ((0, -30), (1, 10))),
)


def points(features: Mapping[str, float | None]) -> int:
    """Return the points of an applicant, by the features' names; what is not there counts as missing."""
    return BASE_POINTS + sum(_points_of(fact, features.get(fact.name)) for fact in CARD)


def chance(features: Mapping[str, float | None]) -> float:
    """Return the chance of default that the points stand for, 0 to 1.

    >>> round(chance({"loans_settled": 6, "on_time_share": 1, "worst_days_late": 0, "last_days_late": -1}), 3)
    0.048
    """
    odds = BASE_ODDS * 2 ** ((points(features) - BASE_POINTS) / TO_DOUBLE)
    return 1 / (1 + odds)


def _points_of(fact: Fact, value: float | None) -> int:
    if value is None:
        return fact.missing
    return next((given for least, given in reversed(fact.bands) if value >= least), fact.missing)
