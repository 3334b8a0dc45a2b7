"""The beat schedule, from fixtures/schedule.json into django-celery-beat's tables.

Officers may change a time in the admin; loading again never moves a row that is there.
"""

import json
from pathlib import Path
from typing import Any

from django.conf import settings
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask


def load_schedule() -> None:
    """Insert the periodic tasks that are missing."""
    for row in json.loads((Path(settings.BASE_DIR) / "fixtures" / "schedule.json").read_text()):
        PeriodicTask.objects.get_or_create(
            name=row["name"],
            defaults={
                "task": row["task"],
                "queue": row["queue"],
                "kwargs": json.dumps({"queue": row["queue"]} if "every_seconds" in row else {}),
                # A missed sweep is not worth making up for: the next one does the same work.
                "expire_seconds": row.get("every_seconds"),
                **_when(row),
            },
        )


def _when(row: dict[str, Any]) -> dict[str, Any]:
    if "every_seconds" in row:
        every, _ = IntervalSchedule.objects.get_or_create(every=row["every_seconds"], period="seconds")
        return {"interval": every}
    minute, hour, day, month, weekday = row["crontab"].split()
    crontab, _ = CrontabSchedule.objects.get_or_create(
        minute=minute,
        hour=hour,
        day_of_month=day,
        month_of_year=month,
        day_of_week=weekday,
        timezone=settings.TIME_ZONE,
    )
    return {"crontab": crontab}
