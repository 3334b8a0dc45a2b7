"""The operator's front door: reads a request, keeps it for `/control/requests`, applies the fault script."""

import itertools
import json
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox.clock import Clock, iso
from sandbox.faults import Fault, Faults, Lost, answer, gateway_error

log = logging.getLogger("sandbox.gateway")

SECRETS = frozenset({"securitycredential", "password", "apikey", "authorization", "pin"})
KEPT = 5000


class Refused(Exception):
    """A request that the gateway turns away with one of its error codes."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


@dataclass(frozen=True)
class Call:
    """One request, read. `body` is None when it could not be read; `since` is a monotonic time."""

    path: str
    headers: dict[str, str]
    query: dict[str, str]
    body: dict[str, Any] | None
    fault: Fault
    since: float

    def text(self, name: str) -> str:
        """Return a field of the body as text, empty when it is not there."""
        value = (self.body or {}).get(name)
        return "" if value is None else str(value).strip()


Accept = Callable[[Call], Awaitable[Response]]


def masked(fields: dict[str, Any]) -> dict[str, Any]:
    """Return `fields` with every secret replaced by asterisks."""
    return {name: "***" if name.lower() in SECRETS else value for name, value in fields.items()}


def read_body(raw: bytes, content_type: str) -> dict[str, Any] | None:
    """Return a form or a JSON object as a dict, or None when it is neither."""
    if content_type.startswith("application/x-www-form-urlencoded"):
        return dict(parse_qsl(raw.decode("utf-8", "replace"), keep_blank_values=True))
    try:
        body = json.loads(raw or b"{}")
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


class Gateway:
    """Makes routes out of what the operator does, and remembers who called."""

    def __init__(self, clock: Clock, faults: Faults) -> None:
        self.clock, self.faults = clock, faults
        self.requests: deque[dict[str, Any]] = deque(maxlen=KEPT)
        self._numbers = itertools.count(1)

    def route(self, path: str, accept: Accept, method: str = "POST") -> Route:
        """Return a route that records its requests and answers them as the fault script says."""

        async def endpoint(request: Request) -> Response:
            raw = await request.body()
            call = Call(
                path=path,
                headers=dict(request.headers),
                query=dict(request.query_params),
                body=read_body(raw, request.headers.get("content-type", "")),
                fault=self.faults.match(path),
                since=time.monotonic(),
            )
            entry = self._record(method, call)
            response = await answer(call.fault, lambda: self._accept(accept, call))
            entry["status"] = None if isinstance(response, Lost) else response.status_code
            milliseconds = round((time.monotonic() - call.since) * 1000)
            log.info("%s %s: %s (%s) in %s ms", method, path, entry["status"], call.fault.mode, milliseconds)
            return response

        return Route(path, endpoint, methods=[method])

    async def _accept(self, accept: Accept, call: Call) -> Response:
        """Let the operator act, turning a refusal into the gateway's error."""
        try:
            return await accept(call)
        except Refused as refusal:
            return gateway_error(refusal.status, refusal.code, refusal.message)

    def _record(self, method: str, call: Call) -> dict[str, Any]:
        """Keep a request, without its secrets."""
        entry: dict[str, Any] = {
            "id": next(self._numbers),
            "at": iso(self.clock.now()),
            "method": method,
            "path": call.path,
            "headers": masked(call.headers),
            "body": None if call.body is None else masked(call.body),
            "fault": call.fault.mode,
            "status": None,
        }
        self.requests.append(entry)
        return entry
