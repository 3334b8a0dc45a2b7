"""The browser phone's page and keys, against a real sandbox."""

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from django.contrib.staticfiles import finders
from django.test import Client

from tests import factories
from tests.ussd.phone.conftest import World

API = "/phone/api/254711000101"


@dataclass
class Page:
    """Amina's phone in a browser that presses its keys."""

    client: Client
    api: str

    def press(self, path: str, **body: object) -> Any:
        return self.client.post(self.api + path, json.dumps(body), content_type="application/json")

    def state(self) -> Any:
        return self.client.get(self.api).json()

    def prompt(self) -> str:
        (one,) = self.state()["prompts"]
        return f"/prompts/{one['id']}"


@pytest.fixture
def page(world: World, client: Client) -> Page:
    return Page(client, f"/phone/api/{world.amina}")


class TestPage:
    def test_shows_the_number_that_was_asked_for(self, client):
        page = client.get("/phone/?phone=%2B254711000002")
        assert 'data-msisdn="254711000002"' in page.content.decode()

    def test_takes_a_number_as_people_write_it(self, client):
        assert 'data-msisdn="254711000101"' in client.get("/phone/?phone=0711 000 101").content.decode()

    @pytest.mark.parametrize("typed", ["12", "abc", "<script>alert(1)</script>", "٠٧١١٠٠٠١٠١", "1" * 500])
    def test_says_what_is_wrong_with_a_number_that_is_none(self, client, typed):
        page = client.get("/phone/", {"phone": typed})
        assert page.status_code == 200 and 'role="alert"' in page.content.decode()
        assert "<script>alert" not in page.content.decode()

    def test_shows_two_phones_with_two_numbers(self, client):
        page = client.get("/phone/", {"phone": "0711000101", "second": "0711000102"}).content.decode()
        assert 'data-msisdn="254711000101"' in page and 'data-msisdn="254711000102"' in page

    @pytest.mark.parametrize(
        ("phone", "other"), [("254711000001", "254711000002"), ("254711000002", "254711000003")]
    )
    def test_the_same_number_twice_is_refused(self, client, phone, other):
        page = client.get("/phone/", {"phone": phone, "second": phone}).content.decode()
        assert "The two phones need two numbers." in page
        assert f'data-msisdn="{phone}"' in page and f'data-msisdn="{other}"' in page

    def test_weighs_little(self, client):
        static = Path(finders.find("phone/phone.js")).parent
        files = sum(file.stat().st_size for file in static.iterdir())
        assert files + len(client.get("/phone/").content) < 80_000

    def test_loads_nothing_from_elsewhere(self, client):
        page = client.get("/phone/")
        assert page["Content-Security-Policy"].startswith("default-src 'self'")
        assert "http" not in page.content.decode().replace("http-equiv", "")


class TestKeys:
    def test_a_dialogue_runs_to_its_end(self, world: World, page):
        assert page.press("/dial", code="*384*77#").json()["text"] == "Jirani\n1 Borrow"
        assert page.press("/input", text="1").json() | {"session_id": ""} == {
            "open": True,
            "text": "How much?",
            "session_id": "",
        }
        assert page.press("/input", text="500").json()["open"] is False
        assert world.hops() == ["", "1", "1*500"]

    def test_the_red_key_ends_the_dialogue_for_the_service_too(self, world: World, page):
        page.press("/dial", code="*384*77#")
        page.press("/hangup")
        assert world.end() == "Incomplete"

    def test_a_new_number_gets_a_phone(self, world: World, page):
        answer = page.client.post("/phone/api/254799123456/on", "{}", content_type="application/json")
        assert answer.json()["balance_cents"] == 0

    def test_a_payment_request_waits_for_the_wallet_pin(self, world: World, page):
        world.asks_for(300)
        assert page.press(page.prompt(), pin="4321").json()["accepted"]
        assert page.state()["balance_cents"] == 700_00

    def test_a_payment_request_can_be_cancelled(self, world: World, page):
        world.asks_for(300)
        assert not page.press(page.prompt(), cancel=True).json()["accepted"]
        assert page.state()["balance_cents"] == 1_000_00

    def test_a_bill_is_paid_from_the_wallet(self, world: World, page):
        bill = {"paybill": "600200", "account": "7KQ2", "amount": "550", "pin": "4321"}
        assert page.press("/paybill", **bill).json()["accepted"]

    @pytest.mark.parametrize("amount", ["0", "-5", "1e3", "٥٠٠", "", "9" * 30])
    def test_an_amount_that_is_none_is_asked_for_again(self, page, amount):
        bill = {"paybill": "600200", "account": "7KQ2", "amount": amount, "pin": "4321"}
        assert "amount in shillings" in page.press("/paybill", **bill).json()["reason"]

    def test_a_message_reaches_the_service(self, world: World, page):
        page.press("/sms", to="20384", text="BAL")
        assert world.app.wait("/sms")[0].form["text"] == "BAL"

    def test_a_page_elsewhere_cannot_press_keys(self):
        stranger = Client(enforce_csrf_checks=True)
        assert stranger.post(API + "/dial", "{}", content_type="application/json").status_code == 403


class TestBesideThePhones:
    def test_a_line_is_broken_and_mended(self, world: World, page):
        answer = page.press("/faults", kind="lost_there", when="next").json()
        assert answer["faults"] == [{"label": "Lost on the way there: the next hop", "seen": 0, "used": 0}]
        assert "Connection problem" in page.press("/dial", code="*384*77#").json()["text"]
        assert page.press("/dial", code="*384*77#").json()["open"]
        assert page.press("/faults", kind="").json() == {"faults": []}

    @pytest.mark.parametrize(
        "fault", [{"kind": "fire"}, {"kind": "delay", "seconds": "60"}, {"kind": "twice", "count": "0"}]
    )
    def test_a_fault_that_is_none_is_refused(self, page, fault):
        assert page.press("/faults", **fault).status_code == 400

    @pytest.mark.django_db
    def test_the_log_tells_of_both_phones_what_is_new(self, world: World, page):
        page.press("/dial", code="*384*77#")
        first = page.client.get(f"/phone/api/wire?phones={world.amina},254711000999").json()
        assert [one["text"] for one in first["entries"]][:2] == ["*384*77#", "Jirani\n1 Borrow"]
        again = page.client.get(f"/phone/api/wire?phones={world.amina}&after={first['latest']}").json()
        assert [one for one in again["entries"] if one["kind"] == "ussd"] == []

    def test_the_languages_stand_beside_it(self, world: World, page, law):
        factories.register(msisdn=world.amina, language="sw")
        told = page.client.get(f"/phone/api/wire?phones={world.amina},254711000999").json()
        assert told["languages"] == {world.amina: "Kiswahili", "254711000999": ""}

    @pytest.mark.parametrize("query", ["phones=12", "phones=254711000101&after=x", ""])
    def test_nonsense_about_the_log_is_refused(self, world: World, page, query):
        assert page.client.get(f"/phone/api/wire?{query}").status_code == 400


class TestRefusals:
    def test_without_the_sandbox_the_phone_says_how_to_start_it(self, client, settings):
        settings.SANDBOX_URL = "http://127.0.0.1:9"
        answer = Page(client, API).press("/dial", code="*384*77#")
        assert answer.status_code == 503 and "make demo" in answer.json()["error"]

    @pytest.mark.parametrize(
        ("path", "body"),
        [
            ("/dial", "not json"),
            ("/dial", "[]"),
            ("/prompts/a%20b", "{}"),
            ("/prompts/99", "{}"),
            ("/input", "{}"),
        ],
    )
    def test_nonsense_gets_a_sentence(self, page, path, body):
        answer = page.client.post(page.api + path, body, content_type="application/json")
        assert answer.status_code in (200, 400, 404)
        assert answer.json().get("error") or answer.json().get("text")

    def test_a_number_that_is_none_is_refused(self, client):
        assert client.get("/phone/api/12").status_code == 400

    def test_no_pin_reaches_a_log(self, world: World, page, caplog):
        caplog.set_level(logging.DEBUG)
        world.asks_for(300)
        page.press(page.prompt(), pin="8642")
        page.press("/paybill", paybill="600200", account="x", amount="5", pin="8642")
        assert "8642" not in caplog.text
