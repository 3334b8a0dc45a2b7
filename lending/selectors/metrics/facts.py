"""What every figure is counted from: loans, installments, and what covered them, each with its business date.

One fragment of SQL, used by all reports, says what is owed of each installment at the end of any day. Nothing in
it reads a stored balance, a stored state or a stored count of days, so a figure as of 30 June is right today,
whatever was backdated or reversed since. The day on which a loan was settled only keeps it from being counted
after that day to the same nothing. Amounts are integer cents. Source: docs/domain/metrics.md.

    asked(day)      the days asked about, from the parameter `days`
    currency(code)  the home currency and those of loans: a report on an empty portfolio has a row, too
    lent            loans that were paid out, with the dates on which something happened to them
    item            what falls due: plan, charges, penalties; `born_on` is the day from which it exists
    cover           what covered an item: kind `paid`, `written_off`, or `recovered` after the write-off
    owed            per day and item: the item less its covers until the end of that day
    standing        per day and loan: what is owed, and how late it is; only loans that owe something
    bucket          the ageing buckets

PostgreSQL evaluates only those of them that a report names.
"""

from lending.rules.allocation import KINDS
from lending.rules.arrears import BUCKETS

AMOUNTS = (*KINDS, "total")

_AS_PAID = ", ".join(f"part.{kind}_cents AS {kind}" for kind in KINDS)
_PAID_TOTAL = " + ".join(f"part.{kind}_cents" for kind in KINDS)
_AS_DUE = ", ".join(f"due.{kind}_cents AS {kind}" for kind in KINDS)
_DUE_TOTAL = " + ".join(f"due.{kind}_cents" for kind in KINDS)
_OWED = ", ".join(f"item.{amount} - coalesce(sum(cover.{amount}), 0) AS {amount}" for amount in AMOUNTS)
_ITEM = ", ".join(f"item.{column}" for column in ("item_id", "loan_id", "due_on", *AMOUNTS))
_STANDING = ", ".join(f"sum(owed.{amount}) AS {amount}" for amount in AMOUNTS)
_BUCKETS = ", ".join(
    f"({place}, '{name}', {first}, {'NULL::int' if last is None else last})"
    for place, (name, first, last) in enumerate(BUCKETS)
)


def day_of(moment: str) -> str:
    """Return the SQL of a moment's business date."""
    return f"({moment} AT TIME ZONE %(zone)s)::date"


# Facts as they are stored. Whatever else covers an installment one day joins here, and nowhere else. What a replay
# found not to be is covered from the beginning; money on a loan that was written off takes nothing off it again.
STORED = f"""
    lent AS (
        SELECT loan.id AS loan_id, loan.borrower_id, loan.application_id, loan.reference, loan.currency,
               loan.principal_cents + loan.capitalised_cents AS lent, {day_of("loan.disbursed_at")} AS disbursed_on,
               {day_of("loan.written_off_at")} AS written_off_on, loan.written_off_at,
               {day_of("loan.settled_at")} AS settled_on, loan.restructured_on
          FROM lending_loan loan WHERE loan.disbursed_at IS NOT NULL
    ),
    item AS (
        SELECT due.id AS item_id, due.loan_id, due.source, coalesce(event.business_date, due.starts_on) AS born_on,
               due.due_on, lent.settled_on, {_AS_DUE}, {_DUE_TOTAL} AS total
          FROM lending_installment due JOIN lent ON lent.loan_id = due.loan_id
          LEFT JOIN lending_loanevent event ON event.key = due.event_key
    ),
    cover AS (
        SELECT part.installment_id AS item_id, lent.loan_id,
               CASE WHEN part.kind = 'paid' AND event.happened_at > lent.written_off_at THEN 'recovered'
                    ELSE part.kind END AS kind,
               CASE part.kind WHEN 'corrected' THEN '-infinity' ELSE part.business_date END AS covered_on,
               {_AS_PAID}, {_PAID_TOTAL} AS total
          FROM lending_allocation part
          JOIN lending_installment due ON due.id = part.installment_id
          JOIN lent ON lent.loan_id = due.loan_id
          LEFT JOIN lending_loanevent event ON event.key = part.event_key
         WHERE part.kind <> 'written_off' OR event.kind = 'write_off'
    )
"""  # noqa: S608 - made of names declared above

FACTS = f"""
    asked AS (SELECT unnest(%(days)s::date[]) AS day),
    {STORED},
    currency AS (SELECT %(home)s AS code UNION SELECT currency FROM lent),
    owed AS (
        SELECT asked.day, item.item_id, item.loan_id, item.due_on, {_OWED}
          FROM asked
          JOIN item ON item.born_on <= asked.day AND (item.settled_on IS NULL OR item.settled_on > asked.day)
          LEFT JOIN cover ON cover.item_id = item.item_id AND cover.covered_on <= asked.day
                         AND cover.kind <> 'recovered'
         GROUP BY asked.day, {_ITEM}
    ),
    bucket(place, name, first_day, last_day) AS (VALUES {_BUCKETS}),
    standing AS (
        SELECT counted.*, lent.borrower_id, lent.currency, lent.disbursed_on, lent.restructured_on,
               bucket.place, bucket.name AS bucket
          FROM (
               SELECT owed.day, owed.loan_id, {_STANDING},
                      coalesce(sum(owed.total) FILTER (WHERE owed.due_on < owed.day), 0) AS overdue,
                      count(*) FILTER (WHERE owed.due_on < owed.day AND owed.total > 0) AS items_overdue,
                      min(owed.due_on) FILTER (WHERE owed.total > 0) AS unpaid_since,
                      greatest(0, owed.day - min(owed.due_on) FILTER (WHERE owed.total > 0)) AS days_past_due
                 FROM owed GROUP BY owed.day, owed.loan_id HAVING sum(owed.total) > 0
               ) counted
          JOIN lent ON lent.loan_id = counted.loan_id
          JOIN bucket ON counted.days_past_due >= bucket.first_day
                     AND (bucket.last_day IS NULL OR counted.days_past_due <= bucket.last_day)
    )
"""  # noqa: S608


# Due dates as the borrower first agreed to them: a change of plan does not move them.
FIRST_PLAN = """
    first_plan AS (
        SELECT lent.loan_id, min(item.due_on) AS first_due_on, max(item.due_on) AS last_due_on
          FROM lent JOIN item ON item.loan_id = lent.loan_id
         WHERE item.source = 'plan' AND item.born_on = lent.disbursed_on
         GROUP BY lent.loan_id
    )
"""
