"""Prints one JSON object a line: what was measured, the figure, its reference of the same run, their ratio.

    python -m tests.bench            (make bench)

Runs on servers of its own under var/bench; the portfolio and the model are made at the first run and kept.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from datetime import timedelta
from itertools import count as count_from
from itertools import islice
from pathlib import Path

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
os.environ.setdefault("JIRANI_VAR", str(Path(__file__).resolve().parents[2] / "var" / "bench"))

from config import environment

environment.prepare()

import django

django.setup()

import httpx
import redis
from django.conf import settings
from django.db.models import Max
from django.utils import timezone

from config.celery import app
from lending.models import Borrower, Decision, PaymentAttempt
from lending.services import people
from tests import factories
from tests.bench import load
from tests.bench.load import Rate
from tests.bench.portfolio import set_up
from tests.bench.report import median, report, timed
from tests.stack import Stack, resident_kib, wait_for

LANES = 8
SESSIONS = 30
ROUNDS = 5
LOANS = 25


def register_callers(count: int) -> list[str]:
    """Register who dials, and return their numbers: none of an earlier run, whose dialogues would go on."""
    last = Borrower.objects.filter(msisdn__startswith="25473").aggregate(last=Max("msisdn"))["last"]
    start = int(last[-7:]) + 1 if last else 0
    at = timezone.now() - timedelta(days=60)
    # A PIN that stands in the number or the national ID is refused.
    free = (place for place in count_from(start) if factories.PIN not in f"3{place:07d} {place:08d}")
    places = list(islice(free, count))
    numbers = [f"25473{place:07d}" for place in places]
    for place, msisdn in zip(places, numbers, strict=True):
        factories.register("Caller", msisdn, f"{place:08d}", at=at)
    return numbers


def hop(msisdn: str, session: str, text: str) -> bytes:
    fields = {
        "sessionId": session,
        "phoneNumber": f"+{msisdn}",
        "networkCode": "63902",
        "serviceCode": settings.USSD_CODE,
        "text": text,
    }
    return load.post(f"/gateways/africastalking/{settings.AFRICASTALKING_SECRET}/ussd", fields)


def dials(msisdns: list[str], texts: tuple[str, ...]) -> Iterator[bytes]:
    """Let each number dial once: offer, amount, what it is for, key facts, the first page of the terms."""
    for msisdn in msisdns:
        session = f"ATUid_{uuid.uuid4().hex}"
        for text in texts:
            yield hop(msisdn, session, text)


HOP_TEXTS = ("", "1", "1*500", "1*500*5", "1*500*5*1")
AGAINST_BARE = "bare view with a Redis round trip and an indexed read, same server and middleware"
# Where a server is loaded and not overrun: what customers see on a busy evening.
BUSY = 0.7


def bench_hops(stack: Stack) -> None:
    """Saturate the server with hops and with the bare view, then load it to a part of what it can do of each."""
    port = stack.web_port
    numbers = iter(register_callers(LANES * (1 + 2 * ROUNDS * SESSIONS)))

    def hops(each: int) -> list[Iterator[bytes]]:
        return [dials(list(islice(numbers, each)), HOP_TEXTS) for _ in range(LANES)]

    def bares(each: int) -> list[Iterator[bytes]]:
        return [iter([load.get("/bare?session=none")] * each * len(HOP_TEXTS)) for _ in range(LANES)]

    def both(bare_per_second: float = 0, hop_per_second: float = 0) -> tuple[Rate, Rate]:
        """Measure in turns, so that what else the machine does meets both; the middle round counts."""
        bare, hop = [], []
        for _ in range(ROUNDS):
            bare.append(load.measure(port, bares(SESSIONS), b"CON ", per_second=bare_per_second))
            hop.append(load.measure(port, hops(SESSIONS), b"CON ", per_second=hop_per_second))
        return load.middle(bare), load.middle(hop)

    load.measure(port, hops(1), b"CON ")
    load.measure(port, bares(1), b"CON ")
    before = resident_kib(stack, "web")
    bare, hop = both()
    more = {"answers": ROUNDS * hop.answers, "connections": LANES}
    report("ussd_hops_per_second", hop.per_second, "hops/s", AGAINST_BARE, bare.per_second, **more)
    report("ussd_hop_p50", hop.p50_ms, "ms", AGAINST_BARE, bare.p50_ms, **more)
    bare_busy, hop_busy = both(BUSY * bare.per_second, BUSY * hop.per_second)
    report(
        "ussd_hop_p99_busy", hop_busy.p99_ms, "ms", AGAINST_BARE, bare_busy.p99_ms,
        share_of_saturation=BUSY, **more,
    )  # fmt: skip
    hops_made = 2 * ROUNDS * hop.answers
    report("web_memory_after_hops", resident_kib(stack, "web"), "KiB", "before them", before, hops=hops_made)


def bench_loans(stack: Stack) -> None:
    """Time from the accepted PIN hop to the stored decision, and to the operator's receiving the payout."""
    bare = bare_post_ms(stack)
    trip = task_trip_ms()
    to_decision, to_request = [], []
    for number in range(LOANS):
        decided, asked = one_loan(stack, number)
        to_decision.append(decided)
        to_request += [asked] if asked else []
    report(
        "accept_to_decision_p50", median(to_decision), "ms", "empty Celery task through the same queue", trip,
        slowest_ms=round(max(to_decision), 1), loans=LOANS,
    )  # fmt: skip
    if not to_request:
        raise SystemExit(f"bench: none of {LOANS} applications was approved, so no payout could be timed")
    report(
        "accept_to_payout_request_p50", median(to_request), "ms", "bare HTTP request to the operator", bare,
        slowest_ms=round(max(to_request), 1), loans=len(to_request),
    )  # fmt: skip


def one_loan(stack: Stack, number: int) -> tuple[float, float | None]:
    """Dial, accept and wait; a fresh customer each time, since nobody has two loans."""
    borrower = with_history(number)
    session, http = f"ATUid_{uuid.uuid4().hex}", httpx.Client(base_url=stack.web_url, trust_env=False, timeout=20)
    path = f"/gateways/africastalking/{settings.AFRICASTALKING_SECRET}/ussd"
    fields = {"sessionId": session, "phoneNumber": f"+{borrower.msisdn}", "serviceCode": settings.USSD_CODE}
    said = ""
    for text in ("", "1", "1*500"):
        said = http.post(path, data=fields | {"text": text}).text
        if not said.startswith("CON "):
            raise SystemExit(f"bench: the dialogue ended early: {said!r}")
    asked_at, began = timezone.now(), time.perf_counter()
    answer = http.post(path, data=fields | {"text": f"1*500*{factories.PIN}"})
    mine = Decision.objects.filter(application__borrower=borrower, application__submitted_at__gte=asked_at)
    # The hop answers after two seconds at the latest, also without a decision; what counts is the decision.
    decision = wait_for(mine.first, pause=0.002, why=answer.text)
    decided = (time.perf_counter() - began) * 1000
    if decision.outcome != "approve":
        return decided, None
    accepted = PaymentAttempt.objects.filter(intent__loan__application=decision.application).exclude(request_id="")
    wait_for(accepted.exists, pause=0.002, why=f"the payout of {decision.application} was never accepted")
    return decided, (time.perf_counter() - began) * 1000


def with_history(number: int) -> Borrower:
    """Borrow the clean record of somebody from the portfolio and give them a PIN to dial with."""
    borrower = (
        Borrower.objects.filter(pin_hash="", rung__gte=3, state="active")
        .exclude(loans__state__in=["approved", "live", "written_off"])
        .exclude(applications__state__in=["submitted", "referred"])
        .order_by("id")[number]
    )
    Borrower.objects.filter(id=borrower.id).update(pin_hash=people._hash(borrower.id, factories.PIN))
    return borrower


def bare_post_ms(stack: Stack) -> float:
    with httpx.Client(base_url=stack.sandbox.url, trust_env=False) as http:
        return median([timed(lambda: http.get("/healthz")) for _ in range(50)])


def task_trip_ms() -> float:
    """Time a task that finds nothing to do, from sending to the worker's having run it."""
    broker = redis.Redis.from_url(settings.REDIS_URL)

    def trip() -> None:
        app.send_task("lending.tasks.drain_outbox", kwargs={"queue": "scoring"}, queue="scoring")
        while broker.llen("scoring") or broker.hlen("unacked"):
            time.sleep(0.0005)

    return median([timed(trip) for _ in range(50)])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--only-hops", action="store_true", help="leave out what needs more than the web server")
    asked = parser.parse_args()
    set_up()
    with Stack(Path(tempfile.mkdtemp(prefix="jirani-bench-"))) as stack:
        numbers = Borrower.objects.values_list("msisdn", flat=True)
        stack.sandbox.http.put("/phones", json={"phones": [{"msisdn": number} for number in numbers]})
        stack.extra["DJANGO_SETTINGS_MODULE"] = "tests.bench.settings"  # with the bare view
        stack.web(workers=2)
        bench_hops(stack)
        if asked.only_hops:
            return
        stack.worker("money", "money,messages,default")
        stack.worker("scoring", "scoring")
        bench_loans(stack)
    subprocess.run([sys.executable, "-m", "tests.bench.brain"], check=True)
    # In a process of its own, so that its memory is its own, and a database of its own, so that none is mixed up.
    subprocess.run([sys.executable, "-m", "tests.bench.crowd"], check=True)
    subprocess.run([sys.executable, "-m", "tests.bench.completion"], check=True)
    subprocess.run([sys.executable, "-m", "tests.bench.closing"], check=True)
    subprocess.run([sys.executable, "-m", "tests.bench.moving_in"], check=True)


if __name__ == "__main__":
    main()
