"""Keeping the reports of a date that was closed."""

from datetime import date, datetime

from django.conf import settings
from django.db import connection
from django.db.models import Max

from lending.models import JobRun, LoanEvent, ReportSnapshot
from lending.rules import calendar
from lending.selectors.metrics import snapshots
from lending.selectors.metrics.asking import gathered, one_picture
from lending.selectors.metrics.report import Report
from lending.selectors.products import NothingInForce


def catch_up(since: date, at: datetime) -> None:
    """Keep the reports of each closed date of which they are not kept: from a date on, or from the last one of
    which any are kept, whichever is earlier, so none stays out when a worker is cut off.
    """
    today = calendar.business_date(at, settings.TIME_ZONE)
    first = min(since, snapshots.last_kept(today) or since)
    closed = JobRun.objects.filter(
        job=JobRun.CLOSE_OF_BUSINESS, finished_at__isnull=False, business_date__gte=first
    )
    for day in closed.order_by("business_date").values_list("business_date", flat=True):
        take(day, at)


def take(on: date, at: datetime) -> int:
    """Count every report of a date of which nothing is kept yet by its present definition, and keep them; return
    how many.

    They are counted as of one moment and kept together: a worker that is cut off keeps none. Repeats safely, also
    side by side: what is kept stays, and a date at which another worker is counting is left to it. A report that
    cannot be made for this date, because no law is loaded for it, is left out.
    """
    kept = set(ReportSnapshot.objects.filter(business_date=on).values_list("report", "definition"))
    missing = [one for one in snapshots.KEPT if (one.name, snapshots.definition_of(one)) not in kept]
    made = _counted(missing, on, at) if missing else []
    # Not within the picture: there, what another worker has kept meanwhile would be an error.
    ReportSnapshot.objects.bulk_create(made, ignore_conflicts=True)
    return len(made)


def _counted(reports: list[Report], on: date, at: datetime) -> list[ReportSnapshot]:
    """Return the snapshots of reports, made from one reading of the facts; none if another worker is at it."""
    with one_picture():
        if not _claim(on):
            return []
        last_event_id = LoanEvent.objects.aggregate(last=Max("id"))["last"] or 0
        try:
            with gathered(on, {day for report in reports for day in report.days(on)}):
                kept = [(report, rows) for report in reports if (rows := _rows(report, on)) is not None]
        except NothingInForce:
            return []
    return [
        ReportSnapshot(
            report=report.name,
            business_date=on,
            definition=snapshots.definition_of(report),
            rows=rows,
            last_event_id=last_event_id,
            taken_at=at,
        )
        for report, rows in kept
    ]


def _rows(report: Report, on: date) -> list[list[object]] | None:
    try:
        return snapshots.as_kept(report.rows(on))
    except (NothingInForce, ValueError):
        return None


def _claim(on: date) -> bool:
    """Claim a date for this transaction; False if another one counts it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(hashtextextended('reports', %s))", [on.toordinal()])
        return bool(cursor.fetchone()[0])
