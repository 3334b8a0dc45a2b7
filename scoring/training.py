"""Learning from what became of every loan: the training set, and one retraining from start to verdict.

A loan teaches once 30 days have passed since its due date, also where it was repaid long before: were the
quickly repaid counted at once, the newest weeks would hold good loans only and teach that all is well.
Borrowers who took back their consent to scoring are left out. So is a loan that a new one paid off by then: nobody
knows whether it would have been repaid.
"""

import json
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from django.conf import settings
from django.db import connection
from django.utils import timezone

from ml import features as feature_list
from ml.data import MICROLOAN, NEITHER, SAVINGS, Dataset
from scoring import features, judging, registry
from scoring.features import Asked
from scoring.models import PipelineRun

if TYPE_CHECKING:
    from ml.train import Plan

logger = logging.getLogger(__name__)

Say = Callable[[str], None]

# Repaid this soon after the due date, a loan was the right offer.
FINE_WITHIN_DAYS = 7


@dataclass
class Steps:
    """How long each step took, for the run's report."""

    seconds: dict[str, float] = field(default_factory=dict)
    _since: float = field(default_factory=time.monotonic)

    def done(self, name: str) -> float:
        now = time.monotonic()
        self.seconds[name], self._since = round(now - self._since, 2), now
        return self.seconds[name]


# --- the training set ---------------------------------------------------------------------------------------
OUTCOMES = """
SELECT
    application.id,
    loan.borrower_id,
    application.submitted_at,
    application.principal_cents,
    application.principal_cents <= (product.ladder_cents ->> 0)::bigint AS small,
    loan.written_off_at < %(until)s AS written_off,
    CASE WHEN loan.settled_at < %(until)s THEN (loan.settled_at AT TIME ZONE %(zone)s)::date - loan.due_on END
        AS days_late,
    (
        SELECT coalesce(sum(amount_cents), 0) FROM lending_repayment repayment
        WHERE repayment.loan_id = loan.id AND repayment.received_at < %(until)s
            AND (repayment.received_at AT TIME ZONE %(zone)s)::date <= loan.due_on + 30
    )::float8 / (loan.principal_cents - loan.deducted_cents + loan.fee_cents + loan.tax_cents + loan.interest_cents)
        AS repaid_share,
    CASE WHEN decision.feature_version = %(version)s THEN decision.inputs -> 'features' END AS served
FROM lending_loan loan
JOIN lending_application application ON application.id = loan.application_id
LEFT JOIN lending_decision decision ON decision.application_id = application.id
JOIN lending_productversion product ON product.id = loan.product_version_id
WHERE loan.disbursed_at < %(until)s
    AND loan.due_on + 30 < (%(until)s AT TIME ZONE %(zone)s)::date
    AND NOT EXISTS (
        SELECT FROM lending_loan newer
        WHERE newer.refinances_id = loan.id
            AND (newer.disbursed_at AT TIME ZONE %(zone)s)::date <= loan.due_on + 30
    )
    AND NOT EXISTS (
        SELECT FROM lending_consent consent
        WHERE consent.borrower_id = loan.borrower_id AND purpose = 'scoring'
        HAVING bool_and(withdrawn_at IS NOT NULL OR NOT granted)
    )
ORDER BY application.id
"""


def training_set(until: datetime) -> Dataset:
    """Return every loan whose outcome was settled before `until`, with its features as of the application.

    default: more than 30 days late or written off. repaid_share: of what was owed, by 30 days after the due
    date. best_offer, a heuristic: a loan where it came back within 7 days of the due date; savings where it
    did not and the borrower saves, or failed already on the smallest rung; else neither.

    A loan with a number that cannot be true is left out: such a row is never scored, and must not keep all the
    others from teaching.
    """
    with connection.cursor() as cursor:
        cursor.execute(OUTCOMES, {"until": until, "zone": settings.TIME_ZONE, "version": feature_list.VERSION})
        rows = cursor.fetchall()
    x = as_decided(rows)
    small, written_off = (np.array([bool(row[i]) for row in rows], dtype=bool) for i in (4, 5))
    days_late = np.array([np.inf if row[6] is None else row[6] for row in rows], dtype=np.float64)
    default = written_off | (days_late > 30)
    every = Dataset(
        x=x,
        default=default.astype(np.float32),
        repaid_share=np.clip([row[7] for row in rows], 0, 1).astype(np.float32),
        best_offer=best_offers(x, days_late, default & small),
        decided_at=np.array([int(row[2].timestamp()) for row in rows], dtype=np.int64),
        ids=np.array([str(row[0]) for row in rows], dtype=np.str_),
    )
    wrong: npt.NDArray[np.bool_] = np.any(feature_list.impossible(x), axis=1)
    if wrong.any():
        logger.warning("left out of training, impossible numbers: applications %s", ", ".join(every.ids[wrong]))
    return every.take(~wrong)


def as_decided(rows: Sequence[tuple[Any, ...]]) -> npt.NDArray[np.float32]:
    """Return (n, n_features) for rows of OUTCOMES: what each decision saw, as it kept it.

    What came to us late, such as a partner's report of a deposit, no decision saw. Only where a decision kept
    nothing for today's features, as before the first model, the row is built now.
    """
    served = [json.loads(row[8] or "null") for row in rows]
    asked = [Asked(row[1], row[2], row[3], row[0]) for row, kept in zip(rows, served, strict=True) if not kept]
    built = iter(features.rows(asked).astype(np.float32))
    each = [features.from_json(kept) if kept else next(built) for kept in served]
    return np.array(each, dtype=np.float32).reshape(-1, len(feature_list.NAMES))


def best_offers(
    x: npt.NDArray[np.float32], days_late: npt.NDArray[np.float64], failed_small: npt.NDArray[np.bool_]
) -> npt.NDArray[np.int64]:
    """Return what would have served each borrower best, looking back: (n,) indices into ml.data.OFFERS."""
    saves = x[:, feature_list.NAMES.index("savings_deposits_90d")] > 0
    offers = np.where(saves | failed_small, SAVINGS, NEITHER)
    return np.where(days_late <= FINE_WITHIN_DAYS, MICROLOAN, offers).astype(np.int64)


# --- one retraining -----------------------------------------------------------------------------------------
def retrain(
    at: datetime, *, first: bool = False, seed: int = 1, plan: "Plan | None" = None, say: Say = lambda text: None
) -> PipelineRun:
    """Train a challenger on what is known at `at`; promote it if it beats the champion on later loans.

    With no champion that can serve it does so only if `first`, and above the floors. Whatever happens, the
    champion stays until the one statement that replaces it; a failure is on record in the run.
    """
    run = PipelineRun.objects.create(started_at=at)
    try:
        return _run(run, first=first, seed=seed, plan=plan, say=say)
    except Exception as error:
        _finish(run, PipelineRun.State.FAILED, why=f"{type(error).__name__}: {error}")
        raise


def _run(run: PipelineRun, *, first: bool, seed: int, plan: "Plan | None", say: Say) -> PipelineRun:
    steps, at = Steps(), run.started_at
    # TensorFlow takes seconds to import and PostgreSQL seconds to answer: both at once.
    threading.Thread(target=import_module, args=("ml.network",), daemon=True).start()
    say("reading loans and their features as they stood")
    loans = training_set(at)
    run.loans = len(loans)
    say(f"{len(loans):,} loans, {loans.default.mean() if len(loans) else 0:.1%} lost, in {steps.done('data')} s")

    train = import_module("ml.train")
    trained = train.train(loans, seed=seed, plan=plan, progress=lambda part, what: say(f"{part:4.0%} {what}"))
    steps.done("training")

    rival = registry.open_champion()
    verdict = judging.judge(trained, rival, loans, first=first, has_rival=rival is not None)
    version = registry.register(trained, comparison=verdict.comparison, at=at)
    run.version = version
    steps.done("verdict")
    why = "; ".join(verdict.why)
    told = {"why": why, "seconds": steps.seconds, **verdict.report}
    if not verdict.better:
        say(f"{version.name} stays shelved: {why}")
        return _finish(run, PipelineRun.State.SHELVED, **told)
    registry.promote(version.name, at=at, reason=why[:300])
    say(f"{version.name} serves: {why}")
    return _finish(run, PipelineRun.State.PROMOTED, **told)


def _finish(run: PipelineRun, state: str, **report: Any) -> PipelineRun:
    run.state, run.report, run.finished_at = state, report, timezone.now()
    run.save()
    return run
