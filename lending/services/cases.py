"""Things that only a person can settle."""

from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction

from lending.models import Case, Receipt
from lending.selectors.limits import ALL_PRODUCTS
from lending.services import audit

# What is closed by a service of its own, which also tells whoever asked.
ANSWERED_OTHERWISE = (
    Case.Kind.COMPLAINT,
    Case.Kind.CORRECTION,
    Case.Kind.LOST_PHONE,
    Case.Kind.DEATH,
    Case.Kind.PLAN_WISH,
    Case.Kind.PAYOUT_STOPPED,
)


class StillInSuspense(Exception):
    """The case is about money that is nobody's yet; giving it to somebody closes the case."""


class NeedsAnAnswer(Exception):
    """Whoever asked is waiting for an answer of its own kind; words for the next officer alone are not one."""


def open_case(*, kind: str, subject_key: str, note: str, at: datetime, **about: Any) -> Case:
    """Open a case, or return the open one about the same subject: a person is asked once."""
    open_now = Case.objects.filter(kind=kind, subject_key=subject_key, closed_at__isnull=True)
    if known := open_now.first():
        return known
    try:
        with transaction.atomic():
            return Case.objects.create(kind=kind, subject_key=subject_key, note=note[:500], opened_at=at, **about)
    except IntegrityError:
        return open_now.get()


def add_note(case: Case, note: str) -> None:
    """Add a line to an open case, unless it stands there already. The caller keeps others from it meanwhile."""
    if note not in case.note.splitlines():
        case.note = f"{case.note}\n{note}"[:500]
        case.save(update_fields=["note"])


@transaction.atomic
def close_case(*, case_id: int, officer: Any, resolution: str, at: datetime) -> None:
    """Close a case with words; closing a closed one changes nothing.

    Raises:
        ValueError: no resolution was given.
        StillInSuspense: words alone do not say whose the money is.
        NeedsAnAnswer: it is one of ANSWERED_OTHERWISE, a complaint for example.
    """
    if not resolution.strip():
        raise ValueError("a case is closed with a resolution in words")
    if Case.objects.filter(id=case_id, kind__in=ANSWERED_OTHERWISE, closed_at__isnull=True).exists():
        raise NeedsAnAnswer
    waiting = Case.objects.filter(
        id=case_id, kind=Case.Kind.UNMATCHED_RECEIPT, closed_at__isnull=True, receipt__state=Receipt.State.SUSPENSE
    ).select_related("receipt")
    if case := waiting.first():
        raise StillInSuspense(case.receipt)
    closed = Case.objects.filter(id=case_id, closed_at__isnull=True).update(
        closed_at=at, closed_by=officer, resolution=resolution[:300]
    )
    if closed and (stop := Case.objects.filter(id=case_id, kind=Case.Kind.STOPPED).first()):
        audit.record(
            "lending_goes_on",
            subject=f"case:{case_id}",
            actor=officer,
            reason=resolution,
            at=at,
            what="lending" if stop.subject_key == ALL_PRODUCTS else "computer",
        )
