"""Celery's view of scoring. Training never runs inside a worker: it has a process of its own."""

import os
import signal
import subprocess
import sys
from datetime import date, datetime, timedelta

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from lending.models import JobRun
from lending.rules import calendar
from scoring import worker

# Under half of the broker's visibility time-out, or Redis would hand the task to a second worker.
LIMIT_SECONDS = 140
JOB = "retrain"
STALE = timedelta(minutes=10)


class RetrainingFailed(Exception):
    """The training process ended badly; its run is on record and the champion serves on."""


@shared_task(ignore_result=True, soft_time_limit=LIMIT_SECONDS + 5, time_limit=LIMIT_SECONDS + 10)
def retrain_nightly() -> None:
    """Train tonight's challenger, once per business date however often beat or the broker call.

    Beat calls some hours in a row, so that a night whose first training died still gets one.
    """
    at = timezone.now()
    on = calendar.business_date(at, settings.TIME_ZONE)
    if not claim(on, at):
        return
    run_retraining("--fit-seconds", "90")
    JobRun.objects.filter(job=JOB, business_date=on).update(finished_at=timezone.now())


@shared_task(ignore_result=True)
def follow_champion(queue: str) -> None:
    """Load and warm a promoted model now, so that no customer's application waits for it."""
    worker.serving()


def claim(on: date, at: datetime) -> bool:
    """Say whether the training of a date is ours: nobody began it, or whoever did is dead by now."""
    run, created = JobRun.objects.get_or_create(job=JOB, business_date=on, defaults={"started_at": at})
    if created:
        return True
    given_up = JobRun.objects.filter(id=run.id, finished_at=None, started_at__lt=at - STALE)
    return given_up.update(started_at=at) == 1


def run_retraining(*arguments: str) -> None:
    """Run `manage.py retrain` in its own process group and wait; nothing of it outlives this call.

    Raises:
        RetrainingFailed: it took too long or ended with an error.
    """
    limits = ["--time-limit", str(LIMIT_SECONDS), "--parent", str(os.getpid())]
    command = [sys.executable, "manage.py", "retrain", *limits, *arguments]
    process = subprocess.Popen(command, cwd=settings.BASE_DIR, start_new_session=True)  # noqa: S603
    try:
        code = process.wait(timeout=LIMIT_SECONDS)
    except subprocess.TimeoutExpired:
        code = -signal.SIGALRM
    finally:
        _end_group(process)
    if code:
        raise RetrainingFailed(f"manage.py retrain ended with {code} at {timezone.now():%H:%M}")


def _end_group(process: "subprocess.Popen[bytes]") -> None:
    """Kill what is left of the group: after a time-out, and after an interruption of the task."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
