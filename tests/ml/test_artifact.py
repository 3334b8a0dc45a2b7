"""A model on disk is whole and ours, or it is refused."""

import json
import pickle

import numpy as np
import pytest

from ml import artifact, features
from ml.artifact import ArtifactRefused


@pytest.fixture
def saved(trained, tmp_path, key):
    artifact.save(trained, tmp_path / "model-1", key=key, commit="abc123")
    return tmp_path / "model-1"


def test_a_model_comes_back_as_it_was_saved(saved, trained, key):
    model = artifact.load(saved, key=key)

    assert model.manifest["features_version"] == features.VERSION
    assert [f["name"] for f in model.manifest["features"]] == list(features.NAMES)
    assert model.manifest["seed"] == 3
    assert model.manifest["data_sha256"] == trained.data_sha256
    assert model.seen_until == trained.seen_until
    for path, weight in trained.weights.items():
        np.testing.assert_array_equal(model.weights[path], weight)


def test_the_same_model_has_the_same_bytes(saved, trained, tmp_path, key):
    artifact.save(trained, tmp_path / "model-2", key=key, commit="abc123")
    for name in (artifact.WEIGHTS, artifact.MANIFEST, artifact.SIGNATURE):
        assert (tmp_path / "model-2" / name).read_bytes() == (saved / name).read_bytes()


@pytest.mark.parametrize("name", [artifact.WEIGHTS, artifact.MANIFEST, artifact.SIGNATURE])
@pytest.mark.parametrize("where", [0.0, 0.5, 0.99])
def test_one_changed_byte_is_refused(saved, key, name, where):
    content = bytearray((saved / name).read_bytes())
    content[int(where * len(content))] ^= 0x81
    (saved / name).write_bytes(content)

    with pytest.raises(ArtifactRefused, match="model-1"):
        artifact.load(saved, key=key)


@pytest.mark.parametrize("name", [artifact.WEIGHTS, artifact.MANIFEST, artifact.SIGNATURE])
def test_a_file_cut_short_or_absent_is_refused(saved, key, name):
    (saved / name).write_bytes((saved / name).read_bytes()[:-10])
    with pytest.raises(ArtifactRefused):
        artifact.load(saved, key=key)

    (saved / name).unlink()
    with pytest.raises(ArtifactRefused):
        artifact.load(saved, key=key)


def test_another_key_is_refused(saved):
    with pytest.raises(ArtifactRefused, match="not signed by our key"):
        artifact.load(saved, key=b"the key of somebody else")


def test_a_model_made_for_other_features_is_refused_even_when_signed(saved, key):
    manifest = json.loads((saved / artifact.MANIFEST).read_bytes()) | {"features_version": "0123456789ab"}
    text = json.dumps(manifest).encode()
    (saved / artifact.MANIFEST).write_bytes(text)
    (saved / artifact.SIGNATURE).write_text(artifact.sign(text, key))

    with pytest.raises(ArtifactRefused, match="features must be"):
        artifact.load(saved, key=key)


def test_a_pickle_in_place_of_weights_is_refused_unread(saved, key):
    (saved / artifact.WEIGHTS).write_bytes(pickle.dumps({"hidden_1/kernel": 1}))
    with pytest.raises(ArtifactRefused, match="not those that were signed"):
        artifact.load(saved, key=key)


def test_a_version_is_never_overwritten(saved, trained, key):
    before = (saved / artifact.MANIFEST).read_bytes()
    with pytest.raises(FileExistsError, match="model-1"):
        artifact.save(trained, saved, key=key, commit="def456")
    assert (saved / artifact.MANIFEST).read_bytes() == before


def test_a_save_that_fails_leaves_nothing_behind(trained, tmp_path, key, monkeypatch):
    def full(path, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(artifact.files, "write_to_disk", full)
    with pytest.raises(OSError, match="No space"):
        artifact.save(trained, tmp_path / "model-3", key=key)
    assert list(tmp_path.iterdir()) == []


def test_a_key_that_nobody_set_is_refused(trained, tmp_path):
    with pytest.raises(ValueError, match="16 bytes"):
        artifact.save(trained, tmp_path / "model-4", key=b"")
    assert list(tmp_path.iterdir()) == []
