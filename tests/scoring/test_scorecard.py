"""The table of points that stands in for the model."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.features import BY_NAME, MORE_NEVER_HELPS, MORE_NEVER_HURTS
from scoring.policy import IN_FORCE, judge
from scoring.scorecard import BASE_POINTS, CARD, chance, points
from tests.scoring.test_policy import AMINA

CLEAN = {
    "loans_settled": 3.0,
    "on_time_share": 1.0,
    "worst_days_late": 0.0,
    "last_days_late": 0.0,
    "days_since_registered": 400.0,
    "repaid_max_cents": 80_000.0,
    "principal_last_cents": 80_000.0,
}
ASKS = replace(AMINA, requested_cents=80_000, total_cents=84_800)
rows = st.fixed_dictionaries({fact.name: st.none() | st.floats(-400, 400) for fact in CARD})


def test_five_repay_for_one_who_does_not_at_the_base():
    worth_nothing = {"loans_settled": 1.0, "days_since_registered": 100.0, "requested_to_mean_inflow": 0.3}
    assert points(worth_nothing) == BASE_POINTS
    assert chance(worth_nothing) == pytest.approx(1 / 6)


def test_forty_points_more_double_the_odds():
    better = CLEAN | {"loans_settled": 5.0}
    assert points(better) - points(CLEAN) == 20
    odds = [(1 - chance(row)) / chance(row) for row in (CLEAN, better)]
    assert odds[1] / odds[0] == pytest.approx(2**0.5)


@pytest.mark.parametrize("fact", CARD, ids=lambda fact: fact.name)
def test_a_fact_is_one_of_the_model_s_and_its_bands_rise(fact):
    assert fact.name in BY_NAME
    starts = [start for start, _ in fact.bands]
    assert starts == sorted(set(starts))


@given(row=rows, fact=st.sampled_from(CARD), one=st.floats(-400, 400), other=st.floats(-400, 400))
def test_it_keeps_the_promises_that_the_network_keeps(row, fact, one, other):
    less, more = (chance(row | {fact.name: value}) for value in sorted((one, other)))
    below = fact.bands[0][0] > min(one, other)
    if fact.name in MORE_NEVER_HURTS and not below:
        assert more <= less
    if fact.name in MORE_NEVER_HELPS and not below:
        assert more >= less


@given(row=rows)
def test_it_is_always_a_chance(row):
    assert 0 < chance(row) < 1


class TestThePolicyByIt:
    def test_lends_again_what_a_clean_payer_has_repaid(self):
        answer = judge(CLEAN, chance(CLEAN), ASKS, by_scorecard=True)
        assert (answer.outcome, answer.limit_cents) == ("approve", 150_000)

    @pytest.mark.parametrize(
        ("features", "facts"),
        [
            (CLEAN | {"worst_days_late": 1.0}, {}),
            (CLEAN | {"worst_days_late": None}, {}),
            (CLEAN | {"loans_settled": 0.0, "repaid_max_cents": None}, {}),
            (CLEAN, {"requested_cents": 85_000, "total_cents": 90_100}),
            (CLEAN, {"first_rung_cents": 50_000}),
        ],
        ids=["late", "unknown", "new", "more", "rung"],
    )
    def test_leaves_everything_else_to_a_person(self, features, facts):
        answer = judge(features, 0.01, replace(ASKS, **facts), by_scorecard=True)
        assert (answer.outcome, answer.reasons[0].code) == ("refer", "data_missing")

    def test_never_declines_by_it(self):
        assert judge(CLEAN, 0.99, ASKS, by_scorecard=True).outcome == "refer"
        assert judge(CLEAN, IN_FORCE.scorecard_below, ASKS, by_scorecard=True).outcome == "refer"

    @given(row=rows, requested=st.integers(20_000, 150_000))
    def test_never_lends_above_the_first_rung_or_what_was_repaid(self, row, requested):
        facts = replace(ASKS, requested_cents=requested, total_cents=requested * 106 // 100)
        features = CLEAN | {name: value for name, value in row.items() if value is not None}
        answer = judge(features, chance(features), facts, by_scorecard=True)
        if answer.outcome == "approve":
            assert requested <= min(facts.first_rung_cents, features["repaid_max_cents"])
