"""A forgotten PIN: the customer asks by phone, an officer calls and checks, the customer chooses anew.

Source: docs/domain/pins.md, "The way back".
"""

import hmac
from datetime import datetime

from django.db import transaction

from lending.models import Case
from lending.rules import requests
from lending.selectors.people import find_borrower
from lending.services.people import identity_index
from lending.services.requests import ask


@transaction.atomic
def ask_new_pin(*, msisdn: str, national_id: str, language: str, at: datetime) -> Case:
    """Have an officer call about a new PIN, and tell them whether the national ID that was typed is the right one.

    Whoever asks hears the same either way. Repeats safely: one open request; a right ID counts once it was typed.
    """
    borrower = find_borrower(msisdn)
    typed = identity_index("".join(national_id.split()).replace("-", "").upper())
    is_right = borrower is not None and hmac.compare_digest(typed, borrower.identity_index)
    case = ask(
        kind=Case.Kind.NEW_PIN,
        msisdn=msisdn,
        note="Call and check who speaks; then reset the PIN on the customer's page.",
        language=language,
        at=at,
        details={"national ID": "right" if is_right else "wrong"},
        answer_by=at + requests.CALL_WITHIN,
    )
    if is_right and case.details.get("national ID") != "right":
        case.details = {"national ID": "right"}
        case.save(update_fields=["details"])
    return case
