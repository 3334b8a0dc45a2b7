"""A small trader's book: what was sold, spent and lent to customers, as they wrote it down themselves.

Nothing in it is our money, and nobody but its owner wrote it: lending.rules.business says what it may prove.
"""

from django.db import models
from django.db.models import Q

from lending.models.people import Borrower


class BookEntry(models.Model):
    """One line of a trader's book, once per `origin`. A wrong one is taken back by a line that reverses it.

    PostgreSQL refuses to change these rows, and a reversal that is not the mirror of its line.
    """

    class Kind(models.TextChoices):
        SALE = "sale", "Sale"
        EXPENSE = "expense", "Expense"
        STOCK = "stock", "Stock bought"
        CREDIT_GIVEN = "credit_given", "Sold on credit"
        CREDIT_PAID = "credit_paid", "Credit paid back"
        CASH_COUNTED = "cash_counted", "Cash counted"

    OF_CUSTOMERS = (Kind.CREDIT_GIVEN, Kind.CREDIT_PAID)

    borrower = models.ForeignKey(Borrower, models.PROTECT, db_index=False, related_name="book")
    kind = models.CharField(max_length=12, choices=Kind.choices)
    amount_cents = models.PositiveBigIntegerField()
    currency = models.CharField(max_length=3)
    happened_on = models.DateField(help_text="The local day that it counts for.")
    customer = models.CharField(max_length=30, blank=True, help_text="Who owes or paid: a name or a number.")
    note = models.CharField(max_length=40, blank=True)
    reverses = models.OneToOneField("self", models.PROTECT, null=True, blank=True, related_name="reversed_by")
    origin = models.CharField(max_length=120, unique=True)
    recorded_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="book_entry_positive", condition=Q(amount_cents__gt=0) | Q(kind="cash_counted")
            ),
            models.CheckConstraint(
                name="book_entry_names_customer",
                condition=Q(kind__in=["credit_given", "credit_paid"]) & ~Q(customer="")
                | ~Q(kind__in=["credit_given", "credit_paid"]) & Q(customer=""),
            ),
        ]
        indexes = [models.Index(fields=["borrower", "happened_on"], name="book_by_day")]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.happened_on}"
