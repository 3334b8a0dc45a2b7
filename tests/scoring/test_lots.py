"""First loans by lot: whose lot counts, what the answer is then, and how likely it was."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoring.policy import IN_FORCE, judge
from tests.scoring.test_policy import AMINA, NEW

# A newcomer who asks for KES 500, with a full pot and a lot that is drawn.
ASKS = replace(AMINA, requested_cents=50_000, total_cents=53_000, draw=0.05, pot_loans=10, pot_cents=500_000)
BETWEEN, BAD = 0.20, 0.30
SHARE = IN_FORCE.explore_share


class TestADrawnLot:
    @pytest.mark.parametrize("score", [BETWEEN, BAD])
    def test_lends_what_the_score_alone_would_have_refused(self, score):
        answer = judge(NEW, score, ASKS)
        assert (answer.outcome, answer.limit_cents, answer.propensity) == ("approve", 50_000, SHARE)
        assert answer.otherwise == replace(judge(NEW, score, replace(ASKS, draw=0.5)), propensity=1.0)

    def test_lends_where_only_a_wallet_was_not_shared(self):
        answer = judge(NEW, 0.05, replace(ASKS, shares_wallet=False))
        assert (answer.outcome, answer.propensity, answer.otherwise.outcome) == ("approve", SHARE, "refer")

    def test_that_is_not_drawn_leaves_the_answer_and_its_chance(self):
        answer = judge(NEW, BETWEEN, replace(ASKS, draw=SHARE))
        assert (answer.outcome, answer.propensity, answer.otherwise) == ("refer", 1 - SHARE, None)


@pytest.mark.parametrize(
    ("changes", "score", "features"),
    [
        ({}, 0.05, NEW),
        ({}, None, NEW),
        ({}, IN_FORCE.explore_below, NEW),
        ({}, BETWEEN, {"loans_settled": 1.0, "principal_last_cents": 50_000.0}),
        ({}, BETWEEN, NEW | {"loans_by_other_numbers": 1.0}),
        ({"requested_cents": 55_000, "total_cents": 58_300}, BETWEEN, NEW),
        ({"pot_loans": 0}, BETWEEN, NEW),
        ({"pot_cents": 49_999}, BETWEEN, NEW),
        ({"drew_lately": True}, BETWEEN, NEW),
        ({"may_score": False}, BETWEEN, NEW),
        ({"has_open_loan": True}, BETWEEN, NEW),
        ({"days_in_arrears": 3}, BETWEEN, NEW),
        ({"monthly_inflow_cents": 50_000}, BETWEEN, NEW),
        ({"identity_in_conflict": True}, BETWEEN, NEW),
        ({"registered_alike": 10}, BETWEEN, NEW),
        ({"applications_in_day": 5}, BETWEEN, NEW),
        ({"automatic_cents": 10_000}, BETWEEN, NEW),
    ],
    ids=str,
)
def test_no_lot_counts_where_more_than_a_record_is_wanting(changes, score, features):
    answer = judge(features, score, replace(ASKS, **changes))
    undrawn = judge(features, score, replace(ASKS, **changes, draw=0.99))
    assert answer == undrawn and answer.propensity == 1.0


def test_no_lot_counts_by_the_scorecard():
    assert judge(NEW, BETWEEN, ASKS, by_scorecard=True).outcome == "refer"


def test_a_share_of_nothing_switches_it_off():
    off = replace(IN_FORCE, explore_share=0.0)
    assert judge(NEW, BETWEEN, ASKS, off) == judge(NEW, BETWEEN, replace(ASKS, pot_loans=0), off)


@given(score=st.floats(0, 1), pot=st.integers(0, 100_000), shares_wallet=st.booleans(), new=st.booleans())
def test_the_propensities_of_both_outcomes_add_up_to_one(score, pot, shares_wallet, new):
    """Of one applicant, drawn and not drawn: either the same answer for sure, or two whose chances are those of the
    lot."""
    facts = replace(ASKS, pot_cents=pot, shares_wallet=shares_wallet)
    features = {"loans_settled": 0.0 if new else 3.0, "principal_last_cents": 50_000.0}
    drawn, not_drawn = (judge(features, score, replace(facts, draw=draw)) for draw in (0.0, 0.999))
    if drawn.outcome == not_drawn.outcome:
        assert drawn == not_drawn and drawn.propensity == 1
    else:
        assert drawn.outcome == "approve"
        assert drawn.propensity + not_drawn.propensity == pytest.approx(1)
