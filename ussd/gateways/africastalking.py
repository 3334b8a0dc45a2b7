"""Africa's Talking: its forms read into ours, and SMS sent through its SDK.

Nothing it sends is signed, so a secret path is all that tells its callbacks from a stranger's. Its field names
and codes are the provider's (reference: docs.africastalking.com, and the SDK's source).
"""

import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import requests
from africastalking.Service import AfricasTalkingException
from africastalking.SMS import SMSService
from django.conf import settings

from ussd.sessions import Event

logger = logging.getLogger(__name__)

GATEWAY = "africastalking"
SESSION_CHARS = 80
TIMEOUT_S = (3, 9)
ACCEPTED_CODES = (100, 101, 102)
# The aggregator or a telco stumbled: the message may be out all the same.
UNCLEAR_CODES = (500, 501)
REFUSED_TEXTS = ("authentication is invalid", "bad request", "invalid")


class Unreadable(ValueError):
    """A callback lacks what nothing can be done without. The text names the field, never its content."""


def msisdn_of(value: str) -> str:
    """Return E.164 digits; a plus that came unescaped arrives as a space.

    Raises:
        Unreadable: it is no phone number.
    """
    digits = value.strip().lstrip("+").strip()
    if not re.fullmatch(r"[1-9][0-9]{6,14}", digits, flags=re.ASCII):
        raise Unreadable("phoneNumber")
    return digits


def session_of(form: Mapping[str, str]) -> str:
    """Return the gateway's session id.

    Raises:
        Unreadable: there is none, or one that no gateway would make.
    """
    value = form.get("sessionId", "").strip()
    if not value or len(value) > SESSION_CHARS or not value.isprintable():
        raise Unreadable("sessionId")
    return value


def plain(form: Mapping[str, str], name: str, chars: int) -> str:
    """Return a field that is only kept: cut, without the NUL that PostgreSQL refuses."""
    return form.get(name, "").replace("\x00", "").strip()[:chars]


def cumulative(value: str | None) -> str:
    """Return the typed inputs in one form, whatever the network made of them.

    Absent, "null" and "None" are nothing typed; a typed @ arrives as ¡; a dial string may keep its hash.
    """
    text = (value or "").replace("¡", "@").replace("\x00", "")
    if text.strip().lower() in ("", "null", "none"):
        return ""
    return "*".join(segment.strip().rstrip("#").strip() for segment in text.split("*"))


def hop_event(form: Mapping[str, str]) -> Event:
    """Read a USSD hop.

    Raises:
        Unreadable: no session or no phone number.
    """
    return Event(
        gateway=GATEWAY,
        gateway_session=session_of(form),
        msisdn=msisdn_of(form.get("phoneNumber", "")),
        service_code=served_code(form.get("serviceCode", "")),
        text=cumulative(form.get("text")),
        network=plain(form, "networkCode", 12),
    )


def served_code(dialled: str) -> str:
    """Return our code when it was dialled, else nothing.

    Some networks give the whole dial string. What follows our code is not kept and not taken for answers: it may
    hold a PIN, and the text tells what was typed.
    """
    ours, shown = settings.USSD_CODE.rstrip("#"), dialled.strip().rstrip("#")
    return settings.USSD_CODE if shown == ours or shown.startswith(ours + "*") else ""


# --- SMS out ------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Sent:
    """The aggregator took the message."""

    message_id: str
    cost: str


@dataclass(frozen=True)
class Rejected:
    """Certainly not sent, and sending it again would change nothing."""

    why: str


@dataclass(frozen=True)
class NotSent:
    """Certainly nothing left; the same message may go later."""

    why: str


@dataclass(frozen=True)
class Unknown:
    """Perhaps sent. It is never sent again: a second receipt would look like a second payment."""

    why: str


Outcome = Sent | Rejected | NotSent | Unknown


class SmsGateway:
    """Sends one SMS through the SDK, and says in four words what came of it."""

    def __init__(self) -> None:
        self._service = SMSService(settings.AFRICASTALKING_USERNAME, settings.AFRICASTALKING_API_KEY)
        # The SDK has no setting for this; without it the username alone would choose the server.
        self._service._baseUrl = settings.AFRICASTALKING_BASE_URL.rstrip("/") + "/version1"

    def send(self, msisdn: str, text: str) -> Outcome:
        """Send a text to a number; never raises for what the network or the aggregator does."""
        try:
            reply = self._service.send(text, [f"+{msisdn}"], sender_id=settings.SMS_SHORT_CODE, timeout=TIMEOUT_S)
        except AfricasTalkingException as error:
            return _refusal(str(error))
        except requests.RequestException as error:
            return _failure(error)
        except ValueError as error:
            return Rejected(type(error).__name__)
        return read_reply(reply)


def _refusal(text: str) -> Outcome:
    """Judge an answer outside 2xx: the SDK keeps its text and loses its status code."""
    if any(words in text.lower() for words in REFUSED_TEXTS):
        return Rejected(text[:80])
    return Unknown(text[:80] or "empty error")


def _failure(error: requests.RequestException) -> Outcome:
    """Judge a network failure: only where no connection came about did nothing leave."""
    never_connected = isinstance(error, requests.ConnectTimeout) or "NewConnectionError" in repr(error)
    return NotSent(type(error).__name__) if never_connected else Unknown(type(error).__name__)


def read_reply(reply: Any) -> Outcome:
    """Read a 2xx answer, which may be text or JSON and may still be a refusal."""
    if isinstance(reply, str):
        try:
            reply = json.loads(reply)
        except ValueError:
            return Unknown("unreadable answer")
    data = reply.get("SMSMessageData") if isinstance(reply, dict) else None
    if not isinstance(data, dict):
        return Unknown("unreadable answer")
    recipients = data.get("Recipients")
    if not recipients or not isinstance(recipients, list) or not isinstance(recipients[0], dict):
        return Rejected(str(data.get("Message", ""))[:80] or "no recipients")
    return _recipient(recipients[0])


def _recipient(line: Mapping[str, Any]) -> Outcome:
    try:
        code = int(line.get("statusCode", 0))
    except (TypeError, ValueError):
        code = 0
    status = str(line.get("status", ""))[:60]
    if code in ACCEPTED_CODES:
        message_id = str(line.get("messageId") or "")
        return Sent("" if message_id == "None" else message_id[:80], str(line.get("cost", ""))[:20])
    if code in UNCLEAR_CODES or code == 0:
        return Unknown(f"{code} {status}")
    return Rejected(f"{code} {status}")
