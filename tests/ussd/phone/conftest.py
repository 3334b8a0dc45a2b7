"""A real sandbox, a scripted service behind it, and Amina's phone."""

import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from sandbox.process import SandboxProcess
from tests.sandbox.business import PAYBILL, Business
from tests.sandbox.receiver import Answer, Received, Receiver

# A number of her own for each test: what an earlier one left under way belongs to another phone.
NUMBERS = itertools.count(254711000101)


@dataclass
class World:
    sandbox: SandboxProcess
    app: Receiver
    amina: str = ""

    def service(self, *screens: str) -> None:
        """Let the service answer the first hop with the first screen, the next with the second, and so on."""

        def answer(hop: Received) -> Answer:
            return 200, screens[min(len(hop.form["text"].split("*")) if hop.form["text"] else 0, len(screens) - 1)]

        self.app.answers["/ussd"] = answer

    def asks_for(self, shillings: int) -> None:
        """Let a business send Amina's wallet a payment request, and wait until her phone shows it."""
        assert Business(self.sandbox.url, self.app.url).ask_to_pay(self.amina, shillings).status_code == 200
        deadline = time.monotonic() + 5
        while not self.phone()["prompts"]:
            assert time.monotonic() < deadline, "the prompt never came"

    def phone(self) -> dict[str, Any]:
        """Return what Amina's phone shows."""
        return self.sandbox.phone(self.amina)

    def hops(self) -> list[str]:
        """Return the cumulative texts that the service was sent."""
        return [hop.form["text"] for hop in self.app.at("/ussd")]

    def end(self) -> str:
        """Return how the network says that Amina's session ended."""
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            for event in self.app.at("/ussd-events"):
                if event.form["phoneNumber"] == f"+{self.amina}":
                    return event.form["status"]
        raise AssertionError("the end of the session was never reported")


@pytest.fixture(scope="session")
def running() -> Iterator[World]:
    app = Receiver()
    with SandboxProcess(app.url, latency_ms=10, hop_s=1) as sandbox:
        yield World(sandbox, app)
    app.close()


@pytest.fixture
def world(running: World, settings) -> World:  # type: ignore[no-untyped-def]
    """Amina has KES 1,000 and answers prompts by hand; the service greets."""
    settings.SANDBOX_URL = running.sandbox.url
    running.app.reset()
    running.sandbox.shortcode(PAYBILL, name="JIRANI", utility_cents=0)
    mine = replace(running, amina=str(next(NUMBERS)))
    mine.sandbox.phone(mine.amina, name="Amina Wanjiru", wallet_pin="4321", balance_cents=1_000_00, answer="ask")
    mine.service("CON Jirani\n1 Borrow", "CON How much?", "END Karibu tena.")
    return mine
