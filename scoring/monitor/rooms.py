"""The officers' room for the model's health: what rings, and every figure behind it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from unfold.decorators import display
from unfold.utils import display_for_label

from lending.admin import cells
from lending.admin.history import History
from scoring.models import HealthCheck, HealthFigure
from scoring.monitor.figures import MEASURES

State = HealthFigure.State
COLOURS = {
    State.ALARM.label: "danger",
    State.WARN.label: "warning",
    State.OK.label: "success",
    State.TOO_FEW.label: "info",
}
COLUMNS = ("Measure", "Of whom", "State", "Value", "Surely between", "Held to", "Rests on", "Model")
PROMISES = ("calibration", "auc", "log_loss", "loss")
APPLICANTS = ("score_drift", "parity", "impossible", "approval")
FEATURES = ("feature_drift", "missing")
RUNNING = tuple(name for name in MEASURES if name not in (*PROMISES, *APPLICANTS, *FEATURES))
# Of more than a hundred features; the rest is one link away.
SHOWN_FEATURES = 10


@dataclass(frozen=True, slots=True)
class Section:
    """A table of the page. href: where there is more of it."""

    title: str
    headers: Sequence[str]
    rows: Sequence[Sequence[Any]]
    nothing: str = "Nothing was measured."
    cells: str = "whitespace-nowrap"
    href: str = ""


@admin.register(HealthCheck)
class HealthCheckAdmin(History):
    list_display = ("business_date", "state_label", "alarms", "warnings", "checked_at")
    fieldsets = ((None, {"fields": (("business_date", "alarms", "warnings", "checked_at"),)}),)
    change_form_outer_after_template = "scoring/health.html"

    def get_queryset(self, request: HttpRequest) -> "QuerySet[HealthCheck]":
        def those(state: State) -> Count:
            return Count("figures", filter=Q(figures__state=state))

        return super().get_queryset(request).annotate(rings=those(State.ALARM), warns=those(State.WARN))

    @display(description="State", label=COLOURS)
    def state_label(self, row: Any) -> str:
        return str((State.ALARM if row.rings else State.WARN if row.warns else State.OK).label)

    @display(description="Alarms")
    def alarms(self, row: Any) -> int:
        return int(row.rings)

    @display(description="To look at")
    def warnings(self, row: Any) -> int:
        return int(row.warns)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        night = HealthCheck.objects.filter(pk=object_id).prefetch_related("figures").first()
        shown = {"sections": sections(night) if night else []}
        return super().change_view(request, object_id, form_url, shown | (extra_context or {}))


def sections(night: HealthCheck) -> list[Section]:
    """Return the tables of a night: first what rings and what to do, then every figure behind it."""
    figures = list(night.figures.all())
    ringing = sorted(
        (row for row in figures if row.state in (State.ALARM, State.WARN)), key=lambda row: row.state != State.ALARM
    )
    by_distance = sorted(
        (row for row in figures if row.measure in FEATURES),
        key=lambda row: (row.value or 0) / (row.threshold or 1),
        reverse=True,
    )
    on = night.business_date
    of_night = {"night__business_date__gte": on, "night__business_date__lt": on + timedelta(days=1)}
    listing = f"{reverse('admin:scoring_healthfigure_changelist')}?{urlencode(of_night | {'measure': FEATURES[0]})}"
    return [
        Section(
            "Needs a look",
            ("State", "Measure", "What was found", "What to do: docs/operations.md"),
            [
                (label(row), MEASURES[row.measure].title, row.words, MEASURES[row.measure].runbook)
                for row in ringing
            ],
            nothing="Nothing rings.",
            cells="",
        ),
        table("What was promised, and what came: loans that told their end in 13 weeks", figures, PROMISES),
        table("Who asks: applicants of four weeks", figures, APPLICANTS),
        Section(
            "Features that moved most",
            COLUMNS,
            [as_cells(row) for row in by_distance[:SHOWN_FEATURES]],
            href=listing,
        ),
        table("How it runs", figures, RUNNING),
    ]


class MeasureFilter(admin.SimpleListFilter):
    title = "measure"
    parameter_name = "measure"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, measure.title) for name, measure in MEASURES.items()]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any]":
        return queryset.filter(measure=self.value()) if self.value() else queryset


@admin.register(HealthFigure)
class HealthFigureAdmin(History):
    """Every figure of every night: filtered by its measure, how it went from night to night."""

    list_display = ("date", "title", "whom", "state_label", "shown", "interval", "held_to", "rests_on", "version")
    list_filter = ("state", MeasureFilter, "night__business_date")
    search_fields = ("group", "version", "words")
    ordering = ("-night__business_date", "id")
    list_select_related = ("night",)
    detail_related = ("night",)
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("date", "title", "state_label"),
                    "words",
                    ("shown", "interval", "held_to"),
                    ("whom", "rests_on", "version"),
                )
            },
        ),
    )

    @display(description="Date", ordering="night__business_date")
    def date(self, row: HealthFigure) -> Any:
        return row.night.business_date

    @display(description="Measure", ordering="measure")
    def title(self, row: HealthFigure) -> str:
        return MEASURES[row.measure].title

    @display(description="Of whom")
    def whom(self, row: HealthFigure) -> str:
        return whom(row)

    @display(description="State")
    def state_label(self, row: HealthFigure) -> str:
        return label(row)

    @display(description="Value")
    def shown(self, row: HealthFigure) -> str:
        return shown(row, row.value)

    @display(description="Surely between")
    def interval(self, row: HealthFigure) -> str:
        return interval(row)

    @display(description="Held to")
    def held_to(self, row: HealthFigure) -> str:
        return shown(row, row.threshold)

    @display(description="Rests on", ordering="n")
    def rests_on(self, row: HealthFigure) -> str:
        return f"{row.n:,}"


def table(title: str, figures: Iterable[HealthFigure], measures: Sequence[str]) -> Section:
    """Return the figures of these measures in their order, of too few the last."""

    def in_order(row: HealthFigure) -> tuple[int, bool, int]:
        return measures.index(row.measure), row.state == State.TOO_FEW, row.id

    found = sorted((row for row in figures if row.measure in measures), key=in_order)
    return Section(title, COLUMNS, [as_cells(row) for row in found])


def as_cells(row: HealthFigure) -> list[Any]:
    title = MEASURES[row.measure].title
    return [
        title, whom(row), label(row), shown(row, row.value), interval(row), shown(row, row.threshold), f"{row.n:,}",
        row.version or ("all" if row.measure in PROMISES else cells.NOTHING),
    ]  # fmt: skip


def label(row: HealthFigure) -> str:
    """Return a state by colour and by word; a dash for what is only told."""
    if row.threshold is None and row.state == State.OK:
        return cells.NOTHING
    return str(display_for_label(row.get_state_display(), "", COLOURS))


def whom(row: HealthFigure) -> str:
    return f"{row.fact} {row.group}" if row.fact else "everybody" if row.n > 1 else cells.NOTHING


def interval(row: HealthFigure) -> str:
    """Return what bounds a figure; a dash where its threshold says all."""
    if row.low is None or row.high is None:
        return cells.NOTHING
    return f"{shown(row, row.low)} to {shown(row, row.high)}"


def shown(row: HealthFigure, value: float | None) -> str:
    """Return a number of a figure in the unit of its measure."""
    if value is None:
        return cells.NOTHING
    match MEASURES[row.measure].unit:
        case "share":
            return f"{value:.1%}"
        case "times":
            return f"{value:.2f} ×"
        case "s":
            return f"{value:.2f} s"
        case "days" | "runs":
            return f"{value:,.0f}"
        case "cents":
            return cells.shown(round(value), row.group)
        case _:
            return f"{value:.4f}" if abs(value) >= 0.001 or not value else f"{value:.1e}"
