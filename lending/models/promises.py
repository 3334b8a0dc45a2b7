"""What somebody who is late tells us: why, and what they will pay, and whether they did."""

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


class LateReason(models.Model):
    """Why somebody is late, by their own word on the phone. `origin` names it, so the same word counts once."""

    class Reason(models.TextChoices):
        FORGOT = "forgot", "Forgot"
        NOT_PAID = "not_paid", "A customer has not paid them"
        SICK = "sick", "Sickness"
        CANNOT = "cannot", "Cannot pay"
        DISPUTE = "dispute", "Says that it is wrong"
        LOST_PHONE = "lost_phone", "The phone was lost"

    # What leads to what the product grants.
    HARDSHIP = (Reason.NOT_PAID, Reason.SICK, Reason.CANNOT, Reason.LOST_PHONE)

    loan = models.ForeignKey(Loan, models.PROTECT, related_name="late_reasons")
    borrower = models.ForeignKey(Borrower, models.PROTECT, related_name="late_reasons")
    origin = models.CharField(max_length=120, unique=True)
    reason = models.CharField(max_length=10, choices=Reason.choices)
    days_late = models.PositiveIntegerField()
    told_on = models.DateField(help_text="The business date.")
    told_at = models.DateTimeField()

    class Meta:
        constraints = [models.CheckConstraint(name="late_reason_of_who_is_late", condition=Q(days_late__gt=0))]
        indexes = [models.Index(fields=["loan", "told_on"], name="late_reason_of_loan")]

    def __str__(self) -> str:
        return self.get_reason_display()
