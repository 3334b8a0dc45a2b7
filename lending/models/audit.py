"""Who did what to whom, and why. Append-only, like the ledger."""

from django.conf import settings
from django.db import models

from lending.models.people import Borrower


class AuditEvent(models.Model):
    """One act. `actor` is empty when the system itself acted."""

    actor = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True)
    action = models.CharField(max_length=40)
    subject = models.CharField(max_length=80)
    borrower = models.ForeignKey(Borrower, models.PROTECT, null=True, blank=True, related_name="audit_events")
    detail = models.JSONField(default=dict)
    reason = models.CharField(max_length=300, blank=True)
    happened_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.action} {self.subject}"
