"""What officers see first: work that waits, and the state of the portfolio.

Work is counted here; figures about loans come from the metrics layer (lending.selectors.metrics). The list behind
each figure uses the same definition.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from django.conf import settings
from django.db.models import Q, QuerySet, Sum

from lending.models import Application, Case, PaymentAttempt, PaymentIntent, Proposal, Receipt
from lending.rules import calendar
from lending.selectors.deposits import SAVED
from lending.selectors.metrics import snapshots
from lending.selectors.metrics.asking import home_currency
from lending.selectors.metrics.portfolio import PAR, PORTFOLIO, loans_late_by

WAITING_APPLICATIONS = Q(state=Application.State.REFERRED)
APPEALED_APPLICATIONS = WAITING_APPLICATIONS & Q(appealed_at__isnull=False)
OPEN_CASES = Q(closed_at__isnull=True)
PENDING_PROPOSALS = Q(state=Proposal.State.PENDING)
SUSPENSE = Q(state=Receipt.State.SUSPENSE)
# Sent, and nobody knows for certain whether the money arrived.
UNKNOWN_PAYOUTS = Q(
    intent__purpose__in=[PaymentIntent.Purpose.DISBURSE, PaymentIntent.Purpose.REFUND],
    state__in=[
        PaymentAttempt.State.SUBMITTING,
        PaymentAttempt.State.ACCEPTED,
        PaymentAttempt.State.UNKNOWN,
        PaymentAttempt.State.MANUAL,
    ],
)


def late_loans(more_than_days: int, on: date) -> Q:
    """Return loans more than so many days past due at the end of a day: those behind PAR-n."""
    return Q(pk__in=loans_late_by(more_than_days, on))


def received_on(day: date) -> Q:
    """Return receipts whose money was paid on a local day."""
    zone = settings.TIME_ZONE
    return Q(
        paid_at__gte=calendar.start_of(day, zone),
        paid_at__lt=calendar.start_of(day + timedelta(days=1), zone),
    )


@dataclass(frozen=True)
class Figures:
    """The state of the business now, in the home currency. par0 and par30 are shares, None of no loan.

    Figures of loans are those of the end of `loans_on`.
    """

    loans_on: date
    waiting_applications: int
    open_cases: int
    suspense_cents: int
    unknown_payouts: int
    live_loans: int
    outstanding_cents: int
    gross_portfolio_cents: int
    par0: Decimal | None
    par30: Decimal | None
    collected_cents: int


def figures(on: date) -> Figures:
    """Return today's figures for the officers' first page: of loans as they were kept when the last date was
    closed, or, of a lender of whom nothing is kept, as they are counted now."""
    home, last = home_currency(on), snapshots.last_kept(on) or on
    kept = snapshots.as_counted(PORTFOLIO, last), snapshots.as_counted(PAR, last)
    is_kept = all(one.taken_at for one in kept)
    reports, day = ([one.report for one in kept], last) if is_kept else ([PORTFOLIO, PAR], on)
    rows = [[row for row in report.records(day) if row["currency"] == home] for report in reports]
    [portfolio], par = rows[0], {row["more_than_days"]: row["par"] for row in rows[1]}
    return Figures(
        loans_on=day,
        waiting_applications=Application.objects.filter(WAITING_APPLICATIONS).count(),
        open_cases=Case.objects.filter(OPEN_CASES).count(),
        suspense_cents=_sum(Receipt.objects.filter(SUSPENSE), "amount_cents"),
        unknown_payouts=PaymentAttempt.objects.filter(UNKNOWN_PAYOUTS).count(),
        live_loans=portfolio["live_loans"],
        outstanding_cents=portfolio["outstanding_cents"],
        gross_portfolio_cents=portfolio["gross_portfolio_cents"],
        par0=par[0],
        par30=par[30],
        collected_cents=_sum(Receipt.objects.filter(received_on(on)).exclude(SAVED), "amount_cents"),
    )


def _sum(rows: "QuerySet", field: str) -> int:
    return rows.aggregate(cents=Sum(field))["cents"] or 0
