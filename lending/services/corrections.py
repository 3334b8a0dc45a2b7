"""Wrong data, put right: the customer says how it should be, an officer proposes it, another one agrees.

Source: docs/domain/data_rights.md, "Correcting".
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import transaction

from lending.models import Borrower, Case, Proposal
from lending.rules import calendar, identity, requests
from lending.selectors import products
from lending.services import audit, proposals
from lending.services.requests import ask, close, locked

ACT = "borrower_correct"
# What an officer cannot see from a phone is not typed into one: the card itself is looked at.
FIELDS = ("full_name", "national_id", "other")


@transaction.atomic
def ask_correction(*, msisdn: str, field: str, value: str, language: str, at: datetime) -> Case:
    """Take a customer's word that something about them is wrong; `value` is the right one where it is a name.

    Raises:
        ValueError: no such field, or a value where none is taken.
        InvalidName: it is no name.
    """
    if field not in FIELDS or bool(value) != (field == "full_name"):
        raise ValueError(f"field must be one of {', '.join(FIELDS)} and only a name is typed, got {field!r}")
    right = identity.clean_name(value) if value else ""
    law = products.country_rules(settings.COUNTRY, calendar.business_date(at, settings.TIME_ZONE))
    return ask(
        kind=Case.Kind.CORRECTION,
        about=field,
        msisdn=msisdn,
        note="",
        language=language,
        at=at,
        details={"field": field, "value": right},
        answer_by=requests.correction_due(law, at),
    )


def propose_correction(*, case_id: int, officer: Any, reason: str, full_name: str, at: datetime) -> Proposal:
    """Propose the right name for a second officer to agree to.

    Raises:
        NotOpen: the wish was settled already.
        InvalidName: it is no name.
        ValueError, AlreadyPending: as `proposals.propose` says.
    """
    with transaction.atomic():
        case = locked(case_id, Case.Kind.CORRECTION)
        assert case.borrower is not None, "only a customer's own data are corrected"
        return proposals.propose(
            act=ACT,
            subject=f"borrower:{case.borrower_id}",
            details={
                "borrower_id": case.borrower_id,
                "case_id": case.id,
                "full_name": identity.clean_name(full_name),
            },
            maker=officer,
            reason=reason,
            at=at,
            borrower=case.borrower,
        )


def _preview(details: Mapping[str, Any]) -> dict[str, Any]:
    borrower = Borrower.objects.get(id=details["borrower_id"])
    return {"full_name": [borrower.full_name, details["full_name"]]}


def _carry_out(details: Mapping[str, Any], *, proposal: Any, at: datetime) -> None:
    Borrower.objects.filter(id=details["borrower_id"]).update(full_name=details["full_name"])
    # Which names they were stands in the proposal: the trail cannot forget, and the customer may ask us to.
    audit.record(
        "borrower_corrected",
        subject=f"borrower:{details['borrower_id']}",
        borrower=proposal.borrower,
        actor=proposal.maker,
        at=at,
        proposal=proposal.id,
    )
    case = Case.objects.select_for_update().get(id=details["case_id"])
    if case.closed_at is None:
        close(
            case,
            officer=proposal.checker or proposal.maker,
            resolution="Corrected.",
            at=at,
            outcome=Case.Outcome.PUT_RIGHT,
        )


proposals.act(ACT, _preview, _carry_out)


@transaction.atomic
def settle(*, case_id: int, officer: Any, put_right: bool, resolution: str, at: datetime) -> Case:
    """End a wish to correct without a proposal: nothing was wrong, or it was put right in another room.

    Raises:
        NotOpen: it was settled already.
        ValueError: no resolution was given.
    """
    case = locked(case_id, Case.Kind.CORRECTION)
    outcome = Case.Outcome.PUT_RIGHT if put_right else Case.Outcome.NO_FAULT
    close(case, officer=officer, resolution=resolution, at=at, outcome=outcome)
    return case
