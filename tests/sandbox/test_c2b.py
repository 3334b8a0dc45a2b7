"""Paying a paybill number from the wallet's menu, and the statement of it."""

import hashlib
import json
from datetime import datetime, timedelta

import pytest

from sandbox.clock import EAST_AFRICA_TIME
from tests.sandbox.business import PAYBILL


def pay(sandbox, msisdn, shillings=200, account="LOAN7", pin="4321"):
    return sandbox.pay(msisdn, paybill=PAYBILL, account=account, amount_cents=shillings * 100, pin=pin)


class TestPaybill:
    def test_is_validated_paid_and_confirmed_with_a_masked_number(self, sandbox, business, app, amina):
        registered = business.register()
        assert "OriginatorCoversationID" in registered.json()

        paid = pay(sandbox, amina)

        assert paid["accepted"]
        question = app.wait("/c2b/validation")[0].json
        told = app.wait("/c2b/confirmation")[0].json
        assert question["BillRefNumber"] == told["BillRefNumber"] == "LOAN7"
        assert told["TransactionType"] == "Pay Bill"
        assert told["TransID"] == paid["receipt_no"]
        assert told["TransAmount"] == "200.00"
        assert told["MSISDN"] == f"{amina[:4]} ***** {amina[-3:]}"
        assert told["FirstName"] == "AMINA"
        assert told["OrgAccountBalance"] == "200.00"
        local = datetime.strptime(told["TransTime"], "%Y%m%d%H%M%S").replace(tzinfo=EAST_AFRICA_TIME)
        assert abs(datetime.now(EAST_AFRICA_TIME) - local) < timedelta(minutes=1)

    def test_hides_the_payer_behind_a_hash_in_version_1(self, sandbox, business, app, amina):
        business.register(version=1)
        pay(sandbox, amina)
        told = app.wait("/c2b/confirmation")[0].json
        assert told["MSISDN"] == hashlib.sha256(amina.encode()).hexdigest()

    def test_is_refused_when_the_business_says_so(self, sandbox, business, app, amina):
        business.register()
        no = json.dumps({"ResultCode": "C2B00012", "ResultDesc": "Rejected"})
        app.answers["/c2b/validation"] = lambda one: (200, no)
        assert pay(sandbox, amina) == {"accepted": False, "reason": "C2B00012"}
        assert sandbox.phone(amina)["balance_cents"] == 1_000_00
        assert app.at("/c2b/confirmation") == []

    @pytest.mark.parametrize(("action", "accepted"), [("Completed", True), ("Cancelled", False)])
    def test_takes_the_default_when_validation_fails(self, sandbox, business, app, amina, action, accepted):
        business.register(response_type=action)
        app.answers["/c2b/validation"] = lambda one: (500, "oops")
        assert pay(sandbox, amina)["accepted"] is accepted

    @pytest.mark.parametrize(("action", "accepted"), [("Completed", True), ("Cancelled", False)])
    def test_takes_the_default_when_validation_never_arrives(self, sandbox, business, amina, action, accepted):
        business.register(response_type=action)
        sandbox.faults({"match": {"path": "/c2b/validation"}, "callbacks": []})
        assert pay(sandbox, amina)["accepted"] is accepted

    def test_spells_the_default_action_exactly(self, business):
        assert business.register(response_type="completed").status_code == 400

    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"pin": "1111"}, "Wrong M-PESA PIN."),
            ({"shillings": 1_001}, "You do not have enough money."),
            ({"shillings": 0}, "Enter a whole number of shillings."),
            ({"shillings": -5}, "Enter a whole number of shillings."),
        ],
    )
    def test_is_refused_on_the_phone(self, sandbox, amina, changes, reason):
        assert pay(sandbox, amina, **changes) == {"accepted": False, "reason": reason}

    @pytest.mark.parametrize(
        ("mode", "field"),
        [("wrong_amount", "TransAmount"), ("wrong_party", "MSISDN"), ("unknown_id", "BillRefNumber")],
    )
    def test_can_be_confirmed_with_a_wrong_field(self, sandbox, business, app, amina, mode, field):
        business.register()
        plans = [{"after_ms": 0}, {"after_ms": 0, "mode": mode}]
        sandbox.faults({"match": {"path": "/c2b/confirmation"}, "callbacks": plans})
        pay(sandbox, amina)
        first, second = (one.json for one in app.wait("/c2b/confirmation", 2))
        assert [name for name in first if first[name] != second[name]] == [field]


class TestStatement:
    def statement(self, business, **changes):
        now = datetime.now(EAST_AFRICA_TIME)
        body = {
            "ShortCode": PAYBILL,
            "StartDate": f"{now - timedelta(hours=1):%Y-%m-%d %H:%M:%S}",
            "EndDate": f"{now + timedelta(minutes=1):%Y-%m-%d %H:%M:%S}",
            "OffSetValue": "0",
        }
        return business.call("/pulltransactions/v1/query", body | changes).json()

    def test_lists_customers_payments(self, sandbox, business, amina):
        receipt_no = pay(sandbox, amina, 150, account="STATEMENT")["receipt_no"]
        answer = self.statement(business)
        assert answer["ResponseCode"] == "1000"
        (row,) = [row for row in answer["Response"][0] if row["transactionId"] == receipt_no]
        assert row["msisdn"] == int(amina)
        assert row["amount"] == "150.00"
        assert row["billreference"] == "STATEMENT"
        assert row["trxDate"].endswith("Z")

    def test_can_miss_a_row(self, sandbox, business, amina):
        receipt_no = pay(sandbox, amina)["receipt_no"]
        path = "/pulltransactions/v1/query"
        sandbox.faults({"match": {"path": path, "nth": 1}, "outcome": {"missing": [receipt_no]}})
        assert receipt_no not in json.dumps(self.statement(business))
        assert receipt_no in json.dumps(self.statement(business))

    def test_says_nothing_in_its_own_strange_way(self, business):
        answer = self.statement(business, OffSetValue="99999")
        assert answer["ResponseCode"] == "1001"
        assert answer["Response"] == "[[]]"
