"""The search for a recipe keeps to its budget, judges by the part that stops, and ends with the best."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from itertools import count

import numpy as np
import pytest

from ml import artifact, recipes
from ml import tune as tuning
from ml.forward import scores
from ml.measures import log_loss
from ml.train import Plan, train
from ml.tune import best, tune
from tests.ml.conftest import KEY, for_epochs

SHORT = for_epochs(2)


@pytest.fixture(scope="module")
def few(loans):
    return loans.take(slice(400))


@pytest.fixture(scope="module")
def told():
    return []


@pytest.fixture(scope="module")
def trials(few, told):
    return tune(
        few, trials=3, seconds=1e9, seed=1, plan=SHORT, progress=lambda part, what: told.append((part, what))
    )


def test_it_makes_as_many_trials_as_it_may_and_tells_of_each(trials, told):
    assert len(trials) == 3
    assert [part for part, _ in told] == pytest.approx([1 / 3, 2 / 3, 1])
    assert "trial 3: whole, log-loss" in told[-1][1]


def test_the_usual_recipe_is_the_first_so_that_none_worse_is_found(few, trials):
    assert trials[0].recipe == SHORT.recipe_for(len(few))
    assert len({repr(trial.recipe) for trial in trials}) == 3
    assert best(trials).log_loss == min(trial.log_loss for trial in trials) <= trials[0].log_loss


def test_what_a_trial_is_judged_by_is_what_training_by_its_recipe_says(few, trials):
    """Of the loans that stop a training, before they are calibrated."""
    found = best(trials)
    again = train(few, seed=1, plan=replace(SHORT, recipe=found.recipe, epochs=None))
    stop = few.split(SHORT.shares)[1]
    raw = again.weights | {"calibrate/slope": np.float32(1), "calibrate/intercept": np.float32(0)}
    assert log_loss(stop.default, scores(raw, stop.x)) == pytest.approx(found.log_loss, abs=1e-5)


def test_the_later_loans_decide_nothing(few, trials):
    turned = replace(few, default=few.default.copy())
    turned.default[320:] = 1 - turned.default[320:]
    again = tune(turned, trials=2, seconds=1e9, seed=1, plan=SHORT)

    assert [(t.recipe, t.log_loss) for t in again] == [(t.recipe, t.log_loss) for t in trials[:2]]


def test_the_clock_ends_it_within_an_epoch_and_the_usual_recipe_stays(few):
    """Each look at the clock is a second later; there are three before the first epoch ends."""
    ticks = count()
    ended = tune(few, trials=9, seconds=3, seed=1, plan=for_epochs(6), clock=lambda: float(next(ticks)))

    assert [trial.state for trial in ended] == ["cut off"]
    assert ended[0].epochs < 6
    assert best(ended) is ended[0]


def test_a_trial_worse_than_most_is_ended_early(few, monkeypatch):
    monkeypatch.setattr(tuning, "OTHERS", 1)
    monkeypatch.setattr(tuning, "EPOCHS_LEFT_ALONE", 0)
    monkeypatch.setattr(tuning, "CHOICES", {})
    monkeypatch.setattr(tuning, "BETWEEN", {"learning_rate": (1e-9, 2e-9)})
    ended = tune(few, trials=2, seconds=1e9, seed=1, plan=for_epochs(4))

    assert [trial.state for trial in ended] == ["whole", "pruned"]
    assert best(ended).state == "whole"


def test_from_the_command_line_to_a_model_trained_by_what_was_found(few, tmp_path):
    few.save(tmp_path / "loans.parquet")

    def run(*arguments):  # type: ignore[no-untyped-def]
        command = [sys.executable, "-m", *map(str, arguments), "--epochs", "1"]
        env = os.environ | {"MODEL_KEY": KEY.decode()}
        return subprocess.run(command, env=env, capture_output=True, text=True, check=False)

    search = ("ml.tune", tmp_path / "loans.parquet", "--out", tmp_path / "recipe.json", "--trials", 1)
    done = run(*search, "--minutes", 9)
    assert done.returncode == 0, done.stderr
    assert "100% trial 1: whole" in done.stderr
    found = json.loads((tmp_path / "recipe.json").read_text())
    assert found["data_sha256"] == few.sha256()
    assert found["trials"][0]["recipe"] == found["recipe"]
    assert {"log_loss", "seconds", "state", "epochs"} < set(found["trials"][0])
    assert run(*search).returncode == 2, "nothing is written over"

    learn = ("ml.train", tmp_path / "loans.parquet", "--recipe", tmp_path / "recipe.json")
    assert run(*learn, "--out", tmp_path / "model").returncode == 0
    manifest = artifact.load(tmp_path / "model", key=KEY).manifest
    assert manifest["plan"]["recipe"] == found["recipe"]
    assert recipes.read(tmp_path / "recipe.json") == Plan(epochs=1).recipe_for(400)

    (tmp_path / "recipe.json").write_text('{"widht": 8}')
    refused = run(*learn, "--out", tmp_path / "none")
    assert (refused.returncode, "a recipe has no widht" in refused.stderr) == (2, True)
    assert not (tmp_path / "none").exists()
