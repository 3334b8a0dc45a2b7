"""Money over the last twelve calendar months: what fell due, came in, went out and was lost.

Source: docs/domain/metrics.md.
"""

from datetime import date, timedelta
from typing import Any

from lending.selectors.metrics.facts import day_of
from lending.selectors.metrics.months import calendar_months
from lending.selectors.metrics.report import PAID_BY_NEW_LOAN, Column, Report, Unit, share

MONTHS = 12

_MONTH = """month AS (
    SELECT * FROM unnest(%(firsts)s::date[], %(lasts)s::date[]) AS month(first_day, last_day)
)"""
_EVERY_MONTH = "FROM currency CROSS JOIN month"
_BY_MONTH = "ORDER BY currency.code, month.first_day"
CURRENCY = Column("currency", Unit.TEXT, "ISO code of the currency", "currency.code")
MONTH = Column("month", Unit.DATE, "first day of the month; the last one ends with the day", "month.first_day")


def _months(on: date) -> dict[str, Any]:
    firsts, lasts = zip(*calendar_months(on, MONTHS), strict=True)
    return {"firsts": list(firsts), "lasts": list(lasts)}


def _ends(on: date) -> list[date]:
    """Return the day before the first month and the last one of each."""
    months = calendar_months(on, MONTHS)
    return [months[0][0] - timedelta(days=1), *(last for _, last in months)]


_FELL_DUE = """fell_due AS (
    SELECT due.currency, date_trunc('month', due.due_on)::date AS first_day, sum(due.total) AS total,
           sum(due.in_time) AS in_time, sum(due.paid) AS paid
      FROM (
           SELECT currency, due_on, total, 0 AS in_time, 0 AS paid FROM item
            WHERE born_on <= %(on)s AND due_on <= %(on)s
            UNION ALL
           SELECT currency, due_on,
                  CASE WHEN kind IN ('waived', 'moved', 'capped', 'rebated') THEN -total ELSE 0 END,
                  CASE WHEN kind = 'paid' AND covered_on <= due_on THEN total ELSE 0 END,
                  CASE WHEN kind IN ('paid', 'recovered') THEN total ELSE 0 END
             FROM cover WHERE born_on <= %(on)s AND due_on <= %(on)s AND covered_on <= %(on)s
           ) due
     GROUP BY due.currency, date_trunc('month', due.due_on)
)"""
_DUE, _IN_TIME, _PAID = (f"coalesce(fell_due.{name}, 0)" for name in ("total", "in_time", "paid"))

COLLECTIONS = Report(
    name="collections",
    title="Collections efficiency",
    words="What fell due in a month and what of it was paid, until the day of the report. Money that comes late"
    " counts for the month in which it was due; what was written off stays due."
    f" {PAID_BY_NEW_LOAN}",
    columns=(
        CURRENCY,
        MONTH,
        Column("due_cents", Unit.CENTS, "fell due in the month, less what was waived, rebated or moved", _DUE),
        Column("in_time_cents", Unit.CENTS, "paid of it until its due date", _IN_TIME),
        Column("paid_cents", Unit.CENTS, "paid of it until the day", _PAID),
        Column("in_time_share", Unit.SHARE, "paid in time / due", share(_IN_TIME, _DUE)),
        Column("efficiency", Unit.SHARE, "paid / due", share(_PAID, _DUE)),
    ),
    facts=(_MONTH, _FELL_DUE),
    source=f"{_EVERY_MONTH}"
    " LEFT JOIN fell_due ON fell_due.currency = currency.code AND fell_due.first_day = month.first_day"
    f" {_BY_MONTH}",
    parameters=_months,
)

_LOSSES = """losses AS (
    SELECT cover.currency, month.first_day,
           count(DISTINCT cover.loan_id) FILTER (WHERE cover.kind = 'written_off') AS loans,
           sum(cover.principal) FILTER (WHERE cover.kind = 'written_off') AS principal,
           sum(cover.total) FILTER (WHERE cover.kind = 'written_off') AS total,
           sum(cover.principal) FILTER (WHERE cover.kind = 'recovered') AS recovered_principal,
           sum(cover.total) FILTER (WHERE cover.kind = 'recovered') AS recovered
      FROM cover JOIN month ON cover.covered_on BETWEEN month.first_day AND month.last_day
     WHERE cover.kind IN ('written_off', 'recovered')
     GROUP BY cover.currency, month.first_day
)"""
_GROSS = """gross AS (
    SELECT standing.day, standing.currency, sum(standing.principal) AS principal
      FROM standing GROUP BY standing.day, standing.currency
)"""
_LOST = "coalesce(losses.principal, 0)"

WRITE_OFFS = Report(
    name="write_offs",
    title="Write-offs and recoveries",
    words="What was given up and what of it came back after all. A recovery is money on a loan that was written off"
    " before; it counts in the month in which it came.",
    columns=(
        CURRENCY,
        MONTH,
        Column("loans", Unit.COUNT, "loans written off", "coalesce(losses.loans, 0)"),
        Column("principal_cents", Unit.CENTS, "their principal outstanding then", _LOST),
        Column("written_off_cents", Unit.CENTS, "all that they owed then", "coalesce(losses.total, 0)"),
        Column("recovered_cents", Unit.CENTS, "recovered, of all kinds", "coalesce(losses.recovered, 0)"),
        Column(
            "recovered_principal_cents",
            Unit.CENTS,
            "principal in it",
            "coalesce(losses.recovered_principal, 0)",
        ),
        Column(
            "average_portfolio_cents",
            Unit.CENTS,
            "mean of the gross portfolio before the month and at its end, down to a cent",
            "floor((coalesce(before.principal, 0) + coalesce(after.principal, 0)) / 2)",
        ),
        Column(
            "write_off_ratio",
            Unit.SHARE,
            "principal written off / average gross portfolio",
            share(_LOST, "(coalesce(before.principal, 0) + coalesce(after.principal, 0)) / 2"),
        ),
    ),
    facts=(_MONTH, _LOSSES, _GROSS),
    source=f"{_EVERY_MONTH}"
    " LEFT JOIN losses ON losses.currency = currency.code AND losses.first_day = month.first_day"
    " LEFT JOIN gross before ON before.currency = currency.code AND before.day = month.first_day - 1"
    " LEFT JOIN gross after ON after.currency = currency.code AND after.day = month.last_day"
    f" {_BY_MONTH}",
    days=_ends,
    parameters=_months,
)

_MONEY = f"""money AS (
    SELECT lent.currency, lent.disbursed_on AS moved_on, lent.paid_out, 0 AS received, 0 AS refunded,
           0 AS principal, 0 AS interest, 0 AS fee, 0 AS tax, 0 AS penalty, 0 AS recovered
      FROM lent
    UNION ALL
    SELECT loan.currency, {day_of("draw.paid_out_at")}, draw.principal_cents - draw.deducted_cents,
           0, 0, 0, 0, 0, 0, 0, 0
      FROM lending_draw draw JOIN lending_loan loan ON loan.id = draw.loan_id WHERE draw.state = 'paid_out'
    UNION ALL
    SELECT receipt.currency, {day_of("receipt.paid_at")}, 0, receipt.amount_cents, 0, 0, 0, 0, 0, 0, 0
      FROM lending_receipt receipt
     WHERE NOT EXISTS (SELECT FROM lending_savingsinstruction WHERE receipt_id = receipt.id AND state <> 'rejected')
    UNION ALL
    SELECT receipt.currency, {day_of("receipt.reversed_at")}, 0, -receipt.amount_cents, 0, 0, 0, 0, 0, 0, 0
      FROM lending_receipt receipt WHERE receipt.reversed_at IS NOT NULL
    UNION ALL
    SELECT refund.currency, {day_of("refund.given_at")}, 0, 0, refund.amount_cents, 0, 0, 0, 0, 0, 0
      FROM lending_refund refund WHERE refund.state = 'succeeded' AND refund.way <> 'rounded'
    UNION ALL
    SELECT currency, covered_on, 0, 0, 0, principal, interest, fee, tax, penalty,
           CASE WHEN kind = 'recovered' THEN total ELSE 0 END
      FROM cover WHERE kind IN ('paid', 'recovered') AND by_receipt
)"""  # noqa: S608
_MOVED = ("paid_out", "received", "refunded", "principal", "interest", "fee", "tax", "penalty", "recovered")
_BY_MONTH_MOVED = f"""moved AS (
    SELECT currency, date_trunc('month', moved_on)::date AS first_day,
           {", ".join(f"sum({name}) AS {name}" for name in _MOVED)}
      FROM money WHERE moved_on <= %(on)s GROUP BY currency, date_trunc('month', moved_on)
)"""  # noqa: S608


def _cents(*names: str) -> str:
    return f"coalesce({' + '.join(f'moved.{name}' for name in names)}, 0)"


_ALLOCATED = _cents("principal", "interest", "fee", "tax", "penalty")

CASH_FLOW = Report(
    name="cash_flow",
    title="Cash flow",
    words="Money of ours that moved, by the operator's clock. Savings lie with a partner and are not part of it. A"
    " fee that is deducted lowers what is paid out, and what a new loan pays off of an old one does so, too: it is"
    " in no other column. What moved in another system before a loan was brought in is in none at all.",
    columns=(
        CURRENCY,
        MONTH,
        Column("paid_out_cents", Unit.CENTS, "what reached the customers of their loans", _cents("paid_out")),
        Column(
            "received_cents",
            Unit.CENTS,
            "money received from anybody, less what operators took back",
            _cents("received"),
        ),
        *(
            Column(f"{kind}_cents", Unit.CENTS, f"of this, {word} repaid", _cents(kind))
            for kind, word in (
                ("principal", "principal"),
                ("interest", "interest"),
                ("fee", "fees"),
                ("tax", "taxes on fees"),
                ("penalty", "penalties"),
            )
        ),
        Column("recovered_cents", Unit.CENTS, "of these five, on loans written off before", _cents("recovered")),
        Column(
            "kept_cents",
            Unit.CENTS,
            "received and not for a loan: more than was owed, or in suspense; below zero when money kept before"
            " went to a loan",
            f"{_cents('received')} - {_ALLOCATED}",
        ),
        Column(
            "refunded_cents", Unit.CENTS, "overpayments given back, to wallets and into savings", _cents("refunded")
        ),
        Column(
            "net_cents",
            Unit.CENTS,
            "received less paid out less given back",
            f"{_cents('received')} - {_cents('paid_out')} - {_cents('refunded')}",
        ),
    ),
    facts=(_MONTH, _MONEY, _BY_MONTH_MOVED),
    source=f"{_EVERY_MONTH}"
    " LEFT JOIN moved ON moved.currency = currency.code AND moved.first_day = month.first_day"
    f" {_BY_MONTH}",
    parameters=_months,
)
