"""Celery's view of scoring. Training has a queue of its own, and in it a process of its own."""

import os
import signal
import subprocess
import sys

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from scoring import pipeline, shadow, worker
from scoring.monitor import night

# Of one training process. To learn from a million loans takes a third of it (docs/network.md); what takes longer is
# hung.
LIMIT_SECONDS = 1_800
# Fitting stops after the epoch that crosses it, well before the process is ended.
FIT_SECONDS = 1_200


class RetrainingFailed(Exception):
    """The training process ended badly; its run is on record and the champion serves on."""


# Acknowledged when it begins: it may outlast the broker's visibility time-out, after which Redis would hand it to
# a second worker. Nothing is lost with a killed worker, because beat calls again and PostgreSQL knows what is open.
@shared_task(ignore_result=True, acks_late=False, soft_time_limit=LIMIT_SECONDS + 5, time_limit=LIMIT_SECONDS + 10)
def retrain_nightly() -> None:
    """Go on with the night's run where it stands, once per business date however often beat or the broker call.

    Beat calls several times in a night: a run that was cut off goes on, and a shadow has become ripe.
    """
    if pipeline.is_due(timezone.now()):
        run_retraining("--nightly", "--fit-seconds", str(FIT_SECONDS))


@shared_task(ignore_result=True)
def monitor_nightly() -> None:
    """Check how the model stood at the end of yesterday, once however often beat or the broker call."""
    now = timezone.now()
    night.check(night.yesterday(now), now)


@shared_task(ignore_result=True)
def follow_champion(queue: str) -> None:
    """Load and warm a promoted model now, so that no customer's application waits for it."""
    worker.serving()


@shared_task(ignore_result=True)
def follow_shadow(queue: str) -> None:
    """Let the shadow score what was decided since the last call."""
    shadow.score_new(timezone.now())


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
