"""A lost phone, reported from another one: everything on the lost number stops until a person has checked.

Whoever reports hears the same words whatever was right, so that nobody learns who is a customer, and has few
tries. Source: docs/domain/people.md, "A lost phone".
"""

import hmac
from datetime import datetime
from typing import Any

from django.db import transaction

from lending.models import Borrower, Case
from lending.rules import requests
from lending.selectors import people as find
from lending.selectors.preferences import number_index
from lending.services import holds, people
from lending.services.requests import ask, close, locked

MOST_TRIES = 3


@transaction.atomic
def report(*, reporter: str, lost: str, national_id: str, first_name: str, language: str, at: datetime) -> Case:
    """Take a report and have an officer call the number that it came from.

    When national ID and first name are those of the lost number, it stops at once. Each number that reports has
    three tries as long as its case is open.
    """
    case = ask(
        kind=Case.Kind.LOST_PHONE,
        msisdn=reporter,
        note="Call back and check who speaks. Nothing on the lost number moves before you settle this.",
        language=language,
        at=at,
        details={"tries": 0},
        answer_by=at + requests.CALL_WITHIN,
    )
    case = Case.objects.select_for_update(of=("self",)).get(id=case.id)
    # They are gone where whose number it was is forgotten, and the case still waits.
    tries = case.details.get("tries", 0) + 1
    if tries > MOST_TRIES:
        return case
    stopped = _stopped_by(lost, national_id, first_name, at)
    case.details = {
        "tries": tries,
        "lost number": lost,
        "stopped": stopped is not None or bool(case.details.get("stopped")),
        "customer": stopped.id if stopped else case.details.get("customer"),
    }
    case.save(update_fields=["details"])
    return case


def _stopped_by(lost: str, national_id: str, first_name: str, at: datetime) -> Borrower | None:
    """Stop the lost number if it is theirs who says so, and return whose it is."""
    borrower = find.find_borrower(lost)
    typed = people.identity_index("".join(national_id.split()).replace("-", "").upper())
    # Compared for a stranger's number, too: how long the answer takes tells nothing.
    same_id = hmac.compare_digest(typed, borrower.identity_index if borrower else number_index(lost))
    if borrower is None or not same_id or not _is_first_name(first_name, borrower.full_name):
        return None
    holds.hold(borrower, Borrower.Hold.PHONE, at)
    return borrower


def _is_first_name(typed: str, full_name: str) -> bool:
    return typed.strip().casefold() in (part.casefold() for part in full_name.split())


@transaction.atomic
def settle(*, case_id: int, officer: Any, resolution: str, give_back: bool, at: datetime) -> Case:
    """End a report after speaking with whoever made it.

    `give_back`: they are the customer and have their SIM again, so the number works again, with a new PIN that
    they choose by their national ID. Otherwise a number that was stopped stays stopped.

    Raises:
        NotOpen: it was settled already.
        ValueError: no resolution was given.
    """
    case = locked(case_id, Case.Kind.LOST_PHONE)
    customer = Borrower.objects.filter(id=case.details.get("customer")).first()
    close(case, officer=officer, resolution=resolution, at=at, is_told=False)
    if give_back and customer is not None and customer.hold == Borrower.Hold.PHONE:
        return_number(customer, officer, resolution, at)
    return case


def return_number(customer: Borrower, officer: Any, reason: str, at: datetime) -> None:
    """Let a number that was lost work again, with a new PIN, inside the caller's transaction."""
    holds.lift(customer, officer, reason, at)
    people.reset_pin(borrower_id=customer.id, officer=officer, reason=reason, at=at)
