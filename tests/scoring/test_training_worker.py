"""A real Celery worker of the queue `training`, killed while it trains: the next call goes on."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.utils import timezone
from django_celery_beat.models import PeriodicTask

from config.celery import app
from lending.rules import calendar
from scoring import pipeline
from scoring.models import ModelVersion, PipelineRun
from tests.scoring import portfolio
from tests.stack import database_url, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]
PATIENCE_SECONDS = 240


class Worker:
    """`celery worker -Q training` on the database of this test."""

    def __init__(self, log: Path) -> None:
        environment = os.environ | {"DATABASE_URL": database_url(), "MODELS_DIR": str(settings.MODELS_DIR)}
        command = "-A config.celery worker -Q training --concurrency 1 --loglevel INFO -n training@test"
        with log.open("ab") as said:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "celery", *command.split()],
                cwd=settings.BASE_DIR, env=environment, stdout=said, stderr=said, start_new_session=True,
            )  # fmt: skip

    def kill(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


@pytest.fixture
def workers(settings, tmp_path, law) -> Iterator[list[Worker]]:
    settings.MODELS_DIR = tmp_path / "models"
    started: list[Worker] = []
    yield started
    for worker in started:
        worker.kill()
    print((tmp_path / "worker.log").read_text())


def trainings() -> list[int]:
    """Return the training processes that run for this test."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            command, environment = (place / "cmdline").read_bytes(), (place / "environ").read_bytes()
        except OSError:  # it has ended meanwhile
            continue
        if b"manage.py\0retrain" in command and str(settings.MODELS_DIR).encode() in environment:
            found.append(int(place.name))
    return found


def beat_calls() -> None:
    row = PeriodicTask.objects.get(name="Retrain the model")
    app.send_task(row.task, queue=row.queue)


def test_a_training_has_a_process_of_its_own_and_goes_on_after_its_worker_was_killed(workers, tmp_path):
    portfolio.lend(2_100, timezone.now())
    # As long as none has ever served no night begins by itself: this one was begun.
    pipeline.begin(calendar.business_date(timezone.now(), settings.TIME_ZONE), timezone.now(), nightly=True)
    workers.append(Worker(tmp_path / "worker.log"))
    beat_calls()
    learning = PipelineRun.objects.filter(steps__name="train", steps__state="running")
    wait_for(learning.exists, PATIENCE_SECONDS)
    [training] = trainings()
    assert training != workers[0].process.pid
    before = dict(learning.get().steps.filter(state="done").values_list("name", "started_at"))

    workers[0].kill()
    wait_for(lambda: not trainings(), 10, why="the training outlived its worker")
    assert PipelineRun.objects.get().state == "running"

    workers.append(Worker(tmp_path / "worker.log"))
    beat_calls()
    ended = PipelineRun.objects.exclude(state="running")
    wait_for(ended.exists, PATIENCE_SECONDS, pause=0.5)
    run = ended.get()
    assert run.state == "shelved" and "--first" in run.why, run.why
    assert ModelVersion.objects.get() == run.version
    assert before.items() <= dict(run.steps.values_list("name", "started_at")).items()
    assert {"ingest", "validate", "features"} <= before.keys()
    wait_for(lambda: not trainings(), 20)
