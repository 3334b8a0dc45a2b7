"""Why somebody is late, in their own words of one tap, and the call that is owed to who stays late.

Source: docs/domain/reminders.md, "Why somebody is late" and "An officer calls".
"""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from itertools import islice
from typing import Any

from django.conf import settings
from django.db import connection, transaction

from lending import outbox
from lending.models import Borrower, Case, LateReason, Loan
from lending.rules import calendar, contact, money
from lending.rules.reminders import LADDER, Step
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
    """Owe today's reminders, each for the hour that works for its borrower, and queue the calls of this day.

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
            if LADDER[days] == Step.CALL:
                queue_call(loan_id, due_on, at)
            when = contact.best_time(paid_at.get(borrower_id, ()), hours.opens, hours.closes)
            moment = calendar.start_of(today, settings.TIME_ZONE) + timedelta(hours=when.hour, minutes=when.minute)
            payload = {"loan_id": loan_id, "due_on": due_on.isoformat(), "days": days}
            yield f"reminder:{loan_id}:{today.isoformat()}", max(moment, at), payload


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


# A call is needed no more when what it is about is paid or moved, the loan has ended, or a promise waits.
NEEDLESS = "paid, promised or ended before the call"
_CLOSE = """
    UPDATE lending_case asked SET closed_at = %(at)s, resolution = %(why)s
      FROM lending_loan loan
     WHERE asked.kind = %(kind)s AND asked.closed_at IS NULL AND asked.subject_key = 'loan:' || loan.id
       AND (loan.state <> 'live' OR loan.stopped_on IS NOT NULL OR loan.unpaid_since IS NULL
            OR loan.unpaid_since >= %(today)s
            OR EXISTS (SELECT FROM lending_promise promise
                        WHERE promise.loan_id = loan.id AND promise.state = 'open'
                          AND promise.promised_on >= %(today)s))
"""


def close_needless_calls(today: date, at: datetime) -> int:
    """Close the calls that have become needless; return how many."""
    with connection.cursor() as cursor:
        cursor.execute(_CLOSE, {"kind": Case.Kind.LATE_CALL, "at": at, "today": today, "why": NEEDLESS})
        return int(cursor.rowcount)
