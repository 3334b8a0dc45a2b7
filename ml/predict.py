"""The network as it serves: restored once per process, compiled once, asked many times.

Importing this file is cheap; making a `Scorer` imports TensorFlow. Make it after the fork (in Celery:
`worker_process_init`): a TensorFlow that has run before a fork hangs its children.
"""

import os
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ml import artifact
from ml.events import CODES, LAST, Events, none

Array = npt.NDArray[np.float32]


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


class Scorer:
    """One model, ready to answer. Threads may share it."""

    def __init__(self, model: artifact.Artifact) -> None:
        """Restore the network and compile it for any number of rows of its width.

        Raises:
            ArtifactRefused: the weights do not fit the network that the manifest names.
        """
        import tensorflow as tf

        from ml import network

        self.model = model
        self._pid = os.getpid()
        try:
            spec = network.Spec(**model.manifest["network"])
            self._network = network.restore(spec, model.weights)
        except (TypeError, ValueError) as error:
            raise artifact.ArtifactRefused(f"the weights do not fit the network: {error}") from error
        self._width = spec.features
        self._knows_events = bool(spec.kinds)
        rows = tf.TensorSpec([None, spec.features], tf.float32)
        told = [tf.TensorSpec([None, LAST, CODES], tf.uint8)] if spec.kinds else []
        # One fixed signature: a new batch size must not trace and compile again in front of a customer.
        compiled = tf.function(
            lambda x, *events: self._network([x, *events] if events else x, training=False),
            input_signature=[rows, *told],
        )
        self._answer = compiled.get_concrete_function()
        self._constant = tf.constant

    @classmethod
    def restore(cls, directory: Path, *, key: bytes) -> "Scorer":
        """Return a scorer for the model in a directory; raises `ArtifactRefused`."""
        return cls(artifact.load(directory, key=key))

    def warm(self) -> None:
        """Answer once at both batch sizes that matter, so that no customer waits for the first run."""
        for rows in (1, 256):
            self.predict(np.full((rows, self._width), np.nan, np.float32))

    def predict(self, x: Array, events: Events | None = None) -> Prediction:
        """Return the answers for x: (n, n_features) float32, NaN where missing, as `features.row` makes them.

        events: (n, 128, 4), or (1, 128, 4) for rows of one applicant; None where nothing has happened.

        Raises:
            UsedAfterFork: made in another process.
            ValueError: x is of another shape.
        """
        if os.getpid() != self._pid:
            raise UsedAfterFork(f"made in process {self._pid}, asked in {os.getpid()}")
        if x.ndim != 2 or x.shape[1] != self._width:
            raise ValueError(f"x must be (n, {self._width}), got {x.shape}")
        if events is not None and len(events) not in (1, len(x)):
            raise ValueError(f"events must be of {len(x)} rows or of one, got {len(events)}")
        told = [self._constant(none(1) if events is None else events, "uint8")] if self._knows_events else []
        out = self._answer(self._constant(x, dtype="float32"), *told)
        return Prediction(**{f.name: out[f.name].numpy() for f in fields(Prediction)})
