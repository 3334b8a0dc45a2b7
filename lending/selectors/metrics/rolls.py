"""How principal moves between the ageing buckets within a month. Source: docs/domain/metrics.md."""

from datetime import date
from typing import Any

from lending.selectors.metrics.months import steps_back
from lending.selectors.metrics.report import PAID_BY_NEW_LOAN, Column, Report, Unit, share

# The principal of loans at the first day of a step, by where they are at the last: what still stands goes with the
# loan to its bucket, what was written off is lost, and the rest was repaid.
ROLLS = (
    """step AS (
        SELECT * FROM unnest(%(firsts)s::date[], %(lasts)s::date[]) AS step(first_day, last_day)
    )""",
    """lost AS (
        SELECT step.first_day, cover.loan_id, sum(cover.principal) AS principal
          FROM step JOIN cover ON cover.covered_on > step.first_day AND cover.covered_on <= step.last_day
         WHERE cover.kind = 'written_off'
         GROUP BY step.first_day, cover.loan_id
    )""",
    """way AS (
        SELECT before.currency, before.place, before.bucket, after.place AS after_place,
               after.bucket AS after_bucket, lost.loan_id IS NOT NULL AS is_lost, count(*) AS loans,
               sum(before.principal) AS principal,
               sum(least(before.principal, coalesce(after.principal, 0))) AS still,
               sum(least(before.principal, coalesce(lost.principal, 0))) AS lost
          FROM step
          JOIN standing before ON before.day = step.first_day
          LEFT JOIN standing after ON after.day = step.last_day AND after.loan_id = before.loan_id
          LEFT JOIN lost ON lost.first_day = step.first_day AND lost.loan_id = before.loan_id
         GROUP BY 1, 2, 3, 4, 5, 6
    )""",
    """roll AS (
        SELECT way.currency, way.place, way.bucket, went.place AS to_place, went.bucket AS to_bucket,
               went.cents, went.loans
          FROM way
         CROSS JOIN LATERAL (VALUES
               (way.after_place, way.after_bucket, way.still, way.loans),
               (100, 'written off', way.lost, way.loans * (way.after_place IS NULL AND way.is_lost)::int),
               (101, 'repaid', way.principal - way.still - way.lost,
                way.loans * (way.after_place IS NULL AND NOT way.is_lost)::int)
               ) AS went(place, bucket, cents, loans)
         WHERE went.place IS NOT NULL AND (went.cents > 0 OR went.loans > 0)
    )""",
)


def steps(days: list[date]) -> dict[str, Any]:
    """Ask about the steps between these days."""
    return {"firsts": days[:-1], "lasts": days[1:]}


ROLL_RATES = Report(
    name="roll_rates",
    title="Roll rates",
    words="Where the principal outstanding one month before is on the day: in which bucket it still stands, repaid"
    " or written off. A month's end is compared with the end of the month before. The shares of a bucket add up"
    f" to 1. {PAID_BY_NEW_LOAN}",
    columns=(
        Column("currency", Unit.TEXT, "ISO code of the currency", "roll.currency"),
        Column("from_bucket", Unit.TEXT, "days past due one month before", "roll.bucket"),
        Column("to_bucket", Unit.TEXT, "days past due on the day, or how it ended", "roll.to_bucket"),
        Column("loans", Unit.COUNT, "loans that are there now", "sum(roll.loans)"),
        Column("principal_cents", Unit.CENTS, "principal that came there", "sum(roll.cents)"),
        Column(
            "roll_rate",
            Unit.SHARE,
            "this principal / principal outstanding of the first bucket one month before",
            share("sum(roll.cents)", "sum(sum(roll.cents)) OVER (PARTITION BY roll.currency, roll.place)"),
        ),
    ),
    facts=ROLLS,
    source="FROM roll GROUP BY roll.currency, roll.place, roll.bucket, roll.to_place, roll.to_bucket"
    " ORDER BY roll.currency, roll.place, roll.to_place",
    days=lambda on: steps_back(on, 1),
    parameters=lambda on: steps(steps_back(on, 1)),
)
