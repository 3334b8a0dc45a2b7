"""The model card of a version, made anew from what its row has kept since the day on which it was judged.

The row never changes, so neither does the card: none has to be stored, and neither the model's files nor the
loans are needed. What it shows: ml/card.py; how to read it: docs/model-card.md.
"""

from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING

from scoring.models import ModelVersion, PipelineStep

if TYPE_CHECKING:
    from ml.card import Card

# ml.card is imported where it is used: matplotlib takes a second and some memory, and few processes ever draw.


def html(version: ModelVersion) -> bytes:
    """Return the card as a page that needs nothing else."""
    from ml import card

    return card.html(card_of(version))


def pdf(version: ModelVersion) -> bytes:
    """Return the card on paper."""
    from ml import card

    return card.pdf(card_of(version))


def write(version: ModelVersion, directory: Path) -> tuple[Path, Path]:
    """Write both to a directory, in place of what was there; return their paths."""
    from ml import card

    return card.write(card_of(version), directory)


def card_of(version: ModelVersion) -> "Card":
    """Return what is to be said of a version; without plots where it was judged before there were cards."""
    from ml.card import Card

    figures = dict(version.report.get("card", {}))
    return Card(
        name=version.name,
        made={
            "trained_at": f"{version.trained_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC",
            "loans": version.loans,
            "seen_until": int(version.seen_until.timestamp()),
            "data_sha256": version.data_sha256,
            "code_commit": version.code_commit,
            "seed": version.seed,
            "features_version": version.feature_version,
            "weights_sha256": version.sha256,
            "network": figures.pop("network", None),
            "calibration": figures.pop("calibration_of_scores", None),
        },
        comparison=version.comparison,
        checks=version.report.get("checks", []),
        figures=figures,
        beside=champion_of_the_day(version),
    )


def champion_of_the_day(version: ModelVersion) -> str:
    """Return beside which version it was judged; an empty text where there was none, or nobody knows."""
    judged = PipelineStep.objects.filter(run__version=version, name="judge", state=PipelineStep.State.DONE).last()
    return str(judged.report.get("champion") or "") if judged and judged.report.get("has_rival") else ""
