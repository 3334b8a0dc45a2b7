"""B2C v3: a business pays a customer's wallet.

The acknowledgement comes first, the money moves later, and the result later still; each can fail alone.
"""

import time
from collections.abc import Sequence
from typing import Any

from starlette.responses import Response
from starlette.routing import Route

from sandbox.callbacks import Message
from sandbox.clock import daraja_dotted, iso, parse_iso
from sandbox.daraja import LARGEST_SHILLINGS, SMALLEST_SHILLINGS, Daraja, bad_field
from sandbox.faults import NO_FAULT, CallbackPlan, Fault
from sandbox.gateway import Call, Refused
from sandbox.wallets import ShortOfFunds, Subscriber, WalletFull, utility, working

PATH = "/mpesa/b2c/v3/paymentrequest"
COMMANDS = frozenset({"BusinessPayment", "SalaryPayment", "PromotionPayment"})

# A forced code is kept with the request, so that a restart cannot turn a planned failure into a payment.
SCHEMA = """
CREATE TABLE IF NOT EXISTS b2c (
    originator_id TEXT PRIMARY KEY,
    conversation_id TEXT NOT NULL UNIQUE,
    shortcode TEXT NOT NULL,
    msisdn TEXT NOT NULL,
    amount_cents INTEGER NOT NULL,
    result_url TEXT NOT NULL,
    timeout_url TEXT NOT NULL,
    forced_code TEXT,
    accepted_at TEXT NOT NULL,
    result_code TEXT,
    receipt_no TEXT,
    finished_at TEXT
);
CREATE INDEX IF NOT EXISTS b2c_receipt ON b2c (receipt_no);
CREATE INDEX IF NOT EXISTS b2c_open ON b2c (accepted_at) WHERE result_code IS NULL;
"""


def as_code(text: str) -> str | int:
    """Return a result code as the operator writes it: a number where it is one."""
    return int(text) if text.isdigit() else text


class B2C:
    """Payments to customers."""

    def __init__(self, daraja: Daraja) -> None:
        self.daraja, self.wallets = daraja, daraja.wallets
        self.wallets.db.executescript(SCHEMA)

    def routes(self) -> list[Route]:
        """Return the product's API."""
        return [self.daraja.route(PATH, self.request)]

    def resume(self) -> None:
        """Finish what was accepted before a restart: the operator does not forget a request."""
        rows = self.wallets.db.execute("SELECT originator_id FROM b2c WHERE result_code IS NULL").fetchall()
        for row in rows:
            self._settle_later(row["originator_id"], NO_FAULT, time.monotonic())

    async def request(self, call: Call) -> Response:
        """Accept a payment, once for each OriginatorConversationID."""
        self._check(call)
        originator_id = call.text("OriginatorConversationID")
        conversation_id = self.daraja.new_conversation_id()
        if self.find(originator_id):
            raise Refused(500, "500.002.1001", "Duplicate OriginatorConversationID.")
        self.wallets.db.execute(
            "INSERT INTO b2c (originator_id, conversation_id, shortcode, msisdn, amount_cents, result_url,"
            " timeout_url, forced_code, accepted_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                originator_id,
                conversation_id,
                call.text("PartyA"),
                call.text("PartyB"),
                self.daraja.shillings(call) * 100,
                call.text("ResultURL"),
                call.text("QueueTimeOutURL"),
                None if call.fault.code is None else str(call.fault.code),
                iso(self.daraja.clock.now()),
            ),
        )
        if call.fault.before_ack:
            await self._settle(originator_id, call.fault.callbacks, call.since)
        else:
            self._settle_later(originator_id, call.fault, call.since)
        return self.daraja.accepted(originator_id, conversation_id)

    def _check(self, call: Call) -> None:
        """Refuse a request with a field that the gateway does not understand."""
        names = "OriginatorConversationID InitiatorName SecurityCredential CommandID PartyA PartyB Remarks"
        self.daraja.require(call, *names.split())
        if call.text("CommandID") not in COMMANDS:
            raise bad_field("CommandID")
        self.daraja.shillings(call)
        self.daraja.kenyan(call, "PartyB")
        if not 2 <= len(call.text("Remarks")) <= 100:
            raise bad_field("Remarks")
        for name in ("ResultURL", "QueueTimeOutURL"):
            self.daraja.url(call, name)

    def find(self, originator_id: str) -> dict[str, Any] | None:
        """Return the request with this OriginatorConversationID."""
        return self._row("originator_id", originator_id)

    def find_receipt(self, receipt_no: str) -> dict[str, Any] | None:
        """Return the request that a receipt number belongs to."""
        return self._row("receipt_no", receipt_no)

    def _row(self, column: str, value: str) -> dict[str, Any] | None:
        """Return one request by a unique column."""
        row = self.wallets.db.execute(f"SELECT * FROM b2c WHERE {column} = ?", (value,)).fetchone()  # noqa: S608
        return dict(row) if row else None

    def _settle_later(self, originator_id: str, fault: Fault, since: float) -> None:
        """Move the money when the script says (`outcome.after_ms`), else before the first callback is due."""
        plans = fault.callbacks
        delays = [plan.after_ms for plan in plans if plan.after_ms is not None]
        usual_ms = min([self.daraja.courier.latency_ms, *delays])
        delay_s = int(fault.outcome.get("after_ms", usual_ms)) / 1000
        self.daraja.courier.later(delay_s, lambda: self._settle(originator_id, plans, since))

    async def _settle(self, originator_id: str, plans: Sequence[CallbackPlan], since: float) -> None:
        """Move the money or fail, and send the result."""
        row = self.find(originator_id)
        if row and row["result_code"] is None:
            self._pay(row)
            row = self.find(originator_id)
        if row:
            await self.daraja.courier.deliver(self._result(row), plans, since)

    def _pay(self, row: dict[str, Any]) -> None:
        """Decide one request: its money and its result are one change."""
        now = self.daraja.clock.now()
        person = self.wallets.subscriber(row["msisdn"])
        with self.wallets.transaction():
            code, receipt_no = self._refusal(row, person), self.wallets.new_receipt_no(now)
            if code is None and person:
                code, receipt_no = self._transfer(row, person, receipt_no)
            self.wallets.db.execute(
                "UPDATE b2c SET result_code = ?, receipt_no = ?, finished_at = ? WHERE originator_id = ?",
                (code, receipt_no, iso(now), row["originator_id"]),
            )

    def _refusal(self, row: dict[str, Any], person: Subscriber | None) -> str | None:
        """Return the result code of a payment that cannot be made, whatever the balances are."""
        if row["forced_code"]:
            return row["forced_code"]
        if self.wallets.shortcode_name(row["shortcode"]) is None:
            return "2028"
        if person is None or not person.is_registered:
            return "2040"
        shillings = row["amount_cents"] // 100
        return "2" if shillings < SMALLEST_SHILLINGS else "3" if shillings > LARGEST_SHILLINGS else None

    def _transfer(self, row: dict[str, Any], person: Subscriber, unused: str) -> tuple[str, str]:
        """Pay; return result code and receipt number. A failure has a number too, which proves nothing."""
        now, cents = self.daraja.clock.now(), row["amount_cents"]
        try:
            moved = self.wallets.transfer(
                "b2c", utility(row["shortcode"]), person.account, cents, row["originator_id"], now
            )
        except ShortOfFunds:
            return "1", unused
        except WalletFull:
            return "8", unused
        business = self.wallets.shortcode_name(row["shortcode"])
        balance = self.wallets.balance(person.account) / 100
        text = f"{moved.receipt_no} Confirmed. You have received Ksh{cents / 100:,.2f} from {business}. "
        text += f"New M-PESA balance is Ksh{balance:,.2f}."
        self.wallets.store_text(person.msisdn, "MPESA", text, now)
        return "0", moved.receipt_no

    def _result(self, row: dict[str, Any]) -> Message:
        """Return the callback for a decided request."""
        return self.daraja.result_message(
            "b2c",
            code=as_code(row["result_code"]),
            originator_id=row["originator_id"],
            conversation_id=row["conversation_id"],
            transaction_id=row["receipt_no"],
            result_url=row["result_url"],
            timeout_url=row["timeout_url"],
            parameters=self._parameters(row) if row["result_code"] == "0" else None,
            about=row["msisdn"],
        )

    def _parameters(self, row: dict[str, Any]) -> dict[str, Any]:
        """Return what the result of a successful payment tells."""
        person = self.wallets.subscriber(row["msisdn"])
        return {
            "TransactionAmount": row["amount_cents"] // 100,
            "TransactionReceipt": row["receipt_no"],
            "ReceiverPartyPublicName": f"{row['msisdn']} - {person.name if person else ''}",
            "TransactionCompletedDateTime": daraja_dotted(parse_iso(row["finished_at"])),
            "B2CUtilityAccountAvailableFunds": self.wallets.balance(utility(row["shortcode"])) / 100,
            "B2CWorkingAccountAvailableFunds": self.wallets.balance(working(row["shortcode"])) / 100,
            "B2CRecipientIsRegisteredCustomer": "Y",
            "B2CChargesPaidAccountAvailableFunds": 0.0,
        }
