"""Find the weights of a bag of networks: each net learns without one part of the rows, and stops by that part.

All nets of the bag are trained side by side in one graph, each on rows of its own, until none gets better. What is
kept of a net are the weights of the epoch in which its chance of default was best on its own part.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ml import ridge
from ml.events import CODES, GAP, KINDS, PROMISES, Events
from ml.forward import encode
from ml.measures import log_loss

Array = npt.NDArray[np.float32]
# (fraction of the work done 0..1, what is going on)
Progress = Callable[[float, str], None]
# (epoch, mean log-loss of the nets' best so far); what it raises ends the fitting
Watch = Callable[[int, float], None]
# A part is looked at in blocks of so many rows, so that memory stays bounded.
BLOCK = 4_096
# So many rows are enough for a straight line.
ROWS_OF_LINE = 10_000


@dataclass(frozen=True, slots=True)
class Recipe:
    """The sizes of the network, and how its weights are found.

    max_seconds stops after the epoch that crosses it; such a run cannot be repeated exactly, so leave it
    generous and let epochs bind.
    """

    bins: int = 16
    embedding: int = 8
    width: int = 64
    members: int = 8
    nets: int = 5
    dropout: float = 0.3
    epochs: int = 200
    patience: int = 16
    batch: int = 256
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    clip: float = 1.0
    max_seconds: float | None = None
    # The learning rate falls in a line from the first epoch to nothing after the last: for a set number of epochs.
    falls: bool = False
    # The chance of default decides; the other outputs must not cost it accuracy.
    share_weight: float = 0.2
    offer_weight: float = 0.2
    time_weight: float = 0.1


@dataclass
class Fitted:
    """A trained bag. log_loss: of each net on its own part; epochs: in which it was best, 0 before the first.

    left_out: (n,) the chance of default that the net gives which did not learn from the row; NaN where all did.
    """

    spec: Any
    weights: dict[str, Array]
    log_loss: list[float]
    epochs: list[int]
    left_out: Array
    seconds: float = 0.0
    history: list[list[float]] = field(default_factory=list)


class Diverged(ArithmeticError):
    """The chances of a net were no numbers in any epoch."""


def fit(
    x: Array,
    y: Array,
    parts: npt.NDArray[np.int64],
    recipe: Recipe,
    *,
    seed: int,
    say: Progress,
    monotone: npt.NDArray[np.int64] | None = None,
    categories: npt.NDArray[np.bool_] | None = None,
    events: Events | None = None,
    start: dict[str, Array] | None = None,
    watch: Watch = lambda epoch, best: None,
) -> Fitted:
    """Train `recipe.nets` networks on x: (n, f), NaN where missing, and return them as one.

    y: (n, 4) default, share repaid (NaN where unknown), index of the best offer (-1 where unknown), time until it
    was repaid (NaN where unknown).
    parts: (n,) net i learns from the rows whose part is not i, and stops by those whose part is i. Each net needs
    both. The same rows, recipe and seed give the same weights on the same machine.
    monotone: (f,) where it is 1 more of a number never lowers the chance of default, where -1 it never raises it.
    categories: (f,) whose numbers only name something.
    events: (n, 128, 4) what happened before, as `ml.events` says; with `monotone` their promises are kept, too.
    start: the weights of an earlier bag of the same sizes to go on from, its encoding kept. Whether that bag learnt
    from rows by which this one stops is the caller's to know.

    Raises:
        Diverged: a net found no weights that give chances.
        ValueError: `start` is of another network.
    """
    started = time.monotonic()
    import keras

    from ml import network

    keras.utils.set_random_seed(seed)
    spec = spec_of(recipe, x.shape[1], 0 if events is None else len(KINDS))
    serving, members = network.build(spec, seed=seed)
    rng = np.random.default_rng(seed)
    own = [np.flatnonzero(parts != net) for net in range(recipe.nets)]
    stops = [np.flatnonzero(parts == net) for net in range(recipe.nets)]
    if start is None:
        learnt = _learnt(parts, recipe.nets)
        serving.get_layer("encode").assign(network.learn_encoding(x, recipe.bins, learnt))
        named = np.zeros(x.shape[1], bool) if categories is None else categories
        _begin_wide(serving, x, y, own, named, seed=seed, rng=rng)
    else:
        network.take_over(serving, start | network.UNCALIBRATED)
    keep_promises = (lambda: None) if monotone is None else _promises(serving, monotone)
    keep_promises()
    learn, chances = _compiled(members, x, y, events, recipe, keep_promises)

    best = Best(members.trainable_variables, recipe.nets)
    history: list[list[float]] = []
    for epoch in range(recipe.epochs + 1):
        # Before the first one stands the line that the wide path begins as, or what was gone on from.
        if epoch:
            learn(_order(own, recipe.batch, rng), _rate(recipe, epoch))
        said = _of_own_part(chances, stops)
        history.append([log_loss(y[stop, 0], p) for stop, p in zip(stops, said, strict=True)])
        best.keep(epoch, history[-1])
        now, mean = (sum(losses) / recipe.nets for losses in (history[-1], best.losses))
        say(epoch / max(1, recipe.epochs), f"epoch {epoch}: log-loss {now:.4f}, best {mean:.4f}")
        watch(epoch, mean)
        if all(epoch - at >= recipe.patience for at in best.epochs):
            break
        if epoch and recipe.max_seconds and time.monotonic() - started > recipe.max_seconds:
            break
    best.restore()
    left_out = _left_out(len(x), stops, _of_own_part(chances, stops))
    took = time.monotonic() - started
    return Fitted(spec, network.weights_of(serving), best.losses, best.epochs, left_out, took, history)


def spec_of(recipe: Recipe, count: int, kinds: int = 0) -> Any:
    """Return the sizes of the network (`ml.network.Spec`) that a recipe makes for so many features and kinds."""
    from ml import network

    return network.Spec(
        count, recipe.bins, recipe.embedding, recipe.width, recipe.members, recipe.nets, recipe.dropout, kinds
    )


def _rate(recipe: Recipe, epoch: int) -> np.float32:
    """Return the learning rate of an epoch, the first of which is 1."""
    left = (recipe.epochs + 1 - epoch) / recipe.epochs if recipe.falls else 1.0
    return np.float32(recipe.learning_rate * left)


def _left_out(rows: int, stops: list[npt.NDArray[np.int64]], said: list[Array]) -> Array:
    """Return (rows,) what was said of each row by the net that did not learn from it, NaN where all did."""
    found = np.full(rows, np.nan, np.float32)
    for stop, p in zip(stops, said, strict=True):
        found[stop] = p
    return found


def _begin_wide(
    serving: Any,
    x: Array,
    y: Array,
    own: list[npt.NDArray[np.int64]],
    categories: npt.NDArray[np.bool_],
    *,
    seed: int,
    rng: np.random.Generator,
) -> None:
    """Let the wide path of each net begin as logistic regressions, one for each output, on the normal score of each
    number, the place of each category and marks of what is missing, fitted to the rows that the net learns from."""
    from ml import network

    wide, weights = serving.get_layer("wide"), network.weights_of(serving)
    curves, bias = wide.curves.numpy(), wide.bias.numpy()
    spoken = np.zeros(curves.shape[1:3], bool)
    spoken[:, -network.BESIDE_BINS :] = True
    # Of a category the places that it has, and no score: its numbers have no order.
    spoken[categories, : -network.BESIDE_BINS] = weights["encode/scale"][categories] > 0
    spoken[categories, network.SCORE] = False
    for net, learnt in enumerate(own):
        rows = learnt if len(learnt) <= ROWS_OF_LINE else np.sort(rng.choice(learnt, ROWS_OF_LINE, replace=False))
        inputs = _code(weights, x[rows], spoken)
        for output, (known, target) in enumerate(_of_outputs(y[rows])):
            # Of what never or always happened there is nothing to learn.
            if 1 <= target[known].sum() <= known.sum() - 1:
                slopes, intercept = ridge.fit(inputs[known], target[known], seed=seed)
                curves[net, spoken, output] = slopes
                bias[net, output] = intercept
    wide.curves.assign(curves)
    wide.bias.assign(bias)


def _of_outputs(y: Array) -> Iterator[tuple[npt.NDArray[np.bool_], npt.NDArray[np.float64]]]:
    """Yield for each logit where its outcome is known, and the outcome from 0 to 1."""
    default, share, offer, time = y.astype(np.float64).T
    yield np.ones(len(y), bool), default
    yield ~np.isnan(share), share
    for place in range(3):
        yield offer >= 0, offer == place
    yield ~np.isnan(time), time


def _code(weights: dict[str, Array], x: Array, spoken: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Return (n, m) the m parts of the code of x that are spoken: (f, c)."""
    blocks = [encode(weights, x[at : at + BLOCK])[:, spoken] for at in range(0, len(x), BLOCK)]
    return np.concatenate(blocks).astype(np.float64)


class Best:
    """The weights of each net in the epoch in which it was best on its own part."""

    def __init__(self, variables: Sequence[Any], nets: int) -> None:
        self.variables = variables
        self.losses, self.epochs = [math.inf] * nets, [0] * nets
        self.weights = [variable.numpy().copy() for variable in variables]

    def keep(self, epoch: int, losses: Sequence[float]) -> None:
        """Take over the weights of the nets that are better than they ever were."""
        for net, loss in enumerate(losses):
            if loss < self.losses[net]:
                self.losses[net], self.epochs[net] = loss, epoch
                for kept, variable in zip(self.weights, self.variables, strict=True):
                    kept[net] = variable[net].numpy()

    def restore(self) -> None:
        """Put the best weights back.

        Raises:
            Diverged: a net was no better than infinitely wrong.
        """
        if not all(map(math.isfinite, self.losses)):
            raise Diverged(f"log-loss of the nets: {self.losses}")
        for variable, kept in zip(self.variables, self.weights, strict=True):
            variable.assign(kept)


def _promises(serving: Any, monotone: npt.NDArray[np.int64]) -> Callable[[], None]:
    """Return what makes the weights keep the promises: a step of training is followed by it.

    A promised number speaks through its additive curve alone, and of that no slope runs the other way, as its
    positions and its score grow with it. Its mark of what is missing is free, and so are the other outputs. What an
    event of a promised kind adds has the sign that was promised, and does not depend on how far the next one is.
    """
    from keras import ops

    from ml import network

    wide, embed = serving.get_layer("wide").curves, serving.get_layer("embed").curves
    least, most = (np.full(wide.shape[1:], side * np.inf, np.float32) for side in (-1, 1))
    least[monotone > 0, :-1, network.DEFAULT] = 0
    most[monotone < 0, :-1, network.DEFAULT] = 0
    free = (monotone == 0).astype(np.float32)[:, None, None]
    story = [layer for layer in serving.layers if layer.name == "story"]
    at_most = np.full((len(KINDS), 1, network.LOGITS), np.inf, np.float32)
    at_most[PROMISES < 0, :, network.DEFAULT] = 0
    # One more event stands between two others and changes how far apart they are: of that nothing may depend.
    heard = np.ones((len(KINDS), CODES, 1), np.float32)
    heard[PROMISES < 0, GAP - 1] = 0

    def keep() -> None:
        wide.assign(ops.clip(wide, least, most))
        embed.assign(embed * free)
        for layer in story:
            layer.out.assign(ops.minimum(layer.out, at_most))
            layer.kernel.assign(layer.kernel * heard)

    return keep


def _compiled(
    members: Any, x: Array, y: Array, events: Events | None, recipe: Recipe, keep_promises: Callable[[], None]
) -> tuple[Callable[[Any, Any], None], Callable[[Any], Any]]:
    """Return what learns one epoch from rows in an order (steps, batch, g) at a rate, and what gives the chances
    (g, n) that each net gives to rows of its own (n, g)."""
    import keras
    import tensorflow as tf

    from ml import network

    variables = members.trainable_variables
    adam = keras.optimizers.AdamW(recipe.learning_rate, weight_decay=recipe.weight_decay)
    # Decay pulls towards zero: right for kernels, wrong for scalings that start at one, and for biases.
    adam.exclude_from_weight_decay(var_names=["bias", "scale_in", "scale_out"])
    adam.build(variables)
    rows, outcomes = [tf.constant(x), *([] if events is None else [tf.constant(events)])], tf.constant(y)
    loss = joint_loss(recipe)

    def said(of_nets: Any, *, training: bool) -> Any:
        taken = [tf.gather(each, of_nets) for each in rows]
        return members(taken if events is not None else taken[0], training=training)

    @tf.function(
        input_signature=[tf.TensorSpec([None, None, recipe.nets], tf.int32), tf.TensorSpec([], tf.float32)]
    )
    def learn(order: Any, rate: Any) -> None:
        adam.learning_rate.assign(rate)
        for step in tf.range(tf.shape(order)[0]):
            of_nets = order[step]
            with tf.GradientTape() as tape:
                cost = tf.reduce_sum(loss(tf.gather(outcomes, of_nets), said(of_nets, training=True)))
            gradients = tape.gradient(cost, variables)
            adam.apply([_clipped(gradient, recipe.clip) for gradient in gradients], variables)
            keep_promises()

    @tf.function(input_signature=[tf.TensorSpec([None, recipe.nets], tf.int32)])
    def chances(of_nets: Any) -> Any:
        return tf.reduce_mean(tf.sigmoid(said(of_nets, training=False)[..., network.DEFAULT]), axis=-1)

    return learn, chances


def _learnt(parts: npt.NDArray[np.int64], nets: int) -> npt.NDArray[np.bool_]:
    """Return the rows that some net learns from: a bin or a mark that none has met would stay as it began."""
    return parts != 0 if nets == 1 else np.ones(len(parts), bool)


def joint_loss(recipe: Recipe) -> Callable[[Any, Any], Any]:
    """Return the loss of each net (g,): the mean of its members' own losses, not the loss of their mean.

    y: (batch, g, 4) as `fit` takes it; logits: (g, batch, k, 6). Unknown outcomes cost nothing. Averaging the
    losses keeps the members different, which is what makes their mean good (TabM, section 4).
    """
    from keras import ops

    from ml import network

    def binary(y: Any, logit: Any) -> Any:
        return ops.mean(ops.softplus(logit) - y[..., None] * logit, axis=-1)

    def where_known(y: Any, logit: Any) -> Any:
        known = ops.logical_not(ops.isnan(y))
        return ops.where(known, binary(ops.where(known, y, 0.0), logit), 0.0)

    def loss(y: Any, logits: Any) -> Any:
        y = ops.transpose(y, (1, 0, 2))
        default, offer = y[..., 0], ops.cast(y[..., 2], "int32")
        offers = ops.log_softmax(logits[..., network.OFFER], axis=-1)
        # one_hot of -1 is all zeros, so an unknown offer adds nothing.
        offer_loss = -ops.sum(ops.mean(offers, axis=-2) * ops.one_hot(offer, 3), axis=-1)
        each = (
            binary(default, logits[..., network.DEFAULT])
            + recipe.share_weight * where_known(y[..., 1], logits[..., network.REPAID_SHARE])
            + recipe.time_weight * where_known(y[..., 3], logits[..., network.REPAY_TIME])
            + recipe.offer_weight * offer_loss
        )
        return ops.mean(each, axis=-1)

    return loss


def _clipped(gradient: Any, clip: float) -> Any:
    """Return a variable's gradient with each net's share no longer than `clip`: nets must not slow one another."""
    from keras import ops

    norm = ops.sqrt(ops.sum(ops.square(gradient), axis=tuple(range(1, len(gradient.shape))), keepdims=True))
    return gradient * ops.minimum(1.0, clip / ops.maximum(norm, 1e-12))


def _order(own: list[npt.NDArray[np.int64]], batch: int, rng: np.random.Generator) -> npt.NDArray[np.int32]:
    """Return (steps, batch, g): which rows each net takes when, each of its own once and some of them twice."""
    most = max(map(len, own))
    steps = max(1, round(most / batch))
    size = math.ceil(most / steps)
    columns = [np.resize(rng.permutation(rows), steps * size) for rows in own]
    return np.stack(columns, axis=-1).reshape(steps, size, len(own)).astype(np.int32)


def _of_own_part(chances: Callable[[Any], Any], stops: list[npt.NDArray[np.int64]]) -> list[Array]:
    """Return what each net says of the rows of its own part."""
    most = max(map(len, stops))
    padded = np.stack([np.resize(stop, most) for stop in stops], axis=-1).astype(np.int32)
    said = np.concatenate([chances(padded[at : at + BLOCK]).numpy() for at in range(0, most, BLOCK)], axis=1)
    return [said[net, : len(stop)] for net, stop in enumerate(stops)]
