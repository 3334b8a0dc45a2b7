"""Closing an accounting period, so that figures that were reported stay what they were."""

from datetime import date, datetime
from typing import Any

from django.conf import settings
from django.db import OperationalError, connection, transaction

from lending import chain
from lending.models import JobRun, PeriodClosing
from lending.rules import calendar
from lending.services import audit


class PeriodNotClosed(Exception):
    """The period stays open; the text says why."""


@transaction.atomic
def close_period(*, last_on: date, maker: Any, checker: Any, at: datetime) -> PeriodClosing:
    """Close the books up to and including a date; what is told later goes into the open period.

    `maker` asks for it, `checker` agrees. Repeats safely: a period closed already is returned. Writers of
    postings are waited for, and others wait behind us meanwhile, two seconds at most: then nothing is closed.

    Raises:
        PeriodNotClosed: maker and checker are one person, the date is not over or its business not closed,
            a later period is closed already, or the books were too busy.
    """
    if maker.pk == checker.pk:
        raise PeriodNotClosed(f"a period needs two people to close it, got {maker} twice")
    if known := PeriodClosing.objects.filter(last_on=last_on).first():
        return known
    _refuse_dates(last_on, at)
    chain.extend()  # most of it before anybody waits for us
    _hold_postings()
    chain.extend()
    head = chain.head()
    closing = PeriodClosing.objects.create(
        last_on=last_on,
        maker=maker,
        checker=checker,
        head_posting_id=head.posting_id,
        head_hash=head.hash,
        closed_at=at,
    )
    audit.record(
        "period_closed",
        subject=f"period:{last_on.isoformat()}",
        actor=checker,
        at=at,
        maker=maker.pk,
        head=f"{head.posting_id}:{head.hash.hex()}",
    )
    return closing


def _refuse_dates(last_on: date, at: datetime) -> None:
    if last_on >= calendar.business_date(at, settings.TIME_ZONE):
        raise PeriodNotClosed(f"{last_on.isoformat()} is not over")
    if later := PeriodClosing.objects.filter(last_on__gt=last_on).order_by("last_on").first():
        raise PeriodNotClosed(f"the books are closed until {later.last_on.isoformat()} already")
    if not JobRun.objects.filter(
        job=JobRun.CLOSE_OF_BUSINESS, business_date=last_on, finished_at__isnull=False
    ).exists():
        raise PeriodNotClosed(f"the close of business of {last_on.isoformat()} has not run")


def _hold_postings() -> None:
    """Wait until nobody is posting, and keep others from it until we commit."""
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL lock_timeout = '2s'; LOCK TABLE lending_posting, lending_entry IN SHARE MODE")
    except OperationalError as error:
        raise PeriodNotClosed("the books were too busy; try again") from error
