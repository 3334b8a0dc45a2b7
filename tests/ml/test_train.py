"""Training learns the story of the book, the same each time, and from the past only."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from ml import artifact, features
from ml.calibrate import Calibration
from ml.events import KINDS
from ml.features import NAMES
from ml.forward import forward, scores
from ml.measures import auc, log_loss
from ml.train import TooFewLoans, train
from tests.ml.conftest import KEY, SMALL, book, for_epochs, with_events


def test_the_network_learns_what_drives_default(trained):
    fresh = book(3000, seed=99)
    p = scores(trained.weights, fresh.x)

    assert auc(fresh.default, p) > 0.7
    assert log_loss(fresh.default, p) < log_loss(fresh.default, np.full(3000, fresh.default.mean())) - 0.05
    assert trained.metrics["test"]["auc"] > 0.65


@pytest.mark.parametrize("name", [*features.MORE_NEVER_HURTS, *features.MORE_NEVER_HELPS])
def test_what_is_promised_of_a_number_holds_for_every_applicant(trained, name):
    place = NAMES.index(name)
    many = np.repeat(book(60, seed=98).x, 21, axis=0)
    learnt = np.sort(book().x[:, place])
    many[:, place] = np.tile(np.quantile(learnt[~np.isnan(learnt)], np.linspace(0, 1, 21)), 60)
    steps = np.diff(scores(trained.weights, many).reshape(60, 21), axis=1)

    assert (features.MONOTONE[place] * steps >= -1e-6).all()


def test_the_network_speaks_calibrated_chances(trained):
    x = book(200, seed=99).x
    plain = trained.weights | {"calibrate/slope": np.float32(1), "calibrate/intercept": np.float32(0)}

    assert trained.calibration != Calibration()
    calibrated = trained.calibration(scores(plain, x))
    np.testing.assert_allclose(scores(trained.weights, x), calibrated, atol=1e-6)


def test_the_other_outputs_learn_too(trained):
    fresh = book(3000, seed=99)
    out = forward(trained.weights, fresh.x)

    np.testing.assert_allclose(out["offer"].sum(axis=1), 1, atol=1e-5)
    risky = out["default"] > np.quantile(out["default"], 0.8)
    assert out["repaid_share"][risky].mean() < out["repaid_share"][~risky].mean()
    assert out["offer"][risky, 0].mean() < out["offer"][~risky, 0].mean()


def test_seed_and_data_alone_decide_the_weights(loans, trained):
    shuffled = loans.take(np.random.default_rng(0).permutation(len(loans)))
    again = train(shuffled, seed=3, plan=SMALL)

    assert again.data_sha256 == trained.data_sha256
    for path, weight in trained.weights.items():
        np.testing.assert_array_equal(again.weights[path], weight, err_msg=path)


def test_every_random_start_comes_from_the_seed():
    from ml import network

    def start(seed):
        model, _ = network.build(network.Spec(len(NAMES)), seed=seed)
        return network.weights_of(model)

    first, again, other = start(3), start(3), start(4)
    for path in ("embed/curves", "hidden_1/kernel", "hidden_1/scale_in", "hidden_2/kernel", "heads/kernel"):
        np.testing.assert_array_equal(first[path], again[path])
        assert not np.array_equal(first[path], other[path]), path


def test_the_latest_loans_teach_nothing(loans, trained):
    changed = replace(loans, default=loans.default.copy(), x=loans.x.copy())
    changed.default[1440:] = 1 - changed.default[1440:]
    changed.x[1440:] = 0
    again = train(changed, seed=3, plan=SMALL)

    assert trained.seen_until == loans.decided_at[1439]
    np.testing.assert_array_equal(again.weights["wide/curves"], trained.weights["wide/curves"])
    np.testing.assert_array_equal(again.weights["encode/low"], trained.weights["encode/low"])


def test_unknown_shares_and_offers_do_not_spoil_the_rest(loans):
    n = len(loans)
    bare = replace(loans, repaid_share=np.full(n, np.nan, np.float32), best_offer=np.full(n, -1))
    result = train(bare, seed=3, plan=for_epochs(3))

    assert all(np.isfinite(w).all() for path, w in result.weights.items() if path != "encode/reference")
    assert result.metrics["test"]["auc"] > 0.6


def test_progress_is_told_from_start_to_end_and_the_clock_can_stop_it(loans):
    told = []
    # The clock is already past the limit after one epoch.
    plan = replace(SMALL, recipe=replace(SMALL.recipe, max_seconds=1e-9))
    result = train(loans, seed=3, plan=plan, progress=lambda part, what: told.append((part, what)))

    assert result.epochs == 1
    assert [part for part, _ in told] == sorted(part for part, _ in told)
    assert told[0][0] == 0
    assert told[-1][0] == 1


def test_a_book_with_one_outcome_teaches_nothing(loans):
    with pytest.raises(TooFewLoans, match="both outcomes"):
        train(replace(loans, default=np.zeros_like(loans.default)), seed=3)
    with pytest.raises(TooFewLoans, match="got 20"):
        train(loans.take(np.arange(20)), seed=3)


def test_a_file_is_trained_on_from_the_command_line_without_django(loans, tmp_path):
    loans.save(tmp_path / "loans.parquet")
    run = [sys.executable, "-m", "ml.train", str(tmp_path / "loans.parquet"), "--epochs", "1"]
    run += ["--out", str(tmp_path / "model"), "--seed", "3", "--commit", "abc123"]
    done = subprocess.run(
        run, env=os.environ | {"MODEL_KEY": KEY.decode()}, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    model = artifact.load(tmp_path / "model", key=KEY)
    assert json.loads(done.stdout) == model.manifest["metrics"]
    assert model.manifest["code_commit"] == "abc123"
    assert model.manifest["data_sha256"] == loans.sha256()


def test_events_are_learnt_from_and_chances_that_know_them_come_true():
    """What happened to people tells much here, so chances that do not know it would be wrong."""
    learnt_from = with_events(book())
    found = train(learnt_from, seed=3, plan=for_epochs(12))
    _, stop, later, _ = learnt_from.split(SMALL.shares)
    promised = np.concatenate([stop.default, later.default]).mean()
    fresh = with_events(book(3_000, seed=99), seed=10)
    knows, deaf = (scores(found.weights, *each) for each in (fresh.told, (fresh.x,)))

    assert found.network["kinds"] == len(KINDS)
    assert auc(fresh.default, knows) > auc(fresh.default, deaf) + 0.03
    assert knows.mean() == pytest.approx(promised, abs=0.03), "they come true where they were calibrated"
    assert abs(deaf.mean() - promised) > 0.05
    assert log_loss(fresh.default, knows) < log_loss(fresh.default, deaf)
