"""Africa's Talking: its forms read into ours, and SMS sent through its SDK.

Each hop is a form with everything that was typed in the session. Nothing it sends is signed, so a secret path is
all that tells its callbacks from a stranger's. Its field names and codes are the provider's (reference:
docs.africastalking.com, and the SDK's source).
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import requests
from africastalking.Service import AfricasTalkingException
from africastalking.SMS import SMSService
from django.conf import settings
from django.http import HttpRequest, HttpResponse

from ussd.gateways.protocol import (
    NETWORK_CHARS,
    Delivery,
    Ended,
    Fields,
    Incoming,
    NotOurs,
    Unreadable,
    after_our_code,
    count,
    form_of,
    msisdn_of,
    plain_answer,
    said,
    session_of,
    typed,
    word,
)
from ussd.sessions import Event, Reply

logger = logging.getLogger(__name__)

TIMEOUT_S = (3, 9)
ACCEPTED_CODES = (100, 101, 102)
# The aggregator or a telco stumbled: the message may be out all the same.
UNCLEAR_CODES = (500, 501)
REFUSED_TEXTS = ("authentication is invalid", "bad request", "invalid")


class AfricasTalking:
    """What Africa's Talking posts to the five callback addresses."""

    name = "africastalking"
    secret_setting = "AFRICASTALKING_SECRET"  # noqa: S105 - the setting's name
    methods = frozenset({"POST"})

    @property
    def country(self) -> str:
        return settings.COUNTRY

    def fields(self, request: HttpRequest, **path: str) -> Fields:
        return form_of(request)

    def read(self, fields: Fields, at: datetime) -> Event | Ended:
        return Event(
            gateway=self.name,
            gateway_session=session_of(fields, "sessionId"),
            msisdn=msisdn_of(said(fields, "phoneNumber"), self.country),
            service_code=_served_code(said(fields, "serviceCode")),
            text=typed(said(fields, "text")),
            network=word(fields, "networkCode", NETWORK_CHARS),
        )

    def render(self, fields: Fields, reply: Reply) -> HttpResponse:
        return plain_answer(("END " if reply.ends else "CON ") + reply.text)

    def ended(self, fields: Fields) -> Ended:
        """Read the report on an ended session. `input` and `lastAppResponse` are not even read: they hold PINs.

        Raises:
            Unreadable: it names no session.
        """
        return Ended(
            session_of(fields, "sessionId"),
            status=word(fields, "status", 30),
            network=word(fields, "networkCode", NETWORK_CHARS),
            duration_ms=count(word(fields, "durationInMillis", 12)),
            hops_counted=count(word(fields, "hopsCount", 6)),
            cost=word(fields, "cost", 20),
            error=word(fields, "errorMessage", 200),
        )

    def acknowledge(self, fields: Fields) -> HttpResponse:
        return plain_answer("OK")

    def incoming(self, request: HttpRequest) -> list[Incoming]:
        form = form_of(request)
        if not (message_id := word(form, "id", 80)):
            raise Unreadable("id")
        return [
            Incoming(
                message_id=message_id,
                msisdn=msisdn_of(said(form, "from"), self.country),
                sent_to=word(form, "to", 20),
                text=said(form, "text"),
            )
        ]

    def deliveries(self, request: HttpRequest) -> list[Delivery]:
        form = form_of(request)
        message_id, status = word(form, "id", 80), word(form, "status", 40)
        if not message_id or not status:
            raise Unreadable("id or status")
        return [
            Delivery(
                message_id,
                status,
                failure_reason=word(form, "failureReason", 60),
                network=word(form, "networkCode", NETWORK_CHARS),
            )
        ]


def _served_code(dialled: str) -> str:
    """Return our code when it was dialled.

    Some networks give the whole dial string. What follows our code is not kept and not taken for answers: it may
    hold a PIN, and the text tells what was typed.

    Raises:
        NotOurs: it was another one, or none.
    """
    if not dialled.strip("*# "):
        raise NotOurs
    after_our_code(dialled)
    return settings.USSD_CODE


gateway = AfricasTalking()


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
