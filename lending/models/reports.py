"""Reports as they were counted when a business date was closed."""

from django.db import models


class ReportSnapshot(models.Model):
    """The rows of one report as of the end of a business date, by one definition. Append-only.

    `last_event_id` is the latest fact of a loan that was known then: what was told later is not in the rows.
    """

    report = models.CharField(max_length=40)
    business_date = models.DateField()
    definition = models.CharField(max_length=12, help_text="Version of what the report counts, and how.")
    rows = models.JSONField()
    last_event_id = models.BigIntegerField()
    taken_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["report", "business_date", "definition"], name="report_snapshot_once")
        ]

    def __str__(self) -> str:
        return f"{self.report} on {self.business_date.isoformat()}"
