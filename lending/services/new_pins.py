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

MOST_TRIES = 3


@transaction.atomic
def ask_new_pin(*, msisdn: str, national_id: str, language: str, at: datetime) -> Case:
    """Have an officer call about a new PIN, and tell them whether the national ID that was typed is the right one.

    Whoever asks hears the same either way. One request is open at a time; three tries are looked at, so that
    nobody types numbers until one is right.
    """
    case = ask(
        kind=Case.Kind.NEW_PIN,
        msisdn=msisdn,
        note="Call and check who speaks; then reset the PIN on the customer's page.",
        language=language,
        at=at,
        details={"national ID": "wrong", "tries": 0},
        answer_by=at + requests.CALL_WITHIN,
    )
    case = Case.objects.select_for_update(of=("self",)).get(id=case.id)
    tries = case.details["tries"] + 1
    if tries <= MOST_TRIES:
        is_right = case.details["national ID"] == "right" or _is_theirs(msisdn, national_id)
        case.details = {"national ID": "right" if is_right else "wrong", "tries": tries}
        case.save(update_fields=["details"])
    return case


def _is_theirs(msisdn: str, national_id: str) -> bool:
    borrower = find_borrower(msisdn)
    typed = identity_index("".join(national_id.split()).replace("-", "").upper())
    return borrower is not None and hmac.compare_digest(typed, borrower.identity_index)
