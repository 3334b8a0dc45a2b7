"""Agents: customers whom officers have allowed to help others to register. They see counts and nothing else."""

from django.conf import settings
from django.db import models
from django.db.models import Q

from lending.fields import EncryptedField
from lending.models.people import Borrower


class Agent(models.Model):
    """A customer who helps others to register, from the moment that an officer said yes."""

    class State(models.TextChoices):
        ASKED = "asked", "Waits for an officer"
        APPROVED = "approved", "Approved"
        REFUSED = "refused", "Refused"
        ENDED = "ended", "Ended"

    borrower = models.OneToOneField(Borrower, models.PROTECT, related_name="agent")
    state = models.CharField(max_length=8, choices=State.choices, default=State.ASKED)
    asked_at = models.DateTimeField()
    decided_at = models.DateTimeField(null=True, blank=True)
    decided_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True)
    reason = models.CharField(max_length=300, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="agent_decided_by_an_officer",
                condition=Q(state="asked") | Q(decided_at__isnull=False, decided_by__isnull=False) & ~Q(reason=""),
            )
        ]

    def __str__(self) -> str:
        return f"Agent {self.borrower}"


class Invitation(models.Model):
    """What an agent typed of a newcomer, until the newcomer's own phone says yes and chooses a PIN.

    Number, name and ID go when it ends; what stays is that this agent helped, and when.
    """

    agent = models.ForeignKey(Agent, models.PROTECT, related_name="invitations")
    number_index = models.CharField(max_length=64, db_index=True, help_text="Blind index of the number.")
    msisdn = EncryptedField(blank=True)
    language = models.CharField(max_length=2, help_text="In which the newcomer is asked: the agent's.")
    full_name = EncryptedField(blank=True)
    national_id = EncryptedField(blank=True)
    origin = models.CharField(max_length=120, unique=True)
    invited_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True, blank=True, help_text="When the newcomer was registered.")
    ended_at = models.DateTimeField(null=True, blank=True, help_text="Refused, replaced or too old.")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["number_index"],
                condition=Q(finished_at__isnull=True, ended_at__isnull=True),
                name="invitation_one_open",
            ),
            models.CheckConstraint(
                name="invitation_ended_holds_nothing",
                condition=Q(finished_at__isnull=True, ended_at__isnull=True)
                | Q(msisdn="", full_name="", national_id=""),
            ),
        ]
