"""What only Infobip has: a status of the session, and lists of messages and reports."""

import json
from typing import Any

import pytest
from django.conf import settings
from django.test import Client

from lending.models import Borrower
from tests.ussd.gateways.kit import Handset
from tests.ussd.gateways.wires import Infobip, recorded
from ussd.models import DeliveryReport, IncomingSms, Sms


def post(client: Client, where: str, payload: Any) -> Any:
    path = f"/gateways/infobip/{settings.INFOBIP_SECRET}/{where}"
    return client.generic("POST", path, json.dumps(payload).encode(), content_type="application/json")


class TestTheStatus:
    def asked(self, client: Client, session: str) -> Any:
        return client.get(f"/gateways/infobip/{settings.INFOBIP_SECRET}/ussd/session/{session}/status").json()

    def test_tells_whether_the_session_is_open(self, client: Client, amina: Borrower) -> None:
        phone = Handset(client, Infobip(), amina.msisdn).dials()
        assert self.asked(client, phone.typed.session)["sessionActive"] is True
        phone.types("x", "y", "z").ends_with("Let us stop here")
        assert self.asked(client, phone.typed.session)["sessionActive"] is False
        assert self.asked(client, "never-seen")["sessionActive"] is False

    def test_of_an_unknown_step_is_an_answer_in_words(self, client: Client, law: None) -> None:
        response = post(client, "ussd/session/s1/teleport", recorded("infobip", "ussd_first"))
        assert response.status_code == 200 and response.json()["shouldClose"] is True


class TestMessages:
    def test_each_of_a_list_is_answered_once(self, client: Client, amina: Borrower) -> None:
        payload = recorded("infobip", "sms")
        payload["results"].append(payload["results"][0] | {"messageId": "817790313235066009", "text": "HELP"})
        for _ in range(2):
            assert post(client, "sms", payload).status_code == 200
        assert sorted(IncomingSms.objects.values_list("keyword", "times_received")) == [("balance", 2), ("help", 2)]
        assert Sms.objects.count() == 2

    def test_a_bad_one_does_not_cost_the_others(self, client: Client, amina: Borrower) -> None:
        payload = recorded("infobip", "sms")
        payload["results"] = [None, {"messageId": "1"}, 7, *payload["results"]]
        assert post(client, "sms", payload).status_code == 200
        assert IncomingSms.objects.count() == 1

    @pytest.mark.parametrize("payload", [{}, {"results": []}, {"results": None}, {"results": [{}]}, []])
    def test_a_list_of_nothing_is_refused_for_good(self, client: Client, law: None, payload: Any) -> None:
        assert post(client, "sms", payload).status_code == 400
        assert post(client, "sms-reports", payload).status_code == 400


class TestDeliveryReports:
    @pytest.fixture
    def sms(self, amina: Borrower) -> Sms:
        return Sms.objects.create(
            borrower=amina,
            msisdn=amina.msisdn,
            kind="test",
            reference="test:1",
            language="en",
            text="Habari",
            segments=1,
            state=Sms.State.SENT,
            provider_message_id="817790313235066001",
            due_at=amina.registered_at,
        )

    @pytest.mark.parametrize(
        ("group", "state"),
        [
            ("DELIVERED", Sms.State.DELIVERED),
            ("UNDELIVERABLE", Sms.State.FAILED),
            ("EXPIRED", Sms.State.FAILED),
            ("REJECTED", Sms.State.FAILED),
            ("PENDING", Sms.State.SENT),
            ("TELEPORTED", Sms.State.SENT),
        ],
    )
    def test_change_their_message_and_are_kept(self, client: Client, sms: Sms, group: str, state: str) -> None:
        payload = recorded("infobip", "sms_report")
        payload["results"][0]["status"]["groupName"] = group
        for _ in range(2):
            assert post(client, "sms-reports", payload).status_code == 200
        sms.refresh_from_db()
        assert sms.state == state
        report = DeliveryReport.objects.get()
        assert (report.status, report.network, report.times_received) == (group, "63902", 2)
