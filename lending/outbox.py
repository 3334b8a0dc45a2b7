"""Effects owed to the world: a row in the cause's own transaction, then somebody carries it out.

A Celery message only shortens the wait. Rows are leased with SKIP LOCKED, so any number of workers and the
sweeper can drain side by side; a crash in the middle lets the lease run out and the row is done again, which
is why every handler repeats safely.
"""

import logging
import time
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils.module_loading import import_string

from lending.faults import describe
from lending.models import OutboxMessage
from lending.services import cases
from lending.wake import wake

logger = logging.getLogger(__name__)

LEASE = timedelta(seconds=60)
LONGEST_WAIT = timedelta(minutes=5)
# About a day of tries: an outage of a gateway passes, and nobody has to requeue every message by hand.
MAX_TRIES = 300
BATCH = 5_000


def write(
    topic: str, *, reference: str, at: datetime, due_at: datetime | None = None, **payload: Any
) -> OutboxMessage:
    """Owe one effect, once per `reference`; the workers are woken when the transaction commits."""
    message, _ = OutboxMessage.objects.get_or_create(
        reference=reference,
        defaults={"topic": topic, "payload": payload, "created_at": at, "due_at": due_at or at},
    )
    if message.due_at <= at:
        wake("lending.tasks.drain_outbox", queue=settings.OUTBOX_HANDLERS[topic][1])
    return message


def write_many(topic: str, payloads: Iterable[tuple[str, datetime, dict[str, Any]]], *, at: datetime) -> int:
    """Owe an effect for each (reference, due at, payload), as `write` does; return how many, also if known."""
    told, is_due = 0, False
    messages = (
        OutboxMessage(topic=topic, reference=reference, payload=payload, created_at=at, due_at=due_at)
        for reference, due_at, payload in payloads
    )
    while batch := list(islice(messages, BATCH)):
        OutboxMessage.objects.bulk_create(batch, ignore_conflicts=True)
        told += len(batch)
        is_due = is_due or any(message.due_at <= at for message in batch)
    if is_due:
        wake("lending.tasks.drain_outbox", queue=settings.OUTBOX_HANDLERS[topic][1])
    return told


def topics_of(queue: str | None) -> list[str]:
    """Return the topics whose handlers run on a queue; None means all."""
    return [topic for topic, (_, own) in settings.OUTBOX_HANDLERS.items() if queue in (None, own)]


def drain(at: datetime, *, queue: str | None = None, limit: int = 100, overdue_by: timedelta = timedelta()) -> int:
    """Carry out due rows, oldest first; return how many were tried. Safe beside any number of others.

    With `overdue_by` only rows that nobody else has taken for that long.
    """
    tried, began = 0, time.monotonic()
    while tried < limit:
        # A lease counts from the moment it is taken, not from the start of a round that may be long.
        now = at + timedelta(seconds=time.monotonic() - began)
        message = _lease_next(now, topics_of(queue), now - overdue_by)
        if message is None:
            break
        _carry_out(message, now)
        tried += 1
    return tried


def _lease_next(at: datetime, topics: list[str], due_by: datetime) -> OutboxMessage | None:
    with transaction.atomic():
        message = (
            OutboxMessage.objects.select_for_update(skip_locked=True)
            .filter(topic__in=topics, done_at__isnull=True, parked_at__isnull=True, due_at__lte=due_by)
            .filter(Q(leased_until__isnull=True) | Q(leased_until__lte=at))
            .order_by("due_at", "id")
            .first()
        )
        if message is not None:
            message.leased_until = at + LEASE
            message.tries += 1
            message.save(update_fields=["leased_until", "tries"])
        return message


def _carry_out(message: OutboxMessage, at: datetime) -> None:
    handler: Callable[..., None] = import_string(settings.OUTBOX_HANDLERS[message.topic][0])
    try:
        handler(topic=message.topic, payload=message.payload, at=at)
    except Exception as error:  # noqa: BLE001 - one bad row must not stop the queue
        _postpone(message, at, error)
    else:
        # Whoever leased it after us has the last word.
        OutboxMessage.objects.filter(id=message.id, tries=message.tries).update(
            done_at=at, leased_until=None, last_error=""
        )


def _postpone(message: OutboxMessage, at: datetime, error: Exception) -> None:
    """Try again later, each time twice as late up to LONGEST_WAIT; after a day a person gets a case."""
    # The class and the place: the text of an exception may carry what a customer typed.
    logger.error("outbox %s failed, try %s: %s", message.reference, message.tries, describe(error))
    changes: dict[str, Any] = {"last_error": type(error).__name__, "leased_until": None, "done_at": None}
    if message.tries >= MAX_TRIES:
        changes["parked_at"] = at
        cases.open_case(kind="bad_task", subject_key=f"outbox:{message.id}", note=type(error).__name__, at=at)
    else:
        changes["due_at"] = at + min(timedelta(seconds=2 ** min(message.tries, 20)), LONGEST_WAIT)
    OutboxMessage.objects.filter(id=message.id).update(**changes)


def requeue(message_id: int, at: datetime) -> None:
    """Give a parked row another chance, at an officer's word."""
    OutboxMessage.objects.filter(id=message_id, done_at__isnull=True).update(
        parked_at=None, leased_until=None, tries=0, due_at=at
    )
