"""How sure a figure is: the value, and the interval that holds the true one in so many of 100 cases, 95 by default.

y: (n,) 0 or 1 and p: (n,) the chance that was given to 1, as in ml/measures.py.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from ml.measures import Array, auc_with_error, log_losses

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure and its bounds; NaN where there is nothing to tell."""

    value: float
    low: float
    high: float


NOTHING = Interval(math.nan, math.nan, math.nan)


def two_sided_z(confidence: float) -> float:
    """Return how many standard errors to either side hold the true value so often: 1.96 for 0.95."""
    return NormalDist().inv_cdf((1 + confidence) / 2)


def share(some: int, of: int, *, confidence: float = CONFIDENCE) -> Interval:
    """Return a share with the bounds of Wilson 1927, "Probable Inference", which also hold near 0 and 1."""
    if not of:
        return NOTHING
    z, p = two_sided_z(confidence), some / of
    middle, width = p + z * z / (2 * of), z * math.sqrt(p * (1 - p) / of + z * z / (4 * of * of))
    # By rounding alone the bounds of none and of all would miss 0 and 1.
    low = (middle - width) / (1 + z * z / of) if some else 0.0
    return Interval(p, low, (middle + width) / (1 + z * z / of) if some < of else 1.0)


def observed_to_expected(y: Array, p: Array, *, confidence: float = CONFIDENCE) -> Interval:
    """Return how many times as many came to 1 as were promised.

    Debray et al. 2017, "A guide to systematic review and meta-analysis of prediction model performance": the
    standard error of its logarithm is sqrt((1 - observed share) / observed number). Of none, the upper bound is
    that of Garwood 1936.
    """
    observed, expected = float(y.sum()), float(p.astype(np.float64).sum())
    if not expected:
        return NOTHING
    value = observed / expected
    if not observed:
        return Interval(value, 0.0, -math.log((1 - confidence) / 2) / expected)
    factor = math.exp(two_sided_z(confidence) * math.sqrt((1 - observed / len(y)) / observed))
    return Interval(value, value / factor, value * factor)


def chance_of_ratio(p: Array, *, false_alarms: float) -> tuple[float, float]:
    """Return between what bounds observed / expected lies, but for so few cases, when every promise p is true.

    The number that comes to 1 is the sum of n draws of chance p: variance sum of p (1 - p).
    """
    p = p.astype(np.float64)
    reach = two_sided_z(1 - false_alarms) * math.sqrt(float((p * (1 - p)).sum())) / float(p.sum())
    return 1 - reach, 1 + reach


def auc(y: Array, p: Array, *, confidence: float = CONFIDENCE) -> Interval:
    """Return the AUC, its standard error after DeLong et al. 1988."""
    value, error = auc_with_error(y, p)
    return _within(value, two_sided_z(confidence) * error, 0, 1)


def log_loss(y: Array, p: Array, *, confidence: float = CONFIDENCE) -> Interval:
    """Return the log-loss, by the spread of the losses of single loans."""
    losses = log_losses(y, p)
    error = float(losses.std(ddof=1)) / math.sqrt(len(losses)) if len(losses) > 1 else math.nan
    return _within(float(losses.mean()), two_sided_z(confidence) * error, 0, math.inf)


def chance_of_log_loss(p: Array, *, false_alarms: float) -> float:
    """Return what the log-loss exceeds in so few cases when every promise p is true.

    Its mean is then the entropy of p, its variance the mean of p (1 - p) log(p / (1 - p))^2 by n: the test of
    Spiegelhalter 1986, "Probabilistic prediction in patient management", for log-loss in place of Brier's.
    """
    p = np.clip(p.astype(np.float64), 1e-7, 1 - 1e-7)
    log_odds = np.log(p) - np.log1p(-p)
    entropy = -(p * np.log(p) + (1 - p) * np.log1p(-p))
    error = math.sqrt(float((p * (1 - p) * log_odds**2).sum())) / len(p)
    return float(entropy.mean()) + NormalDist().inv_cdf(1 - false_alarms) * error


def quantile(values: Sequence[float] | Array, q: float, *, confidence: float = CONFIDENCE) -> Interval:
    """Return a quantile of values and the two of them between which the true one lies.

    How many of n values lie below it is binomial, so its bounds are values, whatever their distribution.
    """
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    n = len(ordered)
    if not n:
        return NOTHING
    reach = two_sided_z(confidence) * math.sqrt(n * q * (1 - q))
    low, high = (min(max(round(n * q + side), 0), n - 1) for side in (-reach - 0.5, reach + 0.5))
    return Interval(float(np.quantile(ordered, q)), float(ordered[low]), float(ordered[high]))


def _within(value: float, reach: float, least: float, most: float) -> Interval:
    return Interval(value, max(value - reach, least), min(value + reach, most))
