"""Everything the outside world sends to the product: when, how often, and what became of it."""

import asyncio
import itertools
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import httpx

from sandbox.clock import Clock, iso
from sandbox.faults import CallbackPlan, malformed, twist
from sandbox.wire import Wire

log = logging.getLogger("sandbox.callbacks")

Work = Callable[[], Awaitable[object]]
KEPT = 5000


@dataclass(frozen=True)
class Message:
    """A callback to send: a JSON body to Daraja's URLs, or a form as Africa's Talking posts it.

    `others` are further addresses a fault script may name (`"url": "timeout"`), each with its own body.
    `private` names fields whose content must not show up in the control API. `about` is the phone that it is
    about, on whose log it stands.
    """

    kind: str
    url: str
    body: dict[str, Any]
    is_form: bool = False
    others: dict[str, tuple[str, dict[str, Any]]] = field(default_factory=dict)
    private: frozenset[str] = frozenset()
    about: str = ""

    def to(self, name: str) -> "Message":
        """Return this callback for the address that a plan names, which may be a full URL."""
        # "result" is the address that the callback has anyway.
        if name in self.others:
            url, body = self.others[name]
            return replace(self, url=url, body=body, others={})
        if name.startswith("http"):
            return replace(self, url=name, others={})
        return self


@dataclass(eq=False)
class Job:
    """Work that waits for its time; `hurry` wakes it early."""

    task: asyncio.Task[None] | None = None
    hurry: asyncio.Event = field(default_factory=asyncio.Event)


class Courier:
    """Sends callbacks on time and keeps a list of what was sent."""

    def __init__(self, clock: Clock, latency_ms: int, wire: Wire) -> None:
        self.clock, self.wire = clock, wire
        self.latency_ms = latency_ms
        self.sent: deque[dict[str, Any]] = deque(maxlen=KEPT)
        self._numbers = itertools.count(1)
        self._jobs: set[Job] = set()
        self._waits: set[Job] = set()
        self._held: dict[str, list[Work]] = {}
        # A queue of callbacks must neither hold up a USSD hop nor eat into a callback's own patience.
        self._lanes = asyncio.Semaphore(50)
        # The product may be stopped and started at any time, so an idle connection is not trusted for long.
        limits = httpx.Limits(max_connections=1000, max_keepalive_connections=20, keepalive_expiry=2)
        self._client = httpx.AsyncClient(limits=limits, timeout=httpx.Timeout(10, pool=None), trust_env=False)

    async def close(self) -> None:
        """Drop whatever still waits and close every connection."""
        jobs = [job.task for job in self._jobs | self._waits if job.task]
        for task in jobs:
            task.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)
        await self._client.aclose()

    # -- time --------------------------------------------------------------------------------------------

    def later(self, delay_s: float, work: Work, *, is_patience: bool = False) -> Job:
        """Do `work` after a delay.

        A job that only waits for a person's patience to end is not brought forward by `flush`.
        """
        job, pool = Job(), self._waits if is_patience else self._jobs
        pool.add(job)

        async def run() -> None:
            with suppress(TimeoutError):
                await asyncio.wait_for(job.hurry.wait(), max(delay_s, 0))
            try:
                await work()
            except Exception:
                # One broken callback must not take the operator down with it.
                log.exception("scheduled work failed")
            finally:
                pool.discard(job)

        job.task = asyncio.create_task(run())
        return job

    def cancel(self, job: Job | None) -> None:
        """Give up work that has not begun."""
        if job and job.task:
            job.task.cancel()
            self._jobs.discard(job)
            self._waits.discard(job)

    async def flush(self) -> int:
        """Do now all that is due at some time, and what follows from it; return how many jobs that was."""
        done = 0
        while self._jobs or self._held:
            for kind in list(self._held):
                self._release(kind)
            jobs = list(self._jobs)
            for job in jobs:
                job.hurry.set()
            await asyncio.gather(*(job.task for job in jobs if job.task), return_exceptions=True)
            done += len(jobs)
        return done

    @property
    def waiting(self) -> int:
        """Return how many callbacks and settlements are still to come."""
        return len(self._jobs) + sum(map(len, self._held.values()))

    # -- delivery ----------------------------------------------------------------------------------------

    async def deliver(self, message: Message, plans: Sequence[CallbackPlan], since: float) -> None:
        """Send a callback as the plans say, counting their delays from the monotonic moment `since`."""
        for plan in plans:
            if plan.mode == "never":
                continue
            work = self._work(message.to(plan.url), plan)
            if plan.mode == "before_ack":
                await work()
            elif plan.mode == "reorder":
                self._held.setdefault(message.kind, []).append(work)
            else:
                after_ms = self.latency_ms if plan.after_ms is None else plan.after_ms
                self.later(since + after_ms / 1000 - time.monotonic(), work)

    def post(self, message: Message, plans: Sequence[CallbackPlan]) -> None:
        """Have a callback sent that nobody waits for."""
        since = time.monotonic()
        self.later(0, lambda: self.deliver(message, plans, since))

    def _work(self, message: Message, plan: CallbackPlan) -> Work:
        """Return the sending of one planned callback, all its copies at once."""

        async def send() -> None:
            async with self._lanes:
                copies = (self.send(message, mode=plan.mode, ip=plan.ip) for _ in range(plan.copies))
                await asyncio.gather(*copies)
            if plan.mode != "reorder":
                self._release(message.kind)

        return send

    def _release(self, kind: str) -> None:
        """Let callbacks go that were held until another one had overtaken them."""
        for work in self._held.pop(kind, []):
            self.later(0, work)

    async def send(
        self, message: Message, *, mode: str = "normal", ip: str = "", timeout_s: float = 10
    ) -> httpx.Response | None:
        """POST one callback and record it; a network failure is an entry in the record, not an exception."""
        body = twist(message.body, mode)
        shown = {key: "[private]" if key in message.private else value for key, value in body.items()}
        entry: dict[str, Any] = {
            "id": next(self._numbers),
            "kind": message.kind,
            "url": message.url,
            "mode": mode,
            "body": shown,
            "at": iso(self.clock.now()),
            "status": None,
            "error": None,
        }
        self.sent.append(entry)
        began = time.monotonic()
        try:
            async with asyncio.timeout(timeout_s):
                response: httpx.Response | None = await self._post(message, body, mode, ip)
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, OSError) as failure:
            entry["error"] = type(failure).__name__
            response = None
        entry["status"] = None if response is None else response.status_code
        if mode == "answer_lost":
            response, entry["error"] = None, "AnswerLost"
        entry["ms"] = round((time.monotonic() - began) * 1000)
        # The URL holds a secret and the body may hold a PIN: neither is logged.
        came = str(entry["error"] or entry["status"])
        log.info("sent %s: %s in %s ms", message.kind, came, entry["ms"])
        if message.about:
            self.wire.note(message.about, "callback", "", message.kind, status=came, ms=entry["ms"])
        return response

    async def _post(self, message: Message, body: dict[str, Any], mode: str, ip: str) -> httpx.Response:
        """Put one callback on the wire."""
        headers = {"X-Forwarded-For": ip} if ip else {}
        if message.is_form:
            return await self._client.post(message.url, data=body, headers=headers)
        if mode == "malformed":
            headers["Content-Type"] = "application/json"
            return await self._client.post(message.url, content=malformed(body), headers=headers)
        return await self._client.post(message.url, json=body, headers=headers)

    async def insist(self, message: Message, waits_s: Sequence[float]) -> bool:
        """Send a callback, again after each wait until it is answered 200; return whether the first was."""
        response = await self.send(message)
        if response is not None and response.status_code == 200:
            return True
        if waits_s:
            self.later(waits_s[0], lambda: self.insist(message, waits_s[1:]), is_patience=True)
        return False
