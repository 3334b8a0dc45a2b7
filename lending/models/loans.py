"""From application to settled loan."""

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from lending.models.people import Borrower
from lending.models.products import CountryPack, ProductVersion


class Application(models.Model):
    """What a borrower asked for, and the key facts that were on the screen when they accepted.

    `origin` names the accepted hop ("ussd:<session>:<hop>"), so the same hop never applies twice.
    """

    class State(models.TextChoices):
        SUBMITTED = "submitted", "Being decided"
        REFERRED = "referred", "With an officer"
        APPROVED = "approved", "Approved"
        DECLINED = "declined", "Declined"

    borrower = models.ForeignKey(Borrower, models.PROTECT, related_name="applications")
    product_version = models.ForeignKey(ProductVersion, models.PROTECT)
    country_pack = models.ForeignKey(CountryPack, models.PROTECT)
    origin = models.CharField(max_length=120, unique=True)
    reference = models.CharField(max_length=8, unique=True, help_text="Short code said to the customer.")
    principal_cents = models.PositiveBigIntegerField()
    fee_cents = models.PositiveBigIntegerField()
    tax_cents = models.PositiveBigIntegerField()
    apr = models.DecimalField(max_digits=9, decimal_places=4)
    key_facts_text = models.TextField()
    key_facts_language = models.CharField(max_length=2)
    key_facts_version = models.CharField(max_length=20)
    key_facts_shown_at = models.DateTimeField()
    terms_read = models.BooleanField(default=False)
    state = models.CharField(max_length=10, choices=State.choices, default=State.SUBMITTED)
    submitted_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["borrower", "-submitted_at"], name="application_latest")]
        constraints = [
            # Two dials at the same moment are still one request: nobody is judged twice at once.
            models.UniqueConstraint(
                fields=["borrower"],
                condition=Q(state__in=["submitted", "referred"]),
                name="application_one_undecided",
            ),
            models.CheckConstraint(name="application_principal_positive", condition=Q(principal_cents__gt=0)),
        ]

    def __str__(self) -> str:
        return f"Application {self.reference}"

    @property
    def total_cents(self) -> int:
        return self.principal_cents + self.fee_cents + self.tax_cents


class Decision(models.Model):
    """The computer's verdict on one application, whole: replaying `inputs` gives the same answer."""

    class Outcome(models.TextChoices):
        APPROVE = "approve", "Approve"
        DECLINE = "decline", "Decline"
        REFER = "refer", "Refer to an officer"

    application = models.OneToOneField(Application, models.PROTECT, related_name="decision")
    outcome = models.CharField(max_length=8, choices=Outcome.choices)
    score = models.FloatField(null=True, blank=True, help_text="Chance of default, 0 to 1; empty: not scored.")
    offer = models.JSONField(default=dict, help_text="Weight of each next offer: microloan, savings, neither.")
    limit_cents = models.PositiveBigIntegerField()
    inputs = models.JSONField(help_text="Features and facts exactly as they were judged.")
    reasons = models.JSONField(help_text="Codes with their values, weightiest first.")
    next_step = models.CharField(max_length=40, blank=True, help_text="Code of what the customer can do now.")
    model_version = models.CharField(max_length=60, blank=True)
    feature_version = models.CharField(max_length=40)
    policy_version = models.CharField(max_length=40)
    propensity = models.FloatField(default=1.0, help_text="Chance of this outcome under exploration.")
    decided_at = models.DateTimeField()
    latency_ms = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="decision_score_is_a_chance", condition=Q(score__isnull=True) | Q(score__range=(0, 1))
            ),
            models.CheckConstraint(
                name="decision_refusal_has_reason_and_step",
                condition=Q(outcome="approve") | (~Q(reasons=[]) & ~Q(next_step="")),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_outcome_display()} {self.application_id}"


class Review(models.Model):
    """A loan officer's word on a referred application."""

    application = models.OneToOneField(Application, models.PROTECT, related_name="review")
    officer = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT)
    approved = models.BooleanField()
    reason = models.CharField(max_length=300, help_text="For the record; the customer does not read it.")
    code = models.CharField(max_length=40, blank=True, help_text="What the customer is told of a decline.")
    next_step = models.CharField(max_length=40, blank=True, help_text="Code of what the customer can do now.")
    reviewed_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(name="review_has_reason", condition=~Q(reason="")),
            models.CheckConstraint(
                name="review_decline_has_code_and_step",
                condition=Q(approved=True) | (~Q(code="") & ~Q(next_step="")),
            ),
        ]


class Loan(models.Model):
    """Money lent. It is live only from the moment that the operator completed the payout."""

    class State(models.TextChoices):
        APPROVED = "approved", "Payout under way"
        LIVE = "live", "Live"
        SETTLED = "settled", "Settled"
        NOT_PAID_OUT = "not_paid_out", "Payout failed"
        WRITTEN_OFF = "written_off", "Written off"

    OPEN = (State.APPROVED, State.LIVE)

    borrower = models.ForeignKey(Borrower, models.PROTECT, related_name="loans")
    application = models.OneToOneField(Application, models.PROTECT, related_name="loan")
    product_version = models.ForeignKey(ProductVersion, models.PROTECT)
    country_pack = models.ForeignKey(CountryPack, models.PROTECT)
    reference = models.CharField(max_length=8, unique=True)
    identity_index = models.CharField(max_length=64)
    currency = models.CharField(max_length=3)
    principal_cents = models.PositiveBigIntegerField()
    fee_cents = models.PositiveBigIntegerField()
    tax_cents = models.PositiveBigIntegerField()
    outstanding_cents = models.PositiveBigIntegerField(
        help_text="What the borrower still owes; the audit recounts it."
    )
    state = models.CharField(max_length=12, choices=State.choices, default=State.APPROVED)
    approved_at = models.DateTimeField()
    disbursed_at = models.DateTimeField(null=True, blank=True, help_text="The operator's completion time.")
    due_on = models.DateField(null=True, blank=True)
    settled_at = models.DateTimeField(null=True, blank=True)
    written_off_at = models.DateTimeField(null=True, blank=True)
    days_past_due = models.PositiveIntegerField(default=0)
    worst_days_past_due = models.PositiveIntegerField(default=0)
    aged_on = models.DateField(null=True, blank=True, help_text="Last business date that was closed for it.")

    class Meta:
        constraints = [
            # One open loan per person, not per SIM: the national ID decides.
            models.UniqueConstraint(
                fields=["identity_index"],
                condition=Q(state__in=["approved", "live"]),
                name="loan_one_open_per_identity",
            ),
            models.UniqueConstraint(
                fields=["borrower"],
                condition=Q(state__in=["approved", "live"]),
                name="loan_one_open_per_borrower",
            ),
            models.CheckConstraint(
                name="loan_live_means_paid_out",
                condition=Q(state__in=["approved", "not_paid_out"])
                | Q(disbursed_at__isnull=False, due_on__isnull=False),
            ),
            models.CheckConstraint(
                name="loan_settled_means_nothing_owed",
                condition=~Q(state="settled") | Q(outstanding_cents=0, settled_at__isnull=False),
            ),
            models.CheckConstraint(
                name="loan_owes_no_more_than_accepted",
                condition=Q(outstanding_cents__lte=F("principal_cents") + F("fee_cents") + F("tax_cents")),
            ),
        ]
        indexes = [
            models.Index(fields=["borrower", "-disbursed_at"], name="loan_latest"),
            models.Index(fields=["due_on"], condition=Q(state="live"), name="loan_live_by_due"),
        ]

    def __str__(self) -> str:
        return f"Loan {self.reference}"

    @property
    def total_cents(self) -> int:
        return self.principal_cents + self.fee_cents + self.tax_cents


class Installment(models.Model):
    """What falls due on one date, by kind. What was paid of it is in its allocations."""

    loan = models.ForeignKey(Loan, models.PROTECT, related_name="installments")
    number = models.PositiveSmallIntegerField()
    due_on = models.DateField()
    principal_cents = models.PositiveBigIntegerField()
    interest_cents = models.PositiveBigIntegerField(default=0)
    fee_cents = models.PositiveBigIntegerField(default=0)
    tax_cents = models.PositiveBigIntegerField(default=0)
    penalty_cents = models.PositiveBigIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["loan", "number"], name="installment_number")]
        ordering = ["loan_id", "number"]

    @property
    def total_cents(self) -> int:
        return self.principal_cents + self.interest_cents + self.fee_cents + self.tax_cents + self.penalty_cents


class Repayment(models.Model):
    """The part of one receipt that went to one loan."""

    loan = models.ForeignKey(Loan, models.PROTECT, related_name="repayments")
    receipt = models.OneToOneField("lending.Receipt", models.PROTECT, related_name="repayment")
    amount_cents = models.PositiveBigIntegerField()
    received_at = models.DateTimeField(help_text="The operator's time.")

    class Meta:
        constraints = [models.CheckConstraint(name="repayment_positive", condition=Q(amount_cents__gt=0))]
        indexes = [models.Index(fields=["loan", "received_at"], name="repayment_by_loan")]


class Allocation(models.Model):
    """How much of a repayment covered which kind of due of an installment."""

    repayment = models.ForeignKey(Repayment, models.PROTECT, related_name="allocations")
    installment = models.ForeignKey(Installment, models.PROTECT, related_name="allocations")
    principal_cents = models.PositiveBigIntegerField(default=0)
    interest_cents = models.PositiveBigIntegerField(default=0)
    fee_cents = models.PositiveBigIntegerField(default=0)
    tax_cents = models.PositiveBigIntegerField(default=0)
    penalty_cents = models.PositiveBigIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["repayment", "installment"], name="allocation_once")]
