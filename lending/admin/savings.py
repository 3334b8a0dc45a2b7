"""Savings: accounts with their movements and permissions, and groups with what their members agreed to."""

from typing import Any

from django.contrib import admin
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest
from unfold.decorators import display

from lending.admin import cells
from lending.admin.groups import ActsOnGroups
from lending.admin.history import History, HistoryInline
from lending.models import (
    GroupApproval,
    GroupMember,
    GroupRefusal,
    GroupWithdrawal,
    SavingsAccount,
    SavingsGroup,
    SavingsHold,
    SavingsInstruction,
    SavingsMovement,
    SavingsVersionChange,
    SweepMandate,
)
from lending.selectors import savings

ACCOUNT_LABEL = display(
    description="State",
    ordering="state",
    label={
        SavingsAccount.State.ACTIVE.label: "success",
        SavingsAccount.State.DORMANT.label: "warning",
        SavingsAccount.State.CLOSED.label: "info",
    },
)


# --- accounts -------------------------------------------------------------------------------------------------
class MovementInline(HistoryInline):
    model = SavingsMovement
    verbose_name_plural = "Movements"
    fields = ("kind", "amount", "by", "reference", "moved_at", "value_on")
    related = ("account", "member__borrower")
    ordering = ("-value_on", "-id")

    amount = cells.amount("signed_cents", "Amount", "account.currency")

    @display(description="Member")
    def by(self, row: SavingsMovement) -> str:
        return cells.link(row.member.borrower) if row.member else cells.NOTHING


class InstructionInline(HistoryInline):
    """What we asked of the holder, and what he said."""

    model = SavingsInstruction
    verbose_name_plural = "Instructions"
    fields = ("kind", "amount", "state", "reference", "instructed_at", "ended_at")
    related = ("account",)
    ordering = ("-instructed_at", "-id")

    amount = cells.amount("amount_cents", "Amount", "account.currency")


class HoldInline(HistoryInline):
    model = SavingsHold
    verbose_name_plural = "Holds"
    fields = ("reason", "amount", "reference", "placed_at", "released_at")
    related = ("account",)
    ordering = ("-placed_at", "-id")

    amount = cells.amount("amount_cents", "Amount", "account.currency")


class MandateInline(HistoryInline):
    model = SweepMandate
    verbose_name_plural = "May pay loans"
    fields = ("stays", "text_version", "language", "given_at", "withdrawn_at")
    related = ("account",)
    ordering = ("-given_at",)

    stays = cells.amount("keep_cents", "Must stay", "account.currency")


class VersionChangeInline(HistoryInline):
    """By which terms the account went, and since when."""

    model = SavingsVersionChange
    fk_name = "account"
    verbose_name_plural = "Changes of terms"
    fields = ("effective_on", "before", "after")
    related = ("before", "after")
    ordering = ("-id",)


@admin.register(SavingsAccount)
class SavingsAccountAdmin(History):
    list_display = (
        "name",
        "owner",
        "product_version",
        "balance",
        "held",
        "state_label",
        "locked_until",
        "opened_at",
    )
    list_filter = ("state", "product_version__code", "partner")
    search_fields = ("borrower__full_name", "borrower__msisdn", "group__name", "goal")
    search_help_text = "Name, phone number, group or goal"
    ordering = ("-opened_at",)
    list_select_related = ("borrower", "group", "product_version")
    detail_related = ("borrower", "group", "product_version")
    inlines = (MovementInline, InstructionInline, HoldInline, MandateInline, VersionChangeInline)
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("owner", "goal", "state_label"),
                    ("balance", "held", "available"),
                    ("product_version", "holder", "opened_at"),
                    ("target", "target_on", "used_on"),
                    "closing_at",
                )
            },
        ),
        ("Interest", {"fields": (("earned", "accrued_on", "period_on"),)}),
        ("Lock", {"fields": (("locked_until", "exit_after_hours", "exit_asked_at"),)}),
    )

    balance = cells.amount("balance_cents", "Balance", "currency")
    held = cells.amount("held_cents", "Held", "currency")
    target = cells.amount("target_cents", "Target", "currency")

    @display(description="Account", ordering="goal")
    def name(self, row: SavingsAccount) -> str:
        return row.goal or row.product_version.name

    @display(description="Whose")
    def owner(self, row: SavingsAccount) -> str:
        return cells.link(row.borrower or row.group)

    @display(description="Held by")
    def holder(self, row: SavingsAccount) -> str:
        return row.partner or "ourselves"

    @display(description="Can be taken out")
    def available(self, row: SavingsAccount) -> str:
        return cells.shown(savings.available_cents(row), row.currency)

    @display(description="Earned and not credited yet")
    def earned(self, row: SavingsAccount) -> str:
        return cells.shown(savings.earned_cents(row), row.currency)

    @ACCOUNT_LABEL
    def state_label(self, row: SavingsAccount) -> str:
        return "Being closed" if row.closing_at and row.state != row.State.CLOSED else row.get_state_display()


@admin.register(SavingsMovement)
class SavingsMovementAdmin(History):
    list_display = ("reference", "account_link", "kind", "amount", "moved_at", "value_on")
    list_filter = ("kind", "value_on")
    search_fields = ("reference", "account__borrower__full_name", "account__group__name")
    search_help_text = "The partner's reference, name or group"
    ordering = ("-value_on", "-id")
    list_select_related = ("account__borrower", "account__group")
    detail_related = ("account__borrower", "account__group", "instruction", "member__borrower")
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("account_link", "kind", "amount"),
                    ("reference", "moved_at", "value_on"),
                    ("by", "instruction"),
                )
            },
        ),
    )

    amount = cells.amount("signed_cents", "Amount", "account.currency")

    @display(description="Account")
    def account_link(self, row: SavingsMovement) -> str:
        return cells.link(row.account, str(row.account.borrower or row.account.group))

    @display(description="Member")
    def by(self, row: SavingsMovement) -> str:
        return cells.link(row.member.borrower) if row.member else cells.NOTHING


@admin.register(SweepMandate)
class SweepMandateAdmin(History):
    """Whose savings may pay what falls due."""

    list_display = ("stays", "account_link", "language", "text_version", "given_at", "withdrawn_at")
    list_filter = (("withdrawn_at", admin.EmptyFieldListFilter), "given_at")
    search_fields = ("account__borrower__full_name", "account__borrower__msisdn")
    ordering = ("-given_at",)
    list_select_related = ("account__borrower", "account__group")
    detail_related = ("account__borrower", "account__group")
    fieldsets = (
        (None, {"fields": (("account_link", "stays"), ("text_version", "language"), ("given_at", "withdrawn_at"))}),
    )

    stays = cells.amount("keep_cents", "Must stay", "account.currency")

    @display(description="Account")
    def account_link(self, row: SweepMandate) -> str:
        return cells.link(row.account, str(row.account.borrower or row.account.group))


# --- groups ---------------------------------------------------------------------------------------------------
class MemberInline(HistoryInline):
    model = GroupMember
    verbose_name_plural = "Members"
    fields = ("person", "joined_at", "left_at")
    related = ("borrower",)
    ordering = ("joined_at", "id")

    @display(description="Member")
    def person(self, row: GroupMember) -> str:
        return cells.link(row.borrower)


@admin.register(SavingsGroup)
class SavingsGroupAdmin(ActsOnGroups, History):
    actions_list = ("form_group",)
    actions_detail = ("take_in", "let_go")
    list_display = ("name", "members_now", "approvals_needed", "formed_at")
    search_fields = ("name", "members__borrower__full_name")
    ordering = ("name",)
    inlines = (MemberInline,)
    fieldsets = (
        (None, {"fields": (("name", "formed_at"), ("members_now", "approvals_needed"), ("account", "asked"))}),
    )

    def get_queryset(self, request: HttpRequest) -> "QuerySet[SavingsGroup]":
        staying = Count("members", filter=Q(members__left_at__isnull=True), distinct=True)
        return super().get_queryset(request).annotate(staying=staying)

    @display(description="Members now", ordering="staying")
    def members_now(self, row: Any) -> int:
        return row.staying

    @display(description="Account")
    def account(self, row: SavingsGroup) -> str:
        account = SavingsAccount.objects.filter(group=row).first()
        return (
            cells.link(account, cells.shown(account.balance_cents, account.currency)) if account else cells.NOTHING
        )

    @display(description="Withdrawals")
    @cells.once
    def asked(self, row: SavingsGroup) -> str:
        found = (
            GroupWithdrawal.objects.filter(account__group=row).select_related("account").order_by("-asked_at")[:20]
        )
        if not found:
            return cells.NOTHING
        return cells.table(
            ("What for", "Amount", "State"),
            (
                (
                    cells.link(one, one.purpose),
                    cells.shown(one.amount_cents, one.account.currency),
                    one.get_state_display(),
                )
                for one in found
            ),
        )


class ApprovalInline(HistoryInline):
    model = GroupApproval
    verbose_name_plural = "Approvals"
    fields = ("person", "approved_at")
    related = ("member__borrower",)
    ordering = ("approved_at",)

    @display(description="Member")
    def person(self, row: GroupApproval) -> str:
        return cells.link(row.member.borrower)


class RefusalInline(HistoryInline):
    model = GroupRefusal
    verbose_name_plural = "Refusals"
    fields = ("person", "refused_at")
    related = ("member__borrower",)
    ordering = ("refused_at",)

    @display(description="Member")
    def person(self, row: GroupRefusal) -> str:
        return cells.link(row.member.borrower)


@admin.register(GroupWithdrawal)
class GroupWithdrawalAdmin(History):
    list_display = ("purpose", "group", "amount", "agreed", "state_label", "asked_at")
    list_filter = ("state", "kind", "asked_at")
    search_fields = ("purpose", "account__group__name")
    ordering = ("-asked_at",)
    list_select_related = ("account__group",)
    detail_related = ("account__group", "asked_by__borrower", "to_member__borrower")
    inlines = (ApprovalInline, RefusalInline)
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("group", "purpose", "amount"),
                    ("kind", "to", "by"),
                    ("agreed", "state_label"),
                    ("asked_at", "ended_at"),
                )
            },
        ),
    )

    amount = cells.amount("amount_cents", "Amount", "account.currency")
    group = cells.link_to("account.group", "Group")

    def get_queryset(self, request: HttpRequest) -> "QuerySet[GroupWithdrawal]":
        return super().get_queryset(request).annotate(yes=Count("approvals"))

    @display(description="Approvals")
    def agreed(self, row: Any) -> str:
        return f"{row.yes} of {row.approvals_needed}"

    @display(description="Paid to")
    def to(self, row: GroupWithdrawal) -> str:
        return cells.link(row.to_member.borrower) if row.to_member else "all members"

    @display(description="Asked by")
    def by(self, row: GroupWithdrawal) -> str:
        return cells.link(row.asked_by.borrower)

    @display(
        description="State",
        ordering="state",
        label={
            GroupWithdrawal.State.ASKED.label: "warning",
            GroupWithdrawal.State.APPROVED.label: "success",
            GroupWithdrawal.State.REFUSED.label: "info",
            GroupWithdrawal.State.CANCELLED.label: "info",
        },
    )
    def state_label(self, row: GroupWithdrawal) -> str:
        return row.get_state_display()
