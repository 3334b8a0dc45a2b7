"""The whole system as real processes on the test's own database: operator, web, workers, sweeper.

For the tests of crashes and for the benchmark, where nothing may be played by the test itself.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit, urlunsplit

import httpx
from django.conf import settings
from django.db import connection

from sandbox.process import SandboxProcess, free_port

ROOT = Path(__file__).resolve().parent.parent
FLOAT_CENTS = 10_000_000_00


def database_url() -> str:
    """Return where another process finds the test's own database."""
    url = urlsplit(os.environ["DATABASE_URL"])
    return urlunsplit(url._replace(path=f"/{connection.settings_dict['NAME']}"))


def resident_kib(stack: "Stack", name: str) -> int:
    """Return how much memory a started part holds, with its children."""
    group = str(os.getpgid(stack.processes[name].pid))
    found = subprocess.run(["ps", "-o", "rss=", "-g", group], capture_output=True, text=True, check=True)
    return sum(map(int, found.stdout.split()))


class DidNotHappen(AssertionError):
    """What was waited for did not come."""


def wait_for(
    what: Callable[[], Any], seconds: float = 30, pause: float = 0.05, why: str | Callable[[], str] = ""
) -> Any:
    """Return the first true answer of `what`; the deadline only bounds a failing test."""
    until = time.monotonic() + seconds
    while not (answer := what()):
        if time.monotonic() > until:
            raise DidNotHappen(why() if callable(why) else why or f"{what} within {seconds} s")
        time.sleep(pause)
    return answer


class Stack:
    """Start the parts that a test names; whatever still runs is killed at the end.

    `web()` must come first: the operator calls back to it.
    """

    def __init__(self, logs: Path) -> None:
        self.logs = logs
        self.web_port = free_port()
        self.web_url = f"http://127.0.0.1:{self.web_port}"
        gateway = f"{self.web_url}/gateways/africastalking/{settings.AFRICASTALKING_SECRET}"
        self.sandbox = SandboxProcess(gateway)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.extra: dict[str, str] = {}

    def __enter__(self) -> Self:
        self.sandbox.start()
        self.sandbox.shortcode(settings.DARAJA_B2C_SHORTCODE, name="Jirani", utility_cents=FLOAT_CENTS)
        self.sandbox.shortcode(settings.DARAJA_PAYBILL, name="Jirani", utility_cents=0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name in list(self.processes):
            self.kill(name)
        self.sandbox.stop()

    def environment(self) -> dict[str, str]:
        """Return the environment of a process that works on the test's database and operator."""
        return os.environ | {
            "DATABASE_URL": database_url(),
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "PUBLIC_BASE_URL": self.web_url,
            "DARAJA_BASE_URL": self.sandbox.url,
            "AFRICASTALKING_BASE_URL": self.sandbox.url,
            "SANDBOX_URL": self.sandbox.url,
            "MODELS_DIR": str(settings.MODELS_DIR),
            "PYTHONUNBUFFERED": "1",
            "WEB_THREADS": "4",
            "REFUSE_FLOODS": "0",  # a machine types faster than people
            **self.extra,
        }

    def start(self, name: str, *command: str) -> None:
        """Start one process in a group of its own, its output in a file."""
        log = (self.logs / f"{name}.log").open("ab")
        self.processes[name] = subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=ROOT,
            env=self.environment(),
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def web(self, workers: int = 1) -> None:
        """Start the production server and wait until it can serve."""
        granian = ("granian", "--interface", "rsgi", "--host", "127.0.0.1", "--port", str(self.web_port))
        self.start("web", *granian, "--workers", str(workers), "config.web:application")
        wait_for(self.ready, why=f"web was not ready, see {self.logs}/web.log")

    def ready(self) -> bool:
        try:
            return httpx.get(f"{self.web_url}/readyz", trust_env=False, timeout=5).status_code == 200
        except httpx.HTTPError:
            return False

    def worker(self, name: str, queues: str, concurrency: int = 1) -> None:
        """Start Celery workers for some queues and wait until they take work."""
        self.start(
            name,
            "celery",
            "-A",
            "config",
            "worker",
            "-Q",
            queues,
            "-c",
            str(concurrency),
            "-n",
            f"{name}@%h",
            "-l",
            "INFO",
        )
        log = self.logs / f"{name}.log"
        wait_for(lambda: b"ready." in log.read_bytes(), 60, why=f"worker was not ready, see {log}")

    def sweeper(self, every: float = 0.5) -> None:
        self.start("sweeper", "django", "sweep", "--every", str(every))

    def kill(self, name: str) -> None:
        """Kill -9 a process and all its children at once, as a crash does."""
        process = self.processes.pop(name)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def booked_payouts(self) -> list[dict[str, Any]]:
        """Return what the operator was asked to pay out."""
        return self.sandbox.requests("/mpesa/b2c/v3/paymentrequest")

    def moved_cents(self) -> int:
        """Return how much left the payout shortcode."""
        code = self.sandbox.money()["shortcodes"][settings.DARAJA_B2C_SHORTCODE]
        return FLOAT_CENTS - int(code["utility_cents"])
