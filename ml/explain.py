"""Why a score is what it is: what each feature adds to the log-odds of default for this applicant.

Shapley values against the usual applicant: on the way from the usual one to this one, features take their values
one after the other, and what the log-odds change when a feature takes its own is its share; the mean over all
orders is its contribution. Contributions sum to the whole difference, above 0 they hurt. All orders are too many:
some random ones are asked, each also backwards, which is exact where features act upon each other in pairs at most.

Sources: Shapley 1953, "A Value for n-Person Games"; sampled orders, Strumbelj and Kononenko 2014, "Explaining
prediction models and individual predictions with feature contributions"; each order also backwards, Mitchell et al.
2022, "Sampling Permutations for Shapley Value Estimation".
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ml import features
from ml.calibrate import log_odds

Array = npt.NDArray[np.float32]
# Under this much log-odds a feature moved the chance by less than about 1 in 100: not worth a sentence.
WORTH_SAYING = 0.05
# So many orders, each also backwards. The same for everybody and every time, or a decision could not be replayed.
ORDERS, SEED = 8, 20
# Rows that are asked at once, so that memory stays bounded.
BLOCK = 4_096


@dataclass(frozen=True, slots=True)
class Contribution:
    """What one feature did: `log_odds` above 0 raised the chance of default. `value` is NaN when missing."""

    name: str
    value: float
    log_odds: float


def explain(
    score: Callable[[Array], npt.NDArray[np.floating]],
    x: Array,
    reference: Array,
    *,
    names: tuple[str, ...] = features.NAMES,
    orders: int = ORDERS,
) -> tuple[Contribution, ...]:
    """Return the contribution of every feature, the most harmful first.

    score: rows (m, n_features) -> chance of default (m,). x, reference: (n_features,), NaN where missing. What is
    as usual contributes nothing.
    """
    unusual = np.flatnonzero(~((x == reference) | (np.isnan(x) & np.isnan(reference))))
    effects = np.zeros(len(names))
    if len(unusual):
        rng = np.random.default_rng(SEED)
        ways = [way for _ in range(orders) for way in _both_ways(rng.permutation(unusual))]
        rows = np.concatenate([_steps(x, reference, way) for way in ways])
        chances = np.concatenate([score(rows[at : at + BLOCK]) for at in range(0, len(rows), BLOCK)])
        changes = np.diff(log_odds(chances).reshape(len(ways), -1), axis=1)
        for way, change in zip(ways, changes, strict=True):
            effects[way] += change / len(ways)
    ranked = sorted(range(len(names)), key=lambda i: (-effects[i], i))
    return tuple(Contribution(names[i], float(x[i]), float(effects[i])) for i in ranked)


def _both_ways(order: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    return order, order[::-1]


def _steps(x: Array, reference: Array, order: npt.NDArray[np.int64]) -> Array:
    """Return (len(order) + 1, n_features): the usual applicant, who takes this one's values in an order."""
    rows = np.tile(reference, (len(order) + 1, 1))
    for place, feature in enumerate(order, 1):
        rows[place:, feature] = x[feature]
    return rows


# --- in words -----------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Told:
    """A contribution beside the usual value, with words for the person; empty where none would be true of them."""

    name: str
    value: float
    usual: float
    log_odds: float
    words: str


def reasons(
    contributions: Sequence[Contribution], reference: Array, *, most: int = 4
) -> tuple[tuple[Told, ...], tuple[Told, ...]]:
    """Return (against, for): what is worth saying, the strongest first, and no sentence twice.

    reference: (n_features,) the usual values, in the order of ml.features.
    """
    harmful = [c for c in contributions if c.log_odds > WORTH_SAYING]
    helpful = [c for c in reversed(contributions) if c.log_odds < -WORTH_SAYING]
    usual = dict(zip(features.NAMES, map(float, reference), strict=True))

    def told(found: Sequence[Contribution]) -> tuple[Told, ...]:
        first: dict[str, Told] = {}
        for c in found:
            words = words_of(c, usual[c.name])
            first.setdefault(words or c.name, Told(c.name, c.value, usual[c.name], c.log_odds, words))
        return tuple(first.values())[:most]

    return told(harmful), told(helpful)


def words_of(what: Contribution, usual: float) -> str:
    """Return the sentence for what a feature did, "" where it is not true of whom it did it to.

    Of a missing value what its absence means.
    """
    feature, harms = features.BY_NAME[what.name], what.log_odds > 0
    words = feature.words if harms else feature.words_good
    if math.isnan(what.value):
        return feature.missing
    if feature.words == feature.words_good:
        return words  # it says what was looked at, and not what was found
    is_true = TRUE_WHEN.get(what.name, (_always, _always))[not harms](what.value)
    if feature.hurts:
        is_low = (feature.hurts == features.LOW) == harms
        is_true &= what.value < usual if is_low else what.value > usual
    return words if is_true else ""


def _always(value: float) -> bool:
    return True


Holds = Callable[[float], bool]
# Sentences that say more than "less than usual" or "more than usual": when the words hold, and when the good ones.
TRUE_WHEN: dict[str, tuple[Holds, Holds]] = {
    "on_time_share": (lambda v: v < 1, lambda v: v == 1),
    "on_time_streak": (lambda v: v == 0, lambda v: v > 0),
    "early_share": (lambda v: v < 0.5, lambda v: v > 0.5),
    "worst_days_late": (lambda v: v > 7, lambda v: v <= 7),
    "mean_days_late": (lambda v: v > 0, lambda v: v <= 0),
    "last_days_late": (lambda v: v > 0, lambda v: v <= 0),
    "days_since_last_settled": (lambda v: v > 90, lambda v: v <= 90),
    "defaults_90": (lambda v: v > 0, lambda v: v == 0),
    "late_of_last_3": (lambda v: v > 0, lambda v: v == 0),
    "late_streak": (lambda v: v > 0, lambda v: v == 0),
    "late_week_share": (lambda v: v > 0, lambda v: v < 0.5),
    "days_late_shift": (lambda v: v > 0, lambda v: v < 0),
    "term_used_mean": (_always, lambda v: v < 1),
    "term_used_last": (_always, lambda v: v < 1),
    "savings_withdrawn_90d_cents": (lambda v: v > 0, _always),
    "savings_net_90d_cents": (lambda v: v < 0, lambda v: v > 0),
    "savings_growth": (lambda v: v < 1, lambda v: v > 1),
    "wallet_net_30d_cents": (lambda v: v < 0, lambda v: v > 0),
    "wallet_net_90d_cents": (lambda v: v < 0, lambda v: v > 0),
    "wallet_trend": (lambda v: v < 1, _always),
    "wallet_out_trend": (lambda v: v > 1, lambda v: v < 1),
    "wallet_out_to_in": (lambda v: v > 0.9, lambda v: v < 1),
    "book_trend": (lambda v: v < 1, _always),
}
