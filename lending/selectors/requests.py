"""Reading what people asked of us."""

from datetime import datetime

from django.db.models import Q, QuerySet

from lending.models import Application, Borrower, Case, Decision
from lending.rules.requests import APPEAL_WITHIN

# The officers' queues.
WAITING = Q(kind__in=Case.ASKED, closed_at__isnull=True)


def overdue(at: datetime) -> Q:
    """Return open requests whose time to be taken up or to be answered is over."""
    late = Q(answer_by__lt=at) | Q(acknowledge_by__lt=at, acknowledged_at__isnull=True)
    return Q(closed_at__isnull=True) & late


def is_overdue(case: Case, at: datetime) -> bool:
    """Say the same of one case."""
    unanswered = case.answer_by is not None and case.answer_by < at
    not_taken_up = case.acknowledge_by is not None and case.acknowledged_at is None and case.acknowledge_by < at
    return case.closed_at is None and (unanswered or not_taken_up)


def complaints_of(msisdn: str, borrower: Borrower | None, limit: int = 5) -> "QuerySet[Case]":
    """Return the latest complaints of a customer, or of a number that is nobody's, open ones first."""
    mine = Q(borrower=borrower) if borrower else Q(borrower=None, msisdn=msisdn)
    found = Case.objects.filter(mine, kind=Case.Kind.COMPLAINT)
    return found.order_by("closed_at", "-opened_at")[:limit]


def appealable(borrower: Borrower, at: datetime) -> Application | None:
    """Return the refused application that a person can still be asked to look at: the latest one, refused by the
    computer not long ago, and looked at by nobody yet."""
    latest = (
        Application.objects.filter(borrower=borrower)
        .select_related("decision__application__product_version")
        .order_by("-submitted_at", "-id")
        .first()
    )
    if (
        latest is None
        or latest.state != Application.State.DECLINED
        or latest.appealed_at
        or hasattr(latest, "review")
    ):
        return None
    decision: Decision = latest.decision
    return latest if decision.decided_at > at - APPEAL_WITHIN else None
