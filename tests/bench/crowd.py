"""A million hops over a bad network through the production server, and what is there twice after them.

    python -m tests.bench.crowd --hops 1000000            (make bench walks fewer)

The memory of the server is printed as it goes: a server that keeps something of each hop would show it.
Sent SIGTERM, it hops no further and looks at what it has.
"""

import argparse
import signal
import sys
import tempfile
import time
from pathlib import Path

from tests.bench import database

DATABASE = "jirani_crowd"
SERVER = database.point_to(DATABASE)

import django

django.setup()

from django.core.management import call_command

from lending.models import Loan
from tests.bench.report import report
from tests.simulation import crowd
from tests.stack import Stack, resident_kib, wait_for


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--hops", type=int, default=20_000)
    parser.add_argument("--people", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    with database.own(SERVER, DATABASE), Stack(Path(tempfile.mkdtemp(prefix="jirani-crowd-"))) as stack:
        call_command("migrate", verbosity=0)
        call_command("load_fixtures", verbosity=0)
        stack.extra["DJANGO_SETTINGS_MODULE"] = "tests.simulation.settings"
        stack.web(workers=2)
        stack.worker("all", "scoring,money,messages,default")
        stack.sweeper(every=5)
        return walk(stack, asked.hops, asked.people, asked.seed)


def walk(stack: Stack, hops: int, people: int, seed: int) -> int:
    """Let a crowd walk, print what was seen, and return 1 if anything is there twice or was odd."""
    walked = crowd.Crowd(stack.web_port, crowd.registered(stack, people), hops, seed)
    held: list[int] = []

    def look(so_far: int) -> None:
        held.append(resident_kib(stack, "web"))
        sys.stderr.write(f"{so_far:,} hops, web {held[-1]:,} KiB, {dict(walked.seen)}\n")

    signal.signal(signal.SIGTERM, lambda *_: setattr(walked, "hops", 0))
    began = time.monotonic()
    walked.walk(each=look, every=max(1, hops // 20))
    took = time.monotonic() - began
    # Nobody waits longer: what no callback ends is asked of the operator by then.
    wait_for(crowd.settled, 600, why=lambda: f"still owed: {crowd.owed()}")
    twice = crowd.doubled(stack)
    report(
        "web_memory_over_a_crowd", held[-1], "KiB", "after a tenth of the hops", held[1],
        hops=walked.seen["hops"], most_kib=max(held), per_second=round(walked.seen["hops"] / took, 1), seed=seed,
    )  # fmt: skip
    report(
        "loans_of_a_crowd", Loan.objects.count(), "loans", "people", people,
        twice=twice, odd=sorted(walked.odd)[:5], **walked.seen,
    )  # fmt: skip
    call_command("audit_books", verbosity=0)
    return int(bool(twice or walked.odd or walked.seen["sorry"]))


if __name__ == "__main__":
    sys.exit(main())
