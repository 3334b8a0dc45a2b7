"""The network: raw numbers in, NaN included; chance of default, share repaid and best offer out.

    x (batch, n_features) -> encode (piecewise linear, missing marks; quantiles held inside)
        -> wide: one additive curve per feature and output (a scorecard)         \
        -> embed: 4 numbers per feature -> two BatchEnsemble layers -> head       + -> logits of k members
    -> default: mean probability of the members, calibrated; repaid_share; offer: softmax of 3

Sources: numeric encoding, Gorishniy et al. 2022, "On Embeddings for Numerical Features in Tabular Deep
Learning", eq. 1; members, Wen et al. 2020, "BatchEnsemble", eq. 5, in the form of Gorishniy et al. 2024,
"TabM"; wide path, Cheng et al. 2016, "Wide & Deep Learning". ml/forward.py is the same in plain NumPy.

Importing this file imports TensorFlow: in a worker only after the fork.
"""

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import ops

# One logit for default, one for the share repaid, three for the offer: the last axis of the head.
DEFAULT, REPAID_SHARE, OFFER = 0, 1, slice(2, 5)
LOGITS = 5
# Probabilities stay this far from 0 and 1, or the calibration's log-odds would be infinite.
MARGIN = 1e-6


@dataclass(frozen=True, slots=True)
class Spec:
    """The sizes of a network; with the weights, all that is needed to restore it."""

    features: int
    bins: int = 16
    embedding: int = 4
    width: int = 48
    members: int = 4
    dropout: float = 0.3


@dataclass(frozen=True, slots=True)
class Encoding:
    """What the encoding learnt from the training rows by counting. f features, b bins.

    low, scale: (f, b), start of each bin and 1 / its width, 0 for a bin that is not used.
    missing_seen: (f,) 1 where training rows had missing values. missing_code: (f, b), the code of a missing
    value: zeros where the network could learn what missing means, else the code of the median.
    reference: (f,) the usual value, NaN where missing is usual; explanations compare with it.
    """

    low: npt.NDArray[np.float32]
    scale: npt.NDArray[np.float32]
    missing_seen: npt.NDArray[np.float32]
    missing_code: npt.NDArray[np.float32]
    reference: npt.NDArray[np.float32]


def learn_encoding(x: npt.NDArray[np.float32], bins: int) -> Encoding:
    """Return bin edges at the quantiles of x: (n, f); a value that repeats much takes one edge, not many."""
    f = x.shape[1]
    low, scale, code = (np.zeros((f, bins), np.float32) for _ in range(3))
    seen, reference = np.zeros(f, np.float32), np.full(f, np.nan, np.float32)
    for j in range(f):
        known = x[~np.isnan(x[:, j]), j]
        if not len(known):
            continue
        edges = np.unique(np.quantile(known, np.linspace(0, 1, bins + 1)).astype(np.float32))
        used = len(edges) - 1
        # Bounded, because the inverse of the narrowest widths would be infinite.
        low[j, :used], scale[j, :used] = edges[:-1], 1 / np.maximum(np.diff(edges), np.float32(1e-30))
        median = np.float32(np.quantile(known, 0.5, method="nearest"))
        seen[j] = len(known) < len(x)
        if not seen[j]:
            code[j] = np.clip((median - low[j]) * scale[j], 0, 1)
        if len(known) * 2 >= len(x):
            reference[j] = median
    return Encoding(low=low, scale=scale, missing_seen=seen, missing_code=code, reference=reference)


class Encode(keras.layers.Layer):
    """Raw numbers to their position in each bin, 0 to 1, and marks of what is missing."""

    def __init__(self, spec: Spec, **kwargs: Any) -> None:
        """Hold the statistics of the training rows as weights that training does not move."""
        super().__init__(**kwargs)
        f, b = spec.features, spec.bins
        fixed = {"initializer": "zeros", "trainable": False}
        self.low = self.add_weight(name="low", shape=(f, b), **fixed)
        self.scale = self.add_weight(name="scale", shape=(f, b), **fixed)
        self.missing_seen = self.add_weight(name="missing_seen", shape=(f,), **fixed)
        self.missing_code = self.add_weight(name="missing_code", shape=(f, b), **fixed)
        self.reference = self.add_weight(name="reference", shape=(f,), **fixed)

    def assign(self, encoding: Encoding) -> None:
        """Take over the statistics."""
        for name in ("low", "scale", "missing_seen", "missing_code", "reference"):
            getattr(self, name).assign(getattr(encoding, name))

    def call(self, x: Any) -> Any:
        """Return (batch, f, b + 1): positions in [0, 1], last the mark 1 where a value is missing."""
        missing = ops.isnan(x)
        known = ops.where(missing, ops.zeros_like(x), x)
        # Clipped at both ends: an amount never seen before counts as the largest seen, not as more.
        position = ops.clip((known[..., None] - self.low) * self.scale, 0.0, 1.0)
        position = ops.where(missing[..., None], self.missing_code, position)
        mark = ops.cast(missing, x.dtype) * self.missing_seen
        return ops.concatenate([position, mark[..., None]], axis=-1)


class Curves(keras.layers.Layer):
    """Per feature its own linear map of the code; summed over features it is a scorecard."""

    def __init__(self, spec: Spec, units: int, *, seed: int, total: bool, **kwargs: Any) -> None:
        """Start at zero when the curves are summed, else small and random."""
        super().__init__(**kwargs)
        self.total = total
        start = "zeros" if total else keras.initializers.VarianceScaling(1.0, "fan_in", seed=seed)
        self.curves = self.add_weight(name="curves", shape=(spec.features, spec.bins + 1, units), initializer=start)
        self.bias = self.add_weight(name="bias", shape=(units,), initializer="zeros") if total else None

    def call(self, code: Any) -> Any:
        """Return (batch, units) when summed, else (batch, f * units)."""
        if self.total:
            return ops.einsum("nfb,fbu->nu", code, self.curves) + self.bias
        each = ops.einsum("nfb,fbu->nfu", code, self.curves)
        return ops.reshape(each, (-1, each.shape[1] * each.shape[2]))


class Members(keras.layers.Layer):
    """One linear layer shared by k members, each with its own input scaling, output scaling and bias.

    y_i = ((x_i * r_i) W) * s_i + b_i, BatchEnsemble eq. 5. x: (batch, k or 1, n_in) -> (batch, k, n_out).
    """

    def __init__(self, n_in: int, n_out: int, members: int, *, seed: int, first: bool, **kwargs: Any) -> None:
        """Start members apart by random signs in the first layer, alike in later ones (TabM, section 3.3)."""
        super().__init__(**kwargs)
        he = keras.initializers.HeNormal(seed=seed)
        signs = np.random.default_rng(seed).choice((-1.0, 1.0), (members, n_in)) if first else 1.0
        apart = keras.initializers.Constant(signs)
        self.kernel = self.add_weight(name="kernel", shape=(n_in, n_out), initializer=he)
        self.scale_in = self.add_weight(name="scale_in", shape=(members, n_in), initializer=apart)
        self.scale_out = self.add_weight(name="scale_out", shape=(members, n_out), initializer="ones")
        self.bias = self.add_weight(name="bias", shape=(members, n_out), initializer="zeros")

    def call(self, x: Any) -> Any:
        """Return every member's own output."""
        return ops.matmul(x * self.scale_in, self.kernel) * self.scale_out + self.bias


class Heads(keras.layers.Layer):
    """Each member's own last layer: (batch, k, width) -> (batch, k, LOGITS)."""

    def __init__(self, spec: Spec, *, seed: int, **kwargs: Any) -> None:
        """Start small, so that training begins at the scorecard."""
        super().__init__(**kwargs)
        small = keras.initializers.RandomNormal(stddev=0.02, seed=seed)
        shape = (spec.members, spec.width, LOGITS)
        self.kernel = self.add_weight(name="kernel", shape=shape, initializer=small)

    def call(self, x: Any) -> Any:
        """Return every member's logits."""
        return ops.einsum("nkw,kwl->nkl", x, self.kernel)


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

    `members` is what training fits: (batch, k, LOGITS). `network` is what serves: a dictionary of `default`
    (batch,), `repaid_share` (batch,) and `offer` (batch, 3), all in [0, 1].
    """
    x = keras.Input((spec.features,), name="x")
    code = Encode(spec, name="encode")(x)
    wide = Curves(spec, LOGITS, seed=seed, total=True, name="wide")(code)
    deep = Curves(spec, spec.embedding, seed=seed + 1, total=False, name="embed")(code)
    deep = ops.expand_dims(deep, 1)
    n_in = spec.features * spec.embedding
    for i in (1, 2):
        layer = Members(n_in, spec.width, spec.members, seed=seed + 1 + i, first=i == 1, name=f"hidden_{i}")
        deep = keras.layers.Dropout(spec.dropout, seed=seed + 3 + i)(ops.relu(layer(deep)))
        n_in = spec.width
    logits = Heads(spec, seed=seed + 6, name="heads")(deep) + ops.expand_dims(wide, 1)

    default = Calibrate(name="calibrate")(ops.mean(ops.sigmoid(logits[:, :, DEFAULT]), axis=1))
    share = ops.mean(ops.sigmoid(logits[:, :, REPAID_SHARE]), axis=1)
    offer = ops.mean(ops.softmax(logits[:, :, OFFER], axis=-1), axis=1)
    network = keras.Model(x, {"default": default, "repaid_share": share, "offer": offer}, name="network")
    return network, keras.Model(x, logits, name="members")


def weights_of(network: keras.Model) -> dict[str, npt.NDArray[np.float32]]:
    """Return every weight by its path, such as `hidden_1/kernel`, statistics and calibration included."""
    return {variable.path: np.asarray(variable, dtype=np.float32) for variable in network.weights}


def restore(spec: Spec, weights: dict[str, npt.NDArray[np.float32]]) -> keras.Model:
    """Return the serving network with these weights.

    Raises:
        ValueError: a weight is absent, unknown or of another shape than `spec` asks for.
    """
    network, _ = build(spec)
    wanted = {variable.path: variable for variable in network.weights}
    if wanted.keys() != weights.keys():
        raise ValueError(f"weights must be {sorted(wanted)}, got {sorted(weights)}")
    for path, variable in wanted.items():
        if tuple(variable.shape) != weights[path].shape:
            raise ValueError(f"{path} must be {tuple(variable.shape)}, got {weights[path].shape}")
        variable.assign(weights[path])
    return network
