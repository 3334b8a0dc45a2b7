"""Nalo (Ghana, Nigeria): a JSON POST for each hop with the input that was typed last.

Field names are the provider's (its "USSD API DOCUMENTATION" collection on documenter.getpostman.com). What is
not certain:

- `MSGTYPE` is true for the first hop of a session, whose `USERDATA` is the whole dial string. Later hops carry
  no code, so only the first can be refused for another one.
- A hop has no number of its own; ussd/hops.py says how a copy is told from a new answer.
- Older clients sent no `SESSIONID`. Then a session is the number's latest.
- No report on ended sessions, no signature and no fixed addresses were found. Its SMS pages offer delivery
  reports, whose fields they do not tell: neither they nor incoming messages are taken.
"""

from datetime import datetime

from django.http import HttpResponse

from ussd.gateways.protocol import (
    NETWORK_CHARS,
    Ended,
    Fields,
    JsonHops,
    after_our_code,
    flag,
    json_answer,
    msisdn_of,
    said,
    session_by_number,
    session_of,
    typed,
    word,
)
from ussd.hops import Latest
from ussd.sessions import Event, Reply


class Nalo(JsonHops):
    """What Nalo posts to an endpoint URL."""

    name = "nalo"
    secret_setting = "NALO_SECRET"  # noqa: S105 - the setting's name
    country = "GH"

    def read(self, fields: Fields, at: datetime) -> Event | Ended:
        begins, data = flag(fields, "MSGTYPE"), said(fields, "USERDATA")
        text = after_our_code(data) if begins else typed(data)
        msisdn = msisdn_of(word(fields, "MSISDN"), self.country)
        if fields.get("SESSIONID"):
            session = session_of(fields, "SESSIONID")
        else:
            session, _ = session_by_number(self.name, msisdn, begins=begins, at=at)
        return Event(
            gateway=self.name,
            gateway_session=session,
            msisdn=msisdn,
            service_code="",
            text=text,
            network=word(fields, "NETWORK", NETWORK_CHARS),
            latest=Latest(begins),
        )

    def render(self, fields: Fields, reply: Reply) -> HttpResponse:
        return json_answer(
            USERID=word(fields, "USERID"),
            MSISDN=word(fields, "MSISDN"),
            MSG=reply.text,
            MSGTYPE=not reply.ends,
        )


gateway = Nalo()
