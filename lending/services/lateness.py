"""Why somebody is late, in their own words of one tap, and the call that is owed to who stays late.

Source: docs/domain/reminders.md, "Why somebody is late" and "An officer calls".
"""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from itertools import islice
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Q

from lending import outbox
from lending.models import Borrower, Case, LateReason, Loan
from lending.rules import calendar, contact, money
from lending.rules.reminders import CALL_DAYS
from lending.selectors import contact as contact_habits
from lending.selectors import dues, loans, products
from lending.services import bureau, cases
from lending.services.people import lock_person

# What an officer is to have done within; the customer is told that a call comes, and no hour.
CALL_WITHIN = timedelta(days=2)
SCRIPT = (
    "Ask first what happened, and listen. Then see on the loan's page what it grants: a part, a promise, a skip, "
    "more time, new dates. No threat, no hurry."
)


class NotLate(Exception):
    """Nothing is late, so there is nothing to say about it."""


# --- why ------------------------------------------------------------------------------------------------------
@transaction.atomic
def tell_why(*, borrower_id: int, reason: str, origin: str, at: datetime) -> LateReason:
    """Keep why somebody says that they are late, for the officers; a dispute becomes a case of its own.

    Repeats safely: the same `origin` returns what is on record.

    Raises:
        NotLate: nothing is late.
    """
    borrower = Borrower.objects.get(id=borrower_id)
    lock_person(borrower)
    if known := LateReason.objects.filter(origin=origin).first():
        return known
    loan, on = loans.loan_to_repay(borrower.identity_index), calendar.business_date(at, settings.TIME_ZONE)
    days_late = loans.days_past_due(loan, on) if loan is not None and loan.state == Loan.State.LIVE else 0
    if loan is None or not days_late:
        raise NotLate
    told = LateReason.objects.create(
        loan=loan,
        borrower=borrower,
        origin=origin,
        reason=LateReason.Reason(reason),
        days_late=days_late,
        told_on=on,
        told_at=at,
    )
    if told.reason == LateReason.Reason.DISPUTE:
        said = "The customer said on the phone that something about this loan is wrong: ask what."
        bureau.dispute(loan_id=loan.id, actor=None, reason=said, at=at)
    return told


# --- reminders and calls --------------------------------------------------------------------------------------
def owe_reminders(today: date, at: datetime) -> int:
    """Owe today's reminders, each for the hour that works for its borrower.

    The notice itself asks again whether it may be sent. Repeats safely.
    """
    return outbox.write_many("repayment_reminder", _reminders(today, at), at=at)


def _reminders(today: date, at: datetime) -> Iterator[tuple[str, datetime, dict[str, Any]]]:
    """Yield what is to be owed: reference, moment, payload."""
    hours = products.country_rules(settings.COUNTRY, today).contact
    due = dues.to_remind(today)
    while some := list(islice(due, outbox.BATCH)):
        paid_at = contact_habits.hours_paid([borrower_id for _, borrower_id, _ in some], at)
        for loan_id, borrower_id, due_on in some:
            days = (today - due_on).days
            when = contact.best_time(paid_at.get(borrower_id, ()), hours.opens, hours.closes)
            moment = calendar.start_of(today, settings.TIME_ZONE) + timedelta(hours=when.hour, minutes=when.minute)
            payload = {"loan_id": loan_id, "due_on": due_on.isoformat(), "days": days}
            yield f"reminder:{loan_id}:{today.isoformat()}", max(moment, at), payload


def queue_calls(today: date, at: datetime) -> None:
    """Queue a call about each part that is late for long and may be pressed for, unless one waits or was made.

    A day on which nothing may be asked, or none is closed, puts a call off and does not lose it. Repeats safely.
    """
    called = _called_on(today)
    for loan_id, _, due_on in dues.late(CALL_DAYS, today):
        if called.get(f"loan:{loan_id}", date.min) < due_on + timedelta(days=CALL_DAYS[0]):
            queue_call(loan_id, due_on, at)


def _called_on(today: date) -> dict[str, date]:
    """Return the latest day, of those that count today, on which a call about a loan was queued that waits or was
    made: what has closed by itself was none."""
    since = calendar.start_of(today - timedelta(days=len(CALL_DAYS)), settings.TIME_ZONE)
    queued = Case.objects.filter(kind=Case.Kind.LATE_CALL, opened_at__gte=since).order_by("opened_at")
    told = queued.filter(Q(closed_at=None) | ~Q(closed_by=None)).values_list("subject_key", "opened_at")
    return {subject: calendar.business_date(at, settings.TIME_ZONE) for subject, at in told}


def queue_call(loan_id: int, due_on: date, at: datetime) -> Case:
    """Have an officer call about what has been late for long, and say what to talk about. One open call a loan."""
    loan = Loan.objects.select_related("borrower").get(id=loan_id)
    told = loan.late_reasons.order_by("-told_at").first()
    return cases.open_case(
        kind=Case.Kind.LATE_CALL,
        subject_key=f"loan:{loan.id}",
        note=call_note(dues.part_due_on(loan, due_on), loan.currency, due_on, told),
        borrower=loan.borrower,
        answer_by=at + CALL_WITHIN,
        at=at,
    )


def call_note(cents: int, currency: str, due_on: date, told: LateReason | None = None) -> str:
    """Say what an officer is to call about, and how."""
    why = f"said why: {told.get_reason_display().lower()}, on {told.told_on}" if told else "has not said why"
    return f"{money.show(cents, currency)} was due {due_on}; {why}.\n{SCRIPT}"


def call_is_waiting(loan_id: int) -> bool:
    """Say whether an officer still has to call about a loan."""
    return Case.objects.filter(
        kind=Case.Kind.LATE_CALL, subject_key=f"loan:{loan_id}", closed_at__isnull=True
    ).exists()


# A call is needed no more when what it is about is paid or moved, or when nobody may be pressed for it.
NEEDLESS = "paid, promised, ended or at rest before the call"
_CLOSE = f"""
    UPDATE lending_case asked SET closed_at = %(at)s, resolution = %(why)s
      FROM lending_loan loan JOIN lending_borrower borrower ON borrower.id = loan.borrower_id
     WHERE asked.kind = %(kind)s AND asked.closed_at IS NULL AND asked.subject_key = 'loan:' || loan.id
       AND (loan.unpaid_since IS NULL OR loan.unpaid_since >= %(today)s OR NOT ({dues.MAY_BE_PRESSED}))
"""  # noqa: S608


def close_needless_calls(today: date, at: datetime) -> int:
    """Close the calls that have become needless; return how many."""
    with connection.cursor() as cursor:
        cursor.execute(_CLOSE, {"kind": Case.Kind.LATE_CALL, "at": at, "today": today, "why": NEEDLESS})
        return int(cursor.rowcount)
