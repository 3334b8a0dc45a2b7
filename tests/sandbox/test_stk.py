"""Asking customers to pay on their own screens."""

import re

import pytest

from tests.sandbox.business import metadata
from tests.sandbox.conftest import someone


def outcome(app) -> dict:
    return app.wait("/stk")[0].json["Body"]["stkCallback"]


class TestPrompt:
    def test_is_paid_with_the_right_pin_and_reported_as_documented(self, sandbox, business, app, amina):
        ack = business.ask_to_pay(amina, 300).json()

        assert ack["ResponseCode"] == "0"
        assert re.fullmatch(r"ws_CO_\d{14}\d+", ack["CheckoutRequestID"])
        callback = app.wait("/stk")[0].json
        told = metadata(callback)
        assert callback["Body"]["stkCallback"]["ResultCode"] == 0
        assert callback["Body"]["stkCallback"]["MerchantRequestID"] == ack["MerchantRequestID"]
        assert told["Amount"] == 300
        assert told["PhoneNumber"] == int(amina)
        assert told["Balance"] is None
        assert len(str(told["TransactionDate"])) == 14
        assert sandbox.phone(amina)["balance_cents"] == 700_00
        assert sandbox.phone(amina)["movements"][0]["receipt_no"] == told["MpesaReceiptNumber"]

    @pytest.mark.parametrize(
        ("answer", "code"), [("cancel", 1032), ("wrong_pin", 2001), ("ignore", 1037), ("unregistered", 1037)]
    )
    def test_fails_without_metadata_when_the_customer_does_not_pay(self, sandbox, business, app, answer, code):
        business.ask_to_pay(someone(sandbox, "Cheptoo", balance_cents=900_00, answer=answer))
        callback = outcome(app)
        assert callback["ResultCode"] == code
        assert "CallbackMetadata" not in callback

    def test_fails_with_1_when_the_customer_is_short_of_funds(self, business, app, amina):
        business.ask_to_pay(amina, 1_001)
        assert outcome(app)["ResultCode"] == 1

    def test_fails_with_1001_while_a_ussd_session_is_open(self, sandbox, business, app, amina):
        app.answers["/ussd"] = lambda hop: (200, "CON Menu")
        sandbox.dial(amina, "*384*77#")
        business.ask_to_pay(amina)
        assert outcome(app)["ResultCode"] == 1001
        sandbox.hang_up(amina)
        app.reset()
        business.ask_to_pay(amina)
        assert outcome(app)["ResultCode"] == 0

    def test_waits_for_a_person_who_answers_by_hand(self, sandbox, business, app, brian):
        checkout_id = business.ask_to_pay(brian, 250).json()["CheckoutRequestID"]
        sandbox.flush()

        (prompt,) = sandbox.phone(brian)["prompts"]
        assert prompt["amount_cents"] == 250_00
        assert "Ksh250 to JIRANI Account no. LOAN7" in prompt["text"]
        pending = business.prompt_status(checkout_id)
        assert pending.status_code == 500
        assert pending.json()["errorCode"] == "500.001.1001"
        assert pending.json()["errorMessage"] == "The transaction is being processed"

        assert sandbox.answer(brian, prompt["id"], pin="4321") == {"result_code": 0, "accepted": True}
        assert outcome(app)["ResultCode"] == 0
        assert sandbox.phone(brian)["prompts"] == []
        settled = business.prompt_status(checkout_id)
        assert settled.status_code == 200
        assert settled.json()["ResultCode"] == "0"  # text here, a number in the callback

    def test_can_be_refused_by_hand(self, sandbox, business, app, brian):
        for body, code in (({"pin": "9999"}, 2001), ({"cancel": True}, 1032)):
            app.reset()
            business.ask_to_pay(brian)
            sandbox.flush()
            (prompt,) = sandbox.phone(brian)["prompts"]
            assert sandbox.answer(brian, prompt["id"], **body)["result_code"] == code
            assert outcome(app)["ResultCode"] == code

    def test_cannot_be_answered_twice(self, sandbox, business, brian):
        business.ask_to_pay(brian, 100)
        sandbox.flush()
        (prompt,) = sandbox.phone(brian)["prompts"]
        sandbox.answer(brian, prompt["id"], pin="4321")
        answer = sandbox.http.post(f"/phones/{brian}/prompts/{prompt['id']}", json={"pin": "4321"})
        assert answer.status_code == 404
        assert sandbox.phone(brian)["balance_cents"] == 900_00

    def test_needs_a_password_made_of_the_same_timestamp(self, business, amina):
        answer = business.ask_to_pay(amina, Timestamp="20261123221501")
        assert answer.status_code == 500
        assert answer.json()["errorMessage"] == "Wrong credentials"

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("AccountReference", "x" * 13),
            ("TransactionDesc", "x" * 14),
            ("Amount", "1.5"),
            ("Timestamp", "1"),
        ],
    )
    def test_names_the_field_it_cannot_read(self, business, amina, field, value):
        assert business.ask_to_pay(amina, **{field: value}).json()["errorMessage"].endswith(field)

    def test_is_confirmed_on_the_paybill_as_well_under_the_same_receipt(self, business, app, amina):
        business.register()
        business.ask_to_pay(amina, 120)
        receipt_no = metadata(app.wait("/stk")[0].json)["MpesaReceiptNumber"]
        confirmation = app.wait("/c2b/confirmation")[0].json
        assert confirmation["TransID"] == receipt_no
        assert confirmation["BillRefNumber"] == "LOAN7"
