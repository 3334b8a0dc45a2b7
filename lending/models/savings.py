"""Savings. Where the law says so a licensed partner holds them: this book mirrors what the partner holds, and
what we ask of the partner is an instruction until he confirms it. `partner` is empty where we hold deposits.
"""

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from lending.models.people import Borrower
from lending.rules import money


class SavingsProductVersion(models.Model):
    """A savings product as it stood from `effective_on`; a change is a new version that a second person approved.

    `terms` is read by lending.rules.savings.read_terms; accounts go over to the next version on its first day.
    """

    code = models.SlugField(max_length=30)
    version = models.PositiveIntegerField()
    name = models.CharField(max_length=60)
    currency = models.CharField(max_length=3)
    country = models.CharField(max_length=2)
    partner = models.CharField(max_length=40, blank=True, help_text="Who holds the money; empty: we do.")
    effective_on = models.DateField()
    proposed_by = models.CharField(max_length=60)
    approved_on = models.DateField(help_text="Notice to savers counts from here.")
    approved_by = models.CharField(max_length=60)
    terms = models.JSONField(help_text="Interest, minimum, locks: everything that is agreed.")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["code", "version"], name="savings_product_version"),
            models.CheckConstraint(
                name="savings_product_approved_by_another",
                condition=~Q(approved_by=F("proposed_by")) & ~Q(approved_by=""),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} v{self.version}"


class SavingsGroup(models.Model):
    """People who save together. So many members must agree before money leaves."""

    name = models.CharField(max_length=40)
    approvals_needed = models.PositiveSmallIntegerField(default=3)
    formed_at = models.DateTimeField()

    class Meta:
        constraints = [models.CheckConstraint(name="group_needs_approval", condition=Q(approvals_needed__gte=1))]

    def __str__(self) -> str:
        return self.name


class GroupMember(models.Model):
    """One person in a group, by national ID: two SIMs are one voice."""

    group = models.ForeignKey(SavingsGroup, models.PROTECT, related_name="members")
    borrower = models.ForeignKey(Borrower, models.PROTECT, related_name="memberships")
    identity_index = models.CharField(max_length=64)
    joined_at = models.DateTimeField()
    left_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["group", "identity_index"], name="group_member_once"),
        ]


class SavingsAccount(models.Model):
    """One pot of one borrower or one group. The interest columns stand at the end of `accrued_on`:
    see lending.rules.savings.Standing, and `earns_from`, before which no interest is owed any more.
    """

    class State(models.TextChoices):
        ACTIVE = "active", "Active"
        DORMANT = "dormant", "Dormant"
        CLOSED = "closed", "Closed"

    borrower = models.ForeignKey(Borrower, models.PROTECT, null=True, blank=True, related_name="savings_accounts")
    group = models.OneToOneField(
        SavingsGroup, models.PROTECT, null=True, blank=True, related_name="savings_account"
    )
    product_version = models.ForeignKey(SavingsProductVersion, models.PROTECT)
    partner = models.CharField(max_length=40, blank=True)
    currency = models.CharField(max_length=3)
    goal = models.CharField(max_length=30, blank=True, help_text="What it is for, in the saver's words.")
    target_cents = models.PositiveBigIntegerField(null=True, blank=True)
    target_on = models.DateField(null=True, blank=True)
    state = models.CharField(max_length=8, choices=State.choices, default=State.ACTIVE)
    balance_cents = models.PositiveBigIntegerField(default=0)
    held_cents = models.PositiveBigIntegerField(default=0, help_text="The open holds; the audit recounts them.")
    minimum_cents = models.PositiveBigIntegerField(default=0)
    floor_cents = models.PositiveBigIntegerField(default=0, help_text="Grows with the balance to the minimum.")
    accrued_parts = models.DecimalField(
        max_digits=40, decimal_places=0, default=0, help_text="Interest not credited yet; 365 million are a cent."
    )
    accrued_on = models.DateField()
    period_on = models.DateField()
    earns_from = models.DateField()
    lowest_cents = models.BigIntegerField(null=True, blank=True)
    locked_until = models.DateField(null=True, blank=True)
    exit_after_hours = models.PositiveSmallIntegerField(null=True, blank=True)
    exit_asked_at = models.DateTimeField(null=True, blank=True)
    opened_at = models.DateTimeField()
    used_on = models.DateField(help_text="When the owner last moved money.")
    closing_at = models.DateTimeField(null=True, blank=True, help_text="When the owner asked to close it.")

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="savings_of_a_borrower_or_a_group",
                condition=Q(borrower__isnull=True, group__isnull=False)
                | Q(borrower__isnull=False, group__isnull=True),
            ),
            models.CheckConstraint(
                name="savings_keep_minimum_and_holds",
                condition=Q(balance_cents__gte=F("floor_cents") + F("held_cents")),
            ),
            models.CheckConstraint(
                name="savings_floor_up_to_minimum", condition=Q(floor_cents__lte=F("minimum_cents"))
            ),
            models.CheckConstraint(
                name="savings_lock_has_a_key",
                condition=Q(locked_until__isnull=True, exit_asked_at__isnull=True)
                | Q(locked_until__isnull=False, exit_after_hours__gte=24),
            ),
            models.CheckConstraint(
                name="savings_closed_means_empty", condition=~Q(state="closed") | Q(balance_cents=0)
            ),
            models.UniqueConstraint(
                fields=["borrower", "product_version", "goal"],
                condition=~Q(state="closed"),
                name="savings_goal_once",
            ),
        ]

    def __str__(self) -> str:
        return f"Savings {self.id}"


class SavingsVersionChange(models.Model):
    """From `effective_on` an account goes by another version of its product: by then the one before it has ended.

    PostgreSQL refuses to change these rows; lending.invariants proves that they lead to the account's version.
    """

    account = models.ForeignKey(SavingsAccount, models.PROTECT, related_name="version_changes")
    before = models.ForeignKey(SavingsProductVersion, models.PROTECT, related_name="+")
    after = models.ForeignKey(SavingsProductVersion, models.PROTECT, related_name="+")
    effective_on = models.DateField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["account", "after"], name="savings_version_once"),
            models.CheckConstraint(name="savings_version_is_another", condition=~Q(before=F("after"))),
        ]

    def __str__(self) -> str:
        return f"{self.after} from {self.effective_on}"


class GroupWithdrawal(models.Model):
    """Money that a group wants to take out. PostgreSQL counts the approvals before it may be paid."""

    class Kind(models.TextChoices):
        TO_MEMBER = "to_member", "To one member"
        SHARE_OUT = "share_out", "Shared out among all"

    class State(models.TextChoices):
        ASKED = "asked", "Waits for approvals"
        APPROVED = "approved", "Approved, being paid"
        REFUSED = "refused", "Refused"
        CANCELLED = "cancelled", "Cancelled"

    account = models.ForeignKey(SavingsAccount, models.PROTECT, related_name="group_withdrawals")
    kind = models.CharField(max_length=9, choices=Kind.choices)
    to_member = models.ForeignKey(GroupMember, models.PROTECT, null=True, blank=True, related_name="payments")
    amount_cents = models.PositiveBigIntegerField()
    purpose = models.CharField(max_length=80)
    origin = models.CharField(max_length=120, unique=True)
    asked_by = models.ForeignKey(GroupMember, models.PROTECT, related_name="withdrawals_asked")
    approvals_needed = models.PositiveSmallIntegerField()
    state = models.CharField(max_length=9, choices=State.choices, default=State.ASKED)
    asked_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(name="group_withdrawal_positive", condition=Q(amount_cents__gt=0)),
            models.CheckConstraint(
                name="group_withdrawal_has_payee", condition=Q(kind="share_out") | Q(to_member__isnull=False)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {money.show(self.amount_cents, self.account.currency)}"


class GroupApproval(models.Model):
    """One member's yes to one withdrawal; nobody says it twice."""

    withdrawal = models.ForeignKey(GroupWithdrawal, models.PROTECT, related_name="approvals")
    member = models.ForeignKey(GroupMember, models.PROTECT, related_name="approvals")
    approved_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["withdrawal", "member"], name="group_approval_once")]


class GroupRefusal(models.Model):
    """One member's no to one withdrawal. Whoever said yes or no has said it."""

    withdrawal = models.ForeignKey(GroupWithdrawal, models.PROTECT, related_name="refusals")
    member = models.ForeignKey(GroupMember, models.PROTECT, related_name="refusals")
    refused_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["withdrawal", "member"], name="group_refusal_once")]


class SavingsHold(models.Model):
    """Money that may not leave for now. No reason is a loan: savings are never its security."""

    class Reason(models.TextChoices):
        WITHDRAWAL = "withdrawal", "On its way out"
        COURT_ORDER = "court_order", "Court order"
        FRAUD_CHECK = "fraud_check", "Being checked for fraud"
        DISPUTE = "dispute", "Disputed"

    account = models.ForeignKey(SavingsAccount, models.PROTECT, related_name="holds")
    reason = models.CharField(max_length=12, choices=Reason.choices)
    amount_cents = models.PositiveBigIntegerField()
    reference = models.CharField(max_length=120, unique=True)
    placed_at = models.DateTimeField()
    released_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(name="hold_positive", condition=Q(amount_cents__gt=0)),
            models.CheckConstraint(
                name="hold_never_for_a_loan",
                condition=Q(reason__in=["withdrawal", "court_order", "fraud_check", "dispute"]),
            ),
        ]
        indexes = [
            models.Index(fields=["account"], condition=Q(released_at__isnull=True), name="hold_open"),
        ]


class SavingsInstruction(models.Model):
    """What we asked the holder to do, once per `reference`, and what he said. Money counts when he confirms."""

    class Kind(models.TextChoices):
        DEPOSIT = "deposit", "Take in"
        WITHDRAWAL = "withdrawal", "Pay to the owner"
        SWEEP = "sweep", "Pay a due of the owner's loan"

    class State(models.TextChoices):
        OPEN = "open", "Instructed"
        CONFIRMED = "confirmed", "Confirmed"
        REJECTED = "rejected", "Rejected"

    account = models.ForeignKey(SavingsAccount, models.PROTECT, related_name="instructions")
    kind = models.CharField(max_length=10, choices=Kind.choices)
    amount_cents = models.PositiveBigIntegerField()
    reference = models.CharField(max_length=120, unique=True)
    hold = models.OneToOneField(SavingsHold, models.PROTECT, null=True, blank=True, related_name="instruction")
    withdrawal = models.ForeignKey(
        GroupWithdrawal, models.PROTECT, null=True, blank=True, related_name="instructions"
    )
    member = models.ForeignKey(GroupMember, models.PROTECT, null=True, blank=True, related_name="instructions")
    receipt = models.OneToOneField(
        "lending.Receipt",
        models.PROTECT,
        null=True,
        blank=True,
        related_name="saving",
        help_text="The money that reached us and is handed on.",
    )
    state = models.CharField(max_length=9, choices=State.choices, default=State.OPEN)
    instructed_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(name="instruction_positive", condition=Q(amount_cents__gt=0)),
            models.UniqueConstraint(fields=["withdrawal", "member"], name="group_member_paid_once"),
            models.CheckConstraint(
                name="instruction_hands_on_deposits", condition=Q(receipt__isnull=True) | Q(kind="deposit")
            ),
        ]
        indexes = [
            models.Index(fields=["instructed_at"], condition=Q(state="open"), name="instruction_open"),
        ]

    def __str__(self) -> str:
        return self.reference


class SavingsMovement(models.Model):
    """Money in or out, once per `reference`. It counts in the closing balance of `value_on`; interest counts
    from the day after the period that earned it."""

    class Kind(models.TextChoices):
        DEPOSIT = "deposit", "Deposit"
        WITHDRAWAL = "withdrawal", "Withdrawal"
        INTEREST = "interest", "Interest"
        TAX = "tax", "Tax on interest"

    INWARD = (Kind.DEPOSIT, Kind.INTEREST)

    # Held by a trigger that asks once a statement: a night credits many accounts in one.
    account = models.ForeignKey(
        SavingsAccount, models.PROTECT, db_index=False, db_constraint=False, related_name="movements"
    )
    kind = models.CharField(max_length=10, choices=Kind.choices)
    amount_cents = models.PositiveBigIntegerField()
    reference = models.CharField(max_length=120, help_text="The partner's own, or ours of interest.")
    instruction = models.OneToOneField(
        SavingsInstruction, models.PROTECT, null=True, blank=True, related_name="movement"
    )
    member = models.ForeignKey(
        GroupMember, models.PROTECT, null=True, blank=True, db_index=False, related_name="movements"
    )
    moved_at = models.DateTimeField()
    value_on = models.DateField()

    class Meta:
        constraints = [
            models.CheckConstraint(name="savings_movement_positive", condition=Q(amount_cents__gt=0)),
            # Here and not in the field, which would bring a second index for patterns.
            models.UniqueConstraint(fields=["reference"], name="savings_movement_once"),
        ]
        indexes = [
            models.Index(fields=["account", "moved_at"], name="savings_by_account"),
            models.Index(fields=["value_on"], name="savings_by_value_date"),
            models.Index(fields=["member"], condition=Q(member__isnull=False), name="savings_by_member"),
        ]

    @property
    def signed_cents(self) -> int:
        return self.amount_cents if self.kind in self.INWARD else -self.amount_cents


class SweepMandate(models.Model):
    """The owner's word that savings may pay a due, and how much of them must stay. They can take it back."""

    account = models.ForeignKey(SavingsAccount, models.PROTECT, related_name="sweep_mandates")
    keep_cents = models.PositiveBigIntegerField()
    text_version = models.CharField(max_length=20)
    language = models.CharField(max_length=2)
    given_at = models.DateTimeField()
    withdrawn_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["account"], condition=Q(withdrawn_at__isnull=True), name="sweep_one_mandate"
            )
        ]


class SettlementFile(models.Model):
    """A partner's file as it was taken in, once by its content."""

    partner = models.CharField(max_length=40)
    name = models.CharField(max_length=120)
    sha256 = models.CharField(max_length=64)
    taken_at = models.DateTimeField()
    taken_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True)
    result = models.JSONField(default=dict)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["partner", "sha256"], name="settlement_file_once")]


class SettlementLine(models.Model):
    """What the partner confirmed of one movement of ours: each is confirmed once."""

    file = models.ForeignKey(SettlementFile, models.PROTECT, related_name="lines")
    movement = models.OneToOneField(SavingsMovement, models.PROTECT, related_name="settlement")
    partner_reference = models.CharField(max_length=80)
