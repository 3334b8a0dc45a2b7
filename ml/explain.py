"""Why a score is what it is: what each feature adds to the log-odds of default for this applicant.

One feature at a time is put back to its usual value in the training data, and the change in log-odds is its
contribution: above 0 it hurts. All rows are asked in one batch. Features that say nearly the same share one
effect between them, so contributions need not sum to the score.
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
) -> tuple[Contribution, ...]:
    """Return the contribution of every feature, the most harmful first.

    score: rows (m, n_features) -> chance of default (m,). x, reference: (n_features,), NaN where missing.
    """
    n = len(names)
    rows = np.tile(x, (n + 1, 1))
    rows[np.arange(n), np.arange(n)] = reference
    odds = log_odds(score(rows))
    effects = odds[n] - odds[:n]
    ranked = sorted(range(n), key=lambda i: (-effects[i], i))
    return tuple(Contribution(names[i], float(x[i]), float(effects[i])) for i in ranked)


def reasons(contributions: tuple[Contribution, ...], most: int = 4) -> tuple[list[str], list[str]]:
    """Return (against, for): the strongest first, each in plain words, no sentence twice."""
    harmful = [c for c in contributions if c.log_odds > WORTH_SAYING]
    helpful = [c for c in reversed(contributions) if c.log_odds < -WORTH_SAYING]
    against = dict.fromkeys(features.BY_NAME[c.name].words for c in harmful)
    in_favour = dict.fromkeys(features.BY_NAME[c.name].words_good for c in helpful)
    return list(against)[:most], list(in_favour)[:most]
