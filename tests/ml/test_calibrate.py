"""Promised chances come true."""

import numpy as np
import pytest

from ml.calibrate import Calibration, calibrate, log_odds
from ml.measures import auc, calibration_error


@pytest.fixture
def boastful():
    """Outcomes, and a score that is twice too sure of itself and too hopeful."""
    rng = np.random.default_rng(11)
    odds = rng.normal(-1.5, 1.0, 20_000)
    y = (rng.random(20_000) < 1 / (1 + np.exp(-odds))).astype(np.float32)
    return y, 1 / (1 + np.exp(-(2 * odds - 1)))


def test_a_boastful_score_is_brought_back_to_the_truth(boastful):
    y, p = boastful
    fitted = calibrate(y, p)

    # odds = (2 odds - 1) / 2 + 1 / 2
    assert fitted.slope == pytest.approx(0.5, abs=0.02)
    assert fitted.intercept == pytest.approx(0.5, abs=0.05)
    assert calibration_error(y, fitted(p)) < 0.01 < calibration_error(y, p)
    assert auc(y, fitted(p)) == auc(y, p)


def test_too_few_of_either_outcome_change_nothing(boastful):
    _, p = boastful
    assert calibrate(np.zeros(len(p)), p) == Calibration()
    assert calibrate(np.zeros(0), np.zeros(0)) == Calibration()


@pytest.mark.parametrize("loans", [60, 80, 120, 200])
def test_a_small_sample_is_believed_only_in_part(boastful, monkeypatch, loans):
    y, p = boastful[0][:loans], boastful[1][:loans]
    identity = np.array([1.0, 0.0])
    careful = calibrate(y, p)
    monkeypatch.setattr("ml.calibrate.PULL", 1e-6)
    best_fit = calibrate(y, p)

    def distance(fitted):
        return np.hypot(*(np.array([fitted.slope, fitted.intercept]) - identity))

    assert 0 < distance(careful) < distance(best_fit)
    # The best fit makes the mean promise equal the mean of Platt's targets: it did arrive.
    bad, good = y.sum(), len(y) - y.sum()
    mean_target = (bad * (bad + 1) / (bad + 2) + good / (good + 2)) / loans
    assert best_fit(p).mean() == pytest.approx(mean_target, abs=1e-4)


def test_a_backwards_score_is_never_turned_round(boastful):
    y, p = boastful
    assert calibrate(1 - y, p).slope > 0


def test_certainty_has_finite_log_odds():
    assert np.isfinite(log_odds(np.array([0.0, 1.0]))).all()
