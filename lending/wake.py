"""Waking workers: best effort, after commit, never in the way.

With Redis dead the message is lost, the row is not: the sweeper finds it. So a failure here is a log line.
"""

import logging
from datetime import datetime, timedelta

from celery import current_app
from django.db import transaction
from django.utils import timezone

logger = logging.getLogger(__name__)
# After a failure nobody tries again for this long: a dead broker must not slow a customer's hop.
PAUSE = timedelta(seconds=5)
_paused_until: datetime | None = None


def wake(task: str, *, queue: str, countdown: float = 0) -> None:
    """Send a task message for a queue once the current transaction commits."""
    transaction.on_commit(lambda: _send(task, queue, countdown))


def _send(task: str, queue: str, countdown: float) -> None:
    global _paused_until
    if _paused_until and timezone.now() < _paused_until:
        return
    try:
        current_app.send_task(
            task,
            kwargs={"queue": queue},
            queue=queue,
            countdown=countdown or None,
            retry=False,
            ignore_result=True,
        )
    except Exception as error:  # noqa: BLE001 - the broker may be dead in many ways
        _paused_until = timezone.now() + PAUSE
        logger.warning("could not wake %s: %s", queue, type(error).__name__)


def broker_answers() -> bool:
    """Say whether the broker can be reached now."""
    try:
        with current_app.connection_for_write(connect_timeout=1) as connection:
            connection.ensure_connection(max_retries=1, timeout=1)
            return True
    except Exception:  # noqa: BLE001 - dead is dead
        return False
