"""Which parts of loans fall due on a day and are unpaid, over all loans at once and of one loan."""

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import Any

from django.db import connection

from lending.models import Installment, LateReason, Loan
from lending.rules.reminders import FIRM, HARDSHIP_RESTS_DAYS, LADDER, step_of
from lending.selectors import loans

# Penalties fall every so many days; nobody is reminded of each.
PARTS = (Installment.Source.PLAN, Installment.Source.CHARGE)

_TOTAL = "{0}.principal_cents + {0}.interest_cents + {0}.fee_cents + {0}.tax_cents + {0}.penalty_cents"

# Whom nobody presses: who earns nothing any more or has died, who is on hold, who promised a day that is still to
# come, and who waits for an officer's answer.
MAY_BE_PRESSED = """
    loan.state = 'live' AND loan.stopped_on IS NULL AND borrower.state <> 'deceased' AND borrower.hold = ''
    AND NOT EXISTS (
        SELECT FROM lending_promise promise
         WHERE promise.loan_id = loan.id AND promise.state = 'open' AND promise.promised_on >= %(today)s
    )
    AND NOT EXISTS (
        SELECT FROM lending_case waits
         WHERE waits.closed_at IS NULL
           AND (waits.kind = 'dispute' AND waits.subject_key = 'loan:' || loan.id
                OR waits.kind = 'complaint' AND waits.borrower_id = loan.borrower_id)
    )
"""

# One part for each loan, the oldest: whoever owes several would otherwise be written to for each of them. What is
# late is the business of its oldest part: the others are announced, and then wait for it.
UNPAID_ON = f"""
    SELECT DISTINCT ON (loan.id) loan.id, loan.borrower_id, item.due_on
      FROM lending_installment item
      JOIN lending_loan loan ON loan.id = item.loan_id
      JOIN lending_borrower borrower ON borrower.id = loan.borrower_id
      LEFT JOIN (
           SELECT installment_id, sum({_TOTAL.format("lending_allocation")}) AS cents
             FROM lending_allocation
            WHERE installment_id IN (SELECT id FROM lending_installment WHERE due_on = ANY(%(days)s))
            GROUP BY installment_id
      ) covered ON covered.installment_id = item.id
     WHERE item.due_on = ANY(%(days)s) AND item.source = ANY(%(parts)s)
       AND (%(loan)s::bigint IS NULL OR loan.id = %(loan)s)
       AND {_TOTAL.format("item")} > coalesce(covered.cents, 0)
       AND (item.due_on >= %(today)s OR NOT EXISTS (
           SELECT FROM lending_installment older
            WHERE older.loan_id = loan.id AND older.due_on < item.due_on AND older.source = ANY(%(parts)s)
              AND {_TOTAL.format("older")} > coalesce((
                  SELECT sum({_TOTAL.format("paid")})
                    FROM lending_allocation paid WHERE paid.installment_id = older.id
              ), 0)
       ))
       AND {MAY_BE_PRESSED}
       AND (item.due_on = ANY(%(firm)s) OR NOT EXISTS (
           SELECT FROM lending_latereason told
            WHERE told.loan_id = loan.id AND told.reason = ANY(%(hardship)s) AND told.told_on >= %(rests_since)s
       ))
     ORDER BY loan.id, item.due_on
"""  # noqa: S608

# The oldest such part of each loan that is late by so many days. `unpaid_since` may be the day of a penalty.
LATE = f"""
    SELECT loan.id, loan.borrower_id, oldest.due_on
      FROM lending_loan loan
      JOIN lending_borrower borrower ON borrower.id = loan.borrower_id
      JOIN LATERAL (
           SELECT min(item.due_on) AS due_on FROM lending_installment item
            WHERE item.loan_id = loan.id AND item.source = ANY(%(parts)s)
              AND {_TOTAL.format("item")} > coalesce((
                  SELECT sum({_TOTAL.format("paid")})
                    FROM lending_allocation paid WHERE paid.installment_id = item.id
              ), 0)
      ) oldest ON oldest.due_on BETWEEN %(since)s AND %(until)s
     WHERE loan.unpaid_since <= %(until)s AND {MAY_BE_PRESSED}
     ORDER BY loan.id
"""  # noqa: S608


def unpaid_on(days: Sequence[date], today: date, loan: Loan | None = None) -> Iterator[tuple[int, int, date]]:
    """Yield the live loans, or the one, of which a part that fell, or falls, due on one of the days is unpaid and
    may be reminded of today, each with its borrower and the oldest such day.

    Left in peace are those that earn nothing any more, as after a death; those on whose number all stands still;
    those for which a promise waits for its day, or an officer's answer to a dispute or a complaint; and for some
    days those who told us a hardship, but for what is firm.
    """
    facts: dict[str, Any] = {
        "days": list(days),
        "firm": [day for day in days if step_of((today - day).days) in FIRM],
        "parts": list(PARTS),
        "today": today,
        "loan": loan.id if loan else None,
        "hardship": list(LateReason.HARDSHIP),
        "rests_since": today - timedelta(days=HARDSHIP_RESTS_DAYS),
    }
    return _rows(UNPAID_ON, facts)


def late(days: range, today: date) -> Iterator[tuple[int, int, date]]:
    """Yield the live loans that may be pressed and whose oldest unpaid part is late by so many days, each with its
    borrower and the day of that part."""
    since, until = today - timedelta(days=days[-1]), today - timedelta(days=days[0])
    return _rows(LATE, {"parts": list(PARTS), "today": today, "since": since, "until": until})


def _rows(statement: str, facts: dict[str, Any]) -> Iterator[tuple[int, int, date]]:
    with connection.chunked_cursor() as cursor:
        cursor.execute(statement, facts)
        while rows := cursor.fetchmany(5_000):
            yield from rows


def to_remind(today: date) -> Iterator[tuple[int, int, date]]:
    """Yield the loans that are on a rung of the ladder today, as `unpaid_on` does."""
    return unpaid_on([today - timedelta(days=days) for days in LADDER], today)


def may_remind(loan: Loan, due_on: date, today: date) -> bool:
    """Say whether a part of a loan may be reminded of today, asked as it is for all loans at once."""
    return any(unpaid_on([due_on], today, loan))


def part_due_on(loan: Loan, due_on: date) -> int:
    """Return the cents that are still unpaid of what falls due on a day, penalties left out."""
    return sum(due.total for item, due in loans.dues(loan) if item.due_on == due_on and item.source in PARTS)
