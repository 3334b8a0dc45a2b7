"""What somebody could do about a refusal: the smallest thing, that they can do, and that turns it."""

from itertools import pairwise

import numpy as np
import pytest

from ml import features
from ml.recourse import DAYS, Means, Plan, after, plans, ways

NAMES = features.NAMES
AT = {name: place for place, name in enumerate(NAMES)}
# Nobody changes these by what they do from now on.
PAST = (
    "worst_days_late", "defaults_90", "loans_written_off", "principal_max_cents", "promises_kept_share",
    "numbers", "loans_by_other_numbers", "group_member", "savings_pots", "price_share", "price_per_year",
)  # fmt: skip
NOT_FORESEEN = (
    "hour_local",
    "day_of_month",
    "month",
    "days_to_month_end",
    "wallet_night_share",
    "airtime_30d_cents",
)
MEANS = Means(amounts_cents=(40_000, 30_000), weekly_cents=(5_000, 10_000), loan_cents=20_000)

EVERYBODY = {
    "days_since_registered": 200.0, "loans_taken": 0.0, "loans_settled": 0.0, "loans_open": 0.0, "loans_90d": 0.0,
    "loans_365d": 0.0, "defaults_90": 0.0, "loans_written_off": 0.0, "repaid_total_cents": 0.0, "payments": 0.0,
    "requested_cents": 50_000.0, "terms_read": 0.0, "hesitation_s": 30.0, "applications": 0.0,
    "applications_30d": 0.0, "applications_90d": 0.0, "numbers": 1.0, "group_member": 0.0, "hour_local": 12.0,
}  # fmt: skip
WITH_A_WALLET = {
    "wallet_in_7d_cents": 250_000.0, "wallet_in_30d_cents": 1_000_000.0, "wallet_in_90d_cents": 3_000_000.0,
    "wallet_out_90d_cents": 2_000_000.0, "wallet_ins_90d": 12.0, "wallet_net_30d_cents": 300_000.0,
    "wallet_net_90d_cents": 1_000_000.0, "wallet_trend": 1.0, "requested_to_inflow": 0.05,
    "requested_to_mean_inflow": 0.05,
}  # fmt: skip
BRIANS_PAST = {
    "loans_taken": 2.0, "loans_settled": 2.0, "on_time_share": 0.5, "on_time_streak": 0.0, "early_share": 0.0,
    "worst_days_late": 20.0, "mean_days_late": 10.0, "last_days_late": 20.0, "late_of_last_3": 1.0,
    "late_streak": 1.0, "late_week_share": 0.5, "principal_last_cents": 50_000.0, "principal_growth": 1.0,
    "principal_mean_cents": 50_000.0, "principal_max_cents": 50_000.0, "repaid_max_cents": 50_000.0,
    "repaid_total_cents": 100_000.0, "on_time_max_cents": 50_000.0, "paid_by_due_share": 0.5, "payments": 2.0,
    "requested_to_last": 1.0, "requested_to_repaid_max": 1.0, "savings_balance_cents": 10_000.0,
    "savings_deposits_30d": 1.0, "savings_deposits_90d": 2.0, "savings_deposited_90d_cents": 10_000.0,
    "savings_net_90d_cents": 10_000.0, "savings_weeks_12": 2.0, "savings_weeks_26": 2.0,
    "savings_deposit_mean_cents": 5_000.0, "savings_deposit_variation": 0.0, "requested_to_savings": 5.0,
}  # fmt: skip


def person(*known, **more):
    """Return a row of whom this is known, and nothing else."""
    row = np.full(len(NAMES), np.nan, np.float32)
    for name, value in (EVERYBODY | {k: v for part in known for k, v in part.items()} | more).items():
        row[AT[name]] = value
    return row


AMINA = person(WITH_A_WALLET)
BRIAN = person(WITH_A_WALLET, BRIANS_PAST)
CHEPTOO = person(WITH_A_WALLET, BRIANS_PAST, loans_open=1.0, refinances=1.0)
PEOPLE = pytest.mark.parametrize("who", [AMINA, BRIAN, CHEPTOO], ids=["Amina", "Brian", "Cheptoo"])


def encoding(**highest):
    """Return the statistics of a model for which people are spread evenly from 0 to `highest` of each number."""
    high = np.array([highest.get(name, 1e9) for name in NAMES], np.float32)[:, None]
    return {
        "encode/low": np.zeros_like(high), "encode/scale": 1 / high,
        "encode/score_start": np.full(len(NAMES), -3.0), "encode/score_step": np.full_like(high, 6.0),
        "encode/missing_code": np.zeros((len(NAMES), 2)), "encode/missing_seen": np.ones(len(NAMES)),
    }  # fmt: skip


def chance(**weights):
    """Return a model that adds up so many log-odds a unit of these numbers, a missing one as 0."""
    effect = np.array([weights.get(name, 0.0) for name in NAMES])

    def score(x):
        return 1 / (1 + np.exp(-(np.nan_to_num(x.astype(np.float64)) @ effect)))

    return score


class TestWays:
    def test_the_smallest_saving_that_does_it(self):
        """By hand: each deposit takes 0.2 off the log-odds, which begin at 2 and gain 0.01 a day."""
        score = chance(savings_deposits_90d=-0.2, days_since_registered=0.01)
        spread, means = encoding(savings_balance_cents=1e6), Means(weekly_cents=(5_000, 10_000))
        # After 1, 2 and 3 months 2.3 - 0.8, 2.6 - 1.6 and 2.9 - 2.4: chances of 0.82, 0.73 and 0.62.
        assert ways(score, spread, AMINA, means, below=0.62) == []
        found = [way for way in ways(score, spread, AMINA, means, below=0.63) if way.plan.deeds == 1]
        assert [(way.plan.weekly_cents, way.plan.months) for way in found] == [(5_000, 3), (10_000, 3)]
        assert found[0].chance == pytest.approx(1 / (1 + np.exp(-0.5)))
        assert found[0].step <= found[1].step

    def test_one_deed_comes_before_two_and_a_small_step_before_a_large_one(self):
        score = chance(requested_cents=1e-4, savings_balance_cents=-1e-5)
        spread = encoding(requested_cents=100_000, savings_balance_cents=1e6, requested_to_inflow=10)
        found = ways(score, spread, AMINA, MEANS, below=0.98)
        assert found[0].plan == Plan(asks_cents=30_000)  # 3 in 5: log-odds 3, a chance of 0.953
        assert [way.plan.deeds for way in found] == sorted(way.plan.deeds for way in found)
        assert all(a.step <= b.step + 1e-6 for a, b in pairwise(found) if a.plan.deeds == b.plan.deeds)

    def test_it_is_the_smallest_of_all_that_can_be_done(self, trained, loans):
        """A real network: every plan asked one by one, against the one batch."""
        from ml.forward import scores

        def score(x):
            return scores(trained.weights, x)

        before = score(loans.x[:200])
        turned = 0
        for row in loans.x[:200][np.argsort(-before)[:8]]:
            below = float(score(row[None])[0]) * 0.8
            found = ways(score, trained.weights, row, MEANS, below)
            alone = {plan: float(score(after(row, plan, MEANS)[None])[0]) for plan in plans(row, MEANS)}
            turns = [plan for plan, p in alone.items() if p < below - 1e-6]
            assert {way.plan for way in found} >= set(turns)
            assert all(alone[way.plan] == pytest.approx(way.chance, abs=1e-6) for way in found)
            if turns:
                assert found[0].plan.deeds == min(plan.deeds for plan in turns)
                turned += 1
        assert turned

    def test_none_is_found_where_nothing_of_it_helps(self):
        assert ways(chance(defaults_90=1.0), encoding(), BRIAN, MEANS, below=0.5) == []

    def test_the_same_every_time(self):
        score = chance(requested_cents=1e-5, savings_balance_cents=-1e-5, days_since_registered=-0.01)
        first, again = (ways(score, encoding(), BRIAN, MEANS, below=0.4) for _ in range(2))
        assert first and [(w.plan, w.chance, w.step) for w in first] == [(w.plan, w.chance, w.step) for w in again]


class TestPlans:
    @PEOPLE
    def test_are_up_to_two_things_within_reach(self, who):
        for plan in plans(who, MEANS):
            assert 1 <= plan.deeds <= 2
            assert plan.asks_cents in (None, 40_000, 30_000) and plan.weekly_cents in (0, 5_000, 10_000)
            assert plan.months or not plan.takes_time

    def test_nobody_is_told_to_read_what_they_read(self):
        assert any(plan.reads_terms for plan in plans(AMINA, MEANS))
        assert not any(plan.reads_terms for plan in plans(person(terms_read=1.0), MEANS))

    def test_who_shares_no_wallet_is_not_told_to_use_it(self):
        assert any(plan.more_inflow for plan in plans(AMINA, MEANS))
        assert not any(plan.more_inflow for plan in plans(person(), MEANS))

    def test_nobody_repays_a_loan_that_they_cannot_get(self):
        nothing = Means()
        assert not any(plan.repaid for plan in plans(BRIAN, nothing))
        assert {plan.repaid for plan in plans(CHEPTOO, nothing)} == {0, 1}  # the one that is open
        assert {plan.repaid for plan in plans(BRIAN, MEANS)} == {0, 1, 2, 3}


class TestAfter:
    @PEOPLE
    def test_nothing_that_is_past_or_not_foreseen_changes(self, who):
        for plan in plans(who, MEANS):
            row = after(who, plan, MEANS)
            for name in (*PAST, *NOT_FORESEEN):
                was, now = who[AT[name]], row[AT[name]]
                if name in ("principal_max_cents", "worst_days_late") and np.isnan(was):
                    continue  # a first loan makes it known
                begins = name == "savings_pots" and plan.weekly_cents and np.isnan(was)
                assert begins or was == now or (np.isnan(was) and np.isnan(now)), (plan, name)

    @PEOPLE
    def test_nobody_is_told_what_is_promised_not_to_help(self, who):
        """No number of which we promise something goes to its worse side, but for a smaller loan between."""
        for plan in plans(who, MEANS):
            moved = (after(who, plan, MEANS) - who) * features.MONOTONE
            worse = {NAMES[place] for place in np.flatnonzero(moved > 1e-4)}
            assert worse <= {"requested_to_last"}, plan
            assert not worse or plan.repaid

    @PEOPLE
    def test_every_row_can_be_true(self, who):
        assert not features.impossible(np.array([after(who, plan, MEANS) for plan in plans(who, MEANS)])).any()

    def test_another_amount_changes_all_its_ratios(self):
        half = after(BRIAN, Plan(asks_cents=25_000), MEANS)
        for name in NAMES:
            scaled = 0.5 if name.startswith("requested_") else 1
            np.testing.assert_allclose(half[AT[name]], BRIAN[AT[name]] * scaled, rtol=1e-6, err_msg=name)

    def test_who_waits_grows_older_and_asks_once_more(self):
        later = after(BRIAN, Plan(months=2), MEANS)
        assert later[AT["days_since_registered"]] == 200 + 2 * DAYS
        assert [later[AT[name]] for name in ("applications", "applications_30d", "applications_90d")] == [1, 0, 1]
        assert later[AT["days_since_last_application"]] == 60
        assert later[AT["hesitation_mean_s"]] == 30

    def test_more_inflow_makes_the_amount_smaller_beside_it(self):
        row = after(AMINA, Plan(more_inflow=0.5, months=1), MEANS)
        assert row[AT["wallet_in_30d_cents"]] == 1_500_000
        assert row[AT["requested_to_inflow"]] == pytest.approx(50_000 / 1_500_000)
        assert row[AT["wallet_trend"]] == pytest.approx(1_500_000 * 3 / 3_500_000)

    def test_the_open_loan_is_the_one_that_is_repaid(self):
        row = after(CHEPTOO, Plan(repaid=1, months=1), MEANS)
        told = {name: row[AT[name]] for name in ("loans_open", "loans_taken", "loans_settled", "refinances")}
        assert told == {"loans_open": 0, "loans_taken": 2, "loans_settled": 3, "refinances": 0}
        assert row[AT["mean_days_late"]] == pytest.approx(19 / 3)
        assert row[AT["worst_days_late"]] == 20

    def test_who_always_was_early_stays_as_early(self):
        early = person(WITH_A_WALLET, BRIANS_PAST, mean_days_late=-10.0, last_days_late=-4.0)
        row = after(early, Plan(repaid=1, months=1), MEANS)
        assert (row[AT["mean_days_late"]], row[AT["last_days_late"]]) == (-10, -10)
