"""Asking what became of a transaction, for the balance, and for money to go back."""

from tests.sandbox.business import B2C_PATH, PAYBILL, PAYOUTS, parameters


def asked(app) -> dict:
    return app.wait("/status/result")[0].json


class TestStatus:
    def test_finds_a_payout_by_the_id_of_its_request(self, sandbox, business, app, amina):
        business.pay_out(amina, 400, OriginatorConversationID="lost-one")
        sandbox.flush()
        ack = business.status_of(OriginalConversationID="lost-one").json()

        result = asked(app)
        told = parameters(result)
        assert result["Result"]["ResultCode"] == 0
        assert result["Result"]["OriginatorConversationID"] == ack["OriginatorConversationID"] != "lost-one"
        assert told["TransactionStatus"] == "Completed"
        assert told["OriginatorConversationID"] == "lost-one"
        assert told["Amount"] == "400"
        assert told["ReceiptNo"] == sandbox.phone(amina)["movements"][0]["receipt_no"]
        assert told["DebitPartyName"] == f"{PAYOUTS} - JIRANI"
        assert told["TransactionReason"] is None

    def test_finds_a_payment_by_its_receipt(self, sandbox, business, app, amina):
        paid = sandbox.pay(amina, paybill=PAYBILL, account="LOAN7", amount_cents=50_00, pin="4321")
        business.status_of(TransactionID=paid["receipt_no"], PartyA=PAYBILL)
        assert parameters(asked(app))["Amount"] == "50"

    def test_says_pending_and_failed_inside_an_outer_success(self, sandbox, business, app, amina):
        slow = {"match": {"path": B2C_PATH, "nth": 1}, "outcome": {"after_ms": 60_000}}
        refused = {"match": {"path": B2C_PATH, "nth": 2}, "outcome": {"code": 2001}}
        sandbox.faults(slow, refused)
        for originator_id in ("still-pending", "refused"):
            business.pay_out(amina, OriginatorConversationID=originator_id)
        app.wait("/b2c/result")
        for originator_id, state in (("refused", "Failed"), ("still-pending", "Pending")):
            business.status_of(OriginalConversationID=originator_id)
            result = app.wait("/status/result")[-1].json
            assert result["Result"]["ResultCode"] == 0
            assert parameters(result)["TransactionStatus"] == state
            app.reset()

    def test_does_not_know_what_never_arrived(self, sandbox, business, app, amina):
        sandbox.faults({"match": {"path": B2C_PATH}, "ack": {"mode": "html"}})
        business.pay_out(amina, OriginatorConversationID="never-arrived")
        business.status_of(OriginalConversationID="never-arrived")
        assert asked(app)["Result"]["ResultCode"] == "R000002"

    def test_keeps_other_businesses_out(self, sandbox, business, app, amina):
        business.pay_out(amina, OriginatorConversationID="ours")
        sandbox.flush()
        business.status_of(OriginalConversationID="ours", PartyA=PAYBILL)
        assert asked(app)["Result"]["ResultCode"] == "R000002"


class TestBalance:
    def test_is_told_in_pipes(self, sandbox, business, app):
        sandbox.shortcode(PAYOUTS, utility_cents=228_037_00, working_cents=700_000_00)
        business.enquire("/mpesa/accountbalance/v1/query", "AccountBalance")
        accounts = parameters(asked(app))["AccountBalance"].split("&")
        assert "Working Account|KES|700000.00|700000.00|0.00|0.00" in accounts
        assert "Utility Account|KES|228037.00|228037.00|0.00|0.00" in accounts


class TestReversal:
    def reverse(self, business, receipt_no, **changes):
        fields = {"TransactionID": receipt_no, "ReceiverParty": PAYBILL, "RecieverIdentifierType": "11"}
        return business.enquire("/mpesa/reversal/v1/request", "TransactionReversal", **fields | changes)

    def test_sends_a_payment_back_once(self, sandbox, business, app, amina):
        paid = sandbox.pay(amina, paybill=PAYBILL, account="LOAN7", amount_cents=80_00, pin="4321")
        self.reverse(business, paid["receipt_no"])
        assert parameters(asked(app))["Amount"] == 80
        assert sandbox.phone(amina)["balance_cents"] == 1_000_00
        app.reset()
        self.reverse(business, paid["receipt_no"])
        assert asked(app)["Result"]["ResultCode"] == "R000001"

    def test_refuses_the_right_spelling(self, business):
        fields = {"RecieverIdentifierType": "", "ReceiverIdentifierType": "11"}
        assert self.reverse(business, "X", **fields).status_code == 400

    def test_cannot_take_a_payout_back(self, sandbox, business, app, amina):
        business.pay_out(amina)
        sandbox.flush()
        self.reverse(business, sandbox.phone(amina)["movements"][0]["receipt_no"])
        assert asked(app)["Result"]["ResultCode"] == "R000002"
