"""The network: raw numbers in, NaN included, and what happened last; what becomes of a loan out.

    x (batch, f) -> encode (piecewise linear, rank, missing marks; quantiles held inside)
        -> wide: one additive curve per feature and output (a scorecard)           \\
        -> embed: some numbers per feature -> two BatchEnsemble layers -> heads    + -> logits
    events (batch, 128, 4) -> story: what each event adds by its kind, age, gap and amount, summed  /
    -> default: mean probability of all members, calibrated; repaid_share; repay_time; offer: softmax of 3

The events add to the log-odds and touch nothing else, so that what each one did can be told, and what is promised
of a kind of event (ml/events.py) is kept by the sign of its weights.

It holds a bag of `nets` such networks that share nothing but the encoding, each of `members` that share its
weights: training lets each net learn without another part of the rows (ml/fit.py).

Sources: numeric encoding, Gorishniy et al. 2022, "On Embeddings for Numerical Features in Tabular Deep
Learning", eq. 1; members, Wen et al. 2020, "BatchEnsemble", eq. 5, in the form of Gorishniy et al. 2024,
"TabM"; wide path, Cheng et al. 2016, "Wide & Deep Learning"; events as a sum over a set, Zaheer et al. 2017, "Deep
Sets", theorem 2, with the time between them as a number of each; bag, Breiman 1996, "Bagging Predictors", with the
parts left out as in cross-validation. ml/forward.py is the same in plain NumPy.

Importing this file imports TensorFlow: in a worker only after the fork.
"""

from dataclasses import dataclass
from itertools import pairwise
from statistics import NormalDist
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import ops

from ml.events import CODES, LAST

# A logit for default, one for the share repaid, three for the offer, one for the time: the last axis of the heads.
DEFAULT, REPAID_SHARE, OFFER, REPAY_TIME = 0, 1, slice(2, 5), 5
LOGITS = 6
# Probabilities stay this far from 0 and 1, or the calibration's log-odds would be infinite.
MARGIN = 1e-6
# Codes of events go up to 255. A step of training moves what each of up to 128 events adds: none may move it far.
MOST_CODE, STORY_SCALE = 1 / 255, 0.25
# However many they are, together they move a logit by less than this: odds by a factor of twenty.
MOST_STORY = 3.0
# What the calibration does before it is learnt: nothing.
UNCALIBRATED = {"calibrate/slope": np.ones((), np.float32), "calibrate/intercept": np.zeros((), np.float32)}
# Beside its position in each bin, a value's code holds its normal score and the mark of a missing one.
BESIDE_BINS, SCORE = 2, -2
# Normal scores end here: farther out stands one value in some hundreds.
FARTHEST_SCORE = 3.0


@dataclass(frozen=True, slots=True)
class Spec:
    """The sizes of a network; with the weights, all that is needed to restore it.

    kinds: of events, 0 for a network that is told of none.
    """

    features: int
    bins: int = 16
    embedding: int = 4
    width: int = 64
    members: int = 8
    nets: int = 1
    dropout: float = 0.3
    kinds: int = 0
    story: int = 8


@dataclass(frozen=True, slots=True)
class Encoding:
    """What the encoding learnt from the training rows by counting. f features, b bins.

    low, scale: (f, b), start of each bin and 1 / its width, 0 for a bin that is not used.
    score_start: (f,), score_step: (f, b), the normal score of the lowest value, and how much each bin adds.
    missing_seen: (f,) 1 where training rows had missing values. missing_code: (f, b + 1), the code of a missing
    value: zeros where the network could learn what missing means, else the code of the median.
    reference: (f,) the usual value, NaN where missing is usual; explanations compare with it.
    """

    low: npt.NDArray[np.float32]
    scale: npt.NDArray[np.float32]
    score_start: npt.NDArray[np.float32]
    score_step: npt.NDArray[np.float32]
    missing_seen: npt.NDArray[np.float32]
    missing_code: npt.NDArray[np.float32]
    reference: npt.NDArray[np.float32]


def learn_encoding(
    x: npt.NDArray[np.float32], bins: int, rows: npt.NDArray[np.bool_] | slice = slice(None)
) -> Encoding:
    """Return bin edges at the quantiles of these rows of x: (n, f); a value that repeats much takes one edge."""
    f = x.shape[1]
    low, scale, step = (np.zeros((f, bins), np.float32) for _ in range(3))
    start, seen, code = np.zeros(f, np.float32), np.zeros(f, np.float32), np.zeros((f, bins + 1), np.float32)
    reference = np.full(f, np.nan, np.float32)
    for j in range(f):
        # A column at a time: a million rows are not copied as a whole.
        values = x[rows, j]
        known = np.sort(values[~np.isnan(values)])
        if not len(known):
            continue
        edges = edges_of(known, bins)
        used = len(edges) - 1
        # Bounded, because the inverse of the narrowest widths would be infinite.
        low[j, :used], scale[j, :used] = edges[:-1], 1 / np.maximum(np.diff(edges), np.float32(1e-30))
        scores = normal_scores(known, edges)
        start[j], step[j, :used] = scores[0], np.diff(scores)
        median = np.float32(np.quantile(known, 0.5, method="nearest"))
        seen[j] = len(known) < len(values)
        if not seen[j]:
            code[j, :bins] = np.clip((median - low[j]) * scale[j], 0, 1)
            code[j, bins] = start[j] + code[j, :bins] @ step[j]
        if len(known) * 2 >= len(values):
            reference[j] = median
    return Encoding(low, scale, start, step, seen, code, reference)


def edges_of(known: npt.NDArray[np.float32], bins: int) -> npt.NDArray[np.float32]:
    """Return the edges of at most so many bins of sorted values: each value where there are few, else quantiles.

    A value that a bin's worth of the rows share is an edge of its own, and the quantiles are those of the others:
    where most are 0, what lies above it is still told apart.
    """
    values, counts = np.unique(known, return_counts=True)
    if len(values) <= bins + 1:
        return values
    often = values[counts * bins >= len(known)]
    others = known[~np.isin(known, often)]
    quantiles = np.quantile(others, np.linspace(0, 1, max(2, bins + 1 - len(often))))
    return np.unique(np.concatenate([often, quantiles.astype(np.float32)]))


def normal_scores(known: npt.NDArray[np.float32], edges: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Return where each edge would stand were the sorted values drawn from a normal distribution."""
    below, upto = (np.searchsorted(known, edges, side=side) for side in ("left", "right"))
    shares = (below + upto) / (2 * len(known))
    scores = np.array([NormalDist().inv_cdf(min(max(share, 1e-6), 1 - 1e-6)) for share in shares])
    return np.clip(scores, -FARTHEST_SCORE, FARTHEST_SCORE)


class Encode(keras.layers.Layer):
    """Raw numbers to their position in each bin, 0 to 1, their normal score, and marks of what is missing."""

    def __init__(self, spec: Spec, **kwargs: Any) -> None:
        """Hold the statistics of the training rows as weights that training does not move."""
        super().__init__(**kwargs)
        f, b = spec.features, spec.bins
        shapes = {
            "low": (f, b), "scale": (f, b), "score_start": (f,), "score_step": (f, b), "missing_seen": (f,),
            "missing_code": (f, b + 1), "reference": (f,),
        }  # fmt: skip
        for name, shape in shapes.items():
            setattr(self, name, self.add_weight(name=name, shape=shape, initializer="zeros", trainable=False))

    def assign(self, encoding: Encoding) -> None:
        """Take over the statistics."""
        for name in Encoding.__slots__:
            getattr(self, name).assign(getattr(encoding, name))

    def call(self, x: Any) -> Any:
        """Return (..., f, b + 2): positions in [0, 1], the score, last the mark 1 where a value is missing."""
        missing = ops.isnan(x)
        known = ops.where(missing, ops.zeros_like(x), x)
        # Clipped at both ends: an amount never seen before counts as the largest seen, not as more.
        position = ops.clip((known[..., None] - self.low) * self.scale, 0.0, 1.0)
        score = self.score_start + ops.sum(position * self.score_step, axis=-1)
        code = ops.concatenate([position, score[..., None]], axis=-1)
        code = ops.where(missing[..., None], self.missing_code, code)
        mark = ops.cast(missing, x.dtype) * self.missing_seen
        return ops.concatenate([code, mark[..., None]], axis=-1)


class Curves(keras.layers.Layer):
    """Per net and feature its own linear map of the code; summed over features it is a scorecard.

    code: (batch, g or 1, f, c), g nets.
    """

    def __init__(self, spec: Spec, units: int, *, seed: int, total: bool, **kwargs: Any) -> None:
        """Start at zero when the curves are summed, else small and random."""
        super().__init__(**kwargs)
        self.total = total
        shape = (spec.nets, spec.features, spec.bins + BESIDE_BINS, units)
        spread = (spec.bins + BESIDE_BINS) ** -0.5
        start = "zeros" if total else keras.initializers.RandomNormal(stddev=spread, seed=seed)
        self.curves = self.add_weight(name="curves", shape=shape, initializer=start)
        if total:
            self.bias = self.add_weight(name="bias", shape=(spec.nets, units), initializer="zeros")

    def call(self, code: Any) -> Any:
        """Return (g, batch, units) when summed, else (g, batch, f * units)."""
        nets, f, c, units = self.curves.shape
        code = ops.broadcast_to(code, (ops.shape(code)[0], nets, f, c))
        if self.total:
            flat = ops.reshape(ops.transpose(code, (1, 0, 2, 3)), (nets, -1, f * c))
            return ops.matmul(flat, ops.reshape(self.curves, (nets, f * c, units))) + self.bias[:, None]
        each = ops.matmul(ops.transpose(code, (1, 2, 0, 3)), self.curves)
        return ops.reshape(ops.transpose(each, (0, 2, 1, 3)), (nets, -1, f * units))


class Members(keras.layers.Layer):
    """One linear layer shared by the k members of a net, each with its own input scaling, output scaling, bias.

    y_i = ((x_i * r_i) W) * s_i + b_i, BatchEnsemble eq. 5. x: (g, batch, k or 1, n_in) -> (g, batch, k, n_out).
    """

    def __init__(self, n_in: int, n_out: int, spec: Spec, *, seed: int, first: bool, **kwargs: Any) -> None:
        """Start members apart by random signs in the first layer, alike in later ones (TabM, section 3.3)."""
        super().__init__(**kwargs)
        g, k = spec.nets, spec.members
        he = keras.initializers.RandomNormal(stddev=(2 / n_in) ** 0.5, seed=seed)
        signs = np.random.default_rng(seed).choice((-1.0, 1.0), (g, k, n_in)) if first else 1.0
        self.kernel = self.add_weight(name="kernel", shape=(g, n_in, n_out), initializer=he)
        apart = keras.initializers.Constant(signs)
        self.scale_in = self.add_weight(name="scale_in", shape=(g, k, n_in), initializer=apart)
        self.scale_out = self.add_weight(name="scale_out", shape=(g, k, n_out), initializer="ones")
        self.bias = self.add_weight(name="bias", shape=(g, k, n_out), initializer="zeros")

    def call(self, x: Any) -> Any:
        """Return every member's own output."""
        g, k, n_out = self.bias.shape
        scaled = ops.reshape(x * self.scale_in[:, None], (g, -1, self.kernel.shape[1]))
        y = ops.reshape(ops.matmul(scaled, self.kernel), (g, -1, k, n_out))
        return y * self.scale_out[:, None] + self.bias[:, None]


class Heads(keras.layers.Layer):
    """Each member's own last layer: (g, batch, k, width) -> (g, batch, k, LOGITS)."""

    def __init__(self, spec: Spec, *, seed: int, **kwargs: Any) -> None:
        """Start small, so that training begins at the scorecard."""
        super().__init__(**kwargs)
        small = keras.initializers.RandomNormal(stddev=0.02, seed=seed)
        shape = (spec.nets, spec.members, spec.width, LOGITS)
        self.kernel = self.add_weight(name="kernel", shape=shape, initializer=small)

    def call(self, x: Any) -> Any:
        """Return every member's logits."""
        each = ops.matmul(ops.transpose(x, (0, 2, 1, 3)), self.kernel)
        return ops.transpose(each, (0, 2, 1, 3))


class Story(keras.layers.Layer):
    """What events add to each logit: events (batch, g or 1, L, 4) of whole codes -> (g, batch, LOGITS).

    Of kind c with numbers z, the codes of age, gap and amount from 0 to 1 and a 1, an event adds relu(z K_c) W_c.
    What is no event adds nothing.
    """

    def __init__(self, spec: Spec, *, seed: int, **kwargs: Any) -> None:
        """Start by saying nothing: training begins at the scorecard."""
        super().__init__(**kwargs)
        self.kinds = spec.kinds
        near = keras.initializers.RandomNormal(stddev=0.5, seed=seed)
        self.kernel = self.add_weight(
            name="kernel", shape=(spec.nets, spec.kinds, CODES, spec.story), initializer=near
        )
        self.out = self.add_weight(
            name="out", shape=(spec.nets, spec.kinds, spec.story, LOGITS), initializer="zeros"
        )

    def call(self, events: Any) -> Any:
        """Return the sum over the events, bent towards its bound: a long list makes nobody surer without end."""
        nets, kinds, codes, story = self.kernel.shape
        events = ops.transpose(events, (1, 0, 2, 3))
        batch, last = ops.shape(events)[1], events.shape[2]
        events = ops.broadcast_to(events, (nets, batch, last, codes))
        # Kinds count from 1; one_hot of -1 is all zeros.
        kind = ops.one_hot(ops.cast(events[..., 0], "int32") - 1, kinds)
        numbers = ops.cast(events[..., 1:], "float32") * MOST_CODE
        numbers = ops.concatenate([numbers, ops.ones_like(numbers[..., :1])], axis=-1)
        own = ops.matmul(ops.reshape(kind, (nets, -1, kinds)), ops.reshape(self.kernel, (nets, kinds, -1)))
        own = ops.reshape(own, (nets, batch, last, codes, story))
        hidden = ops.relu(ops.sum(numbers[..., None] * own, axis=-2))
        of_kinds = ops.matmul(ops.transpose(kind, (0, 1, 3, 2)), hidden)
        flat = ops.reshape(of_kinds, (nets, batch, kinds * story))
        total = ops.matmul(flat, ops.reshape(self.out, (nets, kinds * story, LOGITS))) * STORY_SCALE
        return MOST_STORY * ops.tanh(total / MOST_STORY)


class Calibrate(keras.layers.Layer):
    """Mean member probability to calibrated probability: sigmoid(slope * log-odds + intercept)."""

    def __init__(self, **kwargs: Any) -> None:
        """Start as the identity."""
        super().__init__(**kwargs)
        self.slope = self.add_weight(name="slope", shape=(), initializer="ones", trainable=False)
        self.intercept = self.add_weight(name="intercept", shape=(), initializer="zeros", trainable=False)

    def call(self, p: Any) -> Any:
        """Return (batch,) in (0, 1)."""
        p = ops.clip(p, MARGIN, 1 - MARGIN)
        return ops.sigmoid((ops.log(p) - ops.log1p(-p)) * self.slope + self.intercept)


def build(spec: Spec, *, seed: int = 0) -> tuple[keras.Model, keras.Model]:
    """Return (network, members): the same layers, ending in probabilities, and in each member's logits.

    `members` is what training fits: each net has rows of its own, (batch, g, f) -> (g, batch, k, LOGITS).
    `network` is what serves: (batch, f) -> a dictionary of `default`, `repaid_share`, `repay_time` (batch,) and
    `offer` (batch, 3), all in [0, 1]. Where the network is told of events, both take a pair: with them
    (batch, g, L, 4), and (batch or 1, L, 4).
    """
    encode = Encode(spec, name="encode")
    wide = Curves(spec, LOGITS, seed=seed, total=True, name="wide")
    embed = Curves(spec, spec.embedding, seed=seed + 1, total=False, name="embed")
    sizes = (spec.features * spec.embedding, spec.width, spec.width)
    hidden = [
        Members(n_in, n_out, spec, seed=seed + 2 + place, first=not place, name=f"hidden_{place + 1}")
        for place, (n_in, n_out) in enumerate(pairwise(sizes))
    ]
    dropouts = [keras.layers.Dropout(spec.dropout, seed=seed + 4 + place) for place in range(len(hidden))]
    heads = Heads(spec, seed=seed + 6, name="heads")
    story = Story(spec, seed=seed + 7, name="story") if spec.kinds else None

    def logits_of(code: Any, events: Any) -> Any:
        deep = ops.expand_dims(embed(code), 2)
        for layer, dropout in zip(hidden, dropouts, strict=True):
            deep = dropout(ops.relu(layer(deep)))
        logits = heads(deep) + ops.expand_dims(wide(code), 2)
        return logits + ops.expand_dims(story(events), 2) if story else logits

    own = keras.Input((spec.nets, spec.features), name="x_of_nets")
    own_events = keras.Input((spec.nets, LAST, CODES), dtype="uint8", name="events_of_nets")
    said = logits_of(encode(own), own_events)
    members = keras.Model([own, own_events] if story else own, said, name="members")
    x = keras.Input((spec.features,), name="x")
    events = keras.Input((LAST, CODES), dtype="uint8", name="events")
    logits = logits_of(ops.expand_dims(encode(x), 1), ops.expand_dims(events, 1))
    default = Calibrate(name="calibrate")(ops.mean(ops.sigmoid(logits[..., DEFAULT]), axis=(0, 2)))
    share, time = (ops.mean(ops.sigmoid(logits[..., one]), axis=(0, 2)) for one in (REPAID_SHARE, REPAY_TIME))
    offer = ops.mean(ops.softmax(logits[..., OFFER], axis=-1), axis=(0, 2))
    answers = {"default": default, "repaid_share": share, "offer": offer, "repay_time": time}
    network = keras.Model([x, events] if story else x, answers, name="network")
    return network, members


def weights_of(network: keras.Model) -> dict[str, npt.NDArray[np.float32]]:
    """Return every weight by its path, such as `hidden_1/kernel`, statistics and calibration included."""
    return {variable.path: np.asarray(variable, dtype=np.float32) for variable in network.weights}


def restore(spec: Spec, weights: dict[str, npt.NDArray[np.float32]]) -> keras.Model:
    """Return the serving network with these weights.

    Raises:
        ValueError: a weight is absent, unknown or of another shape than `spec` asks for.
    """
    network, _ = build(spec)
    take_over(network, weights)
    return network


def take_over(network: keras.Model, weights: dict[str, npt.NDArray[np.float32]]) -> None:
    """Put weights as `weights_of` returns them into a network, all or none.

    Raises:
        ValueError: as `restore` says.
    """
    wanted = {variable.path: variable for variable in network.weights}
    if wanted.keys() != weights.keys():
        raise ValueError(f"weights must be {sorted(wanted)}, got {sorted(weights)}")
    for path, variable in wanted.items():
        if tuple(variable.shape) != weights[path].shape:
            raise ValueError(f"{path} must be {tuple(variable.shape)}, got {weights[path].shape}")
    for path, variable in wanted.items():
        variable.assign(weights[path])
