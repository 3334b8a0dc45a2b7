"""A small real network, trained once for all tests of scoring, and a place to register it."""

from datetime import timedelta

import pytest

from ml.gate import Comparison
from ml.train import Trained, train
from scoring import registry, shadow, worker
from scoring.models import ModelVersion
from tests.factories import NOON
from tests.ml.conftest import book, for_epochs, with_events

NO_RIVAL = Comparison({"loans": 300}, {"loans": 300}, 0.0, 0.0, 0.0, 1.0, better=True, why=("made for a test",))


@pytest.fixture(scope="session")
def trained() -> Trained:
    return train(with_events(book(800)), seed=3, plan=for_epochs(3))


@pytest.fixture
def models_dir(settings, tmp_path, monkeypatch):  # type: ignore[no-untyped-def]
    """A shelf of this test's own, and a process that has loaded nothing yet."""
    settings.MODELS_DIR = tmp_path / "models"
    monkeypatch.setattr(worker, "champion", worker.Champion())
    shadow._weights_of.cache_clear()
    return settings.MODELS_DIR


@pytest.fixture
def shelved(db, models_dir, trained) -> ModelVersion:  # type: ignore[no-untyped-def]
    return registry.register(trained, comparison=NO_RIVAL, at=NOON - timedelta(days=1))


@pytest.fixture
def reigning(shelved: ModelVersion) -> ModelVersion:
    return registry.promote(shelved.name, at=NOON - timedelta(hours=1))


def another(trained: Trained, hours: int = 1) -> ModelVersion:
    """Register a second version of the same network, some hours later."""
    return registry.register(trained, comparison=NO_RIVAL, at=NOON + timedelta(hours=hours))
