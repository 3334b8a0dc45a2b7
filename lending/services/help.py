"""A person, please: a message that an officer reads, and the wish to be called.

Source: docs/domain/requests.md.
"""

from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import transaction

from lending import outbox
from lending.models import Case
from lending.rules import calendar, requests
from lending.rules.country import Country
from lending.selectors import products
from lending.services import cases
from lending.services.requests import ask


@transaction.atomic
def ask_for_person(*, msisdn: str, said: str, language: str, at: datetime) -> Case:
    """Let an officer read what somebody wrote and call them; what they write next joins the open case.

    `said` must hold no PIN and no whole national ID.
    """
    case = ask(
        kind=Case.Kind.HELP,
        msisdn=msisdn,
        note=said,
        language=language,
        at=at,
        is_told=False,
        answer_by=at + requests.CALL_WITHIN,
    )
    if said:
        cases.add_note(Case.objects.select_for_update().get(id=case.id), said)
    return case


@transaction.atomic
def call_back(*, msisdn: str, language: str, at: datetime, part: int | None = None) -> Case:
    """Promise a call in one of the parts of the day (0, 1, 2; None: the next one), told by SMS.

    Asking again moves the promise that is open.
    """
    law = _law(at)
    chosen = requests.parts_of_day(law.contact)[requests.soonest_part(law, at) if part is None else part]
    begins, ends = requests.next_time(law, chosen, at)
    promised: dict[str, Any] = {
        "note": f"To be called on {begins:%-d %B} from {begins:%H:%M} to {ends:%H:%M}.",
        "details": {"from": begins.isoformat(), "to": ends.isoformat()},
        "answer_by": ends,
    }
    case = ask(kind=Case.Kind.CALL_BACK, msisdn=msisdn, language=language, at=at, is_told=False, **promised)
    Case.objects.filter(id=case.id).update(**promised)
    case.refresh_from_db()
    reference = f"request_taken:{case.id}:{begins.isoformat()}"
    outbox.write("request_taken", reference=reference, at=at, case_id=case.id)
    return case


def _law(at: datetime) -> Country:
    return products.country_rules(settings.COUNTRY, calendar.business_date(at, settings.TIME_ZONE))
