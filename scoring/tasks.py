"""Celery's view of scoring. Training never runs inside a worker: it has a process of its own."""

import os
import signal
import subprocess
import sys

from celery import shared_task
from django.conf import settings
from django.utils import timezone

# Under half of the broker's visibility time-out, or Redis would hand the task to a second worker.
LIMIT_SECONDS = 140


class RetrainingFailed(Exception):
    """The training process ended badly; its run is on record and the champion serves on."""


@shared_task(ignore_result=True, soft_time_limit=LIMIT_SECONDS + 5, time_limit=LIMIT_SECONDS + 10)
def retrain_nightly() -> None:
    """Train tonight's challenger, once per business date however often beat or the broker call."""
    run_retraining("--fit-seconds", "90")


def run_retraining(*arguments: str) -> None:
    """Run `manage.py retrain` in its own process group and wait; nothing of it outlives this call.

    Raises:
        RetrainingFailed: it took too long or ended with an error.
    """
    command = [sys.executable, "manage.py", "retrain", "--time-limit", str(LIMIT_SECONDS), *arguments]
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
