"""Reports of a closed date, read as they were counted once at its end.

Counting again costs seconds on a big book and gives the same, unless something was told later of that date or
before: `facts_since` says how much. Source: docs/domain/metrics.md, "Kept with the date".
"""

import hashlib
import inspect
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from typing import Any

from lending.models import LoanEvent, ReportSnapshot
from lending.selectors.metrics import REPORTS
from lending.selectors.metrics.files import plain
from lending.selectors.metrics.report import Report, Row, Unit

# A row for each loan, or a person: those are made when they are asked for.
KEPT = tuple(report for report in REPORTS.values() if not report.is_listing)
_READ: dict[Unit, Any] = {Unit.SHARE: Decimal, Unit.DATE: date.fromisoformat}


@dataclass(frozen=True)
class Counted:
    """A report whose rows come from a snapshot, or, with `taken_at` None, are counted when they are asked for."""

    report: Report
    taken_at: datetime | None = None
    last_event_id: int = 0

    def facts_since(self, on: date) -> int:
        """Return how many facts of the date or before were told after the snapshot was taken."""
        if self.taken_at is None:
            return 0
        return LoanEvent.objects.filter(id__gt=self.last_event_id, business_date__lte=on).count()


def as_counted(report: Report, on: date) -> Counted:
    """Return a report as it was counted at the end of a date; if nothing is kept of it, as it is counted now."""
    if report.is_listing:
        return Counted(report)
    kept = ReportSnapshot.objects.filter(report=report.name, business_date=on, definition=definition_of(report))
    found = kept.first()
    if found is None:
        return Counted(report)

    def rows(_: date) -> Iterator[Row]:
        return _typed(report, found.rows)

    return Counted(replace(report, compute=rows), found.taken_at, found.last_event_id)


def last_kept(today: date) -> date | None:
    """Return the last date before today of which reports are kept."""
    kept = ReportSnapshot.objects.filter(business_date__lt=today).order_by("-business_date")
    return kept.values_list("business_date", flat=True).first()


@cache
def definition_of(report: Report) -> str:
    """Return the version of a report's definition: another column, word or statement, another version. Of one that
    is more than a statement, the facts and the whole module count."""
    counted = report.sql + (inspect.getsource(sys.modules[report.compute.__module__]) if report.compute else "")
    columns = [(column.name, column.unit.value, column.words, column.sql) for column in report.columns]
    said = repr((report.name, report.words, columns, counted))
    return hashlib.sha256(said.encode()).hexdigest()[:12]


def as_kept(rows: Iterable[Row]) -> list[list[Any]]:
    """Return rows as JSON holds them, without loss."""
    return [[plain(value) for value in row] for row in rows]


def _typed(report: Report, rows: Iterable[list[Any]]) -> Iterator[Row]:
    reads = [_READ.get(column.unit) for column in report.columns]
    for row in rows:
        yield tuple(
            read(value) if read and value is not None else value for read, value in zip(reads, row, strict=True)
        )
