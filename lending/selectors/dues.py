"""Which parts of loans fall due on a day and are unpaid, over all loans at once and of one loan."""

from collections.abc import Iterator, Sequence
from datetime import date

from django.db import connection

from lending.models import Installment, Loan
from lending.selectors import loans

# Penalties fall every so many days; nobody is reminded of each.
PARTS = (Installment.Source.PLAN, Installment.Source.CHARGE)

# One part for each loan, the oldest: whoever owes several would otherwise be written to for each of them.
UNPAID_ON = """
    SELECT DISTINCT ON (loan.id) loan.id, loan.borrower_id, item.due_on
      FROM lending_installment item
      JOIN lending_loan loan ON loan.id = item.loan_id
      JOIN lending_borrower borrower ON borrower.id = loan.borrower_id
      LEFT JOIN (
           SELECT installment_id,
                  sum(principal_cents + interest_cents + fee_cents + tax_cents + penalty_cents) AS cents
             FROM lending_allocation
            WHERE installment_id IN (SELECT id FROM lending_installment WHERE due_on = ANY(%(days)s))
            GROUP BY installment_id
      ) covered ON covered.installment_id = item.id
     WHERE item.due_on = ANY(%(days)s) AND item.source = ANY(%(parts)s)
       AND loan.state = 'live' AND loan.stopped_on IS NULL AND borrower.state <> 'deceased'
       AND NOT EXISTS (
           SELECT FROM lending_promise promise
            WHERE promise.loan_id = loan.id AND promise.state = 'open' AND promise.promised_on >= %(today)s
       )
       AND item.principal_cents + item.interest_cents + item.fee_cents + item.tax_cents + item.penalty_cents
           > coalesce(covered.cents, 0)
     ORDER BY loan.id, item.due_on
"""


def unpaid_on(days: Sequence[date], today: date) -> Iterator[tuple[int, int, date]]:
    """Yield the live loans of which a part that fell, or falls, due on one of the days is unpaid, each with its
    borrower and the oldest such day. One that earns nothing any more, as after a death, is left in peace, and one
    for which a promise waits for its day."""
    with connection.chunked_cursor() as cursor:
        cursor.execute(UNPAID_ON, {"days": list(days), "parts": list(PARTS), "today": today})
        while rows := cursor.fetchmany(5_000):
            yield from rows


def part_due_on(loan: Loan, due_on: date) -> int:
    """Return the cents that are still unpaid of what falls due on a day, penalties left out."""
    return sum(due.total for item, due in loans.dues(loan) if item.due_on == due_on and item.source in PARTS)
