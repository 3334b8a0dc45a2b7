"""A lender moves in: a million rows through `import_history`, beside a bare COPY of the rows that came of them.

    python -m tests.bench.moving_in            (part of make bench; BENCH_HISTORY_LOANS=10000 makes it smaller)

The database is made anew each time and dropped at the end.
"""

import io
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

from tests.bench import database

DATABASE = "jirani_moving_in"
SERVER = database.point_to(DATABASE)

import django

django.setup()

from django.core.management import CommandError, call_command
from django.db import connection

from lending.invariants import audit
from lending.models import Allocation, Entry, Installment, Loan, LoanEvent, Posting
from tests.bench import history_files
from tests.bench.report import report
from tests.lending.lending import product

LOANS = int(os.environ.get("BENCH_HISTORY_LOANS", "150000"))
PROCESSES = int(os.environ.get("BENCH_PROCESSES", "2"))
WRITTEN = (Loan, LoanEvent, Installment, Allocation, Posting, Entry)


def say(text: str) -> None:
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {text}\n")


def bring_in(directory: Path) -> tuple[float, str]:
    """Run the command; return its seconds and what it says. One row is bad, so it ends with an error."""
    told, began = io.StringIO(), time.perf_counter()
    try:
        call_command("import_history", str(directory), processes=PROCESSES, stdout=told)
    except CommandError:
        return time.perf_counter() - began, told.getvalue()
    raise SystemExit("bench: the bad row was not told")


def bare_copy(directory: Path) -> tuple[int, float]:
    """Return how many rows came of it all, and the seconds that COPY alone takes to write them, without an
    index, a key or a trigger."""
    rows, took = 0, 0.0
    with connection.cursor() as cursor:
        for model in WRITTEN:
            table, path = model._meta.db_table, directory / f"{model.__name__}.copy"
            with path.open("wb") as out:
                cursor.copy_expert(f"COPY {table} TO STDOUT", out)
            cursor.execute(f"CREATE TABLE bare (LIKE {table})")
            began = time.perf_counter()
            with path.open("rb") as stream:
                cursor.copy_expert("COPY bare FROM STDIN", stream, 1 << 20)
            took += time.perf_counter() - began
            rows += cursor.rowcount
            cursor.execute("DROP TABLE bare")
            path.unlink()
    return rows, took


def main() -> None:
    with database.own(SERVER, DATABASE), tempfile.TemporaryDirectory(prefix="jirani-history-") as place:
        directory = Path(place)
        call_command("migrate", verbosity=0)
        call_command("load_fixtures", stdout=sys.stderr)
        product(history_files.WEEKLY, history_files.WEEKLY_CODE)
        counts = history_files.write(directory, LOANS)
        rows = sum(counts.values())
        say(f"{counts}")
        took, said = bring_in(directory)
        say(said)
        written, bare = bare_copy(directory)
        report(
            "history_rows_per_second", round(rows / took), "rows/s", "bare COPY of the rows that came of them",
            round(written / bare), rows=rows, written=written, seconds=round(took, 1), processes=PROCESSES,
            written_per_second=round(written / took), **counts,
        )  # fmt: skip
        again, said = bring_in(directory)
        say(said)
        report(
            "history_rows_per_second_again", round(rows / again), "rows/s", "the first run", round(rows / took),
            what="nothing is new", seconds=round(again, 1),
        )  # fmt: skip
        broken = [one.line() for one in audit() if not one.holds]
        if broken:
            raise SystemExit("bench: the books do not hold: " + "; ".join(broken))
        own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        others = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        report("history_peak_memory", own, "KiB", "its largest other process", others)


if __name__ == "__main__":
    main()
