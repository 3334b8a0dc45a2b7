"""Daraja's questions and corrections: transaction status, account balance, reversal, pull statement."""

from datetime import datetime, timedelta
from typing import Any

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.b2c import B2C
from sandbox.clock import EAST_AFRICA_TIME, daraja_digits, parse_iso
from sandbox.daraja import Daraja, bad_field
from sandbox.gateway import Call, Refused
from sandbox.wallets import ShortOfFunds, Transfer, utility, working

UNKNOWN_TRANSACTION, ALREADY_REVERSED, NOT_PERMITTED = "R000002", "R000001", 2028
PULL_WINDOW = timedelta(hours=48)
PULL_PAGE = 1000


class Enquiries:
    """What a business may ask about its money."""

    def __init__(self, daraja: Daraja, b2c: B2C) -> None:
        self.daraja, self.b2c, self.wallets = daraja, b2c, daraja.wallets

    def routes(self) -> list[Route]:
        """Return the enquiry APIs."""
        return [
            self.daraja.route("/mpesa/transactionstatus/v1/query", self.status),
            self.daraja.route("/mpesa/accountbalance/v1/query", self.balance),
            self.daraja.route("/mpesa/reversal/v1/request", self.reversal),
            self.daraja.route("/pulltransactions/v1/register", self.pull_register),
            # The page says GET and shows a body; clients do either.
            self.daraja.route("/pulltransactions/v1/query", self.pull),
            self.daraja.route("/pulltransactions/v1/query", self.pull, method="GET"),
        ]

    def _check(self, call: Call, command: str, *names: str) -> None:
        """Refuse an enquiry with a field that the gateway does not understand."""
        self.daraja.require(call, "Initiator", "SecurityCredential", "CommandID", *names)
        if call.text("CommandID") != command:
            raise bad_field("CommandID")
        for name in ("ResultURL", "QueueTimeOutURL"):
            self.daraja.url(call, name)

    async def _later(
        self, kind: str, call: Call, code: str | int, transaction_id: str, parameters: dict[str, Any] | None
    ) -> Response:
        """Acknowledge an enquiry under ids of its own and send its result afterwards."""
        originator_id, conversation_id = self.daraja.new_originator_id(), self.daraja.new_conversation_id()
        message = self.daraja.result_message(
            kind,
            code=code,
            originator_id=originator_id,
            conversation_id=conversation_id,
            transaction_id=transaction_id,
            result_url=call.text("ResultURL"),
            timeout_url=call.text("QueueTimeOutURL"),
            parameters=parameters,
        )
        await self.daraja.courier.deliver(message, call.fault.callbacks, call.since)
        return self.daraja.accepted(originator_id, conversation_id)

    # -- transaction status ------------------------------------------------------------------------------

    async def status(self, call: Call) -> Response:
        """Look a transaction up by receipt number or by the OriginatorConversationID of its request."""
        self._check(call, "TransactionStatusQuery", "PartyA", "IdentifierType", "Remarks")
        receipt_no, original = call.text("TransactionID"), call.text("OriginalConversationID")
        if not receipt_no and not original:
            raise bad_field("TransactionID")
        found = self._found(receipt_no, original, call.text("PartyA"))
        if call.fault.code is not None or found is None:
            return await self._later("status", call, call.fault.code or UNKNOWN_TRANSACTION, "", None)
        return await self._later("status", call, 0, found["ReceiptNo"] or "", found)

    def _found(self, receipt_no: str, original: str, party: str) -> dict[str, Any] | None:
        """Return the parameters of a transaction that belongs to the asking business."""
        row = self.b2c.find(original) if original else self.b2c.find_receipt(receipt_no)
        if row and row["shortcode"] == party:
            return self._payout(row)
        moved = self.wallets.transfer_by_receipt(receipt_no) if receipt_no else None
        if moved and utility(party) in (moved.debit, moved.credit):
            return self._payment(moved)
        return None

    def _payout(self, row: dict[str, Any]) -> dict[str, Any]:
        """Return the state of a B2C request."""
        state = {None: "Pending", "0": "Completed"}.get(row["result_code"], "Failed")
        finished = row["finished_at"] and daraja_digits(parse_iso(row["finished_at"]))
        person = self.wallets.subscriber(row["msisdn"])
        return {
            "DebitPartyName": f"{row['shortcode']} - {self.wallets.shortcode_name(row['shortcode']) or ''}",
            "CreditPartyName": f"{row['msisdn']} - {person.name if person else ''}",
            "OriginatorConversationID": row["originator_id"],
            "InitiatedTime": daraja_digits(parse_iso(row["accepted_at"])),
            "DebitPartyCharges": None,
            "TransactionReason": None,
            "ReasonType": "Business Payment to Customer via API",
            "TransactionStatus": state,
            "FinalisedTime": finished,
            "Amount": str(row["amount_cents"] // 100),
            "ConversationID": row["conversation_id"],
            "ReceiptNo": row["receipt_no"],
        }

    def _payment(self, moved: Transfer) -> dict[str, Any]:
        """Return the state of a payment by a customer."""
        code, msisdn = moved.credit.split(":")[1], moved.debit.split(":")[1]
        person = self.wallets.subscriber(msisdn)
        at = daraja_digits(parse_iso(moved.at))
        return {
            "DebitPartyName": f"{msisdn} - {person.name if person else ''}",
            "CreditPartyName": f"{code} - {self.wallets.shortcode_name(code) or ''}",
            "OriginatorConversationID": None,
            "InitiatedTime": at,
            "DebitPartyCharges": None,
            "TransactionReason": None,
            "ReasonType": "Pay Bill Online" if moved.kind == "stk" else "Pay Bill",
            "TransactionStatus": "Reversed" if moved.reversed_by else "Completed",
            "FinalisedTime": at,
            "Amount": str(moved.amount_cents // 100),
            "ReceiptNo": moved.receipt_no,
        }

    # -- balance and reversal ----------------------------------------------------------------------------

    async def balance(self, call: Call) -> Response:
        """Report the accounts of a shortcode in the operator's pipe notation."""
        self._check(call, "AccountBalance", "PartyA", "IdentifierType", "Remarks")
        code, now = call.text("PartyA"), self.daraja.clock.now()
        if call.fault.code is not None or self.wallets.shortcode_name(code) is None:
            return await self._later("balance", call, call.fault.code or NOT_PERMITTED, "", None)
        purses = {
            "Working Account": self.wallets.balance(working(code)),
            "Utility Account": self.wallets.balance(utility(code)),
            "Charges Paid Account": 0,
            "Organization Settlement Account": 0,
        }
        shillings = {name: f"{cents / 100:.2f}" for name, cents in purses.items()}
        lines = [f"{name}|KES|{sum_}|{sum_}|0.00|0.00" for name, sum_ in shillings.items()]
        parameters = {"AccountBalance": "&".join(lines), "BOCompletedTime": int(daraja_digits(now))}
        return await self._later("balance", call, 0, self.wallets.new_receipt_no(now), parameters)

    async def reversal(self, call: Call) -> Response:
        """Send a customer's payment back. A payout cannot be reversed by API."""
        names = ("TransactionID", "ReceiverParty", "RecieverIdentifierType", "Remarks")
        self._check(call, "TransactionReversal", *names)
        if call.text("RecieverIdentifierType") != "11":
            raise bad_field("RecieverIdentifierType")
        code, moved = self._reverse(call.text("TransactionID"), call.text("ReceiverParty"))
        if moved is None:
            return await self._later("reversal", call, code, "", None)
        party = moved.credit.split(":")[1]
        person = self.wallets.subscriber(party)
        parameters = {
            "DebitAccountBalance": f"Utility Account|KES|{self.wallets.balance(moved.debit) / 100:.2f}",
            "Amount": moved.amount_cents // 100,
            "TransCompletedTime": int(daraja_digits(parse_iso(moved.at))),
            "OriginalTransactionID": call.text("TransactionID"),
            "Charge": 0,
            "CreditPartyPublicName": f"{party} - {person.name if person else ''}",
            "DebitPartyPublicName": f"{call.text('ReceiverParty')} - "
            f"{self.wallets.shortcode_name(call.text('ReceiverParty')) or ''}",
        }
        return await self._later("reversal", call, 0, moved.receipt_no, parameters)

    def _reverse(self, receipt_no: str, code: str) -> tuple[str | int, Transfer | None]:
        """Reverse a payment into a shortcode; return the result code and the movement back."""
        first = self.wallets.transfer_by_receipt(receipt_no)
        if first is None or first.kind not in ("c2b", "stk") or first.credit != utility(code):
            return UNKNOWN_TRANSACTION, None
        if first.reversed_by:
            return ALREADY_REVERSED, None
        try:
            return 0, self.wallets.reverse(receipt_no, self.daraja.clock.now())
        except ShortOfFunds:
            return 1, None

    # -- statement ---------------------------------------------------------------------------------------

    async def pull_register(self, call: Call) -> Response:
        """Register a shortcode for the pull API."""
        self.daraja.require(call, "ShortCode")
        answer = {"ResponseRefID": self.daraja.new_originator_id(), "ResponseStatus": "1000"}
        return JSONResponse(answer | {"ShortCode": call.text("ShortCode"), "ResponseDescription": "Success"})

    async def pull(self, call: Call) -> Response:
        """List customers' payments of the last 48 hours, from an offset on."""
        self.daraja.require(call, "ShortCode", "StartDate", "EndDate", "OffSetValue")
        now = self.daraja.clock.now()
        start, end = self._moment(call, "StartDate"), self._moment(call, "EndDate")
        offset = call.text("OffSetValue")
        if not offset.isdigit():
            raise bad_field("OffSetValue")
        if end < start:
            raise Refused(400, "400.002.02", "Bad Request - Invalid EndDate")
        code = call.text("ShortCode")
        rows = self.wallets.received(utility(code), max(start, now - PULL_WINDOW), end)
        page = [self._pull_row(moved, code) for moved in rows[int(offset) : int(offset) + PULL_PAGE]]
        dropped = set(call.fault.outcome.get("missing", []))
        page = [row for row in page if row["transactionId"] not in dropped]
        page += call.fault.outcome.get("extra", [])
        found = {"ResponseCode": "1000", "ResponseMessage": "Success", "Response": [page]}
        # An empty statement is the text "[[]]", not a list.
        nothing = {"ResponseCode": "1001", "ResponseMessage": "No transactions", "Response": "[[]]"}
        answer = found if page else nothing
        return JSONResponse({"ResponseRefID": self.daraja.new_originator_id(), **answer})

    def _moment(self, call: Call, name: str) -> datetime:
        """Return a date of the request, which is written in East Africa Time without saying so."""
        try:
            local = datetime.strptime(call.text(name), "%Y-%m-%d %H:%M:%S").replace(tzinfo=EAST_AFRICA_TIME)
        except ValueError:
            raise bad_field(name) from None
        return local

    def _pull_row(self, moved: Transfer, code: str) -> dict[str, Any]:
        """Return one line of the statement; `trxDate` is ISO 8601 with a Z, so UTC."""
        return {
            "transactionId": moved.receipt_no,
            "trxDate": f"{parse_iso(moved.at):%Y-%m-%dT%H:%M:%S}Z",
            "msisdn": int(moved.debit.split(":")[1]),
            "transactiontype": "c2b-pay-bill-debit",
            "billreference": moved.reference,
            "amount": f"{moved.amount_cents / 100:.2f}",
            "organizationname": self.wallets.shortcode_name(code) or "",
        }
