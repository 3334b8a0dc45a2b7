"""What must be remembered between hops and messages. No column here ever holds a PIN or a cumulative text."""

from decimal import Decimal

from django.db import models
from django.db.models import Q

from lending.fields import EncryptedField
from lending.models import Borrower


class Session(models.Model):
    """One USSD dialogue as one gateway numbers it, bound to the number that opened it.

    The text seen so far is kept as its length and keyed fingerprint: it contains PINs.
    """

    gateway = models.CharField(max_length=20)
    gateway_session = models.CharField(max_length=80)
    msisdn = models.CharField(max_length=15)
    service_code = models.CharField(max_length=30)
    network = models.CharField(max_length=20, blank=True)
    flow_version = models.CharField(max_length=20)
    screen = models.CharField(max_length=40)
    page = models.PositiveSmallIntegerField(default=0)
    history = models.JSONField(default=list)
    # Encrypted as a whole: a national ID waits here between two hops.
    answers = EncryptedField(blank=True, default="")
    language = models.CharField(max_length=2)
    misses = models.PositiveSmallIntegerField(default=0)
    typed = models.JSONField(default=list, help_text="Short numbers typed, where copies look like new answers.")
    prefix_chars = models.PositiveIntegerField(default=0)
    prefix_segments = models.PositiveIntegerField(default=0)
    prefix_mac = models.CharField(max_length=64, blank=True)
    hops_answered = models.PositiveIntegerField(default=0)
    began_at = models.DateTimeField()
    last_hop_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True, help_text="When we said END.")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["gateway", "gateway_session"], name="session_once_per_gateway")
        ]
        # Of nothing that a hop changes: the row's next version stands beside it, and no index is touched.
        indexes = [
            models.Index(fields=["msisdn", "-began_at"], name="session_latest"),
            models.Index(fields=["began_at"], name="session_begun"),
        ]

    def __str__(self) -> str:
        return f"{self.gateway} {self.gateway_session}"


class Hop(models.Model):
    """One answered hop: the same hop of the same session gets the same words, and nothing happens twice."""

    # Both constraints find it, so it has no index of its own.
    session = models.ForeignKey(Session, models.CASCADE, related_name="hops", db_index=False)
    position = models.PositiveIntegerField()
    text_mac = models.CharField(max_length=64, help_text="Keyed fingerprint that tells the hop.")
    screen = models.CharField(max_length=40, help_text="The screen that was shown.")
    answer = models.TextField(help_text="What was shown, word for word.")
    ends = models.BooleanField()
    # False while the hop still waits for a decision: the answer may yet get better.
    final = models.BooleanField(default=True)
    application_id = models.BigIntegerField(null=True, blank=True)
    decision_shown = models.BooleanField(default=False)
    answered_at = models.DateTimeField()
    duration_ms = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["session", "text_mac"], name="hop_once"),
            models.UniqueConstraint(fields=["session", "position"], name="hop_position"),
        ]
        indexes = [
            models.Index(
                fields=["application_id"], condition=Q(application_id__isnull=False), name="hop_of_application"
            )
        ]

    def __str__(self) -> str:
        return f"{self.session_id} #{self.position} {self.screen}"


class SessionEnd(models.Model):
    """The gateway's report on an ended session. What was typed and shown is dropped before it gets here."""

    gateway = models.CharField(max_length=20)
    gateway_session = models.CharField(max_length=80)
    session = models.ForeignKey(Session, models.SET_NULL, null=True, blank=True, related_name="ends_reported")
    status = models.CharField(max_length=30, blank=True)
    network = models.CharField(max_length=20, blank=True)
    duration_ms = models.PositiveBigIntegerField(null=True, blank=True)
    hops_counted = models.PositiveIntegerField(null=True, blank=True)
    cost = models.CharField(max_length=20, blank=True)
    error = models.CharField(max_length=200, blank=True)
    received_at = models.DateTimeField()
    times_received = models.PositiveIntegerField(default=1)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["gateway", "gateway_session"], name="session_end_once_per_gateway")
        ]

    def __str__(self) -> str:
        return f"{self.status} {self.gateway_session}"


class Sms(models.Model):
    """One outgoing message. `reference` is unique: the same cause sends one message."""

    class State(models.TextChoices):
        DUE = "due", "Due"
        SENDING = "sending", "Being sent"
        SENT = "sent", "Sent"
        DELIVERED = "delivered", "Delivered"
        FAILED = "failed", "Failed"
        UNKNOWN = "unknown", "Perhaps sent"
        STOPPED = "stopped", "Not sent: the customer does not want it"

    borrower = models.ForeignKey(Borrower, models.PROTECT, null=True, blank=True, related_name="messages")
    msisdn = models.CharField(max_length=15)
    kind = models.CharField(max_length=40)
    reference = models.CharField(max_length=140, unique=True)
    language = models.CharField(max_length=2)
    text = models.TextField()
    segments = models.PositiveSmallIntegerField()
    state = models.CharField(max_length=10, choices=State.choices, default=State.DUE)
    provider_message_id = models.CharField(max_length=80, blank=True, db_index=True)
    provider_status = models.CharField(max_length=80, blank=True)
    cost = models.CharField(max_length=20, blank=True)
    due_at = models.DateTimeField()
    sent_at = models.DateTimeField(null=True, blank=True)
    delivered_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = verbose_name_plural = "SMS sent"
        indexes = [models.Index(fields=["msisdn", "-due_at"], name="sms_of_number")]
        constraints = [models.CheckConstraint(name="sms_has_text", condition=~Q(text=""))]

    def __str__(self) -> str:
        return f"SMS to {self.msisdn[:5]}***{self.msisdn[-3:]}"


class DeliveryReport(models.Model):
    """What the aggregator said about a message, kept even when we do not know the message yet."""

    provider_message_id = models.CharField(max_length=80)
    status = models.CharField(max_length=40)
    failure_reason = models.CharField(max_length=60, blank=True)
    network = models.CharField(max_length=20, blank=True)
    received_at = models.DateTimeField()
    times_received = models.PositiveIntegerField(default=1)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["provider_message_id", "status"], name="delivery_report_once")
        ]

    def __str__(self) -> str:
        return f"{self.status} {self.provider_message_id}"


class IncomingSms(models.Model):
    """A message from a customer, answered once. Digits that could be a PIN are masked before it gets here."""

    gateway = models.CharField(max_length=20)
    message_id = models.CharField(max_length=80)
    msisdn = models.CharField(max_length=15)
    sent_to = models.CharField(max_length=20, blank=True)
    text = models.CharField(max_length=480)
    text_mac = models.CharField(max_length=64, help_text="By which the same text is known again.")
    keyword = models.CharField(max_length=20, blank=True)
    received_at = models.DateTimeField()
    times_received = models.PositiveIntegerField(default=1)
    answer = models.ForeignKey(Sms, models.SET_NULL, null=True, blank=True, related_name="answers")

    class Meta:
        verbose_name = verbose_name_plural = "SMS received"
        constraints = [models.UniqueConstraint(fields=["gateway", "message_id"], name="incoming_sms_once")]

    def __str__(self) -> str:
        return f"{self.keyword or '?'} from {self.msisdn[:5]}***{self.msisdn[-3:]}"


class Campaign(models.Model):
    """Messages of one kind to those whom they may help. A part of them is left in peace, to see what it brings."""

    class Kind(models.TextChoices):
        SAVINGS_NUDGE = "savings_nudge", "Reminder of a savings goal"
        INSIGHT = "insight", "What a borrower has reached"

    code = models.SlugField(max_length=40, unique=True)
    kind = models.CharField(max_length=20, choices=Kind.choices)
    hold_out = models.DecimalField(
        max_digits=3, decimal_places=2, default=Decimal("0.10"), help_text="Share of people who are left in peace."
    )
    seed = models.PositiveIntegerField(default=1, help_text="Who is left in peace is drawn from it.")
    begins_on = models.DateField()
    ends_on = models.DateField(null=True, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="campaign_leaves_some_in_peace", condition=Q(hold_out__gte="0.05", hold_out__lte="0.95")
            )
        ]

    def __str__(self) -> str:
        return self.code


class CampaignMember(models.Model):
    """One person in one week of a campaign, told or left in peace; `succeeded` once the week after is over."""

    class Arm(models.TextChoices):
        TOLD = "told", "Told"
        HELD_OUT = "held_out", "Left in peace"

    campaign = models.ForeignKey(Campaign, models.PROTECT, related_name="members")
    borrower = models.ForeignKey(Borrower, models.PROTECT, related_name="campaigns")
    week = models.PositiveIntegerField()
    arm = models.CharField(max_length=8, choices=Arm.choices)
    assigned_at = models.DateTimeField()
    succeeded = models.BooleanField(null=True)

    class Meta:
        # Over all campaigns: nobody hears from us unasked more than once a week.
        constraints = [models.UniqueConstraint(fields=["borrower", "week"], name="campaign_once_a_week")]
        indexes = [models.Index(fields=["assigned_at"], condition=Q(succeeded=None), name="campaign_to_judge")]

    def __str__(self) -> str:
        return f"{self.campaign_id}: {self.arm}"


class AbuseSign(models.Model):
    """What looked like abuse: one row an hour, kind, gateway and number. Nothing that was typed is in it."""

    class Kind(models.TextChoices):
        FLOOD_NUMBER = "flood_number", "One number answers faster than anybody types"
        FLOOD_GATEWAY = "flood_gateway", "A gateway sends more than we serve"
        FORGED = "forged", "Calls without the gateway's secret"
        UNREADABLE = "unreadable", "Calls that cannot be read"
        OVERSIZE = "oversize", "Calls that are too large"
        SLOW = "slow", "Calls that drip in"
        OTHERS_SESSION = "others_session", "One number used another's dialogue"
        REPLAYED = "replayed", "An old call was sent again"
        PIN_DIALLED = "pin_dialled", "What may be a PIN in a dial string"
        PIN_LOCKED = "pin_locked", "Three wrong PINs"
        STRANGERS = "strangers", "Very many unknown numbers"
        IDENTITIES = "identities", "One number tries names and IDs"
        PIN_BRAKE = "pin_brake", "PINs guessed over many numbers: slowed"
        FLOOD_SMS = "flood_sms", "One number sends more SMS than anybody writes"
        FLOOD_SMS_GATEWAY = "flood_sms_gateway", "A gateway sends more SMS than we serve"
        SMS_ODD = "sms_odd", "SMS as no gateway sends it"

    kind = models.CharField(max_length=20, choices=Kind.choices)
    gateway = models.CharField(max_length=20)
    msisdn = models.CharField(max_length=15, blank=True)
    hour = models.DateTimeField()
    times = models.PositiveIntegerField(help_text="At least so often in this hour.")
    first_at = models.DateTimeField()
    last_at = models.DateTimeField()

    class Meta:
        verbose_name = "sign of abuse"
        verbose_name_plural = "signs of abuse"
        constraints = [
            models.UniqueConstraint(fields=["kind", "gateway", "msisdn", "hour"], name="abuse_sign_once"),
            models.CheckConstraint(name="abuse_sign_counts", condition=Q(times__gt=0)),
        ]
        indexes = [models.Index(fields=["-last_at"], name="abuse_sign_latest")]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}, {self.gateway}"


class SmsThread(models.Model):
    """What a number was asked by SMS and has not answered yet. A code that was sent is here as a fingerprint."""

    class Awaiting(models.TextChoices):
        LOAN_AMOUNT = "loan_amount", "How much to borrow"
        PAY_AMOUNT = "pay_amount", "How much to repay"
        SAVE_AMOUNT = "save_amount", "How much to save"
        PAY_CODE = "pay_code", "The code that lets a payment be asked for"
        SAVE_CODE = "save_code", "The code that lets a deposit be asked for"

    msisdn = models.CharField(max_length=15, unique=True)
    awaiting = models.CharField(max_length=12, choices=Awaiting.choices)
    amount_cents = models.PositiveBigIntegerField(null=True, blank=True)
    code_mac = models.CharField(max_length=64, blank=True)
    tries = models.PositiveSmallIntegerField(default=0)
    until = models.DateTimeField()

    class Meta:
        verbose_name = "SMS thread"
        constraints = [
            models.CheckConstraint(
                name="sms_thread_code_has_amount",
                condition=Q(code_mac="") | Q(amount_cents__isnull=False),
            )
        ]

    def __str__(self) -> str:
        return f"{self.msisdn[:5]}***{self.msisdn[-3:]}: {self.awaiting}"
