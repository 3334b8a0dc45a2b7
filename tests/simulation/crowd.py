"""A crowd that borrows and repays over a bad network: hops come twice, late, out of order, or not at all.

Everybody reads the screen and types an answer: most dial to look and hang up where a PIN is asked for; the others
mostly type what leads to a loan or pays it back, sometimes anything.
What the network does to a hop is drawn for each. Of all that came of it nothing may be there twice, and every
copy of a hop must have been answered with the words of the first: `Crowd.walk` counts, `doubled` asks the database.
"""

import asyncio
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random
from unittest.mock import patch

from argon2 import PasswordHasher
from django.conf import settings
from django.db.models import Count, F, Q, Sum
from django.utils import timezone

from lending.models import Application, Borrower, Loan, OutboxMessage, PaymentIntent, Receipt
from lending.services import people
from tests import factories
from tests.bench import load
from tests.stack import Stack
from ussd.models import Session

# What leads on, the first that a screen has.
WANTED = ("Go on", "Accept", "Pay all", "Yes, raise it", "Repay", "Loan")
# A customer who opens these changes their PIN, reports a lost phone, is forgotten: they would borrow no more.
LEFT_ALONE = ("More", "Language", "Talk to a person")
OPTION = re.compile(r"^(\d\d?) (.+)$", re.MULTILINE)
TYPED = ("500", "1", "300", "0", "abc", "250")
# A session of more hops than that is given up, as people do.
PATIENCE = 14
SORRY = "did not work on our side"


@dataclass(frozen=True)
class Faults:
    """The chance of each for one hop; of `only_looks` for one dial."""

    lost: float = 0.015
    answer_lost: float = 0.015
    twice_at_once: float = 0.03
    again_later: float = 0.03
    out_of_order: float = 0.01
    # Not the network's: a customer who types anything, and a dial only to look.
    astray: float = 0.25
    only_looks: float = 0.7


class LineDropped(Exception):
    """The network lost the session."""


class Connections:
    """Some keep-alive connections to the server; a request takes one that is free."""

    def __init__(self, port: int, count: int) -> None:
        self.port, self.count = port, count
        self.free: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()

    async def open(self) -> None:
        for _ in range(self.count):
            self.free.put_nowait(await asyncio.open_connection("127.0.0.1", self.port))

    async def ask(self, request: bytes) -> str:
        """Send one request; return the words of a screen."""
        line = await self.free.get()
        try:
            status, body = await load.exchange(*line, request)
        finally:
            self.free.put_nowait(line)
        if status != 200:
            raise load.UnexpectedAnswer(f"{status} {body[:160]!r}")
        return body.decode()


@dataclass
class Caller:
    """One customer with a phone. `typed` is what the gateway says of the session so far."""

    msisdn: str
    luck: Random
    crowd: "Crowd"
    session: str = ""
    typed: list[str] = field(default_factory=list)
    dials: int = 0
    late: list[tuple[bytes, str]] = field(default_factory=list)

    async def lives(self) -> None:
        """Dial again and again until the crowd has made its hops."""
        while self.crowd.goes_on:
            self.dials += 1
            self.session, self.typed = f"ATUid_{self.msisdn}_{self.dials}", []
            try:
                await self._dial()
            except LineDropped:
                self.crowd.seen["dropped"] += 1
        await self._send_what_is_late()

    async def _dial(self) -> None:
        only_looks = self._comes("only_looks")
        screen = await self._hop()
        for _ in range(PATIENCE):
            if screen.startswith("END ") or not self.crowd.goes_on or (only_looks and "PIN" in screen):
                return
            answer = self.look_around(screen) if only_looks else self.answer(screen)
            if self._comes("out_of_order") and answer != factories.PIN:
                # The hop after this one overtakes it; what was typed blindly is seldom what a screen asks for.
                behind = self._request([*self.typed, answer])
                self.typed += [answer, self.luck.choice(TYPED)]
                screen = await self._hop()
                await self.crowd.ask(behind)
                continue
            self.typed.append(answer)
            screen = await self._hop()

    def answer(self, screen: str) -> str:
        """Return what this customer types who wants a loan, or to pay it back."""
        options = self._options(screen)
        asks = "PIN" in screen and not any(key in "123456789" for key, _ in options)
        if asks or ("enter PIN" in screen and self.luck.random() < 0.5):
            return factories.PIN
        if options and self._comes("astray"):
            return self.luck.choice(options)[0]
        owes = "owe" in screen.lower()
        for wanted in WANTED if owes else (one for one in WANTED if one != "Repay"):
            for key, label in options:
                if label.startswith(wanted):
                    return str(key)
        if "How much" in screen:
            return "500"
        return str(self.luck.choice(options)[0]) if options else self.luck.choice(TYPED)

    def look_around(self, screen: str) -> str:
        """Return what somebody types who has come to look."""
        options = self._options(screen)
        return self.luck.choice([key for key, _ in options] if options else TYPED)

    def _options(self, screen: str) -> list[tuple[str, str]]:
        return [(key, label) for key, label in OPTION.findall(screen) if label not in LEFT_ALONE]

    async def _hop(self) -> str:
        """Send the session so far, as the network does it; return the screen."""
        request = self._request(self.typed)
        if self._comes("lost"):
            raise LineDropped
        if self._comes("twice_at_once"):
            first, second = await asyncio.gather(self.crowd.ask(request), self.crowd.ask(request))
            self.crowd.compare(first, second)
        else:
            first = await self.crowd.ask(request)
        if self._comes("again_later"):
            self.late.append((request, first))
        if len(self.late) > 2:
            await self._send_what_is_late()
        if self._comes("answer_lost"):
            raise LineDropped
        return first

    async def _send_what_is_late(self) -> None:
        """Let copies of hops come long after the session went on, or ended."""
        for request, first in self.late:
            self.crowd.compare(first, await self.crowd.ask(request))
        self.late = []

    def _request(self, typed: list[str]) -> bytes:
        fields = {
            "sessionId": self.session,
            "phoneNumber": f"+{self.msisdn}",
            "networkCode": "63902",
            "serviceCode": settings.USSD_CODE,
            "text": "*".join(typed),
        }
        return load.post(f"/gateways/africastalking/{settings.AFRICASTALKING_SECRET}/ussd", fields)

    def _comes(self, fault: str) -> bool:
        return self.luck.random() < float(getattr(self.crowd.faults, fault))


class Crowd:
    """Callers side by side, and what was seen of them."""

    def __init__(self, port: int, numbers: list[str], hops: int, seed: int, faults: Faults = Faults()) -> None:
        self.port, self.numbers, self.hops, self.seed, self.faults = port, numbers, hops, seed, faults
        self.seen: Counter[str] = Counter()
        self.odd: set[str] = set()

    @property
    def goes_on(self) -> bool:
        return self.seen["hops"] < self.hops

    def walk(self, lanes: int = 16, each: Callable[[int], None] = lambda hops: None, every: int = 50_000) -> None:
        """Let the crowd make its hops over so many connections; `each` is told every so many of them.

        Raises:
            UnexpectedAnswer: something else than 200 came back.
        """

        async def run() -> None:
            self.connections = Connections(self.port, lanes)
            self.each, self.every = each, every
            await self.connections.open()
            waiting = [Caller(msisdn, Random(f"{self.seed} {msisdn}"), self) for msisdn in self.numbers]
            await asyncio.gather(*(caller.lives() for caller in waiting))

        asyncio.run(run())

    async def ask(self, request: bytes) -> str:
        screen = await self.connections.ask(request)
        self.seen["hops"] += 1
        self.seen["busy"] += "still working on your last answer" in screen
        self.seen["sorry"] += SORRY in screen
        if self.seen["hops"] % self.every == 0:
            self.each(self.seen["hops"])
        return screen

    def compare(self, first: str, copy: str) -> None:
        """Count a copy; one of a hop that is still worked on may be told so."""
        self.seen["copies"] += 1
        if first != copy and "still working on your last answer" not in first + copy:
            self.odd.add(f"{first!r} then {copy!r}")


def registered(stack: Stack, count: int) -> list[str]:
    """Register so many customers, each with a wallet that can repay; return their numbers.

    Their PINs are hashed cheaply: to check one is meant to cost as much as thirty hops, and it is the line that is
    simulated.
    """
    numbers = [f"25472{number:07d}" for number in range(count)]
    at = timezone.now() - timedelta(days=60)
    with patch.object(people, "_hasher", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)):
        for place, msisdn in enumerate(numbers):
            factories.register("Amina Wanjiru", msisdn, f"{40_000_000 + place}", at=at)
    phones = [{"msisdn": msisdn, "balance_cents": 10_000_000, "answer": "right_pin"} for msisdn in numbers]
    stack.sandbox.http.put("/phones", json={"phones": phones}).raise_for_status()
    return numbers


def doubled(stack: Stack) -> list[str]:
    """Return what is there twice in our books or at the operator, in words; empty: nothing is."""
    borrowed = Counter(
        origin.rsplit(":", 1)[0] for origin in Loan.objects.values_list("application__origin", flat=True).iterator()
    )
    open_loans = Borrower.objects.annotate(n=Count("loans", filter=Q(loans__state__in=Loan.OPEN)))
    loans = Loan.objects.filter(disbursed_at__isnull=False)
    lent_cents = sum(loan.received_cents for loan in loans.iterator())
    counts = Session.objects.annotate(n=Count("hops")).exclude(n=F("hops_answered"))
    came_in = stack.sandbox.money()["shortcodes"].get(settings.DARAJA_PAYBILL, {})
    received_cents = Receipt.objects.filter(reversed_at=None).aggregate(sum=Sum("amount_cents"))["sum"] or 0
    found = {
        "people with two open loans": open_loans.filter(n__gt=1).count(),
        "dialogues that made two loans": sum(count > 1 for count in borrowed.values()),
        "sessions that lost or doubled a hop": counts.count(),
        "cents that left the float without a loan": stack.moved_cents() - lent_cents,
        "cents that came in without a receipt": sum(came_in.values()) - received_cents,
    }
    return [f"{what}: {count}" for what, count in found.items() if count]


def owed() -> list[str]:
    """Return what is owed to somebody yet, in words: a payout, a prompt, a decision; empty: nothing is."""
    intents = PaymentIntent.objects.filter(state=PaymentIntent.State.OPEN)
    undecided = Application.objects.filter(state=Application.State.SUBMITTED)
    waiting = OutboxMessage.objects.filter(done_at__isnull=True, topic="application_submitted")
    return [
        *(f"payment {one.id} for {one.purpose}, open since {one.created_at:%H:%M:%S}" for one in intents[:5]),
        *(f"application {one.id}, asked {one.submitted_at:%H:%M:%S}" for one in undecided[:5]),
        *(f"{one.reference}, tried {one.tries} times" for one in waiting[:5]),
    ]


def settled() -> bool:
    """Say whether nothing is owed to anybody any more."""
    return not owed()
