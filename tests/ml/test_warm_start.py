"""A night that goes on from earlier weights: the same each time, and never judged by what these have seen."""

from dataclasses import asdict, replace

import numpy as np
import pytest

from ml import artifact, features
from ml import train as training
from ml.artifact import Artifact
from ml.data import Dataset
from ml.fit import Recipe
from ml.forward import scores
from ml.measures import log_loss
from ml.train import Lineage, Plan, Trained, train, why_fresh
from tests.ml.conftest import KEY, SMALL, for_epochs

FIRST_NIGHT = 1_400


def model_of(trained: Trained) -> Artifact:
    return Artifact(artifact.manifest_of(trained, weights_sha256="ab12", commit=None), trained.weights)


@pytest.fixture(scope="module")
def parent(loans) -> Artifact:
    return model_of(train(loans.take(slice(FIRST_NIGHT)), seed=3, plan=SMALL))


@pytest.fixture(scope="module")
def told() -> list[str]:
    return []


@pytest.fixture(scope="module")
def child(loans, parent, told) -> Trained:
    return train(loans, seed=5, plan=SMALL, parent=parent, progress=lambda part, what: told.append(what))


def test_it_begins_at_the_parent_s_log_loss_and_ends_no_worse(loans, parent, child, told):
    _, stop, _, _ = loans.split(SMALL.shares)
    raw = parent.weights | {"calibrate/slope": np.float32(1), "calibrate/intercept": np.float32(0)}
    before = log_loss(stop.default, scores(raw, stop.x))

    assert "going on from the weights of the parent" in told[0]
    assert f"epoch 0: log-loss {before:.4f}" in told[1]
    raw = child.weights | {"calibrate/slope": np.float32(1), "calibrate/intercept": np.float32(0)}
    assert log_loss(stop.default, scores(raw, stop.x)) <= before + 1e-6
    np.testing.assert_array_equal(child.weights["encode/low"], parent.weights["encode/low"])


def test_loans_seed_plan_and_parent_decide_the_weights(loans, parent, child, tmp_path):
    shuffled = loans.take(np.random.default_rng(0).permutation(len(loans)))
    again = train(shuffled, seed=5, plan=SMALL, parent=parent)
    for path, weight in child.weights.items():
        np.testing.assert_array_equal(again.weights[path], weight, err_msg=path)

    manifest = artifact.save(child, tmp_path / "child", key=KEY, commit="abc123")
    assert manifest["lineage"] == asdict(child.lineage)
    assert (manifest["lineage"]["parent_sha256"], manifest["lineage"]["warm_starts"]) == ("ab12", 1)
    assert manifest["plan"]["recipe"]["learning_rate"] == SMALL.recipe.learning_rate
    assert 0 < child.epochs <= 4
    by_the_manifest = replace(SMALL, recipe=Recipe(**manifest["plan"]["recipe"]))
    once_more = train(loans, seed=5, plan=by_the_manifest, parent=parent)
    assert (once_more.weights["wide/curves"] == child.weights["wide/curves"]).all()


def test_what_stops_and_judges_a_child_has_never_touched_the_parent_s_weights(loans, parent, child):
    """Whatever became of those loans, the parent's weights are the same to the bit."""
    _, stop, later, test = loans.split(SMALL.shares)
    assert parent.manifest["lineage"]["learnt_until"] < stop.decided_at.min()
    assert parent.manifest["lineage"]["chosen_until"] < min(later.decided_at.min(), test.decided_at.min())

    first = loans.take(slice(FIRST_NIGHT))
    judged = first.decided_at >= later.decided_at.min()
    assert judged.sum() > 100, "the parent was calibrated and judged by some of them"
    other = replace(first, default=first.default.copy(), x=first.x.copy())
    other.default[judged], other.x[judged] = 1 - other.default[judged], 0
    again = train(other, seed=3, plan=SMALL)
    for path, weight in parent.weights.items():
        if not path.startswith("calibrate/"):
            np.testing.assert_array_equal(again.weights[path], weight, err_msg=path)


def test_a_child_has_seen_what_its_parents_have(loans, parent, child):
    oldest, stop, _, _ = loans.split(SMALL.shares)
    assert child.lineage.learnt_until == oldest.decided_at.max()
    assert child.lineage.chosen_until == stop.decided_at.max()

    late = dict(parent.manifest["lineage"]) | {"chosen_until": int(stop.decided_at.max()) + 1, "warm_starts": 3}
    grandchild = train(loans, seed=5, plan=for_epochs(1), parent=with_lineage(parent, **late))
    assert grandchild.lineage.chosen_until == stop.decided_at.max() + 1
    assert grandchild.lineage.warm_starts == 4


def with_lineage(parent: Artifact, **lineage) -> Artifact:
    return replace(parent, manifest=parent.manifest | {"lineage": parent.manifest["lineage"] | lineage})


def of_manifest(parent: Artifact, **facts) -> Artifact:
    return replace(parent, manifest=parent.manifest | facts)


class TestAFreshStart:
    def starts(self, loans: Dataset, parent: Artifact | None, plan: Plan = SMALL) -> str:
        return why_fresh(loans, plan, parent)

    def test_is_not_made_where_the_parent_fits(self, loans, parent):
        assert self.starts(loans, parent) == ""

    def test_is_made_without_a_parent_and_where_it_is_asked_for(self, loans, parent):
        assert self.starts(loans, None) == "a fresh start"
        assert self.starts(loans, parent, replace(SMALL, fresh=True)) == "a fresh start"

    def test_is_made_where_the_parent_has_learnt_from_what_would_stop_the_training(self, loans, parent):
        fewer = loans.take(slice(1_390))
        assert "would stop this training" in self.starts(fewer, parent)
        last = int(loans.split(SMALL.shares)[1].decided_at[0])
        assert "would stop this training" in self.starts(loans, with_lineage(parent, learnt_until=last))
        assert self.starts(loans, with_lineage(parent, learnt_until=last - 1)) == ""

    def test_is_made_where_the_parent_was_chosen_by_what_would_judge_the_child(self, loans, parent):
        first = int(loans.split(SMALL.shares)[2].decided_at[0])
        assert "would be judged by" in self.starts(loans, with_lineage(parent, chosen_until=first))
        assert self.starts(loans, with_lineage(parent, chosen_until=first - 1)) == ""

    def test_is_made_where_the_parent_does_not_fit(self, loans, parent):
        wider = replace(SMALL, recipe=replace(SMALL.recipe, width=32))
        assert "of another size" in self.starts(loans, parent, wider)
        assert "other features" in self.starts(loans, of_manifest(parent, features_version="of another day"))
        foreign = replace(loans, names=tuple(f"number_{place}" for place in range(len(features.NAMES))))
        assert "other features" in self.starts(foreign, parent)

    def test_is_always_made_for_a_bag(self, loans, parent):
        bag = replace(SMALL, recipe=replace(SMALL.recipe, nets=3))
        of_bag = of_manifest(parent, network=parent.manifest["network"] | {"nets": 3})
        assert "nets of a bag" in self.starts(loans, of_bag, bag)

    def test_is_made_after_so_many_warm_ones(self, loans, parent):
        most = training.MOST_WARM_STARTS
        assert self.starts(loans, with_lineage(parent, warm_starts=most - 1)) == ""
        assert f"{most} warm starts" in self.starts(loans, with_lineage(parent, warm_starts=most))

    def test_gives_the_weights_that_it_gives_without_a_parent(self, loans, parent, child, trained):
        beside = train(loans, seed=3, plan=SMALL, parent=with_lineage(parent, warm_starts=99))
        for path, weight in trained.weights.items():
            np.testing.assert_array_equal(beside.weights[path], weight, err_msg=path)
        assert beside.lineage == Lineage(child.lineage.learnt_until, child.lineage.chosen_until)
