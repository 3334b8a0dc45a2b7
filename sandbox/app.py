"""Puts the operator, the aggregator and the phones together, and adds the control API."""

import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.africastalking import AfricasTalking
from sandbox.b2c import B2C
from sandbox.bank import Bank
from sandbox.c2b import C2B
from sandbox.callbacks import Courier
from sandbox.clock import Clock, iso
from sandbox.daraja import Daraja
from sandbox.enquiries import Enquiries
from sandbox.faults import Faults
from sandbox.gateway import Gateway
from sandbox.handset import Busy, HandsetRoutes, Handsets, NoSuchThing, json_body
from sandbox.stk import STK
from sandbox.wallets import Wallets
from sandbox.wire import Wire

log = logging.getLogger("sandbox")


@dataclass(frozen=True)
class Options:
    """How a sandbox is set up; times that a person or test may want to shorten are here."""

    data: Path
    africastalking: str
    service_code: str = "*384*77#"
    latency_ms: int = 200
    hop_s: float = 15
    idle_s: float = 60
    session_s: float = 180
    prompt_s: float = 60
    validation_s: float = 8
    token_s: int = 3599


class Sandbox:
    """One outside world."""

    def __init__(self, options: Options) -> None:
        self.clock, self.faults = Clock(), Faults()
        wire = Wire(self.clock)
        self.wallets = Wallets(options.data, wire)
        self.courier = Courier(self.clock, options.latency_ms, wire)
        self.gateway = Gateway(self.clock, self.faults)
        self.aggregator = AfricasTalking(
            self.wallets,
            self.clock,
            self.courier,
            self.faults,
            callback_url=options.africastalking,
            service_code=options.service_code,
            answer_s=options.hop_s,
        )
        self.handsets = Handsets(
            self.wallets,
            self.clock,
            self.courier,
            self.aggregator,
            idle_s=options.idle_s,
            session_s=options.session_s,
            prompt_s=options.prompt_s,
        )
        self.daraja = Daraja(self.wallets, self.clock, self.courier, self.faults, self.gateway, options.token_s)
        self.b2c, self.c2b = B2C(self.daraja), C2B(self.daraja, options.validation_s)
        self.stk = STK(self.daraja, self.handsets, self.c2b)
        self.enquiries = Enquiries(self.daraja, self.b2c)
        self.bank = Bank(self.c2b)
        self.handsets.pay_paybill = self.c2b.pay

    def routes(self) -> list[Route]:
        """Return every route of the outside world."""
        return [
            *self.daraja.routes(),
            *self.b2c.routes(),
            *self.stk.routes(),
            *self.c2b.routes(),
            *self.enquiries.routes(),
            *self.bank.routes(),
            *self.aggregator.routes(self.gateway),
            *HandsetRoutes(self.handsets).routes(),
            *Control(self).routes(),
        ]

    def resume(self) -> None:
        """Take up what a restart has interrupted."""
        self.b2c.resume()
        self.stk.resume()

    async def close(self) -> None:
        """Stop sending and close the books."""
        await self.courier.close()
        self.wallets.close()


class Control:
    """What a test or a supervisor may see and change behind the operator's back."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox

    def routes(self) -> list[Route]:
        """Return the routes under /control, and the health check."""
        return [
            Route("/healthz", self.health, methods=["GET"]),
            Route("/control/shortcodes/{code:int}", self.put_shortcode, methods=["PUT"]),
            Route("/control/money", self.money, methods=["GET"]),
            Route("/control/faults", self.put_faults, methods=["POST", "PUT"]),
            Route("/control/faults", self.get_faults, methods=["GET"]),
            Route("/control/faults", self.clear_faults, methods=["DELETE"]),
            Route("/control/requests", self.requests, methods=["GET"]),
            Route("/control/callbacks", self.callbacks, methods=["GET"]),
            Route("/control/flush", self.flush, methods=["POST"]),
            Route("/control/clock", self.set_clock, methods=["PUT"]),
            Route("/control/africastalking", self.set_africastalking, methods=["PUT"]),
        ]

    async def health(self, request: Request) -> Response:
        """Say that the sandbox works, books included."""
        self.sandbox.wallets.db.execute("SELECT 1 FROM accounts LIMIT 1")
        return JSONResponse({"ok": True, "pid": os.getpid(), "waiting": self.sandbox.courier.waiting})

    async def put_shortcode(self, request: Request) -> Response:
        """Create, rename or fund a shortcode."""
        code = str(request.path_params["code"])
        self.sandbox.wallets.put_shortcode(code, await json_body(request), self.sandbox.clock.now())
        return JSONResponse({"code": code, "name": self.sandbox.wallets.shortcode_name(code)})

    async def money(self, request: Request) -> Response:
        """Show where all money is."""
        return JSONResponse(self.sandbox.wallets.money())

    async def put_faults(self, request: Request) -> Response:
        """Put a fault script in force: {"seed", "rules": [...]}, or the bare list of rules."""
        script: Any = await request.json()
        script = {"rules": script} if isinstance(script, list) else script
        if not isinstance(script, dict):
            raise ValueError("a fault script is a JSON object or a list of rules")
        self.sandbox.faults.load(script)
        return JSONResponse({"rules": len(self.sandbox.faults.rules)})

    async def get_faults(self, request: Request) -> Response:
        """Show how often each rule was looked at and used."""
        rules = self.sandbox.faults.rules
        return JSONResponse([{"path": rule.path, "seen": rule.seen, "used": rule.used} for rule in rules])

    async def clear_faults(self, request: Request) -> Response:
        """Let everything work again."""
        self.sandbox.faults.clear()
        return JSONResponse({"rules": 0})

    async def requests(self, request: Request) -> Response:
        """List the requests that were received, oldest first, secrets masked; `?path=` picks one path."""
        path = request.query_params.get("path")
        return JSONResponse([one for one in self.sandbox.gateway.requests if path in (None, one["path"])])

    async def callbacks(self, request: Request) -> Response:
        """List the callbacks that were sent and what became of them; `?kind=` picks one kind."""
        kind = request.query_params.get("kind")
        return JSONResponse([one for one in self.sandbox.courier.sent if kind in (None, one["kind"])])

    async def flush(self, request: Request) -> Response:
        """Do now what waits for its time, and return when all of it is done."""
        return JSONResponse({"done": await self.sandbox.courier.flush()})

    async def set_clock(self, request: Request) -> Response:
        """Set the operator's clock apart from the machine's: {"offset_s": 86400}."""
        self.sandbox.clock.offset = timedelta(seconds=float((await json_body(request)).get("offset_s", 0)))
        return JSONResponse({"now": iso(self.sandbox.clock.now())})

    async def set_africastalking(self, request: Request) -> Response:
        """Change where the aggregator's callbacks go: {"url": ...}."""
        self.sandbox.aggregator.callback_url = str((await json_body(request))["url"]).rstrip("/")
        return JSONResponse({"url": self.sandbox.aggregator.callback_url})


async def not_found(request: Request, error: Exception) -> Response:
    """Answer for a phone, session or prompt that is not there."""
    return JSONResponse({"error": str(error)}, 404)


async def conflict(request: Request, error: Exception) -> Response:
    """Answer for a phone that is still waiting."""
    return JSONResponse({"error": str(error)}, 409)


async def bad_request(request: Request, error: Exception) -> Response:
    """Answer for input that makes no sense."""
    return JSONResponse({"error": str(error) or type(error).__name__}, 400)


def build(options: Options) -> Starlette:
    """Return the ASGI application; its lifespan opens and closes the books."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        sandbox = Sandbox(options)
        app.router.routes.extend(sandbox.routes())
        sandbox.resume()
        yield
        await sandbox.close()

    # The browser phone is served from another port of the same machine.
    from_this_machine = Middleware(
        CORSMiddleware,
        allow_origin_regex=r"https?://(127\.0\.0\.1|localhost)(:\d+)?",
        allow_methods=["*"],
        allow_headers=["*"],
    )
    return Starlette(
        lifespan=lifespan,
        middleware=[from_this_machine],
        exception_handlers={
            NoSuchThing: not_found,
            Busy: conflict,
            ValueError: bad_request,
            KeyError: bad_request,
            TypeError: bad_request,
        },
    )
