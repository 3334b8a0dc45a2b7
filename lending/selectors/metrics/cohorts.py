"""Loans of one week or month followed from their due date on. Source: docs/domain/metrics.md."""

from datetime import date
from functools import partial
from typing import Any

from lending.selectors.metrics.report import PAID_BY_NEW_LOAN, Column, Report, Unit, share

VINTAGE_DAYS = (0, 1, 3, 7, 14, 30, 60, 90, 180)
# What ends an installment without money has not been paid.
PAYING = "('paid', 'waived', 'rebated', 'capped')"
# 95 % of a normal distribution lies within so many standard deviations.
Z = "1.959964"

_POINT = """point AS (
    SELECT * FROM unnest(%(vintage_days)s::int[]) WITH ORDINALITY AS point(days, place)
)"""
# `reached`: place of the last age that the loan has come to.
_GROWN = """grown AS (
    SELECT lent.loan_id, lent.currency, lent.lent, date_trunc(%(step)s, lent.disbursed_on)::date AS cohort,
           first_plan.last_due_on,
           width_bucket(%(on)s::date - first_plan.last_due_on, %(vintage_days)s::int[]) AS reached
      FROM lent JOIN first_plan ON first_plan.loan_id = lent.loan_id
     WHERE lent.disbursed_on > %(on)s::date - %(cohort_days)s AND first_plan.last_due_on <= %(on)s
)"""
# What counts from one age on, until the last one reached: a loan from the first age, money from that when it came.
_COUNTING = """counting AS (
    SELECT grown.currency, grown.cohort, 1 AS since, grown.reached, count(*) AS loans, sum(grown.lent) AS lent,
           sum(grown.lent) AS unpaid
      FROM grown GROUP BY grown.currency, grown.cohort, grown.reached
     UNION ALL
    SELECT grown.currency, grown.cohort,
           width_bucket(cover.covered_on - grown.last_due_on - 1, %(vintage_days)s::int[]) + 1 AS since,
           grown.reached, 0, 0, -sum(cover.principal)
      FROM grown JOIN cover ON cover.loan_id = grown.loan_id
     WHERE cover.kind IN ('paid', 'recovered')
     GROUP BY grown.currency, grown.cohort, since, grown.reached
)"""
_UNPAID = "sum(counting.unpaid)"


def _vintage_parameters(on: date, *, step: str, cohort_days: int) -> dict[str, Any]:
    return {"step": step, "vintage_days": list(VINTAGE_DAYS), "cohort_days": cohort_days}


def _vintage(name: str, step: str, starts: str, cohort_days: int) -> Report:
    return Report(
        name=name,
        title=f"Vintages by {step}",
        words="Principal still unpaid so many days after the last due date of the plan that the borrower agreed"
        f" to, by {step} of payout. A loan counts at an age once it has reached it; write-offs stay unpaid,"
        f" recoveries are paid. {PAID_BY_NEW_LOAN} Loans paid out in the last {cohort_days} days.",
        columns=(
            Column("currency", Unit.TEXT, "ISO code of the currency", "counting.currency"),
            Column("cohort", Unit.DATE, f"first day of the {step} of payout, {starts}", "counting.cohort"),
            Column("days_since_due", Unit.DAYS, "days after the last due date", "point.days"),
            Column("loans", Unit.COUNT, "loans that have reached this age", "sum(counting.loans)"),
            Column("principal_cents", Unit.CENTS, "principal lent of these loans", "sum(counting.lent)"),
            Column("unpaid_cents", Unit.CENTS, "what of it was unpaid at this age", _UNPAID),
            Column("unpaid_share", Unit.SHARE, "unpaid / principal lent", share(_UNPAID, "sum(counting.lent)")),
        ),
        facts=(_POINT, _GROWN, _COUNTING),
        source="FROM counting JOIN point ON point.place BETWEEN counting.since AND counting.reached"
        " GROUP BY counting.currency, counting.cohort, point.days"
        " ORDER BY counting.currency, counting.cohort, point.days",
        parameters=partial(_vintage_parameters, step=step, cohort_days=cohort_days),
    )


VINTAGE_WEEKS = _vintage("vintage_weeks", "week", "a Monday", 365)
VINTAGE_MONTHS = _vintage("vintage_months", "month", "its first", 730)

_FIRST_ITEM = """first_item AS (
    SELECT item.item_id, item.loan_id, item.due_on, item.total
      FROM item JOIN first_plan ON first_plan.loan_id = item.loan_id AND first_plan.first_due_on = item.due_on
     WHERE item.source = 'plan'
)"""
_FIRST_PAYMENT = f"""first_payment AS (
    SELECT lent.disbursed_on, coalesce(nullif(decision.model_version, ''), 'none') AS model_version,
           first_item.due_on + 7 <= %(on)s AS at_7, first_item.due_on + 30 <= %(on)s AS at_30,
           sum(first_item.total) > coalesce(sum(paid_by.day_7), 0) AS missed_7,
           sum(first_item.total) > coalesce(sum(paid_by.day_30), 0) AS missed_30
      FROM first_item
      JOIN lent ON lent.loan_id = first_item.loan_id
      LEFT JOIN lending_decision decision ON decision.application_id = lent.application_id
      LEFT JOIN (
           SELECT cover.item_id,
                  sum(cover.total) FILTER (WHERE cover.covered_on <= first_item.due_on + 7) AS day_7,
                  sum(cover.total) FILTER (WHERE cover.covered_on <= first_item.due_on + 30) AS day_30
             FROM cover JOIN first_item ON first_item.item_id = cover.item_id
            WHERE cover.kind IN {PAYING}
            GROUP BY cover.item_id
           ) paid_by ON paid_by.item_id = first_item.item_id
     GROUP BY lent.loan_id, lent.disbursed_on, decision.model_version, first_item.due_on
)"""  # noqa: S608


def _interval(missed: str, loans: str, sign: str) -> str:
    """Return the SQL of one end of Wilson's 95 % interval of a share.

    Source: E. B. Wilson, Probable inference, the law of succession, and statistical inference, 1927.
    """
    square = f"({Z} * {Z})"
    spread = f"{Z} * sqrt({missed}::numeric * ({loans} - {missed}) / nullif({loans}, 0) + {square} / 4)"
    return f"({missed} + {square} / 2 {sign} {spread}) / ({loans} + {square})"


def _missed(days: int) -> tuple[Column, ...]:
    loans = f"count(*) FILTER (WHERE first_payment.at_{days})"
    missed = f"count(*) FILTER (WHERE first_payment.at_{days} AND first_payment.missed_{days})"
    return (
        Column(f"loans_{days}", Unit.COUNT, f"loans whose first due date is {days} days ago or more", loans),
        Column(
            f"missed_{days}", Unit.COUNT, f"of these, first installment not paid in full {days} days on", missed
        ),
        Column(f"fpd_{days}", Unit.SHARE, "missed / loans", share(missed, loans)),
        Column(f"fpd_{days}_low", Unit.SHARE, "lower end of its 95 % interval", _interval(missed, loans, "-")),
        Column(f"fpd_{days}_high", Unit.SHARE, "upper end of its 95 % interval", _interval(missed, loans, "+")),
    )


FIRST_PAYMENT_DEFAULT = Report(
    name="first_payment_default",
    title="First-payment default",
    words="FPD-n: loans whose first installment still owed something at the end of the n-th day after its due date"
    " / loans whose first due date is n days ago or more. A rescheduled installment was not paid."
    f" {PAID_BY_NEW_LOAN} By month of payout and by the model that decided.",
    columns=(
        Column(
            "cohort",
            Unit.DATE,
            "first day of the month of payout",
            "date_trunc('month', first_payment.disbursed_on)",
        ),
        Column(
            "model_version",
            Unit.TEXT,
            "model that scored the application; none: it was not scored",
            "first_payment.model_version",
        ),
        *_missed(7),
        *_missed(30),
    ),
    facts=(_FIRST_ITEM, _FIRST_PAYMENT),
    source="FROM first_payment WHERE first_payment.at_7 GROUP BY 1, 2 ORDER BY 1, 2",
)
