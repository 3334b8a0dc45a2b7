"""Drift alarms ring for change, and seldom for chance, at any sample size."""

import numpy as np
import pytest

from ml.drift import drift, threshold


@pytest.mark.parametrize("m", [100, 500, 5_000])
def test_chance_alone_seldom_rings(m):
    rng = np.random.default_rng(m)
    reference = rng.normal(size=20_000)
    alarms = sum(drift(reference, rng.normal(size=m)).moved for _ in range(200))

    assert alarms <= 12  # 1 in 100 expected; a little more on the smallest samples


def test_a_real_shift_rings():
    rng = np.random.default_rng(1)
    assert drift(rng.normal(size=20_000), rng.normal(0.4, 1, size=500)).moved


def test_more_missing_values_are_a_shift():
    rng = np.random.default_rng(1)
    now = rng.normal(size=1000)
    now[:100] = np.nan
    assert drift(rng.normal(size=20_000), now).moved


def test_the_threshold_is_that_of_chi_squared():
    # 99 % quantile with 9 degrees of freedom: 21.666.
    assert threshold(20_000, 5_000, bins=10) == pytest.approx(21.666 * (1 / 20_000 + 1 / 5_000), rel=0.002)


def test_nothing_to_compare_never_rings():
    assert not drift(np.zeros(0), np.ones(5)).moved
    assert not drift(np.full(50, np.nan), np.full(50, np.nan)).moved


@pytest.mark.parametrize("m", [200, 2_000])
def test_of_many_things_at_once_chance_seldom_rings_any(m):
    """100 features, half of them mostly 0 as counts are: in few nights does even one ring."""
    rng = np.random.default_rng(m)
    reference = rng.normal(size=(10_000, 100))
    reference[:, :50] = np.maximum(reference[:, :50] - 1, 0)
    nights = 0
    for _ in range(20):
        now = rng.normal(size=(m, 100))
        now[:, :50] = np.maximum(now[:, :50] - 1, 0)
        nights += any(drift(reference[:, j], now[:, j], false_alarms=0.01 / 100).moved for j in range(100))
    assert nights <= 2


def test_bins_of_a_few_rows_count_as_one():
    """Two rows of 300 where one of 1,000 was usual is chance, and not a shift."""
    reference, now = np.zeros(20_000), np.zeros(300)
    reference[:20], now[:2] = 1, 1
    assert not drift(reference, now).moved
    now[:60] = 1
    assert drift(reference, now).moved
