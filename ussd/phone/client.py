"""The sandbox's handset over HTTP: what `/phone/` and `manage.py dial` press.

It goes the way of a real subscriber: keys to the operator, and the operator calls our gateways. PINs pass
through here and stay nowhere.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import httpx

# A hop may take the aggregator's whole patience of 15 s before the network gives up.
TIMEOUT = httpx.Timeout(20, connect=2)
# What a handset shows when the network ends a session, and not the service.
NETWORK_ERROR = "Connection problem or invalid MMI code."


class SandboxDown(Exception):
    """Nobody answers at SANDBOX_URL."""

    def __init__(self) -> None:
        super().__init__("The phone network (sandbox) is not running. Start it with: make demo")


class Refused(Exception):
    """The phone cannot do that now; the text says why."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class InvalidMsisdn(ValueError):
    """What was given is no phone number."""


def clean_msisdn(typed: str) -> str:
    """Return E.164 digits of a number as people write it: +254711000001, 254 711 000001, 0711000001.

    Raises:
        InvalidMsisdn: it is not 9 to 15 digits.
    """
    digits = re.sub(r"[\s\-+()]", "", typed)[:40]
    if re.fullmatch(r"0[0-9]{9}", digits, flags=re.ASCII):
        digits = "254" + digits[1:]
    if not re.fullmatch(r"[1-9][0-9]{8,14}", digits, flags=re.ASCII):
        raise InvalidMsisdn(f"a phone number has 9 to 15 digits, like +254711000001; got {typed[:20]!r}")
    return digits


@lru_cache
def _connections(base_url: str) -> httpx.Client:
    """Return the process's one client: making one costs more than the calls, and the page asks every second."""
    # trust_env: a proxy of the machine must not see what is typed.
    return httpx.Client(base_url=base_url, timeout=TIMEOUT, trust_env=False)


def _answer(http: httpx.Client, method: str, path: str, **request: Any) -> dict[str, Any]:
    """Call the sandbox and return its JSON object.

    Raises:
        SandboxDown: no connection, or silence.
        Refused: the sandbox said no.
    """
    try:
        response = http.request(method, path, **request)
        answer = response.json()
    except (httpx.TransportError, ValueError):
        # `from None`: the chained exception would hold the request, and with it a PIN.
        raise SandboxDown from None
    if not isinstance(answer, dict):
        raise SandboxDown
    if response.is_error:
        raise Refused(response.status_code, str(answer.get("error", "The network refused.")))
    return answer


class Handset:
    """One subscriber's phone."""

    def __init__(self, msisdn: str, base_url: str) -> None:
        self.msisdn = clean_msisdn(msisdn)
        self._http = _connections(base_url)

    def _call(self, method: str, path: str = "", body: dict[str, Any] | None = None) -> dict[str, Any]:
        return _answer(self._http, method, f"/phones/{self.msisdn}{path}", json=body)

    def switch_on(self) -> dict[str, Any]:
        """Show the phone, creating it with an empty wallet and PIN 1234 if nobody has had this number."""
        return self._call("PUT", body={})

    def state(self) -> dict[str, Any]:
        """Return everything that can be seen on the phone."""
        return self._call("GET")

    def dial(self, code: str) -> dict[str, Any]:
        """Dial a USSD code and return the first screen."""
        return self._call("POST", "/dial", {"code": code})

    def type(self, text: str) -> dict[str, Any]:
        """Answer the open dialogue and return the next screen."""
        return self._call("POST", "/input", {"text": text})

    def hang_up(self) -> dict[str, Any]:
        """End the open dialogue."""
        return self._call("POST", "/hangup", {})

    def approve_prompt(self, prompt_id: str, pin: str) -> dict[str, Any]:
        """Enter the wallet PIN at a payment prompt."""
        return self._call("POST", f"/prompts/{_id(prompt_id)}", {"pin": pin})

    def cancel_prompt(self, prompt_id: str) -> dict[str, Any]:
        """Refuse a payment prompt."""
        return self._call("POST", f"/prompts/{_id(prompt_id)}", {"cancel": True})

    def send_sms(self, to: str, text: str) -> dict[str, Any]:
        """Send a text message."""
        return self._call("POST", "/sms", {"to": to, "text": text})

    def break_line(self, rules: list[dict[str, Any]]) -> dict[str, Any]:
        """Let the phone's USSD hops suffer these faults; none mends the line."""
        return self._call("PUT", "/faults", {"rules": rules})

    def pay_paybill(self, *, paybill: str, account: str, amount_cents: int, pin: str) -> dict[str, Any]:
        """Pay a paybill number from the wallet's own menu."""
        body = {"paybill": paybill, "account": account, "amount_cents": amount_cents, "pin": pin}
        return self._call("POST", "/paybill", body)


def wire(msisdns: Iterable[str], after: int, base_url: str) -> dict[str, Any]:
    """Return what went over the wire to and from these phones after the entry with this number."""
    query = {"phones": ",".join(map(clean_msisdn, msisdns)), "after": str(after)}
    return _answer(_connections(base_url), "GET", "/wire", params=query)


def _id(prompt_id: str) -> str:
    """Return a prompt's number, so that nothing else gets into the address."""
    if not re.fullmatch(r"[A-Za-z0-9-]{1,40}", prompt_id, flags=re.ASCII):
        raise Refused(404, "There is no such prompt.")
    return prompt_id
