"""`manage.py play_partner`: settle savings with the sandbox's bank every few seconds."""

import logging
import signal
import threading
from typing import Any

import httpx
from django.core.management.base import BaseCommand, CommandParser
from django.db import close_old_connections
from django.utils import timezone

from lending.demo import partner

logger = logging.getLogger("lending.play_partner")


class Command(BaseCommand):
    help = "Carry the settlement files between us and the sandbox's bank, for a demo in which nobody else does."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--every", type=float, default=10.0, help="seconds between rounds")
        parser.add_argument("--once", action="store_true", help="one round, then end")

    def handle(self, *args: Any, every: float, once: bool, **options: Any) -> None:
        if once:
            partner.settle_all(timezone.now())
            return
        stopped = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stopped.set())
        while not stopped.wait(every):
            close_old_connections()
            try:
                partner.settle_all(timezone.now())
            except httpx.HTTPError as error:
                logger.warning("the sandbox's bank does not answer: %s", error)
