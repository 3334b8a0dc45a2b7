"""What the model may know: refused when it cannot be true, kept apart when it is missing."""

import subprocess
import sys
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest

from ml import features
from ml.features import InvalidFeature

AMINA = dict.fromkeys(features.NAMES) | {
    "loans_taken": 4, "on_time_share": 0.75, "requested_cents": 50_000, "hour_local": 9, "day_of_month": 23,
}  # fmt: skip


def test_a_row_follows_the_declared_order_and_keeps_missing_values_missing():
    vector = features.row(AMINA)

    assert vector.dtype == np.float32
    assert vector.shape == (len(features.NAMES),)
    assert vector[features.NAMES.index("requested_cents")] == 50_000
    assert np.isnan(vector[features.NAMES.index("last_days_late")])
    shuffled = dict(reversed(AMINA.items()))
    np.testing.assert_array_equal(features.row(shuffled), vector)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("requested_cents", 1e12),
        ("requested_cents", float("inf")),
        ("requested_cents", float("-inf")),
        ("requested_cents", -500),
        ("requested_cents", "500"),
        ("loans_taken", True),
        ("on_time_share", 1.01),
        ("on_time_share", Decimal("-0.01")),
        ("hour_local", 24),
        ("day_of_month", 0),
        ("worst_days_late", 1e9),
    ],
)
def test_a_value_that_cannot_be_true_is_refused_by_name(name, value):
    with pytest.raises(InvalidFeature, match=name) as refusal:
        features.row(AMINA | {name: value})

    assert refusal.value.name == name


def test_a_column_that_was_forgotten_does_not_pass_for_a_missing_value():
    short = {name: value for name, value in AMINA.items() if name != "loans_taken"}

    with pytest.raises(InvalidFeature, match="loans_taken must be given"):
        features.row(short)
    with pytest.raises(InvalidFeature, match="religion must be a declared feature"):
        features.row(AMINA | {"religion": 1})


def test_a_table_of_rows_is_held_to_the_same_ranges():
    good = np.tile(features.row(AMINA), (3, 1))
    np.testing.assert_array_equal(features.check_rows(good), good)

    bad = good.copy()
    bad[1, features.NAMES.index("early_share")] = 2
    with pytest.raises(InvalidFeature, match="early_share"):
        features.check_rows(bad)
    with pytest.raises(InvalidFeature, match=f"{len(features.NAMES)} features wide"):
        features.check_rows(good[:, :-1])


@pytest.mark.parametrize("feature", features.FEATURES, ids=lambda feature: feature.name)
def test_every_feature_takes_its_own_bounds_and_says_what_it_means(feature):
    row = features.row(AMINA | {feature.name: feature.high})
    features.check_rows(row[None, :])
    features.row(AMINA | {feature.name: feature.low})

    assert feature.low < feature.high
    assert feature.missing and feature.unit and feature.source
    assert feature.words and feature.words_good and not feature.words.endswith(".")


def test_the_version_changes_with_a_range_and_not_with_a_sentence():
    first, *rest = features.FEATURES
    assert features.version_of((replace(first, high=1.0), *rest)) != features.VERSION
    assert features.version_of((*rest, first)) != features.VERSION
    assert features.version_of((replace(first, words="you are new here"), *rest)) == features.VERSION


def test_at_least_a_hundred_numbers_of_every_subject():
    assert len(features.NAMES) >= 100
    subjects = {feature.source.split("/")[0] for feature in features.FEATURES}
    assert subjects >= {"loan", "repayment", "promise", "savings", "group", "wallet", "book", "application"}


def test_promises_are_of_declared_features_and_do_not_contradict_each_other():
    hurts, helps = set(features.MORE_NEVER_HURTS), set(features.MORE_NEVER_HELPS)
    assert hurts | helps <= set(features.NAMES)
    assert not hurts & helps
    assert (features.MONOTONE != 0).sum() == len(hurts) + len(helps)


def test_no_person_is_judged_by_who_they_are():
    for protected in ("name", "sex", "gender", "language", "religion", "contacts", "phone_model", "msisdn"):
        assert protected not in features.NAMES


def test_importing_features_and_predict_does_not_start_tensorflow():
    code = "import sys, ml.features, ml.predict, ml.train; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
