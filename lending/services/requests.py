"""What a person asks of us by phone, as a case with a reference, and the word that it was taken and answered.

Source: docs/domain/requests.md.
"""

from datetime import datetime
from typing import Any

from lending import outbox
from lending.models import Borrower, Case
from lending.selectors import people
from lending.selectors.preferences import number_index
from lending.services import cases
from lending.services.references import new_reference


class NotOpen(Exception):
    """The case is closed already, or of another kind."""


def subject_of(msisdn: str, borrower: Borrower | None) -> str:
    """Return who asks, as a case names it: the customer, or a number that is nobody's, without naming it."""
    return f"borrower:{borrower.id}" if borrower else f"number:{number_index(msisdn)[:32]}"


def ask(
    *,
    kind: str,
    msisdn: str,
    note: str,
    language: str,
    at: datetime,
    about: str = "",
    is_told: bool = True,
    **said: Any,
) -> Case:
    """Open a request of whoever holds a number, or return the one that is open, inside the caller's transaction.

    `about` sets requests of one kind apart; `is_told`: an SMS says that it was taken.
    """
    borrower = people.find_borrower(msisdn)
    subject = subject_of(msisdn, borrower)
    case = cases.open_case(
        kind=kind,
        subject_key=f"{subject}:{about}" if about else subject,
        note=note,
        at=at,
        borrower=borrower,
        msisdn=msisdn,
        language=language,
        reference=new_reference(),
        **said,
    )
    if is_told:
        outbox.write("request_taken", reference=f"request_taken:{case.id}", at=at, case_id=case.id)
    return case


def locked(case_id: int, *kinds: str) -> Case:
    """Lock an open request of one of these kinds.

    Raises:
        NotOpen: it is closed already, or of another kind.
    """
    case = Case.objects.select_for_update(of=("self",)).select_related("borrower").get(id=case_id)
    if case.closed_at is not None or case.kind not in kinds:
        raise NotOpen(case.get_kind_display())
    return case


def close(case: Case, *, officer: Any, resolution: str, at: datetime, is_told: bool = True, **said: Any) -> None:
    """Close a locked request, and owe the word about it to whoever asked.

    Raises:
        ValueError: no resolution was given.
    """
    if not resolution.strip():
        raise ValueError("a case is closed with a resolution in words")
    case.closed_at, case.closed_by, case.resolution = at, officer, resolution.strip()[:300]
    for name, value in said.items():
        setattr(case, name, value)
    case.save(update_fields=["closed_at", "closed_by", "resolution", *said])
    if is_told:
        outbox.write("request_answered", reference=f"request_answered:{case.id}", at=at, case_id=case.id)
