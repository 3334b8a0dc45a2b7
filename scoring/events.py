"""The last 128 events of an applicant as they stood at a moment, by one SQL statement.

What counts is what counts for the features (scoring/sources.py), under the same agreements of the customer, and
like there one statement serves a decision and the training set. An event counts from the moment at which it could
be known; `as_of` itself is already too late.
"""

from collections.abc import Sequence

import numpy as np
from django.db import connection

from ml import events
from ml.events import Events
from scoring.features import BLOCK, Asked, parameters
from scoring.sources import ASKED, KNOWN_LOANS, SAVINGS_KEPT_OUT, STANDING_LINES, WALLET_SHARED


def build(asked: Sequence[Asked]) -> Events:
    """Return (len(asked), 128, 4) as `ml.events` says, the newest event first; all 0 where nothing has happened."""
    blocks = [_block(asked[at : at + BLOCK]) for at in range(0, len(asked), BLOCK)]
    return np.concatenate(blocks) if blocks else events.none(0)


def build_one(asked: Asked) -> Events:
    """Return the events (128, 4) of one applicant."""
    return build([asked])[0]


def _block(asked: Sequence[Asked]) -> Events:
    with connection.cursor() as cursor:
        cursor.execute(SQL, parameters(asked) | {"kinds": list(events.NAMES), "last": events.LAST})
        found = np.array(cursor.fetchall(), np.int64).reshape(-1, 4)
    return events.coded(len(asked), *found.T)


# Nothing typed by anybody is in this text. Each branch gives the name of a kind, a moment and an amount.
SQL = f"""
WITH asked AS ({ASKED})
SELECT position - 1, array_position(%(kinds)s::text[], kind), floor(extract(epoch FROM as_of - at)), cents
FROM asked
{SAVINGS_KEPT_OUT}
{WALLET_SHARED}
CROSS JOIN LATERAL (
    SELECT kind, at, cents, row_number() OVER (ORDER BY at DESC, kind, cents) AS place
    FROM (
        SELECT 'paid_out' AS kind, disbursed_at AS at, principal_cents AS cents FROM ({KNOWN_LOANS}) known
        UNION ALL
        SELECT
            CASE WHEN (received_at AT TIME ZONE %(zone)s)::date <= due_by
                THEN 'repaid_in_time' ELSE 'repaid_late' END,
            received_at, amount_cents
        FROM ({KNOWN_LOANS}) known
        JOIN lending_repayment repayment ON repayment.loan_id = known.id
        WHERE received_at < as_of AND amount_cents > 0
        UNION ALL
        SELECT CASE kind WHEN 'deposit' THEN 'saved' ELSE 'withdrawn' END, moved_at, amount_cents
        FROM lending_savingsaccount account
        JOIN lending_savingsmovement movement ON movement.account_id = account.id
        WHERE account.borrower_id = asked.borrower_id AND moved_at < as_of AND NOT kept_out.yes
            AND kind IN ('deposit', 'withdrawal')
        UNION ALL (
            SELECT
                CASE
                    WHEN kind IN ('received', 'cash_in') THEN 'came_in'
                    WHEN kind = 'airtime' THEN 'airtime'
                    ELSE 'went_out'
                END,
                moved_at, amount_cents
            FROM lending_walletmovement
            WHERE shared.yes AND borrower_id = asked.borrower_id AND moved_at < as_of
            ORDER BY moved_at DESC, kind, amount_cents
            LIMIT %(last)s
        )
        UNION ALL
        SELECT CASE WHEN kind IN ('sale', 'credit_given') THEN 'sold' ELSE 'spent' END, recorded_at, amount_cents
        {STANDING_LINES}
            AND kind IN ('sale', 'credit_given', 'expense', 'stock')
        UNION ALL
        SELECT 'applied', submitted_at, principal_cents
        FROM lending_application earlier
        WHERE earlier.borrower_id = asked.borrower_id AND submitted_at < as_of
    ) each
    ORDER BY place
    LIMIT %(last)s
) seen
ORDER BY position, place
"""  # noqa: S608
