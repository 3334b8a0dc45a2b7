"""Who asks now, beside those whom the champion learnt from, and what becomes of them by group.

Like is compared with like: applicants with the applicants of its training, as their decisions saw them. Where too
few of those were kept, as under a first model after another lender's customers moved in, borrowers are compared
with the borrowers whose loans it learnt from.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from django.db.models import Count, QuerySet
from django.db.models.fields.json import KT
from django.db.models.functions import Mod

from lending.models import Application, Decision
from ml import events, gate, intervals
from ml import features as feature_list
from ml.artifact import ArtifactRefused
from ml.data import UNKNOWN_OFFER, Dataset
from ml.drift import drift
from scoring import features, judging, registry, training
from scoring.models import ModelVersion
from scoring.monitor.figures import (
    FALSE_ALARMS,
    LEAST,
    MOST,
    Figure,
    Night,
    State,
    above,
    rings,
    set_apart,
    too_few,
)

Rows = npt.NDArray[np.float32]
# Vectors (n, n_features) and events (n, 128, 4).
Told = tuple[npt.NDArray[Any], ...]
Mask = npt.NDArray[np.bool_]

# Four whole weeks, so that a payday or a Sunday weighs the same on each night.
DAYS = 28
# The PSI of normal distributions a fifth of a standard deviation apart, which Cohen 1988 calls a small effect.
SMALL_PSI = 0.04
# So many percentage points more of missing values change what the model can know.
MUCH_MISSING = 0.05
SOME_IMPOSSIBLE, MANY_IMPOSSIBLE = 0.0, 0.01
# The serving path and NumPy differ by rounding; the registry refuses more than a tenth of this.
MOST_APART = 1e-5
# They move by themselves, whoever asks.
CALENDAR = frozenset({"month", "day_of_month", "days_to_month_end"})


@dataclass(frozen=True)
class Applicants:
    """Who was decided about in the window: ids and vectors, and (n,) each what was said and became of it."""

    loans: Dataset
    versions: gate.Groups
    scores: npt.NDArray[np.float64]
    states: gate.Groups

    @property
    def approved(self) -> Mask:
        return np.asarray(self.states == Application.State.APPROVED)

    @property
    def decided(self) -> Mask:
        return np.asarray(self.approved | (self.states == Application.State.DECLINED))


def figures(night: Night) -> list[Figure]:
    """Return drift, missing and impossible values, parity, and approvals by group."""
    people, champion = applicants(night), night.champion()
    about_model = beside_training(people, champion) if champion else []
    return [*about_model, *impossible(night), *approvals(people)]


def applicants(night: Night) -> Applicants:
    """Return the latest applicants of the window whose decision kept a vector of today's features."""
    made = decisions(night).filter(feature_version=feature_list.VERSION).order_by("-id")
    columns = ("application_id", "inputs", "model_version", "score", "application__state", "decided_at")
    rows = [row for row in made.values_list(*columns)[:MOST] if row[1]["features"]]
    n = len(rows)
    x, happened = told([row[1] for row in rows])
    return Applicants(
        loans=Dataset(
            x=x,
            events=happened,
            default=np.zeros(n, np.float32),
            repaid_share=np.full(n, np.nan, np.float32),
            best_offer=np.full(n, UNKNOWN_OFFER, np.int64),
            decided_at=np.array([int(row[5].timestamp()) for row in rows], np.int64),
            ids=np.array([str(row[0]) for row in rows], np.str_),
        ),
        versions=np.array([row[2] for row in rows], np.str_),
        scores=np.array([math.nan if row[3] is None else row[3] for row in rows], np.float64),
        states=np.array([row[4] for row in rows], np.str_),
    )


def told(inputs: Sequence[Mapping[str, Any]]) -> Told:
    """Return what decisions saw."""
    if not inputs:
        return np.zeros((0, len(feature_list.NAMES)), np.float32), events.none(0)
    x, happened = zip(*map(features.told, inputs), strict=True)
    return np.array(x), np.array(happened)


def decisions(night: Night) -> "QuerySet[Decision]":
    """Return the decisions of the window about who agreed that a computer judges them."""
    made = Decision.objects.filter(decided_at__gte=night.days_before(DAYS), decided_at__lt=night.until)
    return made.filter(inputs__facts__may_score=True)


# --- beside those whom it learnt from ---------------------------------------------------------------------------
def beside_training(people: Applicants, champion: ModelVersion) -> list[Figure]:
    """Return how scores and features moved since the champion was trained, and whether it still says the same."""
    if len(people.loans) < LEAST:
        return _too_few_applicants(len(people.loans), champion, "applicants in four weeks")
    then, of_loans = learnt_from(champion)
    now = people.loans.take(people.approved) if of_loans else people.loans
    if min(len(then[0]), len(now)) < LEAST:
        return _too_few_applicants(min(len(then[0]), len(now)), champion, "to compare with")
    return [
        *scores(people, then, now.told, champion),
        *moved(then[0], now.x, champion),
        *missing(then[0], now.x, champion),
    ]


def _too_few_applicants(n: int, champion: ModelVersion, what: str) -> list[Figure]:
    measures = ("score_drift", "feature_drift", "missing")
    words = f"{n} {what}, {LEAST} are needed to tell"
    return [too_few(measure, n, words, version=champion.name) for measure in measures]


def learnt_from(version: ModelVersion) -> tuple[Told, bool]:
    """Return vectors and events of its training's time, and whether they are of borrowers alone.

    Thinned evenly to 20,000, so that they stand for all of that time.
    """
    kept = Decision.objects.filter(feature_version=feature_list.VERSION, decided_at__lte=version.seen_until)
    step = max(1, -(-kept.count() // MOST))
    thinned = kept.annotate(place=Mod("id", step)).filter(place=0).values_list("inputs", flat=True)
    found = [inputs for inputs in thinned if inputs["features"]]
    if len(found) >= LEAST:
        return told(found), False
    known = training.outcomes(version.trained_at)
    known = known.take(known.submitted_us <= version.seen_until.timestamp() * 1e6)
    known = known.take(slice(None, None, max(1, -(-len(known) // MOST))))
    return training.believable(known, *training.as_decided(known)).told, True


def scores(people: Applicants, then: Told, now: Told, champion: ModelVersion) -> list[Figure]:
    """Ask the champion about both, whoever decided then: drift, and parity where it decided itself."""
    try:
        ask = judging.scores_of(registry.open_artifact(champion.name).weights)
    except ArtifactRefused as error:
        words = f"its files are refused: {error}"
        return [Figure("parity", words, 0, state=State.ALARM, version=champion.name)]
    own = (people.versions == champion.name) & ~np.isnan(people.scores)
    shift = drift(ask(*then), ask(*now), false_alarms=FALSE_ALARMS)
    sizes = f"{len(then[0]):,} and {len(now[0]):,}"
    words = f"PSI {shift.psi:.3f} between {sizes}, chance leaves {shift.threshold:.3f}"
    return [
        Figure(
            "score_drift", words, len(now[0]), _only(shift.psi), shift.threshold,
            rings(beyond_chance=shift.moved, matters=shift.psi > shift.threshold + SMALL_PSI), champion.name,
        ),
        parity(ask(*people.loans.take(own).told), people.scores[own], champion),
    ]  # fmt: skip


def parity(again: Rows, said: npt.NDArray[np.float64], champion: ModelVersion) -> Figure:
    """Return how far what decided lies from what the model's files say of the same vectors."""
    if not len(said):
        return too_few("parity", 0, "it has decided nothing in four weeks", version=champion.name)
    apart = np.abs(again - said)
    differ = int((apart > MOST_APART).sum())
    words = f"{differ} of {len(said):,} scores differ by more than {MOST_APART:g}, the most by {apart.max():.1e}"
    state = State.ALARM if differ else State.OK
    return Figure("parity", words, len(said), _only(float(apart.max())), MOST_APART, state, champion.name)


def moved(then: Rows, now: Rows, champion: ModelVersion) -> list[Figure]:
    """Return how each feature moved; all of them together ring by chance in one of 100 nights."""
    columns = [at for at, name in enumerate(feature_list.NAMES) if name not in CALENDAR]
    found = []
    for at in columns:
        shift = drift(then[:, at], now[:, at], false_alarms=FALSE_ALARMS / len(columns))
        state = rings(beyond_chance=shift.moved, matters=shift.psi > shift.threshold + SMALL_PSI)
        words = f"PSI {shift.psi:.3f}, chance leaves {shift.threshold:.3f}"
        found.append(
            Figure(
                "feature_drift", words, len(now), _only(shift.psi), shift.threshold, state, champion.name,
                "feature", feature_list.NAMES[at],
            )
        )  # fmt: skip
    return found


def missing(then: Rows, now: Rows, champion: ModelVersion) -> list[Figure]:
    """Return how often each feature is missing, where it ever was; it rings where that has become more."""
    before, after = (np.isnan(x).sum(axis=0) for x in (then, now))
    columns = np.flatnonzero(before + after)
    surely = 1 - 2 * FALSE_ALARMS / max(1, len(columns))
    found = []
    for at in columns:
        was, is_now = int(before[at]), int(after[at])
        limit = intervals.share(was, len(then), confidence=surely).high
        least = intervals.share(is_now, len(now), confidence=surely).low
        value = intervals.share(is_now, len(now))
        state = rings(beyond_chance=least > limit, matters=value.value > was / len(then) + MUCH_MISSING)
        words = f"{value.value:.1%} missing, {was / len(then):.1%} at training"
        found.append(
            Figure(
                "missing", words, len(now), value, limit, state, champion.name, "feature", feature_list.NAMES[at]
            )
        )
    return found


def impossible(night: Night) -> list[Figure]:
    """Return how many applicants had a number that cannot be true, and by which feature. None was scored."""
    counted = decisions(night).values(name=KT("inputs__invalid_feature")).annotate(n=Count("id"))
    by_feature = {row["name"] or "": row["n"] for row in counted}
    n, wrong = sum(by_feature.values()), sum(times for name, times in by_feature.items() if name)
    if n < LEAST:
        return [too_few("impossible", n, f"{n} applicants in four weeks, {LEAST} are needed to tell")]

    def figure(times: int, feature: str = "") -> Figure:
        found = intervals.share(times, n)
        state = above(found.low, warn=SOME_IMPOSSIBLE, alarm=MANY_IMPOSSIBLE)
        words = f"{times} of {n} applicants had a number that cannot be true"
        fact = "feature" if feature else ""
        return Figure("impossible", words, n, found, MANY_IMPOSSIBLE, state, fact=fact, group=feature)

    return [figure(wrong), *(figure(times, name) for name, times in sorted(by_feature.items()) if name)]


# --- by group ---------------------------------------------------------------------------------------------------
def approvals(people: Applicants) -> list[Figure]:
    """Return how often each group is approved in the end, by the computer or an officer.

    Held to the four-fifths rule where nobody may be approved less often; a newcomer may, for good reason.
    """
    if not people.decided.any():
        return []
    loans = people.loans.take(people.decided)
    approved = people.approved[people.decided]
    everybody = Figure(
        "approval", f"{approved.sum()} of {len(loans)} approved", len(loans),
        intervals.share(int(approved.sum()), len(loans)),
    )  # fmt: skip
    facts = judging.books_of(loans).facts
    return [everybody, *(one for fact, groups in facts.items() for one in _by_group(fact, groups, approved))]


def _by_group(fact: str, groups: gate.Groups, approved: Mask) -> Iterable[Figure]:
    counts = {
        group: (int(approved[groups == group].sum()), int((groups == group).sum())) for group in set_apart(groups)
    }
    large = {group: counted for group, counted in counts.items() if counted[1] >= gate.SLICE_LOANS}
    surely = 1 - 2 * FALSE_ALARMS / max(1, len(large))
    best = max(large, key=lambda group: large[group][0] / large[group][1], default="")
    for group, (some, of) in counts.items():
        found, words = intervals.share(some, of), f"{some} of {of} approved"
        if group not in large:
            words += f", {gate.SLICE_LOANS} are needed to tell"
            yield Figure("approval", words, of, found, None, State.TOO_FEW, "", fact, group)
        elif fact not in judging.FAIR or len(large) < 2:
            yield Figure("approval", words, of, found, fact=fact, group=group)
        else:
            limit = large[best][0] / large[best][1] * gate.LEAST_APPROVAL_RATIO
            least_of_best = intervals.share(*large[best], confidence=surely).low
            by_chance = intervals.share(some, of, confidence=surely).high >= least_of_best
            less = found.value < limit
            state = State.OK if not less else State.WARN if by_chance else State.ALARM
            words += f" ({found.value:.0%}), needs {limit:.0%}: four fifths of {fact} {best}"
            yield Figure("approval", words, of, found, limit, state, fact=fact, group=group)


def _only(value: float) -> intervals.Interval:
    """Return a figure whose bounds say nothing that its threshold does not say."""
    return intervals.Interval(value, math.nan, math.nan)
