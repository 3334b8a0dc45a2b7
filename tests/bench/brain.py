"""How fast features are built, the network answers and is explained, and it learns; and what a worker holds.

    python -m tests.bench.brain            (part of make bench)
    python -m tests.bench.brain --million  (features of a million loans, built and not worked out from a block)

Runs on the portfolio of the other figures, and makes it where it is not there yet. How the ways of serving compare
that were not chosen, `python -m tests.bench.paths` says.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
os.environ.setdefault("JIRANI_VAR", str(Path(__file__).resolve().parents[2] / "var" / "bench"))

from config import environment

environment.prepare()

import django

django.setup()

import numpy as np
import numpy.typing as npt
from django.db import connection
from django.utils import timezone

from lending.models import Borrower, Loan
from ml import fit, forward, train
from ml.evaluate import PEERS_PYTHON
from ml.events import CODES, KIND, KINDS, LAST, Events
from ml.explain import explain
from ml.features import NAMES
from ml.predict import PATHS, Scorer
from scoring import features, registry
from scoring.features import Asked
from tests.bench.portfolio import set_up
from tests.bench.report import median, report, timed

Rows = npt.NDArray[np.float32]
Ask = Callable[[Rows], Rows]

BATCHES = ((1, 400), (32, 200), (10_000, 6))
ROWS_OF_FEATURES, MILLION = 20_000, 1_000_000
EXPLAINED = 20
ROWS_TO_LEARN = 20_000
EPOCHS = 3
# What a borrower's row costs at the least: to be found by its key, over the same connection.
BARE = "SELECT id, registered_at FROM lending_borrower WHERE id = ANY(%s)"

LIGHTGBM = """
import json, sys, time
import lightgbm as lgb
import numpy as np
with np.load(sys.argv[1]) as arrays:
    x, y = arrays["x"], arrays["y"]
settings = {"objective": "binary", "learning_rate": 0.03, "num_leaves": 15, "verbose": -1, "num_threads": 2}
began = time.perf_counter()
lgb.train(settings, lgb.Dataset(x, y), 300)
print(json.dumps(time.perf_counter() - began))
"""


WORKER = """
import sys, django
django.setup()
from scoring import registry, worker
before = worker.resident_mib()
worker.load(registry.champion_name(), sys.argv[1])
print(before, worker.resident_mib())
"""


def bench_features(count: int) -> None:
    """Build the row of one applicant, and the rows of many in blocks."""
    ids = list(Borrower.objects.filter(loans__isnull=False).order_by("id").values_list("id", flat=True).distinct())
    at = timezone.now()
    few = [Asked(borrower, at, 50_000) for borrower in islice(cycle(ids), 200)]
    with connection.cursor() as cursor:

        def bare(borrowers: list[int]) -> None:
            cursor.execute(BARE, [borrowers])
            cursor.fetchall()

        one = median([timed(lambda row=row: features.build_one(row)) for row in few])  # type: ignore[misc]
        found = median([timed(lambda row=row: bare([row.borrower_id])) for row in few])  # type: ignore[misc]
        report(
            "features_of_one_applicant", one, "ms", "one indexed read on the same connection", found,
            features=len(NAMES),
        )  # fmt: skip
        many = [Asked(borrower, at, 50_000) for borrower in islice(cycle(ids), ROWS_OF_FEATURES)]
        # What is built is let go, so that a million takes no more memory than a block.
        took = sum(timed(lambda: features.build(many)) for _ in range(count // ROWS_OF_FEATURES))
        bare_took = timed(lambda: [bare([row.borrower_id]) for row in many])
    report(
        "feature_rows_per_second", round(count / took * 1000), "rows/s", "one indexed read for each row",
        round(ROWS_OF_FEATURES / bare_took * 1000), rows_built=count,
        minutes_for_a_million=round(took / count / 60 * 1000, 1), extrapolated=count < MILLION,
    )  # fmt: skip


def bench_predictions(path: str, scorer: Scorer) -> None:
    """Ask the network by a path at three batch sizes, in turns with the same weights in plain NumPy."""
    noise, plain = np.random.default_rng(7), scorer.model.weights
    for rows, repeats in BATCHES:
        told = noise.uniform(0, 30, (rows, len(NAMES))).astype(np.float32), histories(rows)
        both: list[tuple[float, float]] = [
            (
                timed(lambda told=told: scorer.predict(*told)),  # type: ignore[misc]
                timed(lambda told=told: forward.forward(plain, *told)),  # type: ignore[misc]
            )
            for _ in range(repeats)
        ]
        asked, reference = (median(list(side)) for side in zip(*both, strict=True))
        report(
            f"prediction_ms_by_{path}_batch_{rows}", asked, "ms", "the same network in plain NumPy", reference,
            from_keras_in_training=scorer.apart,
        )  # fmt: skip


def histories(rows: int) -> Events:
    """Return made-up events (rows, 128, 4): 64 a person on average."""
    noise = np.random.default_rng(9)
    happened = noise.integers(0, 256, (rows, LAST, CODES), np.uint8)
    happened[..., KIND] = noise.integers(1, 1 + len(KINDS), (rows, LAST))
    happened[np.arange(LAST) >= noise.integers(0, LAST + 1, (rows, 1))] = 0
    return happened


def bench_explanation(path: str, scorer: Scorer) -> None:
    """Explain the scores of some applicants by a path; each asks the network some two thousand times."""
    borrowers = Loan.objects.order_by("-id").values_list("borrower_id", flat=True)[:EXPLAINED]
    vectors = features.build([Asked(borrower, timezone.now(), 50_000) for borrower in borrowers])
    asked: list[int] = []
    happened = histories(9)[-1:]

    def by_path(x: Rows) -> Rows:
        asked.append(len(x))
        return scorer.predict(x, happened).default

    def by_numpy(x: Rows) -> Rows:
        return forward.scores(scorer.model.weights, x, happened)

    def took(score: Ask) -> float:
        return median([timed(lambda x=x: explain(score, x, scorer.model.reference)) for x in vectors])  # type: ignore[misc]

    report(
        f"explanation_ms_by_{path}", took(by_path), "ms", "the same by plain NumPy", took(by_numpy),
        rows_asked=round(sum(asked) / len(vectors)), explained=len(vectors),
    )  # fmt: skip


def champion_by(path: str) -> Scorer:
    """Return the model that serves, ready by a path."""
    scorer = Scorer(registry.open_artifact(registry.champion_name() or ""), path)
    scorer.warm()
    return scorer


def bench_memory() -> None:
    """Load the champion in a process like a scoring worker, by each path."""
    for path in PATHS:
        ended = subprocess.run([sys.executable, "-c", WORKER, path], capture_output=True, text=True, check=True)
        before, after = map(int, ended.stdout.split())
        report(f"worker_mib_by_{path}", after, "MiB", "the same process before it loads a model", before)


def bench_learning(scratch: Path, peers: Path) -> None:
    """Train the nightly network for some epochs, and LightGBM for 300 rounds, on the same rows."""
    noise = np.random.default_rng(8)
    x = noise.normal(size=(ROWS_TO_LEARN, len(NAMES))).astype(np.float32)
    x[noise.random(x.shape) < 0.2] = np.nan
    y = (noise.random(ROWS_TO_LEARN) < 1 / (1 + np.exp(1.5 - np.nan_to_num(x[:, :5]).sum(axis=1)))).astype(
        np.float32
    )
    recipe = replace(train.NIGHTLY, epochs=EPOCHS, patience=EPOCHS)
    outcomes = np.column_stack([y, 1 - y, np.where(y > 0, 2, 0), y]).astype(np.float32)
    parts: npt.NDArray[np.int64] = (np.arange(ROWS_TO_LEARN) % 10 != 0).astype(np.int64)
    fitted = fit.fit(x, outcomes, parts, recipe, seed=1, say=lambda part, what: None)
    learnt = (parts != 0).sum() * EPOCHS
    np.savez(scratch / "rows.npz", x=x, y=y)
    peer = _lightgbm_seconds(scratch / "rows.npz", peers)
    report(
        "training_rows_per_second", round(learnt / fitted.seconds), "rows/s",
        "LightGBM, rows times its 300 rounds" if peer else "LightGBM: not there, `make peers` brings it",
        round(ROWS_TO_LEARN * 300 / peer) if peer else 0, seconds_an_epoch=round(fitted.seconds / EPOCHS, 2),
        seconds_of_lightgbm=round(peer, 2),
    )  # fmt: skip


def _lightgbm_seconds(rows: Path, python: Path) -> float:
    """Return how long LightGBM took for 300 rounds; 0 where it is not installed."""
    if not python.exists():
        return 0.0
    ended = subprocess.run([python, "-c", LIGHTGBM, str(rows)], capture_output=True, text=True, check=True)
    return float(json.loads(ended.stdout))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--million", action="store_true", help="build the features of a million loans")
    parser.add_argument("--peers", type=Path, default=PEERS_PYTHON, help="a Python that has LightGBM (make peers)")
    asked = parser.parse_args()
    set_up()
    bench_memory()
    for path in PATHS:
        scorer = champion_by(path)
        bench_predictions(path, scorer)
        bench_explanation(path, scorer)
    bench_features(MILLION if asked.million else ROWS_OF_FEATURES)
    with tempfile.TemporaryDirectory(prefix="jirani-bench-") as scratch:
        bench_learning(Path(scratch), asked.peers)


if __name__ == "__main__":
    main()
