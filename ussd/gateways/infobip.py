"""Infobip: its USSD gateway calls an address for each step of a session, and its SMS webhooks.

USSD as "INFOBIP USSD Gateway to Third-party Application HTTP/REST/JSON Web Service API" has it, quoted and
implemented in github.com/praekeltfoundation/vumi, vumi/transports/infobip. Below the address that one gives it,
it calls `session/<id>/start`, `/response`, `/end` and `/status`. No newer page on USSD was found, so confirm with
the provider. What is not certain:

- The method of the first three is not said; POST and PUT are taken. `status` is a GET.
- A first answer is always shown as a menu, even if it closes the session: what is typed there is told that the
  session is over.
- `shortCode` is called mandatory and is missing at times, `ussdGwId` is undocumented and is there: it is kept as
  the network.
- A hop has no number of its own; ussd/hops.py says how a copy is told from a new answer. A second start of a
  session gets the first screen again.
- Nothing is signed.

SMS: infobip.com/docs/api/channels/sms, inbound messages (MO_JSON_2) and delivery reports, each a list. Answers
to customers still go out through Africa's Talking, so its reports are about messages that somebody else sent;
they are kept.
"""

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from ussd.gateways.protocol import (
    NETWORK_CHARS,
    Delivery,
    Ended,
    Fields,
    Incoming,
    Unreadable,
    after_our_code,
    json_answer,
    json_of,
    msisdn_of,
    said,
    session_of,
    typed,
    word,
)
from ussd.hops import Latest
from ussd.models import Session
from ussd.sessions import Event, Reply

logger = logging.getLogger(__name__)

STEPS = frozenset({"start", "response", "end"})
One = TypeVar("One")


class Infobip:
    """What Infobip posts below the address that it was given."""

    name = "infobip"
    secret_setting = "INFOBIP_SECRET"  # noqa: S105 - the setting's name
    methods = frozenset({"POST", "PUT"})

    @property
    def country(self) -> str:
        return settings.COUNTRY

    def fields(self, request: HttpRequest, **path: str) -> Fields:
        return json_of(request) | path

    def read(self, fields: Fields, at: datetime) -> Event | Ended:
        session, step = session_of(fields, "session"), word(fields, "step", 20)
        network = word(fields, "ussdGwId", NETWORK_CHARS)
        if step not in STEPS:
            raise Unreadable("step")
        if step == "end":
            return Ended(session, status=f"end {word(fields, 'exitCode', 10)}".strip(), network=network)
        begins, text = step == "start", said(fields, "text")
        after_our_code(word(fields, "shortCode"))
        return Event(
            gateway=self.name,
            gateway_session=session,
            msisdn=msisdn_of(word(fields, "msisdn"), self.country),
            service_code=word(fields, "shortCode", 30),
            text=(after_our_code(text) if text.startswith("*") else "") if begins else typed(text),
            network=network,
            latest=Latest(begins),
        )

    def render(self, fields: Fields, reply: Reply) -> HttpResponse:
        return json_answer(ussdMenu=reply.text, shouldClose=reply.ends, responseExitCode=200, responseMessage="")

    def acknowledge(self, fields: Fields) -> HttpResponse:
        return json_answer(responseExitCode=200, responseMessage="")

    def status(self, session: str) -> HttpResponse:
        """Say whether a session is open with us."""
        is_open = Session.objects.filter(
            gateway=self.name, gateway_session=session[:80], ended_at__isnull=True
        ).exists()
        return json_answer(sessionActive=is_open, responseExitCode=200, responseMessage="")

    def incoming(self, request: HttpRequest) -> list[Incoming]:
        return _each(request, self._message)

    def _message(self, fields: Fields) -> Incoming:
        return Incoming(
            message_id=_needed(fields, "messageId"),
            msisdn=msisdn_of(word(fields, "from"), self.country),
            sent_to=word(fields, "to", 20),
            text=said(fields, "text"),
        )

    def deliveries(self, request: HttpRequest) -> list[Delivery]:
        return _each(request, _delivery)


def _delivery(fields: Fields) -> Delivery:
    """Read one report: the group is the word that decides, the name the reason beside it."""
    status = fields.get("status")
    status = status if isinstance(status, dict) else {}
    error = fields.get("error")
    reason = word(error, "name", 60) if isinstance(error, dict) else ""
    return Delivery(
        message_id=_needed(fields, "messageId"),
        status=_needed(status, "groupName")[:40],
        failure_reason="" if reason == "NO_ERROR" else reason,
        network=word(fields, "mccMnc", NETWORK_CHARS),
    )


def _needed(fields: Fields, name: str) -> str:
    if found := word(fields, name, 80):
        return found
    raise Unreadable(name)


def _each(request: HttpRequest, read: Callable[[Fields], One]) -> list[One]:
    """Read every result of a list; a bad one among good ones is left out with a log line.

    Raises:
        Unreadable: not one can be read.
    """
    results: Any = json_of(request).get("results")
    found: list[One] = []
    for fields in results if isinstance(results, list) else []:
        try:
            found.append(read(fields if isinstance(fields, dict) else {}))
        except Unreadable as error:
            logger.warning("a result of infobip came without a usable %s", error)
    if not found:
        raise Unreadable("results")
    return found


gateway = Infobip()
