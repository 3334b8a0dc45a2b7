"""When borrowers paid before, as the hour of their day."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection

# Habits change.
REMEMBERED = timedelta(days=180)
HOURS = """
    SELECT borrower_id, array_agg(extract(hour FROM paid_at AT TIME ZONE %(zone)s)::int)
      FROM lending_receipt
     WHERE borrower_id = ANY(%(borrowers)s) AND paid_at >= %(since)s AND paid_at < %(at)s
     GROUP BY borrower_id
"""


def hours_paid(borrower_ids: Sequence[int], at: datetime) -> dict[int, list[int]]:
    """Return the hours of the day, local time, at which each borrower paid in the last half year."""
    facts = {"zone": settings.TIME_ZONE, "borrowers": list(borrower_ids), "since": at - REMEMBERED, "at": at}
    with connection.cursor() as cursor:
        cursor.execute(HOURS, facts)
        return dict(cursor.fetchall())
