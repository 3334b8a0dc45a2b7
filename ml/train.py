"""Train the network on loans that ended, in time order, within a budget.

`python -m ml.train loans.parquet --out DIR` does it from a file that `ml.data` understands, without Django.

A training may go on from the weights of an earlier model, its parent. What these have learnt from must not be what
the new model is stopped, calibrated or judged by: each model carries how late its weights have seen, over all its
parents, and where that reaches into a later part the training begins at nothing.
"""

import argparse
import json
import math
import os
import sys
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ml import artifact, data, features, fit, measures, memory, parity, predict, recipes
from ml.artifact import Artifact
from ml.calibrate import Calibration, calibrate
from ml.data import Dataset
from ml.events import KINDS
from ml.fit import Progress, Recipe, Watch
from ml.forward import scores
from ml.recipes import NIGHTLY as NIGHTLY
from ml.tables import stratified

LEAST_LOANS = 100


class TooFewLoans(ValueError):
    """Not enough loans, or only one outcome among them, to learn from."""


# A model is this many warm starts away from a fresh one at most: what was learnt wrongly, and what a borrower has
# forbidden since, ends there.
MOST_WARM_STARTS = 6


@dataclass(frozen=True, slots=True)
class Plan:
    """How loans are divided, and by what recipe the network learns.

    shares: the parts, oldest first: learn from, stop by, calibrate on (with the part before), judge on.
    recipe: None for the one that fits the number of loans. epochs: at most, whatever the recipe says.
    max_seconds: as in a recipe. fresh: begin at nothing, whatever there is to go on from.
    """

    shares: tuple[float, float, float, float] = (0.70, 0.10, 0.10, 0.10)
    gap_days: float = 0
    recipe: Recipe | None = None
    epochs: int | None = None
    max_seconds: float | None = None
    fresh: bool = False

    def recipe_for(self, loans: int) -> Recipe:
        """Return the recipe for so many loans."""
        recipe = self.recipe or recipes.by_size(loans)
        epochs = recipe.epochs if self.epochs is None else min(recipe.epochs, self.epochs)
        return replace(recipe, epochs=epochs, max_seconds=self.max_seconds or recipe.max_seconds)


@dataclass(frozen=True, slots=True)
class Lineage:
    """Where weights come from, and how late they have seen, their parents' included.

    learnt_until, chosen_until: latest decision (seconds since 1970 UTC) of a loan that they were fitted to, and of
    one by which an epoch was chosen. parent_sha256: "" for a fresh start. warm_starts: since the last fresh one.
    """

    learnt_until: int
    chosen_until: int
    parent_sha256: str = ""
    warm_starts: int = 0


@dataclass(frozen=True)
class Learnt:
    """What the loans taught, before it is calibrated.

    left_out: (n,) of the loans learnt from and stopped by, as `fit.Fitted` says. recipe: by which it was learnt.
    """

    weights: dict[str, npt.NDArray[np.float32]]
    network: dict[str, Any]
    left_out: npt.NDArray[np.float32]
    epochs: int
    seconds: float
    recipe: Recipe
    lineage: Lineage


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
    lineage: Lineage
    plan: Plan = field(default_factory=Plan)
    seconds: float = 0.0
    epochs: int = 0
    answers: parity.Kept = field(default_factory=dict)


def train(
    dataset: Dataset,
    *,
    seed: int,
    plan: Plan | None = None,
    progress: Progress | None = None,
    parent: Artifact | None = None,
) -> Trained:
    """Learn from the oldest loans, stop and calibrate by later ones, judge on the latest.

    The same data set (in any row order), seed, plan and parent give the same weights on the same machine.
    parent: a model to go on from, where that is honest and it fits.

    Raises:
        TooFewLoans: fewer than 100 loans, or a part to learn from without both outcomes.
    """
    plan, say = plan or Plan(), progress or (lambda fraction, what: None)
    dataset = dataset.in_time_order()  # once, as each of the parts below would ask for it
    learnt = learn(dataset, seed=seed, plan=plan, progress=say, parent=parent)
    say(0.95, "calibrating and judging")
    result = calibrated(dataset, learnt, seed=seed, plan=plan)
    say(1.0, f"trained on {len(dataset)} loans in {result.seconds:.0f} s, {memory.peak_mib()} MiB at most")
    return result


def learn(
    dataset: Dataset,
    *,
    seed: int,
    plan: Plan,
    progress: Progress,
    parent: Artifact | None = None,
    watch: Watch = lambda epoch, best: None,
) -> Learnt:
    """Find the weights on the oldest loans, and when to stop on the next. `parent` as in `train`.

    Raises:
        TooFewLoans: as `train` says.
    """
    oldest, stop, _, _ = dataset.split(plan.shares, gap_days=plan.gap_days)
    if len(dataset) < LEAST_LOANS or not len(oldest) or not len(stop) or len(set(oldest.default)) < 2:
        raise TooFewLoans(f"needs {LEAST_LOANS} loans with both outcomes, got {len(dataset)}")
    recipe = plan.recipe_for(len(dataset))
    against = why_fresh(dataset, plan, parent)
    start = None if against or parent is None else parent.weights
    if start:
        recipe = recipes.warm(recipe, len(oldest))
    progress(0.0, f"starting TensorFlow; {against or 'going on from the weights of the parent'}")
    seen = _together(dataset.in_time_order(), oldest, stop)
    parts = _parts(oldest, stop, recipe.nets, seed)
    promises = features.MONOTONE if dataset.names == features.NAMES else None
    fitted = fit.fit(
        seen.x, targets(seen), parts, recipe,
        seed=seed, say=_within(progress), monotone=promises, events=seen.events, start=start,
        watch=watch,
    )  # fmt: skip
    return Learnt(
        weights=fitted.weights,
        network=asdict(fitted.spec),
        left_out=fitted.left_out,
        epochs=len(fitted.history) - 1,
        seconds=fitted.seconds,
        recipe=recipe,
        lineage=_lineage(oldest, stop, recipe, parent if start else None),
    )


def why_fresh(dataset: Dataset, plan: Plan, parent: Artifact | None) -> str:
    """Return why a training must begin at nothing, in words; "" where it may go on from the parent's weights.

    The parent may have been fitted to no loan from the part on that stops this training, and have been chosen by
    none from the part on that calibrates it. A net of a bag leaves out other loans at each training: never.
    """
    if plan.fresh or parent is None:
        return "a fresh start"
    recipe, made = plan.recipe_for(len(dataset)), parent.manifest
    lineage = Lineage(**made["lineage"])
    _, stop, *later = dataset.split(plan.shares, gap_days=plan.gap_days)
    stopped_from, judged_from = (_begin(parts) for parts in ([stop], later))
    checks = {
        "the nets of a bag have all seen the loans that they would be stopped by": recipe.nets > 1,
        "the parent was made for other features": not _same_features(made, dataset.names),
        "the parent is of another size": not _same_size(made["network"], recipe, dataset),
        f"the parent is {MOST_WARM_STARTS} warm starts old": lineage.warm_starts >= MOST_WARM_STARTS,
        "the parent has learnt from loans that would stop this training": lineage.learnt_until >= stopped_from,
        "the parent was chosen by loans that this one would be judged by": lineage.chosen_until >= judged_from,
    }
    return next((f"a fresh start: {why}" for why, so in checks.items() if so), "")


def _begin(parts: list[Dataset]) -> float:
    """Return when the first loan of these parts was decided, in seconds since 1970 UTC."""
    return min((float(part.decided_at[0]) for part in parts if len(part)), default=math.inf)


def _same_size(network: dict[str, Any], recipe: Recipe, dataset: Dataset) -> bool:
    """Say whether weights fit; how much is dropped out while learning is no matter of size."""
    kinds = 0 if dataset.events is None else len(KINDS)
    wanted = asdict(fit.spec_of(recipe, len(dataset.names), kinds))
    return network | {"dropout": recipe.dropout} == wanted


def _same_features(made: dict[str, Any], names: tuple[str, ...]) -> bool:
    if names == features.NAMES:
        return bool(made["features_version"] == features.VERSION)
    return bool(made["features"] == list(names))


def _lineage(oldest: Dataset, stop: Dataset, recipe: Recipe, parent: Artifact | None) -> Lineage:
    """Return how late weights have seen that were found on these parts, from a parent's."""
    chosen_until = int(stop.decided_at[-1])
    # Each net of a bag learns from most of both parts.
    learnt_until = int(oldest.decided_at[-1]) if recipe.nets == 1 else chosen_until
    if parent is None:
        return Lineage(learnt_until, chosen_until)
    before = Lineage(**parent.manifest["lineage"])
    return Lineage(
        learnt_until=max(learnt_until, before.learnt_until),
        chosen_until=max(chosen_until, before.chosen_until),
        parent_sha256=parent.sha256,
        warm_starts=before.warm_starts + 1,
    )


def calibrated(dataset: Dataset, learnt: Learnt, *, seed: int, plan: Plan) -> Trained:
    """Make the chances come true on later loans, and judge on the latest. `seed` and `plan` as in `learn`."""
    started = time.monotonic()
    oldest, stop, later, test = dataset.split(plan.shares, gap_days=plan.gap_days)
    # The part that stopped training takes part again: one season alone, and the share lost moves with the
    # seasons, would make every later chance wrong by the same factor. Of it count the chances that a net gives
    # which has not learnt from the loan.
    of_stop = learnt.left_out[len(oldest) :]
    unseen = np.concatenate([of_stop, scores(learnt.weights, later.x, later.events)])
    calibration = calibrate(np.concatenate([stop.default, later.default]), unseen)
    weights = learnt.weights | {
        f"calibrate/{name}": np.array(value, np.float32) for name, value in asdict(calibration).items()
    }
    network = predict.by_keras(artifact.Artifact({"network": learnt.network}, weights))
    judged = {"stop": (stop, calibration(of_stop)), "test": (test, scores(weights, test.x, test.events))}
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
        lineage=learnt.lineage,
        # Not the one of a warm start, which follows from it: training again by this plan gives the same.
        plan=replace(plan, recipe=plan.recipe_for(len(dataset))),
        seconds=learnt.seconds + time.monotonic() - started,
        epochs=learnt.epochs,
        answers=parity.kept(network, weights),
    )


def _together(ordered: Dataset, oldest: Dataset, stop: Dataset) -> Dataset:
    """Return the loans of both parts; without a gap they lie side by side, and a million are not copied."""
    first = int(np.argmax(ordered.ids == stop.ids[0]))
    if first == len(oldest):
        return ordered.take(slice(first + len(stop)))
    return ordered.take(np.r_[0 : len(oldest), first : first + len(stop)])


def _parts(learn: Dataset, stop: Dataset, nets: int, seed: int) -> npt.NDArray[np.int64]:
    """Return which net leaves out which loan: one net the later ones, the nets of a bag a part of all."""
    if nets == 1:
        return np.repeat([1, 0], [len(learn), len(stop)])
    return stratified(np.concatenate([learn.default, stop.default]), nets, seed=seed)


def _within(say: Progress) -> Progress:
    """Return a progress of the fitting as one of the whole."""
    return lambda fraction, what: say(0.05 + 0.85 * fraction, what)


def targets(dataset: Dataset) -> npt.NDArray[np.float32]:
    """Return (n, 4): default, repaid_share, best_offer, repay_time; NaN and -1 where unknown."""
    time = np.full(len(dataset), np.nan) if dataset.repay_time is None else dataset.repay_time
    return np.column_stack([dataset.default, dataset.repaid_share, dataset.best_offer, time]).astype(np.float32)


def main(argv: list[str] | None = None) -> int:
    """Train on a Parquet file and write the signed model; the key comes from the environment."""
    parser = argparse.ArgumentParser(prog="python -m ml.train", description=main.__doc__)
    parser.add_argument("data", type=Path, help="Parquet file with the columns of ml.data")
    parser.add_argument("--out", type=Path, required=True, help="directory to make; must not exist")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--epochs", type=int, help="at most")
    parser.add_argument("--gap-days", type=float, default=Plan().gap_days)
    parser.add_argument("--recipe", type=Path, help="JSON file, as ml.tune writes it; else by the number of loans")
    parser.add_argument("--parent", type=Path, help="directory of a model to go on from, where it fits")
    parser.add_argument("--commit", help="commit of the code, kept in the manifest")
    parser.add_argument("--key-from", default="MODEL_KEY", help="environment variable that holds the signing key")
    args = parser.parse_args(argv)
    key = os.environ.get(args.key_from, "").encode()
    try:
        artifact.sign(b"", key)
        if args.out.exists():
            raise FileExistsError(f"{args.out} is there already")
        recipe = recipes.read(args.recipe) if args.recipe else None
        trained = train(
            data.load(args.data),
            seed=args.seed,
            plan=Plan(gap_days=args.gap_days, recipe=recipe, epochs=args.epochs),
            progress=lambda fraction, what: print(f"{fraction:4.0%} {what}", file=sys.stderr),  # noqa: T201
            parent=artifact.load(args.parent, key=key) if args.parent else None,
        )
        manifest = artifact.save(trained, args.out, key=key, commit=args.commit)
    except (ValueError, OSError, artifact.ArtifactRefused) as error:
        print(f"ml.train: {error}", file=sys.stderr)  # noqa: T201
        return 2
    print(json.dumps(manifest["metrics"]))  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
