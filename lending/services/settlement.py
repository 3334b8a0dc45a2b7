"""When a loan is paid: it is closed, and its borrower moves on the ladder."""

from datetime import datetime

from django.conf import settings
from django.db.models import Max

from lending.models import Borrower, Loan
from lending.rules import calendar, limits
from lending.services import audit


def settle_if_paid(loan: Loan, at: datetime) -> None:
    """Close a loan that owes nothing and move its borrower on the ladder; inside the caller's transaction.

    It was settled by the last money by the operator's clock, in whichever order we were told. A loan that was
    written off stays so, and is no longer owed.
    """
    if loan.outstanding_cents or loan.settled_at or loan.state not in (Loan.State.LIVE, Loan.State.WRITTEN_OFF):
        return
    assert loan.due_on is not None
    loan.settled_at = loan.repayments.aggregate(last=Max("received_at"))["last"]
    assert loan.settled_at is not None
    settled_on = calendar.business_date(loan.settled_at, settings.TIME_ZONE)
    loan.worst_days_past_due = max(0, (settled_on - loan.due_on).days)
    loan.days_past_due = 0
    if loan.state == Loan.State.LIVE:
        loan.state = Loan.State.SETTLED
        assign_limit(loan.borrower, loan, at)
    loan.save(update_fields=["state", "settled_at", "days_past_due", "worst_days_past_due"])


def assign_limit(borrower: Borrower, settled: Loan, at: datetime) -> None:
    """Move the borrower one step on the visible ladder after a settled loan."""
    ladder = settled.product_version.ladder_cents
    rung = limits.next_rung(borrower.rung, settled.worst_days_past_due, top=len(ladder) - 1)
    Borrower.objects.filter(id=borrower.id).update(rung=rung, limit_cents=limits.limit_at(rung, ladder))
    if rung != borrower.rung:
        audit.record(
            "limit_moved",
            subject=f"borrower:{borrower.id}",
            borrower=borrower,
            at=at,
            rung_before=borrower.rung,
            rung=rung,
            days_late=settled.worst_days_past_due,
        )
