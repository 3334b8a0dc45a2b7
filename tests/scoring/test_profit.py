"""What a loan is expected to earn, and what follows from it: which amounts are lent, named, or lost."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoring.policy import (
    IN_FORCE,
    best_amount,
    expected_loss_rate,
    expected_profit_cents,
    judge,
    loss_share,
    smaller_amounts,
    would_lend,
)
from tests.scoring.test_policy import AMINA, HER_FEATURES

THIRTY_DAYS = replace(AMINA, prices={"100000": 5_000, "50000": 2_500}, term_days=30)
chances = st.floats(0, 1)
shares = st.none() | st.floats(0, 1)
amounts = st.integers(20_000, 5_000_000)


class TestExpectedProfit:
    def test_is_what_is_earned_less_what_is_lost_and_what_it_costs(self):
        """KES 1,000 for a fee of 50 at 10 %, half of it lost: 90 earned with a payer's return, 50 lost, 11.51 for
        the money and 5 for serving."""
        profit = expected_profit_cents(100_000, 0.10, 0.95, THIRTY_DAYS, IN_FORCE)
        assert profit == pytest.approx(9_000 - 5_000 - 100_000 * 0.14 * 30 / 365 - 500)

    def test_takes_the_price_of_the_very_amount(self):
        flat = replace(THIRTY_DAYS, prices={"100000": 5_000, "50000": 4_000})
        more = expected_profit_cents(50_000, 0.0, None, flat, IN_FORCE)
        assert more - expected_profit_cents(50_000, 0.0, None, THIRTY_DAYS, IN_FORCE) == 1_500

    @given(principal=amounts, one=chances, other=chances, share=st.floats(0.0, 1.0))
    def test_never_rises_with_the_chance_of_default(self, principal, one, other, share):
        """The expected share that comes back falls with the chance: (1 - PD) + PD x what defaulters bring."""
        low, high = sorted((one, other))
        expects = [1 - chance + chance * share for chance in (low, high)]
        less_risk, more_risk = (
            expected_profit_cents(principal, chance, back, THIRTY_DAYS, IN_FORCE)
            for chance, back in zip((low, high), expects, strict=True)
        )
        assert more_risk <= less_risk + 1e-3 * principal

    @given(chance=chances, share=shares)
    def test_loss_shares_stay_within_the_least_and_all(self, chance, share):
        assert IN_FORCE.least_loss_share <= loss_share(chance, share, IN_FORCE) <= 1
        assert 0 <= expected_loss_rate(chance, share, IN_FORCE) <= chance


class TestTheComputer:
    @given(chance=chances, share=shares, principal=st.integers(4, 30))
    def test_never_lends_what_is_expected_to_cost_or_lose_too_much(self, chance, share, principal):
        cents = principal * 5_000
        facts = replace(AMINA, requested_cents=cents, total_cents=cents * 106 // 100, term_days=30)
        answer = judge(HER_FEATURES, chance, facts, repaid_share=share)
        lends = would_lend(cents, chance, share, facts, IN_FORCE) is not None
        assert answer.outcome != "approve" or lends

    def test_declines_what_costs_more_than_it_earns_and_names_what_does_not(self):
        dear = replace(IN_FORCE, return_rate=0.0)
        answer = judge(HER_FEATURES, 0.10, THIRTY_DAYS, dear, repaid_share=0.95, safer_cents=60_000)
        assert (answer.outcome, answer.next_step, answer.limit_cents) == ("decline", "ask_less", 60_000)
        assert judge(HER_FEATURES, 0.10, THIRTY_DAYS, IN_FORCE, repaid_share=0.95).outcome == "approve"

    def test_leaves_a_person_what_loses_more_than_the_target(self):
        """At 9 %, four fifths lost: 7.2 % of what is lent."""
        strict = replace(IN_FORCE, least_profit_cents=None)
        assert judge(HER_FEATURES, 0.09, THIRTY_DAYS, strict, repaid_share=0.928).outcome == "refer"
        looser = replace(strict, loss_rate_target=0.08)
        assert judge(HER_FEATURES, 0.09, THIRTY_DAYS, looser, repaid_share=0.928).outcome == "approve"

    def test_never_looks_above_what_was_asked_for(self):
        for requested in (20_000, 50_000, 3_333_300):
            assert all(cents < requested for cents in smaller_amounts(requested, 20_000, 5_000))


class TestBestAmount:
    def test_is_the_one_that_earns_most_of_those_that_are_lent(self):
        """The larger ones are riskier: 900 loses money, 600 earns less than 400."""
        named = [90_000, 60_000, 40_000]
        found = best_amount(named, [0.14, 0.11, 0.05], [0.90, 0.94, 0.98], THIRTY_DAYS, IN_FORCE)
        profits = [
            expected_profit_cents(cents, chance, share, THIRTY_DAYS, IN_FORCE)
            for cents, chance, share in zip(named, [0.14, 0.11, 0.05], [0.90, 0.94, 0.98], strict=True)
        ]
        assert profits[0] < 0 < profits[1] < profits[2]
        assert found == 40_000

    def test_is_the_largest_where_nothing_has_to_be_earned(self):
        free = replace(IN_FORCE, least_profit_cents=None, loss_rate_target=1.0)
        assert best_amount([90_000, 60_000], [0.14, 0.01], [0.5, 1.0], THIRTY_DAYS, free) == 90_000

    def test_is_none_where_none_would_be_lent(self):
        assert best_amount([90_000, 60_000], [0.3, 0.2], [0.9, 0.9], THIRTY_DAYS, IN_FORCE) is None


class TestSaving:
    POOR_WEEK = replace(AMINA, weekly_inflow_cents=180_000)  # 2 % of KES 1,800 are 36

    def test_names_a_small_share_of_a_poor_week_in_whole_steps(self):
        answer = judge(HER_FEATURES, 0.5, self.POOR_WEEK, against=["savings_balance_cents"])
        assert (answer.next_step, answer.step_values) == ("save_weekly", {"amount_cents": 3_000})

    @pytest.mark.parametrize(
        ("inflow", "target"),
        [
            (None, None),
            (0, None),
            (19_999, None),
            (20_000, 1_000),
            (99_999, 1_000),
            (100_000, 2_000),
            (9**9, 20_000),
        ],
    )
    def test_has_a_floor_a_ceiling_and_no_target_without_a_flow(self, inflow, target):
        facts = replace(AMINA, weekly_inflow_cents=inflow)
        answer = judge(HER_FEATURES, 0.5, facts, against=["savings_balance_cents"])
        assert answer.step_values.get("amount_cents") == target

    def test_has_no_target_where_the_wallet_is_not_shared(self):
        facts = replace(self.POOR_WEEK, shares_wallet=False)
        assert judge(HER_FEATURES, 0.5, facts, against=["savings_balance_cents"]).step_values == {}

    def test_is_offered_to_whom_the_model_would_rather_offer_it(self):
        rather = {"microloan": 0.2, "savings": 0.5, "neither": 0.3}
        answer = judge(HER_FEATURES, 0.5, self.POOR_WEEK, offer=rather)
        assert (answer.outcome, answer.next_step) == ("decline", "save_weekly")
        assert answer.step_values == {"amount_cents": 3_000}
        assert judge(HER_FEATURES, 0.5, self.POOR_WEEK, offer=rather | {"neither": 0.6}).next_step == "try_later"

    def test_refuses_nobody_a_loan(self):
        rather = {"microloan": 0.1, "savings": 0.9, "neither": 0.0}
        assert judge(HER_FEATURES, 0.05, self.POOR_WEEK, offer=rather).outcome == "approve"
