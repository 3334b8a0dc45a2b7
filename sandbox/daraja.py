"""Daraja, M-PESA's gateway: tokens, field checks, error codes, and what every asynchronous call shares.

The products behind it have files of their own: b2c.py, stk.py, c2b.py, enquiries.py.
"""

import base64
import binascii
import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.callbacks import Courier, Message
from sandbox.clock import Clock
from sandbox.faults import Faults
from sandbox.gateway import Accept, Call, Gateway, Refused
from sandbox.wallets import Wallets

TOKEN_S = 3599
BANNED_WORDS = ("m-pesa", "mpesa", "safaricom", "exe", "exec", "cmd", "sql", "query")
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
# KES 10 to 250,000 for one payment.
SMALLEST_SHILLINGS, LARGEST_SHILLINGS = 10, 250_000

RESULT_TEXTS: dict[str, str] = {
    "0": "The service request is processed successfully.",
    "1": "The balance is insufficient for the transaction.",
    "2": "Declined due to limit rule: less than the minimum transaction amount.",
    "3": "Declined due to limit rule: greater than the maximum transaction amount.",
    "4": "Declined due to limit rule: would exceed daily transfer limit.",
    "8": "Declined due to limit rule: would exceed the maximum balance.",
    "11": "The DebitParty is in an invalid state.",
    "17": "The transaction is declined: same amount to the same customer within two minutes.",
    "21": "The initiator is not allowed to initiate this request.",
    "1001": "Unable to lock subscriber, a transaction is already in process for the current subscriber",
    "1019": "Transaction has expired",
    "1025": "An error occurred while sending a push request",
    "1032": "Request cancelled by user",
    "1037": "DS timeout user cannot be reached",
    "2001": "The initiator information is invalid.",
    "2006": "Declined due to account rule: the account status does not allow this transaction.",
    "2028": "The request is not permitted according to product assignment.",
    "2040": "Declined due to customer state: the credit party customer type is not supported.",
    "8006": "The security credential is locked.",
    "9999": "An error occurred while sending a push request",
    "SFC_IC0003": "The operator does not exist.",
    "R000001": "The transaction has already been reversed.",
    "R000002": "The OriginalTransactionID is invalid.",
}


@dataclass(frozen=True)
class Token:
    """A bearer token and the end of its life."""

    value: str
    expires_at: datetime


def result_text(code: str | int) -> str:
    """Return the operator's words for a result code."""
    return RESULT_TEXTS.get(str(code), "The service request failed.")


def bad_field(name: str) -> Refused:
    """Return the gateway's refusal of one field."""
    return Refused(400, "400.002.02", f"Bad Request - Invalid {name}")


def basic_user(header: str) -> str:
    """Return the consumer key of a Basic header, empty when key or secret is missing."""
    scheme, _, encoded = header.partition(" ")
    try:
        user, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return ""
    return user if scheme.lower() == "basic" and password else ""


def key_values(pairs: dict[str, Any]) -> dict[str, Any]:
    """Return result parameters in the operator's Key and Value notation; None leaves the Value out."""
    items = [{"Key": key} if value is None else {"Key": key, "Value": value} for key, value in pairs.items()]
    return {"ResultParameter": items}


class Daraja:
    """What all of Daraja's products need: tokens, checks, conversations and results."""

    def __init__(
        self,
        wallets: Wallets,
        clock: Clock,
        courier: Courier,
        faults: Faults,
        gateway: Gateway,
        token_s: int = TOKEN_S,
    ) -> None:
        self.wallets, self.clock, self.courier, self.faults = wallets, clock, courier, faults
        self.gateway = gateway
        self.token_s = token_s
        self._tokens: dict[str, Token] = {}

    def routes(self) -> list[Route]:
        """Return the token endpoint."""
        return [self.gateway.route("/oauth/v1/generate", self.generate, method="GET")]

    def route(self, path: str, accept: Accept, method: str = "POST") -> Route:
        """Return a route that needs a valid token and a JSON object."""

        async def guarded(call: Call) -> Response:
            self._check_token(call)
            if call.body is None:
                raise Refused(400, "400.002.05", "Invalid Request Payload")
            return await accept(call)

        return self.gateway.route(path, guarded, method)

    # -- tokens ------------------------------------------------------------------------------------------

    async def generate(self, call: Call) -> Response:
        """Issue a token; the one before it stops working."""
        if call.query.get("grant_type") != "client_credentials":
            raise Refused(400, "400.008.02", "Invalid grant type passed")
        user = basic_user(call.headers.get("authorization", ""))
        if not user:
            raise Refused(400, "400.008.01", "Invalid Authentication passed")
        expires_at = self.clock.now() + timedelta(seconds=self.token_s)
        self._tokens[user] = Token(secrets.token_urlsafe(21), expires_at)
        return JSONResponse({"access_token": self._tokens[user].value, "expires_in": str(self.token_s)})

    def _check_token(self, call: Call) -> None:
        """Refuse a call whose token is missing, replaced or too old."""
        scheme, _, value = call.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not value:
            raise Refused(400, "400.003.01", "Error Occurred - Invalid Access Token -")
        now = self.clock.now()
        live = (token.value for token in self._tokens.values() if token.expires_at > now)
        if not any(secrets.compare_digest(token.encode(), value.encode()) for token in live):
            raise Refused(401, "401.002.01", f"Error Occurred - Invalid Access Token - {value[:4]}...")

    # -- fields ------------------------------------------------------------------------------------------

    def require(self, call: Call, *names: str) -> None:
        """Refuse a call in which one of the fields is missing or empty."""
        for name in names:
            if not call.text(name):
                raise bad_field(name)

    def url(self, call: Call, name: str) -> str:
        """Return a callback address, which must be HTTPS (or loopback) and free of the banned words."""
        url = call.text(name)
        parsed = urlsplit(url)
        is_safe = parsed.scheme == "https" or (parsed.scheme == "http" and parsed.hostname in LOOPBACK)
        if not is_safe or any(word in url.lower() for word in BANNED_WORDS):
            raise bad_field(name)
        return url

    def shillings(self, call: Call, name: str = "Amount") -> int:
        """Return an amount in whole shillings."""
        text = call.text(name)
        if not re.fullmatch(r"[0-9]{1,9}", text) or int(text) == 0:
            raise bad_field(name)
        return int(text)

    def kenyan(self, call: Call, name: str) -> str:
        """Return a phone number written 2547XXXXXXXX or 2541XXXXXXXX."""
        number = call.text(name)
        if not re.fullmatch(r"254[17][0-9]{8}", number):
            raise bad_field(name)
        return number

    # -- conversations -----------------------------------------------------------------------------------

    def new_conversation_id(self) -> str:
        """Return a ConversationID."""
        return f"AG_{self.clock.now():%Y%m%d}_{secrets.token_hex(10)}"

    def new_originator_id(self) -> str:
        """Return the id that the gateway gives a request whose sender gave none."""
        return f"{secrets.randbelow(90000) + 10000}-{secrets.randbelow(10**8)}-1"

    def accepted(self, originator_id: str, conversation_id: str) -> JSONResponse:
        """Return the acknowledgement of an asynchronous call. It says nothing about money."""
        return JSONResponse(
            {
                "ConversationID": conversation_id,
                "OriginatorConversationID": originator_id,
                "ResponseCode": "0",
                "ResponseDescription": "Accept the service request successfully.",
            }
        )

    def result_message(
        self,
        kind: str,
        *,
        code: str | int,
        originator_id: str,
        conversation_id: str,
        transaction_id: str,
        result_url: str,
        timeout_url: str,
        parameters: dict[str, Any] | None = None,
        about: str = "",
    ) -> Message:
        """Return the result of an asynchronous call, with the queue-timeout notice as its other address."""
        ids = {"OriginatorConversationID": originator_id, "ConversationID": conversation_id}
        reference = {"ReferenceItem": {"Key": "QueueTimeoutURL", "Value": timeout_url}}
        result: dict[str, Any] = {"ResultType": 0, "ResultCode": code, "ResultDesc": result_text(code), **ids}
        result["TransactionID"] = transaction_id
        if parameters is not None:
            result["ResultParameters"] = key_values(parameters)
        result["ReferenceData"] = reference
        # The body of this notice is not documented; the wrapped form is what integrators report.
        notice: dict[str, Any] = {"ResultType": 1, "ResultCode": 1037, "TransactionID": "", **ids}
        notice |= {"ResultDesc": "The request timed out in the queue.", "ReferenceData": reference}
        others = {"timeout": (timeout_url, {"Result": notice})}
        return Message(kind, result_url, {"Result": result}, others=others, about=about)
