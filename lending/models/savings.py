"""Savings, held by a licensed partner; this book mirrors what the partner reports."""

from django.db import models
from django.db.models import Q

from lending.models.people import Borrower


class SavingsAccount(models.Model):
    borrower = models.OneToOneField(Borrower, models.PROTECT, related_name="savings_account")
    partner = models.CharField(max_length=40)
    currency = models.CharField(max_length=3)
    balance_cents = models.PositiveBigIntegerField(default=0)
    opened_at = models.DateTimeField()


class SavingsMovement(models.Model):
    class Kind(models.TextChoices):
        DEPOSIT = "deposit", "Deposit"
        WITHDRAWAL = "withdrawal", "Withdrawal"

    account = models.ForeignKey(SavingsAccount, models.PROTECT, related_name="movements")
    kind = models.CharField(max_length=10, choices=Kind.choices)
    amount_cents = models.PositiveBigIntegerField()
    reference = models.CharField(max_length=40, unique=True, help_text="The partner's own.")
    moved_at = models.DateTimeField()

    class Meta:
        constraints = [models.CheckConstraint(name="savings_movement_positive", condition=Q(amount_cents__gt=0))]
        indexes = [models.Index(fields=["account", "moved_at"], name="savings_by_account")]
