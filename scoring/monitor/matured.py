"""How the promises came true, on loans whose outcome is known: 30 days past the due date, never before.

Every loan here was made. Of the refused nobody knows what they would have done, and no figure here can say it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from lending.models import Decision
from ml import gate, intervals
from ml.data import Dataset
from ml.gate import Groups
from ml.measures import Array
from scoring import judging, scorecard, training
from scoring.models import ModelVersion
from scoring.monitor.figures import FALSE_ALARMS, LEAST, MOST, Figure, Night, State, rings, set_apart, too_few

# Loans of so many days: one of 30 days has told its end 60 days after it was paid out, and last spring's would hide
# what goes wrong now.
DAYS = 91
LEAST_LOST = gate.LEAST_DEFAULTS
# Beyond a quarter more or less than promised the price of a loan no longer covers what it loses, or good customers
# are refused.
MOST_TIMES = 1.25
# So much less than at the registration is more than the usual change from one quarter to the next.
AUC_TOLERANCE = gate.SLICE_AUC_TOLERANCE
LEAST_AUC = gate.LEAST_AUC
COIN = 0.5


@dataclass(frozen=True)
class Part:
    """Loans of one version, or of all if there are several, everybody's or one group's: what was promised and came.

    With a new model every few nights no version has enough loans of its own; all of them together have.
    """

    version: str
    fact: str
    group: str
    y: Array
    p: Array

    @property
    def lost(self) -> int:
        return int(self.y.sum())

    @property
    def expected(self) -> float:
        return float(self.p.sum())

    @property
    def in_short(self) -> str:
        return f"{self.lost} of {len(self.y)} loans lost, {self.expected:.0f} expected"

    @property
    def is_enough(self) -> bool:
        """Say whether both outcomes came, or should have come, often enough for a figure to mean something."""
        most, least = max(self.lost, self.expected), min(self.lost, self.expected)
        return len(self.y) >= LEAST and most >= LEAST_LOST and len(self.y) - least >= LEAST_LOST

    @property
    def ranks(self) -> bool:
        """Say whether both outcomes came often enough to be told apart."""
        return len(self.y) >= LEAST and min(self.lost, len(self.y) - self.lost) >= LEAST_LOST

    def too_few(self, measure: str) -> Figure:
        words = f"{self.in_short}; {LEAST} with {LEAST_LOST} of either outcome are needed to tell"
        return too_few(measure, len(self.y), words, version=self.version, fact=self.fact, group=self.group)


def figures(night: Night) -> list[Figure]:
    """Return calibration, log-loss, AUC and share lost, by version and group.

    What a version promised that serves no more calls nobody: nothing can be mended there.
    """
    parts, champion = parts_of(night), night.champion()
    found = [*calibration(parts), *log_loss(parts), *auc(parts, promised_auc(parts)), *loss(parts)]
    serving = {"", champion.name if champion else ""}
    return [
        replace(one, state=State.WARN) if one.state == State.ALARM and one.version not in serving else one
        for one in found
    ]


def parts_of(night: Night) -> list[Part]:
    """Return what was promised of the loans that have told their end in the last 91 days, and what came."""
    known = training.outcomes(night.until, known_from=night.days_before(DAYS).date()).take(slice(-MOST, None))
    made = Decision.objects.filter(application_id__in=known.application_ids.tolist(), score__isnull=False)
    of_models = made.exclude(model_version__in=scorecard.NO_MODEL).values_list(
        "application_id", "model_version", "score"
    )
    said = {key: (version, score) for key, version, score in of_models}
    known = known.take(np.array([key in said for key in known.application_ids], dtype=bool))
    loans = training.believable(known, *training.as_decided(known))
    if not len(loans):
        return []
    versions, scores = (np.array(column) for column in zip(*(said[int(key)] for key in loans.ids), strict=True))
    return list(_parts(loans, versions, scores, judging.books_of(loans).facts))


def _parts(loans: Dataset, versions: Groups, scores: Array, facts: dict[str, Groups]) -> Iterator[Part]:
    names = [str(name) for name in np.unique(versions)]
    for version in names if len(names) == 1 else ["", *names]:
        of_version: npt.NDArray[np.bool_] = (versions == version) | (version == "")
        yield Part(version, "", "", loans.default[of_version], scores[of_version])
        for fact, groups in facts.items():
            for group in set_apart(groups[of_version]):
                within = of_version & (groups == group)
                yield Part(version, fact, group, loans.default[within], scores[within])


def calibration(parts: list[Part]) -> list[Figure]:
    """Return how many times as many were lost as promised: more costs money, less refused people for nothing."""
    enough = [part for part in parts if part.is_enough]
    found = [part.too_few("calibration") for part in parts if not part.is_enough]
    for part in enough:
        low, high = intervals.chance_of_ratio(part.p, false_alarms=FALSE_ALARMS / len(enough))
        ratio = intervals.observed_to_expected(part.y, part.p)
        state = rings(
            beyond_chance=not low <= ratio.value <= high,
            matters=not 1 / MOST_TIMES <= ratio.value <= MOST_TIMES,
        )
        words = f"{ratio.value:.2f} times as many lost as promised ({part.in_short}); chance leaves"
        found.append(
            Figure(
                "calibration", f"{words} {low:.2f} to {high:.2f}", len(part.y), ratio,
                high if ratio.value >= 1 else low, state, part.version, part.fact, part.group,
            )
        )  # fmt: skip
    return found


def log_loss(parts: list[Part]) -> list[Figure]:
    """Return the log-loss beside what the promises themselves lead to expect.

    It matters where to give everybody the share that was lost would have been better.
    """
    enough = [part for part in parts if part.is_enough]
    found = [part.too_few("log_loss") for part in parts if not part.is_enough]
    for part in enough:
        limit = intervals.chance_of_log_loss(part.p, false_alarms=FALSE_ALARMS / len(enough))
        loss = intervals.log_loss(part.y, part.p)
        share = np.full(len(part.y), part.y.mean())
        without = intervals.log_loss(part.y, share).value
        state = rings(beyond_chance=loss.value > limit, matters=loss.value > without)
        words = f"log-loss {loss.value:.4f}, true promises leave at most {limit:.4f}, no model {without:.4f}"
        found.append(
            Figure("log_loss", words, len(part.y), loss, limit, state, part.version, part.fact, part.group)
        )
    return found


def promised_auc(parts: list[Part]) -> dict[str, float | None]:
    """Return what was measured of each version when it was registered."""
    versions = ModelVersion.objects.filter(name__in={part.version for part in parts})
    return {version.name: (version.metrics.get("test") or {}).get("auc") for version in versions}


def auc(parts: list[Part], promised: Mapping[str, float | None]) -> list[Figure]:
    """Return how well who repays is told from who does not; warned of where it is surely less than once measured.

    Loans that were made lie closer together than applicants, so it is lower here than on all of them.
    """
    enough = [part for part in parts if part.ranks]
    found = [part.too_few("auc") for part in parts if not part.ranks]
    for part in enough:
        surely = intervals.auc(part.y, part.p, confidence=1 - 2 * FALSE_ALARMS / len(enough)).high
        least, once = COIN if part.fact else LEAST_AUC, promised.get(part.version)
        usual = least if part.fact or once is None else max(least, once - AUC_TOLERANCE)
        value = intervals.auc(part.y, part.p)
        words = f"AUC {value.value:.3f} on {len(part.y)} loans, needs {least}"
        if usual > least:
            words += f"; at its registration {once:.3f}"
        state = rings(beyond_chance=surely < usual, matters=surely < least)
        found.append(Figure("auc", words, len(part.y), value, usual, state, part.version, part.fact, part.group))
    return found


def loss(parts: list[Part]) -> list[Figure]:
    """Return the share that was lost; told, because calibration says whether it was promised."""
    return [
        Figure(
            "loss", f"{part.in_short}", len(part.y), intervals.share(part.lost, len(part.y)),
            version=part.version, fact=part.fact, group=part.group,
        )
        for part in parts
    ]  # fmt: skip
