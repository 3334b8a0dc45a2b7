"""The trail of acts."""

from datetime import datetime
from typing import Any

from lending.models import AuditEvent


def record(action: str, **said: Any) -> AuditEvent:
    """Append one act to the trail, told as to `act`."""
    event = act(action, **said)
    event.save()
    return event


def act(
    action: str,
    *,
    subject: str,
    at: datetime,
    actor: Any = None,
    borrower: Any = None,
    reason: str = "",
    **detail: Any,
) -> AuditEvent:
    """Return an act that is not stored yet. `detail` must hold no secret."""
    return AuditEvent(
        actor=actor,
        action=action,
        subject=subject,
        borrower=borrower,
        detail=detail,
        reason=reason[:300],
        happened_at=at,
    )
