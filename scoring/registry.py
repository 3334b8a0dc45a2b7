"""Which models there are, and what each is for now: champion, challenger or shadow.

Files first, then the row: a crash between the two leaves a directory that nothing names, never a row without
its model. A promotion is one transaction with its history and its line in the audit trail.
"""

import hashlib
import logging
import subprocess
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import connection, transaction

from lending.services import audit
from lending.wake import wake
from ml import artifact
from ml.artifact import Artifact
from ml.predict import Scorer
from scoring.models import Alias, ModelVersion, Promotion

if TYPE_CHECKING:
    from ml.gate import Comparison
    from ml.train import Trained

logger = logging.getLogger(__name__)

CHAMPION, CHALLENGER, SHADOW = Alias.Name.CHAMPION, Alias.Name.CHALLENGER, Alias.Name.SHADOW


class UnknownModel(LookupError):
    """No version has this name."""


class NothingToRollBackTo(LookupError):
    """No version served before the champion of today."""


# --- versions -----------------------------------------------------------------------------------------------
def signing_key() -> bytes:
    """Return the key that signs artifacts, derived so that it opens nothing else."""
    return hashlib.sha256(b"model artifact:" + settings.CALLBACK_KEY.encode()).digest()


def register(
    trained: "Trained", *, comparison: "Comparison", at: datetime, report: dict[str, Any] | None = None
) -> ModelVersion:
    """Save a trained network under a new name, with how it did. It serves nobody yet.

    Repeats safely: the same network of the same moment is registered once, also when an earlier call was killed
    between its files and its row.
    """
    name = name_for(trained, at)
    if known := ModelVersion.objects.filter(name=name).first():
        return known
    directory = Path(settings.MODELS_DIR) / name
    # No row names it, so no decision does either: a call that was killed has left it.
    artifact.clear(directory)
    manifest = artifact.save(trained, directory, key=signing_key(), commit=code_commit())
    return ModelVersion.objects.create(
        name=name,
        artifact=name,
        sha256=manifest["weights_sha256"],
        feature_version=manifest["features_version"],
        data_sha256=trained.data_sha256,
        code_commit=manifest["code_commit"] or "",
        loans=trained.loans,
        seed=trained.seed,
        seen_until=datetime.fromtimestamp(trained.seen_until, UTC),
        metrics=manifest["metrics"],
        comparison=artifact.without_nan(asdict(comparison)),
        report=artifact.without_nan(report or {}),
        trained_at=at,
    )


def name_for(trained: "Trained", at: datetime) -> str:
    """Return a name that sorts by time: 2026-11-23T02-00-00-ab12."""
    made_of = f"{trained.data_sha256}:{trained.seed}:{at.isoformat()}"
    return f"{at.astimezone(UTC):%Y-%m-%dT%H-%M-%S}-{hashlib.sha256(made_of.encode()).hexdigest()[:4]}"


def code_commit() -> str | None:
    """Return the commit of the running code: as the image was told, else as git says; None where nobody knows."""
    if settings.CODE_COMMIT:
        return str(settings.CODE_COMMIT)
    try:
        asked = subprocess.run(
            ["git", "rev-parse", "HEAD"],  # noqa: S607
            cwd=settings.BASE_DIR,
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return asked.stdout.strip()


def open_artifact(name: str) -> Artifact:
    """Return the model of a version after checking signature, digests and that it says what it said in training.

    Raises:
        UnknownModel: nothing is registered under the name.
        ml.artifact.ArtifactRefused: the files are not those that were registered, or here they give other answers.
    """
    version = find(name)
    model = artifact.load(directory_of(version), key=signing_key())
    if model.sha256 != version.sha256:
        raise artifact.ArtifactRefused(f"{name}: the files are signed, but of another model than registered")
    Scorer(model)
    return model


def find(name: str) -> ModelVersion:
    """Return a version by its name.

    Raises:
        UnknownModel: nothing is registered under it.
    """
    version = ModelVersion.objects.filter(name=name).first()
    if version is None:
        raise UnknownModel(f"no model is named {name}")
    return version


def directory_of(version: ModelVersion) -> Path:
    return Path(settings.MODELS_DIR) / version.artifact


# --- aliases ------------------------------------------------------------------------------------------------
def alias(name: str) -> Alias | None:
    """Return an alias with its version, None where nobody has it."""
    return Alias.objects.select_related("version").filter(name=name).first()


def name_of(alias_name: str) -> str | None:
    """Return only the version's name: one read of a table of three rows, cheap enough for every decision."""
    return Alias.objects.filter(name=alias_name).values_list("version__name", flat=True).first()


def champion() -> ModelVersion | None:
    """Return the version that serves, if any."""
    found = alias(CHAMPION)
    return found.version if found else None


def champion_name() -> str | None:
    """Return only its name."""
    return name_of(CHAMPION)


def open_champion() -> Artifact | None:
    """Return the model of the champion; None for no champion, and for one whose files are refused.

    Such a champion serves nobody: a lost disk, another key and a changed list of features all end here, and it
    must not keep the next model from serving.
    """
    name = champion_name()
    if name is None:
        return None
    try:
        return open_artifact(name)
    except artifact.ArtifactRefused as error:
        logger.error("the champion cannot serve: %s", error)
        return None


@transaction.atomic
def stand(version: ModelVersion, alias_name: str, *, at: datetime) -> None:
    """Let a version be the challenger or the shadow, in place of another. Repeats safely: `since` stays."""
    _one_at_a_time()
    held = alias(alias_name)
    if held and held.version == version:
        return
    Alias.objects.update_or_create(name=alias_name, defaults={"version": version, "since": at})
    audit.record(f"model_{alias_name}", subject=f"model:{version.name}", at=at, sha256=version.sha256)


def step_back(version: ModelVersion, *alias_names: str) -> None:
    """Take challenger or shadow from a version. Repeats safely; from another version nothing is taken."""
    Alias.objects.filter(name__in=alias_names, version=version).delete()


def state(version: ModelVersion) -> str:
    """Return in a word what a version is for now; reads nothing where aliases and promotions are prefetched."""
    names = {alias.name for alias in version.aliases.all()}
    for name in (CHAMPION, SHADOW, CHALLENGER):
        if name in names:
            return str(name.label)
    return "Served before" if version.promotions.all() else "Shelved"


# --- who serves ---------------------------------------------------------------------------------------------
def promote(name: str, *, at: datetime, actor: Any = None, reason: str = "") -> ModelVersion:
    """Let a version serve in place of the champion. Promoting the champion again changes nothing.

    Raises:
        UnknownModel: nothing is registered under the name.
        ml.artifact.ArtifactRefused: its files would not load; the champion stays.
    """
    open_artifact(name)
    with transaction.atomic():
        _one_at_a_time()
        version, in_force = find(name), Promotion.objects.first()
        if champion() != version:
            _serve(version, follows=in_force, at=at, actor=actor, reason=reason)
    return version


def rollback(*, at: datetime, actor: Any = None, reason: str = "") -> ModelVersion:
    """Let the version serve again that served before the champion; once more, and the one before that.

    Raises:
        NothingToRollBackTo: no other version served before.
        ml.artifact.ArtifactRefused: its files would not load; the champion stays.
    """
    with transaction.atomic():
        _one_at_a_time()
        in_force = Promotion.objects.select_related("follows__version", "follows__follows").first()
        if in_force is None or in_force.follows is None:
            raise NothingToRollBackTo("no other version served before")
        before = in_force.follows
        open_artifact(before.version.name)
        _serve(
            before.version, follows=before.follows, undoes=in_force, at=at, actor=actor, reason=reason or "rollback"
        )
    return before.version


def has_served(version: ModelVersion) -> bool:
    """Say whether a version ever decided."""
    return Promotion.objects.filter(version=version).exists()


def was_rolled_back(version: ModelVersion) -> bool:
    """Say whether the last time that a version decided was ended by a rollback."""
    latest = Promotion.objects.filter(version=version).first()
    return latest is not None and Promotion.objects.filter(undoes=latest).exists()


def came_back() -> bool:
    """Say whether who decides now came back by a rollback."""
    in_force = Promotion.objects.first()
    return in_force is not None and in_force.undoes_id is not None


def _serve(
    version: ModelVersion,
    *,
    follows: Promotion | None,
    at: datetime,
    actor: Any,
    reason: str,
    undoes: Promotion | None = None,
) -> None:
    """Write down that a version serves from now on, and wake the workers to load it. Inside a transaction."""
    before = champion()
    Promotion.objects.create(
        version=version, follows=follows, undoes=undoes, promoted_at=at, actor=actor, reason=reason[:300]
    )
    Alias.objects.update_or_create(name=CHAMPION, defaults={"version": version, "since": at})
    step_back(version, CHALLENGER, SHADOW)
    audit.record(
        "model_promoted",
        subject=f"model:{version.name}",
        at=at,
        actor=actor,
        reason=reason,
        retired=[before.name] if before else [],
        sha256=version.sha256,
    )
    wake("scoring.tasks.follow_champion", queue="scoring")


def _one_at_a_time() -> None:
    """Let whoever else moves an alias wait until this transaction ends, so that they see what it did."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended('scoring.alias', 0))")
