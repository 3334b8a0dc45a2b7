"""Make promised chances come true: two numbers learnt on later loans that training has not touched.

Source: Platt 1999, "Probabilistic outputs for support vector machines", section 2.2, on log-odds.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating]
LEAST_OF_EACH = 10
# Wider than any healthy network needs. A slope at or below 0 would turn good borrowers into bad ones.
SLOPE_BOUNDS = (0.2, 5.0)
# Pull towards the identity, as strong as a prior of standard deviation 0.3 on both numbers: a few hundred
# loans may correct a network, a few dozen may not.
PULL = 10.0


@dataclass(frozen=True, slots=True)
class Calibration:
    """p -> sigmoid(slope * log-odds(p) + intercept); order of borrowers never changes, as slope > 0."""

    slope: float = 1.0
    intercept: float = 0.0

    def __call__(self, p: Array) -> Array:
        """Return calibrated probabilities (n,) for raw ones (n,)."""
        return 1 / (1 + np.exp(-(self.slope * log_odds(p) + self.intercept)))


def log_odds(p: Array) -> npt.NDArray[np.float64]:
    """Return log(p / (1 - p)), with p kept one millionth away from 0 and 1."""
    p = np.clip(p.astype(np.float64), 1e-6, 1 - 1e-6)
    return np.log(p) - np.log1p(-p)


def calibrate(y: Array, p: Array) -> Calibration:
    """Fit slope and intercept to outcomes y: (n,) 0/1 of raw probabilities p: (n,); identity on too few.

    Newton's method on Platt's smoothed targets, which keep a clean or a hopeless sample from certainty.
    """
    bad, good = float((y > 0.5).sum()), float((y <= 0.5).sum())
    if min(bad, good) < LEAST_OF_EACH:
        return Calibration()
    target = np.where(y > 0.5, (bad + 1) / (bad + 2), 1 / (good + 2))
    theta = _newton(np.column_stack([log_odds(p), np.ones(len(p))]), target)
    return Calibration(slope=float(np.clip(theta[0], *SLOPE_BOUNDS)), intercept=float(theta[1]))


def _newton(x: Array, target: Array) -> Array:
    """Return (slope, intercept) that minimise the log-loss on `target` plus the pull to the identity."""
    identity = np.array([1.0, 0.0])

    def cost(theta: Array) -> float:
        z = x @ theta
        loss = np.logaddexp(0, z) - target * z
        return float(loss.sum() + PULL / 2 * ((theta - identity) ** 2).sum())

    theta = identity.copy()
    for _ in range(100):
        fitted = 1 / (1 + np.exp(-x @ theta))
        gradient = x.T @ (fitted - target) + PULL * (theta - identity)
        hessian = (x * (fitted * (1 - fitted))[:, None]).T @ x + PULL * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        # From a far start a full step overshoots and then swings for ever: halve it until it helps.
        size = 1.0
        while size > 1e-6 and cost(theta - size * step) > cost(theta):
            size /= 2
        theta = theta - size * step
        if np.abs(size * step).max() < 1e-9:
            break
    return theta
