"""A copy of what is held: at once and in three SMS, since every phone can read those; on paper by an officer.

Source: docs/domain/data_rights.md, "A copy".
"""

from datetime import datetime

from django.conf import settings
from django.db import transaction

from lending import outbox
from lending.models import Borrower, Case
from lending.rules import calendar, requests
from lending.selectors import products
from lending.services import audit
from lending.services.requests import ask

PARTS = ("person", "money", "rest")


@transaction.atomic
def send_summary(*, borrower_id: int, origin: str, at: datetime) -> None:
    """Owe the three messages of a summary, once per `origin`."""
    borrower = Borrower.objects.get(id=borrower_id)
    audit.record("data_summary_asked", subject=f"borrower:{borrower_id}", borrower=borrower, at=at)
    for part in PARTS:
        outbox.write(
            "data_copy",
            reference=f"data_copy:{origin}:{part}",
            at=at,
            borrower_id=borrower_id,
            origin=origin,
            part=part,
        )


@transaction.atomic
def ask_whole_copy(*, msisdn: str, language: str, at: datetime) -> Case:
    """Ask officers for everything on paper; the law's clock begins. Repeats safely."""
    law = products.country_rules(settings.COUNTRY, calendar.business_date(at, settings.TIME_ZONE))
    return ask(
        kind=Case.Kind.DATA_COPY,
        msisdn=msisdn,
        note="Print the copy on the customer's page and hand it over against the ID card.",
        language=language,
        at=at,
        answer_by=requests.copy_due(law, at),
    )
