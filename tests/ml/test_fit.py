"""A bag of nets: each learns without its own part, stops by it, and serves as one with the others."""

from dataclasses import replace

import numpy as np
import pytest

from ml import events, fit, network
from ml.fit import Recipe
from ml.forward import forward
from ml.measures import auc, log_loss
from ml.tables import stratified

BAG = Recipe(bins=8, embedding=4, width=16, members=2, nets=3, epochs=8, patience=8, batch=64, learning_rate=5e-3)


def of_default(bad):
    """Return y as `fit` takes it, where nothing but the default is known."""
    unknown = np.full(len(bad), np.nan)
    return np.column_stack([bad, unknown, np.full(len(bad), -1), unknown]).astype(np.float32)


@pytest.fixture(scope="module")
def rows():
    """600 rows of a made story with a tenth missing: x, y as `fit` takes it, and the part of each row."""
    rng = np.random.default_rng(4)
    x = rng.normal(size=(600, 5)).astype(np.float32)
    x[rng.random(x.shape) < 0.1] = np.nan
    known = np.nan_to_num(x)
    bad = rng.random(600) < 1 / (1 + np.exp(1 - 2 * known[:, 0] + known[:, 1] * known[:, 2]))
    y = of_default(bad)
    return x, y, stratified(y[:, 0], 3, seed=1)


def fitted(rows, recipe=BAG, y=None, **more):
    x, own, parts = rows
    return fit.fit(x, own if y is None else y, parts, recipe, seed=2, say=lambda part, what: None, **more)


@pytest.fixture(scope="module")
def bag(rows):
    return fitted(rows)


def test_the_nets_serve_as_one_and_numpy_says_the_same(rows, bag):
    served = network.restore(bag.spec, bag.weights).predict(rows[0], verbose=0)
    plain = forward(bag.weights, rows[0])

    for name, values in plain.items():
        np.testing.assert_allclose(served[name], values, atol=1e-6, err_msg=name)
    assert auc(rows[1][:, 0], plain["default"]) > 0.8


def test_what_a_net_says_of_its_own_part_is_kept(rows, bag):
    x, y, parts = rows
    assert not np.isnan(bag.left_out).any()
    for net in range(3):
        own = parts == net
        assert log_loss(y[own, 0], bag.left_out[own]) == pytest.approx(bag.log_loss[net], abs=1e-5)
        alone = {
            k: v[net : net + 1] if k.split("/")[0] not in ("encode", "calibrate") else v
            for k, v in bag.weights.items()
        }
        np.testing.assert_allclose(forward(alone, x[own])["default"], bag.left_out[own], atol=1e-5)


def test_a_net_learns_nothing_from_its_own_part(rows):
    once = replace(BAG, epochs=1)
    turned = rows[1].copy()
    turned[rows[2] == 0, 0] = 1 - turned[rows[2] == 0, 0]
    first, second = fitted(rows, once), fitted(rows, once, turned)

    for name in ("hidden_1/kernel", "wide/curves", "heads/kernel"):
        np.testing.assert_array_equal(first.weights[name][0], second.weights[name][0])
        assert not np.array_equal(first.weights[name][1], second.weights[name][1])


def test_a_net_keeps_the_weights_of_its_best_epoch(bag):
    assert [min(losses) for losses in zip(*bag.history, strict=True)] == pytest.approx(bag.log_loss)
    assert bag.epochs == [int(np.argmin(losses)) for losses in zip(*bag.history, strict=True)]


def test_it_stops_when_no_net_gets_better(rows):
    found = fitted(rows, replace(BAG, epochs=60, patience=2))

    assert len(found.history) < 60
    assert len(found.history) >= max(found.epochs) + 2


def test_among_many_numbers_that_mean_nothing_it_finds_the_few_that_do(rows):
    """From 400 rows of 103 numbers, three of which mean something."""
    x, y, parts = (one[:400] for one in rows)
    noise = np.random.default_rng(6).normal(size=(400, 98)).astype(np.float32)
    many = np.column_stack([noise, x])
    found = fit.fit(many, y, parts, BAG, seed=2, say=lambda part, what: None)

    later = rows[0][400:], np.random.default_rng(7).normal(size=(200, 98)).astype(np.float32)
    assert auc(rows[1][400:, 0], forward(found.weights, np.column_stack(later[::-1]))["default"]) > 0.7


def test_before_the_first_epoch_stands_a_line(rows):
    line = fitted(rows, replace(BAG, epochs=0))

    assert (line.epochs, len(line.history)) == ([0, 0, 0], 1)
    assert not line.weights["wide/curves"][:, :, : BAG.bins].any(), "of each number only its score and its mark"
    assert auc(rows[1][:, 0], forward(line.weights, rows[0])["default"]) > 0.75


def test_a_line_knows_categories_apart_that_no_order_tells():
    """Of seven kinds the second, the fourth and the sixth are bad."""
    rng = np.random.default_rng(9)
    kinds = rng.integers(1, 8, 800)
    bad = rng.random(800) < np.where(kinds % 2 == 0, 0.7, 0.2)
    x = np.column_stack([kinds, rng.normal(size=800)]).astype(np.float32)
    y = of_default(bad)
    rows, line = (x, y, stratified(y[:, 0], 3, seed=1)), replace(BAG, epochs=0)

    found = fitted(rows, line, categories=np.array([True, False]))
    assert auc(y[:, 0], forward(found.weights, x)["default"]) > 0.7
    assert auc(y[:, 0], forward(fitted(rows, line).weights, x)["default"]) < 0.6


@pytest.mark.parametrize("epochs", [0, 8])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_promise_is_kept_whatever_the_rows_say(rows, sign, epochs):
    """In the story more of the first number is worse, and the second one helps or hurts with the third."""
    found = fitted(rows, replace(BAG, epochs=epochs), monotone=np.array([sign, sign, 0, 0, 0]))

    for feature in (0, 1):
        many = np.repeat(rows[0][:50], 41, axis=0)
        many[:, feature] = np.tile(np.linspace(-4, 4, 41), 50)
        steps = np.diff(forward(found.weights, many)["default"].reshape(50, 41), axis=1)
        assert (sign * steps >= -1e-6).all()
    if sign > 0:
        assert auc(rows[1][:, 0], forward(found.weights, rows[0])["default"]) > 0.75


def test_without_a_promise_the_rows_decide(rows, bag):
    many = np.repeat(rows[0][:50], 2, axis=0)
    many[:, 0] = np.tile([-2, 2], 50)
    assert (np.diff(forward(bag.weights, many)["default"].reshape(50, 2), axis=1) > 0.1).all()


@pytest.fixture(scope="module")
def told():
    """Numbers that mean nothing; who was paid lately is good, and who repaid in time lately is bad."""
    rng = np.random.default_rng(8)
    happened = events.none(600)
    for person in happened:
        count = rng.integers(1, 40)
        person[:count, events.KIND] = rng.choice([2, 6, 7], count)
        person[:count, 1:] = rng.integers(0, 250, (count, 3))
        person[:count] = person[np.argsort(person[:count, events.AGE])]
    lately = [(happened[..., 0] == kind) & (happened[..., events.AGE] < 60) for kind in (6, 2)]
    paid, repaid = (each.sum(axis=1) for each in lately)
    bad = rng.random(600) < 1 / (1 + np.exp(2.0 * paid - 2.0 * repaid))
    x = rng.normal(size=(600, 5)).astype(np.float32)
    return (x, of_default(bad), stratified(bad, 3, seed=1)), happened


STORY = replace(BAG, epochs=40, patience=40)


@pytest.fixture(scope="module")
def knows(told):
    return fitted(told[0], STORY, events=told[1])


class TestEvents:
    def test_are_learnt_from(self, told, knows):
        (x, y, _), happened = told
        assert auc(y[:, 0], knows.left_out) > 0.75
        assert auc(y[:, 0], fitted(told[0]).left_out) < 0.6
        assert auc(y[:, 0], forward(knows.weights, x, happened)["default"]) > 0.75

    def test_say_the_same_in_numpy(self, told, knows):
        (x, _, _), happened = told
        plain = forward(knows.weights, x, happened)
        for name, values in network.restore(knows.spec, knows.weights).predict([x, happened], verbose=0).items():
            np.testing.assert_allclose(values, plain[name], atol=1e-6, err_msg=name)
        for name, values in forward(knows.weights, x, happened[:1]).items():
            alone = forward(knows.weights, x, np.repeat(happened[:1], len(x), axis=0))[name]
            np.testing.assert_allclose(values, alone, atol=1e-6, err_msg=name)

    def test_of_which_something_is_promised_keep_the_promise(self, told, knows):
        (x, _, _), happened = told
        held = fitted(told[0], STORY, events=told[1], monotone=np.zeros(5, np.int64))

        def with_another(weights):
            """How much one more repayment in time, of any age and amount, adds to the chance."""
            more = happened.copy()
            more[more[..., events.KIND] == 2, events.GAP] = 7
            more[:, -1] = [2, 0, 0, 0]
            more[:, -1, 1:] = np.random.default_rng(3).integers(0, 256, (len(x), 3))
            return forward(weights, x, more)["default"] - forward(weights, x, happened)["default"]

        assert (with_another(held.weights) <= 1e-6).all()
        assert (with_another(knows.weights) > 0.01).any(), "the rows say the opposite"

    def test_of_which_something_is_promised_say_nothing_by_how_far_apart_they_are(self, told, knows):
        """One more of them would change that. In the story turned round they do help, as they may."""
        (x, y, _), happened = told
        turned = of_default(1 - y[:, 0])
        held = fitted(told[0], STORY, turned, events=happened, monotone=np.zeros(5, np.int64))
        assert (held.weights["story/out"][:, 1, :, network.DEFAULT] < 0).any()
        near = happened.copy()
        near[near[..., events.KIND] == 2, events.GAP] = 7

        def moved(weights):
            return np.abs(forward(weights, x, near)["default"] - forward(weights, x, happened)["default"]).max()

        assert moved(held.weights) == 0 and moved(knows.weights) > 0.01

    def test_decide_the_weights_with_rows_recipe_and_seed(self, told):
        once = replace(BAG, epochs=1)
        first, again = (fitted(told[0], once, events=told[1]) for _ in range(2))
        np.testing.assert_array_equal(first.weights["story/out"], again.weights["story/out"])
        assert first.weights["story/out"].any()


def test_when_a_loan_is_repaid_is_learnt_where_it_is_known(rows):
    x, y, _ = rows
    known = y.copy()
    known[:, 3] = np.where(np.arange(600) % 3 == 0, np.nan, 1 / (1 + np.exp(-np.nan_to_num(x[:, 3]))))
    said = forward(fitted(rows, replace(BAG, epochs=30, patience=30), known).weights, x)["repay_time"]

    assert np.corrcoef(said, np.nan_to_num(x[:, 3]))[0, 1] > 0.9
    np.testing.assert_allclose(said.mean(), np.nanmean(known[:, 3]), atol=0.05)


def test_rows_recipe_and_seed_decide_the_weights(rows, bag):
    again = fitted(rows)
    for path, weight in bag.weights.items():
        np.testing.assert_array_equal(again.weights[path], weight, err_msg=path)


def test_what_no_net_has_learnt_from_is_not_in_the_encoding(rows):
    x, y, parts = rows
    full = np.nan_to_num(x)
    full[parts == 0, 3] = np.nan
    alone = fit.fit(full, y, parts, replace(BAG, nets=1, epochs=1), seed=2, say=lambda part, what: None)

    assert alone.weights["encode/missing_seen"][3] == 0, (
        "missing counts as the usual value: nothing was learnt of it"
    )
    assert alone.weights["encode/missing_code"][3].any()


def test_a_rate_that_falls_begins_as_the_other_and_ends_quietly(rows):
    """At ten times the usual rate the log-loss swings from epoch to epoch, unless the rate falls to nothing."""
    wild = replace(BAG, epochs=12, patience=12, learning_rate=5e-2)
    falls, stays = (np.array(fitted(rows, replace(wild, falls=one)).history) for one in (True, False))

    np.testing.assert_array_equal(falls[:2], stays[:2])
    swings = [np.abs(np.diff(history[-4:], axis=0)).mean() for history in (falls, stays)]
    assert swings[0] < swings[1] / 3


def test_what_goes_on_from_weights_begins_where_they_ended(rows, bag):
    calibrated = bag.weights | {"calibrate/slope": np.float32(2), "calibrate/intercept": np.float32(-1)}
    went_on = fitted(rows, replace(BAG, epochs=2, learning_rate=1e-4), start=calibrated)

    assert went_on.history[0] == pytest.approx(bag.log_loss, abs=1e-6)
    assert all(now <= before + 1e-6 for now, before in zip(went_on.log_loss, bag.log_loss, strict=True))
    assert went_on.weights["calibrate/slope"] == 1, "a calibration is learnt anew"
    for part in ("low", "scale", "score_start", "missing_seen", "missing_code", "reference"):
        np.testing.assert_array_equal(went_on.weights[f"encode/{part}"], bag.weights[f"encode/{part}"])


def test_weights_of_another_network_are_refused_in_words(rows, bag):
    with pytest.raises(ValueError, match=r"hidden_1/kernel must be \(3, 20, 8\), got \(3, 20, 16\)"):
        fitted(rows, replace(BAG, width=8), start=bag.weights)
    without = {path: weight for path, weight in bag.weights.items() if path != "heads/kernel"}
    with pytest.raises(ValueError, match="heads/kernel"):
        fitted(rows, start=without)


def test_whoever_watches_can_end_it(rows):
    class Enough(Exception):
        pass

    told = []

    def watch(epoch: int, loss: float) -> None:
        told.append((epoch, loss))
        if epoch == 2:
            raise Enough

    with pytest.raises(Enough):
        fitted(rows, watch=watch)
    assert [epoch for epoch, _ in told] == [0, 1, 2]
    assert told[2][1] <= told[1][1] <= told[0][1], "the best so far"
