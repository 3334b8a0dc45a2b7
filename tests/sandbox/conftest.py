"""A real sandbox process, a real receiver of its callbacks, and the people in it."""

import itertools
from collections.abc import Iterator

import pytest

from sandbox.process import SandboxProcess
from tests.sandbox.business import PAYBILL, PAYOUTS, Business
from tests.sandbox.receiver import Receiver

numbers = itertools.count(254711000001)


@pytest.fixture(scope="session")
def receivers() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


@pytest.fixture(scope="session")
def world(receivers) -> Iterator[SandboxProcess]:
    with SandboxProcess(receivers.url + "/at", latency_ms=20, hop_s=1, validation_s=1) as process:
        yield process


@pytest.fixture
def app(receivers) -> Receiver:
    """The application that gets the callbacks, with nothing in it yet."""
    receivers.reset()
    return receivers


@pytest.fixture
def sandbox(world, app) -> Iterator[SandboxProcess]:
    """The outside world without faults, with a rich business in it."""
    world.clear_faults()
    world.shortcode(PAYOUTS, name="JIRANI", utility_cents=1_000_000_00)
    world.shortcode(PAYBILL, name="JIRANI", utility_cents=0)
    yield world
    world.clear_faults()
    world.flush()
    money = world.money()
    # Whatever a test did, no cent was made or lost.
    assert money["balanced"] and money["total_cents"] == money["issued_cents"]


@pytest.fixture
def business(sandbox, app) -> Business:
    return Business(sandbox.url, app.url)


def someone(sandbox: SandboxProcess, name: str, **traits) -> str:
    """Put a person with a phone of their own into the world and return the number."""
    msisdn = str(next(numbers))
    sandbox.phone(msisdn, **{"name": name, "wallet_pin": "4321", "answer_after_ms": 10} | traits)
    return msisdn


@pytest.fixture
def amina(sandbox) -> str:
    """Has KES 1,000 and pays when asked."""
    return someone(sandbox, "Amina Otieno", balance_cents=1_000_00, answer="right_pin")


@pytest.fixture
def brian(sandbox) -> str:
    """Has KES 1,000 and answers prompts by hand."""
    return someone(sandbox, "Brian Kiptoo", balance_cents=1_000_00, answer="ask")
