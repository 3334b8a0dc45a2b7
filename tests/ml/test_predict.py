"""The served network answers as NumPy does on each path, alone or in a crowd, and after a fork or not at all."""

import os
import select
import signal
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import combinations
from math import factorial

import numpy as np
import pytest

from ml import artifact, features
from ml.artifact import Artifact, ArtifactRefused
from ml.explain import Contribution, explain, reasons, words_of
from ml.forward import forward
from ml.predict import KERAS, PATHS, TABLES, Scorer, UsedAfterFork


@pytest.fixture(scope="module")
def saved(trained, tmp_path_factory):
    directory = tmp_path_factory.mktemp("models") / "champion"
    artifact.save(trained, directory, key=b"a key of this module only")
    return artifact.load(directory, key=b"a key of this module only")


@pytest.fixture(scope="module")
def scorers(saved):
    made = {path: Scorer(saved, path) for path in PATHS}
    for scorer in made.values():
        scorer.warm()
    return made


@pytest.fixture(params=list(PATHS))
def scorer(request, scorers):
    return scorers[request.param]


@pytest.fixture(scope="module")
def people(loans):
    """Real vectors, then nobody known at all, then both ends of every range."""
    edges = np.vstack([np.full(len(features.NAMES), np.nan), features.LOWS, features.HIGHS]).astype(np.float32)
    return np.vstack([loans.x[:500], edges])


def test_the_restored_network_equals_the_trained_one_and_numpy(scorer, trained, people):
    served, plain = scorer.predict(people), forward(trained.weights, people)

    assert scorer.apart <= 1e-6

    assert served.default.shape == (503,)
    assert served.offer.shape == (503, 3)
    for name in ("default", "repaid_share", "offer"):
        np.testing.assert_allclose(getattr(served, name), plain[name], rtol=0, atol=1e-6, err_msg=name)
    assert np.isfinite(served.default).all()
    assert ((served.default > 0) & (served.default < 1)).all()


def test_a_place_in_the_batch_changes_nothing(scorer, people):
    together = scorer.predict(people).default
    alone = np.array([scorer.predict(people[i : i + 1]).default[0] for i in (0, 250, 500, 502)])
    np.testing.assert_allclose(alone, together[[0, 250, 500, 502]], atol=1e-6)


def test_threads_share_one_scorer(scorer, people):
    expected = scorer.predict(people).default
    with ThreadPoolExecutor(8) as threads:
        for answer in threads.map(lambda _: scorer.predict(people).default, range(40)):
            np.testing.assert_array_equal(answer, expected)


def test_nobody_asked_is_nobody_answered(scorer, people):
    said = scorer.predict(people[:0])
    assert (said.default.shape, said.repaid_share.shape, said.offer.shape) == ((0,), (0,), (0, 3))


def test_a_forked_child_answers_by_tables_and_is_told_by_keras_instead_of_hanging(scorers, people):
    """Also after the parent has used all its threads: one product of many rows."""
    crowd = np.tile(people, (20, 1))
    expected = scorers[TABLES].predict(crowd).default

    def says_the_same():
        return np.array_equal(scorers[TABLES].predict(crowd).default, expected)

    def is_told():
        with pytest.raises(UsedAfterFork):
            scorers[KERAS].predict(people)
        return True

    assert in_a_forked_child(says_the_same) and in_a_forked_child(is_told)
    assert not in_a_forked_child(lambda: False)


def in_a_forked_child(holds):
    """Return whether something holds in a child of this process; a child that hangs does not hold."""
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            os.write(write, b"yes" if holds() else b"no")
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as told:
        answered, _, _ = select.select([told], [], [], 60)
        said = told.read() if answered else b"hangs"
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return said == b"yes"


def test_a_row_of_another_width_is_refused(scorer):
    with pytest.raises(ValueError, match="x must be"):
        scorer.predict(np.zeros((1, 34), np.float32))
    with pytest.raises(ValueError, match="x must be"):
        scorer.predict(np.zeros(len(features.NAMES), np.float32))


@pytest.mark.parametrize("path", PATHS)
class TestAModelIsRefused:
    def test_whose_weights_do_not_fit_the_network(self, saved, path):
        short = {name: weight for name, weight in saved.weights.items() if name != "wide/bias"}
        with pytest.raises(ArtifactRefused, match="do not fit"):
            Scorer(Artifact(saved.manifest, short), path)
        with pytest.raises(ArtifactRefused, match="do not fit"):
            Scorer(replace(saved, manifest=saved.manifest | {"network": {"layers": 3}}), path)

    def test_that_says_something_else_than_it_did_in_training(self, saved, path):
        moved = saved.weights["calibrate/intercept"] + np.float32(1e-4)
        with pytest.raises(ArtifactRefused, match=f"by {path} the answers are .* from those that Keras gave"):
            Scorer(Artifact(saved.manifest, saved.weights | {"calibrate/intercept": moved}), path)

    @pytest.mark.parametrize("answers", [{}, {"default": [0.5]}], ids=["none", "another"])
    def test_of_which_nobody_kept_what_it_said(self, saved, path, answers):
        with pytest.raises(ArtifactRefused, match="answers are inf"):
            Scorer(replace(saved, manifest=saved.manifest | {"answers": answers}), path)


@pytest.mark.parametrize("name", ["encode/scale", "embed/curves", "hidden_1/kernel", "heads/kernel"])
def test_tables_refuse_weights_of_another_shape(saved, name):
    with pytest.raises(ArtifactRefused, match="do not fit"):
        Scorer(Artifact(saved.manifest, saved.weights | {name: saved.weights[name][..., 1:]}), TABLES)


def test_a_path_that_nobody_knows_is_refused(saved):
    with pytest.raises(ValueError, match="path must be one of tables, keras"):
        Scorer(saved, "telepathy")


class TestExplain:
    """What each feature did to the log-odds."""

    @pytest.fixture
    def scorer(self, scorers):
        return scorers[TABLES]

    def contributions(self, scorer, **changes):
        person = scorer.model.reference.copy()
        for name, value in changes.items():
            person[features.NAMES.index(name)] = value
        return explain(lambda x: scorer.predict(x).default, person, scorer.model.reference)

    def test_of_the_usual_borrower_the_model_is_asked_nothing(self, scorer):
        """A missing value is usual where most have none: NaN must be as good as equal to NaN."""
        reference = scorer.model.reference.copy()
        reference[:3] = np.nan
        asked = []
        found = explain(lambda x: asked.append(x) or scorer.predict(x).default, reference, reference.copy())
        assert asked == [] and {c.log_odds for c in found} == {0.0}

    def test_what_was_planted_comes_out_first_with_its_sign(self, scorer):
        ranked = self.contributions(scorer, worst_days_late=490, savings_weeks_12=12)

        assert len(ranked) == len(features.NAMES)
        assert [c.log_odds for c in ranked] == sorted((c.log_odds for c in ranked), reverse=True)
        assert ranked[0].name == "worst_days_late"
        assert ranked[0].log_odds > 0.1
        assert ranked[-1].name == "savings_weeks_12"
        assert ranked[-1].log_odds < -0.1

        against, in_favour = reasons(ranked, scorer.model.reference)
        assert [(one.name, one.words) for one in against] == [
            ("worst_days_late", "an earlier loan was repaid very late")
        ]
        assert [(one.value, one.words) for one in in_favour] == [(12.0, "you save week after week")]
        assert against[0].usual == scorer.model.reference[features.NAMES.index("worst_days_late")]

    def test_one_changed_feature_explains_the_whole_difference(self, scorer):
        """Exact where only one feature is unusual: its contribution is the change in log-odds itself."""
        first = self.contributions(scorer, on_time_share=0.0)[0]
        pair = np.vstack([scorer.model.reference, scorer.model.reference])
        pair[1, features.NAMES.index("on_time_share")] = 0
        p = scorer.predict(pair).default.astype(np.float64)
        difference = np.diff(np.log(p / (1 - p)))[0]

        assert first.name == "on_time_share"
        assert first.log_odds == pytest.approx(difference, abs=1e-4)

    def test_contributions_sum_to_the_whole_difference(self, scorer):
        rng = np.random.default_rng(3)
        person = np.where(rng.random(len(features.NAMES)) < 0.3, np.nan, features.LOWS + rng.uniform(0, 12)).astype(
            np.float32
        )
        ranked = explain(lambda x: scorer.predict(x).default, person, scorer.model.reference)
        p = scorer.predict(np.vstack([scorer.model.reference, person])).default.astype(np.float64)

        assert sum(c.log_odds for c in ranked) == pytest.approx(np.diff(np.log(p / (1 - p)))[0], abs=1e-4)

    def test_some_orders_come_close_to_all_of_them(self, scorer):
        """Seven unusual features: the exact values, over all 5,040 orders by their subsets, on a real network."""
        rng = np.random.default_rng(5)
        reference = scorer.model.reference
        for _ in range(3):
            unusual = rng.choice(len(reference), 7, replace=False)
            person = reference.copy()
            person[unusual] = (features.LOWS + rng.uniform(0, 1) * np.minimum(features.HIGHS, 400))[unusual]
            exact = exactly(lambda x: scorer.predict(x).default, person, reference, unusual)
            found = {c.name: c.log_odds for c in explain(lambda x: scorer.predict(x).default, person, reference)}

            close = max(0.02, 0.1 * max(map(abs, exact.values())))
            for feature, value in exact.items():
                assert found.pop(features.NAMES[feature]) == pytest.approx(value, abs=close)
            assert set(found.values()) == {0.0}

    def test_features_that_act_upon_each_other_share_what_they_do(self):
        """Both must be there for the harm: each bears half of it, and the third bears nothing."""

        def score(x):
            return 1 / (1 + np.exp(2 - 3.0 * x[:, 0] * x[:, 1]))

        ranked = explain(score, np.ones(3, np.float32), np.zeros(3, np.float32), names=("one", "other", "idle"))
        found = {c.name: c.log_odds for c in ranked}
        assert found == {"one": pytest.approx(1.5), "other": pytest.approx(1.5), "idle": pytest.approx(0, abs=1e-9)}


class TestWords:
    """What a feature did is told in a sentence only where that is true of the person."""

    @pytest.mark.parametrize(
        ("name", "value", "usual", "log_odds", "words"),
        [
            ("worst_days_late", 20, 0, 0.5, "an earlier loan was repaid very late"),
            ("worst_days_late", 3, 0, 0.5, ""),
            ("worst_days_late", 0, 4, -0.5, "you were never long overdue"),
            ("mean_days_late", -1, -5, 0.5, ""),
            ("mean_days_late", 2, -5, 0.5, "you repay later than the due date on average"),
            ("savings_balance_cents", 500, 900, 0.5, "your savings are low"),
            ("savings_balance_cents", 900, 500, 0.5, ""),
            ("savings_balance_cents", 900, 500, -0.5, "you have savings"),
            ("savings_balance_cents", np.nan, 500, 0.5, "no savings account"),
            ("wallet_in_variation", 2, 1, 0.5, "your income goes up and down from week to week"),
            ("wallet_in_variation", 0.5, 1, -0.5, "your income is steady"),
            ("wallet_in_variation", 0.5, np.nan, -0.5, ""),
            ("savings_growth", 1.2, 1.5, 0.5, ""),
            ("airtime_30d_cents", 5, 9, 0.5, "how much airtime you bought this month"),
        ],
    )
    def test_true_of_the_person_or_none(self, name, value, usual, log_odds, words):
        assert words_of(Contribution(name, float(value), log_odds), float(usual)) == words

    def test_no_sentence_comes_twice_and_the_strongest_stay(self):
        reference = np.full(len(features.NAMES), 5, np.float32)
        ranked = (
            Contribution("savings_weeks_12", 1.0, 0.9),
            Contribution("savings_weeks_26", 1.0, 0.8),
            Contribution("savings_balance_cents", 1.0, 0.7),
            Contribution("loans_taken", 9.0, 0.01),
            Contribution("loans_settled", 9.0, -0.3),
        )
        against, in_favour = reasons(ranked, reference)
        assert [one.name for one in against] == ["savings_weeks_12", "savings_balance_cents"]
        assert [one.name for one in in_favour] == ["loans_settled"]
        assert [one.name for one in reasons(ranked, reference, most=1)[0]] == ["savings_weeks_12"]


def exactly(score, x, reference, unusual):
    """Return the Shapley value of each unusual feature, from all subsets of the others."""
    subsets = [set(some) for size in range(len(unusual) + 1) for some in combinations(map(int, unusual), size)]
    rows = np.array([[x[i] if i in some else reference[i] for i in range(len(x))] for some in subsets], np.float32)
    p = score(rows).astype(np.float64)
    odds = {frozenset(some): np.log(chance / (1 - chance)) for some, chance in zip(subsets, p, strict=True)}
    n = len(unusual)
    return {
        feature: sum(
            factorial(len(some))
            * factorial(n - 1 - len(some))
            / factorial(n)
            * (odds[some | {feature}] - odds[some])
            for some in odds
            if feature not in some
        )
        for feature in map(int, unusual)
    }
