"""What somebody who is late says that they will pay, and whether they did."""

from django.conf import settings
from django.db import models
from django.db.models import Q

from lending.models.loans import Loan
from lending.models.people import Borrower


class Promise(models.Model):
    """One promise to pay. It is judged when the promised day is closed; `origin` names the word, so the same one
    counts once."""

    class State(models.TextChoices):
        OPEN = "open", "Waiting for its day"
        KEPT = "kept", "Kept"
        BROKEN = "broken", "Broken"

    class Channel(models.TextChoices):
        PHONE = "phone", "By the customer's phone"
        OFFICER = "officer", "Taken by an officer"

    loan = models.ForeignKey(Loan, models.PROTECT, related_name="promises")
    borrower = models.ForeignKey(Borrower, models.PROTECT, related_name="promises")
    origin = models.CharField(max_length=120, unique=True)
    amount_cents = models.PositiveBigIntegerField()
    promised_on = models.DateField(help_text="The last day for the money.")
    channel = models.CharField(max_length=7, choices=Channel.choices)
    taker = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True)
    made_at = models.DateTimeField()
    state = models.CharField(max_length=6, choices=State.choices, default=State.OPEN)
    judged_at = models.DateTimeField(null=True, blank=True, help_text="When it was last looked at.")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["loan"], condition=Q(state="open"), name="promise_one_open"),
            models.CheckConstraint(name="promise_positive", condition=Q(amount_cents__gt=0)),
            models.CheckConstraint(
                name="promise_taken_by_somebody",
                condition=Q(channel="phone", taker__isnull=True) | Q(channel="officer", taker__isnull=False),
            ),
            models.CheckConstraint(
                name="promise_judged_when",
                condition=Q(state="open", judged_at__isnull=True) | ~Q(state="open") & Q(judged_at__isnull=False),
            ),
        ]
        indexes = [models.Index(fields=["promised_on"], name="promise_by_day")]

    def __str__(self) -> str:
        return f"Promise {self.id}"
