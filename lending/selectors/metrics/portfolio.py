"""What is lent, how late it is, and what of it is at risk, at the end of a day. Source: docs/domain/metrics.md."""

import re
from datetime import date
from typing import Any

from django.conf import settings
from django.db.models.expressions import RawSQL

from lending.selectors.metrics.asking import home_currency
from lending.selectors.metrics.facts import statement
from lending.selectors.metrics.months import year_before
from lending.selectors.metrics.report import Column, Report, Unit, share

PAR_DAYS = (0, 1, 7, 30, 60, 90)
YOUNG_DAYS = 14

CURRENCY = Column("currency", Unit.TEXT, "ISO code of the currency", "currency.code")

PORTFOLIO = Report(
    name="portfolio",
    title="Portfolio",
    words="What is lent and still owed. A loan counts from the business date of its payout until nothing is owed or"
    " it is written off.",
    columns=(
        CURRENCY,
        Column("live_loans", Unit.COUNT, "loans that owe something", "count(standing.loan_id)"),
        Column("borrowers", Unit.COUNT, "customers with such a loan", "count(DISTINCT standing.borrower_id)"),
        Column(
            "gross_portfolio_cents",
            Unit.CENTS,
            "principal outstanding of these loans",
            "coalesce(sum(standing.principal), 0)",
        ),
        Column(
            "outstanding_cents",
            Unit.CENTS,
            "principal, interest, fees, taxes and penalties outstanding, due or not",
            "coalesce(sum(standing.total), 0)",
        ),
        Column(
            "overdue_cents",
            Unit.CENTS,
            "the part of it whose due date is past",
            "coalesce(sum(standing.overdue), 0)",
        ),
        Column(
            "late_loans",
            Unit.COUNT,
            "loans late by a day or more",
            "count(standing.loan_id) FILTER (WHERE standing.days_past_due > 0)",
        ),
    ),
    source="FROM currency LEFT JOIN standing ON standing.currency = currency.code"
    " GROUP BY currency.code ORDER BY currency.code",
)

AGEING = Report(
    name="ageing",
    title="Ageing",
    words="The portfolio by days past due. Days count from the oldest due date with anything unpaid: 0 at the end"
    " of that day, 1 the next day; a part payment does not stop them. The whole loan stands in one bucket.",
    columns=(
        CURRENCY,
        Column("bucket", Unit.TEXT, "days past due", "bucket.name"),
        Column("loans", Unit.COUNT, "loans in the bucket", "count(standing.loan_id)"),
        Column(
            "principal_cents", Unit.CENTS, "their principal outstanding", "coalesce(sum(standing.principal), 0)"
        ),
        Column("overdue_cents", Unit.CENTS, "what of them is past due", "coalesce(sum(standing.overdue), 0)"),
        Column(
            "portfolio_share",
            Unit.SHARE,
            "their principal outstanding / gross portfolio",
            share(
                "coalesce(sum(standing.principal), 0)",
                "sum(sum(standing.principal)) OVER (PARTITION BY currency.code)",
            ),
        ),
    ),
    source="FROM currency CROSS JOIN bucket"
    " LEFT JOIN standing ON standing.currency = currency.code AND standing.place = bucket.place"
    " GROUP BY currency.code, bucket.place, bucket.name ORDER BY currency.code, bucket.place",
)

_AT_RISK = "coalesce(sum(stage.principal) FILTER (WHERE stage.days_past_due > threshold.days), 0)"
_WITH_RESTRUCTURED = (
    "coalesce(sum(stage.principal) FILTER (WHERE stage.days_past_due > threshold.days OR stage.is_restructured), 0)"
)
_GROSS = "coalesce(sum(stage.principal), 0)"
_OLD_AT_RISK = (
    "coalesce(sum(stage.principal) FILTER (WHERE stage.days_past_due > threshold.days AND NOT stage.is_young), 0)"
)
_OLD_GROSS = "coalesce(sum(stage.principal) FILTER (WHERE NOT stage.is_young), 0)"
_LOST = "coalesce(max(lost.principal), 0)"


def _par_parameters(on: date) -> dict[str, Any]:
    return {"par_days": list(PAR_DAYS), "young_days": YOUNG_DAYS, "lost_after": year_before(on)}


PAR = Report(
    name="par",
    title="Portfolio at risk",
    words="PAR-n: whole principal outstanding of loans more than n days past due / gross portfolio. One figure"
    " alone is easily made to look good, so each has three twins.",
    columns=(
        CURRENCY,
        Column("more_than_days", Unit.DAYS, "n: days past due, more than", "threshold.days"),
        Column("at_risk_cents", Unit.CENTS, "principal outstanding of loans more than n days past due", _AT_RISK),
        Column("gross_portfolio_cents", Unit.CENTS, "principal outstanding of all loans", _GROSS),
        Column("par", Unit.SHARE, "at risk / gross portfolio", share(_AT_RISK, _GROSS)),
        Column(
            "par_with_restructured",
            Unit.SHARE,
            "restructured loans counted as at risk, however late: a new plan does not make a loan good",
            share(_WITH_RESTRUCTURED, _GROSS),
        ),
        Column(
            "par_with_write_offs",
            Unit.SHARE,
            "principal written off in the 12 months until the day added above and below the line:"
            " a write-off does not make a portfolio good",
            share(f"{_AT_RISK} + {_LOST}", f"{_GROSS} + {_LOST}"),
        ),
        Column(
            "par_without_young",
            Unit.SHARE,
            f"loans paid out less than {YOUNG_DAYS} days before left out above and below the line:"
            " growth does not make a portfolio good",
            share(_OLD_AT_RISK, _OLD_GROSS),
        ),
    ),
    facts=(
        "threshold AS (SELECT unnest(%(par_days)s::int[]) AS days)",
        """stage AS (
            SELECT standing.currency, standing.days_past_due,
                   coalesce(standing.restructured_on <= %(on)s, false) AS is_restructured,
                   standing.disbursed_on > %(on)s::date - %(young_days)s AS is_young,
                   sum(standing.principal) AS principal
              FROM standing GROUP BY 1, 2, 3, 4
        )""",
        """lost AS (
            SELECT cover.currency, sum(cover.principal) AS principal
              FROM cover
             WHERE cover.kind = 'written_off'
               AND cover.covered_on > %(lost_after)s AND cover.covered_on <= %(on)s
             GROUP BY cover.currency
        )""",
    ),
    source="FROM currency CROSS JOIN threshold"
    " LEFT JOIN stage ON stage.currency = currency.code LEFT JOIN lost ON lost.currency = currency.code"
    " GROUP BY currency.code, threshold.days ORDER BY currency.code, threshold.days",
    parameters=_par_parameters,
)

_LATE = statement("SELECT standing.loan_id FROM standing WHERE standing.days_past_due > %(more_than)s")


def loans_late_by(more_than_days: int, on: date) -> RawSQL:
    """Return the ids of the loans behind PAR-n, as a query within a query: Django's own names no parameters."""
    given = {"zone": settings.TIME_ZONE, "home": home_currency(on), "days": [on], "more_than": more_than_days}
    used = re.findall(r"%\((\w+)\)s", _LATE)
    return RawSQL(re.sub(r"%\(\w+\)s", "%s", _LATE), [given[name] for name in used])  # noqa: S611
