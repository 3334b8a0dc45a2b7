"""The circuit breaker of a rail: while it is stopped nothing is submitted and every intent is kept.

Paying out and collecting stop apart: an empty float must not keep customers from repaying. A stop for our own
fault (float, credential) waits for a person; one for their outage tries again by itself, one request first.
"""

from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q

from lending.models import Case, PaymentIntent, Rail
from lending.services import audit, cases

MAX_FAILURES = 5
FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=30), timedelta(minutes=10)
# While one request tries a stopped rail out, the others wait this long for its answer.
PROBE = timedelta(seconds=30)


def rail_of(provider: str, purpose: str) -> str:
    """Return the name of the breaker for one direction of a rail."""
    return f"{provider}-collect" if purpose in PaymentIntent.PROMPTS else provider


def claim(name: str, at: datetime) -> bool:
    """Say whether one request may go out now; on a rail that paused, only one at a time may try.

    Belongs into the transaction that leases the intent.
    """
    rail = Rail.objects.filter(provider=name, stopped_at__isnull=False).select_for_update().first()
    if rail is None:
        return True
    if rail.needs_person or rail.retry_at is None or rail.retry_at > at:
        return False
    rail.retry_at = at + PROBE
    rail.save(update_fields=["retry_at"])
    return True


def note_success(name: str, at: datetime) -> None:
    """Note that the rail took a request: whatever its outage was, it is over. A stop by our fault stays."""
    troubled = Q(failures_in_a_row__gt=0) | Q(stopped_at__isnull=False)
    # Filtered, so that the usual success writes nothing: this row would be the hottest of all.
    healed = Rail.objects.filter(troubled, provider=name, needs_person=False).update(
        stopped_at=None, reason="", failures_in_a_row=0, retry_at=None
    )
    if healed:
        _close_case(name, "the rail answers again", None, at)


@transaction.atomic
def note_failure(name: str, why: str, at: datetime) -> int:
    """Count an outage, return how many came in a row; from the fifth on the rail pauses, longer each time."""
    rail = _locked(name)
    rail.failures_in_a_row += 1
    beyond = rail.failures_in_a_row - MAX_FAILURES
    if beyond >= 0 and not rail.needs_person:
        pause = min(FIRST_PAUSE * 2 ** min(beyond, 10), LONGEST_PAUSE)
        rail.stopped_at, rail.reason, rail.retry_at = rail.stopped_at or at, why[:200], at + pause
        if pause == LONGEST_PAUSE:
            _open_case(name, f"does not answer: {why}", at)
    rail.save()
    return rail.failures_in_a_row


@transaction.atomic
def stop(name: str, reason: str, at: datetime) -> None:
    """Stop the rail for a fault of ours until a person restarts it."""
    rail = _locked(name)
    if not rail.needs_person:
        rail.stopped_at, rail.reason, rail.retry_at, rail.needs_person = at, reason[:200], None, True
        rail.save()
    _open_case(name, reason, at)


@transaction.atomic
def restart_rail(provider: str, officer: Any, at: datetime) -> None:
    """Let a stopped rail work again, on an officer's word; `provider` is the name that its row carries."""
    rail = _locked(provider)
    audit.record("rail_restarted", subject=f"rail:{provider}", at=at, actor=officer, reason=rail.reason)
    rail.stopped_at, rail.reason, rail.retry_at = None, "", None
    rail.needs_person, rail.failures_in_a_row = False, 0
    rail.save()
    _close_case(provider, "restarted", officer, at)


def _locked(name: str) -> Rail:
    Rail.objects.get_or_create(provider=name)
    return Rail.objects.select_for_update().get(provider=name)


def _open_case(name: str, why: str, at: datetime) -> None:
    cases.open_case(
        kind=Case.Kind.RAIL_STOPPED, subject_key=f"rail:{name}", note=f"{name} is stopped: {why}", at=at
    )


def _close_case(name: str, words: str, officer: Any, at: datetime) -> None:
    open_now = Case.objects.filter(
        kind=Case.Kind.RAIL_STOPPED, subject_key=f"rail:{name}", closed_at__isnull=True
    ).first()
    if open_now:
        cases.close_case(case_id=open_now.id, officer=officer, resolution=words, at=at)
