"""The process: it starts, keeps its money, finishes its work and leaves nothing behind."""

import asyncio
import os
import signal
import subprocess
import sys
import time

import httpx
import pytest

from sandbox.process import ROOT, DidNotStart, SandboxProcess, free_port
from tests.sandbox.business import B2C_PATH, PAYOUTS, Business
from tests.sandbox.conftest import someone

NOBODY = "http://127.0.0.1:9/at"


@pytest.fixture
def own(app):
    """A process that this test may end."""
    with SandboxProcess(app.url + "/at", latency_ms=20) as process:
        yield process


class TestRestart:
    def test_keeps_money_and_inbox(self, own):
        amina = someone(own, "Amina", balance_cents=75_00)
        assert own.stop() == 0
        with pytest.raises(httpx.ConnectError):
            own.http.get("/healthz")
        own.start()
        assert own.phone(amina)["balance_cents"] == 75_00
        assert own.money()["balanced"]

    def test_finishes_what_was_accepted_before_a_crash(self, own, app):
        amina = someone(own, "Amina", balance_cents=0)
        own.shortcode(PAYOUTS, name="JIRANI", utility_cents=1_000_00)
        own.faults({"match": {"path": B2C_PATH}, "outcome": {"after_ms": 600_000}})
        Business(own.url, app.url).pay_out(amina, 500, OriginatorConversationID="before-the-crash")
        assert own.phone(amina)["balance_cents"] == 0
        own.kill()

        own.start()
        result = app.wait("/b2c/result")[0].json["Result"]
        assert (result["OriginatorConversationID"], result["ResultCode"]) == ("before-the-crash", 0)
        assert own.phone(amina)["balance_cents"] == 500_00
        again = Business(own.url, app.url).pay_out(amina, OriginatorConversationID="before-the-crash")
        assert again.json()["errorMessage"] == "Duplicate OriginatorConversationID."

    def test_gives_up_prompts_that_were_on_screens(self, own, app):
        brian = someone(own, "Brian", balance_cents=500_00, answer="ask")
        own.shortcode("600200", name="JIRANI")
        Business(own.url, app.url).ask_to_pay(brian)
        own.flush()
        own.kill()
        own.start()
        assert app.wait("/stk")[0].json["Body"]["stkCallback"]["ResultCode"] == 1037


class TestEnd:
    def test_leaves_only_its_data(self, own):
        someone(own, "Amina", balance_cents=1)
        own.stop()
        assert sorted(path.name for path in own.data.parent.iterdir()) == ["sandbox.log", "sandbox.sqlite3"]

    def test_comes_with_the_one_who_started_it(self, tmp_path):
        program = (
            "import os, sys; from sandbox.process import SandboxProcess\n"
            f"process = SandboxProcess({NOBODY!r}); process.start()\n"
            "print(process.process.pid, flush=True); os.kill(os.getpid(), 9)"
        )
        parent = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
        assert parent.returncode == -signal.SIGKILL
        deadline = time.monotonic() + 10
        while is_running(int(parent.stdout)):
            assert time.monotonic() < deadline, "the sandbox outlived its parent"

    def test_is_quick_while_a_caller_is_kept_waiting(self, own, app):
        own.faults({"match": {"path": B2C_PATH}, "ack": {"mode": "slow", "after_ms": 60_000}})
        business = Business(own.url, app.url)
        business.http.timeout = httpx.Timeout(0.2)
        with pytest.raises(httpx.ReadTimeout):
            business.pay_out("254711000001")
        began = time.monotonic()
        own.stop()
        assert time.monotonic() - began < 5


class TestStart:
    def test_fails_with_the_reason_when_the_port_is_taken(self, own):
        with pytest.raises(DidNotStart, match="address already in use"):
            SandboxProcess(NOBODY, port=own.port).start()

    def test_port_is_free(self):
        assert free_port() > 1024


class TestUnreachableApplication:
    def test_is_recorded_and_survived(self):
        with SandboxProcess(NOBODY, latency_ms=1) as sandbox:
            amina = someone(sandbox, "Amina", balance_cents=0)
            sandbox.shortcode(PAYOUTS, name="JIRANI", utility_cents=1_000_00)
            assert sandbox.dial(amina, "*384*77#")["open"] is False
            assert sandbox.text(amina, "20384", "BAL")["delivered"] is False
            Business(sandbox.url, "http://127.0.0.1:9").pay_out(amina)
            sandbox.flush()
            failed = {one["kind"]: one["error"] for one in sandbox.callbacks()}
            assert failed == dict.fromkeys(["/ussd", "/ussd-events", "/sms", "b2c"], "ConnectError")
            assert sandbox.phone(amina)["balance_cents"] == 500_00


class TestPace:
    def test_takes_a_crowd_at_once(self, sandbox, business, app, amina):
        async def crowd() -> list[int]:
            limits = httpx.Limits(max_connections=50)
            headers = {"Authorization": f"Bearer {business.token}"}
            async with httpx.AsyncClient(
                base_url=sandbox.url, headers=headers, limits=limits, timeout=30
            ) as client:
                answers = await asyncio.gather(*(client.post(B2C_PATH, json=body(n)) for n in range(300)))
            return [answer.status_code for answer in answers]

        def body(number: int) -> dict:
            return {
                "OriginatorConversationID": f"crowd-{number}-{os.getpid()}",
                "InitiatorName": "jirani",
                "SecurityCredential": "x",
                "CommandID": "BusinessPayment",
                "Amount": "10",
                "PartyA": PAYOUTS,
                "PartyB": amina,
                "Remarks": "Crowd",
                "QueueTimeOutURL": f"{app.url}/b2c/timeout",
                "ResultURL": f"{app.url}/b2c/result",
            }

        assert set(asyncio.run(crowd())) == {200}
        sandbox.flush()
        assert sandbox.phone(amina)["balance_cents"] == 1_000_00 + 300 * 10_00
        assert len(app.at("/b2c/result")) == 300


def is_running(pid: int) -> bool:
    """Return whether a process is alive, a zombie not counted."""
    try:
        with open(f"/proc/{pid}/stat") as stat:  # noqa: PTH123
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
