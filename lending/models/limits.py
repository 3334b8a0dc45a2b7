"""A higher limit is the customer's to take where the law says so."""

from django.db import models
from django.db.models import Q

from lending.models.loans import Loan
from lending.models.people import Borrower


class LimitRaise(models.Model):
    """A rung that a clean loan has earned, and what the customer said to it.

    It is in force only when it is accepted; `text_version` and `language` name the words that were answered.
    """

    class State(models.TextChoices):
        OFFERED = "offered", "Offered"
        ACCEPTED = "accepted", "Accepted"
        DECLINED = "declined", "Declined"
        WITHDRAWN = "withdrawn", "Withdrawn: a later loan was late"

    borrower = models.ForeignKey(Borrower, models.PROTECT, related_name="limit_raises")
    earned_by = models.OneToOneField(Loan, models.PROTECT, related_name="limit_raise")
    rung = models.PositiveSmallIntegerField()
    limit_cents = models.PositiveBigIntegerField()
    state = models.CharField(max_length=10, choices=State.choices, default=State.OFFERED)
    offered_at = models.DateTimeField()
    answered_at = models.DateTimeField(null=True, blank=True)
    text_version = models.CharField(max_length=20, blank=True)
    language = models.CharField(max_length=2, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["borrower"], condition=Q(state="offered"), name="limit_raise_one_offered"
            ),
            models.CheckConstraint(
                name="limit_raise_answer_has_its_words",
                condition=Q(state__in=["offered", "withdrawn"])
                | (Q(answered_at__isnull=False) & ~Q(text_version="") & ~Q(language="")),
            ),
        ]

    def __str__(self) -> str:
        return f"rung {self.rung} {self.state}"
