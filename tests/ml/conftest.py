"""A small made-up book with a known story, and one network trained on it for all tests of ml."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest

from ml import events, features, parity
from ml.data import DAY, Dataset
from ml.fit import Recipe
from ml.forward import forward
from ml.train import Plan, Trained, train

KEY = b"a key that only the tests know"
SMALL = Plan(
    recipe=Recipe(
        bins=8, embedding=4, width=16, members=2, nets=1, epochs=6, patience=5, batch=128, learning_rate=5e-3
    )
)


def for_epochs(epochs: int) -> Plan:
    return replace(SMALL, recipe=replace(SMALL.recipe, epochs=epochs))


def book(n: int = 1600, *, seed: int = 7) -> Dataset:
    """Return n loans: late payers, thin wallets and large requests default more; a tenth is missing."""
    rng = np.random.default_rng(seed)
    place = rng.random((n, len(features.NAMES)))
    column = {name: place[:, i] for i, name in enumerate(features.NAMES)}
    risk = 3.0 * column["worst_days_late"] - 3.0 * column["on_time_share"]
    risk += 2.0 * column["requested_to_inflow"] - 2.0 * column["savings_weeks_12"]
    default = (rng.random(n) < 1 / (1 + np.exp(1.5 - risk))).astype(np.float32)
    lows = np.maximum(features.LOWS, 0)
    x = (lows + place * np.minimum(features.HIGHS - lows, 500)).astype(np.float32)
    x[rng.random(x.shape) < 0.1] = np.nan
    return Dataset(
        x=x,
        default=default,
        repaid_share=np.where(default == 1, rng.random(n), 1).astype(np.float32),
        best_offer=np.where(default == 1, rng.integers(1, 3, n), 0),
        decided_at=1_700_000_000 + np.arange(n) * DAY // 4,
        ids=np.array([f"loan-{i:05d}" for i in range(n)]),
    )


def with_weights(trained: Trained, changes: dict[str, np.ndarray]) -> Trained:
    """Return another network of the same kind, and what it says; Keras would say it, and take seconds."""
    weights = trained.weights | changes
    return replace(
        trained, weights=weights, answers=parity.kept(lambda x, happened: forward(weights, x, happened), weights)
    )


def swapped(weights, feature=0, one=0, other=2):
    """Return the very same network with two bins of a feature in each other's place: their sum does not care."""
    order = np.arange(weights["encode/low"].shape[1])
    order[[one, other]] = other, one
    changed = {name: weights[name].copy() for name in weights}
    for name in ("low", "scale", "score_step"):
        changed[f"encode/{name}"][feature] = weights[f"encode/{name}"][feature][order]
    changed["encode/missing_code"][feature, :-1] = weights["encode/missing_code"][feature][order]
    for name in ("wide/curves", "embed/curves"):
        changed[name][:, feature, : len(order)] = weights[name][:, feature][:, order]
    return changed


def with_events(loans: Dataset, *, seed: int = 9) -> Dataset:
    """Return the same loans of people to whom something has happened: defaulters were paid less, and sold less."""
    rng = np.random.default_rng(seed)
    happened = rng.integers(0, 250, (len(loans), events.LAST, events.CODES), np.uint8)
    happened[..., events.KIND] = rng.integers(1, 1 + len(events.KINDS), happened.shape[:2])
    count = np.where(loans.default == 1, 4, 9)[:, None]
    happened[np.arange(events.LAST) >= rng.poisson(count)] = 0
    return replace(loans, events=happened, repay_time=np.where(loans.default == 1, 1, 0.4).astype(np.float32))


@contextmanager
def without_promises() -> Iterator[None]:
    """Let networks learn whatever the loans say: one that keeps its promises cannot learn the opposite."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(features, "MONOTONE", np.zeros_like(features.MONOTONE))
        yield


@pytest.fixture(scope="session")
def loans() -> Dataset:
    return book()


@pytest.fixture(scope="session")
def trained(loans: Dataset) -> Trained:
    return train(loans, seed=3, plan=SMALL)


@pytest.fixture
def key() -> bytes:
    return KEY
