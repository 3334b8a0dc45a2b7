"""The rules that change who decides, each on outcomes whose true chances are known."""

from dataclasses import replace

import numpy as np
import pytest

from ml import gate, measures
from ml.gate import Money, Ranking, Trial, compare, weigh


@pytest.fixture
def later():
    """Outcomes of 1,500 loans with the chances that truly drove them."""
    rng = np.random.default_rng(5)
    truth = 1 / (1 + np.exp(1.5 - rng.normal(size=1500)))
    return (rng.random(1500) < truth).astype(np.float32), truth


@pytest.fixture
def better(later):
    """A challenger that knows the truth beside a champion that sees it through a mist."""
    y, truth = later
    return Trial(y=y, ours=truth, theirs=blunt(truth), has_champion=True)


def blunt(truth, seed=1):
    return 1 / (1 + np.exp(-(np.log(truth / (1 - truth)) + np.random.default_rng(seed).normal(size=len(truth)))))


def by_name(found):
    return {check.name: check for check in found}


class TestCompare:
    def test_lets_a_challenger_that_knows_more_take_over(self, better):
        verdict = compare(better)
        assert verdict.better
        assert verdict.low > 0
        assert "later loans" in verdict.why[0]
        assert not compare(replace(better, ours=better.theirs, theirs=better.ours)).better

    def test_keeps_an_equal_challenger_on_the_shelf(self, better):
        verdict = compare(replace(better, theirs=better.ours))
        assert not verdict.better
        assert "resamples" in verdict.why[0]

    def test_says_the_same_each_time(self, better):
        assert compare(better, seed=3) == compare(better, seed=3)

    def test_refuses_a_guess_in_words(self, better):
        guess = np.random.default_rng(2).permutation(better.ours)
        verdict = compare(replace(better, ours=guess))
        assert not verdict.better
        assert [words.split()[0] for words in verdict.why] == ["log-loss", "AUC", "Brier"]

    def test_decides_nothing_on_too_few_loans(self, better):
        few = Trial(y=better.y[:150], ours=better.ours[:150], theirs=better.theirs[:150], has_champion=True)
        verdict = compare(few)
        assert not verdict.better
        assert verdict.why == (f"needs 200 later loans with 20 defaults, got 150 with {int(few.y.sum())}",)

    def test_holds_a_first_model_to_the_plain_default_rate(self, loans):
        blind = np.random.default_rng(0).random(len(loans))
        assert not compare(gate.trial(lambda x: blind, None, loans)).better
        assert compare(gate.trial(lambda x: 0.1 + 0.8 * loans.default, None, loans)).better


class TestToBeJudgedOn:
    def test_are_the_loans_that_nobody_has_learnt_from(self, loans):
        moment = int(loans.decided_at[1_499])
        assert np.flatnonzero(gate.to_be_judged_on(loans, moment)).tolist() == list(range(1_500, 1_600))

    def test_are_the_latest_where_there_are_very_many(self, loans, monkeypatch):
        monkeypatch.setattr(gate, "MOST_LOANS", 30)
        shuffled = loans.take(np.random.default_rng(0).permutation(1_600))
        judged = shuffled.take(gate.to_be_judged_on(shuffled, int(loans.decided_at[1_499])))
        assert sorted(judged.ids) == sorted(loans.ids[1_570:])


class TestWeigh:
    def test_gives_the_figure_and_the_interval_that_chance_leaves(self, later):
        y, _ = later
        share = gate.Measure("share", lambda weights: float(weights @ y / weights.sum()), "{figure:.3f}")
        (found,) = weigh([share], len(y))
        error = (y.mean() * (1 - y.mean()) / len(y)) ** 0.5
        assert found.words == f"{y.mean():.3f}"
        assert found.interval == pytest.approx((y.mean() - 1.645 * error, y.mean() + 1.645 * error), abs=0.002)

    def test_ranks_any_resample_as_the_rows_themselves_would(self, later):
        y, truth = later
        p = np.round(truth, 1)  # many ties
        picks = np.random.default_rng(4).integers(0, len(y), len(y))
        weights = np.bincount(picks, minlength=len(y)).astype(float)
        assert Ranking(y, p).auc(weights) == pytest.approx(measures.auc(y[picks], p[picks]))


class TestPlausibility:
    def test_refuses_a_model_that_knows_nothing(self, better):
        blind = replace(better, ours=np.random.default_rng(0).random(1500))
        found = by_name(weigh(gate.plausibility(blind), 1500))
        assert not found["skill"].passed and found["too_good"].passed

    def test_refuses_a_model_that_knows_what_came_later(self, better):
        knows = replace(better, ours=0.1 + 0.8 * better.y)
        found = by_name(weigh(gate.plausibility(knows), 1500))
        assert found["skill"].passed and not found["too_good"].passed
        assert not found["too_great_a_gain"].passed
        assert "came later" in found["too_good"].words

    def test_believes_the_truth(self, better):
        assert all(check.passed for check in weigh(gate.plausibility(better), 1500))


class TestCalibration:
    def test_believes_true_chances_also_on_few_loans(self):
        """On 300 loans true chances are 4 points off by chance alone: a fixed limit of 2 would refuse them."""
        rng, refused, errors = np.random.default_rng(8), 0, []
        for seed in range(40):
            p = rng.beta(2, 6, 300)
            on = Trial(
                y=(rng.random(300) < p).astype(np.float32), ours=p, theirs=np.full(300, 0.25), has_champion=True
            )
            (found,) = weigh([gate.calibration(on, seed=seed)], 300)
            refused += not found.passed
            errors.append(found.figure)
        assert refused <= 2
        assert np.mean(errors) > 0.03

    @pytest.mark.parametrize("has_champion", [True, False])
    def test_refuses_chances_that_are_half_of_what_comes_true(self, later, has_champion):
        y, truth = later
        on = Trial(y=y, ours=truth / 3, theirs=truth, has_champion=has_champion)
        (found,) = weigh([gate.calibration(on)], len(y))
        assert not found.passed and found.figure > 0.1
        assert "calibration" in found.words

    def test_measures_what_is_measured_elsewhere(self, better):
        error = gate.calibration(better).of(np.ones(1500))
        assert error == pytest.approx(measures.calibration_error(better.y, better.ours))


class TestProfit:
    @pytest.fixture
    def money(self, better):
        """Each loan earns 10 or loses 90."""
        return Money(currency=np.full(1500, "KES"), earned=np.where(better.y == 1, -9_000.0, 1_000.0))

    def test_counts_only_what_each_model_would_lend(self, better, money):
        found = by_name(weigh(gate.profit(better, money, approve_below=0.15), 1500))
        approved = better.ours < 0.15
        earned = 10 * (approved & (better.y == 0)).sum() - 90 * (approved & (better.y == 1)).sum()
        assert found["profit_KES"].figure == pytest.approx(earned)
        assert found["profit_gain_KES"].figure == pytest.approx(earned - found["profit_of_champion_KES"].figure)
        assert found["profit_gain_KES"].interval[0] < found["profit_gain_KES"].figure

    def test_refuses_a_challenger_that_earns_less_beyond_chance(self, better, money):
        turned = replace(better, ours=better.theirs, theirs=better.ours)
        assert by_name(weigh(gate.profit(better, money, approve_below=0.15), 1500))["profit_gain_KES"].passed
        refused = by_name(weigh(gate.profit(turned, money, approve_below=0.15), 1500))["profit_gain_KES"]
        assert not refused.passed and refused.interval[1] < 0

    def test_never_adds_up_two_currencies(self, better, money):
        two = replace(money, currency=np.where(np.arange(1500) < 700, "KES", "UGX"))
        found = by_name(weigh(gate.profit(better, two, approve_below=0.15), 1500))
        every = by_name(weigh(gate.profit(better, money, approve_below=0.15), 1500))
        assert found["profit_KES"].figure + found["profit_UGX"].figure == pytest.approx(every["profit_KES"].figure)

    def test_of_a_first_model_must_not_surely_be_a_loss(self, better, money):
        first = replace(better, has_champion=False, ours=np.full(1500, 0.10))
        found = by_name(weigh(gate.profit(first, money, approve_below=0.15), 1500))
        assert found["profit_of_champion_KES"].figure == 0
        assert not found["profit_gain_KES"].passed


class TestSlices:
    def looked_at(self, on, groups, fact="language"):
        measured, small = gate.slices(on, {fact: groups}, fair=frozenset({"language"}), approve_below=0.15)
        return by_name([*weigh(measured, len(on.y)), *small])

    def test_refuses_one_group_turned_round_although_all_in_all_it_is_better(self, better):
        groups = np.where(np.arange(1500) < 210, "sw", "en")
        turned = np.where(groups == "sw", 0.6 - better.ours.clip(0, 0.55), better.ours)
        on = replace(better, ours=turned, theirs=blunt(better.theirs, seed=2))
        found = self.looked_at(on, groups)
        assert measures.auc(on.y, on.ours) > measures.auc(on.y, on.theirs)
        assert not found["auc_language_sw"].passed and found["auc_language_en"].passed
        assert found["auc_language_sw"].words.startswith("language sw: AUC")

    def test_refuses_a_group_that_is_approved_less_often(self, better):
        groups = np.where(np.arange(1500) < 500, "sw", "en")
        harsh = np.where(groups == "sw", better.ours + 0.08, better.ours)
        found = self.looked_at(replace(better, ours=harsh), groups)
        assert not found["approvals_language_sw"].passed and found["approvals_language_en"].passed
        assert found["approvals_language_sw"].figure < 0.8

    def test_lets_newcomers_be_approved_less_often(self, better):
        groups = np.where(np.arange(1500) < 500, "first", "repeated")
        harsh = np.where(groups == "first", better.ours + 0.08, better.ours)
        assert "approvals_loan_first" not in self.looked_at(replace(better, ours=harsh), groups, "loan")

    def test_tells_which_groups_are_too_small_to_tell(self, better):
        found = self.looked_at(better, np.where(np.arange(1500) < 199, "sw", "en"))
        assert "auc_language_sw" not in found
        assert found["too_few_language_sw"].words.startswith("language sw: 199 later loans")

    def test_leaves_out_of_whom_nothing_is_known(self, better):
        assert self.looked_at(better, np.full(1500, gate.UNKNOWN_GROUP)) == {}

    def test_holds_a_first_model_to_better_than_a_coin(self, better):
        first = replace(better, has_champion=False, ours=1 - better.ours)
        found = self.looked_at(first, np.full(1500, "en"))
        assert not found["auc_language_en"].passed


class TestScoreDrift:
    def test_is_told_and_explained_by_a_lower_log_loss(self, better):
        found = gate.score_drift(replace(better, ours=better.ours / 2), is_better=True)
        assert found.passed and found.figure > found.limit
        assert "explained by the lower log-loss" in found.words

    def test_that_nothing_explains_fails(self, better):
        assert not gate.score_drift(replace(better, ours=better.ours / 2), is_better=False).passed

    def test_of_the_same_scores_is_none(self, better):
        same = gate.score_drift(replace(better, theirs=better.ours), is_better=False)
        assert same.passed and same.figure == 0
