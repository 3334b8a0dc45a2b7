"""Reading what Daraja writes: codes, times, amounts, parties, results. Pure: no network, no tables.

Shapes and code lists: Daraja 3.0 portal pages. Lists of codes are not closed, so a code that is not known
here is Unknown, never a success and never a failure.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from lending.ports import Answer, Failed, NotFound, Succeeded, Unknown
from lending.rules import money

EAST_AFRICA_TIME = timezone(timedelta(hours=3), "EAT")
CURRENCY = "KES"
# M-PESA began in March 2007; what a clock says beyond the day after the message came is no time of a payment.
EARLIEST = datetime(2007, 1, 1, tzinfo=UTC)
LATEST_AFTER = timedelta(days=1)

# Our float, account, credential or product: no customer is to blame, and the next payout would fail alike.
B2C_OURS = frozenset({"1", "11", "21", "2001", "2006", "2028", "8006"})
B2C_DEFINITIVE = B2C_OURS | {"2", "3", "4", "8", "2040", "SFC_IC0003"}
STK_OURS = frozenset({"2028", "SFC_IC0003"})
STK_DEFINITIVE = STK_OURS | {"1", "17", "1001", "1019", "1025", "1032", "1037", "2001", "8006", "9999"}
# The phone was in another session; it is free again a minute later.
STK_BUSY, STK_BUSY_WAIT_S = "1001", 65
B2C_KEYS = (
    "TransactionReceipt",
    "TransactionAmount",
    "ReceiverPartyPublicName",
    "TransactionCompletedDateTime",
)
STATUS_KEYS = ("ReceiptNo", "Amount", "CreditPartyName", "FinalisedTime")
NO_SUCH_TRANSACTION = "R000002"
STATUS_FAILED = frozenset({"failed", "cancelled", "declined", "expired", "rejected"})


class Unreadable(ValueError):
    """A callback lacks what it must have. The text names the field, never its content."""


class UnreadablePayment(Unreadable):
    """A paybill payment cannot be counted. What can still be read of it says whether it may be ours."""

    def __init__(self, field: str, receipt_no: str, shortcode: str) -> None:
        super().__init__(field)
        self.receipt_no, self.shortcode = receipt_no, shortcode


@dataclass(frozen=True)
class Report:
    """What one callback says: about which of our requests, and what became of it."""

    our_ref: str
    request_id: str
    answer: Answer


@dataclass(frozen=True)
class Payment:
    """A paybill payment as validation and confirmation tell it. `paid_at` is None when it makes no sense."""

    receipt_no: str
    amount_cents: int
    party: str
    account_reference: str
    shortcode: str
    paid_at: datetime | None


# -- small parts -------------------------------------------------------------------------------------------


def text_of(value: Any, longest: int = 200) -> str:
    """Return a field as text that PostgreSQL takes: nothing nested, no NUL, no half characters."""
    if value is None or isinstance(value, (dict, list, bool)):
        return ""
    return str(value).encode("utf-8", "ignore").decode().replace("\x00", "").strip()[:longest]


def cents_of(value: Any) -> int:
    """Return an amount in cents: Daraja writes 10, 10.0 and "10.00".

    Raises:
        Unreadable: it is no amount, or one that no wallet can hold.
    """
    text = text_of(value)
    if not re.fullmatch(r"-?[0-9]{1,12}(\.[0-9]{1,6})?", text):
        raise Unreadable("amount")
    try:
        return money.from_units(text)
    except ValueError:
        raise Unreadable("amount") from None


def moment_of(value: Any, at: datetime) -> datetime | None:
    """Return a moment that Daraja prints in East Africa Time without saying so.

    None when it cannot be read, or cannot be when money moved: `at` is when the message came.

    >>> moment_of("06.07.2024 22:48:52", datetime(2024, 7, 7, tzinfo=UTC)).isoformat()
    '2024-07-06T22:48:52+03:00'
    """
    for form in ("%Y%m%d%H%M%S", "%d.%m.%Y %H:%M:%S"):
        try:
            moment = datetime.strptime(text_of(value), form).replace(tzinfo=EAST_AFRICA_TIME)
        except ValueError:
            continue
        return moment if EARLIEST <= moment <= at + LATEST_AFTER else None
    return None


def timestamp(at: datetime) -> str:
    """Return a moment as STK wants it: YYYYMMDDHHmmss in East Africa Time."""
    return at.astimezone(EAST_AFRICA_TIME).strftime("%Y%m%d%H%M%S")


def _pairs(items: Any, name: str) -> dict[str, Any]:
    """Return Key/Value (or Name/Value) lists as a mapping; the first of a repeated key counts."""
    if isinstance(items, Mapping):
        items = [items]
    found: dict[str, Any] = {}
    for item in items if isinstance(items, list) else []:
        if isinstance(item, Mapping) and item.get("Value") is not None:
            found.setdefault(text_of(item.get(name)), item["Value"])
    return found


def _mapping(value: Any, name: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise Unreadable(name)
    return value


# -- results -----------------------------------------------------------------------------------------------


def read_stk(body: Any, at: datetime) -> Report:
    """Return what an STK callback says. A failure carries no metadata; an item may lack its value.

    Raises:
        Unreadable: it has not the form of one.
    """
    inner = _mapping(_mapping(_mapping(body, "body").get("Body"), "Body").get("stkCallback"), "stkCallback")
    checkout_id = text_of(inner.get("CheckoutRequestID"), 80)
    code = text_of(inner.get("ResultCode"), 40)
    if not checkout_id or not code:
        raise Unreadable("CheckoutRequestID or ResultCode")
    if code != "0":
        return Report("", checkout_id, stk_verdict(code, text_of(inner.get("ResultDesc"))))
    metadata = inner.get("CallbackMetadata")
    items = _pairs(metadata.get("Item") if isinstance(metadata, Mapping) else None, "Name")
    keys = ("MpesaReceiptNumber", "Amount", "PhoneNumber", "TransactionDate")
    return Report("", checkout_id, _success(items, at, *keys))


def stk_verdict(code: str, words: str) -> Answer:
    """Return what a result code other than 0 means for a prompt; 2001 is the customer's PIN here."""
    if code not in STK_DEFINITIVE:
        return Unknown(f"result code {code}")
    wait_s = STK_BUSY_WAIT_S if code == STK_BUSY else 0
    return Failed(code, words, ours=code in STK_OURS, again_after_s=wait_s)


def read_b2c(body: Any, at: datetime) -> Report:
    """Return what a payout's result says.

    Raises:
        Unreadable: it has not the form of one.
    """
    result, our_ref, request_id = _result(body)
    code = text_of(result.get("ResultCode"), 40)
    if code == "0":
        return Report(our_ref, request_id, _success(_parameters(result), at, *B2C_KEYS))
    words = text_of(result.get("ResultDesc"))
    if code not in B2C_DEFINITIVE:
        return Report(our_ref, request_id, Unknown(f"result code {code}"))
    return Report(our_ref, request_id, Failed(code, words, ours=code in B2C_OURS))


def read_timeout(body: Any) -> Report:
    """Return what a queue time-out notice says: that nobody knows. Its body comes wrapped or flat.

    Raises:
        Unreadable: it is not a JSON object.
    """
    notice = _mapping(body, "body")
    inner = notice.get("Result")
    source = inner if isinstance(inner, Mapping) else notice
    our_ref = text_of(source.get("OriginatorConversationID"), 80)
    return Report(our_ref, text_of(source.get("ConversationID"), 80), Unknown("queue time-out"))


def read_status(body: Any, at: datetime) -> Report:
    """Return what a status query's result says about the payout that was asked about.

    The outer code tells whether the question worked; only the inner TransactionStatus tells about money.

    Raises:
        Unreadable: it has not the form of one.
    """
    result, _, _ = _result(body)
    code = text_of(result.get("ResultCode"), 40)
    if code == NO_SUCH_TRANSACTION:
        return Report("", "", NotFound())
    if code != "0":
        return Report("", "", Unknown(f"status query answered {code}"))
    found = _parameters(result)
    our_ref = text_of(found.get("OriginatorConversationID"), 80)
    status = text_of(found.get("TransactionStatus"), 40)
    if status.lower() == "completed":
        return Report(our_ref, "", _success(found, at, *STATUS_KEYS))
    if status.lower() in STATUS_FAILED:
        return Report(our_ref, "", Failed(status.lower(), text_of(result.get("ResultDesc"))))
    return Report(our_ref, "", Unknown(f"transaction status {status or 'missing'}"))


def _result(body: Any) -> tuple[Mapping[str, Any], str, str]:
    """Return the Result object with the two ids by which it names a conversation."""
    result = _mapping(_mapping(body, "body").get("Result"), "Result")
    our_ref = text_of(result.get("OriginatorConversationID"), 80)
    if not our_ref or not text_of(result.get("ResultCode")):
        raise Unreadable("OriginatorConversationID or ResultCode")
    return result, our_ref, text_of(result.get("ConversationID"), 80)


def _parameters(result: Mapping[str, Any]) -> dict[str, Any]:
    holder = result.get("ResultParameters")
    return _pairs(holder.get("ResultParameter") if isinstance(holder, Mapping) else None, "Key")


def _success(found: Mapping[str, Any], at: datetime, receipt: str, amount: str, party: str, moment: str) -> Answer:
    """Return a success with its facts; one that lacks them proves nothing and is asked about again.

    A time that is there and makes no sense is no reason to doubt the money: it moved when we heard of it.
    """
    receipt_no = text_of(found.get(receipt), 40)
    if not receipt_no or found.get(amount) is None or found.get(moment) is None:
        return Unknown("success without receipt, amount or time")
    moved_at = moment_of(found[moment], at) or at
    return Succeeded(receipt_no, cents_of(found[amount]), text_of(found.get(party)).split(" - ")[0], moved_at)


# -- paybill -----------------------------------------------------------------------------------------------


def read_payment(body: Any, at: datetime) -> Payment:
    """Return a paybill payment from a validation or confirmation.

    Raises:
        Unreadable: it has not the form of one.
        UnreadablePayment: receipt number, amount or paybill is missing or no such thing.
    """
    fields = _mapping(body, "body")
    told = text_of(fields.get("TransID"), 41)
    receipt_no = told if re.fullmatch(r"[A-Za-z0-9]{4,40}", told) else ""
    amount_cents = _positive_cents(fields.get("TransAmount"))
    shortcode = text_of(fields.get("BusinessShortCode"), 20)
    for field, value in (("TransID", receipt_no), ("amount", amount_cents), ("BusinessShortCode", shortcode)):
        if not value:
            raise UnreadablePayment(field, receipt_no, shortcode)
    return Payment(
        receipt_no=receipt_no,
        amount_cents=amount_cents,
        party=text_of(fields.get("MSISDN"), 64),
        account_reference=text_of(fields.get("BillRefNumber"), 40),
        shortcode=shortcode,
        paid_at=moment_of(fields.get("TransTime"), at),
    )


def _positive_cents(value: Any) -> int:
    """Return an amount in cents, 0 for whatever is no amount of money that came in."""
    try:
        return max(cents_of(value), 0)
    except Unreadable:
        return 0
