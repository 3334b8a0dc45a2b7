"""A contest: our network beside what the field uses, on the same folds of the same table.

    python -m ml.evaluate --data DIR [--folds FILE] [--only network catboost] [--json FILE]

DIR is a table as `ml.tables` reads it, or holds such directories. The others need `requirements-peers.txt`,
in an environment of their own (`make peers`) or in this one. Each fold is fitted in a process of its own.
"""

import argparse
import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ml import measures, tables
from ml.contestants import CONTESTANTS
from ml.tables import Fold, InvalidTable

OURS = "network"
# What needs the libraries of requirements-peers.txt.
PEERS = ("logistic", "scorecard", "lightgbm", "xgboost", "catboost")
ROOT = Path(__file__).resolve().parents[1]
PEERS_PYTHON = ROOT / ".venv-peers" / "bin" / "python"
COLUMNS = ("auc", "gini", "ks", "pr_auc", "log_loss", "brier", "calibration_error")
SHOWN = {"calibration_error": "cal. err."}

Say = Callable[[str], None]


@dataclass
class Run:
    """What one contestant said of the test rows of each fold, by the fold's name, and what it took."""

    name: str
    chances: dict[str, measures.Array] = field(default_factory=dict)
    seconds: float = 0.0
    peak_mib: int = 0
    failed: str = ""


@dataclass(frozen=True)
class Beside:
    """Our network less a peer: a difference, its standard error and the chance of it by luck (two-sided).

    The error is that of judging these fitted models by these rows; another training would differ, too.
    """

    difference: float
    error: float

    @property
    def chance(self) -> float:
        return measures.two_sided(self.difference / self.error) if self.error else 1.0


@dataclass(frozen=True)
class Contest:
    """All runs on one table, and the outcomes (n,) of its rows."""

    table: str
    y: measures.Array
    folds: list[Fold]
    runs: list[Run]

    def of(self, name: str) -> Run | None:
        return next((run for run in self.runs if run.name == name and not run.failed), None)

    @property
    def finished(self) -> list[Run]:
        return [run for run in self.runs if not run.failed]

    def measured(self, run: Run) -> dict[str, tuple[float, float]]:
        """Return each measure's mean over the folds and its spread (standard deviation)."""
        each = [measures.judge(self.y[fold.test], run.chances[fold.name]) for fold in self.folds]
        columns = {name: [one[name] for one in each] for name in COLUMNS}
        return {
            name: (float(np.mean(values)), float(np.std(values, ddof=1)) if values[1:] else math.nan)
            for name, values in columns.items()
        }

    def beside(self, ours: Run, peer: Run) -> dict[str, Beside]:
        """Compare two on the same rows: AUC after DeLong, log-loss by the differences of the rows."""
        auc = [
            measures.auc_difference(self.y[f.test], ours.chances[f.name], peer.chances[f.name]) for f in self.folds
        ]
        loss = [self._loss_difference(fold, ours, peer) for fold in self.folds]
        return {"auc": _mean(auc), "log_loss": _mean(loss)}

    def _loss_difference(self, fold: Fold, ours: Run, peer: Run) -> tuple[float, float]:
        y = self.y[fold.test]
        each = measures.log_losses(y, ours.chances[fold.name]) - measures.log_losses(y, peer.chances[fold.name])
        return float(each.mean()), float(each.std() / len(each) ** 0.5)


def _mean(each: Sequence[tuple[float, float]]) -> Beside:
    """Return the mean over folds; their test rows are apart, so their errors are taken for independent ones."""
    errors = np.array([error for _, error in each])
    return Beside(float(np.mean([value for value, _ in each])), float(np.sqrt((errors**2).sum()) / len(each)))


def hold(directory: Path, folds_file: Path | None, names: Sequence[str], *, seed: int, say: Say) -> Contest:
    """Let each contestant fit each fold of a table; one that cannot take part says why.

    Raises:
        InvalidTable: the directory or the folds cannot be read.
    """
    directory, folds_file = directory.resolve(), folds_file.resolve() if folds_file else None
    table = tables.read(directory)
    usual = directory / "folds.csv"
    folds_file = folds_file or (usual if usual.exists() else None)
    folds = tables.folds_of(table, folds_file)
    say(f"{table.name}: {len(table):,} rows, {table.y.mean():.1%} bad, {len(folds)} folds")
    runs = [_run(name, directory, folds_file, folds, seed=seed, say=say) for name in names]
    return Contest(table.name, table.y, folds, runs)


def _run(name: str, directory: Path, folds_file: Path | None, folds: list[Fold], *, seed: int, say: Say) -> Run:
    run = Run(name)
    with tempfile.TemporaryDirectory(prefix="jirani-contest-") as scratch:
        for fold in folds:
            out = Path(scratch) / "chances.npy"
            asked = [name, "--data", directory, "--fold", fold.name, "--seed", seed, "--out", out]
            asked += ["--folds", folds_file] if folds_file else []
            python = PEERS_PYTHON if name in PEERS and PEERS_PYTHON.exists() else sys.executable
            ended = subprocess.run(  # noqa: S603 - our own program
                [python, "-m", "ml.contestants", *map(str, asked)], cwd=ROOT, capture_output=True, text=True
            )
            if ended.returncode:
                last = (ended.stderr.strip().splitlines() or ["it said nothing"])[-1]
                run.failed = f"killed by signal {-ended.returncode}" if ended.returncode < 0 else last
                say(f"  {name}: {run.failed}")
                return run
            took = json.loads(ended.stdout.splitlines()[-1])
            run.chances[fold.name] = np.load(out)
            run.seconds += took["seconds"]
            run.peak_mib = max(run.peak_mib, took["peak_mib"])
            say(f"  {name}, fold {fold.name}: {took['seconds']:.0f} s")
    return run


# --- the report -------------------------------------------------------------------------------------------------
def report(contest: Contest) -> Iterator[str]:
    """Yield a table of measures, and our network beside each peer."""
    yield f"\n{contest.table}: mean over {len(contest.folds)} folds +- their standard deviation"
    heads = [SHOWN.get(name, name) for name in COLUMNS]
    yield f"{'':10}" + "".join(f"{head:>17}" for head in heads) + f"{'seconds':>9}{'MiB':>7}"
    for run in sorted(contest.finished, key=lambda one: -contest.measured(one)["auc"][0]):
        cells = [_cell(*found) for found in contest.measured(run).values()]
        yield f"{run.name:10}" + "".join(f"{cell:>17}" for cell in cells) + f"{run.seconds:9.0f}{run.peak_mib:7}"
    for run in contest.runs:
        if run.failed:
            yield f"{run.name:10} took no part: {run.failed}"
    ours = contest.of(OURS)
    if ours is None:
        return
    yield f"\n{OURS} less each: difference +- standard error (chance of it by luck)"
    for peer in contest.finished:
        if peer is not ours:
            found = contest.beside(ours, peer)
            yield f"{peer.name:10}" + "".join(
                f"   {name} {one.difference:+.4f} +- {one.error:.4f} ({one.chance:.3f}) {_verdict(name, one):6}"
                for name, one in found.items()
            )


def _cell(mean: float, spread: float) -> str:
    return f"{mean:.4f}" if math.isnan(spread) else f"{mean:.4f} +- {spread:.4f}"


def _verdict(name: str, one: Beside) -> str:
    """Say better or worse where the difference is beyond one standard error."""
    gain = one.difference if name == "auc" else -one.difference
    return "level" if abs(gain) <= one.error else "better" if gain > 0 else "worse"


def ranks(contests: Sequence[Contest]) -> Iterator[str]:
    """Yield the mean rank of each contestant over the tables, by AUC and by log-loss; who fell out comes last."""
    names = [run.name for run in contests[0].runs]
    placed: dict[str, list[int]] = {name: [] for name in names}
    for contest in contests:
        found = {run.name: contest.measured(run) for run in contest.finished}
        for measure, sign in (("auc", -1), ("log_loss", 1)):
            order = sorted(found, key=lambda one: sign * found[one][measure][0])
            for name in names:
                placed[name].append(order.index(name) + 1 if name in found else len(names))
    yield f"\nmean rank over {len(contests)} tables, by AUC and log-loss; who took no part in one is last there"
    yield from (
        f"{name:10} {np.mean(placed[name]):.2f}" for name in sorted(names, key=lambda one: np.mean(placed[one]))
    )


def as_json(contest: Contest) -> dict[str, Any]:
    """Return the figures of a contest for machines."""
    ours = contest.of(OURS)
    return {
        "table": contest.table,
        "rows": len(contest.y),
        "folds": len(contest.folds),
        "contestants": {
            run.name: {
                **{
                    name: {"mean": mean, "spread": None if math.isnan(spread) else spread}
                    for name, (mean, spread) in contest.measured(run).items()
                },
                "seconds": round(run.seconds, 1),
                "peak_mib": run.peak_mib,
                "network_less_it": {
                    name: {"difference": one.difference, "error": one.error, "chance": one.chance}
                    for name, one in contest.beside(ours, run).items()
                }
                if ours and run is not ours
                else None,
            }
            for run in contest.finished
        },
        "took_no_part": {run.name: run.failed for run in contest.runs if run.failed},
    }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what may be asked of a contest."""
    parser.add_argument("--data", type=Path, required=True, help="a table's directory, or one that holds several")
    parser.add_argument("--folds", type=Path, help="row and fold by line; usually folds.csv beside the data")
    parser.add_argument("--only", nargs="+", choices=CONTESTANTS, default=list(CONTESTANTS), help="contestants")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="where the figures go, too")


def run(asked: argparse.Namespace, *, show: Say, say: Say) -> list[Contest]:
    """Hold the contests that were asked for, and show the tables of each as it ends.

    Raises:
        InvalidTable: says which file cannot be read, or what in it cannot be.
    """
    directories = _directories(asked.data)
    if asked.folds and len(directories) > 1:
        raise InvalidTable(f"{asked.folds}: the folds are those of one table, and {asked.data} holds several")
    contests: list[Contest] = []
    for directory in directories:
        contests.append(hold(directory, asked.folds, asked.only, seed=asked.seed, say=say))
        show("\n".join(report(contests[-1])))
        if asked.json:
            asked.json.write_text(json.dumps([as_json(contest) for contest in contests], indent=1))
    if len(contests) > 1:
        show("\n".join(ranks(contests)))
    return contests


def _directories(data: Path) -> list[Path]:
    if (data / "data.parquet").exists():
        return [data]
    if found := sorted(path.parent for path in data.glob("*/data.parquet")):
        return found
    raise InvalidTable(f"{data}: there is no data.parquet, and none in a directory below")


def main(argv: list[str] | None = None) -> int:
    """Hold the contest and print its tables."""
    parser = argparse.ArgumentParser(prog="python -m ml.evaluate", description=main.__doc__)
    add_arguments(parser)
    try:
        run(
            parser.parse_args(argv),
            show=lambda text: print(text, flush=True),  # noqa: T201
            say=lambda text: print(text, file=sys.stderr, flush=True),  # noqa: T201
        )
    except InvalidTable as error:
        print(f"ml.evaluate: {error}", file=sys.stderr)  # noqa: T201
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
