"""Learning from what became of every loan: the training set.

A loan teaches once 30 days have passed since its due date, also where it was repaid long before: were the
quickly repaid counted at once, the newest weeks would hold good loans only and teach that all is well.
Borrowers who took back their consent to scoring are left out. So is a loan that a new one paid off by then: nobody
knows whether it would have been repaid.
"""

import logging
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
from django.conf import settings
from django.db import connection

from lending.models import Decision
from ml import events as event_list
from ml import features as feature_list
from ml.data import MICROLOAN, NEITHER, SAVINGS, Dataset
from ml.events import Events
from scoring import events, features
from scoring.features import Asked

logger = logging.getLogger(__name__)

# Repaid this soon after the due date, a loan was the right offer.
FINE_WITHIN_DAYS = 7
# Vectors of so many decisions are read at once.
BLOCK = 2_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Outcomes:
    """What was asked for and what became of it, a loan a row; (n,) each.

    submitted_us: microseconds since 1970 UTC. small: no more than the lowest rung. days_late: of the last payment,
    inf while the loan is not repaid. repaid_share: of what was owed, by 30 days after the due date. repay_time:
    until the last payment, as a share of the time from payout to that day, 1 where it was not repaid by then.
    """

    application_ids: npt.NDArray[np.int64]
    borrower_ids: npt.NDArray[np.int64]
    submitted_us: npt.NDArray[np.int64]
    requested_cents: npt.NDArray[np.int64]
    small: npt.NDArray[np.bool_]
    written_off: npt.NDArray[np.bool_]
    days_late: npt.NDArray[np.float64]
    repaid_share: npt.NDArray[np.float64]
    repay_time: npt.NDArray[np.float64]

    def __len__(self) -> int:
        """Return the number of loans."""
        return len(self.application_ids)

    @property
    def default(self) -> npt.NDArray[np.bool_]:
        """More than 30 days late, or written off."""
        return self.written_off | (self.days_late > 30)

    def take(self, rows: npt.NDArray[Any] | slice) -> "Outcomes":
        """Return the loans at these positions, or where this mask is true."""
        return Outcomes(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    def asked(self, row: int) -> Asked:
        """Return whose features a row needs, and as of when."""
        submitted_at = EPOCH + timedelta(microseconds=int(self.submitted_us[row]))
        application_id = int(self.application_ids[row])
        return Asked(int(self.borrower_ids[row]), submitted_at, int(self.requested_cents[row]), application_id)


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
    CASE WHEN loan.settled_at < %(until)s THEN least(
        ((loan.settled_at AT TIME ZONE %(zone)s)::date - paid_out_on)::float8 / (loan.due_on + 30 - paid_out_on), 1
    ) ELSE 1 END AS repay_time
FROM lending_loan loan
CROSS JOIN LATERAL (SELECT (loan.disbursed_at AT TIME ZONE %(zone)s)::date AS paid_out_on) payout
JOIN lending_application application ON application.id = loan.application_id
JOIN lending_productversion product ON product.id = loan.product_version_id
WHERE loan.disbursed_at < %(until)s
    AND loan.credit_limit_cents IS NULL
    AND loan.due_on + 30 < (%(until)s AT TIME ZONE %(zone)s)::date
    AND loan.due_on + 30 >= %(known_from)s
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


def outcomes(until: datetime, *, known_from: date = date.min) -> Outcomes:
    """Return every loan whose outcome was settled before `until`, in the order of the applications.

    known_from: only those whose 30 days ended on this date or later.
    """
    with connection.cursor() as cursor:
        cursor.execute(OUTCOMES, {"until": until, "zone": settings.TIME_ZONE, "known_from": known_from})
        rows = cursor.fetchall()

    def column(position: int, kind: Any) -> npt.NDArray[Any]:
        return np.array([row[position] for row in rows], dtype=kind)

    return Outcomes(
        application_ids=column(0, np.int64),
        borrower_ids=column(1, np.int64),
        submitted_us=np.array([(row[2] - EPOCH) // timedelta(microseconds=1) for row in rows], dtype=np.int64),
        requested_cents=column(3, np.int64),
        small=column(4, np.bool_),
        written_off=column(5, np.bool_),
        days_late=np.array([np.inf if row[6] is None else row[6] for row in rows], dtype=np.float64),
        repaid_share=column(7, np.float64),
        repay_time=column(8, np.float64),
    )


def training_set(until: datetime) -> Dataset:
    """Return every loan whose outcome was settled before `until`, with its features as of the application."""
    known = outcomes(until)
    return believable(known, *as_decided(known))


def as_decided(known: Outcomes) -> tuple[npt.NDArray[np.float32], Events]:
    """Return (n, n_features) and (n, 128, 4): what each decision saw, as it kept it.

    What came to us late, such as a partner's report of a deposit, no decision saw. Only where a decision kept
    nothing for today's features, as before the first model, the row is built now.
    """
    x, happened = np.zeros((len(known), len(feature_list.NAMES)), np.float32), event_list.none(len(known))
    for start in range(0, len(known), BLOCK):
        rows = range(start, min(start + BLOCK, len(known)))
        kept = _kept(known.application_ids[start : start + BLOCK].tolist())
        without = [row for row in rows if int(known.application_ids[row]) not in kept]
        asked = [known.asked(row) for row in without]
        x[without], happened[without] = features.rows(asked).astype(np.float32), events.build(asked)
        for row in set(rows) - set(without):
            x[row], happened[row] = features.told(kept[int(known.application_ids[row])])
    return x, happened


def _kept(application_ids: list[int]) -> dict[int, dict[str, Any]]:
    """Return the inputs that decisions kept for today's features, by application."""
    decisions = Decision.objects.filter(application_id__in=application_ids, feature_version=feature_list.VERSION)
    kept = decisions.values_list("application_id", "inputs")
    return {key: inputs for key, inputs in kept if inputs.get("features")}


def believable(known: Outcomes, x: npt.NDArray[np.float32], happened: Events | None = None) -> Dataset:
    """Return outcomes, vectors (n, n_features) and events (n, 128, 4) as a data set.

    best_offer, a heuristic: a loan where it came back within 7 days of the due date; savings where it did not and
    the borrower saves, or failed already on the smallest rung; else neither.

    A loan with a number that cannot be true is left out: such a row is never scored, and must not keep all the
    others from teaching.
    """
    default = known.default
    every = Dataset(
        x=x,
        default=default.astype(np.float32),
        repaid_share=np.clip(known.repaid_share, 0, 1).astype(np.float32),
        best_offer=best_offers(x, known.days_late, default & known.small),
        decided_at=known.submitted_us // 1_000_000,
        ids=known.application_ids.astype(np.str_),
        repay_time=np.clip(known.repay_time, 0, 1).astype(np.float32),
        events=happened,
    )
    wrong: npt.NDArray[np.bool_] = np.any(feature_list.impossible(x), axis=1)
    if wrong.any():
        logger.warning("left out of training, impossible numbers: applications %s", ", ".join(every.ids[wrong]))
    return every.take(~wrong)


def best_offers(
    x: npt.NDArray[np.float32], days_late: npt.NDArray[np.float64], failed_small: npt.NDArray[np.bool_]
) -> npt.NDArray[np.int64]:
    """Return what would have served each borrower best, looking back: (n,) indices into ml.data.OFFERS."""
    saves = x[:, feature_list.NAMES.index("savings_deposits_90d")] > 0
    offers = np.where(saves | failed_small, SAVINGS, NEITHER)
    return np.where(days_late <= FINE_WITHIN_DAYS, MICROLOAN, offers).astype(np.int64)
