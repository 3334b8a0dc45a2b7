"""Waking workers: best effort, after commit, never in the way.

With Redis dead the message is lost, the row is not: the sweeper finds it. So a failure here is a log line.
"""

import logging
from typing import Any

from celery import current_app
from django.db import transaction

logger = logging.getLogger(__name__)


def wake(task: str, *, queue: str, **arguments: Any) -> None:
    """Send a task message once the current transaction commits."""
    transaction.on_commit(lambda: _send(task, queue, arguments))


def _send(task: str, queue: str, arguments: dict[str, Any]) -> None:
    try:
        current_app.send_task(task, kwargs={"queue": queue} | arguments, queue=queue, retry=False)
    except Exception as error:  # noqa: BLE001 - the broker may be dead in many ways
        logger.warning("could not wake %s: %s", queue, type(error).__name__)


def broker_answers() -> bool:
    """Say whether the broker can be reached now."""
    try:
        with current_app.connection_for_write(connect_timeout=1) as connection:
            connection.ensure_connection(max_retries=1, timeout=1)
            return True
    except Exception:  # noqa: BLE001 - dead is dead
        return False
