"""How a test speaks for each gateway: its recorded payloads, with another session, number or text put in."""

import itertools
import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from django.conf import settings

from tests.docs.tables import REPOSITORY
from ussd.gateways import africastalking, arkesel, generic, hubtel, infobip, nalo
from ussd.gateways.protocol import Gateway

CALLBACKS = REPOSITORY / "fixtures" / "callbacks"
NUMBERS = itertools.count(1)
FORM = "application/x-www-form-urlencoded"


def recorded(gateway: str, name: str) -> dict[str, Any]:
    """Return a payload as it was written down."""
    return json.loads((CALLBACKS / gateway / f"{name}.json").read_text())


@dataclass
class Call:
    """One request as the gateway sends it."""

    method: str
    where: str
    body: bytes
    content_type: str


@dataclass
class Typed:
    """Where a session is: its id, its number, what was dialled behind our code, and every input."""

    session: str
    msisdn: str
    shortcut: str = ""
    inputs: list[str] = field(default_factory=list)

    @property
    def dialled(self) -> str:
        return settings.USSD_CODE.rstrip("#") + (f"*{self.shortcut}#" if self.shortcut else "#")

    @property
    def all(self) -> str:
        return "*".join([*([self.shortcut] if self.shortcut else []), *self.inputs])


class Wire:
    """One gateway's manners. `needs`: fields without which nothing can be done; `network`: where it is told;
    `tells_hops`: a copy of an answer can always be told from the next one."""

    gateway: Gateway
    name: str
    needs: tuple[str, ...]
    number = ""
    network = ""
    latest = True
    tells_hops = False
    reports_ends = False
    has_sessions = True

    def payload(self, typed: Typed) -> dict[str, Any]:
        """Return the fields of the hop that brings the last input."""
        raise NotImplementedError

    def end(self, typed: Typed) -> dict[str, Any]:
        raise NotImplementedError

    def call(self, payload: dict[str, Any], typed: Typed) -> Call:
        return Call("POST", "ussd", json.dumps(payload).encode(), "application/json")

    def end_call(self, payload: dict[str, Any], typed: Typed) -> Call:
        return self.call(payload, typed)

    def screen(self, response: Any) -> tuple[str, bool]:
        """Return what the phone shows, and whether it waits for an answer."""
        raise NotImplementedError

    def new_session(self) -> str:
        return f"session-{next(NUMBERS):032x}"

    def described(self) -> str:
        """Return the setting that the generic gateway needs."""
        return ""


class AfricasTalking(Wire):
    gateway, name = africastalking.gateway, "africastalking"
    needs, number, network = ("sessionId", "phoneNumber", "serviceCode"), "phoneNumber", "networkCode"
    latest, tells_hops, reports_ends = False, True, True

    def payload(self, typed: Typed) -> dict[str, Any]:
        known = {"sessionId": typed.session, "phoneNumber": f"+{typed.msisdn}", "text": typed.all}
        return recorded(self.name, "ussd_next" if typed.inputs else "ussd_first") | known

    def end(self, typed: Typed) -> dict[str, Any]:
        return recorded(self.name, "ussd_end") | {"sessionId": typed.session, "input": typed.all}

    def call(self, payload: dict[str, Any], typed: Typed) -> Call:
        return Call("POST", "ussd", urlencode(payload).encode(), FORM)

    def end_call(self, payload: dict[str, Any], typed: Typed) -> Call:
        return Call("POST", "ussd-events", urlencode(payload).encode(), FORM)

    def screen(self, response: Any) -> tuple[str, bool]:
        assert response["Content-Type"].startswith("text/plain")
        text = response.content.decode()
        assert text[:4] in ("CON ", "END ")
        return text[4:], text.startswith("CON ")


class Hubtel(Wire):
    gateway, name = hubtel.gateway, "hubtel"
    needs, number, network, reports_ends = ("SessionId", "Mobile"), "Mobile", "Operator", True
    tells_hops = True

    def payload(self, typed: Typed) -> dict[str, Any]:
        known = {"SessionId": typed.session, "Mobile": typed.msisdn, "Sequence": len(typed.inputs) + 1}
        message = typed.inputs[-1] if typed.inputs else typed.dialled
        return recorded(self.name, "ussd_next" if typed.inputs else "ussd_first") | known | {"Message": message}

    def end(self, typed: Typed) -> dict[str, Any]:
        return recorded(self.name, "ussd_end") | {"SessionId": typed.session}

    def screen(self, response: Any) -> tuple[str, bool]:
        answer = response.json()
        assert set(answer) == {"SessionId", "Type", "Message", "Label", "ClientState", "DataType", "FieldType"}
        assert answer["Type"] in ("response", "release")
        assert (answer["DataType"] == "input") == (answer["Type"] == "response")
        return answer["Message"], answer["Type"] == "response"


class HubtelWithoutSequence(Hubtel):
    """Should the number of the hop ever be missing, place and text tell."""

    tells_hops = False

    def payload(self, typed: Typed) -> dict[str, Any]:
        return super().payload(typed) | {"Sequence": None}


class Infobip(Wire):
    gateway, name = infobip.gateway, "infobip"
    needs, number, network, reports_ends = ("msisdn",), "msisdn", "ussdGwId", True

    def payload(self, typed: Typed) -> dict[str, Any]:
        text = typed.inputs[-1] if typed.inputs else typed.dialled
        known = {"msisdn": typed.msisdn, "text": text}
        return recorded(self.name, "ussd_next" if typed.inputs else "ussd_first") | known

    def end(self, typed: Typed) -> dict[str, Any]:
        return recorded(self.name, "ussd_end")

    def call(self, payload: dict[str, Any], typed: Typed) -> Call:
        step = "response" if typed.inputs else "start"
        where = f"ussd/session/{typed.session}/{step}"
        return Call("POST", where, json.dumps(payload).encode(), "application/json")

    def end_call(self, payload: dict[str, Any], typed: Typed) -> Call:
        where = f"ussd/session/{typed.session}/end"
        return Call("POST", where, json.dumps(payload).encode(), "application/json")

    def screen(self, response: Any) -> tuple[str, bool]:
        answer = response.json()
        assert set(answer) == {"ussdMenu", "shouldClose", "responseExitCode", "responseMessage"}
        assert answer["responseExitCode"] == 200
        return answer["ussdMenu"], not answer["shouldClose"]


class Nalo(Wire):
    gateway, name = nalo.gateway, "nalo"
    needs, number, network = ("MSISDN",), "MSISDN", "NETWORK"

    def payload(self, typed: Typed) -> dict[str, Any]:
        data = typed.inputs[-1] if typed.inputs else typed.dialled
        known = {"MSISDN": typed.msisdn, "SESSIONID": typed.session, "USERDATA": data}
        return recorded(self.name, "ussd_next" if typed.inputs else "ussd_first") | known

    def screen(self, response: Any) -> tuple[str, bool]:
        answer = response.json()
        assert set(answer) == {"USERID", "MSISDN", "MSG", "MSGTYPE"}
        return answer["MSG"], answer["MSGTYPE"] is True


class NaloWithoutSession(Nalo):
    """An older client: the session is the number's latest."""

    has_sessions = False

    def payload(self, typed: Typed) -> dict[str, Any]:
        payload = super().payload(typed)
        del payload["SESSIONID"]
        return payload


class Arkesel(Wire):
    gateway, name = arkesel.gateway, "arkesel"
    needs, number, network = ("sessionID", "msisdn"), "msisdn", "network"

    def payload(self, typed: Typed) -> dict[str, Any]:
        data = typed.inputs[-1] if typed.inputs else typed.dialled
        known = {"msisdn": typed.msisdn, "sessionID": typed.session, "userData": data}
        return recorded(self.name, "ussd_next" if typed.inputs else "ussd_first") | known

    def screen(self, response: Any) -> tuple[str, bool]:
        answer = response.json()
        assert set(answer) == {"sessionID", "userID", "msisdn", "message", "continueSession"}
        return answer["message"], answer["continueSession"] is True


class GenericWire(Wire):
    """The generic gateway as one of the recorded descriptions has it."""

    gateway, name = generic.gateway, "generic"
    file = ""

    def __init__(self) -> None:
        self.record = recorded("generic", self.file)
        described = self.record["described"]
        self.wire = generic.Wire(**described) if described else generic.USUAL
        self.number, self.network = self.wire.number, self.wire.network
        self.needs = tuple(name for name in (self.wire.session, self.wire.number) if name)
        self.latest, self.has_sessions = self.wire.input_is == "latest", bool(self.wire.session)
        self.tells_hops = not self.latest or bool(self.wire.hop)
        self.reports_ends = self.wire.ends is not None

    def described(self) -> str:
        return json.dumps(self.record["described"]) if self.record["described"] else ""

    def payload(self, typed: Typed) -> dict[str, Any]:
        payload = self.record["next" if typed.inputs else "first"] | {self.wire.number: typed.msisdn}
        if self.wire.session:
            payload[self.wire.session] = typed.session
        return payload | {self.wire.input: self.text(typed)}

    def text(self, typed: Typed) -> str:
        if self.latest:
            first = typed.dialled if self.wire.input_holds_code else typed.shortcut
            return typed.inputs[-1] if typed.inputs else first
        if not self.wire.input_holds_code:
            return typed.all
        return settings.USSD_CODE.rstrip("#") + (f"*{typed.all}#" if typed.all else "#")

    def end(self, typed: Typed) -> dict[str, Any]:
        return self.record["end"] | {self.wire.session: typed.session}

    def call(self, payload: dict[str, Any], typed: Typed) -> Call:
        if self.wire.sends == "json":
            return super().call(payload, typed)
        if self.wire.sends == "query":
            return Call("GET", "ussd?" + urlencode(payload), b"", "")
        return Call("POST", "ussd", urlencode(payload).encode(), FORM)


class KenyanForm(GenericWire):
    file = "kenyan_form"

    def screen(self, response: Any) -> tuple[str, bool]:
        text = response.content.decode()
        assert text[:4] in ("CON ", "END ")
        return text[4:], text.startswith("CON ")


class CodeInFront(KenyanForm):
    file = "code_in_front"


class JsonLatest(GenericWire):
    file = "json_latest"

    def screen(self, response: Any) -> tuple[str, bool]:
        assert response["Content-Type"] == "application/json"
        answer = response.json()
        return answer["message"], answer["reply"]


class NoSession(GenericWire):
    file = "no_session"

    def screen(self, response: Any) -> tuple[str, bool]:
        return response.content.decode(), response["Freeflow"] == "FC"


WIRES = (
    AfricasTalking,
    Hubtel,
    HubtelWithoutSequence,
    Infobip,
    Nalo,
    NaloWithoutSession,
    Arkesel,
    KenyanForm,
    CodeInFront,
    JsonLatest,
    NoSession,
)
