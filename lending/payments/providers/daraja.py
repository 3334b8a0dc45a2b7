"""Safaricom Daraja: pay out (B2C v3), prompt (STK push), ask, register paybill addresses.

A thin client over httpx that never repeats a POST by itself: a read time-out repeated is a second prompt or a
second payout. The one exception is a refused token, because then nothing was taken.
Source: Daraja 3.0 portal pages; misspelt fields are theirs.
"""

import base64
import functools
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx
from django.conf import settings
from django.core.cache import cache
from django.utils import timezone

from lending.payments.providers import daraja_messages as messages
from lending.payments.providers.daraja_token import SharedToken
from lending.payments.tokens import address, token_for
from lending.ports import Accepted, Answer, Failed, NotFound, NotSent, PaymentOrder, Succeeded, Unknown
from lending.rules import money

CONNECT_S, READ_S = 3.0, 10.0
TIMEOUT = httpx.Timeout(READ_S, connect=CONNECT_S)
# An idle connection that the far side has closed turns a payout that never left into an unknown one.
LIMITS = httpx.Limits(max_keepalive_connections=0)

B2C_PATH = "/mpesa/b2c/v3/paymentrequest"
STK_PATH = "/mpesa/stkpush/v1/processrequest"
STK_QUERY_PATH = "/mpesa/stkpushquery/v1/query"
STATUS_PATH = "/mpesa/transactionstatus/v1/query"
REGISTER_PATH = "/mpesa/c2b/v2/registerurl"
TOKEN_PATH = "/oauth/v1/generate"  # noqa: S105 - an address

# The connection was never there: these bytes cannot have arrived.
NOTHING_LEFT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)
PROMPTS = {"collect": "Repay loan", "save": "Savings"}  # what a prompt is for
WORDS = {"disburse": "Loan", "refund": "Refund"}  # what the customer's statement calls a payout
BUSY_CODES = ("500.003.02", "500.003.03")


class NoToken(Exception):
    """Daraja gave no token, so nothing was asked of it."""


class RegistrationRefused(Exception):
    """Daraja did not take the paybill's addresses."""


@dataclass(frozen=True)
class Account:
    """Who we are at Daraja."""

    base_url: str
    consumer_key: str
    consumer_secret: str
    passkey: str
    initiator: str
    security_credential: str
    b2c_shortcode: str
    paybill: str


@dataclass(frozen=True)
class Reply:
    """What came back: the status with the JSON object in the body, or why there is neither."""

    status: int
    body: Mapping[str, Any] | None
    trouble: NotSent | Unknown | None = None

    @property
    def code(self) -> str:
        return messages.text_of((self.body or {}).get("errorCode"), 40)

    @property
    def words(self) -> str:
        return messages.text_of((self.body or {}).get("errorMessage"))

    def says(self, *phrases: str) -> bool:
        """Say whether the error message holds one of these phrases; one code is used for several things."""
        return any(phrase in self.words.lower() for phrase in phrases)


class Daraja:
    """One rail. HTTP client, clock and account are given: tests and sandbox drive this very class."""

    def __init__(
        self, account: Account, http: httpx.Client, now: Callable[[], datetime], token_cache: Any = cache
    ) -> None:
        self.account, self.http, self.now = account, http, now
        self.token = SharedToken(token_cache, f"{account.base_url} {account.consumer_key}", self._fetch_token)

    # -- what lending asks ---------------------------------------------------------------------------

    def disburse(self, order: PaymentOrder) -> Answer:
        """Pay a wallet. Sending the same `provider_ref` again cannot pay twice: Daraja refuses the repeat."""
        reply = self._post(
            B2C_PATH,
            {
                "OriginatorConversationID": order.provider_ref,
                "InitiatorName": self.account.initiator,
                "SecurityCredential": self.account.security_credential,
                "CommandID": "BusinessPayment",
                "Amount": money.to_units(order.amount_cents),
                "PartyA": self.account.b2c_shortcode,
                "PartyB": order.msisdn,
                "Remarks": f"{WORDS[order.purpose]} {order.account_reference}"[:100],
                "QueueTimeOutURL": self._address("b2c", order, "timeout"),
                "ResultURL": self._address("b2c", order, "result"),
                "Occassion": order.account_reference[:100],
            },
        )
        return submit_answer(reply, "ConversationID")

    def request_payment(self, order: PaymentOrder) -> Answer:
        """Put a prompt on the customer's phone. There is no client id, so in doubt it is never sent again."""
        reply = self._post(
            STK_PATH,
            {
                **self._stk_password(),
                "TransactionType": "CustomerPayBillOnline",
                "Amount": money.to_units(order.amount_cents),
                "PartyA": order.msisdn,
                "PartyB": self.account.paybill,
                "PhoneNumber": order.msisdn,
                "CallBackURL": self._address("stk", order),
                "AccountReference": order.account_reference[:12],
                "TransactionDesc": PROMPTS[order.purpose],
            },
        )
        return submit_answer(reply, "CheckoutRequestID")

    def query(self, order: PaymentOrder) -> Answer:
        """Ask what became of a request.

        A prompt is answered at once. For a payout, Accepted means that the question was taken; the answer
        comes to the status address.
        """
        if order.purpose in PROMPTS:
            return self._query_prompt(order)
        reply = self._post(
            STATUS_PATH,
            {
                "Initiator": self.account.initiator,
                "SecurityCredential": self.account.security_credential,
                "CommandID": "TransactionStatusQuery",
                "TransactionID": "",
                "OriginalConversationID": order.provider_ref,
                "PartyA": self.account.b2c_shortcode,
                "IdentifierType": "4",
                "ResultURL": self._address("status", order, "result"),
                "QueueTimeOutURL": self._address("status", order, "result"),
                "Remarks": "Status of a payout",
                "Occasion": "",
            },
        )
        answer = submit_answer(reply, "ConversationID")
        # A question that was refused says nothing about the payout.
        return Unknown(f"status query refused: {answer.code}") if isinstance(answer, Failed) else answer

    def _query_prompt(self, order: PaymentOrder) -> Answer:
        if not order.request_id:
            return Unknown("a prompt without CheckoutRequestID cannot be asked about")
        fields = {**self._stk_password(), "CheckoutRequestID": order.request_id}
        return prompt_answer(self._post(STK_QUERY_PATH, fields), order, self.now())

    def register_paybill(self) -> None:
        """Tell Daraja where to validate and confirm paybill payments. In production this works once.

        Raises:
            RegistrationRefused: with Daraja's words.
        """
        reply = self._post(
            REGISTER_PATH,
            {
                "ShortCode": self.account.paybill,
                # When we are late to validate, money that is already on its way is still let in.
                "ResponseType": "Completed",
                "ConfirmationURL": address("c2b/confirmation"),
                "ValidationURL": address("c2b/validation"),
            },
        )
        done = reply.body is not None and messages.text_of(reply.body.get("ResponseCode")) == "0"
        if not done and not reply.says("already registered"):
            why = reply.trouble.why if reply.trouble else reply.words
            raise RegistrationRefused(why or f"HTTP {reply.status}")

    # -- parts of a request ---------------------------------------------------------------------------

    def _address(self, kind: str, order: PaymentOrder, end: str = "") -> str:
        return address("/".join(filter(None, (kind, token_for(kind, order.provider_ref), end))))

    def _stk_password(self) -> dict[str, str]:
        """Return shortcode, timestamp and the password that must hold exactly that timestamp."""
        moment = messages.timestamp(self.now())
        plain = f"{self.account.paybill}{self.account.passkey}{moment}"
        password = base64.b64encode(plain.encode()).decode()
        return {"BusinessShortCode": self.account.paybill, "Password": password, "Timestamp": moment}

    # -- the wire ---------------------------------------------------------------------------

    def _post(self, path: str, fields: Mapping[str, Any]) -> Reply:
        """Send once; once more under a new token when the token alone was refused."""
        try:
            token = self.token.get()
            reply = self._send("POST", path, {"Authorization": f"Bearer {token}"}, json=fields)
            if reply.says("invalid access token") and reply.status != 200:
                token = self.token.get(refused=token)
                reply = self._send("POST", path, {"Authorization": f"Bearer {token}"}, json=fields)
        except NoToken as error:
            return Reply(0, None, NotSent(str(error)))
        return reply

    def _send(self, method: str, path: str, headers: Mapping[str, str], **content: Any) -> Reply:
        try:
            response = self.http.request(method, self.account.base_url + path, headers=headers, **content)
        except NOTHING_LEFT as error:
            return Reply(0, None, NotSent(type(error).__name__))
        except httpx.HTTPError as error:
            return Reply(0, None, Unknown(type(error).__name__))
        try:
            body = json.loads(response.content)
        except (ValueError, RecursionError):
            body = None
        return Reply(response.status_code, body if isinstance(body, dict) else None)

    def _fetch_token(self) -> tuple[str, int]:
        """Ask for a token.

        Raises:
            NoToken: there was no usable answer.
        """
        pair = f"{self.account.consumer_key}:{self.account.consumer_secret}".encode()
        headers = {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}
        reply = self._send("GET", TOKEN_PATH, headers, params={"grant_type": "client_credentials"})
        token = messages.text_of((reply.body or {}).get("access_token"), 4000)
        if reply.status != 200 or not token:
            raise NoToken(f"no token: {reply.code or reply.status or 'no connection'}")
        life = messages.text_of((reply.body or {}).get("expires_in"))
        return token, int(life) if life.isdecimal() else 3599


# -- what an answer means ----------------------------------------------------------------------------------


def submit_answer(reply: Reply, id_field: str) -> Answer:
    """Return what the answer to a request means for the attempt.

    Only a refusal that names our mistake is a failure, and only a connection that was never made, a refused
    token or a closed gate mean that nothing happened. Whatever cannot be read is Unknown.
    """
    if reply.trouble:
        return reply.trouble
    if reply.status == 429:
        return NotSent("429")
    if reply.body is None:
        return Unknown(f"HTTP {reply.status} with an unreadable body")
    if reply.code:
        return _error_answer(reply)
    request_id = messages.text_of(reply.body.get(id_field), 80)
    if reply.status < 300 and messages.text_of(reply.body.get("ResponseCode")) == "0" and request_id:
        return Accepted(request_id)
    return Unknown(f"HTTP {reply.status} without acceptance")


def _error_answer(reply: Reply) -> Answer:
    """Return what an error envelope means. The message decides: Daraja uses one code for several things."""
    if reply.says("duplicate"):
        return Accepted("")  # it got there the first time
    if reply.status < 300:
        return Unknown(f"HTTP {reply.status} with error {reply.code}")
    if reply.says("invalid access token"):
        return NotSent("token refused twice")
    if reply.code in BUSY_CODES or reply.says("spike arrest", "quota"):
        return NotSent(reply.code)
    if reply.says("unable to lock subscriber"):
        return messages.stk_verdict(messages.STK_BUSY, reply.words)
    if reply.says("wrong credentials") or (400 <= reply.status < 500 and reply.status != 408):
        return Failed(reply.code, reply.words, ours=True)
    return Unknown(f"HTTP {reply.status} with error {reply.code}")


def prompt_answer(reply: Reply, order: PaymentOrder, now: datetime) -> Answer:
    """Return what an STK query says. It knows neither receipt number nor amount: a success carries none."""
    if reply.trouble:
        return reply.trouble
    if reply.code and reply.says("checkoutrequestid"):
        return NotFound()
    if reply.code or reply.body is None or reply.status >= 300:
        return Unknown(reply.words or f"HTTP {reply.status}")  # pending comes as a 500, too
    code = messages.text_of(reply.body.get("ResultCode"), 40)
    if code == "0":
        return Succeeded("", order.amount_cents, order.msisdn, now)
    return messages.stk_verdict(code, messages.text_of(reply.body.get("ResultDesc")))


# -- what settings name ------------------------------------------------------------------------------------


def provider() -> Daraja:
    """Return the rail for the account in settings; one for each process, as sockets do not survive a fork."""
    return _provider(
        os.getpid(),
        Account(
            base_url=settings.DARAJA_BASE_URL,
            consumer_key=settings.DARAJA_CONSUMER_KEY,
            consumer_secret=settings.DARAJA_CONSUMER_SECRET,
            passkey=settings.DARAJA_PASSKEY,
            initiator=settings.DARAJA_INITIATOR,
            security_credential=settings.DARAJA_SECURITY_CREDENTIAL,
            b2c_shortcode=settings.DARAJA_B2C_SHORTCODE,
            paybill=settings.DARAJA_PAYBILL,
        ),
    )


@functools.lru_cache(maxsize=8)
def _provider(_process: int, account: Account) -> Daraja:
    # Addresses come from settings alone: a proxy in the environment must not see money move.
    return Daraja(account, httpx.Client(timeout=TIMEOUT, limits=LIMITS, trust_env=False), timezone.now)
