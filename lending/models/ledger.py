"""Double entry, append-only. PostgreSQL refuses an unbalanced posting and any change to what is written
(the triggers are in the first migration); lending.ledger is the only writer.
"""

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from lending.models.loans import Loan
from lending.models.people import Borrower


class Account(models.Model):
    """An account of the general ledger, from fixtures/accounts.json."""

    class Kind(models.TextChoices):
        ASSET = "asset", "Asset"
        LIABILITY = "liability", "Liability"
        EQUITY = "equity", "Equity"
        INCOME = "income", "Income"
        EXPENSE = "expense", "Expense"

    code = models.SlugField(max_length=40, primary_key=True)
    name = models.CharField(max_length=80)
    kind = models.CharField(max_length=9, choices=Kind.choices)

    def __str__(self) -> str:
        return self.name


class Posting(models.Model):
    """One event in money. `reference` is unique: the same event posted again is the same posting."""

    class Kind(models.TextChoices):
        CAPITAL = "capital", "Float paid in"
        RESERVATION = "reservation", "Payout reserved"
        DISBURSEMENT = "disbursement", "Loan paid out"
        REPAYMENT = "repayment", "Repayment"
        SUSPENSE = "suspense", "Money in suspense"
        CHARGE = "charge", "Charge"
        PENALTY = "penalty", "Penalty"
        WAIVER = "waiver", "Waiver"
        REBATE = "rebate", "Rebate for paying early"
        REALLOCATION = "reallocation", "Money moved to principal"
        SMALL_BALANCE = "small_balance", "Small balance forgiven"
        CHARGE_OFF = "charge_off", "Charge-off"
        WRITE_OFF = "write_off", "Write-off"
        RECOVERY = "recovery", "Recovery after write-off"
        REPAYMENT_KEPT = "repayment_kept", "Kept money that found its loan"
        ACCRUAL = "accrual", "Interest earned"
        FEE_EARNED = "fee_earned", "Fee earned over the term"
        SAVINGS = "savings", "Savings movement"
        REFUND = "refund", "Money given back"
        REVERSAL = "reversal", "Reversal"

    kind = models.CharField(max_length=14, choices=Kind.choices)
    reference = models.CharField(max_length=120)
    borrower = models.ForeignKey(Borrower, models.PROTECT, null=True, blank=True, related_name="postings")
    # A trigger asks for the loan once a statement, where a foreign key would for each row.
    loan = models.ForeignKey(
        Loan, models.PROTECT, null=True, blank=True, related_name="postings", db_constraint=False
    )
    event_key = models.CharField(
        max_length=120, blank=True, help_text="The event of the loan that it books, also again."
    )
    reverses = models.OneToOneField("self", models.PROTECT, null=True, blank=True, related_name="reversed_by")
    occurred_at = models.DateTimeField(help_text="When it happened, by the operator's clock.")
    business_date = models.DateField(
        db_index=True, help_text="Its local day, or the first open one if that day's period was closed already."
    )
    booked_at = models.DateTimeField()

    class Meta:
        # Named here and not in the fields, which would each bring a second index for patterns.
        constraints = [models.UniqueConstraint(fields=["reference"], name="posting_once")]
        indexes = [models.Index(fields=["event_key"], name="posting_by_event")]

    def __str__(self) -> str:
        return self.reference


class Entry(models.Model):
    """One leg: either a debit or a credit, never both, never neither.

    Triggers ask for posting and account once a statement, where foreign keys would for each row.
    """

    posting = models.ForeignKey(Posting, models.PROTECT, related_name="entries", db_constraint=False)
    account = models.ForeignKey(
        Account, models.PROTECT, related_name="entries", db_constraint=False, db_index=False
    )
    currency = models.CharField(max_length=3)
    debit_cents = models.PositiveBigIntegerField(default=0)
    credit_cents = models.PositiveBigIntegerField(default=0)

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="entry_is_debit_or_credit",
                condition=Q(debit_cents__gt=0, credit_cents=0) | Q(debit_cents=0, credit_cents__gt=0),
            )
        ]
        indexes = [models.Index(fields=["account"], name="entry_by_account")]


class Checkpoint(models.Model):
    """What an account moved on one business date, over the entries after the checkpoint before and up to
    `last_entry_id`. All of them together, and the entries after the last, are the books by account and day.
    """

    account = models.ForeignKey(Account, models.PROTECT, related_name="checkpoints")
    currency = models.CharField(max_length=3)
    business_date = models.DateField()
    last_entry_id = models.BigIntegerField(db_index=True)
    debit_cents = models.BigIntegerField()
    credit_cents = models.BigIntegerField()
    made_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["account", "currency", "business_date", "last_entry_id"], name="checkpoint_once"
            )
        ]


class PostingHash(models.Model):
    """A posting's place in the hash chain, in the order of ids; lending.chain is the only writer."""

    posting = models.OneToOneField(Posting, models.PROTECT, primary_key=True, related_name="chained")
    hash = models.BinaryField(max_length=32)

    def __str__(self) -> str:
        return bytes(self.hash).hex()


class PeriodClosing(models.Model):
    """The end of an accounting period: nothing is booked on or before `last_on` any more, says PostgreSQL.

    The period began on the day after the last closing before. `head_posting_id` and `head_hash` are the end of
    the hash chain in that moment, so they stand for every posting of the period.
    """

    last_on = models.DateField(unique=True)
    maker = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    checker = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    head_posting_id = models.BigIntegerField()
    head_hash = models.BinaryField(max_length=32)
    closed_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(name="period_closed_by_two", condition=~Q(maker=F("checker"))),
        ]

    def __str__(self) -> str:
        return f"until {self.last_on.isoformat()}"
