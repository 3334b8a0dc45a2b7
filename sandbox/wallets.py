"""The operator's own books: who holds how much, in a file that survives a restart.

Every movement is two entries that cancel out. Money enters only from the account `issuer`, so the balances of
all subscribers and shortcodes must always add up to what was issued; `GET /control/money` shows it.
"""

import hashlib
import random
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sandbox.clock import EAST_AFRICA_TIME, iso
from sandbox.wire import Wire

ISSUER = "issuer"
# The operator's ceiling on one customer's wallet: KES 500,000 (B2C result code 8).
WALLET_CEILING_CENTS = 50_000_000
RECEIPT_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

SCHEMA = """
CREATE TABLE IF NOT EXISTS accounts (
    account TEXT PRIMARY KEY,
    balance_cents INTEGER NOT NULL DEFAULT 0,
    CHECK (account = 'issuer' OR balance_cents >= 0)
);
CREATE TABLE IF NOT EXISTS transfers (
    receipt_no TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    debit TEXT NOT NULL,
    credit TEXT NOT NULL,
    amount_cents INTEGER NOT NULL CHECK (amount_cents > 0),
    reference TEXT NOT NULL,
    at TEXT NOT NULL,
    reversed_by TEXT
);
CREATE INDEX IF NOT EXISTS transfers_debit ON transfers (debit, at);
CREATE INDEX IF NOT EXISTS transfers_credit ON transfers (credit, at);
CREATE TABLE IF NOT EXISTS subscribers (
    msisdn TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    pin_digest TEXT NOT NULL,
    answer TEXT NOT NULL,
    answer_after_ms INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS shortcodes (code TEXT PRIMARY KEY, name TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS texts (
    id INTEGER PRIMARY KEY,
    msisdn TEXT NOT NULL,
    sender TEXT NOT NULL,
    text TEXT NOT NULL,
    at TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS texts_msisdn ON texts (msisdn, id);
"""


class ShortOfFunds(Exception):
    """The paying account holds less than the amount."""


class WalletFull(Exception):
    """The customer's wallet would pass the operator's ceiling."""


@dataclass(frozen=True)
class Subscriber:
    """One phone number with a wallet. `answer` says what its owner does when asked for the wallet PIN."""

    msisdn: str
    name: str
    pin_digest: str
    answer: str
    answer_after_ms: int

    @property
    def account(self) -> str:
        """Return the name of the wallet in the books."""
        return f"subscriber:{self.msisdn}"

    @property
    def is_registered(self) -> bool:
        """Return whether the number is on mobile money at all."""
        return self.answer != "unregistered"

    def knows(self, pin: str) -> bool:
        """Return whether `pin` is the wallet's PIN."""
        return digest(self.msisdn, pin) == self.pin_digest


@dataclass(frozen=True)
class Transfer:
    """Money that moved."""

    receipt_no: str
    kind: str
    debit: str
    credit: str
    amount_cents: int
    reference: str
    at: str
    reversed_by: str | None


def digest(msisdn: str, pin: str) -> str:
    """Return what is stored of a wallet PIN. Not a defence, it only keeps digits out of the file."""
    return hashlib.sha256(f"{msisdn}:{pin}".encode()).hexdigest()


def utility(code: str) -> str:
    """Return the account that pays B2C and receives paybill money."""
    return f"shortcode:{code}:utility"


def working(code: str) -> str:
    """Return the account between a business and its bank."""
    return f"shortcode:{code}:working"


class Wallets:
    """Subscribers, shortcodes and every movement between them, in one SQLite file."""

    def __init__(self, path: Path | str, wire: Wire) -> None:
        self.wire = wire
        self.db = sqlite3.connect(path, isolation_level=None)
        self.db.row_factory = sqlite3.Row
        self.db.execute("PRAGMA journal_mode = WAL")
        self.db.execute("PRAGMA synchronous = NORMAL")
        self.db.executescript(SCHEMA)
        self._random = random.SystemRandom()

    def close(self) -> None:
        """Close the file, leaving no journal beside it."""
        self.db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make what happens inside one change; an inner transaction joins the outer one."""
        if self.db.in_transaction:
            yield
            return
        self.db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self.db.execute("ROLLBACK")
            raise
        self.db.execute("COMMIT")

    # -- who there is ------------------------------------------------------------------------------------

    def subscriber(self, msisdn: str) -> Subscriber | None:
        """Return the subscriber with this number, if there is one."""
        row = self.db.execute("SELECT * FROM subscribers WHERE msisdn = ?", (msisdn,)).fetchone()
        return Subscriber(**dict(row)) if row else None

    def put_subscriber(self, msisdn: str, fields: dict[str, Any], at: datetime) -> Subscriber:
        """Create or change a subscriber; a new balance is issued or withdrawn by the issuer."""
        known = self.subscriber(msisdn)
        pin = fields.get("wallet_pin")
        person = Subscriber(
            msisdn=msisdn,
            name=fields.get("name") or (known.name if known else f"SUBSCRIBER {msisdn[-4:]}"),
            pin_digest=digest(msisdn, str(pin or "1234")) if pin or not known else known.pin_digest,
            answer=fields.get("answer") or (known.answer if known else "ask"),
            answer_after_ms=int(fields.get("answer_after_ms", known.answer_after_ms if known else 300)),
        )
        with self.transaction():
            self.db.execute(
                "REPLACE INTO subscribers VALUES (?, ?, ?, ?, ?)",
                (msisdn, person.name, person.pin_digest, person.answer, person.answer_after_ms),
            )
            if "balance_cents" in fields:
                self.set_balance(person.account, int(fields["balance_cents"]), at)
        return person

    def shortcode_name(self, code: str) -> str | None:
        """Return the business behind a shortcode, or None for a code that nobody holds."""
        row = self.db.execute("SELECT name FROM shortcodes WHERE code = ?", (code,)).fetchone()
        return row["name"] if row else None

    def put_shortcode(self, code: str, fields: dict[str, Any], at: datetime) -> None:
        """Create or change a shortcode and fund its accounts."""
        name = fields.get("name") or self.shortcode_name(code) or f"BUSINESS {code}"
        with self.transaction():
            self.db.execute("REPLACE INTO shortcodes (code, name) VALUES (?, ?)", (code, name))
            for field, account in (("utility_cents", utility(code)), ("working_cents", working(code))):
                if field in fields:
                    self.set_balance(account, int(fields[field]), at)

    # -- money -------------------------------------------------------------------------------------------

    def balance(self, account: str) -> int:
        """Return the balance of one account in cents."""
        row = self.db.execute("SELECT balance_cents FROM accounts WHERE account = ?", (account,)).fetchone()
        return row["balance_cents"] if row else 0

    def set_balance(self, account: str, cents: int, at: datetime) -> None:
        """Bring an account to `cents` by issuing or withdrawing the difference."""
        if cents < 0:
            raise ValueError(f"a balance cannot be negative, got {cents}")
        missing = cents - self.balance(account)
        if missing > 0:
            self.transfer("issue", ISSUER, account, missing, "", at)
        elif missing < 0:
            self.transfer("issue", account, ISSUER, -missing, "", at)

    def transfer(self, kind: str, debit: str, credit: str, cents: int, reference: str, at: datetime) -> Transfer:
        """Move `cents` out of `debit` into `credit`, or nothing at all.

        Raises:
            ShortOfFunds: `debit` holds less.
            WalletFull: the customer may not hold that much.
        """
        if debit != ISSUER and self.balance(debit) < cents:
            raise ShortOfFunds(debit)
        if kind == "b2c" and self.balance(credit) + cents > WALLET_CEILING_CENTS:
            raise WalletFull(credit)
        moved = Transfer(self.new_receipt_no(at), kind, debit, credit, cents, reference, iso(at), None)
        with self.transaction():
            self.db.execute(
                "INSERT INTO transfers VALUES (?, ?, ?, ?, ?, ?, ?, NULL)",
                (moved.receipt_no, kind, debit, credit, cents, reference, moved.at),
            )
            for account, change in ((debit, -cents), (credit, cents)):
                self.db.execute("INSERT OR IGNORE INTO accounts VALUES (?, 0)", (account,))
                self.db.execute(
                    "UPDATE accounts SET balance_cents = balance_cents + ? WHERE account = ?",
                    (change, account),
                )
        return moved

    def reverse(self, receipt_no: str, at: datetime) -> Transfer:
        """Send the money of an earlier transfer back and mark it."""
        first = self.transfer_by_receipt(receipt_no)
        if first is None or first.reversed_by:
            raise ValueError(f"nothing to reverse under {receipt_no}")
        with self.transaction():
            back = self.transfer("reversal", first.credit, first.debit, first.amount_cents, receipt_no, at)
            self.db.execute(
                "UPDATE transfers SET reversed_by = ? WHERE receipt_no = ?", (back.receipt_no, receipt_no)
            )
        return back

    def transfer_by_receipt(self, receipt_no: str) -> Transfer | None:
        """Return the movement with this receipt number, if there is one."""
        row = self.db.execute("SELECT * FROM transfers WHERE receipt_no = ?", (receipt_no,)).fetchone()
        return Transfer(**dict(row)) if row else None

    def movements(self, account: str, limit: int = 50) -> list[Transfer]:
        """Return the latest movements of one account, newest first."""
        rows = self.db.execute(
            "SELECT * FROM transfers WHERE debit = :account OR credit = :account"
            " ORDER BY at DESC, rowid DESC LIMIT :limit",
            {"account": account, "limit": limit},
        )
        return [Transfer(**dict(row)) for row in rows]

    def received(self, account: str, start: datetime, end: datetime) -> list[Transfer]:
        """Return customers' payments into a shortcode between two moments, oldest first."""
        rows = self.db.execute(
            "SELECT * FROM transfers WHERE credit = ? AND kind IN ('c2b', 'stk') AND at >= ? AND at <= ?"
            " ORDER BY at, rowid",
            (account, iso(start), iso(end)),
        )
        return [Transfer(**dict(row)) for row in rows]

    def money(self) -> dict[str, Any]:
        """Return where all money is, and whether the movements explain every balance."""
        balances = {row["account"]: row["balance_cents"] for row in self.db.execute("SELECT * FROM accounts")}
        issued = -balances.pop(ISSUER, 0)
        subscribers = sum(cents for name, cents in balances.items() if name.startswith("subscriber:"))
        shortcodes: dict[str, dict[str, int]] = {}
        for name, cents in balances.items():
            if name.startswith("shortcode:"):
                _, code, purse = name.split(":")
                purses = shortcodes.setdefault(code, {"utility_cents": 0, "working_cents": 0})
                purses[f"{purse}_cents"] = cents
        return {
            "total_cents": sum(balances.values()),
            "subscribers_cents": subscribers,
            "shortcodes": shortcodes,
            "issued_cents": issued,
            "balanced": issued == sum(balances.values()) and self._replayed() == balances,
        }

    def _replayed(self) -> dict[str, int]:
        """Return every balance again, from the movements alone."""
        rows = self.db.execute(
            "SELECT account, sum(change) AS cents FROM ("
            " SELECT credit AS account, amount_cents AS change FROM transfers"
            " UNION ALL SELECT debit, -amount_cents FROM transfers) GROUP BY account"
        )
        return {row["account"]: row["cents"] for row in rows if row["account"] != ISSUER}

    def new_receipt_no(self, at: datetime) -> str:
        """Return a receipt number as M-PESA makes them: a letter each for year, month, day; seven random."""
        local = at.astimezone(EAST_AFRICA_TIME)
        year = RECEIPT_ALPHABET[(local.year - 2006) % 26]
        day = "0123456789ABCDEFGHIJKLMNOPQRSTUV"[local.day]
        tail = "".join(self._random.choices(RECEIPT_ALPHABET, k=7))
        return f"{year}{RECEIPT_ALPHABET[local.month - 1]}{day}{tail}"

    # -- texts -------------------------------------------------------------------------------------------

    def store_text(self, msisdn: str, sender: str, text: str, at: datetime) -> None:
        """Put a text message into a phone's inbox."""
        self.wire.note(msisdn, "sms", "in", f"From {sender}: {text}")
        self.db.execute(
            "INSERT INTO texts (msisdn, sender, text, at) VALUES (?, ?, ?, ?)",
            (msisdn, sender, text, iso(at)),
        )

    def texts(self, msisdn: str, limit: int = 100) -> list[dict[str, Any]]:
        """Return the latest messages of a phone, oldest first."""
        rows = self.db.execute(
            "SELECT id, sender AS 'from', text, at FROM texts WHERE msisdn = ? ORDER BY id DESC LIMIT ?",
            (msisdn, limit),
        ).fetchall()
        return [dict(row) for row in reversed(rows)]
