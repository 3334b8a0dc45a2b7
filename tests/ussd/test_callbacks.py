"""The gateways' doors: whatever is posted there gets a clear answer, and no stack trace."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from django.utils import timezone
from django_celery_beat.models import PeriodicTask

from config.schedule import load_schedule
from lending import outbox
from lending.models import Application, Borrower
from tests import factories
from tests.phone import Phone, settle_outbox
from tests.ussd.test_sms import Aggregator, aggregator
from ussd.models import Hop, Session, SessionEnd
from ussd.tasks import forget_all_answers, forget_answers

__all__ = ["aggregator"]
PATH = "/gateways/africastalking/{}/ussd"
HOP = {
    "sessionId": "ATUid_1",
    "phoneNumber": "+254711000101",
    "networkCode": "63902",
    "serviceCode": "*384*77#",
    "text": "",
}


def post(client: Client, where: str = "ussd", **form: Any) -> Any:
    path = f"/gateways/africastalking/{settings.AFRICASTALKING_SECRET}/{where}"
    return client.post(path, {name: value for name, value in form.items() if value is not None})


def test_a_wrong_secret_finds_nothing(client: Client, db: None) -> None:
    for secret in ("wrong", "x" * 5000, "%00", "é"):
        assert client.post(PATH.format(secret), HOP).status_code == 404
    assert not Session.objects.exists()


def test_only_post_is_answered(client: Client) -> None:
    response = client.get(PATH.format(settings.AFRICASTALKING_SECRET))
    assert response.status_code == 405 and response["Allow"] == "POST"


def test_the_secret_is_in_no_log(client: Client, law: None, caplog: pytest.LogCaptureFixture) -> None:
    client.get(PATH.format(settings.AFRICASTALKING_SECRET))
    post(client, **(HOP | {"sessionId": ""}))
    post(client, "sms")
    post(client, "ussd/")
    post(client, "nowhere")
    assert caplog.text.count("/gateways/africastalking/...") == 4
    assert settings.AFRICASTALKING_SECRET not in caplog.text
    assert not any(settings.AFRICASTALKING_SECRET in str(record.args) for record in caplog.records)


@pytest.mark.parametrize(
    "dialled", ["*384*77*1*500*4826#", "*384*77*4826", "*384*77*1*500*2*4826*" + "1*" * 90 + "#"]
)
def test_a_whole_dial_string_as_code_is_only_the_code(
    client: Client, law: None, caplog: pytest.LogCaptureFixture, dialled: str
) -> None:
    assert post(client, **(HOP | {"serviceCode": dialled})).content.startswith(b"CON ")
    assert Session.objects.get().service_code == settings.USSD_CODE
    assert "4826" not in caplog.text


@pytest.mark.parametrize("dialled", ["*384*78*4826#", "*384*774826#", "4826", ""])
def test_a_foreign_code_is_refused_and_in_no_log(
    client: Client, law: None, caplog: pytest.LogCaptureFixture, dialled: str
) -> None:
    assert post(client, **(HOP | {"serviceCode": dialled})).content.startswith(b"END This code is not served")
    assert "not ours" in caplog.text and "4826" not in caplog.text


@pytest.mark.parametrize(
    "changes",
    [
        {"sessionId": None},
        {"sessionId": ""},
        {"sessionId": "x" * 81},
        {"sessionId": "a\x00b"},
        {"phoneNumber": None},
        {"phoneNumber": "+"},
        {"phoneNumber": "0711"},
        {"phoneNumber": "+254711000101\nX"},
        {"phoneNumber": "+٢٥٤٧١١٠٠٠١٠١"},
        {"phoneNumber": "'; DROP TABLE ussd_session; --"},
        {"serviceCode": None},
        {"serviceCode": "*384*78#"},
        {"serviceCode": "\x00"},
    ],
)
def test_what_lacks_its_essentials_is_told_so_in_both_languages(
    client: Client, law: None, changes: dict[str, Any]
) -> None:
    response = post(client, **(HOP | changes))
    assert response.status_code == 200
    assert response.content.startswith(b"END ") and b"/" in response.content
    assert not Session.objects.exists()


@pytest.mark.parametrize(
    "changes",
    [
        {"text": None},
        {"networkCode": None},
        {"networkCode": "x\x00" * 999},
        {"phoneNumber": " 254711000101"},
        {"phoneNumber": "0711000101"},
        {"serviceCode": "*384*77"},
        {"text": "\x00"},
        {"text": "#"},
        {"text": "*" * 5000},
        {"text": "\ud7ff\ue000" * 50},
        {"text": "🙂*{{7*7}}*%n*'"},
        {"unknown": "field"},
    ],
)
def test_what_is_merely_odd_is_answered(client: Client, law: None, changes: dict[str, Any]) -> None:
    response = post(client, **(HOP | changes))
    assert response.status_code == 200 and response.content.startswith(b"CON ")
    assert response["Content-Type"].startswith("text/plain")


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"\xff\xfe\x00", "application/x-www-form-urlencoded"),
        (b'{"sessionId": "x"}', "application/json"),
        (b"--x", "multipart/form-data; boundary=x"),
        (b"--x", "multipart/form-data"),
        (b"a=1&" * 500, "application/x-www-form-urlencoded"),
        (b"text=" + b"1" * 300_000, "application/x-www-form-urlencoded"),
        (b"number=x", "application/x-www-form-urlencoded; charset=made-up"),
    ],
)
def test_a_body_that_is_no_form_is_an_end_and_no_error(
    client: Client, law: None, body: bytes, content_type: str
) -> None:
    for where, status in (("ussd", {200}), ("sms", {400, 503}), ("ussd-events", {400, 503})):
        path = f"/gateways/africastalking/{settings.AFRICASTALKING_SECRET}/{where}"
        response = client.generic("POST", path, body, content_type=content_type)
        assert response.status_code in status
        assert where != "ussd" or response.content.startswith(b"END ")


@pytest.mark.parametrize(
    "name",
    ["Robert'); DROP TABLE--", "{{7*7}} {0.__class__}", "%(limit)s %s", "Zoë 🙂 O’Brien", "王 秀英", "أمينة علي"],
)
def test_a_name_of_any_kind_is_only_a_name(phone: Phone, name: str) -> None:
    phone.dials("*384*77#").types("1", "1", "1", "1", name)
    if "national ID" in phone.text:
        phone.types("23456781", "2580", "2580").sees("your limit is KES 1,000").sees_no("49", "class")
    else:
        phone.sees("A name has 2 to 60 letters.")


@pytest.mark.parametrize("amount", ["0", "-5", "1e3", "٥٠٠", "5000000", "0x10", "NaN", "1" * 300])
def test_a_bad_amount_has_a_clear_answer_and_no_effect(client: Client, amina: Borrower, amount: str) -> None:
    phone = Phone(client, amina.msisdn).dials("*384*77#").types("1", amount)
    phone.sees("Your limit is KES 1,000. How much do you want?")
    assert phone.is_open and phone.text.split("\n")[0] != "Your limit is KES 1,000."
    phone.types("500", "5").sees("You get KES 500")
    assert not Application.objects.exists()


def test_a_foreign_number_is_told_whom_we_serve(client: Client, law: None) -> None:
    Phone(client, "256772000001").dials("*384*77#").ends_with("serves +254 numbers only")


def test_a_broken_database_is_an_apology(client: Client, law: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*args: Any) -> None:
        raise ConnectionError("no database at secret.host for 2580")

    monkeypatch.setattr("ussd.sessions._answer_once", gone)
    monkeypatch.setattr("ussd.sessions._apologise", gone)
    response = post(client, **HOP)
    assert (
        response.status_code == 200
        and response.content.startswith(b"END Sorry")
        and b"Samahani" in response.content
    )


class TestTheEndOfASession:
    FORM = {
        "date": "2026-11-23 20:00:00",
        "sessionId": "ATUid_1",
        "serviceCode": "*384*77#",
        "networkCode": "63902",
        "phoneNumber": "+254711000101",
        "status": "Incomplete",
        "cost": "KES 0.10",
        "durationInMillis": "43000",
        "hopsCount": "4",
        "input": "1*500*2*2580",
        "lastAppResponse": "CON Enter your Jirani PIN. 2580",
        "errorMessage": "after 1*500*2*2580",
    }

    def test_is_kept_without_what_was_typed_and_joined_to_its_session(self, client: Client, law: None) -> None:
        post(client, **HOP)
        assert post(client, "ussd-events", **self.FORM).status_code == 200
        ended = SessionEnd.objects.get()
        assert (ended.session, ended.status, ended.duration_ms) == (Session.objects.get(), "Incomplete", 43000)
        assert "2580" not in str(SessionEnd.objects.values().get())

    def test_is_kept_once(self, client: Client, law: None) -> None:
        for _ in range(3):
            post(client, "ussd-events", **self.FORM)
        assert SessionEnd.objects.get().times_received == 3

    @pytest.mark.parametrize(
        "changes",
        [
            {"status": "Teleported"},
            {"durationInMillis": "soon"},
            {"hopsCount": "-1"},
            {"cost": "0.1"},
            {"errorMessage": None, "input": None},
        ],
    )
    def test_with_new_kinds_of_content_is_kept_too(
        self, client: Client, law: None, changes: dict[str, Any]
    ) -> None:
        assert post(client, "ussd-events", **(self.FORM | changes)).status_code == 200
        assert SessionEnd.objects.count() == 1

    def test_that_failed_has_the_unseen_decision_told_by_sms(
        self, client: Client, amina: Borrower, fixed_scorer: Any, deciding_worker: None, aggregator: Aggregator
    ) -> None:
        factories.FixedScorer.says = factories.verdict("decline")
        phone = (
            Phone(client, amina.msisdn)
            .dials("*384*77#")
            .types("1", "500", "5", "2", "2580")
            .ends_with("Not this time")
        )
        settle_outbox("application_decided")
        outbox.drain(timezone.now(), queue="messages")
        assert not aggregator.received
        for _ in range(2):
            post(client, "ussd-events", **(self.FORM | {"sessionId": phone.session_id, "status": "Failed"}))
            outbox.drain(timezone.now(), queue="messages")
        assert len(aggregator.received) == 1
        factories.FixedScorer.says = factories.verdict("approve")

    @pytest.mark.parametrize(
        ("task", "begun_ago"), [(forget_answers, timedelta(minutes=5)), (forget_all_answers, timedelta(days=3))]
    )
    def test_that_nobody_reports_empties_its_dialogue_by_the_clock(
        self, client: Client, law: None, task: Any, begun_ago: timedelta
    ) -> None:
        """Every few minutes; what was left for days, at night."""
        load_schedule()
        beat = PeriodicTask.objects.get(task=task.name)
        Phone(client).dials("*384*77#").types("1", "1", "1", "1", "Amina Wanjiru", "23456781")
        Session.objects.update(began_at=timezone.now() - begun_ago)
        task(**json.loads(beat.kwargs))
        assert Session.objects.get().answers != "", "it may still be resumed"
        Session.objects.update(last_hop_at=timezone.now() - timedelta(minutes=4))
        task(**json.loads(beat.kwargs))
        assert Session.objects.get().answers == ""

    def test_without_a_session_is_refused_for_good(self, client: Client, law: None) -> None:
        assert post(client, "ussd-events", **(self.FORM | {"sessionId": None})).status_code == 400


def test_hops_are_kept_without_their_text(client: Client, law: None) -> None:
    post(client, **(HOP | {"text": "1"}))
    row = Hop.objects.values().get()
    assert row["text_mac"] != "1" and "text" not in row
