"""How the model runs: its age, its training, how long customers wait, and how often people decide instead."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from django.db.models import Count, Max, Q, QuerySet, Sum

from lending.models import Decision, Review
from lending.rules import calendar, money
from ml import intervals
from ml.intervals import Interval
from scoring import scorecard
from scoring.models import ModelVersion, PipelineRun, PipelineStep
from scoring.monitor.figures import LEAST, Figure, Night, State, above, too_few

DAYS = 7
LEAST_TIMED = 50
# Days. A model is trained each night; a quarter of a year without a better one is long for any book.
MODEL_AGE = (30, 90)
# A loan of 30 days teaches 60 days after its decision, and the latest loans judge instead of teaching.
LEARNT_AGE = (180, 365)
TRAINING_SILENCE = (1, 3)
# Runs. That tonight's is no better than the champion is usual; that none is for two weeks is worth a look.
NO_BETTER = (6, 13)
ENDED_WITHOUT = (PipelineRun.State.SHELVED, PipelineRun.State.REFUSED, PipelineRun.State.FAILED)
ENDED_WITH = (PipelineRun.State.PROMOTED, PipelineRun.State.FOR_PEOPLE)
# Seconds. Up to two, the customer reads the answer on the screen; after twenty `sweep` has to help out.
ON_SCREEN, HELPED_OUT = 2.0, 20.0
MODEL_SLOW = (0.5, 2.0)
# Shares of the decisions.
FALLBACK = (0.01, 0.05)
DATA_MISSING = (0.05, 0.20)
OVERTURNED = (0.5, 0.75)


def figures(night: Night) -> list[Figure]:
    """Return age, training, waiting, and what people decide. Before the first model there is nothing to run."""
    promotions = night.promotions()
    made = Decision.objects.filter(decided_at__gte=night.days_before(DAYS), decided_at__lt=night.until)
    found = [*waiting(made.exclude(model_version__in=scorecard.NO_MODEL)), *exploration(made), *overturned(night)]
    if promotions:
        since_first = made.filter(decided_at__gte=promotions[-1].promoted_at, inputs__facts__may_score=True)
        found += [*age(night, promotions[0].version), *training(night), *by_people(since_first)]
    return found


# --- the model and its training ---------------------------------------------------------------------------------
def age(night: Night, champion: ModelVersion) -> list[Figure]:
    """Return how old the model is, and what it has learnt from."""
    name = champion.name
    trained, learnt = (_days(night, at) for at in (champion.trained_at, champion.seen_until))
    return [
        _counted("model_age", trained, MODEL_AGE, f"trained {trained} days ago", name),
        _counted("learnt_age", learnt, LEARNT_AGE, f"has learnt of no decision of the last {learnt} days", name),
    ]


def training(night: Night) -> list[Figure]:
    """Return how long the training has been silent, and how many runs in a row have brought nothing."""
    sign = PipelineStep.objects.filter(started_at__lt=night.until).aggregate(at=Max("started_at"))["at"]
    silent = _days(night, sign) if sign else None
    found = []
    if silent is not None:
        words = f"the last step of a training began {silent} days ago"
        found.append(_counted("training_silence", silent, TRAINING_SILENCE, words))
    ended = PipelineRun.objects.filter(finished_at__lt=night.until, state__in=(*ENDED_WITHOUT, *ENDED_WITH))
    latest_good = ended.filter(state__in=ENDED_WITH).order_by("-finished_at").first()
    without = ended.filter(state__in=ENDED_WITHOUT)
    if latest_good and latest_good.finished_at:
        without = without.filter(finished_at__gt=latest_good.finished_at)
    runs = list(without.order_by("-finished_at"))
    how = Counter(run.get_state_display().lower() for run in runs)
    words = f"{len(runs)} trainings in a row brought no model"
    if runs:
        told = ", ".join(f"{times} {state}" for state, times in how.most_common())
        words += f": {told}; the latest: {runs[0].why}"
    return [*found, _counted("no_better", len(runs), NO_BETTER, words)]


def _days(night: Night, at: Any) -> int:
    return (night.on - calendar.business_date(at, str(night.until.tzinfo))).days


def _counted(measure: str, value: int, limits: tuple[int, int], words: str, version: str = "") -> Figure:
    warn, alarm = limits
    state = above(value, warn=warn, alarm=alarm)
    return Figure(measure, words, 1, Interval(value, math.nan, math.nan), alarm, state, version)


# --- how long customers wait ------------------------------------------------------------------------------------
def waiting(made: "QuerySet[Decision]") -> list[Figure]:
    """Return how long the model's decisions took in a week, and which part of it was waiting."""
    rows = list(made.values_list("application__submitted_at", "decided_at", "latency_ms"))
    waited = [max((decided - submitted).total_seconds(), 0.0) for submitted, decided, _ in rows]
    asked = [latency_ms / 1000 for *_, latency_ms in rows]
    both = [first + second for first, second in zip(waited, asked, strict=True)]
    return [
        _slowest("answer_median", both, 0.5, (math.inf, ON_SCREEN)),
        _slowest("answer_slowest", both, 0.95, (ON_SCREEN, HELPED_OUT)),
        _slowest("wait_slowest", waited, 0.95, (ON_SCREEN, HELPED_OUT)),
        _slowest("model_slowest", asked, 0.95, MODEL_SLOW),
    ]


def _slowest(measure: str, seconds: Sequence[float], q: float, limits: tuple[float, float]) -> Figure:
    n, (warn, alarm) = len(seconds), limits
    if n < LEAST_TIMED:
        return too_few(measure, n, f"{n} decisions of a model in a week, {LEAST_TIMED} are needed to tell")
    found = intervals.quantile(seconds, q)
    words = f"{1 - q:.0%} of {n:,} decisions took longer than {found.value:.2f} s"
    state = above(found.low, warn=min(warn, alarm), alarm=alarm)
    return Figure(measure, words, n, found, min(warn, alarm), state)


# --- what people decide -----------------------------------------------------------------------------------------
def by_people(made: "QuerySet[Decision]") -> list[Figure]:
    """Return how often no model decided, and how often an officer had to for want of data."""
    counted = made.aggregate(
        n=Count("id"),
        without=Count("id", filter=Q(model_version__in=scorecard.NO_MODEL)),
        missing=Count("id", filter=Q(outcome="refer", reasons__contains=[{"code": "data_missing"}])),
    )
    n = counted["n"]
    return [
        _share("fallback", counted["without"], n, FALLBACK, "decisions were made without the model"),
        _share("data_missing", counted["missing"], n, DATA_MISSING, "were left to an officer: data were missing"),
    ]


def overturned(night: Night) -> list[Figure]:
    """Return how many refusals of the computer, of those that officers looked at in a week, they overturned."""
    looked_at = Review.objects.filter(
        reviewed_at__gte=night.days_before(DAYS),
        reviewed_at__lt=night.until,
        application__decision__outcome=Decision.Outcome.DECLINE,
    )
    counted = looked_at.aggregate(n=Count("id"), approved=Count("id", filter=Q(approved=True)))
    n, approved = counted["n"], counted["approved"]
    return [_share("overturned", approved, n, OVERTURNED, "refusals were overturned", LEAST_TIMED)]


def _share(measure: str, some: int, n: int, limits: tuple[float, float], what: str, least: int = LEAST) -> Figure:
    found, (warn, alarm) = intervals.share(some, n), limits
    words = f"{some} of {n} {what}"
    if n < least:
        return Figure(measure, f"{words}; {least} are needed to tell", n, found, None, State.TOO_FEW)
    return Figure(measure, words, n, found, warn, above(found.low, warn=warn, alarm=alarm))


def exploration(made: "QuerySet[Decision]") -> list[Figure]:
    """Return what was lent in a week to learn from, in each currency: approved by a draw of known chance."""
    drawn = made.filter(outcome=Decision.Outcome.APPROVE, propensity__lt=1)
    by_currency = drawn.values_list("application__product_version__currency").annotate(
        n=Count("id"), cents=Sum("application__principal_cents")
    )
    return [
        Figure(
            "exploration", f"{money.show(cents, currency)} to {n} applicants in a week", n,
            Interval(cents, math.nan, math.nan), fact="currency", group=currency,
        )
        for currency, n, cents in by_currency.order_by("application__product_version__currency")
    ]  # fmt: skip
