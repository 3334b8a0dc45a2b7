"""Close of business: each business date is closed once, in order, and a missed one is caught up.

Whoever inserts the JobRun row of a date owns it. Ageing is one set-based statement over live loans; closing a
date twice changes nothing. Source: docs/domain/arrears.md.
"""

from datetime import date, datetime, timedelta

from django.conf import settings
from django.db import IntegrityError, connection, transaction

from lending import outbox
from lending.ledger import make_checkpoints
from lending.models import JobRun, Loan
from lending.rules import calendar
from lending.services.brakes import pull_brakes

JOB = "close_of_business"
REMIND_DAYS = (-3, 0, 1, 3, 7, 14)
# A run that was cut off (kill -9, power) is taken over after this long.
STALE = timedelta(minutes=30)

# Unpaid at the end of the due date is 0, the next day is 1; nothing to do is not touched.
AGE = """
    UPDATE lending_loan SET
           days_past_due = GREATEST(0, %(on)s::date - due_on),
           worst_days_past_due = GREATEST(worst_days_past_due, %(on)s::date - due_on),
           aged_on = %(on)s::date
     WHERE state = 'live' AND aged_on < %(on)s::date
"""


def close_until_yesterday(at: datetime) -> list[date]:
    """Close every date up to yesterday that is not closed yet; return the dates closed now."""
    today = calendar.business_date(at, settings.TIME_ZONE)
    last = JobRun.objects.filter(job=JOB, finished_at__isnull=False).order_by("-business_date").first()
    first_open = last.business_date if last else today - timedelta(days=2)
    closed = []
    for day in calendar.days_between(first_open, today - timedelta(days=1)):
        if close_business(day, at):
            closed.append(day)
        elif not JobRun.objects.filter(job=JOB, business_date=day, finished_at__isnull=False).exists():
            break  # somebody is at it: later dates wait for their turn
    return closed


def close_business(on: date, at: datetime) -> bool:
    """Age the book as of the end of a date, pause what loses too much, checkpoint the ledger, owe the reminders;
    False if it was done."""
    if not _claim(on, at):
        return False
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(AGE, {"on": on})
            aged = cursor.rowcount
        today = calendar.business_date(at, settings.TIME_ZONE)
        # A date that is caught up late reminds nobody: what it would say is no longer true.
        reminders = _owe_reminders(today, at) if on + timedelta(days=1) == today else 0
        paused = pull_brakes(on, at)
    checkpoints = make_checkpoints(at)
    JobRun.objects.filter(job=JOB, business_date=on).update(
        finished_at=at, result={"aged": aged, "reminders": reminders, "checkpoints": checkpoints, "paused": paused}
    )
    return True


def _claim(on: date, at: datetime) -> bool:
    try:
        with transaction.atomic():
            JobRun.objects.create(job=JOB, business_date=on, started_at=at)
            return True
    except IntegrityError:
        return bool(
            JobRun.objects.filter(
                job=JOB, business_date=on, finished_at__isnull=True, started_at__lt=at - STALE
            ).update(started_at=at)
        )


def _owe_reminders(today: date, at: datetime) -> int:
    """Owe today's reminders for the evening: they bring more repayments than in the morning
    (docs/domain/reminders.md), and the notice itself checks hours, STOP and whether it was paid meanwhile."""
    evening = calendar.start_of(today, settings.TIME_ZONE) + timedelta(hours=17, minutes=30)
    owed = 0
    for days in REMIND_DAYS:
        for loan_id in Loan.objects.filter(state=Loan.State.LIVE, due_on=today - timedelta(days=days)).values_list(
            "id", flat=True
        ):
            outbox.write(
                "repayment_reminder",
                reference=f"reminder:{loan_id}:{today.isoformat()}",
                loan_id=loan_id,
                days=days,
                at=at,
                due_at=max(evening, at),
            )
            owed += 1
    return owed
