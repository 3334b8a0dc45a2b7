"""Measures against values worked out by hand."""

import numpy as np
import pytest

from ml import measures

# Four loans; of the 4 pairs of a defaulter and a payer, 3 are in the right order.
Y = np.array([0, 0, 1, 1], dtype=np.float32)
P = np.array([0.1, 0.4, 0.35, 0.8])


def test_measures_match_values_worked_out_by_hand():
    assert measures.auc(Y, P) == 0.75
    assert measures.gini(Y, P) == 0.5
    # At 0.1 half of the payers and no defaulter are below.
    assert measures.ks(Y, P) == 0.5
    assert measures.brier(Y, P) == pytest.approx((0.01 + 0.16 + 0.4225 + 0.04) / 4)
    # -(ln 0.9 + ln 0.6 + ln 0.35 + ln 0.8) / 4
    assert measures.log_loss(Y, P) == pytest.approx(0.4722879)
    # Groups {0.1, 0.35} and {0.4, 0.8}: promised 0.225 and 0.6, seen 0.5 and 0.5.
    assert measures.calibration_error(Y, P, bins=2) == pytest.approx((0.275 + 0.1) / 2)


def test_ties_count_half():
    assert measures.auc(Y, np.full(4, 0.3)) == 0.5
    assert measures.auc(Y, np.array([0.1, 0.3, 0.3, 0.8])) == 0.875
    assert measures.ks(Y, np.full(4, 0.3)) == 0


def test_one_outcome_only_has_no_auc_but_a_loss():
    assert np.isnan(measures.auc(np.zeros(4), P))
    assert np.isnan(measures.ks(np.ones(4), P))
    assert measures.log_loss(np.zeros(4), np.zeros(4)) == pytest.approx(0, abs=1e-6)


def test_average_precision_counts_rows_of_one_score_together():
    # Highest first: a defaulter (1 of 1), a payer, a defaulter (2 of 3), a payer.
    assert measures.pr_auc(Y, P) == pytest.approx((1 + 2 / 3) / 2)
    assert measures.pr_auc(Y, np.full(4, 0.3)) == 0.5
    assert np.isnan(measures.pr_auc(np.zeros(4), P))


def test_the_error_of_a_difference_of_aucs_is_what_resampling_says():
    rng = np.random.default_rng(3)
    truth = rng.normal(size=800)
    y = (rng.random(800) < 1 / (1 + np.exp(1 - truth))).astype(np.float32)
    near, far = truth + rng.normal(size=800), truth + 2 * rng.normal(size=800)
    difference, error = measures.auc_difference(y, near, far)

    assert difference == pytest.approx(measures.auc(y, near) - measures.auc(y, far))
    picks = (rng.integers(0, 800, 800) for _ in range(400))
    resampled = [measures.auc(y[pick], near[pick]) - measures.auc(y[pick], far[pick]) for pick in picks]
    assert error == pytest.approx(np.std(resampled), rel=0.2)
    assert measures.auc_difference(y, near, near) == (0.0, 0.0)


def test_luck_is_told_from_more():
    assert measures.two_sided(0) == 1
    assert measures.two_sided(-1.959964) == pytest.approx(0.05, abs=1e-6)
