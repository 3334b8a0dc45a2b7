"""Whether a challenger is better than the champion, on loans that neither has learnt from."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ml.data import Dataset
from ml.measures import Array, judge, log_losses

# x (n, n_features) -> chance of default (n,).
ScoreRows = Callable[[npt.NDArray[np.float32]], Array]

LEAST_LOANS = 200
LEAST_DEFAULTS = 20
RESAMPLES = 1_000
# Lower log-loss must hold in this share of resamples: one lucky week must not change who decides.
CONFIDENCE = 0.90
AUC_TOLERANCE = 0.01
BRIER_TOLERANCE = 0.05


@dataclass(frozen=True, slots=True)
class Comparison:
    """A challenger beside the champion on the same loans, and the verdict in words.

    log_loss_gain: champion's log-loss minus the challenger's, so above 0 is better; low and high bound
    90 % of its bootstrap resamples, chance_better is the share of them above 0.
    """

    challenger: dict[str, float]
    champion: dict[str, float]
    log_loss_gain: float
    low: float
    high: float
    chance_better: float
    better: bool
    why: tuple[str, ...]


def compare(challenger: ScoreRows, champion: ScoreRows | None, later: Dataset, *, seed: int = 0) -> Comparison:
    """Judge both on loans decided after everything either of them learnt from.

    The caller picks those loans: `dataset.after(max(challenger.seen_until, champion.seen_until))`. With no
    champion yet the rival is the plain default rate of those loans, a little unfair to the challenger.
    """
    y, p = later.default, challenger(later.x)
    rival = champion(later.x) if champion else np.full(len(y), y.mean() if len(y) else 0.5)
    return compare_scores(y, p, rival, seed=seed)


def compare_scores(y: Array, challenger: Array, champion: Array, *, seed: int = 0) -> Comparison:
    """Judge two sets of scores for the same loans (n,) by a paired bootstrap over loans."""
    if len(y) < LEAST_LOANS or y.sum() < LEAST_DEFAULTS:
        needed = f"needs {LEAST_LOANS} later loans with {LEAST_DEFAULTS} defaults"
        why = f"{needed}, got {len(y)} with {int(y.sum())}"
        return Comparison({}, {}, 0.0, 0.0, 0.0, 0.0, False, (why,))
    gains = log_losses(y, champion) - log_losses(y, challenger)
    picks = np.random.default_rng(seed).integers(0, len(y), (RESAMPLES, len(y)))
    means = gains[picks].mean(axis=1)
    ours, theirs = judge(y, challenger), judge(y, champion)
    against = reasons_against(ours, theirs, float((means > 0).mean()))
    low, high = (float(q) for q in np.quantile(means, (0.05, 0.95)))
    praise = f"log-loss {ours['log_loss']:.4f} against {theirs['log_loss']:.4f} on {len(y)} later loans"
    return Comparison(
        challenger=ours,
        champion=theirs,
        log_loss_gain=float(gains.mean()),
        low=low,
        high=high,
        chance_better=float((means > 0).mean()),
        better=not against,
        why=tuple(against) or (praise,),
    )


def reasons_against(ours: dict[str, float], theirs: dict[str, float], chance_better: float) -> list[str]:
    """Return why the challenger must not take over, in words; empty when nothing speaks against it."""
    against: list[str] = []
    if chance_better < CONFIDENCE:
        against.append(
            f"log-loss {ours['log_loss']:.4f} against {theirs['log_loss']:.4f} is lower in only "
            f"{chance_better:.0%} of resamples, needs {CONFIDENCE:.0%}"
        )
    if ours["auc"] < theirs["auc"] - AUC_TOLERANCE:
        against.append(f"AUC {ours['auc']:.3f} is over {AUC_TOLERANCE} below {theirs['auc']:.3f}")
    if ours["brier"] > theirs["brier"] * (1 + BRIER_TOLERANCE):
        against.append(f"Brier {ours['brier']:.4f} is over {BRIER_TOLERANCE:.0%} above {theirs['brier']:.4f}")
    return against


def as_score_rows(predict: Callable[[npt.NDArray[np.float32]], Any]) -> ScoreRows:
    """Return the default column of `Scorer.predict` or of anything that answers in the same shape."""
    return lambda x: predict(x).default
