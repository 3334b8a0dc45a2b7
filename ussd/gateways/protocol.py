"""What every gateway's adapter can do, and how what they are sent is read.

An adapter turns a request into an event of ours or refuses it by an exception, and turns our reply into the
gateway's own format. It never looks at what a customer typed.
"""

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from http import HTTPStatus
from typing import Any, Protocol
from urllib.parse import parse_qsl

import phonenumbers
from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse, UnreadablePostError
from phonenumbers import PhoneNumber, PhoneNumberFormat

from ussd.hops import QUICKEST_ANSWER
from ussd.models import Session
from ussd.sessions import Event, Reply

SESSION_CHARS = 80
NETWORK_CHARS = 20
# A hop is a few hundred bytes; a thousand inputs in one dial string are still read.
BODY_BYTES = 32 * 1024
# Longer than any network keeps a session open.
SESSION_LASTS = timedelta(minutes=5)

Fields = Mapping[str, Any]


class Unreadable(ValueError):
    """A callback lacks what nothing can be done without. The text names the field, never its content."""


class NotANumber(Unreadable):
    """What should be the customer's phone number cannot be one."""


class TooLarge(Unreadable):
    """The body is larger than any callback."""


class DidNotCome(Unreadable):
    """The body did not come whole, or not in time."""


class NotOurs(Exception):
    """Another code was dialled than the one that is served here."""


@dataclass(frozen=True)
class Ended:
    """A gateway's report that a session ended. What was typed and shown in it is not read."""

    gateway_session: str
    status: str
    network: str = ""
    duration_ms: int | None = None
    hops_counted: int | None = None
    cost: str = ""
    error: str = ""


@dataclass(frozen=True)
class Incoming:
    """A customer's SMS."""

    message_id: str
    msisdn: str
    sent_to: str
    text: str


@dataclass(frozen=True)
class Delivery:
    """What became of an SMS of ours."""

    message_id: str
    status: str
    failure_reason: str = ""
    network: str = ""


class Gateway(Protocol):
    """One aggregator's way of speaking. `secret_setting` names the secret in its address; empty: not served."""

    name: str
    secret_setting: str

    @property
    def methods(self) -> frozenset[str]:
        """Return the methods by which a hop may come."""

    @property
    def country(self) -> str:
        """Return the country whose numbers may come without a country code."""

    def fields(self, request: HttpRequest, **path: str) -> Fields:
        """Return what the request carries.

        Raises:
            Unreadable: it cannot be read at all.
        """

    def read(self, fields: Fields, at: datetime) -> Event | Ended:
        """Return the hop, or the report on an ended session that came in its place.

        Raises:
            Unreadable, NotANumber, NotOurs: nothing can be done with it.
        """

    def render(self, fields: Fields, reply: Reply) -> HttpResponse:
        """Return the screen as the gateway wants it; `fields` may be empty when nothing could be read."""

    def acknowledge(self, fields: Fields) -> HttpResponse:
        """Answer a report."""


class JsonHops(ABC):
    """What gateways share that post each hop as a JSON object and take one back."""

    methods = frozenset({"POST"})

    def fields(self, request: HttpRequest, **path: str) -> Fields:
        return json_of(request)

    @abstractmethod
    def render(self, fields: Fields, reply: Reply) -> HttpResponse:
        """Return the screen as the gateway wants it."""

    def acknowledge(self, fields: Fields) -> HttpResponse:
        return self.render(fields, Reply("", ends=True))


class TextGateway(Gateway, Protocol):
    """One that also hands over customers' SMS and says what became of ours."""

    def incoming(self, request: HttpRequest) -> list[Incoming]:
        """Return the messages in a request.

        Raises:
            Unreadable: there is none that can be read.
        """

    def deliveries(self, request: HttpRequest) -> list[Delivery]:
        """Return the delivery reports in a request.

        Raises:
            Unreadable: there is none that can be read.
        """


# --- reading ------------------------------------------------------------------------------------------------
def body_of(request: HttpRequest) -> bytes:
    """Return the body.

    Raises:
        TooLarge: it is larger than any callback; nothing of it was read.
        DidNotCome: it was not sent to its end.
        Unreadable: it is a form that does not say its length.
    """
    length = request.META.get("CONTENT_LENGTH") or "0"
    if not length.isdecimal() or int(length) > BODY_BYTES:
        raise TooLarge("body")
    try:
        return request.body
    except UnreadablePostError as error:
        if _lacks_length(error):
            raise Unreadable("length: a form must have one (Content-Length)") from None
        raise DidNotCome("body") from None


def _lacks_length(error: BaseException | None) -> bool:
    """Say whether the server did not take a body in because it has no length; Django wraps what it said."""
    while error is not None and getattr(error, "status", None) != HTTPStatus.LENGTH_REQUIRED:
        error = error.__cause__
    return error is not None


def json_of(request: HttpRequest) -> dict[str, Any]:
    """Return the JSON object in a body.

    Raises:
        Unreadable: it is none, or not UTF-8.
    """
    try:
        found = json.loads(body_of(request).decode())
    except (ValueError, RecursionError) as error:
        if isinstance(error, Unreadable):
            raise
        raise Unreadable("body") from None
    if not isinstance(found, dict):
        raise Unreadable("body")
    return found


def form_of(request: HttpRequest) -> Fields:
    """Return the fields of a form.

    Raises:
        TooLarge: it is larger than any callback.
        Unreadable: it has more fields than any callback.
    """
    body = body_of(request)
    if request.content_type != "application/x-www-form-urlencoded":
        return request.POST
    most = settings.DATA_UPLOAD_MAX_NUMBER_FIELDS
    try:
        return dict(parse_qsl(body.decode(errors="replace"), keep_blank_values=True, max_num_fields=most))
    except ValueError:
        raise Unreadable("body") from None


def said(fields: Fields, name: str) -> str:
    """Return a field as text, whole: what was typed. What is neither text nor number is nothing."""
    value = fields.get(name)
    if isinstance(value, bool) or not isinstance(value, str | int):
        return ""
    # JSON can carry halves of characters, which nothing can store; PostgreSQL stores no NUL.
    return str(value).encode(errors="ignore").decode().replace("\x00", "")


def word(fields: Fields, name: str, chars: int = 200) -> str:
    """Return a field that is only kept or compared: trimmed and cut."""
    return said(fields, name).strip()[:chars]


def flag(fields: Fields, name: str) -> bool:
    """Return a yes or no, however it is spelled; anything else is no."""
    return str(fields.get(name)).strip().lower() in ("true", "1", "yes")


def count(digits: str) -> int | None:
    """Return a number of things that a report tells, if it is one that fits a column."""
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 10 else None


def session_of(fields: Fields, name: str) -> str:
    """Return the gateway's session id.

    Raises:
        Unreadable: there is none, or one that no gateway would make.
    """
    value = fields.get(name)
    text = str(value).strip() if isinstance(value, str | int) else ""
    if not text or len(text) > SESSION_CHARS or not text.isprintable():
        raise Unreadable(name)
    return text


def typed(text: str) -> str:
    """Return typed inputs in one form, whatever the network made of them.

    Absent, "null" and "None" are nothing typed; a typed @ arrives as ¡; a dial string may keep its hash.
    """
    plain = text.replace("¡", "@")
    if plain.strip().lower() in ("", "null", "none"):
        return ""
    return "*".join(segment.strip().rstrip("#").strip() for segment in plain.split("*"))


def after_our_code(dialled: str) -> str:
    """Return the inputs that stand behind our code in a dial string, joined by stars.

    >>> after_our_code("*384*77*1*500#")
    '1*500'

    Raises:
        NotOurs: it is another code.
    """
    ours, shown = settings.USSD_CODE.strip("*#"), typed(dialled).strip("*#")
    if shown == ours or not shown:
        return ""
    if not shown.startswith(f"{ours}*"):
        raise NotOurs
    return shown.removeprefix(f"{ours}*")


# --- numbers ------------------------------------------------------------------------------------------------
@lru_cache(maxsize=10_000)
def msisdn_of(written: str, country: str) -> str:
    """Return E.164 digits of a number as a gateway writes it.

    With plus or 00 it is international. Without, it is read as a number of the gateway's country if it is one,
    and as an international number without its plus if not. A range that is newer than the tables counts when
    its length is right.

    >>> msisdn_of("0711 000 101", "KE"), msisdn_of("00254711000101", "KE"), msisdn_of("256772000001", "KE")
    ('254711000101', '254711000101', '256772000001')

    Raises:
        NotANumber: it can be no number.
    """
    plain = re.sub(r"[\s\-.()]", "", written) if written.isprintable() else ""
    if not re.fullmatch(r"(\+|00)?[0-9]{3,15}", plain, flags=re.ASCII):
        raise NotANumber("number")
    readings = _readings(plain, country)
    for accepts in (phonenumbers.is_valid_number, phonenumbers.is_possible_number):
        for number in readings:
            if accepts(number):
                return phonenumbers.format_number(number, PhoneNumberFormat.E164).removeprefix("+")
    raise NotANumber("number")


def _readings(plain: str, country: str) -> list[PhoneNumber]:
    international = plain.startswith(("+", "00"))
    with_plus = "+" + plain.removeprefix("+").removeprefix("00")
    found = []
    for text, region in [(with_plus, None)] if international else [(plain, country), (with_plus, None)]:
        try:
            found.append(phonenumbers.parse(text, region))
        except phonenumbers.NumberParseException:
            continue
    return found


def session_by_number(gateway: str, msisdn: str, *, begins: bool | None, at: datetime) -> tuple[str, bool]:
    """Return a session id of our own making, and whether it is new, where the gateway has none.

    `begins`: what the gateway says about it; None if it does not say. A network lets a phone have one session
    at a time, so what does not begin one belongs to the latest.
    """
    latest = Session.objects.filter(gateway=gateway, msisdn=msisdn).order_by("-began_at").first()
    if latest is None or at - latest.last_hop_at > SESSION_LASTS:
        return _made_up(msisdn, at), begins is not False
    fresh = at - latest.last_hop_at < QUICKEST_ANSWER
    if begins:
        copy = fresh and latest.hops_answered == 1
        return (latest.gateway_session if copy else _made_up(msisdn, at)), True
    if begins is None and latest.ended_at is not None and not fresh:
        return _made_up(msisdn, at), True
    return latest.gateway_session, False


def _made_up(msisdn: str, at: datetime) -> str:
    return f"{msisdn}@{at.timestamp():.6f}"


# --- answering ----------------------------------------------------------------------------------------------
def plain_answer(text: str, status: int = 200) -> HttpResponse:
    return HttpResponse(text, content_type="text/plain; charset=utf-8", status=status)


def json_answer(**fields: Any) -> HttpResponse:
    """Return JSON that keeps every letter as it is."""
    return JsonResponse(fields, json_dumps_params={"ensure_ascii": False})
