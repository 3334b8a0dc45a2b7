"""STK push: a business asks a customer to pay, on the customer's own screen."""

import base64
import binascii
import re
import secrets
import time
from typing import Any

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.b2c import as_code
from sandbox.c2b import C2B
from sandbox.callbacks import Message
from sandbox.clock import daraja_digits, iso, parse_iso
from sandbox.daraja import LARGEST_SHILLINGS, Daraja, bad_field, result_text
from sandbox.faults import NO_FAULT, Fault
from sandbox.gateway import Call, Refused
from sandbox.handset import CODE_OF_ANSWER, PAID, UNREACHABLE, Handsets
from sandbox.wallets import ShortOfFunds, Subscriber, utility

LOCKED, NO_FUNDS, NOT_PERMITTED = 1001, 1, 2028

SCHEMA = """
CREATE TABLE IF NOT EXISTS stk (
    checkout_id TEXT PRIMARY KEY,
    merchant_id TEXT NOT NULL,
    shortcode TEXT NOT NULL,
    msisdn TEXT NOT NULL,
    amount_cents INTEGER NOT NULL,
    account TEXT NOT NULL,
    callback_url TEXT NOT NULL,
    accepted_at TEXT NOT NULL,
    result_code TEXT,
    receipt_no TEXT,
    finished_at TEXT
);
CREATE INDEX IF NOT EXISTS stk_open ON stk (accepted_at) WHERE result_code IS NULL;
"""


def check_password(call: Call) -> None:
    """Refuse a Password that is not base64(shortcode + passkey + Timestamp), byte for byte."""
    shortcode, timestamp = call.text("BusinessShortCode"), call.text("Timestamp")
    if not re.fullmatch(r"[0-9]{14}", timestamp):
        raise bad_field("Timestamp")
    try:
        plain = base64.b64decode(call.text("Password"), validate=True).decode()
    except (binascii.Error, ValueError):
        raise bad_field("Password") from None
    passkey = plain.removeprefix(shortcode).removesuffix(timestamp)
    if not passkey or plain != shortcode + passkey + timestamp:
        raise Refused(500, "500.001.1001", "Wrong credentials")


class STK:
    """Payment prompts and their status."""

    def __init__(self, daraja: Daraja, handsets: Handsets, c2b: C2B) -> None:
        self.daraja, self.handsets, self.c2b, self.wallets = daraja, handsets, c2b, daraja.wallets
        self.wallets.db.executescript(SCHEMA)

    def routes(self) -> list[Route]:
        """Return the product's API."""
        return [
            self.daraja.route("/mpesa/stkpush/v1/processrequest", self.request),
            self.daraja.route("/mpesa/stkpushquery/v1/query", self.query),
        ]

    def resume(self) -> None:
        """Give up prompts that a restart has wiped from the screens."""
        rows = self.wallets.db.execute("SELECT checkout_id FROM stk WHERE result_code IS NULL").fetchall()
        for row in rows:
            self.daraja.courier.later(0, self._finisher(row["checkout_id"], UNREACHABLE))

    async def request(self, call: Call) -> Response:
        """Accept a prompt and push it to the phone a moment later. There is no client id to repeat."""
        self._check(call)
        merchant_id = f"{secrets.token_hex(2)}-{secrets.token_hex(2)}-{secrets.token_hex(8)}"
        checkout_id = f"ws_CO_{daraja_digits(self.daraja.clock.now())}{secrets.randbelow(10**6):06d}"
        checkout_id += call.text("PhoneNumber")[3:]
        row = (
            checkout_id,
            merchant_id,
            call.text("BusinessShortCode"),
            call.text("PhoneNumber"),
            self.daraja.shillings(call) * 100,
            call.text("AccountReference"),
            call.text("CallBackURL"),
            iso(self.daraja.clock.now()),
        )
        self.wallets.db.execute("INSERT INTO stk VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL, NULL, NULL)", row)
        if call.fault.before_ack:
            await self._push(checkout_id, call.fault)
        else:
            delay_s = self.daraja.courier.latency_ms / 1000
            self.daraja.courier.later(delay_s, lambda: self._push(checkout_id, call.fault))
        return JSONResponse(
            {
                "MerchantRequestID": merchant_id,
                "CheckoutRequestID": checkout_id,
                "ResponseCode": "0",
                "ResponseDescription": "Success. Request accepted for processing",
                "CustomerMessage": "Success. Request accepted for processing",
            }
        )

    def _check(self, call: Call) -> None:
        """Refuse a request with a field that the gateway does not understand."""
        self.daraja.require(call, "BusinessShortCode", "Password", "Timestamp", "TransactionType")
        self.daraja.require(call, "PartyA", "PartyB", "AccountReference", "TransactionDesc")
        check_password(call)
        if call.text("TransactionType") not in ("CustomerPayBillOnline", "CustomerBuyGoodsOnline"):
            raise bad_field("TransactionType")
        if self.daraja.shillings(call) > LARGEST_SHILLINGS:
            raise bad_field("Amount")
        self.daraja.kenyan(call, "PhoneNumber")
        for name, longest in (("AccountReference", 12), ("TransactionDesc", 13)):
            if len(call.text(name)) > longest:
                raise bad_field(name)
        self.daraja.url(call, "CallBackURL")

    async def _push(self, checkout_id: str, fault: Fault) -> None:
        """Show the prompt, unless the phone cannot take one."""
        row = self._row(checkout_id)
        person = self.wallets.subscriber(row["msisdn"])
        business = self.wallets.shortcode_name(row["shortcode"])
        finish = self._finisher
        if fault.code is not None:
            return await finish(checkout_id, fault.code, fault)()
        if business is None:
            return await finish(checkout_id, NOT_PERMITTED, fault)()
        if person is None or not person.is_registered:
            return await finish(checkout_id, UNREACHABLE, fault)()
        if self.handsets.is_locked(person.msisdn):
            return await finish(checkout_id, LOCKED, fault)()
        if fault.before_ack and person.answer != "ask":
            # Only a phone that answers by itself can overtake the acknowledgement.
            return await finish(checkout_id, CODE_OF_ANSWER[person.answer], fault)()

        async def settle(code: int) -> None:
            await finish(checkout_id, code, fault)()

        self.handsets.prompt(person, row["amount_cents"], business, row["account"], settle)

    def _finisher(self, checkout_id: str, code: str | int, fault: Fault = NO_FAULT) -> Any:
        """Return the work that ends a request with this result."""

        async def finish() -> None:
            self._decide(checkout_id, code)
            since = time.monotonic()
            row = self._row(checkout_id)
            await self.daraja.courier.deliver(self._callback(row), fault.callbacks, since)
            if row["result_code"] == "0":
                self.c2b.confirm(row["receipt_no"])

        return finish

    def _decide(self, checkout_id: str, code: str | int) -> None:
        """Take the money if the customer agreed; money and result are one change."""
        row, now, receipt_no = self._row(checkout_id), self.daraja.clock.now(), None
        if row["result_code"] is not None:
            return
        with self.wallets.transaction():
            person = self.wallets.subscriber(row["msisdn"])
            if code == PAID and person:
                code, receipt_no = self._take(row, person)
            self.wallets.db.execute(
                "UPDATE stk SET result_code = ?, receipt_no = ?, finished_at = ? WHERE checkout_id = ?",
                (str(code), receipt_no, iso(now), checkout_id),
            )

    def _take(self, row: dict[str, Any], person: Subscriber) -> tuple[int, str | None]:
        """Move the money from the customer to the shortcode; return result code and receipt number."""
        now, cents = self.daraja.clock.now(), row["amount_cents"]
        try:
            moved = self.wallets.transfer(
                "stk", person.account, utility(row["shortcode"]), cents, row["account"], now
            )
        except ShortOfFunds:
            return NO_FUNDS, None
        self.c2b.thank(person, moved, row["shortcode"])
        return PAID, moved.receipt_no

    def _row(self, checkout_id: str) -> dict[str, Any]:
        """Return one request, empty when there is none."""
        row = self.wallets.db.execute("SELECT * FROM stk WHERE checkout_id = ?", (checkout_id,)).fetchone()
        return dict(row) if row else {}

    def _callback(self, row: dict[str, Any]) -> Message:
        """Return the callback for a decided request; a failure carries no metadata."""
        code = as_code(row["result_code"])
        inner: dict[str, Any] = {
            "MerchantRequestID": row["merchant_id"],
            "CheckoutRequestID": row["checkout_id"],
            "ResultCode": code,
            "ResultDesc": result_text(code),
        }
        if code == PAID:
            items = [
                {"Name": "Amount", "Value": row["amount_cents"] / 100},
                {"Name": "MpesaReceiptNumber", "Value": row["receipt_no"]},
                {"Name": "Balance"},
                {"Name": "TransactionDate", "Value": int(daraja_digits(parse_iso(row["finished_at"])))},
                {"Name": "PhoneNumber", "Value": int(row["msisdn"])},
            ]
            inner["CallbackMetadata"] = {"Item": items}
        return Message("stk", row["callback_url"], {"Body": {"stkCallback": inner}}, about=row["msisdn"])

    async def query(self, call: Call) -> Response:
        """Tell what became of a prompt; a pending one is an HTTP 500, as in the real thing."""
        self.daraja.require(call, "BusinessShortCode", "Password", "Timestamp", "CheckoutRequestID")
        check_password(call)
        row = self._row(call.text("CheckoutRequestID"))
        if not row or row["shortcode"] != call.text("BusinessShortCode"):
            raise bad_field("CheckoutRequestID")
        if row["result_code"] is None:
            raise Refused(500, "500.001.1001", "The transaction is being processed")
        code = str(call.fault.code or row["result_code"])
        return JSONResponse(
            {
                "ResponseCode": "0",
                "ResponseDescription": "The service request has been accepted successfully",
                "MerchantRequestID": row["merchant_id"],
                "CheckoutRequestID": row["checkout_id"],
                "ResultCode": code,
                "ResultDesc": result_text(code),
            }
        )
