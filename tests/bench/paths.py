"""How fast each way of serving the network is, and what it holds: a process a way, each beside plain NumPy.

    python -m tests.bench.paths [--bag]

The network is the nightly one with weights that no training found, which changes nothing about its speed; with
--bag the largest one of ml/tabular.py. Of each figure the least of some rounds counts, plain NumPy and the other in
turns; it is time of the processor, which other work on the machine leaves as it is. A way that lacks its library is
left out: LiteRT takes that of TensorFlow where there is none of its own, Keras on NumPy wants SciPy and JAX.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ml import features, forward, predict, tabular
from ml.artifact import Artifact
from ml.train import NIGHTLY
from tests.bench.report import report, timed

Array = npt.NDArray[np.float32]
Ask = Callable[[Array], Any]
# One, some, what one explanation asks (ml/explain.py), and many.
BATCHES = ((1, 300), (32, 100), (2_224, 10), (10_000, 4))
MODEL, SPEC, LITE = "weights.npz", "spec.json", "model.tflite"


# --- the ways -------------------------------------------------------------------------------------------------
def tables(model: Artifact, scratch: Path) -> Ask:
    return predict.by_tables(model)


def keras(model: Artifact, scratch: Path) -> Ask:
    return predict.by_keras(model)


def xla(model: Artifact, scratch: Path) -> Ask:
    """Compile each batch size for itself, which is all that XLA can do; the first run of each is not counted."""
    import tensorflow as tf

    network = restored(model)
    rows = tf.TensorSpec([None, model.manifest["network"]["features"]], tf.float32)
    compiled = tf.function(lambda x: network(x, training=False), input_signature=[rows], jit_compile=True)
    return lambda x: {name: out.numpy() for name, out in compiled(tf.constant(x)).items()}


def litert(model: Artifact, scratch: Path) -> Ask:
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        from tensorflow.lite import Interpreter
    interpreter = Interpreter(model_path=str(scratch / LITE), num_threads=1)
    given = interpreter.get_input_details()[0]["index"]
    outputs = [output["index"] for output in interpreter.get_output_details()]

    def ask(x: Array) -> list[Array]:
        interpreter.resize_tensor_input(given, x.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(given, x)
        interpreter.invoke()
        return [interpreter.get_tensor(output) for output in outputs]

    return ask


def keras_on_numpy(model: Artifact, scratch: Path) -> Ask:
    network = restored(model)
    return lambda x: network(x, training=False)


WAYS = {"tables": tables, "keras": keras, "keras_xla": xla, "litert": litert, "keras_on_numpy": keras_on_numpy}


def restored(model: Artifact) -> Any:
    from ml import network

    return network.restore(network.Spec(**model.manifest["network"]), model.weights)


# --- the figures ----------------------------------------------------------------------------------------------
def people(rows: int) -> Array:
    """Return made-up applicants: amounts, counts and shares, a sixth of it missing."""
    rng = np.random.default_rng(2)
    lows = np.maximum(features.LOWS, 0)
    x = lows + rng.random((rows, len(features.NAMES))) * np.minimum(features.HIGHS - lows, 500)
    x[:, ::3] = np.round(x[:, ::3] / 100)
    x[rng.random(x.shape) < 1 / 6] = np.nan
    return x.astype(np.float32)


def make(scratch: Path, *, bag: bool) -> None:
    """Write a network of the nightly sizes, or of the largest bag, with weights from a seed."""
    import tensorflow as tf

    from ml import network

    recipe = tabular.recipe_for(1) if bag else NIGHTLY
    sizes = {name: getattr(recipe, name) for name in ("bins", "embedding", "width", "members", "nets", "dropout")}
    spec = network.Spec(features=len(features.NAMES), **sizes)
    built, _ = network.build(spec)
    built.get_layer("encode").assign(network.learn_encoding(people(4_000), spec.bins))
    rng = np.random.default_rng(5)
    for variable in built.trainable_variables:
        variable.assign(variable + rng.normal(0, 0.05, variable.shape))
    np.savez(scratch / MODEL, **network.weights_of(built))  # type: ignore[arg-type]
    (scratch / SPEC).write_text(json.dumps(asdict(spec)))
    converter = tf.lite.TFLiteConverter.from_keras_model(built)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    (scratch / LITE).write_bytes(converter.convert())


def measure(way: str, scratch: Path) -> None:
    """Report one way; in a process of its own."""
    with np.load(scratch / MODEL) as arrays:
        weights = dict(arrays)
    model = Artifact({"network": json.loads((scratch / SPEC).read_text())}, weights)
    before, began = resident_mib(), time.perf_counter()
    try:
        ask = WAYS[way](model, scratch)
    except ImportError as error:
        sys.stderr.write(f"{way}: {error}, so it was not measured\n")
        return
    ask(people(1))  # what compiles does it at the first rows
    loaded, held = time.perf_counter() - began, resident_mib() - before
    for rows, rounds in BATCHES:
        x = people(rows)
        ask(x)
        both = [(spent(lambda x=x: ask(x)), spent(lambda x=x: forward.forward(weights, x))) for _ in range(rounds)]  # type: ignore[misc]
        (asked, waited), (plain, _) = (np.min(side, axis=0).round(3).tolist() for side in zip(*both, strict=True))
        report(
            f"{way}_ms_batch_{rows}", asked, "ms of processor", "the same network in plain NumPy", plain,
            waited_ms=waited, load_seconds=round(loaded, 2), load_mib=held, then_mib=resident_mib(),
        )  # fmt: skip


def spent(work: Callable[[], Any]) -> tuple[float, float]:
    """Return how long all threads together worked, and how long it took, in milliseconds."""
    began = time.process_time()
    took = timed(work)
    return (time.process_time() - began) * 1000, took


def resident_mib() -> int:
    """Return how much memory this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--bag", action="store_true", help="the largest bag instead of the nightly network")
    parser.add_argument("--way", choices=[*WAYS, "make"], help=argparse.SUPPRESS)
    parser.add_argument("--scratch", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.way == "make":
        return make(asked.scratch, bag=asked.bag)
    if asked.way:
        return measure(asked.way, asked.scratch)
    again = [sys.executable, "-m", "tests.bench.paths", *(["--bag"] if asked.bag else [])]
    with tempfile.TemporaryDirectory(prefix="jirani-bench-") as scratch:
        for way in ("make", *WAYS):
            backend = {"KERAS_BACKEND": "numpy" if way == "keras_on_numpy" else "tensorflow"}
            environment = os.environ | backend | {"TF_CPP_MIN_LOG_LEVEL": "3", "OPENBLAS_NUM_THREADS": "1"}
            child = [*again, "--way", way, "--scratch", scratch]
            # TensorFlow's converter talks a great deal.
            said = subprocess.DEVNULL if way == "make" else None
            subprocess.run(child, env=environment, check=True, stdout=said)


if __name__ == "__main__":
    main()
