"""The 35 numbers about an applicant as they stood at a moment, by one SQL statement.

The same statement builds one row for a decision and, for loans from before the first model, the training set.
Every fact is held to `fact < as_of`: what came later, however the row in the table looks today, is not seen.
Counting and summing stay in whole cents and PostgreSQL's exact numerics and become floats last, so neither
the order of rows nor the plan can change a bit.

Repayments and payouts count from the operator's time. That we may learn of them a little later cannot tell a
training row from a served one: nobody applies while a loan of theirs is open.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt
from django.conf import settings
from django.db import connection

from ml import features

# Rows per statement: large enough that the round trip is nothing, small enough to show progress.
BLOCK = 2_000


@dataclass(frozen=True, slots=True)
class Asked:
    """Whose features, as of when, and for what amount. `as_of` itself is already too late for a fact."""

    borrower_id: int
    as_of: datetime
    requested_cents: int


class UnknownBorrower(LookupError):
    """A row was asked for somebody who is not in the books."""


def build(asked: Sequence[Asked]) -> npt.NDArray[np.float32]:
    """Return (len(asked), n_features) float32 in the order of `ml.features.NAMES`, NaN where missing.

    Raises:
        UnknownBorrower: a borrower does not exist.
        ml.features.InvalidFeature: the books hold a value that cannot be true.
    """
    return features.check_rows(rows(asked))


def rows(asked: Sequence[Asked]) -> npt.NDArray[np.float64]:
    """Return what `build` returns before any number is held to its range."""
    blocks = [_block(asked[i : i + BLOCK]) for i in range(0, len(asked), BLOCK)]
    return np.concatenate(blocks) if blocks else np.zeros((0, len(features.NAMES)))


def build_one(borrower_id: int, as_of: datetime, requested_cents: int) -> npt.NDArray[np.float32]:
    """Return the vector (n_features,) of one applicant."""
    return build([Asked(borrower_id, as_of, requested_cents)])[0]


def to_json(vector: npt.NDArray[np.float32]) -> dict[str, float | None]:
    """Return the vector by name, None where missing. JSON brings the very same float32 back."""
    return {
        name: None if np.isnan(value) else float(value) for name, value in zip(features.NAMES, vector, strict=True)
    }


def from_json(values: Mapping[str, float | None]) -> npt.NDArray[np.float32]:
    """Return what `to_json` was given, bit for bit.

    Raises:
        ml.features.InvalidFeature: a name is absent or unknown, or a value cannot be true.
    """
    return features.row(values)


def _block(asked: Sequence[Asked]) -> npt.NDArray[np.float64]:
    with connection.cursor() as cursor:
        cursor.execute(
            SQL,
            {
                "borrowers": [row.borrower_id for row in asked],
                "moments": [row.as_of for row in asked],
                "amounts": [row.requested_cents for row in asked],
                "zone": settings.TIME_ZONE,
            },
        )
        found = cursor.fetchall()
    if len(found) != len(asked):
        known = {position for position, *_ in found}
        unknown = [row.borrower_id for i, row in enumerate(asked, start=1) if i not in known]
        raise UnknownBorrower(f"no borrower {unknown[0]}")
    return np.array([values for _, *values in found], dtype=np.float64)


# Each block below is a LATERAL: for one applicant a handful of index scans, for many the same scans again.
FACTS = """
WITH asked AS (
    SELECT
        position, borrower_id, as_of, requested_cents::numeric, as_of AT TIME ZONE %(zone)s AS local,
        -- Hours, because a day of an interval may have 23 or 25 of them.
        as_of - interval '720 hours' AS since_30d,
        as_of - interval '2016 hours' AS since_84d,
        as_of - interval '2160 hours' AS since_90d
    FROM unnest(%(borrowers)s::bigint[], %(moments)s::timestamptz[], %(amounts)s::bigint[])
        WITH ORDINALITY AS given (borrower_id, as_of, requested_cents, position)
)
SELECT
    asked.position,
    -- history
    extract(epoch FROM as_of - borrower.registered_at) / 86400 AS days_since_registered,
    loan.taken AS loans_taken,
    loan.settled AS loans_settled,
    loan.on_time::numeric / nullif(loan.settled, 0) AS on_time_share,
    CASE WHEN loan.settled > 0 THEN loan.streak END AS on_time_streak,
    loan.early::numeric / nullif(loan.settled, 0) AS early_share,
    loan.worst_days_late,
    loan.mean_days_late,
    loan.last_days_late,
    extract(epoch FROM as_of - loan.last_settled_at) / 86400 AS days_since_last_settled,
    loan.defaults AS defaults_90,
    loan.payments / nullif(loan.settled, 0) AS part_payments_mean,
    loan.principal_last AS principal_last_cents,
    loan.principal_last::numeric / loan.principal_first AS principal_growth,
    -- savings
    saved.balance_cents AS savings_balance_cents,
    saved.deposits_90d AS savings_deposits_90d,
    saved.deposited_90d AS savings_deposited_90d_cents,
    saved.withdrawn_90d AS savings_withdrawn_90d_cents,
    extract(epoch FROM as_of - saved.last_deposit_at) / 86400 AS days_since_last_deposit,
    saved.weeks_12 AS savings_weeks_12,
    -- wallet
    wallet.in_30d AS wallet_in_30d_cents,
    wallet.in_90d AS wallet_in_90d_cents,
    wallet.out_30d AS wallet_out_30d_cents,
    wallet.ins_30d AS wallet_ins_30d,
    wallet.active_days_30d AS wallet_active_days_30d,
    CASE WHEN weekly.total > 0 THEN sqrt(greatest(0, 12 * weekly.squares / weekly.total ^ 2 - 1)) END
        AS wallet_in_variation,
    extract(epoch FROM as_of - inflow.last_at) / 86400 AS days_since_last_inflow,
    wallet.night_90d::numeric / nullif(wallet.moves_90d, 0) AS wallet_night_share,
    wallet.airtime_30d AS airtime_30d_cents,
    wallet.in_30d * 3 / nullif(wallet.in_90d, 0) AS wallet_trend,
    -- application
    requested_cents,
    requested_cents / nullif(wallet.in_30d, 0) AS requested_to_inflow,
    requested_cents / loan.principal_last AS requested_to_last,
    extract(hour FROM local) + extract(minute FROM local) / 60 AS hour_local,
    extract(day FROM local) AS day_of_month
FROM asked
JOIN lending_borrower borrower ON borrower.id = asked.borrower_id

CROSS JOIN LATERAL (
    SELECT
        count(*) AS taken,
        count(*) FILTER (WHERE done) AS settled,
        count(*) FILTER (WHERE done AND days_late <= 0) AS on_time,
        count(*) FILTER (WHERE done AND days_late < 0) AS early,
        count(*) FILTER (WHERE days_late > 30) AS defaults,
        coalesce(min(place) FILTER (WHERE done AND days_late > 0) - 1, count(*) FILTER (WHERE done))
            AS streak,
        max(greatest(days_late, 0)) AS worst_days_late,
        avg(days_late) FILTER (WHERE done) AS mean_days_late,
        max(days_late) FILTER (WHERE done AND place = 1) AS last_days_late,
        max(settled_at) FILTER (WHERE done) AS last_settled_at,
        sum(payments) FILTER (WHERE done) AS payments,
        (array_agg(principal_cents ORDER BY disbursed_at DESC, id DESC))[1] AS principal_last,
        (array_agg(principal_cents ORDER BY disbursed_at, id))[1] AS principal_first
    FROM (
        SELECT
            known.*,
            -- An open loan is as late as it stands on the day; whatever became of it later is not known.
            CASE
                WHEN done THEN (settled_at AT TIME ZONE %(zone)s)::date - due_on
                ELSE greatest(local::date - due_on, 0)
            END AS days_late,
            row_number() OVER (PARTITION BY done ORDER BY settled_at DESC, id DESC) AS place,
            (
                SELECT count(*) FROM lending_repayment repayment
                WHERE repayment.loan_id = known.id AND repayment.received_at < as_of
            ) AS payments
        FROM (
            SELECT
                id, principal_cents, disbursed_at, due_on, settled_at,
                coalesce(settled_at < as_of, FALSE) AS done
            FROM lending_loan
            WHERE lending_loan.borrower_id = asked.borrower_id AND disbursed_at < as_of
        ) known
    ) each
) loan

LEFT JOIN LATERAL (
    -- All pots of a borrower together.
    SELECT
        greatest(coalesce(sum(
            CASE WHEN kind IN ('deposit', 'interest') THEN amount_cents ELSE -amount_cents END
        ), 0), 0) AS balance_cents,
        count(*) FILTER (WHERE kind = 'deposit' AND moved_at >= since_90d) AS deposits_90d,
        coalesce(sum(amount_cents) FILTER (WHERE kind = 'deposit' AND moved_at >= since_90d), 0) AS deposited_90d,
        coalesce(sum(amount_cents) FILTER (WHERE kind = 'withdrawal' AND moved_at >= since_90d), 0)
            AS withdrawn_90d,
        max(moved_at) FILTER (WHERE kind = 'deposit') AS last_deposit_at,
        count(DISTINCT date_bin('7 days', moved_at, as_of))
            FILTER (WHERE kind = 'deposit' AND moved_at >= since_84d)
            AS weeks_12
    FROM lending_savingsaccount account
    LEFT JOIN lending_savingsmovement ON account_id = account.id AND moved_at < as_of
    WHERE account.borrower_id = asked.borrower_id AND account.opened_at < as_of
    HAVING count(account.id) > 0
) saved ON TRUE

CROSS JOIN LATERAL (
    SELECT
        EXISTS (
            SELECT FROM lending_consent
            WHERE lending_consent.borrower_id = asked.borrower_id AND purpose = 'wallet' AND granted
                AND given_at < as_of AND (withdrawn_at IS NULL OR withdrawn_at >= as_of)
        ) AND EXISTS (
            SELECT FROM lending_walletmovement
            WHERE lending_walletmovement.borrower_id = asked.borrower_id AND moved_at < as_of
        ) AS yes
) shared
LEFT JOIN LATERAL (
    SELECT
        coalesce(sum(amount_cents) FILTER (WHERE comes_in AND is_new), 0) AS in_30d,
        coalesce(sum(amount_cents) FILTER (WHERE comes_in), 0) AS in_90d,
        coalesce(sum(amount_cents) FILTER (WHERE NOT comes_in AND is_new), 0) AS out_30d,
        coalesce(sum(amount_cents) FILTER (WHERE kind = 'airtime' AND is_new), 0) AS airtime_30d,
        count(*) FILTER (WHERE comes_in AND is_new) AS ins_30d,
        count(DISTINCT moved_local::date) FILTER (WHERE is_new) AS active_days_30d,
        count(*) FILTER (WHERE moved_local::time < '06:00') AS night_90d,
        count(*) AS moves_90d
    FROM (
        SELECT
            kind,
            amount_cents,
            kind IN ('received', 'cash_in') AS comes_in,
            moved_at >= since_30d AS is_new,
            moved_at AT TIME ZONE %(zone)s AS moved_local
        FROM lending_walletmovement
        WHERE shared.yes AND borrower_id = asked.borrower_id AND moved_at >= since_90d AND moved_at < as_of
    ) each
    HAVING shared.yes
) wallet ON TRUE
LEFT JOIN LATERAL (
    -- With weekly inflows w: deviation / mean = sqrt(12 * sum(w^2) / sum(w)^2 - 1), empty weeks counted.
    SELECT sum(cents) AS total, sum(cents ^ 2) AS squares
    FROM (
        SELECT sum(amount_cents) AS cents
        FROM lending_walletmovement
        WHERE shared.yes AND borrower_id = asked.borrower_id AND kind IN ('received', 'cash_in')
            AND moved_at >= since_84d AND moved_at < as_of
        GROUP BY date_bin('7 days', moved_at, as_of)
    ) week
) weekly ON TRUE
LEFT JOIN LATERAL (
    SELECT moved_at AS last_at
    FROM lending_walletmovement
    WHERE shared.yes AND borrower_id = asked.borrower_id
        AND kind IN ('received', 'cash_in') AND moved_at < as_of
    ORDER BY moved_at DESC
    LIMIT 1
) inflow ON TRUE
"""

# Nothing typed by anybody is in this text: it is made of names declared in code.
SQL = f"""
SELECT position, {", ".join(f"{name}::float8" for name in features.NAMES)}
FROM ({FACTS}) every
ORDER BY position
"""  # noqa: S608
