"""The brakes: what loses too much makes no new loans until a person has looked, and a person may stop lending.

Each is an open case; closing it, in words, lets lending go on. Every worker looks before it approves, so both take
effect with the next decision.
"""

from datetime import date, datetime
from typing import Any

from django.db import transaction

from lending.models import Case
from lending.rules import limits
from lending.selectors import limits as standing
from lending.services import audit, cases

# What a person may stop -> what the case is about, and what it means.
STOPS = {
    "computer": (standing.COMPUTER, "The computer approves nothing: a person looks at each application."),
    "lending": (standing.ALL_PRODUCTS, "No new loan is made, by the computer or by a person."),
}


def pull_brakes(on: date, at: datetime) -> list[str]:
    """Pause each product whose losses as of the end of a date are above its brake; return their codes.

    The open case is the pause: closing it, in words, lets the product go on. Repeats safely. While a person has
    stopped all lending it is pulled, too, and outlasts that stop.
    """
    pulled = []
    for product in standing.latest_versions(on):
        brake = limits.brake_from(product.loss_brake)
        reason = limits.brake_reason(standing.losses(product.code, brake, on), brake)
        if not reason or standing.brake_is_pulled(product.code):
            continue
        cases.open_case(
            kind=Case.Kind.LOSS_BRAKE,
            subject_key=standing.brake_subject(product.code),
            note=f"{product.name}: {reason}. No new loan of it is approved until this case is closed.",
            at=at,
        )
        pulled.append(product.code)
    return pulled


@transaction.atomic
def stop(*, what: str, officer: Any, reason: str, at: datetime) -> Case:
    """Stop the computer, or all lending, from the next decision on; `what` is one of STOPS.

    Repeats safely: what is stopped already stays as it was stopped.

    Raises:
        ValueError: no reason was given.
    """
    if not reason.strip():
        raise ValueError("lending is stopped with a reason in words")
    subject, means = STOPS[what]
    case = cases.open_case(
        kind=Case.Kind.STOPPED,
        subject_key=subject,
        note=f"{means} {officer.get_username()}: {reason.strip()[:300]}",
        at=at,
    )
    if case.opened_at == at:
        audit.record("lending_stopped", subject=f"case:{case.pk}", actor=officer, reason=reason, at=at, what=what)
    return case


@transaction.atomic
def let_go(*, what: str, officer: Any, reason: str, at: datetime) -> int:
    """Let the computer, or all lending, go on; return how many stops that ended, which is 0 where there was none.

    Raises:
        ValueError: no reason was given.
    """
    open_now = Case.objects.filter(kind=Case.Kind.STOPPED, subject_key=STOPS[what][0], closed_at__isnull=True)
    found = list(open_now.values_list("id", flat=True))
    for case_id in found:
        cases.close_case(case_id=case_id, officer=officer, resolution=reason, at=at)
    return len(found)
