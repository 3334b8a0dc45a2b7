"""Promises to pay: taken once, reminded of by nobody until their day, judged when that day is closed.

Source: docs/domain/promises.md.
"""

from datetime import date, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction

from lending import outbox
from lending.models import Borrower, Case, Loan, Promise, Receipt
from lending.rules import calendar, money
from lending.rules import promises as rules
from lending.selectors import loans, promises
from lending.selectors.deposits import SAVED
from lending.services import audit, cases
from lending.services.people import lock_person


class PromiseRefused(Exception):
    """This promise cannot be taken. `why` is one of the reasons of lending.rules.promises.refusal."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


@transaction.atomic
def make_promise(
    *,
    borrower_id: int,
    amount_cents: int,
    promised_on: date,
    origin: str,
    at: datetime,
    taker: Any = None,
    reason: str = "",
) -> Promise:
    """Take a customer's word for when they will pay, from their phone or by an officer, and confirm it by SMS.

    `reason`: why an officer took it, for the trail.
    Repeats safely: the same `origin` returns the promise on record.

    Raises:
        PromiseRefused: nothing is owed, one waits already, two were broken and no officer takes it, or the day or
            the amount cannot be.
    """
    borrower = Borrower.objects.get(id=borrower_id)
    lock_person(borrower)
    if known := Promise.objects.filter(origin=origin).first():
        return known
    loan = loans.loan_to_repay(borrower.identity_index)
    if loan is None:
        raise PromiseRefused("nothing_owed")
    if why := refusal(loan, amount_cents, promised_on, at, by_officer=taker is not None):
        raise PromiseRefused(why)
    promise = Promise.objects.create(
        loan=loan,
        borrower=borrower,
        origin=origin,
        amount_cents=amount_cents,
        promised_on=promised_on,
        channel=Promise.Channel.OFFICER if taker else Promise.Channel.PHONE,
        taker=taker,
        made_at=at,
    )
    outbox.write("promise_made", reference=f"promise_made:{promise.id}", promise_id=promise.id, at=at)
    audit.record("promise_made", subject=f"loan:{loan.id}", borrower=borrower, actor=taker, reason=reason, at=at)
    return promise


def refusal(loan: Loan, amount_cents: int, promised_on: date, at: datetime, *, by_officer: bool = False) -> str:
    """Return why a promise for a loan cannot be taken now, "" if it can.

    After some broken ones a person talks with the customer, and whoever talks with them may take another.
    """
    return rules.refusal(
        amount_cents,
        promised_on,
        on=calendar.business_date(at, settings.TIME_ZONE),
        owed_cents=loan.owing_cents,
        unit_cents=money.currency(loan.currency).payable_cents,
        is_open=promises.open_promise(loan.id) is not None,
        broken=0 if by_officer else promises.broken(loan.id),
    )


def judge_promises(on: date, at: datetime) -> int:
    """Say of each promise whose day is over by the end of `on` whether it was kept; return how many changed.

    Repeats safely. A payment of those days that we hear of later, or that is taken back, changes the word while
    it is looked at: `lending.rules.promises.LATE_WORD_DAYS`.
    """
    due = promises.to_judge(on, on - timedelta(days=rules.LATE_WORD_DAYS))
    return sum(_judge(promise_id, at) for promise_id in due.values_list("id", flat=True))


@transaction.atomic
def _judge(promise_id: int, at: datetime) -> bool:
    promise = Promise.objects.select_for_update(of=("self",)).select_related("loan", "borrower").get(id=promise_id)
    kept = rules.is_kept(promise.amount_cents, promise.promised_on, _paid(promise), owes=_owed_on_its_day(promise))
    state = Promise.State.KEPT if kept else Promise.State.BROKEN
    if promise.state == state:
        return False
    promise.state, promise.judged_at = state, at
    promise.save(update_fields=["state", "judged_at"])
    if kept:
        Case.objects.filter(subject_key=_subject(promise), closed_at__isnull=True).update(
            closed_at=at, resolution="paid by the promised day, as we heard later"
        )
    else:
        _leave_to_a_person(promise, at)
    return True


def _owed_on_its_day(promise: Promise) -> bool:
    """Say whether the loan was still owed when the promised day ended; paid off later does not keep a promise."""
    loan = promise.loan
    if loan.settled_at is not None:
        return calendar.business_date(loan.settled_at, settings.TIME_ZONE) > promise.promised_on
    return loan.state in Loan.OWING and loan.owing_cents > 0


def _paid(promise: Promise) -> list[tuple[date, int]]:
    """Return what came for the person since the promise, by the operator's clock; what was taken back is out, and
    what went into savings."""
    mine = Receipt.objects.filter(borrower__identity_index=promise.borrower.identity_index, reversed_at=None)
    mine = mine.exclude(SAVED)
    came = mine.filter(paid_at__gte=promise.made_at).values_list("paid_at", "amount_cents")
    return [(calendar.business_date(paid_at, settings.TIME_ZONE), cents) for paid_at, cents in came]


def _subject(promise: Promise) -> str:
    return f"promise:{promise.id}"


def _leave_to_a_person(promise: Promise, at: datetime) -> None:
    amount = money.show(promise.amount_cents, promise.loan.currency)
    nth = promises.broken(promise.loan_id)
    cases.open_case(
        kind=Case.Kind.PROMISE_BROKEN,
        subject_key=_subject(promise),
        note=f"loan {promise.loan.reference}: {amount} by {promise.promised_on} did not come; broken so far: {nth}",
        borrower=promise.borrower,
        at=at,
    )
