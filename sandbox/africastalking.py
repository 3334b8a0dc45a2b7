"""Africa's Talking: bulk SMS with delivery reports, incoming SMS, opt-outs, and USSD.

Field names, status codes and spellings are the provider's.
"""

import asyncio
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, timedelta
from typing import Any

import httpx
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from sandbox.callbacks import Courier, Message
from sandbox.clock import Clock
from sandbox.faults import NO_FAULT, CallbackPlan, Fault, Faults, hop_trouble
from sandbox.gateway import Call, Gateway
from sandbox.wallets import Wallets
from sandbox.wire import typed

# Safaricom's code; the sandbox's subscribers are all theirs.
NETWORK_CODE = "63902"
CONNECT_S, ANSWER_S = 10, 15
NETWORK_ERROR = "Connection problem or invalid MMI code."
# An incoming message that is not answered 200 is sent again for about ten minutes.
INCOMING_RETRY_S = (2, 10, 60, 180, 300)
PRICE_PER_PART = 0.8

GSM7 = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    "ÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
GSM7_EXTENSION = frozenset("^{}\\[~]|€\f")

STATUS_NAMES = {
    100: "Processed",
    101: "Sent",
    102: "Queued",
    401: "RiskHold",
    402: "InvalidSenderId",
    403: "InvalidPhoneNumber",
    404: "UnsupportedNumberType",
    405: "InsufficientBalance",
    406: "UserInBlacklist",
    407: "CouldNotRoute",
    409: "DoNotDisturbRejection",
    500: "InternalServerError",
    501: "GatewayError",
    502: "RejectedByGateway",
}

SCHEMA = """
CREATE TABLE IF NOT EXISTS optouts (msisdn TEXT, sender TEXT, PRIMARY KEY (msisdn, sender));
"""


@dataclass(frozen=True)
class Hop:
    """A USSD request: who, where, and everything typed so far."""

    session_id: str
    msisdn: str
    service_code: str
    text: str

    def form(self) -> dict[str, str]:
        """Return the fields that every USSD callback carries."""
        return {
            "sessionId": self.session_id,
            "phoneNumber": f"+{self.msisdn}",
            "networkCode": NETWORK_CODE,
            "serviceCode": self.service_code,
        }


@dataclass(frozen=True)
class Reply:
    """What the application said to a hop, or why the session failed."""

    text: str
    raw: str = ""
    goes_on: bool = False
    error: str = ""
    trouble: str = ""


def parts(text: str) -> int:
    """Return how many SMS a text takes: GSM-7 160 then 153 septets, UCS-2 70 then 67 units."""
    if all(char in GSM7 or char in GSM7_EXTENSION for char in text):
        size, single, joined = len(text) + sum(char in GSM7_EXTENSION for char in text), 160, 153
    else:
        size, single, joined = len(text.encode("utf-16-le")) // 2, 70, 67
    return 1 if size <= single else -(-size // joined)


def read_reply(response: httpx.Response | None) -> Reply:
    """Return the screen in an application's answer; anything but 200 and CON or END fails the session."""
    if response is None:
        return Reply(NETWORK_ERROR, error="The application did not answer in time")
    if response.status_code != 200:
        return Reply(NETWORK_ERROR, error=f"The application answered with Code {response.status_code}")
    raw = response.text
    verb, text = raw[:4], raw[4:]
    if verb not in ("CON ", "END "):
        return Reply(NETWORK_ERROR, raw, error="The response did not begin with CON or END")
    return Reply(text, raw, goes_on=verb == "CON ")


class AfricasTalking:
    """The aggregator between the phones and the application at `callback_url`."""

    def __init__(
        self,
        wallets: Wallets,
        clock: Clock,
        courier: Courier,
        faults: Faults,
        *,
        callback_url: str,
        service_code: str,
        answer_s: float = ANSWER_S,
    ) -> None:
        self.wallets, self.clock, self.courier, self.faults = wallets, clock, courier, faults
        self.callback_url = callback_url.rstrip("/")
        self.service_code = service_code
        self.answer_s = answer_s
        wallets.db.executescript(SCHEMA)

    def routes(self, gateway: Gateway) -> list[Route]:
        """Return the provider's API."""
        return [gateway.route("/version1/messaging", self.messaging)]

    def _message(self, path: str, body: Mapping[str, Any], private: frozenset[str] = frozenset()) -> Message:
        """Return a form callback to the application."""
        # A hop stands on the phone's log by what was typed and shown, not as a callback.
        about = "" if path == "/ussd" else str(body.get("phoneNumber") or body.get("from", "")).lstrip("+")
        return Message(path, self.callback_url + path, dict(body), is_form=True, private=private, about=about)

    # -- USSD --------------------------------------------------------------------------------------------

    def split(self, dialled: str) -> tuple[str, list[str]]:
        """Return the service code in a dial string, and the inputs of a shortcut such as *384*77*1#."""
        own = self.service_code.rstrip("#") + "*"
        if dialled.startswith(own) and dialled.endswith("#"):
            return self.service_code, dialled[len(own) : -1].split("*")
        return dialled, []

    async def hop(self, hop: Hop, line: Fault = NO_FAULT) -> Reply:
        """Post one hop to the application and return its screen, or the network's error text.

        What is wrong with the phone's own line goes before what is wrong with the network.
        """
        everywhere = self.faults.match("/ussd")
        plans = (everywhere if line is NO_FAULT else line).callbacks
        return replace(await self._post_hop(hop, plans), trouble=hop_trouble(plans))

    async def _post_hop(self, hop: Hop, plan: Sequence[CallbackPlan]) -> Reply:
        """Post one hop as planned."""
        if not plan or plan[0].mode == "never":
            return read_reply(None)
        # What was typed may be a PIN: it goes out whole, as the real network sends it, and is shown nowhere.
        message = self._message("/ussd", hop.form() | {"text": hop.text}, frozenset({"text"}))
        if plan[0].after_ms:
            await asyncio.sleep(plan[0].after_ms / 1000)
        sending = (
            self.courier.send(message, mode=plan[0].mode, ip=plan[0].ip, timeout_s=self.answer_s)
            for _ in range(plan[0].copies)
        )
        # A network that delivers a hop twice shows whichever answer belongs to its first copy.
        return read_reply((await asyncio.gather(*sending))[0])

    def session_ended(
        self, hop: Hop, *, status: str, error: str, hops: int, last_response: str, lasted: timedelta
    ) -> None:
        """Report the end of a session: Success, Incomplete or Failed."""
        body = hop.form() | {
            "date": self.clock.now().strftime("%Y-%m-%d %H:%M:%S"),
            "status": status,
            "cost": "KES 0.10",
            "durationInMillis": str(round(lasted.total_seconds() * 1000)),
            "hopsCount": str(hops),
            "input": hop.text,
            "lastAppResponse": last_response,
            "errorMessage": error,
        }
        message = self._message("/ussd-events", body, frozenset({"input", "lastAppResponse"}))
        self.courier.post(message, self.faults.match(message.kind).callbacks)

    # -- SMS out -----------------------------------------------------------------------------------------

    async def messaging(self, call: Call) -> Response:
        """Take a bulk message, put it into the phones and report on each number."""
        if not call.headers.get("apikey") or not call.text("username"):
            return PlainTextResponse("The supplied authentication is invalid", 401)
        numbers = [number.strip() for number in call.text("to").split(",") if number.strip()]
        text, sender = (call.body or {}).get("message", ""), call.text("from") or "AFRICASTKNG"
        if not numbers or not text:
            return PlainTextResponse("Bad request: to and message are required", 400)
        if call.fault.code == "InvalidSenderId" or not re.fullmatch(r"[A-Za-z0-9 ._&-]{2,11}", sender):
            return JSONResponse({"SMSMessageData": {"Message": "InvalidSenderId", "Recipients": []}}, 201)
        recipients = [self._recipient(call, number, sender, text) for number in numbers]
        taken = [one for one in recipients if one["statusCode"] in (100, 101, 102)]
        cost = f"KES {len(taken) * parts(text) * PRICE_PER_PART:.4f}"
        summary = f"Sent to {len(taken)}/{len(numbers)} Total Cost: {cost} Message parts: {parts(text)}"
        return JSONResponse({"SMSMessageData": {"Message": summary, "Recipients": recipients}}, 201)

    def _recipient(self, call: Call, number: str, sender: str, text: str) -> dict[str, Any]:
        """Send a message to one number and return its line of the answer."""
        code = int(call.fault.code or self._status_code(call, number, sender))
        if code not in (100, 101, 102):
            return {
                "statusCode": code,
                "number": number,
                "status": STATUS_NAMES.get(code, "GatewayError"),
                "cost": "0",
                "messageId": "None",
            }
        message_id = f"ATXid_{secrets.token_hex(16)}"
        self._send_text(call, message_id, number.lstrip("+"), sender, text)
        return {
            "statusCode": code,
            "number": number,
            # The provider calls an accepted message a success, whatever its code.
            "status": "Success",
            "cost": f"KES {parts(text) * PRICE_PER_PART:.4f}",
            "messageId": message_id,
        }

    def _status_code(self, call: Call, number: str, sender: str) -> int:
        """Return what becomes of a message to this number."""
        if not re.fullmatch(r"\+[1-9][0-9]{8,14}", number):
            return 403
        stopped = self.wallets.db.execute(
            "SELECT 1 FROM optouts WHERE msisdn = ? AND sender = ?", (number[1:], sender)
        ).fetchone()
        return 406 if stopped else 102 if call.text("enqueue") == "1" else 101

    def _send_text(self, call: Call, message_id: str, msisdn: str, sender: str, text: str) -> None:
        """Put a text into a phone and report its delivery."""
        status, reason = "Success", ""
        if self.wallets.subscriber(msisdn) is None:
            status, reason = "Failed", "UserDoesNotExist"
        status = call.fault.outcome.get("delivery", status)
        if status == "Success":
            self.wallets.store_text(msisdn, sender, text, self.clock.now())
        else:
            reason = call.fault.outcome.get("failure_reason", reason or "DeliveryFailure")
        body = {
            "id": message_id,
            "status": status,
            "phoneNumber": f"+{msisdn}",
            "networkCode": NETWORK_CODE,
            "retryCount": "0",
        }
        message = self._message("/sms-reports", body | ({"failureReason": reason} if reason else {}))
        plans = call.fault.callbacks
        self.courier.later(0, lambda: self.courier.deliver(message, plans, call.since))

    # -- SMS in ------------------------------------------------------------------------------------------

    async def incoming(self, msisdn: str, to: str, text: str) -> dict[str, Any]:
        """Carry a subscriber's message to the application; return its id and whether it was taken at once."""
        body = {
            "date": self.clock.now().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "from": f"+{msisdn}",
            "id": secrets.token_hex(16),
            "linkId": secrets.token_hex(8),
            "text": text,
            "to": to,
            "cost": "KES 0.0000",
            "networkCode": NETWORK_CODE,
        }
        message = self._message("/sms", body, frozenset({"text"}))
        self.courier.wire.note(msisdn, "sms", "out", f"To {to}: {typed(text)}")
        taken = False
        for plan in self.faults.match("/sms").callbacks:
            if plan.mode == "never":
                continue
            await asyncio.sleep((plan.after_ms or 0) / 1000)
            sending = (self.courier.insist(message, INCOMING_RETRY_S) for _ in range(plan.copies))
            taken = any(await asyncio.gather(*sending)) or taken
        return {"id": body["id"], "delivered": taken}

    async def opt_out(self, msisdn: str, sender: str) -> None:
        """Remember that a subscriber refuses a sender, and tell the application."""
        self.wallets.db.execute("INSERT OR IGNORE INTO optouts VALUES (?, ?)", (msisdn, sender))
        message = self._message("/sms-optouts", {"senderId": sender, "phoneNumber": f"+{msisdn}"})
        await self.courier.send(message)
