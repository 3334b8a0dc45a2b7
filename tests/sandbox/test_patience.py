"""What ends by itself: silent sessions, unanswered prompts, slow applications."""

import threading

import httpx
import pytest

from sandbox.process import SandboxProcess
from tests.sandbox.business import PAYBILL, Business
from tests.sandbox.conftest import someone


@pytest.fixture(scope="module")
def hasty(receivers):
    """A world in which nobody waits long."""
    times = {"idle_s": 0.3, "prompt_s": 0.3, "hop_s": 0.5, "latency_ms": 5}
    with SandboxProcess(receivers.url + "/at", **times) as process:
        process.shortcode(PAYBILL, name="JIRANI")
        yield process


def test_a_silent_customer_loses_the_session(hasty, app):
    app.answers["/at/ussd"] = lambda hop: (200, "CON Menu")
    amina = someone(hasty, "Amina")
    hasty.dial(amina, "*384*77#")
    assert app.wait("/at/ussd-events")[0].form["status"] == "Incomplete"
    assert hasty.phone(amina)["session"]["open"] is False


def test_an_application_that_is_too_slow_loses_the_session(hasty, app):
    late = threading.Event()
    app.answers["/at/ussd"] = lambda hop: (200, f"CON Menu {late.wait(5)}")
    screen = hasty.dial(someone(hasty, "Amina"), "*384*77#")
    late.set()
    assert (screen["open"], screen["text"]) == (False, "Connection problem or invalid MMI code.")
    event = app.wait("/at/ussd-events")[0].form
    assert (event["status"], event["errorMessage"]) == ("Failed", "The application did not answer in time")


def test_a_prompt_that_nobody_answers_expires(hasty, app):
    brian = someone(hasty, "Brian", balance_cents=500_00, answer="ask")
    Business(hasty.url, app.url).ask_to_pay(brian)
    assert app.wait("/stk")[0].json["Body"]["stkCallback"]["ResultCode"] == 1019
    assert hasty.phone(brian)["prompts"] == []


def test_a_key_pressed_while_the_network_works_is_refused(sandbox, app, amina):
    asked, go_on = threading.Event(), threading.Event()
    app.answers["/at/ussd"] = lambda hop: (200, "CON Menu")
    sandbox.dial(amina, "*384*77#")
    app.answers["/at/ussd"] = lambda hop: (200, f"CON {asked.set()} {go_on.wait(5)}")
    first = threading.Thread(
        target=httpx.post, args=[f"{sandbox.url}/phones/{amina}/input"], kwargs={"json": {"text": "1"}}
    )
    first.start()
    asked.wait(5)
    second = sandbox.http.post(f"/phones/{amina}/input", json={"text": "1"})
    go_on.set()
    first.join()
    assert second.status_code == 409
    assert [hop.form["text"] for hop in app.at("/at/ussd")] == ["", "1"]
