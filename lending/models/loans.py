"""From application to settled loan."""

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from lending.models.people import Borrower
from lending.models.products import CountryPack, ProductVersion


class Price(models.Model):
    """What a loan costs who pays on time, part by part."""

    principal_cents = models.PositiveBigIntegerField(help_text="What was asked for; of a credit line, all draws.")
    fee_cents = models.PositiveBigIntegerField(help_text="All fees, however they are charged.")
    tax_cents = models.PositiveBigIntegerField(help_text="All taxes on fees.")
    interest_cents = models.PositiveBigIntegerField(default=0)
    deducted_cents = models.PositiveBigIntegerField(
        default=0, help_text="What of fees and taxes is kept back from the payout."
    )
    capitalised_cents = models.PositiveBigIntegerField(
        default=0, help_text="What of fees and taxes is lent on top and becomes principal."
    )

    class Meta:
        abstract = True

    @property
    def received_cents(self) -> int:
        """What arrives in the customer's wallet."""
        return self.principal_cents - self.deducted_cents

    @property
    def total_cents(self) -> int:
        """What is paid back in all; what was deducted has been paid by receiving less."""
        owed = self.principal_cents - self.deducted_cents
        return owed + self.fee_cents + self.tax_cents + self.interest_cents


class RefinancingPrice(Price):
    """What a loan costs of which a part may pay off another one, and never reaches the wallet."""

    refinanced_cents = models.PositiveBigIntegerField(
        default=0, help_text="What of the principal pays off another loan."
    )

    class Meta:
        abstract = True

    @property
    def received_cents(self) -> int:
        """What arrives in the customer's wallet."""
        return super().received_cents - self.refinanced_cents


class Application(RefinancingPrice):
    """What a borrower asked for, and the key facts that were on the screen when they accepted.

    `origin` names the accepted hop ("ussd:<session>:<hop>"), so the same hop never applies twice.
    """

    class State(models.TextChoices):
        SUBMITTED = "submitted", "Being decided"
        REFERRED = "referred", "With an officer"
        APPROVED = "approved", "Approved"
        DECLINED = "declined", "Declined"

    class Purpose(models.TextChoices):
        """What the money is for, in the customer's word. The model never sees it."""

        BUSINESS = "business", "Stock or business"
        SCHOOL = "school", "School"
        HEALTH = "health", "Health"
        HOME = "home", "Home and food"
        OTHER = "other", "Something else"

    borrower = models.ForeignKey(Borrower, models.PROTECT, related_name="applications")
    purpose = models.CharField(max_length=8, choices=Purpose.choices, blank=True, help_text="Empty: not said.")
    product_version = models.ForeignKey(ProductVersion, models.PROTECT)
    country_pack = models.ForeignKey(CountryPack, models.PROTECT)
    origin = models.CharField(max_length=120, unique=True)
    reference = models.CharField(max_length=8, unique=True, help_text="Short code said to the customer.")
    apr = models.DecimalField(max_digits=9, decimal_places=4)
    refinances = models.ForeignKey(
        "lending.Loan",
        models.PROTECT,
        null=True,
        blank=True,
        related_name="refinancing_applications",
        help_text="The open loan that this one is to pay off.",
    )
    key_facts_text = models.TextField()
    key_facts_language = models.CharField(max_length=2)
    key_facts_version = models.CharField(max_length=20)
    key_facts_shown_at = models.DateTimeField()
    terms_read = models.BooleanField(default=False)
    state = models.CharField(max_length=10, choices=State.choices, default=State.SUBMITTED)
    submitted_at = models.DateTimeField()
    appealed_at = models.DateTimeField(
        null=True, blank=True, help_text="When the customer asked a person to look at the refusal."
    )
    appeal_words = models.CharField(max_length=300, blank=True, help_text="What they wrote about it by SMS.")

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
            models.CheckConstraint(
                name="application_something_is_received",
                condition=Q(principal_cents__gt=F("deducted_cents") + F("refinanced_cents")),
            ),
            models.CheckConstraint(
                name="application_refinances_so_much",
                condition=Q(refinances__isnull=True, refinanced_cents=0)
                | Q(refinances__isnull=False, refinanced_cents__gt=0),
            ),
        ]

    def __str__(self) -> str:
        return f"Application {self.reference}"


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
    step_values = models.JSONField(default=dict, help_text="Values of the next step: how much to save.")
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


class ExplorationPot(models.Model):
    """What was lent by lot on a day, over all products of a country; its caps are the policy's."""

    country = models.CharField(max_length=2)
    day = models.DateField()
    loans = models.PositiveIntegerField(default=0)
    cents = models.PositiveBigIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["country", "day"], name="exploration_pot_of_a_day")]

    def __str__(self) -> str:
        return f"{self.country} {self.day}: {self.loans} loans"


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


class Loan(RefinancingPrice):
    """Money lent. It is live only from the moment that the operator completed the payout.

    A loan that another system made and that was brought in has an `origin` in place of an application: nobody
    asked us for it, and no payout or receipt of ours stands behind what happened before it came.

    A credit line is a loan that is drawn several times, up to its limit; what it costs is the sum of its draws.
    """

    class State(models.TextChoices):
        APPROVED = "approved", "Payout under way"
        LIVE = "live", "Live"
        SETTLED = "settled", "Settled"
        NOT_PAID_OUT = "not_paid_out", "Payout failed"
        CHARGED_OFF = "charged_off", "Charged off"
        WRITTEN_OFF = "written_off", "Written off"
        CANCELLED = "cancelled", "Cancelled"
        UNDRAWN = "undrawn", "Line with nothing drawn"
        CLOSED = "closed", "Line closed"

    OPEN = (State.APPROVED, State.LIVE)
    # In which something can be owed and paid.
    OWING = (State.LIVE, State.CHARGED_OFF, State.WRITTEN_OFF)

    borrower = models.ForeignKey(Borrower, models.PROTECT, related_name="loans")
    application = models.OneToOneField(Application, models.PROTECT, null=True, blank=True, related_name="loan")
    origin = models.CharField(
        max_length=80, blank=True, help_text="Whose loan it was, and its number there; empty: made here."
    )
    product_version = models.ForeignKey(ProductVersion, models.PROTECT)
    country_pack = models.ForeignKey(CountryPack, models.PROTECT)
    reference = models.CharField(max_length=8, unique=True)
    identity_index = models.CharField(max_length=64)
    currency = models.CharField(max_length=3)
    refinances = models.ForeignKey(
        "self",
        models.PROTECT,
        null=True,
        blank=True,
        related_name="refinanced_by",
        help_text="The loan that it pays off from the moment of its payout.",
    )
    credit_limit_cents = models.PositiveBigIntegerField(
        null=True, blank=True, help_text="The most principal that may be owed; empty: no credit line."
    )
    closed_at = models.DateTimeField(null=True, blank=True, help_text="Since then nothing is drawn.")
    outstanding_cents = models.PositiveBigIntegerField(
        help_text="What the borrower still owes; the audit recounts it."
    )
    state = models.CharField(max_length=12, choices=State.choices, default=State.APPROVED)
    approved_at = models.DateTimeField()
    disbursed_at = models.DateTimeField(null=True, blank=True, help_text="The operator's completion time.")
    due_on = models.DateField(null=True, blank=True, help_text="When the last installment falls due.")
    settled_at = models.DateTimeField(null=True, blank=True)
    written_off_at = models.DateTimeField(null=True, blank=True)
    restructured_on = models.DateField(null=True, blank=True, help_text="Since then it is no ordinary loan.")
    # What follows is worked out from the loan's events and recounted by the audit; nobody patches it.
    written_off_cents = models.PositiveBigIntegerField(default=0, help_text="Off the books and not recovered.")
    over_cents = models.BigIntegerField(default=0, help_text="Owed to the customer by a change, not by a receipt.")
    accrued_cents = models.BigIntegerField(default=0, help_text="Interest earned so far and not given up.")
    accrual_cents = models.BigIntegerField(default=0, help_text="Interest booked as earned so far.")
    fee_earned_cents = models.BigIntegerField(default=0, help_text="Of fees earned over the term, income so far.")
    unpaid_since = models.DateField(null=True, blank=True, help_text="Oldest due date with something unpaid.")
    days_past_due = models.PositiveIntegerField(default=0)
    worst_days_past_due = models.PositiveIntegerField(default=0)
    classification = models.CharField(max_length=12, default="normal")
    room_cents = models.BigIntegerField(
        null=True, blank=True, help_text="How much more the law lets penalties cost; empty: no such limit."
    )
    non_performing = models.BooleanField(default=False, help_text="In duplum binds its penalties.")
    stopped_on = models.DateField(null=True, blank=True, help_text="Nothing is earned or charged after this day.")
    aged_on = models.DateField(null=True, blank=True, help_text="Last business date that was closed for it.")
    next_action_on = models.DateField(
        null=True, blank=True, help_text="First business date whose close has something to do here."
    )
    # Its course: what close of business needs on a day that is like the one before.
    turns_on = models.DateField(
        null=True, blank=True, help_text="First business date that is worked out from its installments."
    )
    course_from = models.DateField(null=True, blank=True, help_text="Until it turns it earns from this day on")
    course_days = models.PositiveIntegerField(default=0, help_text="and over so many days")
    course_cents = models.BigIntegerField(default=0, help_text="so much interest")
    course_base_cents = models.BigIntegerField(default=0, help_text="beside this.")

    class Meta:
        constraints = [
            # One open loan per person, not per SIM: the national ID decides.
            # One that pays off the open one is beside it only until its payout arrives.
            models.UniqueConstraint(
                fields=["identity_index"],
                condition=Q(state="live") | Q(state="approved", refinances__isnull=True),
                name="loan_one_open_per_identity",
            ),
            models.UniqueConstraint(
                fields=["borrower"],
                condition=Q(state="live") | Q(state="approved", refinances__isnull=True),
                name="loan_one_open_per_borrower",
            ),
            models.UniqueConstraint(
                fields=["refinances"],
                condition=Q(state__in=["approved", "live"]),
                name="loan_refinanced_by_one",
            ),
            models.CheckConstraint(
                name="loan_refinances_so_much",
                condition=Q(refinances__isnull=True, refinanced_cents=0)
                | Q(refinances__isnull=False, refinanced_cents__gt=0),
            ),
            models.UniqueConstraint(
                fields=["identity_index"],
                condition=Q(credit_limit_cents__isnull=False, closed_at__isnull=True)
                & Q(state__in=["undrawn", "approved", "live"]),
                name="loan_one_line_per_identity",
            ),
            models.UniqueConstraint(fields=["origin"], condition=~Q(origin=""), name="loan_brought_in_once"),
            models.CheckConstraint(
                name="loan_only_a_line_is_undrawn_or_closed",
                condition=~Q(state__in=["undrawn", "closed"]) | Q(credit_limit_cents__isnull=False),
            ),
            models.CheckConstraint(
                name="loan_asked_for_or_brought_in",
                condition=Q(application__isnull=False, origin="") | Q(application__isnull=True) & ~Q(origin=""),
            ),
            models.CheckConstraint(
                name="loan_live_means_paid_out",
                condition=Q(state__in=["approved", "not_paid_out", "undrawn", "closed"])
                | Q(disbursed_at__isnull=False, due_on__isnull=False),
            ),
            models.CheckConstraint(
                name="loan_settled_means_nothing_owed",
                condition=~Q(state="settled") | Q(outstanding_cents=0, settled_at__isnull=False),
            ),
        ]
        indexes = [
            models.Index(fields=["borrower", "-disbursed_at"], name="loan_latest"),
            models.Index(fields=["due_on"], condition=Q(state="live"), name="loan_live_by_due"),
            models.Index(
                fields=["identity_index"],
                condition=Q(state__in=["live", "approved", "charged_off", "written_off"]),
                name="loan_owed_by_person",
            ),
            # Close of business walks along it. An index over what it changes daily would double its work.
            models.Index(fields=["id"], condition=Q(state="live"), name="loan_live"),
        ]

    def __str__(self) -> str:
        return f"Loan {self.reference}"

    @property
    def is_line(self) -> bool:
        return self.credit_limit_cents is not None

    @property
    def owing_cents(self) -> int:
        """What the borrower can still be asked for, on the books or off them."""
        return self.outstanding_cents + self.written_off_cents

    @property
    def on_its_way_cents(self) -> int:
        """What the customer is waiting for."""
        if not self.is_line:
            return self.received_cents
        return sum(draw.received_cents for draw in self.draws.filter(state=Draw.State.UNDER_WAY))


class Draw(Price):
    """Money taken from a credit line, as it was accepted. `origin` names the wish, so the same one pays once."""

    class State(models.TextChoices):
        UNDER_WAY = "under_way", "Payout under way"
        PAID_OUT = "paid_out", "Paid out"
        NOT_PAID_OUT = "not_paid_out", "Payout failed"

    loan = models.ForeignKey(Loan, models.PROTECT, related_name="draws")
    origin = models.CharField(max_length=120, unique=True)
    intent = models.OneToOneField("lending.PaymentIntent", models.PROTECT, null=True, related_name="draw")
    state = models.CharField(max_length=12, choices=State.choices, default=State.UNDER_WAY)
    asked_at = models.DateTimeField()
    paid_out_at = models.DateTimeField(null=True, blank=True, help_text="The operator's completion time.")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["loan"], condition=Q(state="under_way"), name="draw_one_under_way"),
            models.CheckConstraint(
                name="draw_something_is_received", condition=Q(deducted_cents__lt=F("principal_cents"))
            ),
            models.CheckConstraint(
                name="draw_paid_out_says_when",
                condition=Q(state="paid_out", paid_out_at__isnull=False)
                | ~Q(state="paid_out") & Q(paid_out_at__isnull=True),
            ),
        ]

    def __str__(self) -> str:
        return f"Draw {self.pk} of {self.loan}"


class LoanEvent(models.Model):
    """A fact about a loan, append-only: everything else about it follows from its facts and its terms.

    `key` is unique over all loans ("receipt:daraja:SFC7XK2"), so the same fact told twice is one row. A fact
    that was wrong is undone by a later one that points to it.
    """

    class Kind(models.TextChoices):
        DISBURSE = "disburse", "Paid out"
        PAY = "pay", "Repayment"
        CHARGE = "charge", "Charge"
        WAIVE = "waive", "Waiver"
        RESCHEDULE = "reschedule", "Change of plan"
        SETTLE = "settle", "Settlement"
        CHARGE_OFF = "charge_off", "Charge-off"
        WRITE_OFF = "write_off", "Write-off"
        CANCEL = "cancel", "Cancelled"
        DEATH = "death", "Borrower died"
        SKIP = "skip", "Skipped installment"
        EXTEND = "extend", "Extension"
        SALES = "sales", "Share of sales"
        REFUND = "refund", "Refund"
        REVERSE = "reverse", "Reversal"

    loan = models.ForeignKey("lending.Loan", models.PROTECT, related_name="events")
    key = models.CharField(max_length=120, unique=True)
    kind = models.CharField(max_length=10, choices=Kind.choices)
    business_date = models.DateField(help_text="The day on which it counts.")
    happened_at = models.DateTimeField(help_text="By the operator's clock; orders events of one day.")
    details = models.JSONField(default=dict, help_text="What the kind needs: amounts in cents, dates.")
    reverses = models.OneToOneField("self", models.PROTECT, null=True, blank=True, related_name="reversed_by")
    actor = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True)
    reason = models.CharField(max_length=300, blank=True)
    booked_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["loan", "business_date"], name="event_by_loan")]
        constraints = [
            models.CheckConstraint(
                name="event_reversal_names_its_event",
                condition=Q(kind="reverse", reverses__isnull=False) | ~Q(kind="reverse") & Q(reverses__isnull=True),
            )
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.key}"


class Installment(models.Model):
    """What falls due on one date, by kind: a line of the plan, or a charge or penalty with a date of its own.

    Append-only. `event_key` names what brought it about: an event, or a day's close. What no longer holds is
    covered, not changed: see Allocation.
    """

    class Source(models.TextChoices):
        PLAN = "plan", "Plan"
        CHARGE = "charge", "Charge"
        PENALTY = "penalty", "Penalty"

    # Its number finds it by loan; a trigger asks for the loan once a statement, not for each row.
    loan = models.ForeignKey(Loan, models.PROTECT, related_name="installments", db_constraint=False, db_index=False)
    number = models.PositiveSmallIntegerField()
    source = models.CharField(max_length=7, choices=Source.choices, default=Source.PLAN)
    event_key = models.CharField(max_length=120)
    starts_on = models.DateField(help_text="Its interest is earned from this day to the due date.")
    due_on = models.DateField()
    earned_cents = models.PositiveBigIntegerField(default=0, help_text="Interest earned before it starts.")
    principal_cents = models.PositiveBigIntegerField()
    interest_cents = models.PositiveBigIntegerField(default=0)
    fee_cents = models.PositiveBigIntegerField(default=0)
    tax_cents = models.PositiveBigIntegerField(default=0)
    penalty_cents = models.PositiveBigIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["loan", "number"], name="installment_number"),
            models.CheckConstraint(
                name="installment_starts_before_it_ends", condition=Q(starts_on__lte=F("due_on"))
            ),
        ]
        ordering = ["loan_id", "number"]

    @property
    def total_cents(self) -> int:
        return self.principal_cents + self.interest_cents + self.fee_cents + self.tax_cents + self.penalty_cents


class Repayment(models.Model):
    """The part of one receipt that went to one loan; how much that is, the loan's events decide."""

    loan = models.ForeignKey(Loan, models.PROTECT, related_name="repayments")
    receipt = models.OneToOneField("lending.Receipt", models.PROTECT, related_name="repayment")
    event = models.OneToOneField(LoanEvent, models.PROTECT, related_name="repayment")
    amount_cents = models.PositiveBigIntegerField()
    received_at = models.DateTimeField(help_text="The operator's time.")

    class Meta:
        indexes = [models.Index(fields=["loan", "received_at"], name="repayment_by_loan")]


class Allocation(models.Model):
    """How much of which kind an event took off an installment.

    Append-only. When an earlier fact becomes known later, the same event may cover other dues: the difference
    is a further row, also below zero, and the sum of an event's rows is what counts.
    """

    class Kind(models.TextChoices):
        PAID = "paid", "Paid"
        WAIVED = "waived", "Waived"
        MOVED = "moved", "Moved to another plan"
        REBATED = "rebated", "Not earned"
        CAPPED = "capped", "Above the cap"
        WRITTEN_OFF = "written_off", "Written off"
        CORRECTED = "corrected", "Would not be there"

    installment = models.ForeignKey(Installment, models.PROTECT, related_name="allocations")
    event_key = models.CharField(max_length=120)
    kind = models.CharField(max_length=11, choices=Kind.choices, default=Kind.PAID)
    revision = models.PositiveSmallIntegerField(default=1)
    business_date = models.DateField(help_text="That of the event.")
    principal_cents = models.BigIntegerField(default=0)
    interest_cents = models.BigIntegerField(default=0)
    fee_cents = models.BigIntegerField(default=0)
    tax_cents = models.BigIntegerField(default=0)
    penalty_cents = models.BigIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["installment", "event_key", "kind", "revision"], name="allocation_once")
        ]
        indexes = [models.Index(fields=["event_key"], name="allocation_by_event")]


class BureauNotice(models.Model):
    """The warning that goes before a bad record. It is about what was owed then: named by the day since which
    something is unpaid and by how many repayments had come, so one more repayment takes another notice.
    """

    loan = models.ForeignKey(Loan, models.PROTECT, related_name="bureau_notices")
    unpaid_since = models.DateField(help_text="The oldest due date with something unpaid.")
    repayments = models.PositiveIntegerField(help_text="How many had come by then.")
    owed_cents = models.PositiveBigIntegerField(help_text="What was owed.")
    owed_at = models.DateTimeField(help_text="When we had to tell it.")
    delivered_at = models.DateTimeField(
        null=True, blank=True, help_text="When it reached the phone; it counts then."
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["loan", "unpaid_since", "repayments"], name="bureau_notice_once"),
            models.CheckConstraint(
                name="bureau_notice_delivered_after_owed",
                condition=Q(delivered_at__isnull=True) | Q(delivered_at__gte=F("owed_at")),
            ),
        ]

    def __str__(self) -> str:
        return f"Notice about loan {self.loan_id}, unpaid since {self.unpaid_since}"
