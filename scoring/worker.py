"""The model inside a process: loaded once, swapped when another is promoted, never loaded before a fork.

A Celery worker that serves the queue `scoring` loads and warms the champion in `worker_process_init`, which
runs in the child after the fork and before it takes work. The path `keras` needs that, since a TensorFlow used
before a fork hangs its children; the path `tables` does not (ml/predict.py). Other Celery workers are told never to
load a model. Importing this file does not import TensorFlow.
"""

import logging
import resource
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from celery.signals import celeryd_after_setup, worker_process_init
from django.conf import settings
from django.db import Error as DatabaseError
from django.utils import timezone

from lending.services import cases
from ml.predict import Scorer
from scoring import registry

logger = logging.getLogger(__name__)

QUEUE = "scoring"
LOOK_EVERY_SECONDS = 1.0
# A model that could not be loaded is tried again, because a missing disk may come back.
RETRY_SECONDS = 60.0


class NotAScoringProcess(RuntimeError):
    """A process that must stay light was asked for a score; a worker of the queue `scoring` will answer."""


@dataclass(frozen=True, slots=True)
class Served:
    """A version ready to answer."""

    name: str
    scorer: Scorer


def load(name: str, path: str | None = None) -> Served:
    """Return a version restored, compared and warmed, by the path of the settings unless another is named.

    It says in the log what that took: some hundredths of a second by tables, some seconds by Keras.

    Raises:
        UnknownModel, ArtifactRefused: it must not serve.
    """
    before, began = resident_mib(), time.perf_counter()
    scorer = Scorer(registry.open_artifact(name), path or settings.SERVING_PATH)
    scorer.warm()
    logger.info(
        "model %s loaded by %s in %.3f s, %.1e from Keras as it was trained; this process held %d MiB, now %d",
        *(name, scorer.path, time.perf_counter() - began, scorer.apart, before, resident_mib()),
    )
    return Served(name, scorer)


def resident_mib() -> int:
    """Return how much memory this process holds; 0 where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * resource.getpagesize() // 2**20


class Champion:
    """The champion as this process knows it. Threads may share it."""

    def __init__(self, load: Callable[[str], Served] = load, clock: Callable[[], float] = time.monotonic):
        self._load = load
        self._clock = clock
        self._lock = threading.Lock()
        self._served: Served | None = None
        self._looked_at = float("-inf")
        self._refused: tuple[str, float] = ("", float("-inf"))

    def current(self) -> Served | None:
        """Return the model to ask now, None when there is none.

        Who decides is looked up at most once a second. The new one is loaded before the old one goes, and
        one that cannot be loaded changes nothing but raises a case.
        """
        with self._lock:
            if self._clock() - self._looked_at >= LOOK_EVERY_SECONDS:
                self._follow(registry.champion_name())
                self._looked_at = self._clock()
            return self._served

    def _follow(self, name: str | None) -> None:
        if name is None or (self._served and self._served.name == name):
            return
        refused, since = self._refused
        if name == refused and self._clock() - since < RETRY_SECONDS:
            return
        try:
            self._served = self._load(name)
        except DatabaseError:
            raise  # this says nothing about the model
        except Exception as error:  # noqa: BLE001 - whatever is wrong with the new one, the old one is not
            self._refused = (name, self._clock())
            _alarm(name, error, still=self._served.name if self._served else "nobody")
        else:
            logger.info("scoring with model %s", name)


def _alarm(name: str, error: Exception, *, still: str) -> None:
    logger.error("model %s refused, %s decides: %s", name, still, error)
    cases.open_case(
        kind="bad_task", subject_key=f"model:{name}", note=f"{error}; {still} decides", at=timezone.now()
    )


champion = Champion()
_may_load = True
_queues: frozenset[str] = frozenset()


def serving() -> Served | None:
    """Return the champion of this process.

    Raises:
        NotAScoringProcess: this is a Celery worker of other queues.
    """
    if not _may_load:
        raise NotAScoringProcess(f"this worker serves {sorted(_queues)}, scores come from {QUEUE}")
    return champion.current()


@celeryd_after_setup.connect
def remember_queues(sender: str, instance: Any, **_: Any) -> None:
    """Note in the parent, before any fork, which queues this worker serves; children inherit it."""
    global _queues
    _queues = frozenset(instance.app.amqp.queues.consume_from)


@worker_process_init.connect
def prepare_process(**_: Any) -> None:
    """Load and warm the champion in a child that will score; keep it out of every other."""
    global _may_load
    _may_load = QUEUE in _queues
    if not _may_load:
        return
    try:
        if champion.current() is None:
            logger.warning("no model serves yet: all but small repeat loans go to officers until one is promoted")
    except DatabaseError as error:
        # The child must come up all the same; its first decision looks again.
        logger.warning("could not look for the champion: %s", type(error).__name__)
