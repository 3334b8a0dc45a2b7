"""How fast features are built, the network answers, and it learns.

    python -m tests.bench.brain            (part of make bench)

Runs on the portfolio of the other figures, and makes it where it is not there yet.
"""

import argparse
import json
import os
import subprocess
import tempfile
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
from django.conf import settings
from django.db import connection
from django.utils import timezone

from lending.models import Borrower
from ml import fit, forward, train
from ml.evaluate import PEERS_PYTHON
from ml.features import NAMES
from ml.predict import Scorer
from scoring import features, registry
from scoring.features import Asked
from tests.bench.portfolio import set_up
from tests.bench.report import median, report, timed

BATCHES = ((1, 400), (32, 200), (10_000, 6))
ROWS_OF_FEATURES = 20_000
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


def bench_features() -> None:
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
        took = timed(lambda: features.build(many))
        bare_took = timed(lambda: [bare([row.borrower_id]) for row in many])
    report(
        "feature_rows_per_second", round(ROWS_OF_FEATURES / took * 1000), "rows/s", "one indexed read for each row",
        round(ROWS_OF_FEATURES / bare_took * 1000),
        minutes_for_a_million=round(took / ROWS_OF_FEATURES / 60 * 1000, 1),
    )  # fmt: skip


def bench_predictions() -> None:
    """Ask the network that serves at three batch sizes, beside the same weights in plain NumPy."""
    champion = registry.champion()
    assert champion is not None
    before = held_kib()
    scorer = Scorer.restore(settings.MODELS_DIR / champion.artifact, key=registry.signing_key())
    scorer.warm()
    held = held_kib() - before
    weights = scorer.model.weights
    noise = np.random.default_rng(7)
    for rows, repeats in BATCHES:
        x = noise.uniform(0, 30, (rows, len(NAMES))).astype(np.float32)
        network = median([timed(lambda x=x: scorer.predict(x)) for _ in range(repeats)])  # type: ignore[misc]
        plain = median([timed(lambda x=x: forward.forward(weights, x)) for _ in range(repeats)])  # type: ignore[misc]
        report(
            f"prediction_ms_batch_{rows}", network, "ms", "the same network in plain NumPy", plain,
            scorer_mib=held // 1024,
        )  # fmt: skip


def held_kib() -> int:
    """Return how much memory this process holds."""
    return int(Path("/proc/self/status").read_text().split("VmRSS:")[1].split()[0])


def bench_learning(scratch: Path) -> None:
    """Train the nightly network for some epochs, and LightGBM for 300 rounds, on the same rows."""
    noise = np.random.default_rng(8)
    x = noise.normal(size=(ROWS_TO_LEARN, len(NAMES))).astype(np.float32)
    x[noise.random(x.shape) < 0.2] = np.nan
    y = (noise.random(ROWS_TO_LEARN) < 1 / (1 + np.exp(1.5 - np.nan_to_num(x[:, :5]).sum(axis=1)))).astype(
        np.float32
    )
    recipe = replace(train.NIGHTLY, epochs=EPOCHS, patience=EPOCHS)
    outcomes = np.column_stack([y, 1 - y, np.where(y > 0, 2, 0)]).astype(np.float32)
    parts: npt.NDArray[np.int64] = (np.arange(ROWS_TO_LEARN) % 10 != 0).astype(np.int64)
    fitted = fit.fit(x, outcomes, parts, recipe, seed=1, say=lambda part, what: None)
    learnt = (parts != 0).sum() * EPOCHS
    np.savez(scratch / "rows.npz", x=x, y=y)
    peer = _lightgbm_seconds(scratch / "rows.npz")
    report(
        "training_rows_per_second", round(learnt / fitted.seconds), "rows/s",
        "LightGBM, rows times its 300 rounds" if peer else "LightGBM: not there, `make peers` brings it",
        round(ROWS_TO_LEARN * 300 / peer) if peer else 0, seconds_an_epoch=round(fitted.seconds / EPOCHS, 2),
        seconds_of_lightgbm=round(peer, 2),
    )  # fmt: skip


def _lightgbm_seconds(rows: Path) -> float:
    """Return how long LightGBM took for 300 rounds; 0 where it is not installed."""
    if not PEERS_PYTHON.exists():
        return 0.0
    ended = subprocess.run([PEERS_PYTHON, "-c", LIGHTGBM, str(rows)], capture_output=True, text=True, check=True)
    return float(json.loads(ended.stdout))


def main() -> None:
    argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0]).parse_args()
    set_up()
    bench_features()
    bench_predictions()
    with tempfile.TemporaryDirectory(prefix="jirani-bench-") as scratch:
        bench_learning(Path(scratch))


if __name__ == "__main__":
    main()
