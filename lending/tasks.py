"""Celery's view of lending: wake-ups and the nightly round. Every task repeats safely; PostgreSQL decides."""

from celery import shared_task
from django.utils import timezone

from lending import closing, outbox
from lending.payments import engine
from lending.services import agents, erasing


@shared_task(ignore_result=True)
def drain_outbox(queue: str) -> int:
    """Carry out the effects owed to this queue."""
    return outbox.drain(timezone.now(), queue=queue)


@shared_task(ignore_result=True)
def run_payments(queue: str = "money") -> int:
    """Submit due intents and ask about unsettled attempts."""
    return engine.run_due(timezone.now())


@shared_task(ignore_result=True)
def forget() -> int:
    """Make nameless whose records the law keeps no longer, and empty invitations that nobody took up."""
    now = timezone.now()
    return erasing.erase_due(now) + agents.forget_old(now)


@shared_task(ignore_result=True)
def close_of_business() -> None:
    """Close every business date that is over; beat calls this after midnight and again each hour."""
    closing.close_until_yesterday(timezone.now())
