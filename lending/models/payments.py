"""Money between us and a rail. An intent is what should happen once; an attempt is one try at it.

The attempt's own id exists, committed, before any byte leaves. Unknown is a state of its own: it is settled
by a callback, a status query or the statement, never by a second attempt.
"""

import uuid

from django.conf import settings
from django.db import models
from django.db.models import Q

from lending.models.loans import Loan
from lending.models.people import Borrower
from lending.rules import money


class PaymentIntent(models.Model):
    """One movement that the business wants exactly once, named by `business_key` ("disburse:loan:12")."""

    class Purpose(models.TextChoices):
        DISBURSE = "disburse", "Pay out a loan"
        COLLECT = "collect", "Ask for a repayment"
        SAVE = "save", "Ask for a deposit"
        REFUND = "refund", "Give money back"

    # What puts a prompt on the customer's own phone: one at a time for each of them.
    PROMPTS = (Purpose.COLLECT, Purpose.SAVE)

    class State(models.TextChoices):
        OPEN = "open", "Open"
        SUCCEEDED = "succeeded", "Succeeded"
        FAILED = "failed", "Failed"

    purpose = models.CharField(max_length=10, choices=Purpose.choices)
    business_key = models.CharField(max_length=120, unique=True)
    provider = models.CharField(max_length=20)
    borrower = models.ForeignKey(Borrower, models.PROTECT, related_name="payment_intents")
    loan = models.ForeignKey(Loan, models.PROTECT, null=True, blank=True, related_name="payment_intents")
    savings_account = models.ForeignKey(
        "lending.SavingsAccount", models.PROTECT, null=True, blank=True, related_name="payment_intents"
    )
    payer = models.ForeignKey(
        Borrower,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="paid_for_others",
        help_text="Who pays, where it is somebody else's loan.",
    )
    msisdn = models.CharField(max_length=15, help_text="Whose wallet.")
    amount_cents = models.PositiveBigIntegerField()
    currency = models.CharField(max_length=3)
    state = models.CharField(max_length=10, choices=State.choices, default=State.OPEN)
    due_at = models.DateTimeField(help_text="Not before this; a prompt waits until the USSD session is gone.")
    leased_until = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(name="intent_positive", condition=Q(amount_cents__gt=0)),
            models.CheckConstraint(
                name="intent_saves_into_an_account",
                condition=Q(purpose="save", savings_account__isnull=False, loan__isnull=True)
                | ~Q(purpose="save") & Q(savings_account__isnull=True),
            ),
        ]
        indexes = [
            models.Index(fields=["due_at"], condition=Q(state="open"), name="intent_due"),
            models.Index(
                fields=["msisdn", "-created_at"],
                condition=Q(purpose__in=("collect", "save")),
                name="intent_prompts",
            ),
        ]

    @property
    def is_prompt(self) -> bool:
        return self.purpose in self.PROMPTS

    def __str__(self) -> str:
        return f"{self.get_purpose_display()}: {money.show(self.amount_cents, self.currency)}"


class PaymentAttempt(models.Model):
    """One try. `provider_ref` is ours and goes to the rail; `request_id` is what the rail answered with."""

    class State(models.TextChoices):
        CREATED = "created", "Created"
        SUBMITTING = "submitting", "Being sent"
        ACCEPTED = "accepted", "Accepted by the rail"
        UNKNOWN = "unknown", "Outcome unknown"
        SUCCEEDED = "succeeded", "Succeeded"
        FAILED = "failed", "Failed"
        MANUAL = "manual", "With a person"

    PENDING = (State.CREATED, State.SUBMITTING, State.ACCEPTED, State.UNKNOWN, State.MANUAL)

    intent = models.ForeignKey(PaymentIntent, models.PROTECT, related_name="attempts")
    number = models.PositiveSmallIntegerField()
    provider = models.CharField(max_length=20)
    provider_ref = models.UUIDField(unique=True, default=uuid.uuid4)
    request_id = models.CharField(max_length=80, blank=True, db_index=True)
    state = models.CharField(max_length=10, choices=State.choices, default=State.CREATED)
    result_code = models.CharField(max_length=40, blank=True)
    result_text = models.CharField(max_length=200, blank=True)
    receipt_no = models.CharField(max_length=40, blank=True)
    queries = models.PositiveSmallIntegerField(default=0)
    next_query_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField()
    submitted_at = models.DateTimeField(null=True, blank=True)
    completed_at = models.DateTimeField(null=True, blank=True, help_text="The operator's time.")
    settled_at = models.DateTimeField(null=True, blank=True, help_text="When we learnt it.")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["intent", "number"], name="attempt_number"),
            # A second try may exist only once the first has certainly failed.
            models.UniqueConstraint(
                fields=["intent"], condition=~Q(state="failed"), name="attempt_one_live_or_succeeded"
            ),
        ]
        indexes = [
            models.Index(
                fields=["next_query_at"],
                condition=Q(state__in=["submitting", "accepted", "unknown"]),
                name="attempt_query_due",
            )
        ]

    def __str__(self) -> str:
        return f"{self.intent} #{self.number}"


class Receipt(models.Model):
    """Money that reached us, counted once: (provider, receipt_no) is unique, whichever road told us first."""

    class State(models.TextChoices):
        ALLOCATED = "allocated", "Allocated"
        SUSPENSE = "suspense", "In suspense"
        RESOLVED = "resolved", "Resolved by a person"
        REVERSED = "reversed", "Taken back by the operator"

    provider = models.CharField(max_length=20)
    receipt_no = models.CharField(max_length=40)
    amount_cents = models.PositiveBigIntegerField()
    currency = models.CharField(max_length=3)
    party = models.CharField(
        max_length=64, blank=True, help_text="Payer as the rail names them: number, mask or hash."
    )
    account_reference = models.CharField(max_length=40, blank=True, help_text="Typed by a human.")
    paid_at = models.DateTimeField(help_text="The operator's time.")
    source = models.CharField(max_length=20, help_text="Which road told us first.")
    borrower = models.ForeignKey(Borrower, models.PROTECT, null=True, blank=True, related_name="receipts")
    attempt = models.ForeignKey(PaymentAttempt, models.PROTECT, null=True, blank=True, related_name="receipts")
    state = models.CharField(max_length=10, choices=State.choices)
    over_cents = models.PositiveBigIntegerField(default=0, help_text="Kept for the customer: more than was owed.")
    recorded_at = models.DateTimeField()
    reversed_at = models.DateTimeField(null=True, blank=True, help_text="When the payer got it back.")

    class Meta:
        # The side bar of every page counts them.
        indexes = [models.Index(fields=["paid_at"], condition=Q(state="suspense"), name="receipt_in_suspense")]
        constraints = [
            models.UniqueConstraint(fields=["provider", "receipt_no"], name="receipt_counted_once"),
            models.CheckConstraint(
                name="receipt_reversed_when",
                condition=Q(state="reversed", reversed_at__isnull=False)
                | ~Q(state="reversed") & Q(reversed_at__isnull=True),
            ),
            models.CheckConstraint(name="receipt_positive", condition=Q(amount_cents__gt=0)),
        ]

    def __str__(self) -> str:
        return self.receipt_no


class Refund(models.Model):
    """What a customer paid too much, on its way back to them; while it is open, so much is spoken for.

    `origin` names the word that asked for it ("proposal:12"), so the same word gives back once. PostgreSQL
    allows one at a time for each person.
    """

    class Way(models.TextChoices):
        WALLET = "wallet", "To the wallet"
        SAVINGS = "savings", "Into savings"
        ROUNDED = "rounded", "Too small to be paid"

    class State(models.TextChoices):
        OPEN = "open", "On its way"
        SUCCEEDED = "succeeded", "Given back"
        FAILED = "failed", "Not given back"

    SPOKEN_FOR = (State.OPEN, State.SUCCEEDED)

    borrower = models.ForeignKey(Borrower, models.PROTECT, related_name="refunds")
    identity_index = models.CharField(max_length=64, db_index=True)
    way = models.CharField(max_length=7, choices=Way.choices)
    origin = models.CharField(max_length=100, unique=True)
    amount_cents = models.PositiveBigIntegerField()
    currency = models.CharField(max_length=3)
    state = models.CharField(max_length=9, choices=State.choices, default=State.OPEN)
    intent = models.OneToOneField(PaymentIntent, models.PROTECT, null=True, blank=True, related_name="refund")
    instruction = models.OneToOneField(
        "lending.SavingsInstruction", models.PROTECT, null=True, blank=True, related_name="refund"
    )
    actor = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True)
    reason = models.CharField(max_length=300, blank=True)
    asked_at = models.DateTimeField()
    given_at = models.DateTimeField(null=True, blank=True, help_text="By the clock of whoever moved the money.")
    ended_at = models.DateTimeField(null=True, blank=True, help_text="When we learnt it.")

    class Meta:
        constraints = [
            models.CheckConstraint(name="refund_positive", condition=Q(amount_cents__gt=0)),
            models.UniqueConstraint(
                fields=["identity_index"], condition=Q(state="open"), name="refund_one_open_per_person"
            ),
            models.CheckConstraint(
                name="refund_given_when",
                condition=Q(state="succeeded", given_at__isnull=False)
                | ~Q(state="succeeded") & Q(given_at__isnull=True),
            ),
            models.CheckConstraint(
                name="refund_goes_one_way",
                condition=Q(way="wallet", intent__isnull=False, instruction__isnull=True)
                | Q(way="savings", intent__isnull=True)
                | Q(way="rounded", intent__isnull=True, instruction__isnull=True),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_way_display()}: {money.show(self.amount_cents, self.currency)}"


class RefundPart(models.Model):
    """From what a refund is taken: what a loan keeps for the customer, or a receipt that went to no loan."""

    refund = models.ForeignKey(Refund, models.PROTECT, related_name="parts")
    loan = models.ForeignKey(Loan, models.PROTECT, null=True, blank=True, related_name="refund_parts")
    receipt = models.ForeignKey(Receipt, models.PROTECT, null=True, blank=True, related_name="refund_parts")
    amount_cents = models.PositiveBigIntegerField()

    class Meta:
        constraints = [
            models.CheckConstraint(name="refund_part_positive", condition=Q(amount_cents__gt=0)),
            models.CheckConstraint(
                name="refund_part_of_a_loan_or_a_receipt",
                condition=Q(loan__isnull=True, receipt__isnull=False) | Q(loan__isnull=False, receipt__isnull=True),
            ),
        ]


class ProviderEvent(models.Model):
    """What a rail told us, as it came, kept before anything is made of it. Never holds a secret."""

    provider = models.CharField(max_length=20)
    kind = models.CharField(max_length=30)
    dedupe_key = models.CharField(max_length=64, unique=True)
    attempt = models.ForeignKey(PaymentAttempt, models.PROTECT, null=True, blank=True, related_name="events")
    body = models.TextField()
    source_address = models.CharField(max_length=45, blank=True)
    received_at = models.DateTimeField()
    times_received = models.PositiveIntegerField(default=1)
    processed_at = models.DateTimeField(null=True, blank=True)
    outcome = models.CharField(max_length=200, blank=True)

    class Meta:
        indexes = [
            models.Index(fields=["received_at"], condition=Q(processed_at__isnull=True), name="event_waiting")
        ]


class Rail(models.Model):
    """The circuit breaker of one rail: while it is open nothing is submitted and every intent is kept."""

    provider = models.CharField(max_length=20, primary_key=True)
    stopped_at = models.DateTimeField(null=True, blank=True)
    reason = models.CharField(max_length=200, blank=True)
    # A stop for our own fault (float, credential) waits for a person; one for their outage retries by itself.
    needs_person = models.BooleanField(default=False)
    failures_in_a_row = models.PositiveIntegerField(default=0)
    retry_at = models.DateTimeField(null=True, blank=True)


class Case(models.Model):
    """Something that only a person can settle."""

    class Kind(models.TextChoices):
        UNMATCHED_RECEIPT = "unmatched_receipt", "Money that fits nobody"
        RECEIPT_MISMATCH = "receipt_mismatch", "Same receipt, other facts"
        UNREADABLE_PAYMENT = "unreadable_payment", "Payment that cannot be read"
        PAYOUT_UNKNOWN = "payout_unknown", "Payout of unknown outcome"
        PAYOUT_MISMATCH = "payout_mismatch", "Rail and request disagree"
        RAIL_STOPPED = "rail_stopped", "A rail is stopped"
        PIN_LOCKED = "pin_locked", "Customer locked out"
        LOSS_BRAKE = "loss_brake", "Product paused for its losses"
        BAD_TASK = "bad_task", "Work that keeps failing"
        SAVINGS_MISMATCH = "savings_mismatch", "Partner and savings disagree"
        SAVINGS_SILENCE = "savings_silence", "Partner has not answered"
        REFUNDED_TOO_MUCH = "refunded_too_much", "More was given back than was kept"
        DISPUTE = "dispute", "Customer says that it is wrong"
        PROMISE_BROKEN = "promise_broken", "Promise to pay was broken"
        PLAN_WISH = "plan_wish", "Wishes another date"
        LATE_CALL = "late_call", "Call about what is late"
        HELP = "help", "Asks for a person"
        CALL_BACK = "call_back", "Wants to be called"
        COMPLAINT = "complaint", "Complaint"
        CORRECTION = "correction", "Wants data corrected"
        DATA_COPY = "data_copy", "Wants a copy of all data"
        NEW_PIN = "new_pin", "Forgot the PIN"
        LOST_PHONE = "lost_phone", "Lost the phone"
        SIM_CHANGED = "sim_changed", "SIM changed before a payout"
        DEATH = "death", "Customer said to have died"
        PAYOUT_STOPPED = "payout_stopped", "Payout stands still"
        MODEL_WAITS = "model_waits", "A model waits for two people"
        STOPPED = "stopped", "Lending stopped by a person"
        MODEL_HEALTH = "model_health", "The model needs a look"

    # What people ask of us, in distinction from what went wrong by itself.
    ASKED = (
        Kind.HELP,
        Kind.CALL_BACK,
        Kind.COMPLAINT,
        Kind.CORRECTION,
        Kind.DATA_COPY,
        Kind.NEW_PIN,
        Kind.LOST_PHONE,
        Kind.DEATH,
        Kind.PLAN_WISH,
    )

    class Topic(models.TextChoices):
        """What complaints are about: the themes that regulators count by."""

        PRICE = "price", "What it costs"
        PAYMENT = "payment", "A payment"
        CHANGE = "change", "Changed without a word"
        TREATMENT = "treatment", "How somebody was treated"
        DATA = "data", "Personal data"
        OTHER = "other", "Said by SMS, not sorted yet"

    class Outcome(models.TextChoices):
        PUT_RIGHT = "put_right", "We were wrong and put it right"
        NO_FAULT = "no_fault", "We found no mistake of ours"

    kind = models.CharField(max_length=20, choices=Kind.choices)
    subject_key = models.CharField(max_length=120, help_text="What it is about; one open case for each.")
    borrower = models.ForeignKey(Borrower, models.PROTECT, null=True, blank=True, related_name="cases")
    receipt = models.ForeignKey(Receipt, models.PROTECT, null=True, blank=True, related_name="cases")
    attempt = models.ForeignKey(PaymentAttempt, models.PROTECT, null=True, blank=True, related_name="cases")
    note = models.CharField(max_length=500, blank=True)
    # What a person asked for beside: said to them, told by them, and promised to them.
    reference = models.CharField(max_length=8, blank=True, help_text="Short code said to whoever asked.")
    msisdn = models.CharField(max_length=15, blank=True, help_text="The number that asked.")
    language = models.CharField(max_length=2, blank=True)
    topic = models.CharField(max_length=9, choices=Topic.choices, blank=True)
    details = models.JSONField(default=dict, help_text="What was asked for exactly.")
    acknowledge_by = models.DateTimeField(null=True, blank=True)
    acknowledged_at = models.DateTimeField(null=True, blank=True)
    answer_by = models.DateTimeField(null=True, blank=True)
    opened_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True, blank=True)
    closed_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True)
    resolution = models.CharField(max_length=300, blank=True)
    outcome = models.CharField(max_length=9, choices=Outcome.choices, blank=True)
    answer = models.CharField(max_length=60, blank=True, help_text="What the customer reads, in their language.")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "subject_key"], condition=Q(closed_at__isnull=True), name="case_one_open"
            ),
            models.UniqueConstraint(fields=["reference"], condition=~Q(reference=""), name="case_reference"),
            models.CheckConstraint(
                name="case_complaint_has_topic_and_outcome",
                condition=~Q(kind="complaint")
                | ~Q(topic="")
                & (Q(closed_at__isnull=True, outcome="") | Q(closed_at__isnull=False) & ~Q(outcome="")),
            ),
        ]
        indexes = [
            models.Index(
                fields=["answer_by"],
                condition=Q(closed_at__isnull=True, answer_by__isnull=False),
                name="case_to_answer",
            )
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.reference}".strip()
