"""Right of way: what a customer does goes before the close of business.

The close holds many rows for a moment. Each of its transactions puts up a sign, an advisory lock that ends with
it. Whoever comes on a customer's behalf for a row that is held asks those under the sign to give way: PostgreSQL
cancels what they are at. Nothing is lost by that, since a chunk is one transaction and is taken up again.
Source: docs/domain/closing.md.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from django.db import OperationalError, connection, transaction
from psycopg2.errors import LockNotAvailable, QueryCanceled

T = TypeVar("T")
SIGN = 0x636C6F7365  # "close"
# A transaction that is asked between two of its statements does not hear it, so it is asked again; after that many
# times whoever comes waits, since it must be at its end.
ASKED_AT_MOST = 30
PAUSE_SECONDS = 0.001


class GaveWay(Exception):
    """The transaction was rolled back, because a customer needed a row that it held; take it up a moment later."""


@contextmanager
def giving_way() -> Iterator[None]:
    """Do work of the close of business in a transaction that a customer need not wait for; also a decorator.

    Raises:
        GaveWay: nothing was done, somebody had right of way.
    """
    try:
        with transaction.atomic():
            with connection.cursor() as cursor:
                # Without a time-out, so that what is cancelled was asked to give way.
                cursor.execute("SET LOCAL statement_timeout = 0; SELECT pg_advisory_xact_lock_shared(%s)", [SIGN])
            yield
    except OperationalError as error:
        if isinstance(error.__cause__, QueryCanceled):
            raise GaveWay from error
        raise


def go_first(lock: Callable[[bool], T]) -> T:
    """Lock rows on a customer's behalf, inside the caller's transaction, and return what `lock(nowait)` returns.

    What another customer's transaction holds is waited for, what the close of business holds is not.
    """
    for _ in range(ASKED_AT_MOST):
        try:
            with transaction.atomic():
                return lock(True)
        except OperationalError as error:
            if not isinstance(error.__cause__, LockNotAvailable):
                raise
        if not _ask_to_give_way():
            break
        time.sleep(PAUSE_SECONDS)
    return lock(False)


ASK = """
    SELECT count(*) FILTER (WHERE pg_cancel_backend(pid)) FROM pg_locks
     WHERE locktype = 'advisory' AND granted AND pid <> pg_backend_pid()
       AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
       AND (classid::bigint << 32) + objid::bigint = %s AND objsubid = 1
"""


def _ask_to_give_way() -> int:
    """Cancel what the close of business is at; return how many transactions of it were asked."""
    with connection.cursor() as cursor:
        cursor.execute(ASK, [SIGN])
        asked: int = cursor.fetchone()[0]
        return asked
