"""Whether a challenger may serve: beside the champion, or above the floors of a first model."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ml import forward, gate
from ml.artifact import Artifact
from ml.data import Dataset
from ml.gate import Comparison

if TYPE_CHECKING:
    from ml.train import Trained

# A first model may serve without a rival only above these floors; below them officers decide.
LEAST_AUC = 0.55
DEFAULT_SHARES = (0.005, 0.60)
# Against the plain default rate of the very loans it is judged on, which no forecast could have known.
LEAST_GAIN = -0.005


@dataclass(frozen=True)
class Judgement:
    """Whether the challenger may go on, why in words, and every check."""

    better: bool
    why: tuple[str, ...]
    comparison: Comparison
    report: dict[str, Any]


def judge(
    trained: "Trained", reigning: Artifact | None, loans: Dataset, *, first: bool, has_rival: bool
) -> Judgement:
    """Judge a challenger on loans that neither it nor the champion has learnt from."""
    comparison = compare(trained, reigning, loans)
    against = objections(trained, comparison, loans, has_rival=has_rival, first=first)
    return Judgement(not against, tuple(against) or comparison.why, comparison, asdict(comparison))


def compare(trained: "Trained", reigning: Artifact | None, loans: Dataset) -> Comparison:
    """Judge challenger and champion on the loans decided after everything that either of them learnt from."""
    later = loans.after(max(trained.seen_until, reigning.seen_until if reigning else 0))
    return gate.compare(
        scores_of(trained.weights), scores_of(reigning.weights) if reigning else None, later, seed=trained.seed
    )


def scores_of(weights: dict[str, npt.NDArray[np.float32]]) -> gate.ScoreRows:
    """Return the NumPy path of a model: a second TensorFlow graph is not needed, and it says the same."""
    return lambda x: forward.scores(weights, x)


def objections(
    trained: "Trained", comparison: Comparison, loans: Dataset, *, has_rival: bool, first: bool
) -> list[str]:
    """Return why the challenger must not serve, in words; empty when it may."""
    if has_rival:
        return [] if comparison.better else list(comparison.why)
    against = [] if comparison.challenger else list(comparison.why)
    share, auc = float(loans.default.mean()), trained.metrics.get("test", {}).get("auc", float("nan"))
    if not first:
        against.append("nobody can serve, and a first model is promoted by `retrain --first`")
    if not auc >= LEAST_AUC:
        against.append(f"AUC must be {LEAST_AUC} or more, got {auc:.3f}")
    if comparison.log_loss_gain < LEAST_GAIN:
        against.append(
            f"log-loss must not be worse than the plain rate's, got {-comparison.log_loss_gain:.4f} more"
        )
    if not DEFAULT_SHARES[0] <= share <= DEFAULT_SHARES[1]:
        against.append(f"share lost must be from {DEFAULT_SHARES[0]} to {DEFAULT_SHARES[1]}, got {share:.3f}")
    return against
