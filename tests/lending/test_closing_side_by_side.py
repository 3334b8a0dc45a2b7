"""Close of business beside others: workers, payments, and the moment in which it is killed."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.models import Sum

from lending import chain, closing, loan_closing, right_of_way, savings_closing
from lending.invariants import audit
from lending.models import Entry, Installment, JobRun, Loan, OutboxMessage, Posting, Receipt, SavingsAccount
from lending.rules.life import play
from lending.selectors import contracts
from lending.services import life
from lending.services.people import lock_person
from tests import factories
from tests.lending import saving
from tests.lending.lending import happen, lend, product
from tests.lending.test_loan_closing import MONTHS, PENALTY, START, assert_as_the_rules_say
from tests.stack import ROOT, database_url, wait_for

pytestmark = pytest.mark.django_db(transaction=True)
DAY = timedelta(days=1)
FIRST = START.date()
# Ten days after the second installment fell due: the weekly penalty of the first falls on this day, too.
LATE = FIRST + timedelta(days=17)
WEEKLY = {
    "kind": "flat",
    "term": {"installments": 4, "every": 1, "unit": "week"},
    "interest": {"rate": "0.02", "per": "term"},
    "penalties": [PENALTY],
}
LEVEL = {"kind": "level", "term": MONTHS, "interest": {"rate": "0.36", "per": "year", "day_count": "act/365"}}
TWO_PENALTIES = WEEKLY | {"penalties": [PENALTY | {"of": "balance"}, PENALTY | {"grace_days": 5}]}


@pytest.fixture
def lent(law: None, monkeypatch: pytest.MonkeyPatch) -> list[Loan]:
    """Loans of three products, one of which SQL leaves to Python, that nobody has paid; chunks of two loans."""
    for chunk in ("COURSE_CHUNK", "LOAN_CHUNK"):
        monkeypatch.setattr(closing, chunk, 2)
    versions = [product(WEEKLY), product(LEVEL), product(WEEKLY), product(WEEKLY), product(TWO_PENALTIES)]
    return [lend(versions[n % len(versions)], 300_000 + 7_777 * n, START) for n in range(10)]


def close(on: date) -> bool:
    return closing.close_business(on, START + (on - FIRST + DAY))


def close_from(first: date, last: date) -> list[bool]:
    return [close(first + n * DAY) for n in range((last - first).days + 1)]


def rows() -> dict[str, Any]:
    """Return what closing wrote, but for ids, the clock and how loans fell into chunks."""
    of_loans = Posting.objects.filter(loan__isnull=False).exclude(kind="accrual")
    return {
        "loans": list(Loan.objects.order_by("id").values()),
        "installments": [
            {name: value for name, value in row.items() if name != "id"}
            for row in Installment.objects.order_by("loan_id", "number").values()
        ],
        "postings": sorted(of_loans.values_list("reference", "kind", "event_key", "occurred_at", "business_date")),
        "moved": list(
            Entry.objects.order_by("posting__business_date", "account_id")
            .values_list("posting__business_date", "account_id")
            .annotate(Sum("debit_cents"), Sum("credit_cents"))
        ),
        "reminders": sorted(OutboxMessage.objects.values_list("reference", "due_at")),
        "closed": list(JobRun.objects.exclude(finished_at=None).order_by("business_date").values("business_date")),
    }


def undisturbed(last: date) -> dict[str, Any]:
    """Return the rows that one worker whom nobody disturbs leaves behind, and take them back."""
    with transaction.atomic():
        close_from(FIRST, last)
        expected = rows()
        transaction.set_rollback(True)
    return expected


def books_hold() -> None:
    # Loans of these tests were lent by nobody, so what they say of payouts is left out.
    names = (
        "receivable",
        "chain",
        "debits equal",
        "checkpoints",
        "two entries",
        "days past due",
        "entries are what",
    )
    broken = [one.line() for one in audit() if any(name in one.name for name in names) and not one.holds]
    assert not broken


class Beside(threading.Thread):
    """Somebody else, with a connection of their own; what went wrong there is raised where they are awaited."""

    def __init__(self, work: Callable[[], Any]) -> None:
        super().__init__(daemon=True)
        self.work, self.pid = work, 0
        self.wrong: BaseException | None = None
        self.answer: Any = None
        self.start()

    def run(self) -> None:
        try:
            with connection.cursor() as cursor:
                # Only bounds a failing test: nobody here waits for long.
                cursor.execute("SET lock_timeout = '30s'; SELECT pg_backend_pid()")
                self.pid = cursor.fetchone()[0]
            self.answer = self.work()
        except BaseException as wrong:  # noqa: BLE001 - all of it is for the test to read
            self.wrong = wrong
        finally:
            connection.close()

    def ends(self) -> Any:
        self.join(60)
        assert not self.is_alive(), "still waiting"
        if self.wrong is not None:
            raise self.wrong
        return self.answer

    def waits_for(self) -> list[int]:
        """Return the server processes that this one waits for, once it waits."""

        def blockers() -> list[int]:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_blocking_pids(%s)", [self.pid])
                found: list[int] = cursor.fetchone()[0]
                return found

        found: list[int] = wait_for(blockers, why="nobody waits")
        return found


@contextmanager
def paying(loan: Loan, *, until_row: bool) -> Iterator[None]:
    """Hold what a payment holds for as long as the block lasts: the person and, a moment later, the loan."""
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            lock_person(loan.borrower)
            if until_row:
                Loan.objects.select_for_update(no_key=True).get(id=loan.id)
            held.set()
            done.wait(60)

    somebody = Beside(hold)
    assert held.wait(60)
    yield
    done.set()
    somebody.ends()


@contextmanager
def stalled() -> Iterator[Callable[[Callable[[], Any]], Any]]:
    """Yield what runs work of the close so that it stops when it has taken its rows, until the block ends."""

    def stall(execute: Any, sql: str, *rest: Any) -> Any:
        if sql == savings_closing.DORMANT:
            execute("SELECT pg_advisory_xact_lock(7)", None, *rest[1:])
        where = 'WHERE "lending_loan"."id" = ' if sql.startswith("UPDATE") else "WHERE loan.ctid = "
        stopped = sql.replace(where, where.replace("WHERE", "WHERE pg_advisory_xact_lock(7) IS NOT NULL AND"))
        return execute(stopped, *rest)

    def run(work: Callable[[], Any]) -> Any:
        with connection.execute_wrapper(stall):
            return work()

    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(7)")
        yield run


def pay(loan: Loan, cents: int, at: Any = None) -> Receipt:
    return factories.pay(loan.reference, cents, f"R{loan.id}{cents}", at=at or START + (LATE - FIRST + DAY))


def backend() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return int(cursor.fetchone()[0])


def test_a_date_that_is_closed_twice_changes_nothing(lent: list[Loan]) -> None:
    close_from(FIRST, LATE)
    once = rows()
    assert Posting.objects.filter(kind="penalty").exists()
    assert close(LATE) is False
    JobRun.objects.filter(business_date=LATE).update(finished_at=None)  # cut off just before the end
    assert close(LATE) is True
    assert rows() == once
    books_hold()


def test_two_workers_leave_what_one_would(lent: list[Loan]) -> None:
    expected = undisturbed(LATE)
    both = [Beside(lambda: close_from(FIRST, LATE)) for _ in range(2)]
    answers = [one.ends() for one in both]
    # Whoever came second to the last loan of a date may have left its end to nobody: the next call finds it.
    leftover = close_from(FIRST, LATE)
    assert rows() == expected
    assert all(sum(day) == 1 for day in zip(*answers, leftover, strict=True))
    books_hold()


def test_what_two_workers_did_is_counted_together(lent: list[Loan]) -> None:
    """Whichever of them ends the date, and also when another one adds to it after that."""
    close_from(FIRST, LATE - DAY)
    with paying(lent[0], until_row=True):
        early = Beside(lambda: close(LATE))
        early.waits_for()
        assert 0 < Loan.objects.filter(aged_on=LATE).count() < len(lent)
        late = Beside(lambda: close(LATE))
        late.waits_for()
    assert sorted([early.ends(), late.ends()]) in ([False, True], [True, True]) or close(LATE)
    assert JobRun.objects.get(business_date=LATE).result["aged"] == len(lent)


def test_the_end_of_a_date_is_done_once_by_two_workers(lent: list[Loan]) -> None:
    close_from(FIRST, LATE)
    JobRun.objects.filter(business_date=LATE).update(finished_at=None)
    OutboxMessage.objects.all().delete()
    at, barrier = START + (LATE - FIRST + DAY), threading.Barrier(2)

    def finish() -> bool:
        barrier.wait(30)
        return closing._finish(JobRun.objects.get(business_date=LATE), at)

    both = [Beside(finish) for _ in range(2)]
    assert sorted(one.ends() for one in both) == [False, True]
    assert chain.head().postings == Posting.objects.count()
    references = list(OutboxMessage.objects.values_list("reference", flat=True))
    assert len(references) == len(set(references))
    books_hold()


def some_turn(size: int, after_id: int = 0) -> loan_closing.Closed:
    """Close a chunk of the loans that turn on the late day: the weekly ones."""
    return loan_closing.close_chunk(LATE, after_id, loan_closing.agreed(), START + (LATE - FIRST + DAY), size)


def some_stay(size: int, after_id: int = 0) -> loan_closing.Closed:
    """Close a chunk of the loans that stay on their course on the late day: the monthly ones."""
    return loan_closing.keep_on_course(LATE, after_id, size)


class TestPayments:
    @pytest.mark.parametrize(("some", "mine"), [(some_turn, 0), (some_stay, 1)])
    def test_a_chunk_gives_way_to_the_payment_that_comes_for_its_loan_and_to_no_other(
        self, lent: list[Loan], some: Callable[..., loan_closing.Closed], mine: int
    ) -> None:
        close_from(FIRST, LATE - DAY)
        held, free = lent[mine], lent[mine + 5]  # of one product, the second one in no chunk of one
        with stalled() as stall:
            chunk = Beside(lambda: stall(lambda: some(1)))
            chunk.waits_for()
            assert Beside(lambda: pay(free, 1_000)).ends().state == "allocated"
            assert chunk.waits_for(), "it gave way to a payment that it was not in the way of"
            assert Beside(lambda: pay(held, 1_000)).ends().state == "allocated"
            with pytest.raises(right_of_way.GaveWay):
                chunk.ends()
        close(LATE)
        for loan in lent:
            assert_as_the_rules_say(loan, LATE)
        books_hold()

    def test_a_loan_that_is_closed_alone_gives_way_to_its_payment(self, lent: list[Loan]) -> None:
        close_from(FIRST, LATE - DAY)
        alone, at = lent[4], START + (LATE - FIRST + DAY)
        with stalled() as stall:
            closer = Beside(lambda: stall(lambda: closing.close_singly(alone.id, LATE, at)))
            closer.waits_for()
            assert Beside(lambda: pay(alone, 1_000)).ends().state == "allocated"
            with pytest.raises(right_of_way.GaveWay):
                closer.ends()
        assert close(LATE)
        assert_as_the_rules_say(alone, LATE)
        books_hold()

    def test_a_payment_waits_for_another_one_and_cancels_nobody(self, lent: list[Loan]) -> None:
        with paying(lent[0], until_row=True):
            second = Beside(lambda: pay(lent[0], 1_000))
            second.waits_for()
        assert second.ends().state == "allocated"

    def test_who_gave_way_ends_the_date_all_the_same(
        self, lent: list[Loan], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """With chunks that grow smaller, and it says how often."""
        close_from(FIRST, LATE - DAY)
        expected = undisturbed(LATE)["loans"]
        sizes, close_chunk = [], loan_closing.close_chunk

        def twice_in_the_way(*args: Any) -> loan_closing.Closed:
            sizes.append(args[-1])
            if len(sizes) < 3:
                raise right_of_way.GaveWay
            return close_chunk(*args)

        monkeypatch.setattr(closing, "LOAN_CHUNK", 8)
        monkeypatch.setattr(closing, "LEAST_CHUNK", 1)
        monkeypatch.setattr(loan_closing, "close_chunk", twice_in_the_way)
        assert close(LATE)
        assert sizes[:4] == [8, 4, 2, 4]
        assert rows()["loans"] == expected
        assert JobRun.objects.get(business_date=LATE).result["gave_way"] == 2

    def test_a_chunk_with_penalties_does_not_wait_for_a_payment_that_waits_for_it(self, lent: list[Loan]) -> None:
        """The payment holds the person and comes for the loan; the chunk holds the loan and books on the person."""
        close_from(FIRST, LATE - DAY)
        with paying(lent[0], until_row=False):
            chunk = Beside(lambda: some_turn(2)).ends()
            assert (chunk.loans, chunk.penalties > 0) == (2, True)

    @pytest.mark.parametrize(("some", "mine"), [(some_turn, 0), (some_stay, 1)])
    def test_a_loan_that_a_payment_holds_is_skipped_and_closed_on_the_next_pass(
        self, lent: list[Loan], some: Callable[..., loan_closing.Closed], mine: int
    ) -> None:
        close_from(FIRST, LATE - DAY)
        expected = undisturbed(LATE)["loans"]
        with transaction.atomic():
            all_of_them = some(100).loans
            transaction.set_rollback(True)
        with paying(lent[mine], until_row=True):
            assert some(100).loans == all_of_them - 1
            assert lent[mine] in loan_closing.left_to_close(LATE)
        assert some(100).loans == 1
        assert close(LATE)
        assert rows()["loans"] == expected

    @pytest.mark.parametrize(("some", "mine"), [(some_turn, 0), (some_stay, 1)])
    def test_what_was_paid_before_a_chunk_took_its_loan_counts(
        self, lent: list[Loan], some: Callable[..., loan_closing.Closed], mine: int
    ) -> None:
        """The statement that takes the rows has begun, the payment commits, and only then is its row taken."""
        close_from(FIRST, LATE - DAY)

        def stall(execute: Any, sql: str, *rest: Any) -> Any:
            stalled = sql.replace(
                "WHERE state = 'live'", "WHERE pg_advisory_xact_lock(7) IS NOT NULL AND state = 'live'"
            )
            return execute(stalled, *rest)

        def close_a_chunk() -> loan_closing.Closed:
            with connection.execute_wrapper(stall):
                return some(2)

        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(7)")
            chunk = Beside(close_a_chunk)
            wait_for(lambda: chunk.pid)
            assert chunk.waits_for() == [backend()]
            payment = Beside(lambda: pay(lent[mine], 1_000, START + (LATE - FIRST)))
            assert payment.ends().state == "allocated"
        assert chunk.ends().loans == 2
        assert Loan.objects.get(id=lent[mine].id).aged_on == LATE
        assert_as_the_rules_say(lent[mine], LATE)

    def test_payments_that_flow_meanwhile_are_neither_refused_nor_lost(self, lent: list[Loan]) -> None:
        closer = Beside(lambda: close_from(FIRST, LATE))

        def pay_often() -> list[str]:
            return [pay(loan, 1_000 + n).state for n in range(4) for loan in lent]

        assert set(Beside(pay_often).ends()) == {"allocated"}
        closer.ends()
        close_from(FIRST, LATE)
        for loan in lent:
            assert_as_the_rules_say(loan, LATE)
        books_hold()

    def test_what_is_told_after_a_date_was_closed_ends_as_if_told_in_time(self, lent: list[Loan]) -> None:
        close_from(FIRST, LATE)
        penalised = Loan.objects.get(id=lent[0].id).outstanding_cents
        happen(lent[0], "pay", START + 7 * DAY, amount_cents=100_000)
        close(LATE + DAY)
        loan = contracts.with_contract().get(id=lent[0].id)
        assert loan.outstanding_cents < penalised - 100_000, "a penalty that it spared is still owed"
        lived = play(contracts.contract_of(loan), contracts.facts_of(life.events_of(loan)), LATE + DAY)
        assert (loan.outstanding_cents, loan.days_past_due, loan.worst_days_past_due, loan.accrual_cents) == (
            lived.outstanding_cents, lived.days_past_due, lived.worst_days_past_due, lived.accrued_interest_cents,
        )  # fmt: skip
        books_hold()


def test_a_range_of_savings_gives_way_to_the_saver_who_comes_for_one_of_them(law: None) -> None:
    savers = [saving.pot(factories.register("Saver Wanjiru", f"2547110001{n:02}", f"2200110{n}")) for n in range(2)]
    for saver in savers:
        saving.deposit(saver, 500_000, saving.MORNING)
    ids = (saving.OPENED_ON, savers[0].id, savers[1].id)
    with stalled() as stall:
        closer = Beside(lambda: stall(lambda: savings_closing.claim_and_accrue(*ids)))
        closer.waits_for()
        Beside(lambda: saving.deposit(savers[0], 100_000, saving.MORNING + DAY)).ends()
        with pytest.raises(right_of_way.GaveWay):
            closer.ends()
    work = closing.Work()
    closing._close_savings(saving.OPENED_ON, work)
    assert work.savers == 1, "the other one had its day by the deposit"
    assert set(SavingsAccount.objects.values_list("accrued_on", flat=True)) == {saving.OPENED_ON}


CLOSE_ALONE = """
import sys; from datetime import date, datetime
import django; django.setup()
from lending import closing
closing.COURSE_CHUNK = closing.LOAN_CHUNK = 2
closing.close_business(date.fromisoformat(sys.argv[1]), datetime.fromisoformat(sys.argv[2]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["between chunks", "while a chunk commits"])
def test_killed_in_the_middle_of_a_date_and_started_again_it_leaves_the_same(lent: list[Loan], moment: str) -> None:
    close_from(FIRST, LATE - DAY)
    with transaction.atomic():
        close(LATE)
        expected = rows()
        transaction.set_rollback(True)

    at = START + (LATE - FIRST + DAY)
    with transaction.atomic():
        # A lock that stops it there: of a loan that comes last, or of a person whom the second chunk books on.
        halt = lent[9] if moment == "between chunks" else lent[2]
        type(halt.borrower).objects.select_for_update().get(id=halt.borrower_id)
        process = subprocess.Popen(
            [sys.executable, "-c", CLOSE_ALONE, LATE.isoformat(), at.isoformat()],
            cwd=ROOT,
            env=os.environ | {"DATABASE_URL": database_url(), "DJANGO_SETTINGS_MODULE": "config.settings"},
        )
        try:
            wait_for(lambda: _waiting_for(backend()), 60, why="it never came to the lock")
        finally:
            process.kill()
        assert process.wait() == -9
        closed = Loan.objects.filter(aged_on=LATE).count()
        assert 0 < closed < len(lent)
    assert not JobRun.objects.get(business_date=LATE).finished_at

    again = subprocess.run(
        [sys.executable, "-c", CLOSE_ALONE, LATE.isoformat(), at.isoformat()],
        cwd=ROOT,
        env=os.environ | {"DATABASE_URL": database_url(), "DJANGO_SETTINGS_MODULE": "config.settings"},
        check=False,
    )
    assert again.returncode == 0
    assert rows() == expected
    books_hold()


def _waiting_for(pid: int) -> list[int]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pid FROM pg_locks WHERE NOT granted AND %s = ANY(pg_blocking_pids(pid))", [pid])
        return [one for (one,) in cursor.fetchall()]
