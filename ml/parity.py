"""Whether a way of serving still is the network that was trained: some made-up rows, and what Keras said of them.

The rows follow from the weights alone, so that only the answers are kept, in the signed manifest of a model
(ml/artifact.py). Whoever loads a model asks its own way of serving and compares: another processor, another release
of a library or a mistake in a table shows before the first customer is answered.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from ml.events import CODES, KIND, LAST, Events

Array = npt.NDArray[np.float32]
# x (n, f) and events (n, 128, 4) -> each output.
Answer = Callable[[Array, Events | None], Mapping[str, Array]]
# Answers as a manifest holds them: by output, a row each.
Kept = Mapping[str, Sequence[float | Sequence[float]]]

# Further apart than this they are not the same network. float32 rounds a chance to a tenth of it.
LIMIT = 1e-6
SEED, MIXED = 30, 24
FAR = np.float32(1e9)


def rows(weights: Mapping[str, Array]) -> Array:
    """Return (n, f) rows that reach every piece of every feature: edges, far beyond the ends, between, missing.

    What the features say is mixed: with all of them at one end, chances would be of nobody, and the rounding with
    them. Only in the last row nothing is known.
    """
    low, scale = weights["encode/low"], weights["encode/scale"]
    top = (low + np.divide(1, scale, out=np.zeros_like(scale), where=scale > 0)).max(axis=1)
    edges = np.where(scale > 0, low, top[:, None]).T
    nothing = np.full_like(top, np.nan)
    rng = np.random.default_rng(SEED)
    ends = rng.permuted(np.vstack([nothing, edges, top, np.full_like(top, -FAR), np.full_like(top, FAR)]), axis=0)
    # A value between two neighbouring edges, of another bin in each feature and row; some are missing.
    above = rng.integers(0, len(edges), (MIXED, len(top)))
    columns = np.arange(len(top))
    start, end = edges[above, columns], np.vstack([edges[1:], top])[above, columns]
    mixed = start + (end - start) * rng.random(start.shape, np.float32)
    mixed[rng.random(mixed.shape) < 0.1] = np.nan
    return np.vstack([ends, mixed, nothing]).astype(np.float32)


def happened(weights: Mapping[str, Array]) -> Events | None:
    """Return made-up events of the rows, none of the first one; None where the network is told of none."""
    if "story/kernel" not in weights:
        return None
    rng = np.random.default_rng(SEED)
    codes = rng.integers(0, 256, (len(rows(weights)), LAST, CODES), np.uint8)
    codes[..., KIND] = rng.integers(0, 1 + weights["story/kernel"].shape[1], codes.shape[:2])
    # Most have some, and a few the whole list.
    codes[np.arange(LAST) >= rng.choice([0, 8, 32, LAST], (len(codes), 1), p=[0.2, 0.5, 0.2, 0.1])] = 0
    codes[0] = 0
    return codes


def kept(answer: Answer, weights: Mapping[str, Array]) -> Kept:
    """Return what the network answers to the rows, ready for JSON."""
    return {name: np.asarray(values, np.float64).tolist() for name, values in _said(answer, weights).items()}


def apart(answer: Answer, weights: Mapping[str, Array], expected: Kept) -> float:
    """Return how far the answers are from those kept at the most; infinite where one is absent or no number."""
    said = _said(answer, weights)
    if not expected or said.keys() != expected.keys():
        return float("inf")
    return max(_farthest(values, expected[name]) for name, values in said.items())


def _said(answer: Answer, weights: Mapping[str, Array]) -> Mapping[str, Array]:
    return answer(rows(weights), happened(weights))


def _farthest(values: Array, expected: Sequence[float | Sequence[float]]) -> float:
    known = np.asarray(expected, np.float64)
    if values.shape != known.shape:
        return float("inf")
    distance = np.abs(values - known)
    return float(distance.max()) if np.isfinite(distance).all() else float("inf")
