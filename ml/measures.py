"""How good chances are, in NumPy alone: of y: (n,) 0 or 1 and p: (n,) the chance that was given to 1."""

import math
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating]


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


def pr_auc(y: Array, p: Array) -> float:
    """Return the mean precision over the defaulters found, highest score first (average precision)."""
    if not (y > 0.5).any():
        return float("nan")
    order = np.argsort(-p, kind="stable")
    bad, score = (y > 0.5)[order], p[order]
    # Rows of one score are found together, whatever their order.
    ends = np.append(np.flatnonzero(np.diff(score)), len(score) - 1)
    found = np.cumsum(bad)[ends]
    precision = found / (ends + 1)
    return float((precision * np.diff(found, prepend=0)).sum() / bad.sum())


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
    groups = score_groups(p, bins=bins)
    gaps = [len(g) * abs(float(p[g].mean()) - float(y[g].mean())) for g in groups if len(g)]
    return float(sum(gaps) / len(y))


def score_groups(p: Array, *, bins: int = 10) -> list[npt.NDArray[np.int64]]:
    """Return the rows in `bins` groups of equal size, the lowest scores first."""
    return list(np.array_split(np.argsort(p, kind="stable"), bins))


def share_interval(found: int, of: int, *, confidence: float = 0.90) -> tuple[float, float]:
    """Return between which shares the true one lies; also where none or all were found.

    Wilson 1927, "Probable Inference, the Law of Succession, and Statistical Inference".
    """
    if not of:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share, spread = found / of, z * z / of
    middle, half = share + spread / 2, z * math.sqrt(share * (1 - share) / of + spread / (4 * of))
    return max((middle - half) / (1 + spread), 0.0), min((middle + half) / (1 + spread), 1.0)


def judge(y: Array, p: Array) -> dict[str, float]:
    """Return all of the above by name, with the counts that they rest on."""
    measures = (auc, gini, ks, pr_auc, log_loss, brier, calibration_error)
    return {"loans": len(y), "defaults": int(y.sum())} | {m.__name__: m(y, p) for m in measures}


def auc_with_error(y: Array, p: Array) -> tuple[float, float]:
    """Return AUC and its standard error, after DeLong as in `auc_difference`; NaN where one outcome is too rare."""
    bad: npt.NDArray[np.bool_] = y > 0.5
    if min(bad.sum(), (~bad).sum()) < 2:
        return float("nan"), float("nan")
    return _mean_and_error(*_told_from_others(bad, p))


def auc_difference(y: Array, p: Array, q: Array) -> tuple[float, float]:
    """Return AUC of p less AUC of q on the same rows, and its standard error.

    DeLong et al. 1988, "Comparing the Areas under Two or More Correlated ROC Curves": the variance over defaulters
    and payers of the share of the others that each is told from.
    """
    bad: npt.NDArray[np.bool_] = y > 0.5
    told = [_told_from_others(bad, scores) for scores in (p, q)]
    of_bad, of_good = (first - second for first, second in zip(*told, strict=True))
    return _mean_and_error(of_bad, of_good)


def _mean_and_error(of_bad: Array, of_good: Array) -> tuple[float, float]:
    variance = of_bad.var(ddof=1) / len(of_bad) + of_good.var(ddof=1) / len(of_good)
    return float(of_bad.mean()), float(variance**0.5)


def _told_from_others(bad: npt.NDArray[np.bool_], p: Array) -> tuple[Array, Array]:
    """Return the share of payers below each defaulter, and of defaulters above each payer; ties count half."""
    below, above = np.sort(p[~bad]), np.sort(p[bad])
    return _share_below(below, p[bad]), 1 - _share_below(above, p[~bad])


def _share_below(ordered: Array, p: Array) -> Array:
    places = np.searchsorted(ordered, p, side="left") + np.searchsorted(ordered, p, side="right")
    return np.asarray(places / (2 * len(ordered)))


def two_sided(z: float) -> float:
    """Return the chance that a normal variable is at least as far from 0 as z."""
    return math.erfc(abs(z) / math.sqrt(2))
