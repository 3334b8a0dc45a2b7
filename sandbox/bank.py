"""The bank that holds savings: takes the file of what it is asked, moves the money, and answers with its own file.

A line that came before gets the answer that it got, so a file may be sent again. Whose wallet an account pays to,
and which bill a sweep pays, a bank knows of its customers; this one is told beside the file.
"""

import csv
import io
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.c2b import C2B
from sandbox.clock import EAST_AFRICA_TIME
from sandbox.handset import json_body
from sandbox.wallets import ShortOfFunds, Subscriber, utility

# The bank's own wallet with the operator.
MSISDN, NAME = "254700600300", "UMOJA BANK"
HEADER = ("partner_reference", "reference", "account", "kind", "amount_cents", "outcome", "value_on")
SCHEMA = """
CREATE TABLE IF NOT EXISTS bank_answers (
    reference TEXT PRIMARY KEY,
    partner_reference TEXT NOT NULL,
    outcome TEXT NOT NULL,
    value_on TEXT NOT NULL
);
"""
Line = Mapping[str, str]


class Bank:
    """One bank with one wallet, which never runs dry: what savers paid in before it opened is issued to it."""

    def __init__(self, c2b: C2B) -> None:
        self.c2b, self.wallets, self.clock = c2b, c2b.wallets, c2b.daraja.clock
        self.wallets.db.executescript(SCHEMA)

    def routes(self) -> list[Route]:
        """Return the bank's door."""
        return [Route("/bank/settlement", self.settle, methods=["POST"])]

    async def settle(self, request: Request) -> Response:
        """Answer {"asked": our file, "paybill": who pays in, "wallets": {reference: number}, "bills": {reference:
        account}}."""
        body = await json_body(request)
        answers = io.StringIO()
        writer = csv.writer(answers, lineterminator="\n")
        writer.writerow(HEADER)
        for line in csv.DictReader(io.StringIO(str(body["asked"]))):
            writer.writerow(self._answer(line, body))
        return JSONResponse({"answers": answers.getvalue()})

    def _answer(self, line: Line, body: dict[str, Any]) -> list[str]:
        """Answer one line, and act on it if it is new."""
        known = self._known(line["reference"])
        if known is None:
            with self.wallets.transaction():
                receipt_no = self._move(line, body)
                known = self._keep(line["reference"], receipt_no)
            if line["kind"] == "sweep":
                self.c2b.confirm(receipt_no)
        told = [line[name] for name in ("reference", "account", "kind", "amount_cents")]
        return [known["partner_reference"], *told, known["outcome"], known["value_on"]]

    def _known(self, reference: str) -> Any:
        found = self.wallets.db.execute("SELECT * FROM bank_answers WHERE reference = ?", (reference,))
        return found.fetchone()

    def _keep(self, reference: str, receipt_no: str) -> Any:
        now = self.clock.now()
        number = receipt_no or self.wallets.new_receipt_no(now)
        outcome = "confirmed" if receipt_no else "rejected"
        row = reference, f"UB{number}", outcome, now.astimezone(EAST_AFRICA_TIME).date().isoformat()
        self.wallets.db.execute("INSERT INTO bank_answers VALUES (?, ?, ?, ?)", row)
        return self._known(reference)

    def _move(self, line: Line, body: dict[str, Any]) -> str:
        """Move the money of a line; return its receipt number, "" where it cannot be moved."""
        cents, reference, now = int(line["amount_cents"]), line["reference"], self.clock.now()
        bank, paybill = self._wallet(), utility(str(body["paybill"]))
        if line["kind"] == "deposit":
            return self._collect(bank, paybill, cents, reference)
        if line["kind"] in ("interest", "tax"):  # between the bank's own books
            return self.wallets.new_receipt_no(now)
        self.wallets.set_balance(bank.account, max(cents, self.wallets.balance(bank.account)), now)
        if line["kind"] == "sweep":
            bill = str(body["bills"][reference])
            return self.wallets.transfer("c2b", bank.account, paybill, cents, bill, now).receipt_no
        return self._pay(bank, str(body["wallets"][reference]), cents, reference)

    def _collect(self, bank: Subscriber, paybill: str, cents: int, reference: str) -> str:
        try:
            now = self.clock.now()
            return self.wallets.transfer("bank", paybill, bank.account, cents, reference, now).receipt_no
        except ShortOfFunds:
            return ""

    def _wallet(self) -> Subscriber:
        return self.wallets.subscriber(MSISDN) or self.wallets.put_subscriber(
            MSISDN, {"name": NAME}, self.clock.now()
        )

    def _pay(self, bank: Subscriber, msisdn: str, cents: int, reference: str) -> str:
        person, now = self.wallets.subscriber(msisdn), self.clock.now()
        if person is None or not person.is_registered:
            return ""
        moved = self.wallets.transfer("bank", bank.account, person.account, cents, reference, now)
        balance = self.wallets.balance(person.account) / 100
        text = f"{moved.receipt_no} Confirmed. You have received Ksh{cents / 100:,.2f} from {NAME}. "
        text += f"New M-PESA balance is Ksh{balance:,.2f}."
        self.wallets.store_text(msisdn, "MPESA", text, now)
        return moved.receipt_no
