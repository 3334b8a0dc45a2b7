"""Look for a better recipe on the loans themselves, within a budget of trials and minutes.

    python -m ml.tune loans.parquet --out recipe.json [--trials 30] [--minutes 60] [--seed 1]

Each trial learns from the oldest loans and is judged by the log-loss on the loans that stop it, never on those that
a training is calibrated or judged by. The usual recipe is the first trial, so that what is found is never worse
there; the best of thirty flatters itself a little, and the gate has the last word. Needs Optuna, which is in
requirements-dev.txt. Sources: Bergstra et al. 2011, "Algorithms for Hyper-Parameter Optimization" (TPE); Golovin
et al. 2017, "Google Vizier", section 3.2.2 (the median rule).
"""

import argparse
import json
import math
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import optuna

from ml import data, files, memory
from ml.artifact import without_nan
from ml.data import Dataset
from ml.fit import Diverged, Progress, Recipe
from ml.train import Plan, learn

Clock = Callable[[], float]

# What is tried of each size. Numbers between two ends are drawn by their logarithm.
CHOICES: dict[str, tuple[int, ...]] = {
    "bins": (8, 16, 32, 64),
    "embedding": (2, 4, 8, 16),
    "width": (16, 32, 48, 64, 96, 128),
    "members": (1, 2, 4, 8, 16),
    "batch": (64, 128, 256, 512, 1024),
}
BETWEEN: dict[str, tuple[float, float]] = {
    "learning_rate": (3e-4, 1e-2),
    "weight_decay": (1e-4, 1e-1),
    "dropout": (0.02, 0.5),
}
# No trial is ended for being worse than half of the others before so many of these have ended, nor so early.
OTHERS, EPOCHS_LEFT_ALONE = 4, 2


class OutOfTime(Exception):
    """The minutes are used up; ends a trial after its epoch."""


@dataclass(frozen=True)
class Trial:
    """One recipe, and how well it did. state: `whole`, `pruned`, `diverged` or, by the clock, `cut off`.

    log_loss: of the best epoch on the loans that stopped it, inf where none ended.
    """

    recipe: Recipe
    log_loss: float
    epochs: int
    seconds: float
    state: str


def tune(
    dataset: Dataset,
    *,
    trials: int,
    seconds: float,
    seed: int,
    plan: Plan | None = None,
    progress: Progress = lambda part, what: None,
    clock: Clock = time.monotonic,
) -> list[Trial]:
    """Return the trials that the budget allowed, the usual recipe's first; see `best` for what they found.

    The same loans, seed and number of trials give the same recipes, unless the clock ends the search. It is looked
    at after each epoch.

    Raises:
        TooFewLoans: as `ml.train.train` says.
    """
    plan = plan or Plan()
    usual = plan.recipe_for(len(dataset))
    dataset, until = dataset.in_time_order(), clock() + seconds
    study = optuna.create_study(
        sampler=optuna.samplers.TPESampler(seed=seed),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=OTHERS, n_warmup_steps=EPOCHS_LEFT_ALONE),
    )
    study.enqueue_trial({name: getattr(usual, name) for name in (*CHOICES, *BETWEEN)})
    done: list[Trial] = []
    while len(done) < trials and (not done or clock() < until):
        asked = study.ask()
        found = _try(dataset, asked, replace(plan, recipe=_suggested(asked, usual)), seed, until, clock)
        whole = found.state == "whole"
        study.tell(asked, found.log_loss if whole else None, None if whole else _STATES[found.state])
        done.append(found)
        what = f"trial {len(done)}: {found.state}, log-loss {found.log_loss:.4f}, best {best(done).log_loss:.4f}"
        progress(len(done) / trials, f"{what}, {found.seconds:.0f} s")
    return done


_STATES = {
    "pruned": optuna.trial.TrialState.PRUNED,
    "diverged": optuna.trial.TrialState.FAIL,
    "cut off": optuna.trial.TrialState.FAIL,
}


def best(trials: list[Trial]) -> Trial:
    """Return the best whole trial; where none is, the first, which is the usual recipe's."""
    return min((trial for trial in trials if trial.state == "whole"), key=lambda t: t.log_loss, default=trials[0])


def _suggested(asked: optuna.Trial, usual: Recipe) -> Recipe:
    """Return the recipe that a trial asks for; what the usual one has is always among the choices."""
    found: dict[str, Any] = {}
    for name, choices in CHOICES.items():
        found[name] = asked.suggest_categorical(name, sorted({*choices, getattr(usual, name)}))
    for name, (low, high) in BETWEEN.items():
        value = getattr(usual, name)
        found[name] = asked.suggest_float(name, min(low, value), max(high, value), log=True)
    return replace(usual, **found)


def _try(dataset: Dataset, asked: optuna.Trial, plan: Plan, seed: int, until: float, clock: Clock) -> Trial:
    """Learn by a recipe, from nothing, until it is no use or no time."""
    began = clock()
    losses: list[float] = []

    def watch(epoch: int, loss: float) -> None:
        losses.append(loss)
        asked.report(loss, epoch)
        if asked.should_prune():
            raise optuna.TrialPruned
        if clock() >= until:
            raise OutOfTime

    state = "whole"
    try:
        learn(dataset, seed=seed, plan=plan, progress=lambda part, what: None, watch=watch)
    except optuna.TrialPruned:
        state = "pruned"
    except Diverged:
        state = "diverged"
    except OutOfTime:
        state = "cut off"
    recipe = plan.recipe_for(len(dataset))
    return Trial(recipe, min(losses, default=math.inf), max(0, len(losses) - 1), clock() - began, state)


def as_json(trials: list[Trial], dataset: Dataset, seed: int) -> dict[str, Any]:
    """Return what the search found, with every trial; `ml.recipes.read` takes the recipe out of it."""
    found = best(trials)
    return without_nan(  # type: ignore[no-any-return]
        {
            "recipe": asdict(found.recipe),
            "log_loss": found.log_loss,
            "usual_log_loss": trials[0].log_loss,
            "seed": seed,
            "data_sha256": dataset.sha256(),
            "trials": [asdict(trial) for trial in trials],
        }
    )


def main(argv: list[str] | None = None) -> int:
    """Look for a better recipe on a Parquet file, and write it down with every trial."""
    parser = argparse.ArgumentParser(prog="python -m ml.tune", description=main.__doc__)
    parser.add_argument("data", type=Path, help="Parquet file with the columns of ml.data")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to make; must not exist")
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--epochs", type=int, help="at most, of a trial")
    parser.add_argument("--gap-days", type=float, default=Plan().gap_days)
    asked = parser.parse_args(argv)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        if asked.out.exists():
            raise FileExistsError(f"{asked.out} is there already")
        dataset = data.load(asked.data)
        trials = tune(
            dataset,
            trials=asked.trials,
            seconds=asked.minutes * 60,
            seed=asked.seed,
            plan=Plan(gap_days=asked.gap_days, epochs=asked.epochs),
            progress=lambda part, what: print(f"{part:4.0%} {what}", file=sys.stderr, flush=True),  # noqa: T201
        )
        found = as_json(trials, dataset, asked.seed)
        files.write_whole(asked.out, json.dumps(found, indent=1).encode())
    except (ValueError, OSError) as error:
        print(f"ml.tune: {error}", file=sys.stderr)  # noqa: T201
        return 2
    kept = {name: found[name] for name in ("recipe", "log_loss", "usual_log_loss")}
    print(json.dumps(kept | {"trials": len(trials), "peak_mib": memory.peak_mib()}))  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
