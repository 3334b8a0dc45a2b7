"""A pytest plugin that gives every test session PostgreSQL and Redis of the project's own.

It is named in pyproject.toml, because it has to run before pytest-django reads the settings. The servers
keep their data in `var/test` and are shared by sessions that run side by side; each session takes a slot,
and with it a database name and a Redis database that no other session uses. So does each process of a session
that is split by pytest-xdist. A DATABASE_URL that is set stays as it is.
"""

import fcntl
import os
import re
import signal
from collections.abc import Generator
from importlib import import_module
from pathlib import Path
from typing import IO

import pytest
import redis

from config import embedded, environment

CHOICE = "JIRANI_TEST_CHOOSES"  # tells the parts of a split session what the whole chose
SLOTS = 16  # as many as Redis has databases
_slot_lock: IO[str] | None = None


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Generator[None, object, object]:
    """Prepare the environment before any other plugin looks at it."""
    ours = _ours()
    os.environ["JIRANI_VAR"] = os.environ.get("JIRANI_VAR") or str(embedded.REPOSITORY / "var" / "test")
    var = embedded.default_var()
    environment.fill(var)
    # A session that is told to end stops in order, and so do its servers.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    environment.prepare(var, durable=False)
    (var / "static").mkdir(parents=True, exist_ok=True)  # where nothing was collected, requests would warn
    slot = _take_slot(var)
    if "DATABASE_URL" in ours:
        os.environ["DATABASE_URL"] = re.sub(r"/jirani(_\d+)?$", f"/jirani_{slot}", os.environ["DATABASE_URL"])
    if "REDIS_URL" in ours:
        os.environ["REDIS_URL"] = re.sub(r"/\d+$", f"/{slot}", os.environ["REDIS_URL"])
        redis.Redis.from_url(os.environ["REDIS_URL"]).flushdb()  # what an earlier session left
    import_module("config.celery")  # what is woken in a test is woken through our application
    return (yield)


def _ours() -> list[str]:
    """Return which addresses are for us to choose. A part of a split session has those that the whole chose."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        unset = [name for name in ("DATABASE_URL", "REDIS_URL") if not os.environ.get(name)]
        os.environ[CHOICE] = " ".join(unset)
    return os.environ[CHOICE].split()


def _take_slot(var: Path) -> int:
    """Return a number that no other running session has; it is ours until this process ends."""
    global _slot_lock
    slots = var / "slots"
    slots.mkdir(parents=True, exist_ok=True)
    for slot in range(SLOTS):
        handle = (slots / str(slot)).open("a")
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            handle.close()
        else:
            _slot_lock = handle
            return slot
    raise pytest.UsageError(f"{SLOTS} test sessions run already in {var}")
