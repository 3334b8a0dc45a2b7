"""What size costs and brings in training, and a million loans trained from nothing and from last night's weights.

    python -m tests.bench.learning sizes [--rows 160000]     some sizes beside LightGBM on the same rows
    python -m tests.bench.learning nights [--rows 1000000]   a whole training, then the next night's warm start

The loans are made up and the same each time: 100 numbers, a fifth of them missing, of which sixteen mean something,
alone, in pairs and by thresholds. Needs neither Django nor a database. Figures are one JSON object a line.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ml import artifact, data, fit, measures, memory, recipes
from ml.data import Dataset
from ml.evaluate import PEERS_PYTHON
from ml.forward import scores
from ml.train import Plan, targets, train
from tests.bench.report import report

FEATURES = 100
NAMES = tuple(f"number_{place}" for place in range(FEATURES))
MISSING = 0.2
BLOCK = 50_000
JUDGED = 20_000
# So many loans are new the next night.
NEW = 1_440
KEY = b"a key that opens nothing"
# What differs from the recipe for many loans.
SIZES: tuple[dict[str, float], ...] = (
    {"members": 1}, {"width": 32}, {}, {"dropout": 0.3}, {"dropout": 0.3, "batch": 256},
    {"batch": 1024, "learning_rate": 0.003}, {"embedding": 8}, {"width": 128}, {"members": 8, "width": 64},
    {"members": 8, "width": 128},
)  # fmt: skip


def made_up(rows: int, *, seed: int = 8) -> Dataset:
    """Return so many loans, a minute apart; in blocks, so that memory stays that of the result."""
    rng = np.random.default_rng(seed)
    x, risk = np.empty((rows, FEATURES), np.float32), np.empty(rows)
    for at in range(0, rows, BLOCK):
        block = rng.normal(size=(min(BLOCK, rows - at), FEATURES)).astype(np.float32)
        risk[at : at + BLOCK] = _risk(block)
        block[rng.random(block.shape, np.float32) < MISSING] = np.nan
        x[at : at + BLOCK] = block
    default = (rng.random(rows) < 1 / (1 + np.exp(2.2 - risk))).astype(np.float32)
    return Dataset(
        x=x,
        default=default,
        repaid_share=np.where(default == 1, rng.random(rows), 1).astype(np.float32),
        best_offer=np.where(default == 1, 1 + (x[:, 0] > 0), 0).astype(np.int64),
        decided_at=1_500_000_000 + np.arange(rows, dtype=np.int64) * 60,
        ids=np.char.zfill(np.arange(rows).astype("U8"), 8),
        names=NAMES,
    )


def _risk(x: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Return (n,) log-odds: slopes, a bend, thresholds, and pairs that only together mean something."""
    alone = 0.35 * x[:, :6].sum(axis=1) + 0.4 * np.abs(x[:, 6]) + 0.5 * (x[:, 7] > 1) + 0.5 * (x[:, 8] < -1)
    together = x[:, 9] * x[:, 10] + x[:, 11] * x[:, 12] + np.maximum(x[:, 13], x[:, 14]) * (x[:, 15] > 0)
    return np.asarray(alone + 0.6 * together, np.float64)


def nights(rows: int) -> None:
    """Train on all but the loans of the last day, then go on with them: each night a process of its own."""
    with tempfile.TemporaryDirectory(prefix="jirani-bench-") as scratch:
        loans = Path(scratch) / "loans.parquet"
        made_up(rows).save(loans)
        first, second = Path(scratch) / "first", Path(scratch) / "second"
        for options in ([str(rows - NEW), str(first)], [str(rows), str(second), "--parent", str(first)]):
            subprocess.run(
                [sys.executable, "-m", "tests.bench.learning", "night", str(loans), *options], check=True
            )


def night(loans: Path, rows: int, out: Path, parent: Path | None) -> None:
    """Read so many loans, train, and keep the model; with a parent, judge both on the loans of the child's test."""
    began = time.monotonic()
    dataset = data.load(loans, names=NAMES).take(slice(rows))
    read_seconds, reigning = time.monotonic() - began, None
    if parent:
        reigning = artifact.load(parent, key=KEY, names=NAMES)

    def say(part: float, what: str) -> None:
        sys.stderr.write(f"{part:4.0%} {time.monotonic() - began:6.0f} s {what}\n")

    trained = train(dataset, seed=1, parent=reigning, progress=say)
    took = time.monotonic() - began
    artifact.save(trained, out, key=KEY)
    found, more = trained.metrics["test"], {}
    if reigning:
        test = dataset.split(Plan().shares)[-1]
        more["log_loss_of_parent"] = round(measures.log_loss(test.default, scores(reigning.weights, test.x)), 5)
    report(
        "warm_start_seconds" if trained.lineage.parent_sha256 else "training_seconds", round(took), "s",
        "rows gone through", len(dataset.split(Plan().shares)[0]) * trained.epochs,
        loans=rows, features=FEATURES, epochs=trained.epochs, read_seconds=round(read_seconds),
        processor_seconds=round(time.process_time()), peak_mib=memory.peak_mib(),
        log_loss=round(found["log_loss"], 5), auc=round(found["auc"], 4), **more,
    )  # fmt: skip


LIGHTGBM = """
import json, sys, time
import lightgbm as lgb
import numpy as np
with np.load(sys.argv[1]) as arrays:
    x, y, rows = arrays["x"], arrays["y"], int(arrays["rows"])
settings = {"objective": "binary", "learning_rate": 0.05, "num_leaves": 31, "verbose": -1, "num_threads": 2}
began, processor = time.perf_counter(), time.process_time()
model = lgb.train(settings, lgb.Dataset(x[:rows], y[:rows]), 300)
took = time.perf_counter() - began, time.process_time() - processor
print(json.dumps([*took, model.predict(x[rows:]).tolist()]))
"""


def sizes(rows: int, epochs: int) -> None:
    """Learn from the same loans by each size, stop by an eighth more, and judge on others; beside LightGBM."""
    stop = rows // 8
    loans = made_up(rows + stop + JUDGED)
    seen, judged = loans.take(slice(rows + stop)), loans.take(slice(rows + stop, None))
    parts: npt.NDArray[np.int64] = np.repeat([1, 0], [rows, stop])
    peer = _lightgbm(loans, rows + stop)
    marks: list[tuple[float, float]] = []

    def mark(part: float, what: str) -> None:
        marks.append((time.perf_counter(), time.process_time()))

    for size in SIZES:
        marks.clear()
        recipe = replace(recipes.by_size(recipes.MANY_LOANS), epochs=epochs, **size)  # type: ignore[arg-type]
        fitted = fit.fit(seen.x, targets(seen), parts, recipe, seed=1, say=mark)
        # In the first epoch everything is compiled.
        wall, processor = ((marks[-1][k] - marks[1][k]) / (epochs - 1) for k in (0, 1))
        p = scores(fitted.weights, judged.x)
        report(
            "learnt_rows_per_processor_second", round(rows / processor), "rows/s",
            "LightGBM, rows times its 300 rounds", round(rows * 300 / peer[1]) if peer else 0,
            size=size or "usual", rows_per_second=round(rows / wall),
            log_loss=round(measures.log_loss(judged.default, p), 4), auc=round(measures.auc(judged.default, p), 4),
            log_loss_of_lightgbm=peer and round(peer[2], 4), auc_of_lightgbm=peer and round(peer[3], 4),
        )  # fmt: skip


def _lightgbm(loans: Dataset, rows: int) -> tuple[float, float, float, float] | None:
    """Return seconds, seconds of processor, log-loss and AUC of 300 rounds; None where it is not installed."""
    if not PEERS_PYTHON.exists():
        return None
    with tempfile.TemporaryDirectory(prefix="jirani-bench-") as scratch:
        path = Path(scratch) / "rows.npz"
        np.savez(path, x=loans.x, y=loans.default, rows=rows)
        ended = subprocess.run([PEERS_PYTHON, "-c", LIGHTGBM, path], capture_output=True, text=True, check=True)
    took, processor, p = json.loads(ended.stdout)
    y, said = loans.default[rows:], np.array(p)
    return took, processor, measures.log_loss(y, said), measures.auc(y, said)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    what = parser.add_subparsers(dest="what", required=True)
    asked = what.add_parser("sizes", help="each size beside LightGBM")
    asked.add_argument("--rows", type=int, default=160_000)
    asked.add_argument("--epochs", type=int, default=6)
    asked = what.add_parser("nights", help="a training and the next night's")
    asked.add_argument("--rows", type=int, default=1_000_000)
    asked = what.add_parser("night", help="one of them, on a file")
    asked.add_argument("loans", type=Path)
    asked.add_argument("rows", type=int)
    asked.add_argument("out", type=Path)
    asked.add_argument("--parent", type=Path)
    found = vars(parser.parse_args())
    {"sizes": sizes, "nights": nights, "night": night}[found.pop("what")](**found)


if __name__ == "__main__":
    main()
