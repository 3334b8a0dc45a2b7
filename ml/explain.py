"""Why a score is what it is: what each feature adds to the log-odds of default for this applicant.

Shapley values against the usual applicant: on the way from the usual one to this one, features take their values
one after the other, and what the log-odds change when a feature takes its own is its share; the mean over all
orders is its contribution. Contributions sum to the whole difference, above 0 they hurt. All orders are too many:
some random ones are asked, each also backwards, which is exact where features act upon each other in pairs at most.

Sources: Shapley 1953, "A Value for n-Person Games"; sampled orders, Strumbelj and Kononenko 2014, "Explaining
prediction models and individual predictions with feature contributions"; each order also backwards, Mitchell et al.
2022, "Sampling Permutations for Shapley Value Estimation".
"""

from collections.abc import Callable
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


def reasons(contributions: tuple[Contribution, ...], most: int = 4) -> tuple[list[str], list[str]]:
    """Return (against, for): the strongest first, each in plain words, no sentence twice."""
    harmful = [c for c in contributions if c.log_odds > WORTH_SAYING]
    helpful = [c for c in reversed(contributions) if c.log_odds < -WORTH_SAYING]
    against = dict.fromkeys(features.BY_NAME[c.name].words for c in harmful)
    in_favour = dict.fromkeys(features.BY_NAME[c.name].words_good for c in helpful)
    return list(against)[:most], list(in_favour)[:most]
