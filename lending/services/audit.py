"""The trail of acts."""

from datetime import datetime
from typing import Any

from lending.models import AuditEvent


def record(
    action: str,
    *,
    subject: str,
    at: datetime,
    actor: Any = None,
    borrower: Any = None,
    reason: str = "",
    **detail: Any,
) -> AuditEvent:
    """Append one act to the trail. `detail` must hold no secret."""
    return AuditEvent.objects.create(
        actor=actor,
        action=action,
        subject=subject,
        borrower=borrower,
        detail=detail,
        reason=reason[:300],
        happened_at=at,
    )
