"""Models and their training runs, for looking. `manage.py models` promotes and rolls back."""

import json
from typing import Any

from django.contrib import admin
from django.utils.html import format_html
from unfold.decorators import display

from lending.admin import cells
from lending.admin.history import History
from scoring.models import ModelVersion, PipelineRun


@admin.register(ModelVersion)
class ModelVersionAdmin(History):
    list_display = ("name", "state_label", "loans", "trained_at", "promoted_at", "feature_version")
    list_filter = ("state",)
    fieldsets = (
        (None, {"fields": (("name", "state_label"), ("trained_at", "promoted_at"), ("loans", "seen_until"))}),
        ("Artifact", {"fields": (("artifact", "feature_version", "seed"), "sha256", "data_sha256")}),
        ("How good it was", {"fields": ("measures", "against_champion")}),
    )

    @display(
        description="State",
        ordering="state",
        label={
            ModelVersion.State.CHAMPION.label: "success",
            ModelVersion.State.SHELVED.label: "info",
            ModelVersion.State.RETIRED.label: "warning",
        },
    )
    def state_label(self, row: ModelVersion) -> str:
        return row.get_state_display()

    @display(description="On loans later than it learnt from")
    def measures(self, row: ModelVersion) -> str:
        return side_by_side(row.metrics)

    @display(description="Against the champion of the day")
    def against_champion(self, row: ModelVersion) -> str:
        sides = {name: row.comparison[name] for name in ("champion", "challenger") if name in row.comparison}
        why = "; ".join(row.comparison.get("why", []))
        return format_html("{}<p>{}</p>", side_by_side(sides), why)


@admin.register(PipelineRun)
class PipelineRunAdmin(History):
    list_display = ("started_at", "state", "loans", "version", "finished_at")
    list_filter = ("state",)
    list_select_related = ("version",)
    detail_related = ("version",)
    fieldsets = ((None, {"fields": (("state", "loans", "version"), ("started_at", "finished_at"), "report_text")}),)

    @display(description="Report")
    def report_text(self, row: PipelineRun) -> str:
        return as_text(row.report)


def side_by_side(parts: dict[str, dict[str, Any]]) -> str:
    """Return measures as a table, a column for each part of the loans or each model."""
    names = sorted({name for measures in parts.values() for name in measures})
    rows = ([words(name), *(figure(parts[part].get(name)) for part in parts)] for name in names)
    return cells.table(["", *(words(part) for part in parts)], rows)


def words(name: str) -> str:
    """Return a name from the stored JSON as a person reads it."""
    return name.upper() if name in ("auc", "ks") else name.replace("_", " ").capitalize()


def figure(value: Any) -> str:
    """Return a count whole and a measure with four digits."""
    return cells.NOTHING if value is None else f"{value:.4f}" if isinstance(value, float) else f"{value:,}"


def as_text(value: Any) -> str:
    """Return stored JSON as a person reads it."""
    return cells.words_as_shown(json.dumps(value, indent=2, ensure_ascii=False))
