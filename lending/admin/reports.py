"""The reports room: any report of the metrics layer as of any business date, definitions beside the figures."""

from dataclasses import dataclass
from datetime import date
from itertools import islice
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.template.response import TemplateResponse
from django.urls import path
from django.utils import timezone
from django.utils.html import format_html_join
from django.utils.http import content_disposition_header
from django.utils.safestring import SafeString

from lending.admin import cells, words
from lending.rules import calendar
from lending.selectors.metrics import REPORTS, Column, Report, Unit, files
from lending.selectors.metrics.snapshots import Counted, as_counted, last_kept
from lending.selectors.products import NothingInForce

PERMISSION = "lending.view_loan"
# A page is for reading; whoever needs more takes the file.
SHOWN_ROWS = 500
NUMBERS = {Unit.CENTS, Unit.COUNT, Unit.DAYS, Unit.SHARE}
STYLES = dict.fromkeys(NUMBERS, "text-right tabular-nums whitespace-nowrap") | {
    Unit.DATE: "whitespace-nowrap",
    Unit.TEXT: "",
}


@dataclass(frozen=True)
class Heading:
    """A column's head: its name and its definition, read together."""

    title: str
    definition: str
    is_number: bool


def index(request: HttpRequest) -> HttpResponse:
    """Show which reports there are, and what each means."""
    _refuse_strangers(request)
    on, wrong = _asked(request)
    reports = [report for report in REPORTS.values() if not report.personal]
    return _page(
        request, "lending/reports.html", {"title": "Reports", "reports": reports, "on": on, "wrong": wrong}
    )


def show(request: HttpRequest, name: str) -> HttpResponse:
    """Show one report, or hand it over as CSV (`?format=csv`)."""
    _refuse_strangers(request)
    report = REPORTS.get(name)
    if report is None or report.personal:
        raise Http404(f"no report {name}")
    on, wrong = _asked(request)
    counted = Counted(report) if "recount" in request.GET else as_counted(report, on)
    if request.GET.get("format") == "csv" and not wrong:
        return _file(counted.report, on)
    return _page(request, "lending/report.html", _shown(counted, on, wrong))


def _refuse_strangers(request: HttpRequest) -> None:
    if not request.user.has_perm(PERMISSION):
        raise PermissionDenied


def _asked(request: HttpRequest) -> tuple[date, str]:
    """Return the business date asked for, and what was wrong with it; by default the last one of which reports
    are kept, else today as it stands now."""
    today = calendar.business_date(timezone.now(), settings.TIME_ZONE)
    text = request.GET.get("on", "")
    try:
        on = date.fromisoformat(text) if text else last_kept(today) or today
    except ValueError:
        return today, f"“{text}” is no date; shown is today."
    return (on, "") if on <= today else (today, f"{text} is still to come; shown is today.")


def _shown(counted: Counted, on: date, wrong: str) -> dict[str, Any]:
    report = counted.report
    try:
        rows = list(islice(report.rows(on), SHOWN_ROWS + 1))
    except (NothingInForce, ValueError) as error:
        rows, wrong = [], f"Cannot be made for this day: {error}."
    return {
        "title": report.title,
        "report": report,
        "on": on,
        "wrong": wrong,
        "taken_at": counted.taken_at,
        "late_facts": counted.facts_since(on),
        "headings": [heading(column) for column in report.columns],
        "rows": [_cells(report, row) for row in rows[:SHOWN_ROWS]],
        "is_cut": len(rows) > SHOWN_ROWS,
        "shown_rows": SHOWN_ROWS,
    }


def heading(column: Column) -> Heading:
    """Return the head of a column.

    >>> heading(Column("at_risk_cents", Unit.CENTS, "principal at risk"))
    Heading(title='At risk', definition='principal at risk', is_number=True)
    """
    return Heading(words.input_name(column.name), column.words, column.unit in NUMBERS)


def _cells(report: Report, row: tuple[Any, ...]) -> SafeString:
    """Return the cells of one row: there are thousands, and a template takes long to decide on each of them."""
    values = list(zip(report.columns, row, strict=True))
    currency = next((value for column, value in values if column.name == "currency"), "")
    texts = ((STYLES[column.unit], shown(value, column.unit, currency)) for column, value in values)
    return format_html_join("", '<td class="px-4 py-1.5 align-top {}">{}</td>', texts)


def shown(value: Any, unit: Unit, currency: str) -> str:
    """Return a value as people read it; a share of nothing is a dash.

    >>> from decimal import Decimal
    >>> shown(150_000, Unit.CENTS, "KES"), shown(Decimal("0.151171"), Unit.SHARE, ""), shown(None, Unit.SHARE, "")
    ('KES 1,500', '15.1%', '–')
    """
    if value is None:
        return cells.NOTHING
    if unit == Unit.CENTS:
        return cells.shown(value, currency)
    if unit == Unit.SHARE:
        return f"{value:.1%}"
    return f"{value:,}" if unit in NUMBERS else str(value)


def _file(report: Report, on: date) -> HttpResponse:
    response = StreamingHttpResponse(files.as_csv(report, on), content_type="text/csv; charset=utf-8")
    name = content_disposition_header(as_attachment=True, filename=f"{report.name}-{on}.csv")
    response["Content-Disposition"] = name
    return response  # type: ignore[return-value]


def _page(request: HttpRequest, template: str, context: dict[str, Any]) -> HttpResponse:
    return TemplateResponse(request, template, admin.site.each_context(request) | context)


urlpatterns = [
    path("", admin.site.admin_view(index), name="reports"),
    path("<slug:name>/", admin.site.admin_view(show), name="report"),
]
