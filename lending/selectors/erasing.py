"""What stands in the way of forgetting somebody, and until when the law keeps what is left."""

from datetime import date, datetime

from django.conf import settings
from django.db.models import Max, Q

from lending.models import (
    Application,
    Erasure,
    GroupMember,
    Loan,
    PaymentAttempt,
    PaymentIntent,
    Proposal,
    Receipt,
    SavingsAccount,
    SavingsInstruction,
    SavingsMovement,
)
from lending.rules import calendar, retention
from lending.selectors import overpayments, products
from lending.selectors.limits import owing_cents


def obstacle(identity_index: str) -> str:
    """Return what has to end before a person can be forgotten, "" for nothing: undecided, loan, payment, kept
    (money of theirs is with us), savings, request (an officer is at it), group."""
    mine = Q(borrower__identity_index=identity_index)
    undecided = Application.objects.filter(
        mine, state__in=[Application.State.SUBMITTED, Application.State.REFERRED]
    )
    open_loans = Loan.objects.filter(
        identity_index=identity_index, state__in=[*Loan.OPEN, Loan.State.UNDRAWN, Loan.State.CHARGED_OFF]
    )
    accounts = SavingsAccount.objects.filter(mine)
    instructed = SavingsInstruction.objects.filter(account__in=accounts, state=SavingsInstruction.State.OPEN)
    checks = {
        "undecided": undecided.exists,
        "loan": lambda: open_loans.exists() or owing_cents(identity_index) > 0,
        "payment": PaymentIntent.objects.filter(
            mine | Q(payer__identity_index=identity_index), state=PaymentIntent.State.OPEN
        ).exists,
        "kept": lambda: bool(overpayments.kept(identity_index) or overpayments.open_refund(identity_index)),
        "savings": lambda: accounts.filter(balance_cents__gt=0).exists() or instructed.exists(),
        "request": Proposal.objects.filter(mine, state=Proposal.State.PENDING).exists,
        "group": GroupMember.objects.filter(identity_index=identity_index, left_at__isnull=True).exists,
    }
    return next((name for name, stands in checks.items() if stands()), "")


def asked_kept_until(borrower_id: int) -> date | None:
    """Return until when the records of somebody are kept who asked to be forgotten; None: nobody asked."""
    asked = Erasure.objects.filter(borrower_id=borrower_id).first()
    return asked.kept_until if asked else None


def kept_until(identity_index: str, at: datetime) -> date | None:
    """Return the day until which the law keeps the records of a person's money; None: there are none to keep."""
    on = calendar.business_date(at, settings.TIME_ZONE)
    law = products.country_rules(settings.COUNTRY, on).retention
    last = _last_record(identity_index)
    if last is None or law is None or law.records_years is None:
        return None
    until = retention.kept_until(calendar.business_date(last, settings.TIME_ZONE), law.records_years)
    return until if until > on else None


def _last_record(identity_index: str) -> datetime | None:
    """Return when money of a person last moved."""
    mine = Q(borrower__identity_index=identity_index)
    moments = [
        Loan.objects.filter(identity_index=identity_index).aggregate(at=Max("settled_at"))["at"],
        Loan.objects.filter(identity_index=identity_index).aggregate(at=Max("approved_at"))["at"],
        Receipt.objects.filter(mine).aggregate(at=Max("paid_at"))["at"],
        PaymentAttempt.objects.filter(intent__borrower__identity_index=identity_index).aggregate(
            at=Max("created_at")
        )["at"],
        SavingsMovement.objects.filter(account__borrower__identity_index=identity_index).aggregate(
            at=Max("moved_at")
        )["at"],
    ]
    return max((moment for moment in moments if moment), default=None)
