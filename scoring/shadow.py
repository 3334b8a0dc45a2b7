"""A challenger in the shadow: it scores the live decisions too, decides none, and is compared on them.

The scores are caught up from PostgreSQL once a minute, after the decisions are stored. So nobody waits for them,
a failure touches no decision, and what a killed worker left out the next call makes up for.
Source: docs/operations.md, "A model comes to serve".
"""

import logging
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from django.conf import settings

from lending.models import Decision
from lending.services import cases
from ml import drift, forward
from ml import features as feature_list
from ml.artifact import ArtifactRefused
from ml.events import Events, InvalidEvents
from ml.features import InvalidFeature
from scoring import features, policy, registry, scorecard
from scoring.models import Alias, ModelVersion, ShadowScore
from scoring.policy import Facts, Policy

logger = logging.getLogger(__name__)

# So many of the latest decisions are looked at in one call. What came faster than that stays unscored: a shadow
# needs enough decisions, not all.
LATEST = 2_000


@dataclass(frozen=True, slots=True)
class Beside:
    """Shadow and champion on the same live decisions.

    approved: share of the applications, 0 to 1. lent_cents: what the approved asked for. lost_cents: of that, what
    each model itself expects to be lost. psi above psi_threshold: the scores have moved, and not by chance.
    """

    decisions: int = 0
    approved_champion: float = 0.0
    approved_shadow: float = 0.0
    lent_champion_cents: int = 0
    lent_shadow_cents: int = 0
    lost_champion_cents: int = 0
    lost_shadow_cents: int = 0
    mean_champion: float = 0.0
    mean_shadow: float = 0.0
    psi: float = 0.0
    psi_threshold: float = 0.0

    @property
    def points(self) -> float:
        """By how many percentage points the share approved would change."""
        return round(abs(self.approved_shadow - self.approved_champion) * 100, 9)

    @property
    def exposure_percent(self) -> float:
        """By how many percent the money lent would grow; below 0 it would shrink."""
        if not self.lent_champion_cents:
            return 0.0 if not self.lent_shadow_cents else float("inf")
        return (self.lent_shadow_cents - self.lent_champion_cents) * 100 / self.lent_champion_cents


# --- scoring ------------------------------------------------------------------------------------------------
def score_new(at: datetime) -> int:
    """Score what was decided since the shadow began and it has not scored; return how many. Repeats safely.

    A shadow whose files are refused scores nothing, and a person gets a case.
    """
    standing = registry.alias(registry.SHADOW)
    if standing is None:
        return 0
    decisions = list(unscored(standing))
    if not decisions:
        return 0
    try:
        weights = _weights_of(standing.version.name)
    except ArtifactRefused as error:
        logger.error("the shadow cannot score: %s", error)
        cases.open_case(kind="bad_task", subject_key=f"model:{standing.version.name}", note=str(error), at=at)
        return 0
    readable = list(_readable(decisions))
    if not readable:
        return 0
    said = forward.forward(weights, *(np.array(part) for part in zip(*(one.told for one in readable), strict=True)))
    rows = [
        ShadowScore(
            decision=one.decision,
            version=standing.version,
            score=float(chance),
            approves=one.approves(float(chance), float(share)),
            champion_approves=approved_by_score(one.decision),
            scored_at=at,
        )
        for one, chance, share in zip(readable, said["default"], said["repaid_share"], strict=True)
    ]
    # Two workers may have read the same decisions: the first row counts, and both say the same.
    ShadowScore.objects.bulk_create(rows, ignore_conflicts=True)
    return len(rows)


def unscored(standing: Alias) -> Any:
    """Return the latest live decisions of a champion that the shadow has not scored."""
    latest = Decision.objects.order_by("-id").values("id")[:LATEST]
    return Decision.objects.filter(
        id__in=latest,
        decided_at__gte=standing.since,
        score__isnull=False,
        feature_version=feature_list.VERSION,
        inputs__has_key="facts",
        shadow_score__isnull=True,
    ).exclude(model_version__in=scorecard.NO_MODEL)


@dataclass(frozen=True, slots=True)
class Kept:
    """A decision, with what it kept as it is asked about again."""

    decision: Decision
    told: tuple[features.Vector, Events]
    facts: Facts
    rules: Policy

    @classmethod
    def of(cls, decision: Decision) -> "Kept":
        """Read what a decision kept. Its lot is not drawn: that says nothing of a model."""
        inputs = decision.inputs
        facts = replace(Facts(**inputs["facts"]), draw=1.0)
        return cls(decision, features.told(inputs), facts, Policy(**inputs["policy"]))

    def approves(self, chance: float, repaid_share: float) -> bool:
        """Say whether the policy, as it was at the decision, approves by what a model says."""
        values = self.decision.inputs["features"]
        judged = policy.judge(values, chance, self.facts, self.rules, repaid_share=repaid_share)
        return judged.outcome == policy.APPROVE


def _readable(decisions: Iterable[Decision]) -> Iterator[Kept]:
    """Yield what can be read; what a policy of other fields kept, or is damaged, must not stop the others."""
    for decision in decisions:
        try:
            yield Kept.of(decision)
        except (InvalidFeature, InvalidEvents, KeyError, TypeError):
            logger.exception("the shadow cannot judge decision %s", decision.pk)


def approved_by_score(decision: Decision) -> bool:
    """Say whether the score that decided brought an approval, be it one that lending held back, and no lot did."""
    if decision.inputs.get("held_back"):
        return True
    return decision.outcome == Decision.Outcome.APPROVE and decision.propensity == 1


# Plain NumPy: the workers need no second TensorFlow graph, and it says the same to one part in a million.
@lru_cache(maxsize=1)
def _weights_of(name: str) -> dict[str, npt.NDArray[np.float32]]:
    return registry.open_artifact(name).weights


# --- comparing ----------------------------------------------------------------------------------------------
def ripe_at(standing: Alias) -> datetime:
    """Return when a shadow has stood long enough to be compared."""
    return standing.since + timedelta(hours=settings.SHADOW_HOURS)


def beside(version: ModelVersion, champion: ModelVersion) -> Beside:
    """Return how a shadow did beside a champion, on the decisions that this champion made meanwhile."""
    scored = ShadowScore.objects.filter(version=version, decision__model_version=champion.name)
    rows = list(
        scored.order_by("decision_id").values_list(
            "score", "approves", "decision__score", "champion_approves", "decision__application__principal_cents"
        )
    )
    if not rows:
        return Beside()
    shadow, yes, reigning, usual, cents = (np.array(column) for column in zip(*rows, strict=True))
    moved = drift.drift(reigning, shadow)
    return Beside(
        decisions=len(rows),
        approved_champion=float(usual.mean()),
        approved_shadow=float(yes.mean()),
        lent_champion_cents=int(cents[usual].sum()),
        lent_shadow_cents=int(cents[yes].sum()),
        lost_champion_cents=int((cents * reigning)[usual].sum()),
        lost_shadow_cents=int((cents * shadow)[yes].sum()),
        mean_champion=float(reigning.mean()),
        mean_shadow=float(shadow.mean()),
        psi=moved.psi,
        psi_threshold=moved.threshold,
    )


def too_risky_alone(seen: Beside) -> list[str]:
    """Return in words why two people have to decide about a shadow; empty where it may serve by itself."""
    against = []
    if seen.decisions < settings.SHADOW_DECISIONS:
        against.append(f"needs {settings.SHADOW_DECISIONS} live decisions, got {seen.decisions}")
    if seen.points > settings.PROMOTE_ALONE_POINTS:
        against.append(
            f"would approve {seen.approved_shadow:.1%} where {seen.approved_champion:.1%} are approved, more than "
            f"{settings.PROMOTE_ALONE_POINTS:g} percentage points apart"
        )
    if seen.exposure_percent > settings.PROMOTE_ALONE_EXPOSURE_PERCENT:
        against.append(
            f"would lend {seen.exposure_percent:.0f} % more, the limit is "
            f"{settings.PROMOTE_ALONE_EXPOSURE_PERCENT:g} %"
        )
    return against


def in_words(seen: Beside) -> str:
    """Return a comparison as one line."""
    return (
        f"{seen.decisions} live decisions, approves {seen.approved_shadow:.1%} against "
        f"{seen.approved_champion:.1%}, mean score {seen.mean_shadow:.3f} against {seen.mean_champion:.3f}, "
        f"PSI {seen.psi:.3f}"
    )


def as_report(seen: Beside) -> dict[str, Any]:
    """Return a comparison for the record."""
    return asdict(seen) | {"points": seen.points, "exposure_percent": seen.exposure_percent}
