"""What is looked up is what would be worked out, wherever a value stands; and who serves needs no TensorFlow."""

import subprocess
import sys
import textwrap
from dataclasses import asdict

import numpy as np
import pytest

from ml import parity, serving
from ml.artifact import Artifact, ArtifactRefused
from ml.events import CODES, KIND, KINDS, LAST
from ml.forward import forward
from ml.network import Spec, build, learn_encoding, weights_of
from ml.predict import Scorer, by_keras
from tests.ml.conftest import swapped

SPEC = Spec(features=6, bins=5, embedding=3, width=8, members=2, nets=2, kinds=len(KINDS), story=4)


@pytest.fixture(scope="module")
def seen():
    """An amount, one that is mostly 0, a category, one value only, one with gaps, one always missing."""
    rng = np.random.default_rng(2)
    x = np.column_stack([
        rng.lognormal(8, 2, 400), np.maximum(rng.normal(-1, 1, 400), 0), rng.integers(0, 3, 400),
        np.full(400, 7), np.where(rng.random(400) < 0.3, np.nan, rng.normal(0, 5, 400)), np.full(400, np.nan),
    ])  # fmt: skip
    return x.astype(np.float32)


@pytest.fixture(scope="module")
def weights(seen):
    """A network with an encoding that was learnt, and with every other weight somewhere."""
    network, _ = build(SPEC, seed=3)
    network.get_layer("encode").assign(learn_encoding(seen, SPEC.bins))
    rng = np.random.default_rng(4)
    return {
        path: weight
        if path.startswith("encode/")
        else (weight + rng.normal(0, 0.3, weight.shape)).astype(np.float32)
        for path, weight in weights_of(network).items()
    }


def histories(rows):
    """Return made-up events (rows, 128, 4): of some nobody, of some a full list."""
    rng = np.random.default_rng(6)
    happened = rng.integers(0, 256, (rows, LAST, CODES), np.uint8)
    happened[..., KIND] = rng.integers(1, 1 + len(KINDS), (rows, LAST))
    happened[np.arange(LAST) >= rng.choice([0, 3, 40, LAST], (rows, 1))] = 0
    return happened


@pytest.fixture(scope="module")
def keras(weights):
    return by_keras(Artifact({"network": asdict(SPEC)}, weights))


def where_it_could_go_wrong(weights, seen):
    """Return rows: seen ones, each edge and the numbers next to it, far beyond, missing, and nothing known."""
    low, scale = weights["encode/low"], weights["encode/scale"]
    top = np.nanmax(seen, axis=0, initial=0)
    edges = np.vstack([np.where(scale > 0, low, top[:, None]).T, top])
    beside = [np.nextafter(edges, np.float32(way)) for way in (-np.inf, np.inf)]
    far = np.outer(np.float32([-1e30, -1, 1e30]), np.ones(SPEC.features, np.float32))
    rows = np.vstack([seen[:100], edges, *beside, far]).astype(np.float32)
    missing = np.where(np.random.default_rng(5).random(rows.shape) < 0.3, np.float32("nan"), rows)
    return np.vstack([rows, missing, np.full((1, SPEC.features), np.nan, np.float32)])


@pytest.mark.filterwarnings("ignore:overflow encountered")
def test_tables_say_what_the_network_says_wherever_a_value_stands(weights, seen, keras):
    x = where_it_could_go_wrong(weights, seen)
    happened = histories(len(x))
    looked_up, plain, meant = (
        serving.Tables(weights)(x, happened),
        forward(weights, x, happened),
        keras(x, happened),
    )

    assert looked_up.keys() == plain.keys() == meant.keys()
    assert np.ptp(meant["default"]) > 0.3
    for name, values in meant.items():
        assert looked_up[name].dtype == np.float32
        np.testing.assert_allclose(looked_up[name], values, rtol=0, atol=1e-6, err_msg=name)
        np.testing.assert_allclose(looked_up[name], plain[name], rtol=0, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("whose", ["nobody's", "one's", "each one's"])
def test_more_rows_than_a_block_are_answered_in_their_order(weights, seen, keras, whose):
    tables, crowd = serving.Tables(weights), np.tile(seen, (2, 1))[: 3 * serving.BLOCK + 1]
    happened = {"nobody's": None, "one's": histories(9)[8:], "each one's": histories(len(crowd))}[whose]
    plain = forward(weights, crowd, happened)["default"]
    assert (whose == "nobody's") == np.allclose(plain, forward(weights, crowd)["default"])
    for path in (tables, keras):
        np.testing.assert_allclose(path(crowd, happened)["default"], plain, rtol=0, atol=1e-6)
    assert tables(crowd[:0], happened if whose == "one's" else None)["default"].shape == (0,)


@pytest.mark.parametrize(
    ("events", "words"),
    [
        (histories(3), r"must be \(2, 128, 4\)"),
        (histories(2).astype(np.int64), "of uint8"),
        (np.full((1, LAST, CODES), 99, np.uint8), "kinds up to 11"),
    ],
)
def test_events_that_cannot_be_are_refused(weights, seen, keras, events, words):
    made = {
        "network": asdict(SPEC),
        "answers": parity.kept(keras, weights),
    }
    with pytest.raises(ValueError, match=words):
        Scorer(Artifact(made, weights)).predict(seen[:2], events)


def test_rows_to_compare_by_reach_every_piece(weights):
    rows = parity.rows(weights)
    place, part = serving.Pieces.of(weights).find(rows)
    used = np.pad(weights["encode/scale"] > 0, ((0, 0), (1, 0)), constant_values=True)
    reached = {int(one) for one in place.ravel()}
    pieces = SPEC.bins + 2
    assert reached >= {f * pieces + piece for f, piece in np.argwhere(used)}
    assert reached >= {f * pieces + pieces - 1 for f in range(SPEC.features)}, "missing"
    assert ((part > 0) & (part < 1)).any(axis=0)[:3].all(), "between edges, too"
    np.testing.assert_array_equal(rows, parity.rows(weights))


def test_tables_that_cannot_hold_a_network_are_refused(weights, seen, keras):
    """Its bins are in no order, which Keras does not mind and tables do."""
    told = {
        "network": asdict(SPEC),
        "answers": parity.kept(keras, weights),
    }
    assert Scorer(Artifact(told, weights)).apart <= 1e-6

    bad = swapped(weights)
    np.testing.assert_allclose(forward(bad, seen)["default"], forward(weights, seen)["default"], atol=1e-6)
    with pytest.raises(ArtifactRefused, match="by tables the answers are"):
        Scorer(Artifact(told | {"answers": parity.kept(lambda x, happened: forward(bad, x, happened), bad)}, bad))


def test_who_serves_by_tables_never_imports_tensorflow(trained, tmp_path, key):
    from ml import artifact

    artifact.save(trained, tmp_path / "model", key=key)
    code = f"""
        import pathlib, sys
        import numpy as np
        from ml.predict import Scorer
        scorer = Scorer.restore(pathlib.Path({str(tmp_path / "model")!r}), key={key!r})
        scorer.warm()
        assert "tensorflow" not in sys.modules and "keras" not in sys.modules
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
