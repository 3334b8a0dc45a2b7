"""Officers' looks at customers' pages. Nobody removes one, says PostgreSQL, and the customer can read them.

Source: docs/domain/data_rights.md, "Who looked".
"""

from datetime import datetime
from typing import Any

from lending.models import AccessRecord
from lending.selectors import personal_data

ADMINISTRATOR = "Administrators"
NOBODY = "Staff"


def record_look(*, borrower_id: int, officer: Any, at: datetime) -> AccessRecord:
    """Write down that an officer looked at a customer's page, as what, and what for: the work that was open."""
    group = officer.groups.order_by("name").first()
    role = group.name if group else ADMINISTRATOR if officer.is_superuser else NOBODY
    return AccessRecord.objects.create(
        borrower_id=borrower_id,
        officer=officer,
        role=role[:40],
        purpose=personal_data.purpose_of_look(borrower_id),
        looked_at=at,
    )
