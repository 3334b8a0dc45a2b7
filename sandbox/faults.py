"""What goes wrong on request: a seeded script of rules for requests we receive and callbacks we send.

A rule matches a path (and the n-th, every n-th, or a share of the requests to it) and may change three
things: the answer (`ack`), what the operator does (`outcome`) and the callbacks that follow (`callbacks`).
The first rule that matches a request is the one that counts.

    {"seed": 7, "rules": [{
        "match": {"path": "/mpesa/b2c/v3/paymentrequest", "nth": 3},
        "ack": {"mode": "lost_after_accept", "after_ms": 9000},
        "outcome": {"code": 2001},
        "callbacks": [{"after_ms": 200, "dup": true}, {"after_ms": 60000, "url": "timeout"}]
    }]}

- `match.path` is a path of ours, or one of the callbacks we start: /ussd, /ussd-events, /sms,
  /c2b/validation, /c2b/confirmation. With `nth`, `every` or `rate`; with none of them, every request.
- `ack`: a mode of ACK_MODES, `after_ms`, for `http` also `status` and `body`; `accepted` says whether the
  operator acts although the answer is an error.
- `outcome`: `code` forces a result code; `after_ms` delays a B2C payment itself (its status is Pending until
  then); for SMS `delivery` and `failure_reason`; for the pull statement `missing` receipt numbers and
  `extra` rows.
- `callbacks`: one entry for each; none means that it never comes. `dup` is the number of copies sent at once
  (true is two); `url` is "timeout", "result" or a full address; `ip` is for the mode `from_ip`. In the mode
  `answer_lost` the callback arrives and its answer does not come back.
- `label`: what people call the rule.

The same script can be put on one phone's line (`PUT /phones/{msisdn}/faults`), for its USSD hops alone.
"""

import asyncio
import json
import random
import secrets
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

ACK_MODES = frozenset(
    {"ok", "slow", "lost_before_accept", "lost_after_accept", "http", "html", "truncated", "reset"}
    | {"dup_id", "token_expired", "spike"}
)
CALLBACK_MODES = frozenset(
    {"normal", "never", "dup", "before_ack", "reorder", "from_ip", "answer_lost"}
    | {"wrong_amount", "wrong_party", "unknown_id", "malformed"}
)
# What these modes answer says nothing about whether the request was taken: `accepted` in the rule decides,
# and this is its default.
ACCEPTED_BY_DEFAULT = {"http": False, "html": False, "truncated": True, "reset": True}
NEVER_ACCEPTED = frozenset({"lost_before_accept", "dup_id", "token_expired", "spike"})


class BadRule(ValueError):
    """A fault rule that cannot be understood."""


@dataclass(frozen=True)
class CallbackPlan:
    """When and how one callback is sent."""

    after_ms: int | None = None
    mode: str = "normal"
    copies: int = 1
    url: str = ""
    ip: str = ""

    @classmethod
    def read(cls, raw: Mapping[str, Any]) -> "CallbackPlan":
        """Return the plan that a script's entry describes."""
        mode = raw.get("mode", "normal")
        if mode not in CALLBACK_MODES:
            raise BadRule(f"callback mode must be one of {sorted(CALLBACK_MODES)}, got {mode!r}")
        dup = raw.get("dup", 2 if mode == "dup" else 1)
        copies = 2 if dup is True else int(dup)
        after_ms = raw.get("after_ms")
        wait = None if after_ms is None else int(after_ms)
        return cls(wait, mode, copies, raw.get("url", ""), raw.get("ip", ""))


def hop_trouble(plans: Sequence[CallbackPlan]) -> str:
    """Say in words what happens to a hop that is sent by these plans; nothing for one that goes well."""
    if not plans or plans[0].mode == "never":
        return "lost on the way there"
    said = [f"held up {plans[0].after_ms / 1000:g} s"] if plans[0].after_ms else []
    said += [f"delivered {plans[0].copies} times"] if plans[0].copies > 1 else []
    said += ["answer lost on the way back"] if plans[0].mode == "answer_lost" else []
    return ", ".join(said)


@dataclass(frozen=True)
class Fault:
    """What happens to one request; the default is that nothing does."""

    ack: Mapping[str, Any] = field(default_factory=dict)
    outcome: Mapping[str, Any] = field(default_factory=dict)
    callbacks: tuple[CallbackPlan, ...] = (CallbackPlan(),)

    @property
    def mode(self) -> str:
        """Return how the request is answered."""
        return self.ack.get("mode", "ok")

    @property
    def after_s(self) -> float:
        """Return how long the answer, or its loss, takes."""
        return int(self.ack.get("after_ms", 0)) / 1000

    @property
    def is_accepted(self) -> bool:
        """Return whether the operator acts on the request at all."""
        if self.mode in NEVER_ACCEPTED:
            return False
        return bool(self.ack.get("accepted", ACCEPTED_BY_DEFAULT.get(self.mode, True)))

    @property
    def before_ack(self) -> bool:
        """Return whether the result overtakes the answer."""
        return any(plan.mode == "before_ack" for plan in self.callbacks)

    @property
    def code(self) -> str | int | None:
        """Return the result code that is forced, or None when the wallets decide."""
        code = self.outcome.get("code")
        return None if code in (None, 0, "0") else code


NO_FAULT = Fault()


@dataclass
class Rule:
    """A fault and the requests it is for."""

    path: str
    fault: Fault
    nth: int | None = None
    every: int | None = None
    rate: float | None = None
    label: str = ""
    seen: int = 0
    used: int = 0

    @classmethod
    def read(cls, raw: Mapping[str, Any]) -> "Rule":
        """Return the rule that a script's entry describes."""
        match = raw.get("match")
        if not isinstance(match, Mapping) or not match.get("path"):
            raise BadRule("a rule needs match.path")
        ack = raw.get("ack") or {}
        if ack.get("mode", "ok") not in ACK_MODES:
            raise BadRule(f"ack mode must be one of {sorted(ACK_MODES)}, got {ack['mode']!r}")
        planned = raw.get("callbacks")
        plans = (CallbackPlan(),) if planned is None else tuple(CallbackPlan.read(entry) for entry in planned)
        fault = Fault(ack, raw.get("outcome") or {}, plans)
        label = str(raw.get("label", ""))
        return cls(match["path"], fault, match.get("nth"), match.get("every"), match.get("rate"), label)

    def hits(self, path: str, dice: random.Random) -> bool:
        """Count a request and return whether this rule is for it."""
        if path != self.path:
            return False
        self.seen += 1
        if self.nth is not None:
            return self.seen == self.nth
        if self.every is not None:
            return self.seen % self.every == 0
        return self.rate is None or dice.random() < self.rate


class Faults:
    """The script in force."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Let everything work again."""
        self.rules: list[Rule] = []
        self.dice = random.Random(0)

    def load(self, script: Mapping[str, Any]) -> None:
        """Replace the script; counters start at zero and the dice at the seed."""
        rules = [Rule.read(raw) for raw in script.get("rules", [])]
        self.rules, self.dice = rules, random.Random(script.get("seed", 0))

    def shown(self) -> list[dict[str, Any]]:
        """Return each rule by its label, and how often it was looked at and used."""
        return [{"label": rule.label, "seen": rule.seen, "used": rule.used} for rule in self.rules]

    def match(self, path: str) -> Fault:
        """Return what happens to this request or callback."""
        # Every rule counts every request, so that "the third" means the same whatever stands above it.
        hitting = [rule for rule in self.rules if rule.hits(path, self.dice)]
        if not hitting:
            return NO_FAULT
        hitting[0].used += 1
        return hitting[0].fault


# -- answers that go wrong -----------------------------------------------------------------------------------


def gateway_error(status: int, code: str, message: str) -> JSONResponse:
    """Return an error as the Daraja gateway writes it."""
    body = {"requestId": f"{secrets.randbelow(90000) + 10000}-{secrets.randbelow(10**8)}-1"}
    return JSONResponse(body | {"errorCode": code, "errorMessage": message}, status)


class Lost(Response):
    """No answer: the connection is closed, or torn down with a reset, without a byte."""

    def __init__(self, *, reset: bool = False) -> None:
        super().__init__()
        self.reset = reset

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Close the caller's connection and wait until the server has noticed."""
        transport: asyncio.Transport = scope["state"]["transport"]
        if self.reset:
            # Lingering for zero seconds makes the kernel send RST instead of FIN.
            transport.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
            )
        transport.abort()
        while (await receive())["type"] != "http.disconnect":
            pass


def _scripted_body(ack: Mapping[str, Any]) -> Response:
    """Return the status and body that a rule of mode `http` asks for."""
    status, body = int(ack.get("status", 500)), ack.get("body", "")
    return PlainTextResponse(body, status) if isinstance(body, str) else JSONResponse(body, status)


def _truncated(real: Response) -> Response:
    """Return the first half of the real answer: valid HTTP, unreadable JSON."""
    return Response(bytes(real.body)[: len(real.body) // 2], real.status_code, media_type=real.media_type)


async def answer(fault: Fault, accept: Callable[[], Awaitable[Response]]) -> Response:
    """Return the answer to a request, letting the operator `accept` it or not as the fault says."""
    mode = fault.mode
    real = await accept() if fault.is_accepted else Response(status_code=503)
    await asyncio.sleep(fault.after_s)
    match mode:
        case "lost_before_accept" | "lost_after_accept":
            return Lost()
        case "reset":
            return Lost(reset=True)
        case "http":
            return _scripted_body(fault.ack)
        case "html":
            page = "<html><body><h1>503 Service Temporarily Unavailable</h1></body></html>"
            return HTMLResponse(page, int(fault.ack.get("status", 503)))
        case "truncated":
            return _truncated(real)
        case "dup_id":
            return gateway_error(500, "500.002.1001", "Duplicate OriginatorConversationID.")
        case "token_expired":
            return gateway_error(401, "404.001.03", "Invalid Access Token")
        case "spike":
            return gateway_error(500, "500.003.02", "Error Occurred: Spike Arrest Violation")
    return real


# -- callbacks that go wrong ---------------------------------------------------------------------------------

AMOUNT_NAMES = frozenset({"TransactionAmount", "Amount", "TransAmount"})
PARTY_NAMES = frozenset({"ReceiverPartyPublicName", "PhoneNumber", "MSISDN", "phoneNumber", "from"})
ID_NAMES = frozenset(
    {"OriginatorConversationID", "ConversationID", "CheckoutRequestID", "MerchantRequestID"}
    | {"BillRefNumber", "id"}
)


def _more(value: Any) -> Any:
    """Return another amount of the same type and notation."""
    return f"{float(value) + 1:.2f}" if isinstance(value, str) else value + 1


def _other_party(value: Any) -> Any:
    """Return another number of the same type and notation."""
    text = str(value)
    for place in range(len(text) - 1, -1, -1):
        if text[place].isdigit():
            changed = text[:place] + str((int(text[place]) + 1) % 10) + text[place + 1 :]
            return type(value)(changed)
    return value


def _other_id(value: Any) -> Any:
    """Return an identifier that nobody has issued."""
    return f"unknown-{secrets.token_hex(4)}" if len(str(value)) > 20 else secrets.token_hex(4).upper()


TWISTS: dict[str, tuple[frozenset[str], Callable[[Any], Any]]] = {
    "wrong_amount": (AMOUNT_NAMES, _more),
    "wrong_party": (PARTY_NAMES, _other_party),
    "unknown_id": (ID_NAMES, _other_id),
}


def twist(body: Any, mode: str) -> Any:
    """Return a copy of a callback's body with its amount, party or identifiers changed, as `mode` says."""
    if mode not in TWISTS:
        return body
    names, change = TWISTS[mode]
    if isinstance(body, list):
        return [twist(item, mode) for item in body]
    if not isinstance(body, dict):
        return body
    label = body.get("Key") or body.get("Name")
    if label in names and "Value" in body:
        return body | {"Value": change(body["Value"])}
    return {key: change(value) if key in names else twist(value, mode) for key, value in body.items()}


def malformed(body: Mapping[str, Any]) -> bytes:
    """Return the first half of a JSON body."""
    whole = json.dumps(body).encode()
    return whole[: len(whole) // 2]
