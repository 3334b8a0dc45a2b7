"""Has what we see moved away from what the model learnt? PSI with a threshold that knows the sample sizes.

A fixed limit is wrong in both directions: 0.10 raises 40 % false alarms on 100 rows, and on 5,000 rows misses
shifts twenty times its true 1 % threshold.
"""

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating]
FALSE_ALARMS = 0.01
# Bins in which fewer rows are expected count as one: chi-squared says nothing true of them (Cochran 1954).
LEAST_EXPECTED = 5


@dataclass(frozen=True, slots=True)
class Drift:
    """psi above threshold means moved, wrong in as many cases where nothing moved as `drift` was allowed."""

    psi: float
    threshold: float

    @property
    def moved(self) -> bool:
        """Return whether chance alone would seldom explain it."""
        return self.psi > self.threshold


def drift(reference: Array, now: Array, *, bins: int = 10, false_alarms: float = FALSE_ALARMS) -> Drift:
    """Return how far `now` (m,) is from `reference` (n,); missing values are a bin of their own.

    PSI = sum over bins of (q - p) log(q / p). false_alarms: the share of cases in which it may ring where nothing
    moved; who asks about many things at once divides it by their number (Bonferroni).
    """
    n, m = len(reference), len(now)
    if not n or not m:
        return Drift(0.0, float("inf"))
    _, p, q = binned(reference, now, bins=bins)
    rare = (p * n + q * m) * min(n, m) < LEAST_EXPECTED * (n + m)
    p, q = (np.append(shares[~rare], shares[rare].sum()) for shares in (p, q))
    used = (p > 0) | (q > 0)
    # Half a row in an empty bin: its logarithm must be large, not infinite.
    p, q = np.maximum(p[used], 0.5 / n), np.maximum(q[used], 0.5 / m)
    psi = float(((q - p) * np.log(q / p)).sum())
    return Drift(psi, threshold(n, m, bins=int(used.sum()), false_alarms=false_alarms))


def binned(reference: Array, now: Array, *, bins: int = 10) -> tuple[Array, Array, Array]:
    """Return the edges between bins that hold equal parts of `reference`, and the share of both in each bin.

    The last bin holds what is missing.
    """
    known = reference[~np.isnan(reference)]
    edges = np.unique(np.quantile(known, np.linspace(0, 1, bins + 1)[1:-1])) if len(known) else np.zeros(0)
    return edges, _shares(reference, edges), _shares(now, edges)


def threshold(n: int, m: int, *, bins: int, false_alarms: float = FALSE_ALARMS) -> float:
    """Return the PSI that n and m rows of one distribution exceed in so few draws, by default 1 of 100.

    (1/n + 1/m) times that quantile of chi-squared with bins - 1 degrees of freedom, which is taken from Wilson and
    Hilferty 1931.
    """
    if bins < 2:
        return 0.0
    k = bins - 1
    z = NormalDist().inv_cdf(1 - false_alarms)
    chi2 = k * (1 - 2 / (9 * k) + z * (2 / (9 * k)) ** 0.5) ** 3
    return (1 / n + 1 / m) * chi2


def _shares(values: Array, edges: Array) -> npt.NDArray[np.float64]:
    missing = np.isnan(values)
    counts = np.bincount(np.searchsorted(edges, values[~missing], side="left"), minlength=len(edges) + 1)
    return np.append(counts, missing.sum()) / len(values)
