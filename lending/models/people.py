"""Who borrows, what they agreed to, and how they prove that it is them."""

from datetime import datetime

from django.db import models
from django.db.models import Q

from lending.fields import EncryptedField
from lending.rules import pin_waits


class Borrower(models.Model):
    """A person with a phone. `msisdn` is E.164 digits without plus; the national ID is the identity."""

    class State(models.TextChoices):
        ACTIVE = "active", "Active"
        BLOCKED = "blocked", "Blocked"
        DECEASED = "deceased", "Deceased"
        CLOSED = "closed", "Closed at the customer's wish"

    class Hold(models.TextChoices):
        """Nothing moves on this number until a person has checked why it was said."""

        PHONE = "phone", "The phone is said to be lost"
        SIM = "sim", "The SIM was changed just now"
        DEATH = "death", "Said to have died"

    class Language(models.TextChoices):
        ENGLISH = "en", "English"
        SWAHILI = "sw", "Kiswahili"
        FRENCH = "fr", "Français"
        LUGANDA = "lg", "Luganda"
        HAUSA = "ha", "Hausa"
        AMHARIC = "am", "አማርኛ"

    msisdn = models.CharField(max_length=15, unique=True)
    # Daraja's C2B v1 names the payer only by this hash; v2 masks the number.
    msisdn_sha256 = models.CharField(max_length=64, db_index=True)
    full_name = models.CharField(max_length=60)
    national_id = EncryptedField()
    identity_index = models.CharField(max_length=64, db_index=True, help_text="Blind index of the national ID.")
    language = models.CharField(max_length=2, choices=Language.choices, default=Language.ENGLISH)
    state = models.CharField(max_length=10, choices=State.choices, default=State.ACTIVE)
    pin_hash = models.CharField(max_length=160, blank=True)
    pin_failures = models.PositiveSmallIntegerField(default=0)
    pin_locked_at = models.DateTimeField(null=True, blank=True)
    pin_locks = models.PositiveSmallIntegerField(default=0, help_text="Locks in a row, since the last right PIN.")
    rung = models.PositiveSmallIntegerField(default=0, help_text="Step on the limit ladder.")
    limit_cents = models.PositiveBigIntegerField(default=0)
    own_limit_cents = models.PositiveBigIntegerField(
        null=True, blank=True, help_text="The most that the customer wants to be offered; empty: no wish."
    )
    hold = models.CharField(max_length=7, choices=Hold.choices, blank=True, help_text="Why all stands still.")
    held_at = models.DateTimeField(null=True, blank=True)
    registered_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="borrower_msisdn_is_digits", condition=Q(msisdn__regex=r"^[1-9][0-9]{6,14}$")
            ),
            models.CheckConstraint(
                name="borrower_held_when",
                condition=Q(hold="", held_at__isnull=True) | ~Q(hold="") & Q(held_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.full_name} ({self.masked_msisdn})"

    @property
    def masked_msisdn(self) -> str:
        return f"{self.msisdn[:5]}***{self.msisdn[-3:]}"

    @property
    def offered_limit_cents(self) -> int:
        """Return the limit of the rung, or less where the customer wants less."""
        return min(self.limit_cents, self.limit_cents if self.own_limit_cents is None else self.own_limit_cents)

    @property
    def pin_is_locked(self) -> bool:
        """Say whether there is a lock, also one whose wait is over: the next PIN opens it."""
        return self.pin_locked_at is not None

    @property
    def pin_opens_at(self) -> datetime | None:
        """Return when the lock opens by itself."""
        return self.pin_locked_at + pin_waits.wait(self.pin_locks) if self.pin_locked_at else None

    def pin_is_locked_at(self, at: datetime) -> bool:
        """Say whether a PIN would be refused now."""
        return self.pin_opens_at is not None and at < self.pin_opens_at


class Consent(models.Model):
    """One agreement for one purpose, with the version of the words that were read."""

    class Purpose(models.TextChoices):
        SERVICE = "service", "Use my data to run the service"
        SCORING = "scoring", "Let a computer decide about loans"
        WALLET = "wallet", "Read my mobile-money flow"
        BUREAU = "bureau", "Share with credit bureaus"
        MARKETING = "marketing", "Send me offers"
        SAVINGS = "savings", "Let my deposits speak for me when I ask for a loan"

    borrower = models.ForeignKey(Borrower, models.PROTECT, related_name="consents")
    purpose = models.CharField(max_length=12, choices=Purpose.choices)
    granted = models.BooleanField()
    text_version = models.CharField(max_length=20)
    language = models.CharField(max_length=2)
    given_at = models.DateTimeField()
    withdrawn_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["borrower", "purpose"],
                condition=Q(withdrawn_at__isnull=True),
                name="consent_one_in_force",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.purpose} {'yes' if self.granted else 'no'}"


class WalletMovement(models.Model):
    """A movement in the borrower's mobile-money wallet, known with consent; a fact for scoring only."""

    class Kind(models.TextChoices):
        RECEIVED = "received", "Received"
        CASH_IN = "cash_in", "Cash in"
        SENT = "sent", "Sent"
        CASH_OUT = "cash_out", "Cash out"
        PAID = "paid", "Paid a bill or till"
        AIRTIME = "airtime", "Airtime"

    INFLOWS = (Kind.RECEIVED, Kind.CASH_IN)

    borrower = models.ForeignKey(Borrower, models.PROTECT, related_name="wallet_movements")
    kind = models.CharField(max_length=8, choices=Kind.choices)
    amount_cents = models.PositiveBigIntegerField()
    moved_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["borrower", "moved_at"], name="wallet_by_borrower")]
