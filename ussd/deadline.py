"""The time that a hop has, carried into every statement that it makes.

A phone waits some seconds for a whole hop, however many statements it takes: each gets what is left, and none is
begun when nothing is.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import OperationalError, connection
from psycopg2.errors import LockNotAvailable, QueryCanceled

# PostgreSQL is told anew how long a statement may take only when that has become so much less: it is a round trip.
STEP_MS = 500
SAVEPOINTS = ("SAVEPOINT ", "RELEASE SAVEPOINT ", "ROLLBACK TO SAVEPOINT ")


class OutOfTime(OperationalError):
    """No time is left for another statement."""


@contextmanager
def until(over_at: float) -> Iterator[None]:
    """Bound every statement, of one transaction and before it, so that all are over by then (`time.monotonic`).

    Raises:
        OutOfTime: a statement was to be begun after it. One that runs into it is an `OperationalError`, too;
            `is_impatience` knows both.
    """
    told_ms = 0

    def bounded(execute: Any, sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
        nonlocal told_ms
        if sql.startswith(SAVEPOINTS):
            # In a transaction that failed only this may be said; and it may take back what PostgreSQL was told.
            told_ms = 0
            return execute(sql, params, many, context)
        left_ms = int((over_at - time.monotonic()) * 1000)
        if left_ms <= 0:
            raise OutOfTime("no time is left for this hop")
        if not told_ms or told_ms - left_ms >= STEP_MS:
            # SET LOCAL ends with the transaction; outside of one, with the statement that it goes along with.
            told_ms = left_ms if connection.in_atomic_block else 0
            limits = f"SET LOCAL statement_timeout = {left_ms}"
            if many:
                context["cursor"].cursor.execute(limits)
            else:  # As one string with what follows, so that it costs no round trip of its own.
                sql = f"{limits}; {sql}"
        return execute(sql, params, many, context)

    with connection.execute_wrapper(bounded):
        yield


def is_impatience(error: OperationalError) -> bool:
    """Say whether something took longer than a phone waits."""
    return isinstance(error, OutOfTime) or isinstance(error.__cause__, LockNotAvailable | QueryCanceled)
