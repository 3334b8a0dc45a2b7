"""Effects owed to the world, written in the same transaction as their cause."""

from django.db import models
from django.db.models import Q


class OutboxMessage(models.Model):
    """One effect. `reference` is unique, so the same cause owes it once. Payloads carry ids only."""

    topic = models.CharField(max_length=40)
    reference = models.CharField(max_length=140, unique=True)
    payload = models.JSONField()
    created_at = models.DateTimeField()
    due_at = models.DateTimeField()
    leased_until = models.DateTimeField(null=True, blank=True)
    tries = models.PositiveSmallIntegerField(default=0)
    done_at = models.DateTimeField(null=True, blank=True)
    parked_at = models.DateTimeField(null=True, blank=True, help_text="Failed too often; a case is open.")
    last_error = models.CharField(max_length=300, blank=True)

    class Meta:
        indexes = [
            models.Index(
                fields=["due_at"],
                condition=Q(done_at__isnull=True, parked_at__isnull=True),
                name="outbox_due",
            )
        ]

    def __str__(self) -> str:
        return self.reference


class JobRun(models.Model):
    """One daily job on one business date. Any number of workers do it; it is done when one of them says so."""

    CLOSE_OF_BUSINESS = "close_of_business"

    job = models.CharField(max_length=40)
    business_date = models.DateField()
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True, blank=True)
    result = models.JSONField(default=dict)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["job", "business_date"], name="job_once_a_day")]
