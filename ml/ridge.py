"""Logistic regression with a penalty on squares: what the network's additive path begins as.

A network that begins at nothing learns from a few hundred rows of many numbers mostly noise: its optimiser moves
each weight alike, whether or not there is something to learn. So it begins where others stop. Source: le Cessie and
van Houwelingen 1992, "Ridge Estimators in Logistic Regression".
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ml.tables import stratified

Array = npt.NDArray[np.float64]
# From hardly any to nearly nothing but the intercept, for inputs of spread 1.
PENALTIES = (1_000.0, 300.0, 100.0, 30.0, 10.0, 3.0, 1.0)
HELD_BACK = 5
# Log-odds that no step may move a weight by: where all is certain already, the next step would be without end.
FARTHEST = 30.0
STEPS = 25
CLOSE = 1e-3


def fit(x: Array, y: Array, *, seed: int, penalties: Sequence[float] = PENALTIES) -> tuple[Array, float]:
    """Return weights (f,) and intercept. The penalty is the one under which the rest says most of a fifth.

    x: (n, f), y: (n,) from 0 to 1. The penalties are tried from the strongest, each from where the last one ended,
    until one is worse than the one before.
    """
    held = stratified((y > 0.5).astype(np.float64), HELD_BACK, seed=seed) == 0
    theta = np.zeros(x.shape[1] + 1)
    theta[-1] = np.log((y.sum() + 0.5) / (len(y) - y.sum() + 0.5))
    best, chosen, least = theta, penalties[0], np.inf
    for penalty in penalties:
        theta = _newton(x[~held], y[~held], penalty, theta)
        loss = _loss(y[held], chances(x[held], theta[:-1], theta[-1]))
        if not loss < least:
            break
        best, chosen, least = theta, penalty, loss
    best = _newton(x, y, chosen, best)
    return best[:-1], float(best[-1])


def chances(x: Array, weights: Array, intercept: float) -> Array:
    """Return (n,) the chance of 1."""
    return np.asarray(0.5 * (1 + np.tanh(0.5 * (x @ weights + intercept))))


def _loss(y: Array, p: Array) -> float:
    p = np.clip(p, 1e-7, 1 - 1e-7)
    return float(-(y * np.log(p) + (1 - y) * np.log1p(-p)).mean())


def _newton(x: Array, y: Array, penalty: float, theta: Array) -> Array:
    """Return what minimises the log-loss, summed over rows, plus penalty / 2 times the squares of the weights."""
    pull = np.append(np.full(x.shape[1], penalty), 0.0)
    for _ in range(STEPS):
        p = chances(x, theta[:-1], theta[-1])
        wrong, spread = p - y, p * (1 - p)
        gradient = np.append(x.T @ wrong, wrong.sum()) + pull * theta
        hessian = np.empty((len(theta), len(theta)))
        hessian[:-1, :-1] = (x * spread[:, None]).T @ x
        hessian[:-1, -1] = hessian[-1, :-1] = x.T @ spread
        hessian[-1, -1] = spread.sum()
        step = np.linalg.solve(hessian + np.diag(pull + 1e-9), gradient)
        if not np.abs(step).max() < FARTHEST:
            break
        theta = theta - step
        if np.abs(step).max() < CLOSE:
            break
    return theta
