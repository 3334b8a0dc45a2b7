"""What people decide about their own data and messages, who looked at it, and who may speak for them."""

from django.conf import settings
from django.db import models
from django.db.models import Q

from lending.fields import EncryptedField
from lending.models.people import Borrower


class Preference(models.Model):
    """A number's word about messages that nobody asked for, for one purpose; without a row they are wanted.

    The number itself is not kept, only its blind index: a stop holds for strangers, too, and outlives an erasure.
    """

    class Purpose(models.TextChoices):
        REMINDERS = "reminders", "Reminders of what is due"
        OFFERS = "offers", "Offers"
        TIPS = "tips", "Tips about saving and business"

    number_index = models.CharField(max_length=64)
    purpose = models.CharField(max_length=9, choices=Purpose.choices)
    stopped_at = models.DateTimeField(null=True, blank=True, help_text="Empty: wanted again.")
    changed_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["number_index", "purpose"], name="preference_once")]

    def __str__(self) -> str:
        return f"{self.get_purpose_display()}: {'stopped' if self.stopped_at else 'wanted'}"


class AccessRecord(models.Model):
    """One look of an officer at a customer's page. Append-only, says PostgreSQL; the customer can read it."""

    class Purpose(models.TextChoices):
        REQUEST = "request", "To answer a request of the customer"
        DECISION = "decision", "To decide about a loan"
        ARREARS = "arrears", "About a late payment"
        CHECK = "check", "To check something that is open"
        OTHER = "other", "Nothing was open"

    borrower = models.ForeignKey(Borrower, models.PROTECT, related_name="looks")
    officer = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    role = models.CharField(max_length=40, help_text="What the officer was at that moment.")
    purpose = models.CharField(max_length=8, choices=Purpose.choices)
    looked_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["borrower", "-looked_at"], name="look_latest")]

    def __str__(self) -> str:
        return f"{self.role}: {self.get_purpose_display().lower()}"


class NextOfKin(models.Model):
    """Who speaks for a customer who has died. The number counts only after a yes from that very phone."""

    borrower = models.ForeignKey(Borrower, models.PROTECT, related_name="next_of_kin")
    name = EncryptedField()
    msisdn = EncryptedField()
    number_index = models.CharField(max_length=64, db_index=True, help_text="Blind index of the number.")
    named_at = models.DateTimeField()
    agreed_at = models.DateTimeField(null=True, blank=True, help_text="When their own phone said yes.")
    ended_at = models.DateTimeField(null=True, blank=True, help_text="Replaced, refused or taken back.")

    class Meta:
        verbose_name_plural = "next of kin"
        constraints = [
            models.UniqueConstraint(
                fields=["borrower"], condition=Q(ended_at__isnull=True), name="next_of_kin_one_at_a_time"
            )
        ]

    def __str__(self) -> str:
        return f"Next of kin of customer {self.borrower_id}"


class Erasure(models.Model):
    """A customer's wish to be forgotten: what could go went at once, the rest goes after `kept_until`."""

    borrower = models.OneToOneField(Borrower, models.PROTECT, related_name="erasure")
    asked_at = models.DateTimeField()
    kept_until = models.DateField(null=True, blank=True, help_text="Until when the law keeps the rest.")
    done_at = models.DateTimeField(null=True, blank=True, help_text="Since then nothing says who it was.")
    counts = models.JSONField(default=dict, help_text="How many rows of what were erased.")

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="erasure_kept_or_done", condition=Q(kept_until__isnull=False) | Q(done_at__isnull=False)
            )
        ]
        indexes = [models.Index(fields=["kept_until"], condition=Q(done_at__isnull=True), name="erasure_waiting")]

    def __str__(self) -> str:
        return f"Erasure of customer {self.borrower_id}"
