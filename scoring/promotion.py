"""Letting a model serve at the word of people: one where little is at risk, two where more is.

Source: docs/operations.md, "A model comes to serve".
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from lending.models import Case, Proposal
from lending.services import proposals
from scoring import registry, shadow
from scoring.models import ModelVersion, PipelineRun, PipelineStep

ACT = "model_promote"


class TwoPeopleNeeded(Exception):
    """More is at risk than one person or the pipeline may decide."""


class AlreadyServes(ValueError):
    """The version is the champion."""


def promote_alone(name: str, *, at: datetime, reason: str) -> ModelVersion:
    """Let a version serve at one person's word: where nobody can serve, it has served before, or its shadow has
    shown that little changes. What was rolled back comes again only at the word of two.

    Raises:
        TwoPeopleNeeded: none of these; says why.
        UnknownModel, ml.artifact.ArtifactRefused: as `registry.promote` says.
    """
    version = registry.find(name)
    champion = registry.champion()
    rolled_back = registry.was_rolled_back(version)
    proven = registry.has_served(version) and not rolled_back
    if champion and not proven and registry.open_champion():
        against = shadow.too_risky_alone(shadow.beside(version, champion))
        if rolled_back:
            against.append("was rolled back")
        standing = registry.alias(registry.SHADOW)
        if standing and standing.version == version and at < shadow.ripe_at(standing):
            against.append(f"is in the shadow until {shadow.ripe_at(standing):%Y-%m-%d %H:%M}")
        if against:
            raise TwoPeopleNeeded(f"{name} {', '.join(against)}: `models propose {name}`, and a second person")
    return registry.promote(name, at=at, reason=reason)


def propose(version: ModelVersion, *, maker: Any, reason: str, at: datetime) -> Proposal:
    """Propose that a version serves; a second person decides.

    Raises:
        ValueError, AlreadyPending: as `proposals.propose` says.
        AlreadyServes: it is the champion.
        ml.artifact.ArtifactRefused: its files would not load.
    """
    return proposals.propose(
        act=ACT,
        subject=f"model:{version.name}",
        details={"name": version.name},
        maker=maker,
        reason=reason,
        at=at,
    )


def preview(details: Mapping[str, Any]) -> dict[str, Any]:
    """Say what would change if a version served, as far as it is known and does not change by itself.

    Raises:
        AlreadyServes: nothing would change.
        UnknownModel, ml.artifact.ArtifactRefused: it cannot serve.
    """
    version, champion = registry.find(details["name"]), registry.champion()
    if version == champion:
        raise AlreadyServes(f"{version.name} serves already")
    registry.open_artifact(version.name)
    return {"rows": [["Decides", champion.name if champion else "officers", version.name], *_figures(version)]}


def _figures(version: ModelVersion) -> list[list[str]]:
    """Return what the gate and the shadow said, as rows: what, champion, this version."""
    sides = [version.comparison.get(side) or {} for side in ("champion", "challenger")]
    rows = [
        [f"{label} on later loans", *(f"{side[name]:.4f}" for side in sides)]
        for name, label in (("auc", "AUC"), ("log_loss", "Log-loss"), ("brier", "Brier"))
        if all(side.get(name) is not None for side in sides)
    ]
    seen = PipelineStep.objects.filter(run__version=version, name="promote", state=PipelineStep.State.DONE).last()
    if seen and "approved_shadow" in seen.report:
        found = seen.report
        rows.append(["Live decisions in the shadow", "", f"{found['decisions']:,}"])
        rows.append(["Approved", f"{found['approved_champion']:.1%}", f"{found['approved_shadow']:.1%}"])
        rows.append(["Mean score", f"{found['mean_champion']:.3f}", f"{found['mean_shadow']:.3f}"])
    return rows


def _carry_out(details: Mapping[str, Any], *, proposal: Proposal, at: datetime) -> None:
    version = registry.promote(
        details["name"], at=at, actor=proposal.checker, reason=f"proposed by {proposal.maker}: {proposal.reason}"
    )
    left = PipelineRun.objects.filter(version=version, state=PipelineRun.State.FOR_PEOPLE)
    left.update(state=PipelineRun.State.PROMOTED)
    asking = Case.objects.filter(kind=Case.Kind.MODEL_WAITS, subject_key=proposal.subject, closed_at__isnull=True)
    asking.update(closed_at=at, closed_by=proposal.checker, resolution="Two people let it serve.")


proposals.act(ACT, preview, _carry_out)
