"""C2B: a customer pays a paybill number from the wallet's own menu.

The business may be asked first (validation) and is told afterwards (confirmation); neither call moves money.
"""

import hashlib
from typing import Any

import httpx
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.callbacks import Message
from sandbox.clock import daraja_digits, parse_iso
from sandbox.daraja import Daraja, bad_field
from sandbox.gateway import Call
from sandbox.wallets import ShortOfFunds, Subscriber, Transfer, utility

VALIDATION_S = 8
DEFAULT_ACTIONS = ("Completed", "Cancelled")

SCHEMA = """
CREATE TABLE IF NOT EXISTS c2b_urls (
    shortcode TEXT PRIMARY KEY,
    default_action TEXT NOT NULL,
    confirmation_url TEXT NOT NULL,
    validation_url TEXT NOT NULL,
    is_hashed INTEGER NOT NULL
);
"""


def masked_msisdn(msisdn: str) -> str:
    """Return a payer's number as version 2 shows it: 2547 ***** 126."""
    return f"{msisdn[:4]} ***** {msisdn[-3:]}"


def hashed_msisdn(msisdn: str) -> str:
    """Return a payer's number as version 1 shows it: SHA-256 of the digits."""
    return hashlib.sha256(msisdn.encode()).hexdigest()


def refusal(response: httpx.Response | None, default_action: str) -> str:
    """Return why validation refuses a payment, empty when it does not."""
    if response is None or response.status_code != 200:
        return "" if default_action == "Completed" else "C2B00016"
    try:
        code = str(response.json()["ResultCode"])
    except (ValueError, KeyError, TypeError):
        return "" if default_action == "Completed" else "C2B00016"
    return "" if code == "0" else code


class C2B:
    """Paybill payments and the addresses that hear of them."""

    def __init__(self, daraja: Daraja, validation_s: float = VALIDATION_S) -> None:
        self.daraja, self.wallets, self.validation_s = daraja, daraja.wallets, validation_s
        self.wallets.db.executescript(SCHEMA)

    def routes(self) -> list[Route]:
        """Return the product's API, version 1 (hashed payers) and 2 (masked payers)."""
        return [
            self.daraja.route("/mpesa/c2b/v1/registerurl", self._register_hashed),
            self.daraja.route("/mpesa/c2b/v2/registerurl", self._register_masked),
        ]

    async def _register_hashed(self, call: Call) -> Response:
        """Register addresses that get the payer as a hash."""
        return self._register(call, is_hashed=True)

    async def _register_masked(self, call: Call) -> Response:
        """Register addresses that get the payer with stars."""
        return self._register(call, is_hashed=False)

    def _register(self, call: Call, *, is_hashed: bool) -> Response:
        """Keep the addresses of a shortcode. A second registration replaces them, as in Daraja's sandbox."""
        self.daraja.require(call, "ShortCode", "ResponseType", "ConfirmationURL")
        # The spelling is exact: "Complete" and "completed" are refused.
        if call.text("ResponseType") not in DEFAULT_ACTIONS:
            raise bad_field("ResponseType")
        confirmation = self.daraja.url(call, "ConfirmationURL")
        validation = self.daraja.url(call, "ValidationURL") if call.text("ValidationURL") else ""
        self.wallets.db.execute(
            "REPLACE INTO c2b_urls VALUES (?, ?, ?, ?, ?)",
            (call.text("ShortCode"), call.text("ResponseType"), confirmation, validation, int(is_hashed)),
        )
        # The missing letter is the operator's.
        answer = {"OriginatorCoversationID": self.daraja.new_originator_id(), "ResponseCode": "0"}
        return JSONResponse(answer | {"ResponseDescription": "success"})

    def _urls(self, code: str) -> dict[str, Any] | None:
        """Return what is registered for a shortcode."""
        row = self.wallets.db.execute("SELECT * FROM c2b_urls WHERE shortcode = ?", (code,)).fetchone()
        return dict(row) if row else None

    async def pay(self, person: Subscriber, body: dict[str, Any]) -> dict[str, Any]:
        """Pay a paybill from a phone; return the receipt, or why the wallet's menu refused."""
        code, account = str(body.get("paybill", "")), str(body.get("account", ""))[:20]
        cents = int(body.get("amount_cents", 0))
        refused = self._refused_on_the_phone(person, code, cents, str(body.get("pin", "")))
        refused = refused or await self._refused_by_the_business(person, code, account, cents)
        if refused:
            return {"accepted": False, "reason": refused}
        now = self.daraja.clock.now()
        try:
            with self.wallets.transaction():
                moved = self.wallets.transfer("c2b", person.account, utility(code), cents, account, now)
                self.thank(person, moved, code)
        except ShortOfFunds:
            return {"accepted": False, "reason": "You do not have enough money."}
        self.confirm(moved.receipt_no)
        return {"accepted": True, "receipt_no": moved.receipt_no}

    def _refused_on_the_phone(self, person: Subscriber, code: str, cents: int, pin: str) -> str:
        """Return what the wallet's own menu objects to."""
        if not person.is_registered:
            return "This number is not on M-PESA."
        if not person.knows(pin):
            return "Wrong M-PESA PIN."
        if self.wallets.shortcode_name(code) is None:
            return "Invalid business number."
        if cents <= 0 or cents % 100:
            return "Enter a whole number of shillings."
        return "" if self.wallets.balance(person.account) >= cents else "You do not have enough money."

    async def _refused_by_the_business(self, person: Subscriber, code: str, account: str, cents: int) -> str:
        """Ask the business, and return its refusal code."""
        urls = self._urls(code)
        if not urls or not urls["validation_url"]:
            return ""
        fault = self.daraja.faults.match("/c2b/validation")
        if not fault.callbacks or fault.callbacks[0].mode == "never":
            return refusal(None, urls["default_action"])
        # No money has moved yet, but the number of the receipt to come is already in the question.
        receipt_no = self.wallets.new_receipt_no(self.daraja.clock.now())
        body = self._body(person, code, account, cents, receipt_no, daraja_digits(self.daraja.clock.now()))
        asked = body | {"OrgAccountBalance": ""}
        message = Message("c2b/validation", urls["validation_url"], asked, about=person.msisdn)
        response = await self.daraja.courier.send(
            message, mode=fault.callbacks[0].mode, timeout_s=self.validation_s
        )
        return refusal(response, urls["default_action"])

    def confirm(self, receipt_no: str) -> None:
        """Tell the business about money it has received, if it has registered an address."""
        moved = self.wallets.transfer_by_receipt(receipt_no)
        if moved is None:
            return
        code, msisdn = moved.credit.split(":")[1], moved.debit.split(":")[1]
        urls, person = self._urls(code), self.wallets.subscriber(msisdn)
        if not urls or not person:
            return
        at = daraja_digits(parse_iso(moved.at))
        body = self._body(person, code, moved.reference, moved.amount_cents, receipt_no, at)
        message = Message("c2b/confirmation", urls["confirmation_url"], body, about=msisdn)
        plans = self.daraja.faults.match("/c2b/confirmation").callbacks
        self.daraja.courier.post(message, plans)

    def _body(
        self, person: Subscriber, code: str, account: str, cents: int, receipt_no: str, at: str
    ) -> dict[str, Any]:
        """Return a validation or confirmation as the operator writes it: every value is text."""
        urls = self._urls(code) or {}
        hide = hashed_msisdn if urls.get("is_hashed") else masked_msisdn
        return {
            "TransactionType": "Pay Bill",
            "TransID": receipt_no,
            "TransTime": at,
            "TransAmount": f"{cents / 100:.2f}",
            "BusinessShortCode": code,
            "BillRefNumber": account,
            "InvoiceNumber": "",
            "OrgAccountBalance": f"{self.wallets.balance(utility(code)) / 100:.2f}",
            "ThirdPartyTransID": "",
            "MSISDN": hide(person.msisdn),
            "FirstName": person.name.split(" ")[0].upper(),
            "MiddleName": "",
            "LastName": "",
        }

    def thank(self, person: Subscriber, moved: Transfer, code: str) -> None:
        """Send the payer the wallet's own confirmation message."""
        business, balance = self.wallets.shortcode_name(code), self.wallets.balance(person.account)
        text = f"{moved.receipt_no} Confirmed. Ksh{moved.amount_cents / 100:,.2f} sent to {business} "
        text += f"for account {moved.reference}. New M-PESA balance is Ksh{balance / 100:,.2f}."
        self.wallets.store_text(person.msisdn, "MPESA", text, self.daraja.clock.now())
