"""Letting everything on a number stand still until a person has checked: a lost phone, a changed SIM, a death.

Money that comes in still counts; nothing goes out and no PIN is taken. Source: docs/domain/people.md.
"""

from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from lending import ports
from lending.models import Borrower, Case
from lending.services import audit, cases

# Operators who tell at all say that most thefts by a changed SIM happen within three days of it.
SIM_IS_NEW = timedelta(hours=72)


def hold(borrower: Borrower, why: str, at: datetime) -> None:
    """Let a number stand still, inside the caller's transaction; the first reason stands until it is lifted.

    That the SIM is new gives way to what somebody reports: who answers a call on that number could lift it.
    """
    weaker = [""] if why == Borrower.Hold.SIM else ["", Borrower.Hold.SIM]
    held = Borrower.objects.filter(id=borrower.id, hold__in=weaker).update(hold=Borrower.Hold(why), held_at=at)
    if held:
        audit.record("held", subject=f"borrower:{borrower.id}", borrower=borrower, at=at, why=str(why))


def lift(borrower: Borrower, officer: Any, reason: str, at: datetime) -> None:
    """Let a number go on, inside the caller's transaction. Repeats safely."""
    if Borrower.objects.filter(id=borrower.id).exclude(hold="").update(hold="", held_at=None):
        audit.record(
            "hold_lifted", subject=f"borrower:{borrower.id}", borrower=borrower, actor=officer, reason=reason, at=at
        )


def check_sim(borrower: Borrower, at: datetime) -> None:
    """Ask the operator about a number before money goes to it; a SIM that is new stops it and calls a person.

    Call it outside of any transaction: it may go over the network. An operator who does not say stops nothing.
    """
    changed_at = ports.sim_check()(msisdn=borrower.msisdn)
    if changed_at is None or changed_at <= at - SIM_IS_NEW:
        return
    with transaction.atomic():
        hold(borrower, Borrower.Hold.SIM, at)
        cases.open_case(
            kind=Case.Kind.SIM_CHANGED,
            subject_key=f"borrower:{borrower.id}",
            note="Call the customer and check who they are before anything is paid out; then lift the hold.",
            borrower=borrower,
            at=at,
        )


@transaction.atomic
def lift_sim_hold(*, case_id: int, officer: Any, resolution: str, at: datetime) -> None:
    """Let payouts go on after a person has checked who holds the new SIM.

    Raises:
        ValueError: no resolution was given.
    """
    case = Case.objects.select_for_update(of=("self",)).select_related("borrower").get(id=case_id)
    cases.close_case(case_id=case_id, officer=officer, resolution=resolution, at=at)
    if case.borrower is not None and case.borrower.hold == Borrower.Hold.SIM:
        lift(case.borrower, officer, resolution, at)
