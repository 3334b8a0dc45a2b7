"""Intervals hold the true value about as often as they say, at the edges too."""

import math

import numpy as np
import pytest

from ml import intervals


def held(draw, true: float, nights: int = 400, **of) -> float:  # type: ignore[no-untyped-def]
    """Return in which share of draws the interval holds the true value."""
    found = [draw(np.random.default_rng(seed)) for seed in range(nights)]
    return float(np.mean([one.low <= true <= one.high for one in found]))


@pytest.mark.parametrize("true", [0.02, 0.3, 0.97])
def test_a_share_lies_between_its_bounds_in_95_of_100_cases(true):
    assert held(lambda rng: intervals.share(int(rng.binomial(300, true)), 300), true) == pytest.approx(
        0.95, abs=0.03
    )


def test_the_bounds_of_a_share_are_wilsons():
    # Newcombe 1998, "Two-sided confidence intervals for the single proportion", table I: 81 of 263, 15 of 148.
    for some, of, low, high in ((81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611)):
        found = intervals.share(some, of)
        assert (found.low, found.high) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))
    assert intervals.share(7, 7).high == 1
    assert math.isnan(intervals.share(0, 0).value)


def test_observed_to_expected_lies_between_its_bounds():
    p = np.random.default_rng(9).uniform(0.02, 0.4, 800)
    drawn = lambda rng: (rng.random(800) < p).astype(np.float32)  # noqa: E731
    assert held(lambda rng: intervals.observed_to_expected(drawn(rng), p), 1.0) >= 0.93


def test_of_none_that_came_the_upper_bound_is_that_of_no_events():
    p = np.full(500, 0.02)
    found = intervals.observed_to_expected(np.zeros(500), p)
    assert (found.value, found.low) == (0, 0)
    # The exact upper bound of a Poisson number of which none was seen: 3.689.
    assert found.high == pytest.approx(3.689 / 10, rel=1e-3)


def by_luck(share: float) -> float:
    """Three standard errors of a share in 2,000 draws."""
    return 3 * math.sqrt(share * (1 - share) / 2_000)


@pytest.mark.parametrize("false_alarms", [0.01, 0.1])
def test_true_promises_leave_the_ratio_in_so_few_cases(false_alarms):
    p = np.random.default_rng(9).uniform(0.02, 0.4, 800)
    low, high = intervals.chance_of_ratio(p, false_alarms=false_alarms)
    outside = []
    for seed in range(2_000):
        ratio = (np.random.default_rng(seed).random(800) < p).sum() / p.sum()
        outside.append(not low <= ratio <= high)
    assert np.mean(outside) == pytest.approx(false_alarms, abs=by_luck(false_alarms))


@pytest.mark.parametrize("false_alarms", [0.01, 0.1])
def test_true_promises_leave_the_log_loss_in_so_few_cases(false_alarms):
    p = np.random.default_rng(9).uniform(0.02, 0.4, 800)
    limit = intervals.chance_of_log_loss(p, false_alarms=false_alarms)
    drawn = ((np.random.default_rng(seed).random(800) < p).astype(np.float32) for seed in range(2_000))
    rang = np.mean([intervals.log_loss(y, p).value > limit for y in drawn])
    assert rang == pytest.approx(false_alarms, abs=by_luck(false_alarms))


def test_auc_lies_between_its_bounds():
    # Two normal distributions a standard deviation apart: AUC is Phi(1 / sqrt 2) = 0.7602.
    def draw(rng: np.random.Generator) -> intervals.Interval:
        y = (rng.random(500) < 0.2).astype(np.float32)
        return intervals.auc(y, rng.normal(size=500) + y)

    assert held(draw, 0.7602) == pytest.approx(0.95, abs=0.03)


def test_a_quantile_lies_between_its_bounds_whatever_the_distribution():
    true = math.log(20)  # of the exponential distribution, one of 20 above
    assert held(lambda rng: intervals.quantile(rng.exponential(size=300), 0.95), true) >= 0.93
    found = intervals.quantile([3.0, 1.0, 2.0], 0.5)
    assert (found.low, found.value, found.high) == (1, 2, 3)
    assert math.isnan(intervals.quantile([], 0.5).value)
