"""A payout that stands still: its number has to be checked by a person first, or its customer has died.

Each has a case of its own, which an officer ends: it goes out after all, or it is given up and the money is back
in the books. Source: docs/domain/people.md, "A payout that stands still".
"""

from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import CharField, Exists, OuterRef, Q, QuerySet, Value
from django.db.models.functions import Cast, Concat

from lending.models import Borrower, Case, PaymentAttempt, PaymentIntent
from lending.payments.attempts import AT_REST, SENT_BEFORE, next_attempt
from lending.payments.settling import Purpose, ask_again, settle_failure
from lending.ports import Failed
from lending.selectors import people
from lending.services import audit, cases, holds, lost_phones, requests
from lending.services.people import lock_person
from lending.wake import wake

# Nothing goes out to a number that a person has to check first, and to somebody who has died no loan, nor what they
# asked for themselves. What was theirs goes back at the word of two officers.
TO_THE_DEAD = Q(borrower__state=Borrower.State.DECEASED) & (
    Q(purpose=Purpose.DISBURSE) | Q(purpose=Purpose.REFUND, refund__actor__isnull=True)
)
STANDS_STILL = Q(purpose__in=(Purpose.DISBURSE, Purpose.REFUND)) & ~Q(borrower__hold="") | TO_THE_DEAD
OPEN = Q(kind=Case.Kind.PAYOUT_STOPPED, closed_at__isnull=True)


class LentToTheDead(Exception):
    """No loan is paid out to somebody who has died; it can only be given up."""


class TakesTwoOfficers(Exception):
    """What somebody who has died asked for goes to nobody; two officers say where it goes instead."""


class CheckedElsewhere(Exception):
    """Another open case is about whether this number may be paid; the text is its kind."""


class UnderWay(Exception):
    """The payout was sent, meanwhile or before: only the rail can say what became of it."""


# -- the cases ---------------------------------------------------------------------------------------------
def keep_cases(at: datetime) -> bool:
    """Open a case for each payout that begins to stand still, and close those of what stands still no more.

    Also of one that was sent, that the rail does not know, and that would be sent again. Repeats safely; return
    whether anything changed.
    """
    opened = [_open(intent, at) for intent in _without_case(at)]
    return bool(_close_over(at) or opened)


def _without_case(at: datetime) -> "QuerySet[PaymentIntent]":
    subject = Concat(Value("intent:"), Cast("id", CharField()), output_field=CharField())
    under_way = PaymentAttempt.objects.filter(intent=OuterRef("pk")).exclude(state__in=AT_REST)
    due = PaymentIntent.objects.filter(STANDS_STILL, state=PaymentIntent.State.OPEN, due_at__lte=at)
    waiting = due.annotate(subject=subject).filter(~Exists(under_way))
    known = Case.objects.filter(OPEN, subject_key=OuterRef("subject"))
    return waiting.filter(~Exists(known)).select_related("borrower", "loan")


def _open(intent: PaymentIntent, at: datetime) -> Case:
    borrower = intent.borrower
    why = borrower.get_hold_display() if borrower.hold else "The customer has died"
    about = f", loan {intent.loan.reference}" if intent.loan else ""
    return cases.open_case(
        kind=Case.Kind.PAYOUT_STOPPED,
        subject_key=f"intent:{intent.id}",
        note=f"{intent}{about}. {why}.",
        borrower=borrower,
        at=at,
    )


def _close_over(at: datetime) -> int:
    """Close the cases of payouts that stand still no more: the number was checked, or they have ended."""
    waiting = {_intent_id(case): case.id for case in Case.objects.filter(OPEN)}
    if not waiting:
        return 0
    still = PaymentIntent.objects.filter(STANDS_STILL, state=PaymentIntent.State.OPEN, id__in=waiting)
    over = [waiting[pk] for pk in waiting.keys() - set(still.values_list("id", flat=True))]
    return Case.objects.filter(OPEN, id__in=over).update(closed_at=at, resolution="it stands still no more")


def _intent_id(case: Case) -> int:
    return int(case.subject_key.removeprefix("intent:"))


# -- what an officer says ----------------------------------------------------------------------------------
@transaction.atomic
def pay_after_all(*, case_id: int, officer: Any, resolution: str, at: datetime) -> Case:
    """Let a payout go on: its number works again, and whatever else waits for that number goes on, too.

    Raises:
        NotOpen: the case is settled already.
        LentToTheDead: it is a loan, and its customer has died.
        TakesTwoOfficers: its customer asked for it and has died.
        CheckedElsewhere: another open case is about this number.
        ValueError: no resolution was given.
    """
    case = requests.locked(case_id, Case.Kind.PAYOUT_STOPPED)
    intent = PaymentIntent.objects.select_related("borrower").get(id=_intent_id(case))
    lock_person(intent.borrower)
    borrower = Borrower.objects.get(id=intent.borrower_id)
    if PaymentIntent.objects.filter(TO_THE_DEAD, id=intent.id).exists():
        raise LentToTheDead if intent.purpose == Purpose.DISBURSE else TakesTwoOfficers
    if other := _checks(borrower).first():
        raise CheckedElsewhere(other.get_kind_display())
    requests.close(case, officer=officer, resolution=resolution, at=at, is_told=False)
    lift = lost_phones.return_number if borrower.hold == Borrower.Hold.PHONE else holds.lift
    lift(borrower, officer, resolution, at)
    wake("lending.tasks.run_payments", queue="money")
    return case


def _checks(borrower: Borrower) -> "QuerySet[Case]":
    """Return what is open about whether a number may be paid: about the number, or whether its owner has died."""
    changed = Q(kind=Case.Kind.SIM_CHANGED, borrower=borrower)
    lost = Q(kind=Case.Kind.LOST_PHONE, details__customer=borrower.id)
    # By the number that was named: the case of a death may have the customer who told it as its borrower.
    died = Q(kind=Case.Kind.DEATH, details__number__in=people.numbers_of(borrower.identity_index))
    return Case.objects.filter(changed | lost | died, closed_at__isnull=True)


@transaction.atomic
def ask_rail(*, case_id: int, officer: Any, at: datetime) -> Case:
    """Have the rail asked once more about a payout that was sent before it stood still. Repeats safely.

    Raises:
        NotOpen: the case is settled already.
    """
    case = requests.locked(case_id, Case.Kind.PAYOUT_STOPPED)
    for attempt in PaymentAttempt.objects.filter(intent=_intent_id(case)):
        ask_again(attempt.id, at)
    audit.record("rail_asked", subject=case.subject_key, borrower=case.borrower, actor=officer, at=at)
    wake("lending.tasks.run_payments", queue="money")
    return case


@transaction.atomic
def give_up(*, case_id: int, officer: Any, resolution: str, at: datetime) -> Case:
    """End a payout for good: nothing was sent, and what was reserved or kept for it is free again.

    What was sent once and is not known to the rail may arrive after all: it waits until the rail says that it
    failed.

    Raises:
        NotOpen: the case is settled already.
        UnderWay: it was sent, meanwhile or before.
        ValueError: no resolution was given.
    """
    case = requests.locked(case_id, Case.Kind.PAYOUT_STOPPED)
    intent = PaymentIntent.objects.select_for_update(of=("self",)).get(id=_intent_id(case))
    is_open = intent.state == PaymentIntent.State.OPEN
    if not is_open or intent.attempts.filter(~Q(state__in=AT_REST) | SENT_BEFORE).exists():
        raise UnderWay
    requests.close(case, officer=officer, resolution=resolution, at=at, is_told=False)
    settle_failure(next_attempt(intent, at).id, Failed("given_up", "given up by an officer"), at=at)
    audit.record(
        "payout_given_up",
        subject=case.subject_key,
        borrower=intent.borrower,
        actor=officer,
        reason=resolution,
        at=at,
    )
    return case
