"""How good a model is, in NumPy alone, and whether a challenger is better than the champion."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ml.data import Dataset

Array = npt.NDArray[np.floating]
# x (n, n_features) -> chance of default (n,).
ScoreRows = Callable[[npt.NDArray[np.float32]], Array]

LEAST_LOANS = 200
LEAST_DEFAULTS = 20
RESAMPLES = 1_000
# Lower log-loss must hold in this share of resamples: one lucky week must not change who decides.
CONFIDENCE = 0.90
AUC_TOLERANCE = 0.01
BRIER_TOLERANCE = 0.05


def auc(y: Array, p: Array) -> float:
    """Return the chance that a random defaulter scores above a random payer; ties count half."""
    bad = y > 0.5
    n_bad, n_good = int(bad.sum()), int((~bad).sum())
    if not n_bad or not n_good:
        return float("nan")
    _, place, counts = np.unique(p, return_inverse=True, return_counts=True)
    mean_rank = np.cumsum(counts) - (counts - 1) / 2
    return float((mean_rank[place][bad].sum() - n_bad * (n_bad + 1) / 2) / (n_bad * n_good))


def gini(y: Array, p: Array) -> float:
    """Return 2 AUC - 1."""
    return 2 * auc(y, p) - 1


def ks(y: Array, p: Array) -> float:
    """Return the largest gap between the score distributions of defaulters and payers."""
    bad, good = np.sort(p[y > 0.5]), np.sort(p[y <= 0.5])
    if not len(bad) or not len(good):
        return float("nan")
    at = np.unique(p)
    below = [np.searchsorted(side, at, side="right") / len(side) for side in (bad, good)]
    return float(np.abs(below[0] - below[1]).max())


def log_losses(y: Array, p: Array) -> Array:
    """Return -log of the probability given to what happened, per loan (n,)."""
    p = np.clip(p.astype(np.float64), 1e-7, 1 - 1e-7)
    return -np.where(y > 0.5, np.log(p), np.log1p(-p))


def log_loss(y: Array, p: Array) -> float:
    """Return the mean of `log_losses`."""
    return float(log_losses(y, p).mean())


def brier(y: Array, p: Array) -> float:
    """Return the mean squared distance between probability and outcome."""
    return float(np.mean((p.astype(np.float64) - y) ** 2))


def calibration_error(y: Array, p: Array, *, bins: int = 10) -> float:
    """Return the mean gap between promised and observed default rate over `bins` equal groups by score."""
    groups = np.array_split(np.argsort(p, kind="stable"), bins)
    gaps = [len(g) * abs(float(p[g].mean()) - float(y[g].mean())) for g in groups if len(g)]
    return float(sum(gaps) / len(y))


def judge(y: Array, p: Array) -> dict[str, float]:
    """Return all of the above by name, with the counts that they rest on."""
    measures = (auc, gini, ks, log_loss, brier, calibration_error)
    return {"loans": len(y), "defaults": int(y.sum())} | {m.__name__: m(y, p) for m in measures}


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
