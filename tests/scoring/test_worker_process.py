"""A real Celery worker with a forked child, the real network in it, Redis and PostgreSQL: nothing is faked."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connection
from django.utils import timezone
from django_celery_beat.models import PeriodicTask

from config.celery import app
from lending.models import Application, Decision, OutboxMessage
from scoring import decide, registry, worker
from scoring.models import ModelVersion, ShadowScore
from tests import factories
from tests.ml.conftest import with_weights
from tests.scoring import history
from tests.scoring.conftest import NO_RIVAL

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]
PATIENCE_SECONDS = 90


@pytest.fixture
def shelf(settings, tmp_path) -> Path:
    settings.MODELS_DIR = tmp_path / "models"
    return settings.MODELS_DIR


@pytest.fixture
def first(shelf, trained, transactional_db) -> ModelVersion:
    version = registry.register(trained, comparison=NO_RIVAL, at=timezone.now())
    return registry.promote(version.name, at=timezone.now())


@pytest.fixture
def scoring_worker(first, shelf, tmp_path) -> Iterator[subprocess.Popen[bytes]]:
    """`celery worker -Q scoring` with one child, on the database of this test."""
    command = "-A config.celery worker -Q scoring --pool prefork --concurrency 1 --loglevel INFO -n scoring@test"
    known = connection.settings_dict
    place = f"{known['HOST']}:{known['PORT']}/{known['NAME']}"
    environment = os.environ | {
        "DATABASE_URL": f"postgres://{known['USER']}:{known['PASSWORD']}@{place}",
        "MODELS_DIR": str(shelf),
    }
    with (tmp_path / "worker.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "celery", *command.split()],
            cwd=settings.BASE_DIR, env=environment, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
        try:
            yield process
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            print((tmp_path / "worker.log").read_text())


def test_a_forked_worker_scores_follows_a_promotion_and_survives_a_killed_child(
    law, first, trained, scoring_worker, tmp_path
):
    amina = apply_as("Amina Wanjiru", 1)
    assert decision_of(amina).model_version == first.name
    child = children_of(scoring_worker.pid)

    second = registry.register(trained, comparison=NO_RIVAL, at=timezone.now())
    registry.promote(second.name, at=timezone.now())
    # Asked without a pause, from before the worker can have noticed until it has.
    names: list[str] = []
    while second.name not in names:
        assert len(names) < 40, f"the worker never noticed: {names}"
        names.append(decision_of(apply_as("Brian Otieno", 2 + len(names))).model_version)
    assert set(names) <= {first.name, second.name}
    assert children_of(scoring_worker.pid) == child, "the worker must not restart for a new model"

    os.kill(int(child[0]), signal.SIGKILL)
    cheptoo = decision_of(apply_as("Cheptoo Kiprono", 50))
    assert cheptoo.model_version == second.name
    assert children_of(scoring_worker.pid) != child

    assert Decision.objects.count() == Application.objects.count() == len(names) + 2
    wait_until(lambda: not OutboxMessage.objects.filter(topic="application_submitted", done_at=None).exists())
    assert all(decide.replays(decision) for decision in Decision.objects.order_by("id")[:3])
    log = (tmp_path / "worker.log").read_text()
    assert log.count("scoring with model") == 3  # first, second, second again in the new child


def test_a_rollback_is_one_command_and_the_worker_follows(law, first, trained, scoring_worker):
    second = registry.register(trained, comparison=NO_RIVAL, at=timezone.now())
    registry.promote(second.name, at=timezone.now())
    wait_until(lambda: decision_of(apply_as("Amina Wanjiru", number())).model_version == second.name)

    began = time.monotonic()
    call_command("models", "rollback", "--reason", "declines everybody")
    commanded = time.monotonic() - began
    wait_until(lambda: decision_of(apply_as("Brian Otieno", number())).model_version == first.name)
    followed = time.monotonic() - began
    print(json.dumps({"measured": "rollback", "command_s": commanded, "until_a_decision_by_it_s": followed}))
    assert registry.champion() == first


def test_the_worker_scores_in_the_shadow_when_beat_calls(law, first, trained, scoring_worker):
    amina, brian = (decision_of(apply_as(name, number())) for name in ("Amina Wanjiru", "Brian Otieno"))
    stern = with_weights(trained, {"calibrate/intercept": np.float32(9)})
    shadow = registry.register(stern, comparison=NO_RIVAL, at=amina.decided_at)
    registry.stand(shadow, registry.SHADOW, at=amina.decided_at)

    send(scoring_task("Score in the shadow"))
    wait_until(lambda: ShadowScore.objects.count() == 2)
    kept = ShadowScore.objects.get(decision=brian)
    assert (kept.version, kept.score > 0.9) == (shadow, True)
    assert decision_of(apply_as("Cheptoo Kiprono", number())).model_version == first.name


def scoring_task(name: str) -> PeriodicTask:
    """Return a row of the beat schedule as it ships."""
    return PeriodicTask.objects.get(name=name)


def send(row: PeriodicTask) -> None:
    """Send what beat sends for a row."""
    app.send_task(row.task, kwargs=json.loads(row.kwargs), queue=row.queue)


_numbers = count(1)


def number() -> int:
    return 100 + next(_numbers)


def test_the_network_says_the_same_in_the_worker_and_here(law, first, scoring_worker):
    decision = decision_of(apply_as("Amina Wanjiru", 1))
    vector, happened = decide.features.told(decision.inputs)
    here = worker.load(first.name).scorer.predict(vector[None], happened[None])
    assert decision.score == float(here.default[0])


def apply_as(name: str, number: int) -> Application:
    at = timezone.now()
    borrower = factories.register(name, f"2547110{number:05d}", f"3000{number:04d}", at=at - timedelta(days=99))
    history.steady_wallet(borrower, at)
    return factories.apply(borrower, origin=f"ussd:worker:{number}", at=at)


def decision_of(application: Application) -> Decision:
    wait_until(lambda: Decision.objects.filter(application=application).exists())
    return Decision.objects.get(application=application)


def wait_until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.02)


def children_of(pid: int) -> list[str]:
    """Return the processes that the worker forked."""
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
