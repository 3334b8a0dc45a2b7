"""Reading about promises to pay."""

from datetime import date

from django.db.models import Count, Q, QuerySet

from lending.models import Promise


def open_promise(loan_id: int) -> Promise | None:
    """Return the promise of a loan that waits for its day."""
    return Promise.objects.filter(loan_id=loan_id, state=Promise.State.OPEN).first()


def holds(loan_id: int, on: date) -> bool:
    """Say whether a promise lets a loan's reminders rest on a day: until its day, that day included."""
    return Promise.objects.filter(loan_id=loan_id, state=Promise.State.OPEN, promised_on__gte=on).exists()


def broken(loan_id: int) -> int:
    """Count the broken promises of a loan."""
    return Promise.objects.filter(loan_id=loan_id, state=Promise.State.BROKEN).count()


def kept_rate(borrower_id: int) -> tuple[int, int]:
    """Return how many promises somebody kept, of how many that were judged."""
    judged = Promise.objects.filter(borrower_id=borrower_id).exclude(state=Promise.State.OPEN)
    found = judged.aggregate(kept=Count("id", filter=Q(state=Promise.State.KEPT)), judged=Count("id"))
    return found["kept"], found["judged"]


def to_judge(on: date, since: date) -> "QuerySet[Promise]":
    """Return promises whose day is over at the end of `on`: the open ones, and those that a late word about a
    day from `since` on may still change."""
    over = Promise.objects.filter(promised_on__lte=on)
    return over.filter(Q(state=Promise.State.OPEN) | Q(promised_on__gte=since)).order_by("id")
