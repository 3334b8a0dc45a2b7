"""Somebody who posts: at once, on a connection of their own, or slowly."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from threading import Event
from typing import Any

from django.db import connection, transaction

from lending.ledger import post
from lending.models import Posting
from lending.rules.accounting import capital
from tests.factories import NOON


def fund(cents: int = 1_000, reference: str = "capital:1", at: datetime = NOON) -> Posting:
    return post(kind="capital", reference=reference, occurred_at=at, currency="KES", lines=capital(cents))


def elsewhere(pool: ThreadPoolExecutor, act: Callable[..., Any], *args: Any) -> "Future[Any]":
    """Do something on a connection of its own."""

    def run() -> Any:
        try:
            return act(*args)
        finally:
            connection.close()

    return pool.submit(run)


class SlowWriter:
    """Somebody who has posted, or has done something else, and takes a long time to commit."""

    def __init__(self, pool: ThreadPoolExecutor, act: Callable[[], Any] = lambda: fund(1_000, "slow")) -> None:
        self.act, self.posted, self.may_commit = act, Event(), Event()
        self.done = elsewhere(pool, self._post)
        assert self.posted.wait(20)

    def _post(self) -> None:
        with transaction.atomic():
            self.act()
            self.posted.set()
            assert self.may_commit.wait(20)

    def commits(self) -> None:
        self.may_commit.set()
        self.done.result(20)


def waiting_for(table: str) -> int:
    """Return how many wait for a lock on a table."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = %s::regclass", [table])
        return int(cursor.fetchone()[0])
