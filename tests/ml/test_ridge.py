"""A line with a penalty: the optimum it claims, and how much of noise it believes."""

import numpy as np
import pytest

from ml import ridge


def story(n, f, *, slope, seed=1):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, f))
    return x, (rng.random(n) < 1 / (1 + np.exp(1 - slope * x[:, 0]))).astype(np.float64)


@pytest.mark.parametrize("penalty", [1.0, 100.0])
def test_at_the_optimum_no_step_helps(penalty):
    x, y = story(500, 4, slope=2)
    weights, intercept = ridge.fit(x, y, seed=0, penalties=[penalty])

    wrong = ridge.chances(x, weights, intercept) - y
    np.testing.assert_allclose(x.T @ wrong + penalty * weights, 0, atol=1e-3)
    assert wrong.sum() == pytest.approx(0, abs=1e-3)


def test_a_clear_story_is_believed():
    x, y = story(2_000, 3, slope=2)
    weights, intercept = ridge.fit(x, y, seed=0)

    assert weights[0] == pytest.approx(2, abs=0.3)
    assert intercept == pytest.approx(-1, abs=0.3)
    assert np.abs(weights[1:]).max() < 0.2


def test_of_many_numbers_that_mean_nothing_little_is_believed():
    x, y = story(300, 100, slope=0)
    weights, _ = ridge.fit(x, y, seed=0)
    loose, _ = ridge.fit(x, y, seed=0, penalties=[1.0])

    assert np.abs(weights).max() < np.abs(loose).max() / 4


def test_outcomes_that_a_line_tells_apart_do_not_run_away():
    x = np.linspace(-1, 1, 100)[:, None]
    weights, intercept = ridge.fit(x, (x[:, 0] > 0).astype(np.float64), seed=0)

    assert np.isfinite([*weights, intercept]).all()
    assert 0 < ridge.chances(x, weights, intercept).min() < 0.1
