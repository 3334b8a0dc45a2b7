"""Any other gateway that calls one address for each hop, described by the setting `GENERIC_GATEWAY`.

The setting is a JSON object with the fields of `Wire`; docs/gateways.md shows some.
"""

import json
import re
from datetime import datetime
from functools import lru_cache
from typing import Annotated, Literal
from xml.sax.saxutils import escape

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from pydantic import BaseModel, ConfigDict, Field, model_validator

from ussd.gateways.protocol import (
    NETWORK_CHARS,
    Ended,
    Fields,
    after_our_code,
    form_of,
    json_of,
    msisdn_of,
    plain_answer,
    said,
    session_by_number,
    session_of,
    typed,
    word,
)
from ussd.hops import Latest
from ussd.sessions import Event, Reply

Name = Annotated[str, Field(max_length=60)]
DIALLED = re.compile(r"\*[0-9*]+#")
PLACES = re.compile(r"\{(?P<name>session|number|text)\}")


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Mark(_Frozen):
    """A field that says something by certain values; their case does not count."""

    field: Name
    values: tuple[str, ...]

    def stands_in(self, fields: Fields) -> bool:
        return str(fields.get(self.field, "")).strip().lower() in {value.lower() for value in self.values}


class Answer(_Frozen):
    """The answer to a hop. `{text}`, `{session}` and `{number}` in the template stand for the values.

    In JSON a value is written as JSON writes it, so the template has no quotes around it; in XML it is escaped.
    """

    template: str
    headers: dict[str, str] = {}


class Wire(_Frozen):
    """How a gateway speaks: the names of its fields, what its input is, and its two answers."""

    sends: Literal["form", "json", "query"] = "form"
    """A form or a JSON object by POST, or a query by GET."""
    number: Name
    """The customer's number."""
    session: Name = ""
    """The id of the session; empty where there is none: then a session is the number's latest."""
    input: Name
    """What was typed."""
    input_is: Literal["cumulative", "latest"]
    """Everything typed in the session, joined by stars; or what was typed last."""
    input_holds_code: bool = False
    """The dialled code stands in front of the inputs, in every hop if they are cumulative."""
    code: Name = ""
    """The dialled code, in a field of its own."""
    hop: Name = ""
    """The gateway's number for the hop: with the latest input only, it tells a hop from its copies."""
    begins: Mark | None = None
    """What says that the hop opens the session; without it, a session that is not known begins."""
    ends: Mark | None = None
    """What says that this is no hop, but the report that the session ended."""
    network: Name = ""
    """The customer's network."""
    country: Annotated[str, Field(pattern="^([A-Z]{2})?$")] = ""
    """The country of numbers without a country code; empty is `COUNTRY`."""
    content_type: str = "text/plain; charset=utf-8"
    """Of the answers."""
    goes_on: Answer = Answer(template="CON {text}")
    """The answer that waits for an input."""
    is_last: Answer = Answer(template="END {text}")
    """The answer that closes the session."""

    @model_validator(mode="after")
    def _makes_sense(self) -> "Wire":
        if self.ends and not self.session:
            raise ValueError("ends needs session: a report names the session that ended")
        if self.hop and self.input_is != "latest":
            raise ValueError("hop needs input_is latest: a cumulative text tells its hop by itself")
        return self


# Most Kenyan aggregators speak as Africa's Talking does.
USUAL = Wire(
    session="sessionId",
    number="phoneNumber",
    code="serviceCode",
    input="text",
    input_is="cumulative",
    network="networkCode",
)


@lru_cache(maxsize=8)
def wire_of(described: str) -> Wire:
    """Return the description in a setting; an empty one is the usual one.

    Raises:
        ValidationError: it is none; the text says which field and why.
    """
    return Wire.model_validate_json(described) if described.strip() else USUAL


class Generic:
    """One gateway as the setting describes it; the setting is read anew for each request."""

    name = "generic"
    secret_setting = "GENERIC_GATEWAY_SECRET"  # noqa: S105 - the setting's name

    @property
    def wire(self) -> Wire:
        return wire_of(settings.GENERIC_GATEWAY)

    @property
    def country(self) -> str:
        return self.wire.country or settings.COUNTRY

    @property
    def methods(self) -> frozenset[str]:
        return frozenset({"GET"} if self.wire.sends == "query" else {"POST"})

    def fields(self, request: HttpRequest, **path: str) -> Fields:
        if self.wire.sends == "json":
            return json_of(request)
        return request.GET if self.wire.sends == "query" else form_of(request)

    def read(self, fields: Fields, at: datetime) -> Event | Ended:
        wire = self.wire
        network = word(fields, wire.network, NETWORK_CHARS)
        if wire.ends and wire.ends.stands_in(fields):
            return Ended(session_of(fields, wire.session), word(fields, wire.ends.field, 30), network)
        if wire.code:
            after_our_code(word(fields, wire.code))
        msisdn = msisdn_of(word(fields, wire.number), self.country)
        text, is_latest = said(fields, wire.input), wire.input_is == "latest"
        session, begins = self._session(fields, msisdn, text, at)
        return Event(
            gateway=self.name,
            gateway_session=session,
            msisdn=msisdn,
            service_code=settings.USSD_CODE if wire.code else "",
            text=self._inputs(text, begins),
            network=network,
            latest=Latest(begins, word(fields, wire.hop, 40)) if is_latest else None,
        )

    def _session(self, fields: Fields, msisdn: str, text: str, at: datetime) -> tuple[str, bool]:
        begins = self._begins(fields, text)
        if self.wire.session:
            return session_of(fields, self.wire.session), bool(begins)
        return session_by_number(self.name, msisdn, begins=begins, at=at)

    def _begins(self, fields: Fields, text: str) -> bool | None:
        """Say whether a hop opens its session; None if nothing tells."""
        if self.wire.begins:
            return self.wire.begins.stands_in(fields)
        if self.wire.input_is == "cumulative":
            return not self._inputs(text, begins=False)
        return bool(DIALLED.fullmatch(text.strip())) if self.wire.input_holds_code else None

    def _inputs(self, text: str, begins: bool) -> str:
        """Return the inputs without the code in front of them."""
        holds_code = self.wire.input_holds_code and (begins or self.wire.input_is == "cumulative")
        return after_our_code(text) if holds_code else typed(text)

    def render(self, fields: Fields, reply: Reply) -> HttpResponse:
        answer = self.wire.is_last if reply.ends else self.wire.goes_on
        values = {
            "session": word(fields, self.wire.session, 80),
            "number": word(fields, self.wire.number, 40),
            "text": reply.text,
        }
        # In one pass, so that nothing in a value is taken for a place to fill in.
        body = PLACES.sub(lambda place: self._written(values[place["name"]]), answer.template)
        return HttpResponse(body, content_type=self.wire.content_type, headers=answer.headers)

    def _written(self, value: str) -> str:
        if "json" in self.wire.content_type:
            return json.dumps(value, ensure_ascii=False)
        return escape(value) if "xml" in self.wire.content_type else value

    def acknowledge(self, fields: Fields) -> HttpResponse:
        return plain_answer("OK")


gateway = Generic()
