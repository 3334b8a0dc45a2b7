"""Complaints: taken with a reference, taken up by an officer, answered in words that the customer reads.

The clocks are the country pack's. Source: docs/domain/requests.md.
"""

from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import transaction

from lending import outbox
from lending.models import Case
from lending.rules import calendar, requests
from lending.selectors import products
from lending.services import audit
from lending.services.requests import ask, close, locked


class AnswerMissing(ValueError):
    """A complaint is answered with an outcome and in words that the customer reads."""


@transaction.atomic
def complain(*, msisdn: str, topic: str, language: str, at: datetime) -> Case:
    """Take a complaint about a topic, or return the one about it that is open; an SMS confirms it."""
    law = products.country_rules(settings.COUNTRY, calendar.business_date(at, settings.TIME_ZONE))
    clocks = requests.complaint_clocks(law, at)
    return ask(
        kind=Case.Kind.COMPLAINT,
        msisdn=msisdn,
        about=Case.Topic(topic),
        topic=topic,
        note="",
        language=language,
        at=at,
        details={"escalate_to": (law.complaints.escalate_to if law.complaints else None) or ""},
        acknowledge_by=clocks.acknowledge_by,
        answer_by=clocks.answer_by,
    )


@transaction.atomic
def take_up(*, case_id: int, officer: Any, at: datetime) -> Case:
    """Say that a person has begun with a complaint. Repeats safely: the first officer stands.

    Raises:
        NotOpen: it is answered already, or no complaint.
    """
    case = locked(case_id, Case.Kind.COMPLAINT)
    if case.acknowledged_at is None:
        case.acknowledged_at = at
        case.save(update_fields=["acknowledged_at"])
        audit.record("complaint_taken_up", subject=f"case:{case.id}", borrower=case.borrower, actor=officer, at=at)
        outbox.write("request_taken_up", reference=f"request_taken_up:{case.id}", at=at, case_id=case.id)
    return case


@transaction.atomic
def answer(*, case_id: int, officer: Any, outcome: str, words: str, resolution: str, at: datetime) -> Case:
    """Answer a complaint: the outcome and `words` go to the customer, `resolution` stays with us.

    Raises:
        AnswerMissing: no words for the customer.
        ValueError: no resolution, or no such outcome.
        NotOpen: it is answered already, or no complaint.
    """
    if not words.strip():
        raise AnswerMissing("a complaint needs words that the customer reads")
    case = locked(case_id, Case.Kind.COMPLAINT)
    close(
        case,
        officer=officer,
        resolution=resolution,
        at=at,
        outcome=Case.Outcome(outcome),
        answer=words.strip()[:60],
        acknowledged_at=case.acknowledged_at or at,
    )
    audit.record(
        "complaint_answered",
        subject=f"case:{case.id}",
        borrower=case.borrower,
        actor=officer,
        reason=resolution,
        at=at,
        outcome=outcome,
    )
    return case
