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
