"""Paying customers' wallets through B2C v3."""

import re

import pytest

from tests.sandbox.business import parameters
from tests.sandbox.conftest import someone


class TestPayment:
    def test_is_acknowledged_then_paid_then_reported_as_documented(self, sandbox, business, app, amina):
        ack = business.pay_out(amina, 500, OriginatorConversationID="first-loan")

        assert ack.status_code == 200
        assert ack.json()["ResponseCode"] == "0"
        assert ack.json()["OriginatorConversationID"] == "first-loan"
        result = app.wait("/b2c/result")[0].json
        inner, told = result["Result"], parameters(result)
        assert (inner["ResultType"], inner["ResultCode"]) == (0, 0)
        assert inner["ConversationID"] == ack.json()["ConversationID"]
        assert told["TransactionAmount"] == 500
        assert told["TransactionReceipt"] == inner["TransactionID"]
        assert re.fullmatch(r"[A-Z][A-L][1-9A-V][A-Z0-9]{7}", told["TransactionReceipt"])
        assert told["ReceiverPartyPublicName"] == f"{amina} - Amina Otieno"
        assert re.fullmatch(r"\d\d\.\d\d\.\d{4} \d\d:\d\d:\d\d", told["TransactionCompletedDateTime"])
        assert told["B2CUtilityAccountAvailableFunds"] == 999_500.0
        assert told["B2CRecipientIsRegisteredCustomer"] == "Y"
        assert sandbox.phone(amina)["balance_cents"] == 1_500_00
        assert "received Ksh500.00 from JIRANI" in sandbox.phone(amina)["inbox"][-1]["text"]

    def test_with_an_id_seen_before_is_refused_and_paid_once(self, sandbox, business, app, amina):
        business.pay_out(amina, OriginatorConversationID="the-same")
        again = business.pay_out(amina, OriginatorConversationID="the-same")

        assert again.status_code == 500
        assert again.json()["errorCode"] == "500.002.1001"
        assert again.json()["errorMessage"] == "Duplicate OriginatorConversationID."
        sandbox.flush()
        assert sandbox.phone(amina)["balance_cents"] == 1_500_00
        assert len(app.at("/b2c/result")) == 1


class TestRefusal:
    def refused(self, app):
        result = app.wait("/b2c/result")[0].json["Result"]
        # A number is there although no money moved; only ResultParameters would tell of a payment.
        assert "ResultParameters" not in result
        assert result["TransactionID"]
        return result["ResultCode"]

    def test_is_1_when_the_float_is_too_low(self, sandbox, business, app, amina):
        sandbox.shortcode("600100", utility_cents=499_00)
        business.pay_out(amina, 500)
        assert self.refused(app) == 1

    def test_is_2040_for_a_number_that_is_not_registered(self, sandbox, business, app):
        business.pay_out("254799999999")
        assert self.refused(app) == 2040
        app.reset()
        business.pay_out(someone(sandbox, "Njeri", answer="unregistered"))
        assert self.refused(app) == 2040

    def test_is_8_when_the_wallet_would_overflow(self, sandbox, business, app):
        business.pay_out(someone(sandbox, "Rich Wanjiku", balance_cents=499_999_00), 500)
        assert self.refused(app) == 8

    @pytest.mark.parametrize(("shillings", "code"), [(9, 2), (250_001, 3)])
    def test_names_the_limit(self, business, app, amina, shillings, code):
        business.pay_out(amina, shillings)
        assert self.refused(app) == code

    def test_can_be_any_code_on_request(self, sandbox, business, app, amina):
        sandbox.faults({"match": {"path": "/mpesa/b2c/v3/paymentrequest"}, "outcome": {"code": "SFC_IC0003"}})
        business.pay_out(amina)
        assert self.refused(app) == "SFC_IC0003"
        assert sandbox.phone(amina)["balance_cents"] == 1_000_00


class TestGateway:
    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("Amount", "5.50"),
            ("Amount", "-5"),
            ("Amount", "٥٠٠"),
            ("Amount", ""),
            ("PartyB", "0711000001"),
            ("OriginatorConversationID", ""),
            ("CommandID", "GiveMoney"),
            ("Remarks", "x"),
            ("ResultURL", "http://example.com/b2c"),
            ("ResultURL", "https://example.com/mysql/b2c"),
            ("QueueTimeOutURL", "https://example.com/Safaricom"),
        ],
    )
    def test_names_the_field_it_cannot_read(self, business, amina, field, value):
        answer = business.pay_out(amina, **{field: value})
        assert answer.status_code == 400
        assert answer.json()["errorCode"] == "400.002.02"
        assert answer.json()["errorMessage"] == f"Bad Request - Invalid {field}"

    def test_replaces_a_token_when_another_is_asked_for(self, business, amina):
        old = business.token
        business.renew()
        assert business.pay_out(amina).status_code == 200
        business.token = old
        answer = business.pay_out(amina)
        assert answer.status_code == 401
        assert "Invalid Access Token" in answer.json()["errorMessage"]

    def test_lets_a_token_expire(self, sandbox, business, amina):
        sandbox.http.put("/control/clock", json={"offset_s": 3600})
        try:
            assert business.pay_out(amina).json()["errorCode"] == "401.002.01"
        finally:
            sandbox.http.put("/control/clock", json={"offset_s": 0})

    def test_refuses_what_is_not_json(self, business):
        headers = {"Authorization": f"Bearer {business.token}", "Content-Type": "application/json"}
        answer = business.http.post("/mpesa/b2c/v3/paymentrequest", content=b'{"Amount": ', headers=headers)
        assert answer.json()["errorCode"] == "400.002.05"

    def test_shows_requests_without_their_secrets(self, sandbox, business, amina):
        business.pay_out(amina, OriginatorConversationID="shown")
        listed = sandbox.http.get("/control/requests").text
        assert "shown" in listed
        assert "c2VjcmV0LWNyZWRlbnRpYWw=" not in listed
        assert business.token not in listed
