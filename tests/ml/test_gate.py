"""The rule that changes who decides."""

import numpy as np
import pytest

from ml.gate import compare, compare_scores


@pytest.fixture
def later():
    """Outcomes of 1,500 loans with the chances that truly drove them."""
    rng = np.random.default_rng(5)
    truth = 1 / (1 + np.exp(1.5 - rng.normal(size=1500)))
    return (rng.random(1500) < truth).astype(np.float32), truth


def test_a_challenger_that_knows_more_takes_over(later):
    y, truth = later
    blunt = 1 / (1 + np.exp(-(np.log(truth / (1 - truth)) + np.random.default_rng(1).normal(size=1500))))
    verdict = compare_scores(y, truth, blunt)

    assert verdict.better
    assert verdict.low > 0
    assert "later loans" in verdict.why[0]
    assert not compare_scores(y, blunt, truth).better


def test_an_equal_challenger_stays_on_the_shelf(later):
    y, truth = later
    verdict = compare_scores(y, truth, truth)

    assert not verdict.better
    assert "resamples" in verdict.why[0]


def test_the_verdict_is_the_same_each_time(later):
    y, truth = later
    assert compare_scores(y, truth, truth**1.1) == compare_scores(y, truth, truth**1.1)


def test_shuffled_labels_are_refused_in_words(later):
    y, truth = later
    verdict = compare_scores(y, np.random.default_rng(2).permutation(truth), truth)

    assert not verdict.better
    assert any(words.startswith("AUC") for words in verdict.why)
    assert any(words.startswith("Brier") for words in verdict.why)


def test_too_few_later_loans_decide_nothing(later):
    y, truth = later
    verdict = compare_scores(y[:150], truth[:150], np.full(150, 0.5))

    assert not verdict.better
    assert verdict.why == (f"needs 200 later loans with 20 defaults, got 150 with {int(y[:150].sum())}",)


def test_the_first_model_must_beat_the_plain_default_rate(loans):
    blind = np.random.default_rng(0).random(len(loans))
    assert not compare(lambda x: blind, None, loans).better
    assert compare(lambda x: 0.1 + 0.8 * loans.default, None, loans).better
