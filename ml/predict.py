"""The model as it serves: restored once per process, asked many times, by one of several paths that say the same.

`tables` (ml/serving.py) is the fastest and is what serves: NumPy alone, safe before and after a fork. `keras` is
the network itself, compiled with one fixed signature. Whichever it is, a scorer first answers the rows of
ml/parity.py, and refuses a model for which it does not say what Keras said when the model was made.

Importing this file is cheap; the path `keras` imports TensorFlow. Make such a scorer after the fork (in Celery:
`worker_process_init`): a TensorFlow that has run before a fork hangs its children.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ml import artifact, parity, serving
from ml.artifact import Artifact, ArtifactRefused
from ml.events import CODES, LAST, Events, check, none
from ml.parity import Answer

Array = npt.NDArray[np.float32]
TABLES, KERAS = "tables", "keras"


class UsedAfterFork(RuntimeError):
    """A scorer made in another process; asking it would hang for ever."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """default: (n,) chance of over 30 days late. repaid_share: (n,). offer: (n, 3), ordered as OFFERS.

    repay_time: (n,) until it is repaid, as a share of the time from payout to 30 days after the due date.
    """

    default: Array
    repaid_share: Array
    offer: Array
    repay_time: Array


def by_tables(model: Artifact) -> Answer:
    """Return the network looked up in tables."""
    return serving.Tables(model.weights)


def by_keras(model: Artifact) -> Answer:
    """Return the network restored in Keras and compiled for any number of rows of its width.

    Raises when asked:
        UsedAfterFork: made in another process.
    """
    import tensorflow as tf

    from ml import network

    spec = network.Spec(**model.manifest["network"])
    restored = network.restore(spec, model.weights)
    rows = tf.TensorSpec([None, spec.features], tf.float32)
    told = [tf.TensorSpec([None, LAST, CODES], tf.uint8)] if spec.kinds else []
    # One fixed signature: a new batch size must not trace and compile again in front of a customer.
    compiled = tf.function(
        lambda x, *events: restored([x, *events] if events else x, training=False), input_signature=[rows, *told]
    ).get_concrete_function()
    made_in = os.getpid()

    def answer(x: Array, events: Events | None = None) -> dict[str, Array]:
        if os.getpid() != made_in:
            raise UsedAfterFork(f"made in process {made_in}, asked in {os.getpid()}")
        happened = [tf.constant(none(1) if events is None else events)] if spec.kinds else []
        return {name: out.numpy() for name, out in compiled(tf.constant(x, dtype="float32"), *happened).items()}

    return answer


PATHS: dict[str, Callable[[Artifact], Answer]] = {TABLES: by_tables, KERAS: by_keras}


class Scorer:
    """One model, ready to answer. Threads may share it. `apart`: how far from the network as it was trained."""

    def __init__(self, model: Artifact, path: str = TABLES) -> None:
        """Restore the network and compare its answers with those that were kept.

        Raises:
            ValueError: there is no such path.
            ArtifactRefused: the weights do not fit the network that the manifest names, or the answers differ.
        """
        if path not in PATHS:
            raise ValueError(f"path must be one of {', '.join(PATHS)}, got {path!r}")
        self.model, self.path = model, path
        try:
            self._answer = PATHS[path](model)
            self._width = int(model.manifest["network"]["features"])
            self.apart = parity.apart(self._answer, model.weights, model.manifest["answers"])
        except (IndexError, KeyError, TypeError, ValueError) as error:
            raise ArtifactRefused(f"the weights do not fit the network: {error}") from error
        if self.apart > parity.LIMIT:
            far = f"{self.apart:.1e} from those that Keras gave when it was trained, at most {parity.LIMIT:.0e}"
            raise ArtifactRefused(f"by {path} the answers are {far}")

    @classmethod
    def restore(cls, directory: Path, *, key: bytes, path: str = TABLES) -> "Scorer":
        """Return a scorer for the model in a directory; raises `ArtifactRefused`."""
        return cls(artifact.load(directory, key=key), path)

    def warm(self) -> None:
        """Answer once at both batch sizes that matter, so that no customer waits for the first run."""
        for rows in (1, 256):
            self.predict(np.full((rows, self._width), np.nan, np.float32))

    def predict(self, x: Array, events: Events | None = None) -> Prediction:
        """Return the answers for x: (n, n_features) float32, NaN where missing, as `features.row` makes them.

        events: (n, 128, 4), or (1, 128, 4) for rows of one applicant; None where nothing has happened.

        Raises:
            UsedAfterFork: by Keras, and made in another process.
            ValueError: x is of another shape.
        """
        if x.ndim != 2 or x.shape[1] != self._width:
            raise ValueError(f"x must be (n, {self._width}), got {x.shape}")
        if events is not None:
            check(events, len(x))
        return Prediction(**self._answer(x, events))
