"""Arkesel (Ghana): a JSON POST for each hop with the input that was typed last.

Field names are the provider's: developers.arkesel.com (USSDREQUEST, USSDRESPONSE) and its own sample,
github.com/ArkeselDev/fastapi-ussd-sample. What is not certain:

- The sample compares `userData` with single inputs, so it is the latest; one public client compares it with all
  inputs joined by stars. If an account sends them joined, connect it through the generic gateway instead.
- `userData` of a first hop is taken for the dial string if it begins with a star, and else not looked at.
- A hop has no number of its own; ussd/hops.py says how a copy is told from a new answer.
- No report on ended sessions, no signature and no fixed addresses were found, nor the fields of SMS callbacks.
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
    session_of,
    typed,
    word,
)
from ussd.hops import Latest
from ussd.sessions import Event, Reply


class Arkesel(JsonHops):
    """What Arkesel posts to a callback URL."""

    name = "arkesel"
    secret_setting = "ARKESEL_SECRET"  # noqa: S105 - the setting's name
    country = "GH"

    def read(self, fields: Fields, at: datetime) -> Event | Ended:
        begins, data = flag(fields, "newSession"), said(fields, "userData")
        dialled = data if data.startswith("*") else ""
        return Event(
            gateway=self.name,
            gateway_session=session_of(fields, "sessionID"),
            msisdn=msisdn_of(word(fields, "msisdn"), self.country),
            service_code="",
            text=after_our_code(dialled) if begins else typed(data),
            network=word(fields, "network", NETWORK_CHARS),
            latest=Latest(begins),
        )

    def render(self, fields: Fields, reply: Reply) -> HttpResponse:
        return json_answer(
            sessionID=word(fields, "sessionID"),
            userID=word(fields, "userID"),
            msisdn=word(fields, "msisdn"),
            message=reply.text,
            continueSession=not reply.ends,
        )


gateway = Arkesel()
