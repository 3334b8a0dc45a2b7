"""Subscribers' phones: the dialler, the open USSD session, the wallet's PIN prompt and the inbox.

The browser phone, `manage.py dial` and the tests press these keys over HTTP.
"""

import asyncio
import itertools
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.africastalking import AfricasTalking, Hop, Reply
from sandbox.callbacks import Courier, Job
from sandbox.clock import Clock
from sandbox.faults import Faults
from sandbox.wallets import Subscriber, Transfer, Wallets
from sandbox.wire import dial_string, typed

ANSWERS = ("ask", "right_pin", "wrong_pin", "cancel", "ignore", "unregistered")
# Daraja result codes for what a person does with a payment prompt.
PAID, CANCELLED, UNREACHABLE, WRONG_PIN, EXPIRED = 0, 1032, 1037, 2001, 1019
PROMPT_ANSWERS = {PAID: "PIN entered", CANCELLED: "cancelled", WRONG_PIN: "wrong PIN entered"}
CODE_OF_ANSWER = {"right_pin": PAID, "wrong_pin": WRONG_PIN, "cancel": CANCELLED, "ignore": UNREACHABLE}

Settle = Callable[[int], Awaitable[None]]
Pay = Callable[[Subscriber, dict[str, Any]], Awaitable[dict[str, Any]]]


class NoSuchThing(Exception):
    """A phone, session or prompt that is not there."""


class Busy(Exception):
    """The phone is already waiting for the network."""


@dataclass
class Session:
    """One USSD dialogue as the network sees it. It lives in memory only: typed digits may be a PIN."""

    session_id: str
    msisdn: str
    service_code: str
    inputs: list[str]
    began_at: datetime
    open: bool = True
    screen: str = ""
    hops: int = 0
    last_response: str = ""
    timer: Job | None = None
    busy: asyncio.Lock = field(default_factory=asyncio.Lock)

    def shown(self) -> dict[str, Any]:
        """Return what the phone's owner sees."""
        return {"open": self.open, "text": self.screen, "session_id": self.session_id}


@dataclass
class Prompt:
    """A payment request on the phone's screen, waiting for the wallet PIN."""

    id: str
    text: str
    amount_cents: int
    business: str
    settle: Settle
    is_for_person: bool
    timer: Job | None = None


class Handsets:
    """All phones, and what is on their screens."""

    def __init__(
        self,
        wallets: Wallets,
        clock: Clock,
        courier: Courier,
        aggregator: AfricasTalking,
        *,
        idle_s: float,
        session_s: float,
        prompt_s: float,
    ) -> None:
        self.wallets, self.clock, self.courier, self.aggregator = wallets, clock, courier, aggregator
        self.idle_s, self.session_s, self.prompt_s = idle_s, session_s, prompt_s
        self.sessions: dict[str, Session] = {}
        self.lines: dict[str, Faults] = {}
        self.prompts: dict[str, dict[str, Prompt]] = {}
        self._prompt_numbers = itertools.count(1)
        # Paying a paybill from the phone's menu is the operator's business; app.py joins the two.
        self.pay_paybill: Pay

    # -- screens -----------------------------------------------------------------------------------------

    def is_locked(self, msisdn: str) -> bool:
        """Return whether an open session or prompt keeps a payment request from showing (result 1001)."""
        session = self.sessions.get(msisdn)
        return bool(session and session.open) or bool(self.prompts.get(msisdn))

    async def dial(self, msisdn: str, dialled: str) -> Session:
        """Open a session by dialling a code, hanging up on an earlier one."""
        await self.hang_up(msisdn)
        service_code, inputs = self.aggregator.split(dialled)
        session = Session(
            session_id=f"ATUid_{secrets.token_hex(16)}",
            msisdn=msisdn,
            service_code=service_code,
            inputs=inputs,
            began_at=self.clock.now(),
        )
        self.sessions[msisdn] = session
        async with session.busy:
            await self._hop(session, dial_string(dialled, self.aggregator.service_code))
        return session

    async def type(self, msisdn: str, text: str) -> Session:
        """Send what was typed into the open session and show the next screen."""
        session = self._open_session(msisdn)
        if session.busy.locked():
            raise Busy("the last answer has not come back yet")
        async with session.busy:
            session.inputs.append(text)
            await self._hop(session, typed(text, asked=session.screen))
        return session

    async def hang_up(self, msisdn: str) -> None:
        """End the open session, if there is one, from the customer's side."""
        session = self.sessions.get(msisdn)
        if session and session.open:
            await self._end(session, "Incomplete")

    def _open_session(self, msisdn: str) -> Session:
        """Return the open session of a phone."""
        session = self.sessions.get(msisdn)
        if session is None or not session.open:
            raise NoSuchThing("no open session: dial first")
        return session

    def _as_hop(self, session: Session) -> Hop:
        """Return the session as the aggregator posts it."""
        return Hop(session.session_id, session.msisdn, session.service_code, "*".join(session.inputs))

    def line(self, msisdn: str) -> Faults:
        """Return what is wrong with the line of one phone."""
        return self.lines.setdefault(msisdn, Faults())

    async def _hop(self, session: Session, sent: str) -> None:
        """Carry one hop to the application and show what comes back; `sent` may be watched."""
        self.courier.cancel(session.timer)
        session.hops += 1
        self.courier.wire.note(session.msisdn, "ussd", "out", sent)
        began = time.monotonic()
        reply = await self.aggregator.hop(self._as_hop(session), self.line(session.msisdn).match("/ussd"))
        self._note_reply(session, reply, round((time.monotonic() - began) * 1000))
        if not session.open:
            return  # hung up while the network was waiting
        session.last_response, session.screen = reply.raw, reply.text
        if reply.goes_on:
            self._start_timer(session)
        else:
            await self._end(session, "Failed" if reply.error else "Success", reply.error)

    def _note_reply(self, session: Session, reply: Reply, ms: int) -> None:
        status = "failed" if reply.error else "goes on" if reply.goes_on else "ends"
        shown = reply.error or reply.text
        self.courier.wire.note(session.msisdn, "ussd", "in", shown, status=status, fault=reply.trouble, ms=ms)

    def _start_timer(self, session: Session) -> None:
        """Let the network end a session whose owner has gone away, or that has lasted too long."""
        lasted_s = (self.clock.now() - session.began_at).total_seconds()
        patience_s = min(self.idle_s, max(self.session_s - lasted_s, 0))

        async def give_up() -> None:
            if session.open:
                session.timer = None
                await self._end(session, "Incomplete")

        session.timer = self.courier.later(patience_s, give_up, is_patience=True)

    async def _end(self, session: Session, status: str, error: str = "") -> None:
        """Close a session and have its end reported."""
        session.open = False
        self.courier.cancel(session.timer)
        self.aggregator.session_ended(
            self._as_hop(session),
            status=status,
            error=error,
            hops=session.hops,
            last_response=session.last_response,
            lasted=self.clock.now() - session.began_at,
        )

    # -- prompts -----------------------------------------------------------------------------------------

    def prompt(self, person: Subscriber, cents: int, business: str, account: str, settle: Settle) -> None:
        """Ask a phone's owner to pay; `settle` is called once, with the result code of what they did."""
        prompt = Prompt(
            id=str(next(self._prompt_numbers)),
            text=f"Do you want to pay Ksh{cents // 100:,} to {business} Account no. {account}? Enter M-PESA PIN:",
            amount_cents=cents,
            business=business,
            settle=settle,
            is_for_person=person.answer == "ask",
        )
        self.prompts.setdefault(person.msisdn, {})[prompt.id] = prompt
        self.courier.wire.note(person.msisdn, "prompt", "in", prompt.text)
        code = CODE_OF_ANSWER.get(person.answer, EXPIRED)
        delay_s = self.prompt_s if prompt.is_for_person else person.answer_after_ms / 1000
        prompt.timer = self.courier.later(
            delay_s, lambda: self._answer(person.msisdn, prompt.id, code), is_patience=prompt.is_for_person
        )

    async def _answer(self, msisdn: str, prompt_id: str, code: int) -> None:
        """Take a prompt off the screen and pass on what its owner did; a second answer does nothing."""
        prompt = self.prompts.get(msisdn, {}).pop(prompt_id, None)
        if prompt:
            self.courier.wire.note(msisdn, "prompt", "out", PROMPT_ANSWERS.get(code, "no answer"))
            await prompt.settle(code)

    async def answer_prompt(self, person: Subscriber, prompt_id: str, body: dict[str, Any]) -> int:
        """Answer a prompt by hand: a PIN, or cancel. Return the result code."""
        prompt = self.prompts.get(person.msisdn, {}).get(prompt_id)
        if prompt is None:
            raise NoSuchThing(f"no prompt {prompt_id} on this phone")
        self.courier.cancel(prompt.timer)
        code = PAID if person.knows(str(body.get("pin", ""))) else WRONG_PIN
        code = CANCELLED if body.get("cancel") else code
        await self._answer(person.msisdn, prompt_id, code)
        return code

    # -- what a phone shows ------------------------------------------------------------------------------

    def state(self, person: Subscriber) -> dict[str, Any]:
        """Return everything that can be seen on one phone."""
        session = self.sessions.get(person.msisdn)
        prompts = self.prompts.get(person.msisdn, {}).values()
        return {
            "msisdn": person.msisdn,
            "name": person.name,
            "answer": person.answer,
            "balance_cents": self.wallets.balance(person.account),
            "session": session.shown() if session else None,
            "faults": self.line(person.msisdn).shown(),
            "inbox": self.wallets.texts(person.msisdn),
            "prompts": [
                {"id": one.id, "text": one.text, "amount_cents": one.amount_cents, "business": one.business}
                for one in prompts
                if one.is_for_person
            ],
            "movements": [shown(one, person.account) for one in self.wallets.movements(person.account)],
        }


def shown(moved: Transfer, account: str) -> dict[str, Any]:
    """Return a movement as the owner of `account` sees it."""
    came_in = moved.credit == account
    other = moved.debit if came_in else moved.credit
    return {
        "receipt_no": moved.receipt_no,
        "direction": "in" if came_in else "out",
        "amount_cents": moved.amount_cents,
        "party": other.split(":")[1] if ":" in other else "cash",
        "reference": moved.reference,
        "at": moved.at,
    }


# -- over HTTP -----------------------------------------------------------------------------------------------


async def json_body(request: Request) -> dict[str, Any]:
    """Return the JSON object of a request, empty when there is none.

    Raises:
        ValueError: the body is something else.
    """
    raw = await request.body()
    if not raw:
        return {}
    body = await request.json()
    if not isinstance(body, dict):
        raise ValueError("a JSON object is needed")
    return body


class HandsetRoutes:
    """The keys of a phone, as HTTP."""

    def __init__(self, handsets: Handsets) -> None:
        self.handsets = handsets

    def routes(self) -> list[Route]:
        """Return the routes under /phones."""
        phone = "/phones/{msisdn}"
        return [
            Route("/phones", self.put_many, methods=["PUT"]),
            Route(phone, self.put, methods=["PUT"]),
            Route(phone, self.get, methods=["GET"]),
            Route(phone + "/dial", self.dial, methods=["POST"]),
            Route(phone + "/input", self.input, methods=["POST"]),
            Route(phone + "/hangup", self.hangup, methods=["POST"]),
            Route(phone + "/prompts/{prompt_id}", self.answer, methods=["POST"]),
            Route(phone + "/sms", self.sms, methods=["POST"]),
            Route(phone + "/optout", self.optout, methods=["POST"]),
            Route(phone + "/paybill", self.paybill, methods=["POST"]),
            Route(phone + "/faults", self.put_faults, methods=["PUT"]),
            Route("/wire", self.wire, methods=["GET"]),
        ]

    def _msisdn(self, request: Request) -> str:
        """Return the phone number in the path as digits."""
        msisdn = request.path_params["msisdn"].strip().lstrip("+")
        if not (msisdn.isascii() and msisdn.isdigit() and 9 <= len(msisdn) <= 15):
            raise ValueError(f"msisdn must be 9 to 15 digits, got {msisdn!r}")
        return msisdn

    def _person(self, request: Request) -> Subscriber:
        """Return the phone's owner."""
        msisdn = self._msisdn(request)
        person = self.handsets.wallets.subscriber(msisdn)
        if person is None:
            raise NoSuchThing(f"no phone {msisdn}: PUT /phones/{msisdn} first")
        return person

    def _put(self, msisdn: str, fields: dict[str, Any]) -> Subscriber:
        """Create or change one phone."""
        if fields.get("answer", "ask") not in ANSWERS:
            raise ValueError(f"answer must be one of {ANSWERS}, got {fields['answer']!r}")
        return self.handsets.wallets.put_subscriber(msisdn, fields, self.handsets.clock.now())

    async def put(self, request: Request) -> Response:
        """Create or change a phone."""
        person = self._put(self._msisdn(request), await json_body(request))
        return JSONResponse(self.handsets.state(person))

    async def put_many(self, request: Request) -> Response:
        """Create or change many phones in one transaction: {"phones": [{"msisdn", ...}]}."""
        phones = (await json_body(request)).get("phones", [])
        with self.handsets.wallets.transaction():
            for fields in phones:
                self._put(str(fields["msisdn"]).lstrip("+"), fields)
        return JSONResponse({"phones": len(phones)})

    async def get(self, request: Request) -> Response:
        """Show a phone."""
        return JSONResponse(self.handsets.state(self._person(request)))

    async def dial(self, request: Request) -> Response:
        """Dial a USSD code. A number that nobody has seen gets a phone with an empty wallet and PIN 1234."""
        msisdn, body = self._msisdn(request), await json_body(request)
        if self.handsets.wallets.subscriber(msisdn) is None:
            self._put(msisdn, {})
        session = await self.handsets.dial(msisdn, str(body.get("code", "")))
        return JSONResponse(session.shown())

    async def input(self, request: Request) -> Response:
        """Type into the open session."""
        body = await json_body(request)
        session = await self.handsets.type(self._msisdn(request), str(body.get("text", "")))
        return JSONResponse(session.shown())

    async def hangup(self, request: Request) -> Response:
        """Hang up."""
        await self.handsets.hang_up(self._msisdn(request))
        return JSONResponse({"open": False})

    async def answer(self, request: Request) -> Response:
        """Enter the wallet PIN at a payment prompt, or cancel it."""
        body = await json_body(request)
        prompt_id = request.path_params["prompt_id"]
        code = await self.handsets.answer_prompt(self._person(request), prompt_id, body)
        return JSONResponse({"result_code": code, "accepted": code == PAID})

    async def sms(self, request: Request) -> Response:
        """Send a text message."""
        body = await json_body(request)
        sent = await self.handsets.aggregator.incoming(
            self._person(request).msisdn, str(body.get("to", "")), str(body.get("text", ""))
        )
        return JSONResponse(sent, 202)

    async def optout(self, request: Request) -> Response:
        """Refuse further messages of a sender."""
        sender = str((await json_body(request)).get("sender", ""))
        await self.handsets.aggregator.opt_out(self._person(request).msisdn, sender)
        return JSONResponse({"sender": sender})

    async def paybill(self, request: Request) -> Response:
        """Pay a paybill number from the wallet's own menu."""
        return JSONResponse(await self.handsets.pay_paybill(self._person(request), await json_body(request)))

    async def put_faults(self, request: Request) -> Response:
        """Put a fault script on the line of one phone, for its USSD hops; one without rules mends it."""
        person = self._person(request)
        line = self.handsets.line(person.msisdn)
        line.load(await json_body(request))
        return JSONResponse({"faults": line.shown()})

    async def wire(self, request: Request) -> Response:
        """List what went over the wire: `?phones=` with commas between, `?after=` the last entry known."""
        phones = request.query_params.get("phones", "").split(",")
        wire = self.handsets.courier.wire
        after = int(request.query_params.get("after", 0))
        return JSONResponse({"latest": wire.latest, "entries": wire.since(after, phones)})
