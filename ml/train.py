"""Train the network on loans that ended, in time order, within a budget.

`python -m ml.train loans.parquet --out DIR` does it from a file that `ml.data` understands, without Django.
"""

import argparse
import json
import os
import sys
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ml import artifact, data, features, fit, measures, parity, predict
from ml.calibrate import Calibration, calibrate
from ml.data import Dataset
from ml.fit import Progress, Recipe
from ml.forward import scores
from ml.tables import stratified

LEAST_LOANS = 100


class TooFewLoans(ValueError):
    """Not enough loans, or only one outcome among them, to learn from."""


# One net of four members, which a machine that serves customers trains within a minute on some ten thousand loans.
NIGHTLY = Recipe(embedding=4, width=48, members=4, nets=1, epochs=24, patience=5, learning_rate=2e-3)


@dataclass(frozen=True, slots=True)
class Plan:
    """How loans are divided, and by what recipe the network learns.

    shares: the parts, oldest first: learn from, stop by, calibrate on (with the part before), judge on.
    """

    shares: tuple[float, float, float, float] = (0.70, 0.10, 0.10, 0.10)
    gap_days: float = 0
    recipe: Recipe = NIGHTLY


@dataclass(frozen=True)
class Learnt:
    """What the loans taught, before it is calibrated.

    left_out: (n,) of the loans learnt from and stopped by, as `fit.Fitted` says.
    """

    weights: dict[str, npt.NDArray[np.float32]]
    network: dict[str, Any]
    left_out: npt.NDArray[np.float32]
    epochs: int
    seconds: float


@dataclass(frozen=True)
class Trained:
    """A trained network as plain arrays and facts, ready to be saved or scored with ml.forward.

    seen_until: latest decision (seconds since 1970 UTC) among loans learnt from, stopped by or calibrated on.
    metrics: `test` and `stop`, each as `measures.judge` returns it. answers: what Keras says (ml/parity.py).
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
    answers: parity.Kept = field(default_factory=dict)


def train(dataset: Dataset, *, seed: int, plan: Plan | None = None, progress: Progress | None = None) -> Trained:
    """Learn from the oldest loans, stop and calibrate by later ones, judge on the latest.

    The same data set (in any row order), seed and plan give the same weights on the same machine.

    Raises:
        TooFewLoans: fewer than 100 loans, or a part to learn from without both outcomes.
    """
    plan, say = plan or Plan(), progress or (lambda fraction, what: None)
    learnt = learn(dataset, seed=seed, plan=plan, progress=say)
    say(0.95, "calibrating and judging")
    result = calibrated(dataset, learnt, seed=seed, plan=plan)
    say(1.0, f"trained on {len(dataset)} loans in {result.seconds:.0f} s")
    return result


def learn(dataset: Dataset, *, seed: int, plan: Plan, progress: Progress) -> Learnt:
    """Find the weights on the oldest loans, and when to stop on the next.

    Raises:
        TooFewLoans: as `train` says.
    """
    oldest, stop, _, _ = dataset.split(plan.shares, gap_days=plan.gap_days)
    if len(dataset) < LEAST_LOANS or not len(oldest) or not len(stop) or len(set(oldest.default)) < 2:
        raise TooFewLoans(f"needs {LEAST_LOANS} loans with both outcomes, got {len(dataset)}")
    progress(0.0, "starting TensorFlow")
    seen = np.concatenate([oldest.x, stop.x]), np.concatenate([targets(oldest), targets(stop)])
    parts = _parts(oldest, stop, plan.recipe.nets, seed)
    promises = features.MONOTONE if dataset.names == features.NAMES else None
    fitted = fit.fit(*seen, parts, plan.recipe, seed=seed, say=_within(progress), monotone=promises)
    return Learnt(
        weights=fitted.weights,
        network=asdict(fitted.spec),
        left_out=fitted.left_out,
        epochs=len(fitted.history) - 1,
        seconds=fitted.seconds,
    )


def calibrated(dataset: Dataset, learnt: Learnt, *, seed: int, plan: Plan) -> Trained:
    """Make the chances come true on later loans, and judge on the latest. `seed` and `plan` as in `learn`."""
    started = time.monotonic()
    oldest, stop, later, test = dataset.split(plan.shares, gap_days=plan.gap_days)
    # The part that stopped training takes part again: one season alone, and the share lost moves with the
    # seasons, would make every later chance wrong by the same factor. Of it count the chances that a net gives
    # which has not learnt from the loan.
    of_stop = learnt.left_out[len(oldest) :]
    unseen = np.concatenate([of_stop, scores(learnt.weights, later.x)])
    calibration = calibrate(np.concatenate([stop.default, later.default]), unseen)
    weights = learnt.weights | {
        f"calibrate/{name}": np.array(value, np.float32) for name, value in asdict(calibration).items()
    }
    network = predict.by_keras(artifact.Artifact({"network": learnt.network}, weights))
    judged = {"stop": (stop, calibration(of_stop)), "test": (test, scores(weights, test.x))}
    return Trained(
        weights=weights,
        network=learnt.network,
        names=dataset.names,
        calibration=calibration,
        metrics={name: measures.judge(part.default, p) for name, (part, p) in judged.items() if len(part)},
        seed=seed,
        data_sha256=dataset.sha256(),
        loans=len(dataset),
        seen_until=max(int(part.decided_at.max()) for part in (oldest, stop, later) if len(part)),
        plan=plan,
        seconds=learnt.seconds + time.monotonic() - started,
        epochs=learnt.epochs,
        answers=parity.kept(network, weights),
    )


def _parts(learn: Dataset, stop: Dataset, nets: int, seed: int) -> npt.NDArray[np.int64]:
    """Return which net leaves out which loan: one net the later ones, the nets of a bag a part of all."""
    if nets == 1:
        return np.repeat([1, 0], [len(learn), len(stop)])
    return stratified(np.concatenate([learn.default, stop.default]), nets, seed=seed)


def _within(say: Progress) -> Progress:
    """Return a progress of the fitting as one of the whole."""
    return lambda fraction, what: say(0.05 + 0.85 * fraction, what)


def targets(dataset: Dataset) -> npt.NDArray[np.float32]:
    """Return (n, 3): default, repaid_share, best_offer; NaN and -1 where unknown."""
    return np.column_stack([dataset.default, dataset.repaid_share, dataset.best_offer]).astype(np.float32)


def main(argv: list[str] | None = None) -> int:
    """Train on a Parquet file and write the signed model; the key comes from the environment."""
    usual = Plan()
    parser = argparse.ArgumentParser(prog="python -m ml.train", description=main.__doc__)
    parser.add_argument("data", type=Path, help="Parquet file with the columns of ml.data")
    parser.add_argument("--out", type=Path, required=True, help="directory to make; must not exist")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=usual.recipe.epochs)
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
            plan=Plan(gap_days=args.gap_days, recipe=replace(usual.recipe, epochs=args.epochs)),
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
