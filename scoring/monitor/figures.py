"""What is measured in a night, and how a figure becomes a state.

A figure rings where chance does not explain it and where it also matters. Chance is worked out for the number of
loans or decisions that it rests on, so that neither a small lender is woken for nothing nor a large one too late.
"""

import math
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import numpy as np
from django.conf import settings

from lending.rules import calendar
from ml.gate import UNKNOWN_GROUP, Groups
from ml.intervals import NOTHING, Interval
from scoring.models import HealthFigure, ModelVersion, Promotion

State = HealthFigure.State

# Where nothing is wrong, a measure rings in about one of 100 nights, however many groups or features it looks at.
FALSE_ALARMS = 0.01
# With fewer decisions or loans nothing is said of them; as in the gate.
LEAST = 200
# The latest of them: more would cost minutes, and move no figure that matters.
MOST = 20_000


@dataclass(frozen=True, slots=True)
class Measure:
    """What a measure is called, the unit of its value, and the heading in docs/operations.md for its alarm.

    Without a runbook it is told and held to nothing.
    """

    title: str
    unit: str
    runbook: str = ""


PROMISES = "The model promises what does not come true"
OTHERS = "Other people ask than the model learnt from"
NUMBERS = "Numbers about applicants are missing or cannot be true"
NO_MODEL = "No new model comes"
SLOW = "Decisions take long"
BY_PEOPLE = "People decide what the model should"
MEASURES = {
    "calibration": Measure("Lost against promised", "times", PROMISES),
    "log_loss": Measure("Log-loss", "", PROMISES),
    "auc": Measure("AUC", "", "The model does not tell any more who repays"),
    "loss": Measure("Share lost", "share"),
    "score_drift": Measure("Scores against those at training", "PSI", OTHERS),
    "feature_drift": Measure("Features against those at training", "PSI", OTHERS),
    "missing": Measure("Missing values", "share", NUMBERS),
    "impossible": Measure("Values that cannot be true", "share", NUMBERS),
    "parity": Measure("Scores asked for again", "", "A score is not what the model says"),
    "approval": Measure("Share approved", "share", "One group is approved less often"),
    "model_age": Measure("Days since the model was trained", "days", NO_MODEL),
    "learnt_age": Measure("Days since the latest decision it learnt from", "days", NO_MODEL),
    "training_silence": Measure("Days without a sign of the training", "days", NO_MODEL),
    "no_better": Measure("Trainings in a row that brought no model", "runs", NO_MODEL),
    "answer_median": Measure("Seconds to a decision, half take longer", "s", SLOW),
    "answer_slowest": Measure("Seconds to a decision, one of 20 takes longer", "s", SLOW),
    "wait_slowest": Measure("Seconds in the outbox, one of 20 waits longer", "s", SLOW),
    "model_slowest": Measure("Seconds in the model, one of 20 takes longer", "s", SLOW),
    "fallback": Measure("Decisions without the model", "share", BY_PEOPLE),
    "data_missing": Measure("Left to people because data were missing", "share", BY_PEOPLE),
    "exploration": Measure("Lent to explore", "cents"),
    "overturned": Measure("Refusals that officers looked at and overturned", "share", BY_PEOPLE),
}


@dataclass(frozen=True, slots=True)
class Figure:
    """One measure of one night. `threshold` None: told, and held to nothing."""

    measure: str
    words: str
    n: int
    found: Interval = NOTHING
    threshold: float | None = None
    state: State = State.OK
    version: str = ""
    fact: str = ""
    group: str = ""

    def as_row(self) -> HealthFigure:
        """Return the row that keeps it."""
        value, low, high, threshold = (
            None if number is None or not math.isfinite(number) else number
            for number in (self.found.value, self.found.low, self.found.high, self.threshold)
        )
        whose = " ".join(filter(None, (self.fact, self.group)))
        words = f"{whose}: {self.words}" if whose else self.words
        return HealthFigure(
            measure=self.measure, version=self.version, fact=self.fact, group=self.group[:60], n=self.n,
            value=value, low=low, high=high, threshold=threshold, state=self.state, words=words[:300],
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Night:
    """A business date that is over, as its figures see it. `until` is the first moment of the next one."""

    on: date
    until: datetime

    @classmethod
    def of(cls, on: date) -> "Night":
        return cls(on, calendar.start_of(on + calendar.DAY, settings.TIME_ZONE))

    def days_before(self, days: int) -> datetime:
        """Return the first moment of so many days that end with this one."""
        return calendar.start_of(self.on + timedelta(days=1 - days), settings.TIME_ZONE)

    def promotions(self) -> list[Promotion]:
        """Return who had come to serve by then, the latest first."""
        return list(Promotion.objects.filter(promoted_at__lt=self.until).select_related("version"))

    def champion(self) -> ModelVersion | None:
        """Return who served at its end."""
        return next((promotion.version for promotion in self.promotions()), None)


def set_apart(groups: Groups) -> list[str]:
    """Return the groups that a fact (n,) sets apart; none where all are of one, who are everybody."""
    known = [str(group) for group in np.unique(groups)]
    return [group for group in known if group != UNKNOWN_GROUP] if len(known) > 1 else []


def rings(*, beyond_chance: bool, matters: bool) -> State:
    """Return an alarm for what chance does not explain and matters, a warning for what does not matter yet."""
    if not beyond_chance:
        return State.OK
    return State.ALARM if matters else State.WARN


def above(low: float, *, warn: float, alarm: float) -> State:
    """Return how a figure stands whose lower bound must not be above two limits."""
    return State.ALARM if low > alarm else State.WARN if low > warn else State.OK


def too_few(measure: str, n: int, what: str, *, version: str = "", fact: str = "", group: str = "") -> Figure:
    """Return the figure of what nobody can tell yet; `what` says what there is and what is needed."""
    return Figure(measure, what, n, state=State.TOO_FEW, version=version, fact=fact, group=group)
