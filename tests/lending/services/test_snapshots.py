"""Keeping the reports of a date beside others: payments, other workers, and the moment in which one is killed."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta

import pytest
from django.db import OperationalError, connection, transaction

from lending import closing
from lending.models import JobRun, Loan, ReportSnapshot
from lending.selectors.metrics import REPORTS, asking, snapshots
from lending.services import snapshots as service
from tests import factories
from tests.lending.selectors.conftest import evening, four_loans
from tests.lending.selectors.story import ON
from tests.lending.test_closing_side_by_side import Beside, backend

__all__ = ["evening", "four_loans"]

pytestmark = pytest.mark.django_db(transaction=True)
JUNE = ON.date()
AT = datetime(2026, 7, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


@contextmanager
def halfway() -> Iterator[Beside]:
    """Let a worker be in the middle of counting for as long as the block lasts: cash flow waits for a table."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("LOCK TABLE lending_refund IN ACCESS EXCLUSIVE MODE")
        worker = Beside(lambda: service.take(JUNE, AT))
        assert worker.waits_for() == [backend()]
        yield worker


def figure(name: str, column: str, index: int = 0) -> int:
    cents: int = snapshots.as_counted(REPORTS[name], JUNE).report.records(JUNE)[index][column]
    return cents


def test_all_reports_of_a_date_are_of_one_moment(four_loans: dict[str, Loan]) -> None:
    """Brian's money of the 29th is told while they are counted: none of them has it, and each says so."""
    with halfway() as worker:
        told = Beside(lambda: factories.pay(four_loans["Brian"].reference, 100_00, "LATE", at=AT - 2 * DAY))
        assert told.ends().state == "allocated"
        assert ReportSnapshot.objects.count() == 0
    assert worker.ends() == len(snapshots.KEPT)
    assert figure("cash_flow", "received_cents", -1) == 300_00
    assert figure("portfolio", "outstanding_cents") == 2_238_00
    assert {snapshots.as_counted(one, JUNE).facts_since(JUNE) for one in snapshots.KEPT} == {1}


def test_two_workers_count_a_date_once(four_loans: dict[str, Loan]) -> None:
    with halfway() as first:
        assert Beside(lambda: service.take(JUNE, AT)).ends() == 0
        assert Beside(lambda: service._claim(JUNE - DAY)).ends(), "another date is free"
    assert first.ends() == len(snapshots.KEPT) == ReportSnapshot.objects.count()


def test_a_worker_that_is_killed_keeps_nothing_and_holds_nobody_up(four_loans: dict[str, Loan]) -> None:
    with halfway() as worker:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s)", [worker.pid])
        with pytest.raises(OperationalError):
            worker.ends()
    assert ReportSnapshot.objects.count() == 0
    assert service.take(JUNE, AT) == len(snapshots.KEPT)


def test_what_is_gathered_leaves_nothing_behind(four_loans: dict[str, Loan]) -> None:
    for _ in range(2):
        with asking.gathered(JUNE, [JUNE]):
            assert REPORTS["portfolio"].records(JUNE)
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_class WHERE relname = ANY(%s)", [list(asking.GATHERED)])
        assert cursor.fetchone() == (0,)
        cursor.execute("SHOW work_mem")
        assert cursor.fetchone() == ("4MB",)


def test_a_day_that_was_not_gathered_is_not_counted_as_nothing(four_loans: dict[str, Loan]) -> None:
    with asking.gathered(JUNE, [JUNE]), pytest.raises(AssertionError, match="gathered for other days"):
        REPORTS["roll_rates"].records(JUNE)


def closed(*days: date) -> None:
    JobRun.objects.bulk_create(
        JobRun(job=closing.JOB, business_date=day, started_at=AT, finished_at=AT) for day in days
    )


def test_every_date_that_a_cut_off_worker_left_is_made_up_for(four_loans: dict[str, Loan]) -> None:
    """Three dates were caught up, and whoever kept their reports came no further than the first."""
    days = [JUNE - n * DAY for n in (2, 1, 0)]
    closed(*days)
    service.take(days[0], AT)
    service.catch_up(JUNE, AT)
    kept = ReportSnapshot.objects.filter(report="par").order_by("business_date")
    assert list(kept.values_list("business_date", flat=True)) == days


def test_of_dates_before_the_first_that_was_kept_nothing_is_kept(four_loans: dict[str, Loan]) -> None:
    closed(JUNE - 2 * DAY, JUNE - DAY, JUNE)
    service.catch_up(JUNE, AT)
    assert {*ReportSnapshot.objects.values_list("business_date", flat=True)} == {JUNE}


def test_a_date_that_is_still_being_closed_is_not_kept(four_loans: dict[str, Loan]) -> None:
    closed(JUNE - DAY)
    JobRun.objects.create(job=closing.JOB, business_date=JUNE, started_at=AT)
    service.catch_up(JUNE - DAY, AT)
    assert {*ReportSnapshot.objects.values_list("business_date", flat=True)} == {JUNE - DAY}
