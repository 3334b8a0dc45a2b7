"""A sound network behaves; each broken one is caught by the test that is made for it."""

from dataclasses import replace

import numpy as np
import pytest

from ml import behaviour, events, features
from ml.behaviour import People, behaviours
from ml.forward import scores
from ml.train import train
from tests.ml.conftest import SMALL, without_promises
from tests.ml.portfolio import portfolio


@pytest.fixture(scope="module")
def book():
    return portfolio(3_000)


@pytest.fixture(scope="module")
def sound(book):
    weights = train(book, seed=1, plan=SMALL).weights
    return lambda x: scores(weights, x)


def failing(score, book, **how):
    return [check.name for check in behaviours(score, book.x[:400], **how) if not check.passed]


class TestASoundNetwork:
    def test_behaves(self, sound, book):
        assert failing(sound, book, served={"tables": sound}) == []

    def test_is_tried_on_as_many_people_as_there_are(self, sound, book):
        found = {check.name: check for check in behaviours(sound, book.x[:10])}
        assert found["last_one_later"].passed and "20 are needed" in found["last_one_later"].words


class TestANetworkThatLearntTheOpposite:
    def test_is_caught_by_what_it_fears(self, book):
        with without_promises():
            weights = train(replace(book, default=1 - book.default), seed=1, plan=SMALL).weights
        caught = failing(lambda x: scores(weights, x), book)
        assert caught == ["worst_record", "one_more_on_time", "last_one_later", "asks_for_more"]

    def test_cannot_be_where_promises_are_kept(self, book):
        weights = train(replace(book, default=1 - book.default), seed=1, plan=SMALL).weights
        caught = failing(lambda x: scores(weights, x), book)
        assert "worst_record" not in caught and "asks_for_more" not in caught


class TestInvariance:
    def test_catches_a_model_that_looks_at_its_neighbours(self, sound, book):
        assert "place_in_the_batch" in failing(lambda x: sound(x) * (1 - 1e-4 * (len(x) > 1)), book)

    def test_catches_a_model_that_counts_its_rows(self, sound, book):
        assert "place_in_the_batch" in failing(lambda x: sound(x) + 1e-5 * np.arange(len(x)), book)

    def test_catches_two_paths_that_disagree(self, sound, book):
        paths = {"tables": sound, "keras": lambda x: sound(x) + np.float32(2e-5)}
        assert failing(sound, book, served=paths) == ["same_on_all_paths"]
        paths = {"tables": lambda x: sound(x) + np.float32("nan"), "keras": sound}
        assert failing(sound, book, served=paths) == ["same_on_all_paths", "tables_place_in_the_batch"]

    @pytest.mark.parametrize(
        "name", ["sex", "age", "age_years", "home_region", "language", "msisdn_prefix", "date_of_birth"]
    )
    def test_catches_a_protected_fact(self, name):
        check = behaviour.protected_facts((*features.NAMES, name))
        assert not check.passed and name in check.words

    def test_finds_no_protected_fact_among_ours(self):
        assert behaviour.protected_facts(features.NAMES).passed
        assert behaviour.protected_facts(("loan_age_days", "average_usage", "languid_days")).passed


@pytest.fixture(scope="module")
def happened():
    """Return a made-up history of 400 people: 99 repayments in time each."""
    found = events.none(400)
    found[:, :99] = np.random.default_rng(2).integers(1, 200, (400, 99, events.CODES))
    found[:, :99, events.KIND] = 2
    return found


class TestEvents:
    def test_that_never_hurt_are_tried(self, sound, book, happened):
        found = {check.name: check for check in behaviours(lambda x, seen=None: sound(x), book.x[:400], happened)}
        assert found["one_more_event"].passed

    def test_that_hurt_although_they_never_may_are_caught(self, sound, book, happened):
        def afraid(x, seen=None):
            """Who repaid lately will soon want more."""
            lately = 0 if seen is None else ((seen[..., 0] == 2) & (seen[..., 1] < 10)).sum(axis=1)
            return np.minimum(sound(x) + np.float32(1e-4) * lately, np.float32(0.999))

        checks = behaviours(afraid, book.x[:400], happened)
        assert [check.name for check in checks if not check.passed] == ["one_more_event"]

    def test_are_told_to_all_paths(self, sound, book, happened):
        def deaf(x, seen=None):
            return sound(x)

        def hears(x, seen=None):
            return sound(x) * (1 - 1e-3 * (seen is not None))

        checks = behaviours(deaf, book.x[:400], happened, served={"tables": hears})
        assert [check.name for check in checks if not check.passed] == ["same_on_all_paths"]


class TestMinimum:
    def test_catches_a_model_that_is_silent_when_nothing_is_known(self, sound, book):
        def silent(x):
            return np.where(np.isnan(x).all(axis=1), np.float32("nan"), sound(x))

        assert failing(silent, book) == ["everything_missing"]

    @pytest.mark.parametrize("nonsense", [0.0, 1.0, np.nan, np.inf])
    def test_catches_a_model_that_gives_no_chance_at_the_end_of_a_range(self, sound, book, nonsense):
        high = np.float32(features.BY_NAME["wallet_in_30d_cents"].high)
        at = features.NAMES.index("wallet_in_30d_cents")
        assert failing(lambda x: np.where(x[:, at] >= high, nonsense, sound(x)), book) == ["ends_of_ranges"]

    def test_lets_no_impossible_number_in(self, book, monkeypatch):
        assert behaviour.refuses_the_impossible(People(book.x)).passed
        monkeypatch.setattr(features, "check_rows", lambda x: x)
        check = behaviour.refuses_the_impossible(People(book.x))
        assert not check.passed and check.figure == 4 * len(features.NAMES)


class TestDirections:
    """Each is caught by a network that is sound but for one fact, which it reads the wrong way round."""

    @pytest.mark.parametrize(
        ("name", "weight", "caught"),
        [
            ("on_time_streak", 0.3, "one_more_on_time"),
            ("last_days_late", -0.02, "last_one_later"),
            ("requested_to_inflow", -5.0, "asks_for_more"),
            ("worst_days_late", -0.2, "worst_record"),
        ],
    )
    def test_catches_a_fact_read_the_wrong_way_round(self, sound, book, name, weight, caught):
        at = features.NAMES.index(name)

        def wrong(x):
            odds = np.log(sound(x) / (1 - sound(x))) + weight * np.nan_to_num(x[:, at])
            return 0.5 + np.tanh(odds / 2) / 2

        assert caught in failing(wrong, book)

    def test_counts_who_moves_the_wrong_way_by_more_than_the_margin(self, book):
        settled = behaviour.has_settled(People(book.x)).nonzero()[0][:100]
        people, at = People(book.x[settled]), features.NAMES.index("loans_settled")
        usual, odd = people.x[:, at].copy(), np.arange(100) % 4 == 0

        def falls(x, by):
            return 0.5 - by * ((x[:, at] > usual) & odd)

        opposite = replace(behaviour.DIRECTIONS[1], sign=1)
        assert behaviour.directed(lambda x: falls(x, 0.02), people, opposite).figure == 0.25
        assert behaviour.directed(lambda x: falls(x, 0.005), people, opposite).figure == 0


class TestChanges:
    """What a change does to a person's facts, by hand."""

    @pytest.fixture
    def amina(self):
        """Four loans: 5 days early, 1 early, on the day, 20 days late; the last was 1 day early."""
        facts = dict.fromkeys(features.NAMES) | {
            "loans_taken": 4, "loans_settled": 4, "on_time_share": 0.75, "on_time_streak": 1, "early_share": 0.5,
            "worst_days_late": 20, "mean_days_late": 3.5, "last_days_late": -1, "defaults_90": 0,
            "requested_cents": 60_000, "requested_to_inflow": 0.5,
        }  # fmt: skip
        return People(features.row(facts)[None])

    def told(self, people, *names):
        return [round(float(people[name][0]), 4) for name in names]

    def test_one_more_in_time(self, amina):
        after = behaviour.one_more_on_time(amina)
        names = (
            "loans_settled",
            "on_time_share",
            "on_time_streak",
            "early_share",
            "mean_days_late",
            "last_days_late",
        )
        assert self.told(after, *names) == [5, 0.8, 2, 0.6, 2.6, -1]

    def test_the_last_one_later(self, amina):
        after = behaviour.last_one_later(amina)
        names = ("on_time_share", "on_time_streak", "early_share", "worst_days_late", "mean_days_late")
        assert self.told(after, *names) == [0.5, 0, 0.25, 29, 11]
        assert self.told(behaviour.last_one_later(after), "worst_days_late", "defaults_90") == [59, 1]

    def test_more_is_asked_for_and_what_is_missing_stays_missing(self, amina):
        after = behaviour.asks_for_more(amina)
        assert self.told(after, "requested_cents", "requested_to_inflow") == [90_000, 0.75]
        assert np.isnan(after["requested_to_last"][0])

    def test_nothing_leaves_its_range(self, book):
        people = People(book.x).who(behaviour.has_settled(People(book.x)))
        for change in (
            behaviour.one_more_on_time,
            behaviour.last_one_later,
            behaviour.asks_for_more,
            behaviour.spotless,
            behaviour.hopeless,
        ):
            features.check_rows(change(people).x)
