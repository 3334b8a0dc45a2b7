"""Figures about all loans and all work: each is defined once, and the list behind it uses the same definition."""

from dataclasses import dataclass
from datetime import date, timedelta

from django.conf import settings
from django.db.models import Q, QuerySet, Sum

from lending.models import Allocation, Application, Case, Loan, PaymentAttempt, PaymentIntent, Receipt
from lending.rules import calendar

WAITING_APPLICATIONS = Q(state=Application.State.REFERRED)
OPEN_CASES = Q(closed_at__isnull=True)
SUSPENSE = Q(state=Receipt.State.SUSPENSE)
LIVE_LOANS = Q(state=Loan.State.LIVE)
# Sent, and nobody knows for certain whether the money arrived.
UNKNOWN_PAYOUTS = Q(
    intent__purpose=PaymentIntent.Purpose.DISBURSE,
    state__in=[
        PaymentAttempt.State.SUBMITTING,
        PaymentAttempt.State.ACCEPTED,
        PaymentAttempt.State.UNKNOWN,
        PaymentAttempt.State.MANUAL,
    ],
)


def late_loans(more_than_days: int) -> Q:
    """Return live loans more than so many days past due, as of the last close of business."""
    return LIVE_LOANS & Q(days_past_due__gt=more_than_days)


def received_on(day: date) -> Q:
    """Return receipts whose money was paid on a local day."""
    zone = settings.TIME_ZONE
    return Q(
        paid_at__gte=calendar.start_of(day, zone),
        paid_at__lt=calendar.start_of(day + timedelta(days=1), zone),
    )


def principal_outstanding_cents(loans: "QuerySet[Loan]") -> int:
    """Return the principal lent and not yet repaid of these loans."""
    lent = loans.aggregate(cents=Sum("principal_cents"))["cents"] or 0
    repaid = Allocation.objects.filter(installment__loan__in=loans).aggregate(cents=Sum("principal_cents"))
    return lent - (repaid["cents"] or 0)


@dataclass(frozen=True)
class Figures:
    """The state of the business on a day. par0 and par30 are shares of the principal outstanding, 0 to 1."""

    waiting_applications: int
    open_cases: int
    suspense_cents: int
    unknown_payouts: int
    live_loans: int
    outstanding_cents: int
    principal_outstanding_cents: int
    par0: float
    par30: float
    collected_cents: int


def figures(on: date) -> Figures:
    """Return today's figures for the officers' first page."""
    live = Loan.objects.filter(LIVE_LOANS)
    principal_cents = principal_outstanding_cents(live)

    def at_risk(days: int) -> float:
        late_cents = principal_outstanding_cents(Loan.objects.filter(late_loans(days)))
        return late_cents / principal_cents if principal_cents else 0.0

    return Figures(
        waiting_applications=Application.objects.filter(WAITING_APPLICATIONS).count(),
        open_cases=Case.objects.filter(OPEN_CASES).count(),
        suspense_cents=_sum(Receipt.objects.filter(SUSPENSE), "amount_cents"),
        unknown_payouts=PaymentAttempt.objects.filter(UNKNOWN_PAYOUTS).count(),
        live_loans=live.count(),
        outstanding_cents=_sum(live, "outstanding_cents"),
        principal_outstanding_cents=principal_cents,
        par0=at_risk(0),
        par30=at_risk(30),
        collected_cents=_sum(Receipt.objects.filter(received_on(on)), "amount_cents"),
    )


def _sum(rows: "QuerySet", field: str) -> int:
    return rows.aggregate(cents=Sum(field))["cents"] or 0
