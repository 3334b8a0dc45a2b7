"""Find due rows on its own, every few seconds, without Redis: with the broker dead, money still moves."""

import logging
import signal
import threading
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db import close_old_connections
from django.utils import timezone

from lending import chain, outbox
from lending.payments import engine

logger = logging.getLogger("lending.sweep")
# Younger decisions are the scoring worker's; older ones mean that nobody is awake.
SCORING_PATIENCE = timedelta(seconds=20)


class Command(BaseCommand):
    help = "Carry out due payments, messages and decisions, and chain postings, whether or not anybody was woken."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--every", type=float, default=3.0, help="seconds between rounds")
        parser.add_argument("--once", action="store_true", help="one round, then end")

    def handle(self, *args: Any, every: float, once: bool, **options: Any) -> None:
        stopped = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stopped.set())
        sweep()
        while not once and not stopped.wait(every):
            sweep()


def sweep() -> None:
    """One round. A failing part is logged and does not keep the others from their turn."""
    for part in (run_payments, send_messages, decide_forgotten, chain_postings):
        try:
            close_old_connections()
            part()
        except Exception:
            logger.exception("sweep: %s failed", part.__name__)


def run_payments() -> None:
    engine.run_due(timezone.now())


def send_messages() -> None:
    for queue in ("messages", "money", "default"):
        outbox.drain(timezone.now(), queue=queue)


def decide_forgotten() -> None:
    """Decide what no scoring worker has taken; TensorFlow is loaded only if that ever happens."""
    outbox.drain(timezone.now(), queue="scoring", overdue_by=SCORING_PATIENCE)


def chain_postings() -> None:
    """Chain what was posted since the last round, behind those who are posting now."""
    chain.extend()
