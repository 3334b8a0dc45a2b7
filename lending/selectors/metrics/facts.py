"""What every figure is counted from: loans, installments, and what covered them, each with its business date.

Named queries, used by all reports, say what is owed of each loan at the end of any day. Nothing in them reads a
stored balance, a stored state or a stored count of days, so a figure as of 30 June is right today, whatever was
backdated or reversed since. The day on which a loan was settled only keeps it from being counted after that day
to the same nothing. Amounts are integer cents. Source: docs/domain/metrics.md.

    asked(day)      the days asked about, from the parameter `days`, which is in order
    lent            loans that were paid out, with the dates on which something happened to them; `lent` is the
                    principal that is owed, `paid_out` what we sent in one sum: nothing of a credit line, whose
                    draws are sent one by one, and of a loan that was brought in
    item            what falls due: plan, charges, penalties; `born_on` is the day from which it exists
    cover           what covered an item: kind `paid`, `written_off`, or `recovered` after the write-off;
                    `by_receipt`: with money that came to us, and not to another system or from a new loan
    first_plan      per loan: due dates as the borrower first agreed to them; a change of plan does not move them
    change          what is added to an item and taken off it, each on its day
    owed            per item: what is owed of it from a day asked about on, named by its place, until before another
    stood           per day and loan: what is owed, and how late it is; only loans that owe something
    standing        of this, the days asked about
    currency(code)  the home currency and those of loans: a report on an empty portfolio has a row, too
    bucket          the ageing buckets

PostgreSQL evaluates only those of them that a statement names. Where many reports are counted at once, tables of
the same names hold what these queries say: see asking.py.
"""
# ruff: noqa: S608 - the statements are made of names declared here

from collections.abc import Collection, Iterable

from lending.rules.allocation import KINDS
from lending.rules.arrears import BUCKETS

_PARTS = ", ".join(f"part.{kind}_cents AS {kind}" for kind in KINDS)
_PARTS_TOTAL = " + ".join(f"part.{kind}_cents" for kind in KINDS)
_DUE_TOTAL = " + ".join(f"due.{kind}_cents" for kind in KINDS)
_BUCKETS = ", ".join(
    f"({place}, '{name}', {first}, {'NULL::int' if last is None else last})"
    for place, (name, first, last) in enumerate(BUCKETS)
)
_DAYS = "%(days)s::date[]"


def day_of(moment: str) -> str:
    """Return the SQL of a moment's business date."""
    return f"({moment} AT TIME ZONE %(zone)s)::date"


# Each may name those above it.
FACTS = {
    "asked(day)": f"SELECT unnest({_DAYS})",
    "lent": f"""
        SELECT loan.id AS loan_id, loan.borrower_id, loan.application_id, loan.reference, loan.currency,
               loan.principal_cents + loan.capitalised_cents AS lent,
               CASE WHEN loan.origin <> '' OR loan.credit_limit_cents IS NOT NULL THEN 0
                    ELSE loan.principal_cents - loan.deducted_cents - loan.refinanced_cents END AS paid_out,
               {day_of("loan.disbursed_at")} AS disbursed_on,
               {day_of("loan.written_off_at")} AS written_off_on, loan.written_off_at,
               {day_of("loan.settled_at")} AS settled_on, loan.restructured_on
          FROM lending_loan loan WHERE loan.disbursed_at IS NOT NULL
    """,
    "item": f"""
        SELECT due.id AS item_id, due.loan_id, due.source, coalesce(event.business_date, due.starts_on) AS born_on,
               due.due_on, lent.currency, lent.settled_on, due.principal_cents AS principal, {_DUE_TOTAL} AS total
          FROM lending_installment due JOIN lent ON lent.loan_id = due.loan_id
          LEFT JOIN lending_loanevent event ON event.key = due.event_key
    """,
    # Facts as they are stored. Whatever else covers an installment one day joins here, and nowhere else. What a
    # replay found not to be is covered from the beginning; money on a loan that was written off takes nothing off
    # it again.
    "cover": f"""
        SELECT item.item_id, item.loan_id, item.born_on, item.due_on, item.currency, item.settled_on,
               CASE WHEN part.kind = 'paid' AND event.happened_at > event.written_off_at THEN 'recovered'
                    ELSE part.kind END AS kind,
               CASE part.kind WHEN 'corrected' THEN '-infinity' ELSE part.business_date END AS covered_on,
               starts_with(part.event_key, 'receipt:') AS by_receipt,
               {_PARTS}, {_PARTS_TOTAL} AS total
          FROM lending_allocation part
          JOIN item ON item.item_id = part.installment_id
          LEFT JOIN (
               SELECT event.key, event.kind, event.happened_at, lent.written_off_at
                 FROM lending_loanevent event JOIN lent ON lent.loan_id = event.loan_id
                WHERE lent.written_off_at IS NOT NULL
               ) event ON event.key = part.event_key
         WHERE part.kind <> 'written_off' OR event.kind = 'write_off'
    """,
    "first_plan": """
        SELECT lent.loan_id, min(item.due_on) AS first_due_on, max(item.due_on) AS last_due_on
          FROM lent JOIN item ON item.loan_id = lent.loan_id
         WHERE item.source = 'plan' AND item.born_on = lent.disbursed_on
         GROUP BY lent.loan_id
    """,
    "change": f"""
        SELECT item_id, loan_id, due_on, born_on AS changed_on, principal, total FROM item
         WHERE settled_on IS NULL OR settled_on > ({_DAYS})[1]
         UNION ALL
        SELECT item_id, loan_id, due_on, greatest(covered_on, born_on), -principal, -total FROM cover
         WHERE kind <> 'recovered' AND (settled_on IS NULL OR settled_on > ({_DAYS})[1])
    """,
    # Of several changes between two days asked about, all but the last hold until their own place: for no day.
    "owed": f"""
        SELECT loan_id, due_on, place, lead(place, 1, cardinality({_DAYS}) + 1) OVER so_far AS until_place,
               (sum(principal) OVER so_far)::bigint AS principal, (sum(total) OVER so_far)::bigint AS total
          FROM (SELECT change.*, width_bucket(changed_on - 1, {_DAYS}) + 1 AS place FROM change) placed
        WINDOW so_far AS (PARTITION BY item_id ORDER BY place)
    """,
    "bucket(place, name, first_day, last_day)": f"VALUES {_BUCKETS}",
    "stood": f"""
        SELECT counted.*, lent.borrower_id, lent.currency, lent.disbursed_on, lent.restructured_on,
               bucket.place, bucket.name AS bucket
          FROM (
               SELECT day, loan_id, sum(principal)::bigint AS principal, sum(total)::bigint AS total,
                      coalesce(sum(total) FILTER (WHERE due_on < day), 0)::bigint AS overdue,
                      greatest(0, day - min(due_on) FILTER (WHERE total > 0)) AS days_past_due
                 FROM (
                      SELECT owed.*, unnest(({_DAYS})[place : until_place - 1]) AS day
                        FROM owed WHERE principal <> 0 OR total <> 0
                      ) owed
                GROUP BY day, loan_id HAVING sum(total) > 0
               ) counted
          JOIN lent ON lent.loan_id = counted.loan_id
          JOIN bucket ON counted.days_past_due >= bucket.first_day
                     AND (bucket.last_day IS NULL OR counted.days_past_due <= bucket.last_day)
    """,
    "standing": "SELECT stood.* FROM stood JOIN asked ON asked.day = stood.day",
    "currency(code)": "SELECT %(home)s AS code UNION SELECT currency FROM lent",
}


def statement(select: str, more: Iterable[str] = (), *, tables: Collection[str] = ()) -> str:
    """Return a statement over the facts, and over `more` named queries; facts in `tables` are there as tables."""
    named = [f"{name} AS ({query})" for name, query in FACTS.items() if name not in tables]
    return f"WITH {', '.join([*named, *more])} {select}"
