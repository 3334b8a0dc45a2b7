"""When a loan is paid: it is closed, and its borrower moves on the ladder."""

from datetime import datetime

from django.conf import settings
from django.db.models import Max

from lending.models import Loan
from lending.rules import calendar
from lending.services.limits import assign_limit


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
