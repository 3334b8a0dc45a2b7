"""Models and their cards, who served when, and the training runs. A model is proposed here, not rolled back."""

import json
from collections.abc import Mapping
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.http import content_disposition_header
from unfold.decorators import action, display

from lending.admin import cells
from lending.admin.changes import Refused, in_words, pending
from lending.admin.dialogs import ReasonForm, act
from lending.admin.history import History, HistoryInline
from ml.artifact import ArtifactRefused
from scoring import cards, promotion, registry
from scoring.models import Alias, ModelVersion, PipelineRun, PipelineStep, Promotion
from scoring.monitor import rooms

__all__ = ["rooms"]


@admin.register(ModelVersion)
class ModelVersionAdmin(History):
    list_display = ("name", "state_label", "loans", "trained_at", "feature_version")
    list_filter = ("aliases__name",)
    actions_detail = ("card_page", "card_pdf", "propose")
    fieldsets = (
        (None, {"fields": (("name", "state_label"), ("trained_at", "loans", "seen_until"))}),
        ("Artifact", {"fields": (("artifact", "feature_version", "seed"), "sha256", "data_sha256", "code_commit")}),
        ("How good it was", {"fields": ("measures", "against_champion", "checks")}),
        ("Proposed", {"fields": ("waiting",)}),
    )

    def get_queryset(self, request: HttpRequest) -> "QuerySet[ModelVersion]":
        return super().get_queryset(request).prefetch_related("aliases", "promotions")

    @display(
        description="State",
        label={
            Alias.Name.CHAMPION.label: "success",
            Alias.Name.SHADOW.label: "info",
            Alias.Name.CHALLENGER.label: "info",
            "Served before": "warning",
        },
    )
    def state_label(self, row: ModelVersion) -> str:
        return registry.state(row)

    @display(description="On loans later than it learnt from")
    def measures(self, row: ModelVersion) -> str:
        return side_by_side(row.metrics)

    @display(description="Against the champion of the day")
    def against_champion(self, row: ModelVersion) -> str:
        sides = {name: row.comparison[name] for name in ("champion", "challenger") if name in row.comparison}
        why = "; ".join(row.comparison.get("why", []))
        return format_html("{}<p>{}</p>", side_by_side(sides), why)

    @display(description="Every check")
    def checks(self, row: ModelVersion) -> str:
        return as_text(without_card(row.report))

    @display(description="Waits for a second person")
    def waiting(self, row: ModelVersion) -> str:
        return pending(f"model:{row.name}")

    def has_propose_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return request.user.has_perm("lending.add_proposal")

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """Propose every version but the one that serves."""
        offered = super().get_actions_detail(request, object_id)
        serves = Alias.objects.filter(name=Alias.Name.CHAMPION, version=object_id).exists()
        return [one for one in offered if not (serves and one.action_name.endswith("_propose"))]

    @action(description="Model card", permissions=["view"], icon="description")
    def card_page(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return HttpResponse(cards.html(get_object_or_404(ModelVersion, pk=object_id)))

    @action(description="Model card as PDF", permissions=["view"], icon="picture_as_pdf")
    def card_pdf(self, request: HttpRequest, object_id: str) -> HttpResponse:
        version = get_object_or_404(ModelVersion, pk=object_id)
        name = content_disposition_header(as_attachment=True, filename=f"model-card-{version.name}.pdf")
        return HttpResponse(
            cards.pdf(version), content_type="application/pdf", headers={"Content-Disposition": name}
        )

    @action(
        description="Propose to let it serve",
        permissions=["propose"],
        icon="approval",
        dialog={
            "title": "Propose to let this model serve",
            "description": "A second person decides in Waiting for a second person.",
            "form_class": ReasonForm,
            "form_submit_text": "Propose",
        },
    )
    def propose(self, request: HttpRequest, form: ReasonForm, object_id: str) -> HttpResponse:
        return act(
            request,
            lambda: in_words(
                lambda: promotion.propose(
                    ModelVersion.objects.get(pk=object_id),
                    maker=request.user,
                    reason=form.cleaned_data["reason"],
                    at=timezone.now(),
                )
            ),
            "Proposed: it waits for a second person.",
            reverse("admin:scoring_modelversion_change", args=[object_id]),
            {Refused: "{refusal}", ArtifactRefused: "Nothing was proposed: {refusal}."},
        )


@admin.register(Promotion)
class PromotionAdmin(History):
    """Who served when, at whose word, and why."""

    list_display = ("promoted_at", "version", "actor_name", "reason")
    list_select_related = ("version", "actor")
    detail_related = ("version", "actor", "follows__version", "undoes__version")
    fieldsets = ((None, {"fields": (("version", "promoted_at", "actor_name"), "reason", ("follows", "undoes"))}),)

    @display(description="Who", ordering="actor")
    def actor_name(self, row: Promotion) -> str:
        return str(row.actor) if row.actor else "the system"


class StepInline(HistoryInline):
    model = PipelineStep
    fields = ("name", "state", "tries", "started_at", "finished_at", "report_text")

    @display(description="Report")
    def report_text(self, row: PipelineStep) -> str:
        return as_text(without_card(row.report))


@admin.register(PipelineRun)
class PipelineRunAdmin(History):
    list_display = ("business_date", "number", "state", "loans", "version", "started_at", "finished_at")
    list_filter = ("state",)
    list_select_related = ("version",)
    detail_related = ("version",)
    inlines = (StepInline,)
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("business_date", "number", "state"),
                    ("loans", "version", "seed"),
                    ("started_at", "finished_at"),
                    "why",
                )
            },
        ),
    )


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


def without_card(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return a report without the figures of the plots, which the card draws."""
    return {
        name: without_card(value) if isinstance(value, Mapping) else value
        for name, value in report.items()
        if name != "card"
    }


def as_text(value: Any) -> str:
    """Return stored JSON as a person reads it."""
    return cells.words_as_shown(json.dumps(value, indent=2, ensure_ascii=False))
