"""Messages and dialogues, for looking. What customers typed into a dialogue is not here: it holds PINs."""

from typing import Any

from django.contrib import admin
from django.db.models import Count
from unfold.decorators import display

from lending.admin import cells
from lending.admin.borrowers import BorrowerAdmin
from lending.admin.history import History, HistoryInline
from ussd import campaigns
from ussd.models import AbuseSign, Campaign, DeliveryReport, Hop, IncomingSms, Session, SessionEnd, Sms


@display(description="About", ordering="kind")
def kind_in_words(admin: Any, row: Sms) -> str:
    """Return what a message is about: "Repayment received"."""
    return row.kind.replace("_", " ").capitalize()


class SmsInline(HistoryInline):
    model = Sms
    verbose_name_plural = "Messages"
    fields = ("about", "text", "state", "due_at", "delivered_at")
    ordering = ("-due_at",)

    about = kind_in_words


# Lending has never heard of messages; the customer's page gets them from here.
BorrowerAdmin.inlines = (*BorrowerAdmin.inlines, SmsInline)


@admin.register(Sms)
class SmsAdmin(History):
    list_display = ("about", "customer", "text", "state", "segments", "due_at", "sent_at", "delivered_at")
    list_filter = ("state", "kind", "language", "due_at")
    search_fields = ("borrower__full_name", "msisdn", "reference", "text")
    ordering = ("-due_at",)
    detail_related = ("borrower",)
    fieldsets = (
        (None, {"fields": (("customer", "phone", "about"), "text", ("language", "segments", "state"))}),
        (
            "On its way",
            {
                "fields": (
                    ("due_at", "sent_at", "delivered_at"),
                    ("provider_status", "cost"),
                    ("provider_message_id", "reference"),
                )
            },
        ),
    )

    about = kind_in_words
    customer = cells.link_to("borrower", "Customer")
    phone = cells.masked("msisdn")


@admin.register(IncomingSms)
class IncomingSmsAdmin(History):
    list_display = ("keyword", "phone", "text", "received_at", "times_received", "answer_link")
    list_filter = ("keyword", "received_at")
    search_fields = ("msisdn", "text")
    ordering = ("-received_at",)
    detail_related = ("answer",)
    fieldsets = (
        (
            None,
            {"fields": (("phone", "sent_to", "keyword"), "text", ("received_at", "times_received"), "answer_link")},
        ),
    )

    phone = cells.masked("msisdn")
    answer_link = cells.link_to("answer", "Our answer")


@admin.register(DeliveryReport)
class DeliveryReportAdmin(History):
    list_display = ("provider_message_id", "status", "failure_reason", "network", "received_at", "times_received")
    list_filter = ("status", "received_at")
    search_fields = ("provider_message_id",)
    ordering = ("-received_at",)


class HopInline(HistoryInline):
    """What was shown; what was typed is nowhere."""

    model = Hop
    verbose_name_plural = "Screens"
    fields = ("position", "screen", "answer", "answered_at", "duration_ms")
    ordering = ("position",)


@admin.register(Session)
class SessionAdmin(History):
    list_display = ("began_at", "phone", "gateway", "screen", "hops_answered", "language", "ended_at")
    list_filter = ("gateway", "screen", "language", "began_at")
    search_fields = ("msisdn", "gateway_session")
    ordering = ("-began_at",)
    inlines = (HopInline,)
    # Not `answers`: a national ID waits there between two hops.
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("phone", "gateway", "network"),
                    ("screen", "language", "misses"),
                    ("began_at", "last_hop_at", "ended_at"),
                    "gateway_session",
                )
            },
        ),
    )

    phone = cells.masked("msisdn")


@admin.register(SessionEnd)
class SessionEndAdmin(History):
    list_display = ("received_at", "status", "gateway", "hops_counted", "duration_ms", "cost", "error")
    list_filter = ("status", "gateway", "received_at")
    search_fields = ("gateway_session",)
    ordering = ("-received_at",)
    detail_related = ("session",)
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("status", "gateway", "network"),
                    ("hops_counted", "duration_ms", "cost"),
                    "error",
                    ("received_at", "times_received"),
                )
            },
        ),
    )


@admin.register(Campaign)
class CampaignAdmin(History):
    """Campaigns come with a release (fixtures/campaigns.json): a draw that changes compares apples with pears."""

    list_display = ("code", "kind", "left_out", "begins_on", "ends_on", "people", "brought")
    list_filter = ("kind",)
    search_fields = ("code",)
    ordering = ("-begins_on", "code")

    @display(description="Hold-out")
    def left_out(self, campaign: Campaign) -> str:
        return f"{campaign.hold_out:.0%}"

    @display(description="People")
    def people(self, campaign: Campaign) -> str:
        arms = dict(campaign.members.values_list("arm").annotate(Count("id")))
        return f"{arms.get('told', 0)} told, {arms.get('held_out', 0)} left in peace"

    @display(description="What it brought")
    def brought(self, campaign: Campaign) -> str:
        found = campaigns.effect(campaign)
        if found is None:
            return "nobody was judged yet"
        shown = f"{found.told_share:.1%} beside {found.held_out_share:.1%}"
        return f"{shown}: {found.difference:+.1%} ({found.low:+.1%} to {found.high:+.1%})"


@admin.register(AbuseSign)
class AbuseSignAdmin(History):
    list_display = ("last_at", "kind", "gateway", "phone", "times", "first_at")
    list_filter = ("kind", "gateway", "last_at")
    search_fields = ("msisdn",)
    ordering = ("-last_at",)
    fieldsets = ((None, {"fields": (("kind", "gateway", "phone"), ("times", "first_at", "last_at"))}),)

    phone = cells.masked("msisdn")
