"""Hubtel (Ghana): Programmable Services, a JSON POST for each hop with the input that was typed last.

Field names are the provider's: developers.hubtel.com/docs/api-reference-prog-services. What is not certain:

- Its pages spell types small (`initiation`), its SDK large (`Initiation`), and `serviceCode` both ways; so case
  counts nowhere. An end is `release` in the pages and `Timeout` in the SDK; both are taken.
- `Sequence` is shown in its examples as the number of the message in the session, from 1, and tells a hop from
  its copies here. Whether a hop that is sent again keeps its number is not said; if one came under a new number
  it would count as a new answer, and still move no money (ussd/hops.py). Without a number, place and text tell.
- The fields of the answer are those of the provider's SDK; `Label` and the types are for its apps.
- Nothing is signed. It calls from fixed addresses, which belong into the proxy's filter.
- SMS: it documents sending and a query for the status, neither incoming messages nor delivery callbacks.
"""

from datetime import datetime

from django.http import HttpRequest, HttpResponse

from ussd.gateways.protocol import (
    NETWORK_CHARS,
    Ended,
    Fields,
    JsonHops,
    NotOurs,
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
from ussd.sessions import Event, Reply

ENDS = frozenset({"release", "timeout"})


class Hubtel(JsonHops):
    """What Hubtel pushes to a service interaction URL."""

    name = "hubtel"
    secret_setting = "HUBTEL_SECRET"  # noqa: S105 - the setting's name
    country = "GH"

    def fields(self, request: HttpRequest, **path: str) -> Fields:
        return {name.lower(): value for name, value in json_of(request).items()}

    def read(self, fields: Fields, at: datetime) -> Event | Ended:
        session, kind = session_of(fields, "sessionid"), word(fields, "type", 20).lower()
        network = word(fields, "operator", NETWORK_CHARS)
        if kind in ENDS:
            return Ended(session, status=kind, network=network)
        # In its web shop anybody may type anybody's number: only the network vouches for one.
        if word(fields, "platform").lower() not in ("", "ussd"):
            raise NotOurs
        code, message = word(fields, "servicecode"), said(fields, "message")
        after_our_code(code)
        begins = kind == "initiation"
        return Event(
            gateway=self.name,
            gateway_session=session,
            msisdn=msisdn_of(word(fields, "mobile"), self.country),
            service_code=code[:30],
            text=after_our_code(message) if begins else typed(message),
            network=network,
            latest=Latest(begins, key=word(fields, "sequence", 20)),
        )

    def render(self, fields: Fields, reply: Reply) -> HttpResponse:
        return json_answer(
            SessionId=word(fields, "sessionid"),
            Type="release" if reply.ends else "response",
            Message=reply.text,
            Label="Jirani",
            ClientState="",
            DataType="display" if reply.ends else "input",
            FieldType="text",
        )


gateway = Hubtel()
