"""The daily loss brake: a product that loses too much makes no new loans until a person has looked."""

from datetime import date, datetime

from lending.models import Case
from lending.rules import limits
from lending.selectors import limits as standing
from lending.services import cases


def pull_brakes(on: date, at: datetime) -> list[str]:
    """Pause each product whose losses as of the end of a date are above its brake; return their codes.

    The open case is the pause: closing it, in words, lets the product go on. Repeats safely.
    """
    pulled = []
    for product in standing.latest_versions(on):
        brake = limits.brake_from(product.loss_brake)
        reason = limits.brake_reason(standing.losses(product.code, brake, on), brake)
        if not reason or standing.is_paused(product.code):
            continue
        cases.open_case(
            kind=Case.Kind.LOSS_BRAKE,
            subject_key=standing.brake_subject(product.code),
            note=f"{product.name}: {reason}. No new loan of it is approved until this case is closed.",
            at=at,
        )
        pulled.append(product.code)
    return pulled
