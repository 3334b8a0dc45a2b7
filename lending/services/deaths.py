"""A death, told by the next of kin: asking stops at once, and an officer confirms before anything is final.

Source: docs/domain/people.md, "A death".
"""

from datetime import date, datetime
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from lending.models import Borrower, Case, Loan, LoanEvent, NextOfKin
from lending.rules import calendar, requests
from lending.selectors import people
from lending.selectors.preferences import number_index
from lending.services import audit, changes, holds
from lending.services.people import lock_person
from lending.services.requests import ask, close, locked


class NotThatDay(ValueError):
    """Nobody can have died on that day: it is still to come, or they did something since. The text says which."""


@transaction.atomic
def report(*, reporter: str, deceased: str, language: str, at: datetime) -> Case:
    """Take the word that somebody died, and have an officer call whoever said it.

    From a next of kin who agreed to be one it stops everything on all numbers of the person at once; from
    anybody else it only opens the case. Whoever reports hears the same words.
    """
    borrower = people.find_borrower(deceased)
    stopped = borrower if borrower is not None and _speaks_for(reporter, borrower) else None
    if stopped is not None:
        # Before the case: a refusal of an earlier word of theirs may be under way.
        lock_person(stopped)
    case = ask(
        kind=Case.Kind.DEATH,
        about=number_index(deceased)[:32],
        msisdn=reporter,
        note="Call and speak kindly. Confirm only with a document or two people who knew them.",
        language=language,
        at=at,
        details={"number": deceased},
        answer_by=at + requests.CALL_WITHIN,
        is_told=False,
    )
    if stopped is not None:
        for number in Borrower.objects.filter(identity_index=stopped.identity_index):
            holds.hold(number, Borrower.Hold.DEATH, at)
        Case.objects.filter(id=case.id).update(borrower=stopped)
    case.refresh_from_db()
    return case


def reported_number(case: Case) -> str:
    """Return the number of whoever is said to have died; "" once it is erased."""
    number: str = case.details.get("number", "")
    return number


def _speaks_for(reporter: str, borrower: Borrower) -> bool:
    return NextOfKin.objects.filter(
        borrower__identity_index=borrower.identity_index,
        number_index=number_index(reporter),
        agreed_at__isnull=False,
        ended_at__isnull=True,
    ).exists()


@transaction.atomic
def confirm(*, case_id: int, officer: Any, resolution: str, at: datetime, died_on: date | None = None) -> Case:
    """Record the death: each loan ends as its rules say for a death, and nobody is written to any more.

    It counts from `died_on`, else from the day on which it was told, however late it is confirmed: what was charged
    since is taken back. Whoever else told of the same person is answered, too.

    Raises:
        NotOpen: it was settled already.
        NotThatDay: it is still to come, or the person did something since.
        ValueError: no resolution was given, or nobody is registered under that number.
        NotALoanToChange, RefinancingUnderWay, OpenLoanInTheWay, TooManyFacts: as `changes.change_loan` says.
    """
    borrower = people.find_borrower(reported_number(Case.objects.get(id=case_id)))
    if borrower is None:
        raise ValueError("nobody is registered under that number")
    lock_person(borrower)
    case = locked(case_id, Case.Kind.DEATH)
    day = died_on or calendar.business_date(case.opened_at, settings.TIME_ZONE)
    _refuse_day(borrower, day, at)
    for told in _told_of(borrower):
        said = told.details | {"died_on": day.isoformat()}
        close(told, officer=officer, resolution=resolution, at=at, details=said)
    for loan in _loans_on(borrower, day):
        changes.change_loan(
            loan_id=loan.id,
            kind="death",
            origin=f"case:{case.id}",
            details={"died_on": day.isoformat()},
            actor=officer,
            reason=resolution,
            at=at,
        )
    for number in Borrower.objects.filter(identity_index=borrower.identity_index):
        holds.lift(number, officer, resolution, at)
    Borrower.objects.filter(identity_index=borrower.identity_index).update(state=Borrower.State.DECEASED)
    audit.record("death_confirmed", subject=f"borrower:{borrower.id}", borrower=borrower, actor=officer, at=at)
    case.refresh_from_db()
    return case


def _refuse_day(borrower: Borrower, day: date, at: datetime) -> None:
    proven_on = calendar.business_date(people.last_proven_at(borrower.identity_index), settings.TIME_ZONE)
    if day > calendar.business_date(at, settings.TIME_ZONE):
        raise NotThatDay("the day of death must not be a day ahead")
    if day < proven_on:
        raise NotThatDay(f"the customer used the PIN on {proven_on}, and the day of death must not be before it")


def _told_of(borrower: Borrower) -> "QuerySet[Case]":
    """Lock every open report that this person died, by whomever and of whichever number."""
    told = Case.objects.select_for_update(of=("self",)).filter(kind=Case.Kind.DEATH, closed_at__isnull=True)
    return told.filter(details__number__in=people.numbers_of(borrower.identity_index)).order_by("id")


def _is_still_told_by_kin(borrower: Borrower) -> bool:
    """Say whether an open report of a next of kin stops everything: such a case names the person, one of anybody
    else its reporter."""
    numbers = Borrower.objects.filter(identity_index=borrower.identity_index)
    by_others = _told_of(borrower).exclude(msisdn__in=people.numbers_of(borrower.identity_index))
    return by_others.filter(borrower_id__in=numbers.values("id")).exists()


def _loans_on(borrower: Borrower, day: date) -> "QuerySet[Loan]":
    """Return what a person owed on a day and since, and whose end is not recorded yet: a loan that was paid later
    has charges to give back."""
    paid_since = Q(state=Loan.State.SETTLED, settled_at__gt=calendar.end_of(day, settings.TIME_ZONE))
    owed = Loan.objects.filter(Q(state=Loan.State.LIVE) | paid_since, identity_index=borrower.identity_index)
    recorded = LoanEvent.objects.filter(loan=OuterRef("pk"), kind=LoanEvent.Kind.DEATH, reversed_by=None)
    return owed.filter(~Exists(recorded))


@transaction.atomic
def refuse(*, case_id: int, officer: Any, resolution: str, at: datetime) -> Case:
    """Settle a report that is not so: everything goes on, unless a next of kin's report is still open.

    Raises:
        NotOpen: it was settled already.
        ValueError: no resolution was given.
    """
    borrower = people.find_borrower(reported_number(Case.objects.get(id=case_id)))
    if borrower is not None:
        lock_person(borrower)
    case = locked(case_id, Case.Kind.DEATH)
    close(case, officer=officer, resolution=resolution, at=at, is_told=False)
    if borrower is not None and not _is_still_told_by_kin(borrower):
        for number in Borrower.objects.filter(identity_index=borrower.identity_index, hold=Borrower.Hold.DEATH):
            holds.lift(number, officer, resolution, at)
    return case
