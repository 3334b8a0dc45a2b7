"""Applications: what was asked, what the computer thought and why, and the officer's word on the doubtful ones."""

from typing import Any

from django.contrib import admin
from django.contrib.admin import SimpleListFilter
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html_join
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from lending.admin import account, cells, words
from lending.admin.dialogs import DeclineForm, ReasonForm, act
from lending.admin.history import LooksAreKept
from lending.models import Application, Decision
from lending.selectors import portfolio
from lending.services import applications

CURRENCY = "product_version.currency"
REFUSALS: dict[type[Exception], str] = {
    applications.NotReferred: "Nothing was changed: {refusal}. "
    "Only an application that waits for an officer is reviewed.",
    applications.HasOpenLoan: "Not approved: this person has an open loan. One loan at a time.",
    applications.RefinancingRefused: "Not approved: {refusal}.",
    applications.Blocked: "Not approved: this customer is blocked or has died.",
    applications.OwesEnough: "Not approved: with it they would owe more than the law allows.",
    applications.Paused: "Not approved: this product is paused for its losses. The case about it lets it go on.",
    applications.ReasonMissing: "Nothing was changed: a review needs a reason in words.",
}


class WaitingFilter(SimpleListFilter):
    """The officers' queue."""

    title = "work"
    parameter_name = "work"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("waiting", "Waiting for an officer"), ("appealed", "Waiting at the customer's word")]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any]":
        queues = {"waiting": portfolio.WAITING_APPLICATIONS, "appealed": portfolio.APPEALED_APPLICATIONS}
        return queryset.filter(queues.get(self.value() or "", Q()))


@admin.register(Application)
class ApplicationAdmin(LooksAreKept):
    """The review desk."""

    list_display = ("reference", "customer", "principal", "state_label", "verdict", "score", "why", "submitted_at")
    list_filter = (WaitingFilter, "state", "decision__outcome", "submitted_at")
    search_fields = ("reference", "borrower__full_name", "borrower__msisdn")
    search_help_text = "Reference, name or phone number"
    ordering = ("-submitted_at",)
    detail_related = ("borrower", "product_version", "country_pack", "decision", "review__officer")
    actions_detail = ("approve", "decline")
    fieldsets = (
        (
            "Asked for",
            {
                "fields": (
                    ("customer", "reference", "state_label"),
                    ("principal", "fee", "tax"),
                    ("total", "apr_percent", "submitted_at"),
                    ("appealed_at", "appeal_words"),
                    "purpose",
                )
            },
        ),
        (
            "The computer's judgement",
            {"fields": (("verdict", "score", "limit"), "why", "next_step", ("versions", "decided_at"))},
        ),
        ("Reasons, a way to a yes, similar cases", {"fields": ("account_of_it",)}),
        ("The officer's word", {"fields": (("review_outcome", "review_officer", "reviewed_at"), "review_reason")}),
        (
            "Key facts as the customer read them",
            {
                "fields": (
                    "key_facts",
                    ("key_facts_language", "key_facts_version", "key_facts_shown_at"),
                    "terms_read",
                ),
                "classes": ("tab",),
            },
        ),
        ("Inputs of the model", {"fields": ("inputs",), "classes": ("tab",)}),
        ("Facts of the policy", {"fields": ("policy_facts",), "classes": ("tab",)}),
    )

    customer = cells.link_to("borrower", "Customer")
    principal = cells.amount("principal_cents", "Asked for", CURRENCY)
    fee = cells.amount("fee_cents", "Fee", CURRENCY)
    tax = cells.amount("tax_cents", "Tax on the fee", CURRENCY)
    total = cells.amount("total_cents", "To repay", CURRENCY)

    @display(
        description="State",
        ordering="state",
        label={
            Application.State.REFERRED.label: "warning",
            Application.State.APPROVED.label: "success",
            Application.State.DECLINED.label: "danger",
            Application.State.SUBMITTED.label: "info",
        },
    )
    def state_label(self, row: Application) -> str:
        return row.get_state_display()

    @display(description="APR")
    def apr_percent(self, row: Application) -> str:
        return f"{row.apr:.1%}"

    # --- the decision, if there is one yet ---

    @display(description="Computer said", ordering="decision__outcome")
    def verdict(self, row: Application) -> str:
        made = _decision(row)
        return made.get_outcome_display() if made else "not decided yet"

    @display(description="Score", ordering="decision__score")
    def score(self, row: Application) -> str:
        made = _decision(row)
        return words.chance(made.score) if made else cells.NOTHING

    @display(description="Why")
    def why(self, row: Application) -> str:
        made = _decision(row)
        said = [words.reason(one, row.product_version.currency) for one in made.reasons] if made else []
        return format_html_join("", "<div>{}</div>", ((one,) for one in said)) if said else cells.NOTHING

    @display(description="Next step")
    def next_step(self, row: Application) -> str:
        made = _decision(row)
        return words.next_step(made.next_step) if made and made.next_step else cells.NOTHING

    @display(description="")
    @cells.once
    def account_of_it(self, row: Application) -> str:
        return account.shown(row) if _decision(row) else cells.NOTHING

    @display(description="Most it would lend")
    def limit(self, row: Application) -> str:
        made = _decision(row)
        return cells.shown(made.limit_cents if made else None, row.product_version.currency)

    @display(description="Versions")
    def versions(self, row: Application) -> str:
        made = _decision(row)
        if made is None:
            return cells.NOTHING
        model = made.model_version or "no model"
        return f"{model}, features {made.feature_version}, policy {made.policy_version}"

    @display(description="Decided")
    def decided_at(self, row: Application) -> str:
        made = _decision(row)
        return cells.moment(made.decided_at if made else None)

    @display(description="")
    def inputs(self, row: Application) -> str:
        return self._table(row, "features", ("Input", "Value"))

    @display(description="")
    def policy_facts(self, row: Application) -> str:
        return self._table(row, "facts", ("Fact", "Value"))

    def _table(self, row: Application, part: str, headers: tuple[str, str]) -> str:
        made, currency = _decision(row), row.product_version.currency
        values = (made.inputs.get(part) or {}) if made else {}
        return cells.table(
            headers,
            ((words.input_name(name), words.input_value(name, value, currency)) for name, value in values.items()),
        )

    @display(description="Text on the phone")
    def key_facts(self, row: Application) -> str:
        return cells.words_as_shown(row.key_facts_text)

    # --- the review ---

    @display(description="Officer said")
    def review_outcome(self, row: Application) -> str:
        given = getattr(row, "review", None)
        if given is None:
            return cells.NOTHING
        return "Approved" if given.approved else f"Declined: {words.reason({'code': given.code}, '')}"

    @display(description="Officer")
    def review_officer(self, row: Application) -> str:
        given = getattr(row, "review", None)
        return str(given.officer) if given else cells.NOTHING

    @display(description="Reviewed")
    def reviewed_at(self, row: Application) -> str:
        given = getattr(row, "review", None)
        return cells.moment(given.reviewed_at if given else None)

    @display(description="Reason")
    def review_reason(self, row: Application) -> str:
        given = getattr(row, "review", None)
        return given.reason if given else cells.NOTHING

    # --- acting ---

    def has_review_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """Officers who may change applications may review; nobody edits one."""
        return request.user.has_perm("lending.change_application")

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """Offer the review only where one is due; a late click still gets a sentence."""
        is_due = Application.objects.filter(portfolio.WAITING_APPLICATIONS, pk=object_id).exists()
        return super().get_actions_detail(request, object_id) if is_due else []

    @action(
        description="Approve",
        permissions=["review"],
        icon="check",
        variant=ActionVariant.SUCCESS,
        dialog={
            "title": "Approve this application",
            "description": "The money goes out at once, and the customer gets an SMS.",
            "form_class": ReasonForm,
            "form_submit_text": "Approve and pay out",
        },
    )
    def approve(self, request: HttpRequest, form: ReasonForm, object_id: str) -> HttpResponse:
        return self._review(request, form, object_id, approve=True)

    @action(
        description="Decline",
        permissions=["review"],
        icon="close",
        variant=ActionVariant.DANGER,
        dialog={
            "title": "Decline this application",
            "description": "The customer gets an SMS with the reason that you choose and what can be done now.",
            "form_class": DeclineForm,
            "form_submit_text": "Decline",
        },
    )
    def decline(self, request: HttpRequest, form: DeclineForm, object_id: str) -> HttpResponse:
        return self._review(request, form, object_id, approve=False)

    def _review(self, request: HttpRequest, form: ReasonForm, object_id: str, *, approve: bool) -> HttpResponse:
        return act(
            request,
            lambda: applications.review(
                application_id=int(object_id),
                officer=request.user,
                approve=approve,
                reason=form.cleaned_data["reason"],
                code=form.cleaned_data.get("code", ""),
                at=timezone.now(),
            ),
            "Approved: the payout is under way." if approve else "Declined: the customer will be told.",
            reverse("admin:lending_application_change", args=[object_id]),
            REFUSALS,
        )


def _decision(row: Application) -> Decision | None:
    return getattr(row, "decision", None)
