"""The network of ml/network.py ready to be asked: what each feature adds is looked up instead of worked out.

Up to the first ReLU a feature is in no company: what it adds to the additive path, and its embedding, depend on its
own value alone, and between two edges of its bins they run in a straight line. So for each piece between edges it
is worked out once, when a model is loaded, where its line starts and how far it rises. To answer, the piece of each
value is found and two numbers are read; the layers above are those of ml/forward.py. The same weights and the same
function, rounded elsewhere.

NumPy alone: nothing to compile, nothing that a fork could break.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ml import forward
from ml.events import Events

Array = npt.NDArray[np.float32]
Places = npt.NDArray[np.int64]
# Rows that are worked on at once: enough for one matrix product, few enough to stay in the cache.
BLOCK = 256


@dataclass(frozen=True)
class Pieces:
    """Where each value of f features stands among the edges of its b bins; p = b + 2 pieces a feature.

    Piece 0 is below the lowest edge, the last one is a missing value, the others are the bins. edges: (b, 1, f),
    infinite for a bin that is not used. low, scale: (f * p,) start of a piece and 1 / its width, 0 for a flat one.
    """

    edges: Array
    low: Array
    scale: Array

    @classmethod
    def of(cls, weights: dict[str, Array]) -> "Pieces":
        """Return the pieces of an encoding."""
        low, scale = weights["encode/low"], weights["encode/scale"]
        edges = np.where(scale > 0, low, np.float32(np.inf)).T[:, None]
        low, scale = (np.pad(each, ((0, 0), (1, 1))).reshape(-1) for each in (low, scale))
        return cls(np.ascontiguousarray(edges), low, scale)

    def find(self, x: Array) -> tuple[Places, Array]:
        """Return (place, part), each (n, f), of x: the piece, counted through all features, and how far in it."""
        b, _, f = self.edges.shape
        piece = (x >= self.edges).sum(axis=0, dtype=np.int16)
        missing = np.isnan(x)
        piece[missing] = b + 1
        place = piece + np.arange(f) * (b + 2)
        part = (np.where(missing, np.float32(0), x) - self.low.take(place)) * self.scale.take(place)
        return place, np.clip(part, 0, 1)


def lines(weights: dict[str, Array]) -> tuple[Array, Array]:
    """Return (start, rise), each (g, LOGITS + embedding, f * p): the curves of both paths, one line a piece.

    start: what the start of a piece adds; rise: how much more its end adds.
    """
    curves = np.concatenate([weights["wide/curves"], weights["embed/curves"]], axis=3).astype(np.float64)
    g, _, _, units = curves.shape
    start, rise = (
        np.einsum("pfc,gfcu->gufp", code, curves).reshape(g, units, -1).astype(np.float32)
        for code in (_starts(weights), _rises(weights))
    )
    return start, rise


def _starts(weights: dict[str, Array]) -> npt.NDArray[np.float64]:
    """Return the code (p, f, b + 2) of the start of each piece, as the reference encodes it."""
    low = weights["encode/low"].T
    nothing = np.full_like(low[:1], np.nan)
    return forward.encode(weights, np.vstack([low[:1], low, nothing])).astype(np.float64)


def _rises(weights: dict[str, Array]) -> npt.NDArray[np.float64]:
    """Return how much the code (p, f, b + 2) rises on each piece: its bin fills, and the score takes its step."""
    scale, step = weights["encode/scale"], weights["encode/score_step"]
    f, b = scale.shape
    rise = np.zeros((b + 2, f, b + 2))
    for place in range(b):
        rise[place + 1, :, place] = scale[:, place] > 0
        rise[place + 1, :, b] = step[:, place]
    return rise


class Tables:
    """The network of some weights, as a function of rows. Threads and forked children may share it."""

    def __init__(self, weights: dict[str, Array]) -> None:
        """Work out the tables: some milliseconds for the nightly network.

        Raises:
            KeyError, ValueError: a weight is absent or of a shape that does not fit the others.
        """
        self._weights = weights
        self._pieces = Pieces.of(weights)
        self._start, self._rise = lines(weights)

    def __call__(self, x: Array, events: Events | None = None) -> dict[str, Array]:
        """Return the answers that `forward.forward` gives to rows and events."""
        x = np.asarray(x, dtype=np.float32)
        added = forward.added_by(self._weights, events)
        blocks = []
        for at in range(0, max(len(x), 1), BLOCK):
            rows = slice(at, at + BLOCK)
            # The events of one are those of all rows.
            blocks.append(self._answer(x[rows], added if added.shape[1] == 1 else added[:, rows]))
        return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}

    def _answer(self, x: Array, added: Array) -> dict[str, Array]:
        place, part = self._pieces.find(x)
        nets = range(len(self._weights["wide/bias"]))
        logits = np.stack([self._logits_of(net, place, part) for net in nets])
        return forward.answers(self._weights, logits + added[:, :, None])

    def _logits_of(self, net: int, place: Places, part: Array) -> Array:
        """Return what the members of one net say: (n, k, LOGITS)."""
        bias = self._weights["wide/bias"][net]
        added = self._rise[net].take(place, axis=1)
        added *= part
        added += self._start[net].take(place, axis=1)
        wide = added[: len(bias)].sum(axis=2).T + bias
        deep = added[len(bias) :].transpose(1, 2, 0)
        return forward.above(self._weights, net, wide, deep.reshape(len(deep), deep.shape[1] * deep.shape[2]))
