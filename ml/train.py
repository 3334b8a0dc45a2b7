"""Train the network on loans that ended, in time order, within a budget.

`python -m ml.train loans.parquet --out DIR` does it from a file that `ml.data` understands, without Django.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ml import artifact, data, evaluate
from ml.calibrate import Calibration, calibrate
from ml.data import Dataset

if TYPE_CHECKING:
    import keras

LEAST_LOANS = 100
# (fraction of the work done 0..1, what is going on)
Progress = Callable[[float, str], None]


class TooFewLoans(ValueError):
    """Not enough loans, or only one outcome among them, to learn from."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How much work a training run may do, and how.

    shares: the parts, oldest first: learn from, stop by, calibrate on (with the part before), judge on.
    max_seconds stops after the epoch that crosses it; such a run cannot be repeated exactly, so leave it
    generous and let epochs bind.
    """

    shares: tuple[float, float, float, float] = (0.70, 0.10, 0.10, 0.10)
    gap_days: float = 0
    epochs: int = 24
    patience: int = 5
    batch: int = 256
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    max_seconds: float | None = None
    bins: int = 16
    embedding: int = 4
    width: int = 48
    members: int = 4
    dropout: float = 0.3
    # The chance of default decides; the other two outputs must not cost it accuracy.
    share_weight: float = 0.2
    offer_weight: float = 0.2


@dataclass(frozen=True)
class Trained:
    """A trained network as plain arrays and facts, ready to be saved or scored with ml.forward.

    seen_until: latest decision (seconds since 1970 UTC) among loans learnt from, stopped by or calibrated on.
    metrics: `test` and `stop`, each as `evaluate.judge` returns it.
    """

    weights: dict[str, npt.NDArray[np.float32]]
    network: dict[str, Any]
    names: tuple[str, ...]
    calibration: Calibration
    metrics: dict[str, dict[str, float]]
    seed: int
    data_sha256: str
    loans: int
    seen_until: int
    plan: Plan = field(default_factory=Plan)
    seconds: float = 0.0
    epochs: int = 0


def train(dataset: Dataset, *, seed: int, plan: Plan | None = None, progress: Progress | None = None) -> Trained:
    """Learn from the oldest loans, stop and calibrate by later ones, judge on the latest.

    The same data set (in any row order), seed and plan give the same weights on the same machine.

    Raises:
        TooFewLoans: fewer than 100 loans, or a part to learn from without both outcomes.
    """
    plan, say = plan or Plan(), progress or (lambda fraction, what: None)
    started = time.monotonic()
    learn, stop, later, test = dataset.split(plan.shares, gap_days=plan.gap_days)
    if len(dataset) < LEAST_LOANS or not len(learn) or not len(stop) or len(set(learn.default)) < 2:
        raise TooFewLoans(f"needs {LEAST_LOANS} loans with both outcomes, got {len(dataset)}")

    say(0.0, "starting TensorFlow")
    from ml import network

    size = network.Spec(len(dataset.names), plan.bins, plan.embedding, plan.width, plan.members, plan.dropout)
    model, members = network.build(size, seed=seed)
    model.get_layer("encode").assign(network.learn_encoding(learn.x, plan.bins))
    epochs = fit(members, learn, stop, seed=seed, plan=plan, started=started, say=say)

    say(0.95, "calibrating and judging")
    # The part that stopped training takes part again: one season alone, and the share lost moves with the
    # seasons, would make every later chance wrong by the same factor.
    seen = np.concatenate([stop.x, later.x]), np.concatenate([stop.default, later.default])
    fitted = calibrate(seen[1], scores(network.weights_of(model), seen[0]))
    model.get_layer("calibrate").slope.assign(fitted.slope)
    model.get_layer("calibrate").intercept.assign(fitted.intercept)
    weights = network.weights_of(model)
    parts = {"stop": stop, "test": test}
    result = Trained(
        weights=weights,
        network=asdict(size),
        names=dataset.names,
        calibration=fitted,
        metrics={name: evaluate.judge(p.default, scores(weights, p.x)) for name, p in parts.items() if len(p)},
        seed=seed,
        data_sha256=dataset.sha256(),
        loans=len(dataset),
        seen_until=max(int(part.decided_at.max()) for part in (learn, stop, later) if len(part)),
        plan=plan,
        seconds=time.monotonic() - started,
        epochs=epochs,
    )
    say(1.0, f"trained on {len(learn)} loans in {result.seconds:.0f} s")
    return result


def scores(weights: dict[str, npt.NDArray[np.float32]], x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the chance of default (n,) by the NumPy path, in blocks so that memory stays bounded."""
    from ml.forward import forward

    blocks = [forward(weights, x[i : i + 4096])["default"] for i in range(0, len(x), 4096)]
    return np.concatenate(blocks) if blocks else np.zeros(0, np.float32)


def targets(dataset: Dataset) -> npt.NDArray[np.float32]:
    """Return (n, 3): default, repaid_share, best_offer; NaN and -1 where unknown."""
    return np.column_stack([dataset.default, dataset.repaid_share, dataset.best_offer]).astype(np.float32)


def joint_loss(plan: Plan) -> Callable[[Any, Any], Any]:
    """Return the loss per loan: the mean of the members' own losses, not the loss of their mean.

    y: (batch, 3) as `targets` gives it; logits: (batch, k, 5). Unknown outcomes cost nothing. Averaging the
    losses keeps the members different, which is what makes their mean good (TabM, section 4).
    """
    from keras import ops

    from ml import network

    def binary(y: Any, logit: Any) -> Any:
        return ops.mean(ops.softplus(logit) - y[:, None] * logit, axis=1)

    def loss(y: Any, logits: Any) -> Any:
        default, share, offer = y[:, 0], y[:, 1], ops.cast(y[:, 2], "int32")
        known = ops.logical_not(ops.isnan(share))
        share_loss = binary(ops.where(known, share, 0.0), logits[:, :, network.REPAID_SHARE])
        offers = ops.log_softmax(logits[:, :, network.OFFER], axis=-1)
        # one_hot of -1 is all zeros, so an unknown offer adds nothing.
        offer_loss = -ops.sum(ops.mean(offers, axis=1) * ops.one_hot(offer, 3), axis=-1)
        return (
            binary(default, logits[:, :, network.DEFAULT])
            + plan.share_weight * ops.where(known, share_loss, 0.0)
            + plan.offer_weight * offer_loss
        )

    return loss


def default_log_loss(y: Any, logits: Any) -> Any:
    """Return the log-loss per loan of the members' mean chance of default: what the lender will live with."""
    import keras
    from keras import ops

    p = ops.mean(ops.sigmoid(logits[:, :, 0]), axis=1)
    return keras.losses.binary_crossentropy(y[:, :1], p[:, None])


def fit(
    members: "keras.Model",
    learn: Dataset,
    stop: Dataset,
    *,
    seed: int,
    plan: Plan,
    started: float,
    say: Progress,
) -> int:
    """Train in place, keep the weights of the epoch best on `stop`, return the number of epochs run."""
    import keras
    from keras.callbacks import EarlyStopping, LambdaCallback

    adam = keras.optimizers.AdamW(plan.learning_rate, weight_decay=plan.weight_decay, clipnorm=1.0)
    # Decay pulls towards zero: right for kernels, wrong for scalings that start at one, and for biases.
    adam.exclude_from_weight_decay(var_names=["bias", "scale_in", "scale_out"])
    members.compile(adam, loss=joint_loss(plan), metrics=[default_log_loss], jit_compile=False)

    def after_epoch(epoch: int, logs: dict[str, float]) -> None:
        worst = logs["val_default_log_loss"]
        say(0.05 + 0.85 * (epoch + 1) / plan.epochs, f"epoch {epoch + 1}: log-loss {worst:.4f}")
        if plan.max_seconds and time.monotonic() - started > plan.max_seconds:
            members.stop_training = True

    early = EarlyStopping("val_default_log_loss", mode="min", patience=plan.patience, restore_best_weights=True)
    history = members.fit(
        batches(learn, plan.batch, seed=seed),
        validation_data=batches(stop, 4096),
        epochs=plan.epochs,
        callbacks=[early, LambdaCallback(on_epoch_end=after_epoch)],
        shuffle=False,  # the stream shuffles itself
        verbose=0,
    )
    return len(history.history["loss"])


def batches(dataset: Dataset, size: int, *, seed: int | None = None) -> Any:
    """Return a tf.data stream of (x, targets); with a seed, in a new order each epoch, the same each run."""
    import tensorflow as tf

    x, y = tf.constant(dataset.x), tf.constant(targets(dataset))
    rows = tf.data.Dataset.range(len(dataset))
    if seed is not None:
        rows = rows.shuffle(len(dataset), seed=seed)
    # Row numbers are shuffled and rows gathered by the batch: far quicker than a stream of single rows.
    return rows.batch(size).map(lambda i: (tf.gather(x, i), tf.gather(y, i))).prefetch(2)


def main(argv: list[str] | None = None) -> int:
    """Train on a Parquet file and write the signed model; the key comes from the environment."""
    usual = Plan()
    parser = argparse.ArgumentParser(prog="python -m ml.train", description=main.__doc__)
    parser.add_argument("data", type=Path, help="Parquet file with the columns of ml.data")
    parser.add_argument("--out", type=Path, required=True, help="directory to make; must not exist")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=usual.epochs)
    parser.add_argument("--gap-days", type=float, default=usual.gap_days)
    parser.add_argument("--commit", help="commit of the code, kept in the manifest")
    parser.add_argument("--key-from", default="MODEL_KEY", help="environment variable that holds the signing key")
    args = parser.parse_args(argv)
    key = os.environ.get(args.key_from, "").encode()
    try:
        artifact.sign(b"", key)
        if args.out.exists():
            raise FileExistsError(f"{args.out} is there already")
        trained = train(
            data.load(args.data),
            seed=args.seed,
            plan=Plan(epochs=args.epochs, gap_days=args.gap_days),
            progress=lambda fraction, what: print(f"{fraction:4.0%} {what}", file=sys.stderr),  # noqa: T201
        )
        manifest = artifact.save(trained, args.out, key=key, commit=args.commit)
    except (ValueError, OSError) as error:
        print(f"ml.train: {error}", file=sys.stderr)  # noqa: T201
        return 2
    print(json.dumps(manifest["metrics"]))  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
