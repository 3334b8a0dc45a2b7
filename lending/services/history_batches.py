"""Bringing in batch after batch, in this process or in several.

A batch is one transaction, so a run that was killed goes on where it was: what is there already is unchanged.
"""

import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import connection as pipes
from typing import Any

from django.db import connections

from lending.services import history, history_files
from lending.services.history import Brought, Setting
from lending.services.history_files import ToldBorrower

# A customer of ours whose payment comes in meanwhile waits for one batch at most.
BATCH = 200
AHEAD = 2  # batches that wait for each process


def bring_in(setting: Setting, processes: int) -> Iterator[Brought]:
    """Bring in everybody of whom all rows are sound; yield what came of each, in their order."""
    batches = history_files.batches(BATCH)
    if processes > 1:
        yield from _side_by_side(batches, setting, processes)
        return
    for batch in batches:
        yield from history.bring_in(batch, setting)


def _side_by_side(batches: Iterable[list[ToldBorrower]], setting: Setting, processes: int) -> Iterator[Brought]:
    """Let other processes bring the batches in; this one reads ahead and tells what came of them."""
    fork = multiprocessing.get_context("fork")
    asked: deque[Future[list[Brought]]] = deque()
    with ProcessPoolExecutor(processes, fork, _begin, (setting,)) as pool:
        for batch in batches:
            asked.append(pool.submit(_work, batch))
            if len(asked) > processes * AHEAD:
                yield from asked.popleft().result()
        while asked:
            yield from asked.popleft().result()


# --- in the other processes -----------------------------------------------------------------------------------
_setting: Setting


def _begin(setting: Setting) -> None:
    """Open connections of one's own, and end with the process that gives the work."""
    global _setting
    _setting = setting
    for inherited in connections.all(initialized_only=True):
        # Forgotten, not closed: to close it would end the session of the process that it belongs to.
        inherited.connection = None
        inherited.in_atomic_block = False
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent: Any = multiprocessing.parent_process()
    pipes.wait([parent.sentinel])
    os._exit(1)  # in the middle of a batch: PostgreSQL rolls it back


def _work(batch: list[ToldBorrower]) -> list[Brought]:
    return history.bring_in(batch, _setting)
