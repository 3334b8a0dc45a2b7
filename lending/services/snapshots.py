"""Keeping the reports of a date that was closed."""

from datetime import date, datetime

from django.db import transaction
from django.db.models import Max

from lending.models import LoanEvent, ReportSnapshot
from lending.selectors.metrics import snapshots
from lending.selectors.metrics.report import Report
from lending.selectors.products import NothingInForce


def take(on: date, at: datetime) -> int:
    """Count and keep every report of a date of which nothing is kept yet by its present definition; return how
    many. Repeats safely, also side by side: what is kept already stays. A report that cannot be made for this
    date, because no law is loaded for it, is left out.
    """
    kept = set(ReportSnapshot.objects.filter(business_date=on).values_list("report", "definition"))
    missing = [one for one in snapshots.KEPT if (one.name, snapshots.definition_of(one)) not in kept]
    return sum(_keep(report, on, at) for report in missing)


@transaction.atomic
def _keep(report: Report, on: date, at: datetime) -> bool:
    last_event_id = LoanEvent.objects.aggregate(last=Max("id"))["last"] or 0
    try:
        rows = snapshots.as_kept(report.rows(on))
    except (NothingInForce, ValueError):
        return False
    made = ReportSnapshot(
        report=report.name,
        business_date=on,
        definition=snapshots.definition_of(report),
        rows=rows,
        last_event_id=last_event_id,
        taken_at=at,
    )
    return bool(ReportSnapshot.objects.bulk_create([made], ignore_conflicts=True))
