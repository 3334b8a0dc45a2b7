"""Acts that take two people: one proposes, another decides. PostgreSQL refuses the same person twice."""

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from lending.models.people import Borrower


class Proposal(models.Model):
    """An act as somebody proposed it, with the preview that both of them saw.

    `subject` names what it is about ("loan:12"), so that what is pending can be shown on the record itself.
    """

    class State(models.TextChoices):
        PENDING = "pending", "Waiting for a second person"
        APPROVED = "approved", "Approved and carried out"
        REFUSED = "refused", "Refused"
        WITHDRAWN = "withdrawn", "Taken back"

    act = models.CharField(max_length=30, help_text="A key of lending.services.proposals.ACTS.")
    subject = models.CharField(max_length=60)
    borrower = models.ForeignKey(Borrower, models.PROTECT, null=True, blank=True, related_name="proposals")
    details = models.JSONField(help_text="The arguments of the act, without any secret.")
    preview = models.JSONField(default=dict, help_text="What it would change, as it was shown.")
    state = models.CharField(max_length=9, choices=State.choices, default=State.PENDING)
    maker = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="proposals_made")
    reason = models.CharField(max_length=300)
    made_at = models.DateTimeField()
    checker = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="proposals_checked"
    )
    remark = models.CharField(max_length=300, blank=True)
    decided_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["act", "subject"], condition=Q(state="pending"), name="proposal_one_pending"
            ),
            models.CheckConstraint(name="proposal_has_reason", condition=~Q(reason="")),
            models.CheckConstraint(
                name="proposal_decided_by_another",
                condition=Q(state="pending", checker__isnull=True, decided_at__isnull=True)
                | Q(state="withdrawn", checker__isnull=True, decided_at__isnull=False)
                | Q(state__in=["approved", "refused"], checker__isnull=False, decided_at__isnull=False)
                & ~Q(checker=F("maker")),
            ),
        ]
        indexes = [models.Index(fields=["subject"], name="proposal_by_subject")]

    def __str__(self) -> str:
        return f"{self.act.replace('_', ' ').capitalize()} ({self.subject})"
