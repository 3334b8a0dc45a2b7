"""Close of business over many live loans and savings accounts, beside bare UPDATEs of as many rows.

    python -m tests.bench.closing            (part of make bench; BENCH_LOANS=200000 makes it smaller)

A hundred loans and twenty savers live for seven weeks through the product's own code. Then they are multiplied,
rows and books, in the database, until there are as many as are asked for: what is measured is what was lived.
The database is made anew each time and dropped at the end.
"""

import os
import resource
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from tests.bench import database

DATABASE = "jirani_closing"
SERVER = database.point_to(DATABASE)

import django

django.setup()

from django.core.management import call_command
from django.db import connection, models, transaction

import config.celery  # noqa: F401 - what is woken is woken through our application
from lending import closing, loan_closing
from lending.invariants import INVARIANTS, audit
from lending.models import (
    Allocation,
    Application,
    Borrower,
    Entry,
    Installment,
    Loan,
    LoanEvent,
    Posting,
    SavingsAccount,
    SavingsMovement,
)
from lending.selectors.metrics import Report, snapshots
from lending.services import snapshots as service
from tests import factories
from tests.bench.report import report
from tests.lending import saving
from tests.lending.lending import happen, lend, product

LOANS = int(os.environ.get("BENCH_LOANS", "1000000"))
LIVED, SAVERS = 100, 20
DAY = timedelta(days=1)
# A Monday. Weekly loans are paid out on Mondays or Tuesdays, so their penalties fall on Thursdays or Fridays.
START = datetime(2026, 2, 2, 9, tzinfo=UTC)
LIVED_UNTIL = date(2026, 3, 23)
MONTHLY = {
    "kind": "level",
    "term": {"installments": 3, "every": 1, "unit": "month"},
    "interest": {"rate": "0.36", "per": "year", "day_count": "act/365"},
}
WEEKLY = {
    "kind": "flat",
    "term": {"installments": 9, "every": 1, "unit": "week"},
    "interest": {"rate": "0.02", "per": "term"},
    "penalties": [{"name": "Late", "rate": "0.02", "of": "overdue_installment", "grace_days": 2, "every_days": 7}],
}


def say(text: str) -> None:
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {text}\n")


# --- a portfolio that lived ---------------------------------------------------------------------------------
def live() -> None:
    """Lend, let most pay each week and a quarter of the weekly ones fall late, and close seven weeks."""
    monthly, weekly = product(MONTHLY), product(WEEKLY)
    loans = [
        lend(monthly, 1_000_000 + 10_000 * n, START + (n % 30) * DAY)
        if n % 5 < 3
        else lend(weekly, 500_000 + 10_000 * n, START + (n % 2) * DAY)
        for n in range(LIVED)
    ]
    savers = some_savers()
    day = START.date()
    while day <= LIVED_UNTIL:
        pay_on(day, loans)
        closing.close_business(day, noon_of(day) + DAY)
        day += DAY
    say(f"{len(loans)} loans and {len(savers)} savers lived until {LIVED_UNTIL}")


def noon_of(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, 9, tzinfo=UTC)


def pay_on(day: date, loans: list[Loan]) -> None:
    """Pay the week's installment, on Mondays and Tuesdays; a quarter of the weekly loans stops after two.

    Half a shilling more each time: not so much that the next week's interest is paid, and earned, in advance.
    """
    for n, loan in enumerate(loans):
        assert loan.disbursed_at
        weeks = (day - loan.disbursed_at.date()).days / 7
        if n % 5 < 3 or weeks not in range(1, 9) or (n % 20 in (3, 8) and weeks > 2):
            continue
        happen(loan, "pay", noon_of(day), amount_cents=loan.principal_cents * 102 // 900 + 50)


def some_savers() -> list[SavingsAccount]:
    saving.product("bench")
    at = START
    accounts = []
    for n in range(SAVERS):
        who = factories.register(f"Saver {chr(65 + n)}", f"25472{n:07d}", f"4{n:07d}", at=at)
        account = saving.pot(who, "bench", at=at)
        saving.deposit(account, 100_000 + 5_000 * n, at)
        accounts.append(account)
    return accounts


# --- multiplied in the database -----------------------------------------------------------------------------
CLONED: tuple[type[models.Model], ...] = (
    Borrower, Application, Loan, LoanEvent, Installment, Allocation, SavingsAccount, SavingsMovement, Posting,
    Entry,
)  # fmt: skip
# What must differ from copy to copy, beside ids. Keys of days and replays are the same for every loan.
NAMED = {
    (Borrower, "msisdn"): "'2' || lpad({id}::text, 11, '0')",
    (Borrower, "identity_index"): "overlay({own} PLACING lpad({copy}::text, 12, '0') FROM 1 FOR 12)",
    (Application, "origin"): "{own} || ':' || {copy}",
    (Application, "reference"): "lpad(to_hex({id}), 8, '0')",
    (Loan, "reference"): "'L' || upper(lpad(to_hex({id}), 7, '0'))",
    (Loan, "identity_index"): "overlay({own} PLACING lpad({copy}::text, 12, '0') FROM 1 FOR 12)",
    (LoanEvent, "key"): "{own} || ':' || {copy}",
    (SavingsMovement, "reference"): "{own} || ':' || {copy}",
    (Posting, "reference"): "{own} || ':' || {copy}",
} | {
    (
        model,
        "event_key",
    ): "CASE WHEN {own} ~ '^(day:|replay)' OR {own} = '' THEN {own} ELSE {own} || ':' || {copy} END"
    for model in (Installment, Allocation, Posting)
}


def multiply(copies: int) -> None:
    """Add so many copies of all that lived, with triggers and foreign keys at rest; audit() proves the result."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        strides = {}
        for model in CLONED:
            cursor.execute(f"SELECT max(id) FROM {model._meta.db_table}")
            strides[model] = cursor.fetchone()[0]
        for model in CLONED:
            cursor.execute(clone(model, strides), {"copies": copies})
            say(f"{cursor.rowcount:>9,} {model.__name__}")
            cursor.execute(
                f"SELECT setval(pg_get_serial_sequence('{model._meta.db_table}', 'id'), max(id))"
                f" FROM {model._meta.db_table}"
            )


def clone(model: type[models.Model], strides: dict[type[models.Model], int]) -> str:
    """Return the INSERT of a table's copies: ids and what points to them move on by a stride a copy."""
    names: list[str] = []
    values: list[str] = []
    for field in model._meta.concrete_fields:
        names.append(str(field.column))
        own = f"lived.{field.column}"
        target = model if field.primary_key else field.related_model
        if target in strides:
            values.append(f"{own} + copy * {strides[target]}")
        else:
            shape = NAMED.get((model, field.name), "{own}")
            values.append(shape.format(own=own, copy="copy", id=f"(lived.id + copy * {strides[model]})"))
    table = model._meta.db_table
    return (
        f"INSERT INTO {table} ({', '.join(names)}) SELECT {', '.join(values)}"
        f" FROM generate_series(1, %(copies)s) copy, {table} lived ORDER BY copy, lived.id"
    )


# --- measuring ----------------------------------------------------------------------------------------------
def seconds(work: Callable[[], Any], workers: int = 1) -> float:
    """Time so many workers side by side, each with a connection of its own; vacuumed before, so all start alike."""
    connection.close()
    with connection.cursor() as cursor:
        for table in ("lending_loan", "lending_savingsaccount", "lending_installment"):
            cursor.execute(f"VACUUM (ANALYZE) {table}")
        cursor.execute("CHECKPOINT")
    barrier = threading.Barrier(workers + 1)
    wrong: list[BaseException] = []

    def one() -> None:
        try:
            connection.ensure_connection()
            barrier.wait(60)
            work()
            remember_memory()
        except BaseException as error:  # noqa: BLE001 - raised again below
            wrong.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=one) for _ in range(workers)]
    for thread in threads:
        thread.start()
    barrier.wait(60)
    began = time.perf_counter()
    for thread in threads:
        thread.join()
    if wrong:
        raise wrong[0]
    return time.perf_counter() - began


PEAKS: list[int] = []


def remember_memory() -> None:
    """Note how large the server process of this connection ever was, shared buffers that it touched included."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        status = Path(f"/proc/{cursor.fetchone()[0]}/status").read_text()
    PEAKS.append(next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")))


def bare_update(table: str, column: str, where: str) -> float:
    """Return how many rows a second one UPDATE writes that changes nothing else."""
    rows = 0

    def update() -> None:
        nonlocal rows
        with connection.cursor() as cursor:
            cursor.execute(f"UPDATE {table} SET {column} = {column} WHERE {where}")
            rows = cursor.rowcount

    took = seconds(update)
    return round(rows / took)


def added() -> int:
    """Return how many rows were ever added to the tables that a close adds to; gaps in numbers count as rows."""
    tables = (LoanEvent, Installment, Allocation, Posting, Entry, SavingsMovement)
    return sum(table.objects.aggregate(last=models.Max("id"))["last"] or 0 for table in tables)


LOAN_DAYS = (
    (date(2026, 3, 24), 1, "all accrue"),
    (date(2026, 3, 25), 2, "all accrue"),
    (date(2026, 3, 26), 1, "all accrue, a share is penalised"),
    (date(2026, 3, 27), 2, "all accrue, a share is penalised"),
)


def bench_loans(bare: float) -> None:
    steps = "accrual, ageing, classification, penalties where they fall, ledger rows; one statement a chunk"
    for day, workers, what in LOAN_DAYS:
        done: list[closing.Work] = []
        due = loan_closing.left_to_close(day).count()

        def close(day: date = day, done: list[closing.Work] = done) -> None:
            done.append(closing.Work())
            closing._close_loans(day, noon_of(day) + DAY, done[-1])

        before = added()
        took = seconds(close, workers)
        aged, penalties = sum(work.aged for work in done), sum(work.penalties for work in done)
        rows = aged + added() - before
        assert aged == due, f"{aged} loans closed, {due} were to be"
        report(
            "closing_loans_per_second", round(aged / took), "loans/s", "bare UPDATE of as many loans", bare,
            day=what, covers=steps, loans=aged, penalties=penalties, workers=workers, rows=rows,
            ratio_by_rows=round(rows / took / bare, 4),
        )  # fmt: skip


PAID_ALONE = 200
BESIDE = date(2026, 3, 28)


def bench_payments() -> None:
    """Let customers pay while two workers close yesterday, and say how long a payment waits for one of them."""
    at = noon_of(BESIDE) + DAY
    ids = Loan.objects.filter(state="live").aggregate(first=models.Min("id"), last=models.Max("id"))
    luck = Random(1)

    def pay_somebody(number: int) -> float:
        loan = Loan.objects.filter(id__gte=luck.randrange(ids["first"], ids["last"] + 1), state="live").first()
        assert loan is not None
        began = time.perf_counter()
        receipt = factories.pay(loan.reference, 10_000 + number, f"B{number}", at=at)
        took = time.perf_counter() - began
        assert receipt.state == "allocated", receipt.state
        return took

    alone = [pay_somebody(number) for number in range(PAID_ALONE)]
    beside: list[float] = []
    waits: list[float] = []
    over = threading.Event()

    def pay_on() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            watch = threading.Thread(target=lock_waits, args=(cursor.fetchone()[0], over, waits))
        watch.start()
        while not over.is_set():
            beside.append(pay_somebody(PAID_ALONE + len(beside)))
        watch.join()
        connection.close()

    payer = threading.Thread(target=pay_on)
    payer.start()
    done: list[closing.Work] = []

    def close() -> None:
        done.append(closing.Work())
        closing._close_loans(BESIDE, at, done[-1])

    seconds(close, workers=2)
    over.set()
    payer.join()
    report(
        "payment_beside_closing_p99_ms", p99_ms(beside), "ms", "the same payments with nobody closing",
        p99_ms(alone), payments=len(beside), longest_ms=round(max(beside) * 1000, 1), refused=0,
        chunks_gave_way=sum(work.gave_way for work in done), waited_for_locks=len(waits),
        longest_wait_for_a_lock_ms=round(max(waits, default=0) * 1000, 1),
    )  # fmt: skip


def p99_ms(times: list[float]) -> float:
    return round(sorted(times)[len(times) * 99 // 100] * 1000, 1)


def lock_waits(pid: int, over: threading.Event, found: list[float]) -> None:
    """Add to `found` how long a server process waits for a lock each time, looked at every millisecond."""
    began = None
    with connection.cursor() as cursor:
        while not over.wait(0.001):
            cursor.execute("SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = %s", [pid])
            if (cursor.fetchone() or [None])[0]:
                began = began or time.perf_counter()
            elif began:
                found.append(time.perf_counter() - began)
                began = None
    connection.close()


def bench_savings(bare: float) -> None:
    for day, workers, what in (
        (date(2026, 3, 24), 1, "all accrue"),
        (date(2026, 3, 25), 2, "all accrue"),
        (date(2026, 3, 31), 1, "all are credited"),
        (date(2026, 4, 30), 2, "all are credited"),
    ):
        done: list[closing.Work] = []

        def close(day: date = day, done: list[closing.Work] = done) -> None:
            done.append(closing.Work())
            closing._close_savings(day, done[-1])

        before = added()
        took = seconds(close, workers)
        savers = sum(work.savers for work in done)
        rows = savers + added() - before
        report(
            "closing_savings_per_second", round(savers / took), "accounts/s", "bare UPDATE of as many accounts",
            bare, day=what, covers="interest of the day, credit with tax and ledger, dormancy", accounts=savers,
            workers=workers, rows=rows, ratio_by_rows=round(rows / took / bare, 4),
        )  # fmt: skip


# All that is owed, once over every installment and what covered it: less than any report has to read.
BARE_SUM = """
    SELECT sum(item.principal_cents - coalesce(covered.cents, 0)) FROM lending_installment item
      LEFT JOIN (SELECT installment_id, sum(principal_cents) AS cents FROM lending_allocation GROUP BY 1) covered
        ON covered.installment_id = item.id
"""


def timed(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def bench_reports(day: date) -> None:
    """Time what keeping the reports of a date costs when it was closed, and the slowest of them when it is read."""
    loans = Loan.objects.count()
    with connection.cursor() as cursor:
        bare = timed(lambda: cursor.execute(BARE_SUM))
    took = timed(partial(service.take, day, noon_of(day) + DAY))
    remember_memory()
    report(
        "reports_kept_loans_per_second", round(loans / took), "loans/s",
        "one bare sum over all installments and allocations", round(loans / bare), loans=loans,
        reports=len(snapshots.KEPT), seconds=round(took, 1),
    )  # fmt: skip
    reads = [timed(partial(_read, one, day)) for one in snapshots.KEPT]
    report("report_read_ms", round(max(reads) * 1000, 1), "ms", "keeping all of them", round(took * 1000))


def _read(one: Report, day: date) -> None:
    list(snapshots.as_counted(one, day).report.rows(day))


# What the portfolio can be asked about: it was multiplied without its receipts and decisions.
PROVEN = (
    "receivable",
    "debits equal",
    "two entries",
    "each entry has",
    "days past due",
    "entries are what",
    "savings",
)


def prove() -> None:
    """Hold the measured books to the invariants that the portfolio can be asked about; say how long it took."""
    with connection.cursor() as cursor:
        cursor.execute("VACUUM (ANALYZE)")
        bare = timed(lambda: cursor.execute(BARE_SUM))
    chosen = [one for one in INVARIANTS if any(name in one.name for name in PROVEN)]
    broken: list[str] = []
    took = timed(lambda: broken.extend(one.line() for one in audit(chosen) if not one.holds))
    if broken:
        raise SystemExit("bench: the books do not hold: " + "; ".join(broken))
    report(
        "closing_proof_seconds", round(took, 1), "s", "one bare sum over all installments and allocations",
        round(bare, 1), invariants=len(chosen), loans=Loan.objects.count(), entries=Entry.objects.count(),
    )  # fmt: skip


def report_memory() -> None:
    """Say how large the largest process of each kind grew while dates were closed."""
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_size_bytes(current_setting('shared_buffers')) / 1024")
        buffers = cursor.fetchone()[0]
    report(
        "closing_peak_memory_postgresql", max(PEAKS), "KiB", "shared buffers of the server", buffers,
        what="largest server process, with the shared buffers that it touched",
    )  # fmt: skip
    report("closing_peak_memory_python", own, "KiB", "largest server process", max(PEAKS))


def main() -> None:
    with database.own(SERVER, DATABASE):
        call_command("migrate", verbosity=0)
        call_command("load_fixtures", stdout=sys.stderr)
        live()
        multiply(max(1, LOANS // LIVED) - 1)
        with connection.cursor() as cursor:
            cursor.execute("VACUUM (ANALYZE)")
        say("analyzed")
        bench_loans(bare_update("lending_loan", "accrued_cents", "state = 'live'"))
        bench_savings(bare_update("lending_savingsaccount", "accrued_parts", "state = 'active'"))
        bench_payments()
        report_memory()
        bench_reports(LIVED_UNTIL)
        prove()


if __name__ == "__main__":
    main()
