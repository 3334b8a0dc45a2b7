"""Which models there are and which one serves.

Files first, then the row: a crash between the two leaves a directory that nothing names, never a row without
its model. A promotion is one transaction with its line in the audit trail.
"""

import hashlib
import json
import logging
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import transaction
from django.db.models import Q

from lending.services import audit
from lending.wake import wake
from ml import artifact
from ml.artifact import Artifact
from scoring.models import ModelVersion

if TYPE_CHECKING:
    from ml.gate import Comparison
    from ml.train import Trained

logger = logging.getLogger(__name__)


class UnknownModel(LookupError):
    """No version has this name."""


class NothingToRollBackTo(LookupError):
    """No version served before the champion of today."""


def signing_key() -> bytes:
    """Return the key that signs artifacts, derived so that it opens nothing else."""
    return hashlib.sha256(b"model artifact:" + settings.CALLBACK_KEY.encode()).digest()


def register(trained: "Trained", *, comparison: "Comparison", at: datetime) -> ModelVersion:
    """Save a trained network under a new name, shelved, with how it did."""
    name = name_for(trained, at)
    manifest = artifact.save(trained, settings.MODELS_DIR / name, key=signing_key())
    return ModelVersion.objects.create(
        name=name,
        artifact=name,
        sha256=manifest["weights_sha256"],
        feature_version=manifest["features_version"],
        data_sha256=trained.data_sha256,
        loans=trained.loans,
        seed=trained.seed,
        seen_until=datetime.fromtimestamp(trained.seen_until, UTC),
        metrics=manifest["metrics"],
        comparison=json.loads(json.dumps(asdict(comparison))),
        trained_at=at,
    )


def name_for(trained: "Trained", at: datetime) -> str:
    """Return a name that sorts by time: 2026-11-23T02-00-00-ab12."""
    made_of = f"{trained.data_sha256}:{trained.seed}:{at.isoformat()}"
    return f"{at.astimezone(UTC):%Y-%m-%dT%H-%M-%S}-{hashlib.sha256(made_of.encode()).hexdigest()[:4]}"


def champion() -> ModelVersion | None:
    """Return the version that serves, if any."""
    return ModelVersion.objects.filter(state=ModelVersion.State.CHAMPION).first()


def champion_name() -> str | None:
    """Return only its name: one read of a partial index with one entry, cheap enough for every decision."""
    return (
        ModelVersion.objects.filter(state=ModelVersion.State.CHAMPION)
        .order_by()
        .values_list("name", flat=True)
        .first()
    )


def open_champion() -> Artifact | None:
    """Return the model of the champion; None for no champion, and for one whose files are refused.

    Such a champion serves nobody: a lost disk, another key and a changed list of features all end here, and it
    must not keep the next model from serving.
    """
    version = champion()
    if version is None:
        return None
    try:
        return open_artifact(version.name)
    except artifact.ArtifactRefused as error:
        logger.error("the champion cannot serve: %s", error)
        return None


def open_artifact(name: str) -> Artifact:
    """Return the model of a version after checking signature and digests.

    Raises:
        UnknownModel: nothing is registered under the name.
        ml.artifact.ArtifactRefused: the files are not those that were registered.
    """
    version = _find(name)
    model = artifact.load(directory_of(version), key=signing_key())
    if model.sha256 != version.sha256:
        raise artifact.ArtifactRefused(f"{name}: the files are signed, but of another model than registered")
    return model


def directory_of(version: ModelVersion) -> Path:
    return Path(settings.MODELS_DIR) / version.artifact


def promote(name: str, *, at: datetime, actor: Any = None, reason: str = "") -> ModelVersion:
    """Let a version serve; whoever serves now is retired. Promoting the champion again changes nothing.

    Raises:
        UnknownModel: nothing is registered under the name.
        ml.artifact.ArtifactRefused: its files would not load; the champion stays.
    """
    open_artifact(name)
    with transaction.atomic():
        # Both rows under one lock, in one order, so that two promotions queue and the second sees the first.
        rows = ModelVersion.objects.select_for_update().order_by("id")
        involved = list(rows.filter(Q(name=name) | Q(state=ModelVersion.State.CHAMPION)))
        version = next(row for row in involved if row.name == name)
        if version.state == ModelVersion.State.CHAMPION:
            return version
        retired = [row.name for row in involved if row is not version]
        ModelVersion.objects.filter(name__in=retired).update(state=ModelVersion.State.RETIRED)
        version.state = ModelVersion.State.CHAMPION
        version.promoted_at = at
        version.save(update_fields=["state", "promoted_at"])
        audit.record(
            "model_promoted",
            subject=f"model:{name}",
            at=at,
            actor=actor,
            reason=reason,
            retired=retired,
            sha256=version.sha256,
        )
        wake("scoring.tasks.follow_champion", queue="scoring")
    return version


def rollback(*, at: datetime, actor: Any = None, reason: str = "") -> ModelVersion:
    """Let the version that served before serve again.

    Raises:
        NothingToRollBackTo: no other version ever served.
        ml.artifact.ArtifactRefused: its files would not load; the champion stays.
    """
    previous = (
        ModelVersion.objects.filter(state=ModelVersion.State.RETIRED, promoted_at__isnull=False)
        .order_by("-promoted_at", "-id")
        .first()
    )
    if previous is None:
        raise NothingToRollBackTo("no other version ever served")
    return promote(previous.name, at=at, actor=actor, reason=reason or "rollback")


def _find(name: str) -> ModelVersion:
    version = ModelVersion.objects.filter(name=name).first()
    if version is None:
        raise UnknownModel(f"no model is named {name}")
    return version
