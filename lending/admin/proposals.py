"""Waiting for a second person: what was proposed, what it would change, and the decision."""

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin import SimpleListFilter
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.forms import BaseDialogForm
from unfold.widgets import UnfoldAdminTextareaWidget

from lending.admin import cells, subjects, terms
from lending.admin.changes import Refused, in_words, preview_rows, title
from lending.admin.dialogs import act
from lending.admin.history import History
from lending.models import Proposal
from lending.selectors import portfolio
from lending.services import products, proposals, savings_terms

# How what a version would change is shown.
VERSIONS = {products.ACT: terms.preview_rows, savings_terms.ACT: terms.savings_rows}


class ApprovalForm(BaseDialogForm):
    """An approval needs no words; they are kept when there are some."""

    remark = forms.CharField(
        label="Remark", required=False, max_length=300, widget=UnfoldAdminTextareaWidget(attrs={"rows": 2})
    )


class RefusalForm(BaseDialogForm):
    remark = forms.CharField(
        label="Why not",
        max_length=300,
        help_text="The one who proposed it reads this.",
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
    )


class PendingFilter(SimpleListFilter):
    title = "work"
    parameter_name = "work"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("waiting", "Waiting for a second person")]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any]":
        return queryset.filter(portfolio.PENDING_PROPOSALS) if self.value() == "waiting" else queryset


@admin.register(Proposal)
class ProposalAdmin(History):
    list_display = ("what", "customer", "reason", "maker", "made_at", "state_label", "checker")
    list_filter = (PendingFilter, "state", "act", "made_at")
    search_fields = ("subject", "reason", "borrower__full_name", "maker__username")
    ordering = ("-made_at",)
    list_select_related = ("borrower", "maker", "checker")
    detail_related = ("borrower", "maker", "checker")
    actions_detail = ("approve", "refuse", "withdraw")
    fieldsets = (
        (None, {"fields": (("what", "about", "customer"), ("maker", "made_at", "state_label"), "reason")}),
        ("What it would change", {"fields": ("shown", "still")}),
        ("The second person", {"fields": (("checker", "decided_at"), "remark")}),
    )

    customer = cells.link_to("borrower", "Customer")

    @display(description="What", ordering="act")
    def what(self, row: Proposal) -> str:
        return title(row.act)

    @display(description="About")
    def about(self, row: Proposal) -> str:
        return subjects.link(row.subject)

    @display(
        description="State",
        ordering="state",
        label={
            Proposal.State.PENDING.label: "warning",
            Proposal.State.APPROVED.label: "success",
            Proposal.State.REFUSED.label: "danger",
            Proposal.State.WITHDRAWN.label: "info",
        },
    )
    def state_label(self, row: Proposal) -> str:
        return row.get_state_display()

    @display(description="")
    def shown(self, row: Proposal) -> str:
        if row.act in VERSIONS:
            return cells.table(("", "In force", "Proposed"), VERSIONS[row.act](row.preview))
        currency = getattr(subjects.record_of(row.subject), "currency", "") or cells.home_currency()
        found = [*_asked(row, currency), *preview_rows(row.preview, currency)]
        return cells.table(("", "When proposed", "Afterwards"), found)

    @display(description="Today")
    def still(self, row: Proposal) -> str:
        if row.state != Proposal.State.PENDING:
            return cells.NOTHING
        why = proposals.overtaken(row)
        if why is None:
            return "Still so."
        if isinstance(why, terms.REFUSALS):
            return f"Not any more. {terms.refusal_words(why)} Refuse it or take it back."
        return f"Overtaken: {why}. Refuse it or take it back, and propose anew what is still right."

    def has_decide_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return request.user.has_perm("lending.change_proposal")

    def has_withdraw_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return request.user.has_perm("lending.add_proposal")

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """Offer a decision to everybody who may decide, but to whoever proposed it only to take it back."""
        waiting = Proposal.objects.filter(portfolio.PENDING_PROPOSALS, pk=object_id).first()
        if waiting is None:
            return []
        own = waiting.maker_id == request.user.pk
        offered = super().get_actions_detail(request, object_id)
        return [one for one in offered if (one.path == "withdraw") == own]

    @action(
        description="Approve",
        permissions=["decide"],
        icon="check",
        variant=ActionVariant.SUCCESS,
        dialog={
            "title": "Approve this proposal",
            "description": "It is carried out at once, if it would still do what the preview showed.",
            "form_class": ApprovalForm,
            "form_submit_text": "Approve and carry out",
        },
    )
    def approve(self, request: HttpRequest, form: ApprovalForm, object_id: str) -> HttpResponse:
        return self._decide(request, form, object_id, approve=True)

    @action(
        description="Refuse",
        permissions=["decide"],
        icon="close",
        variant=ActionVariant.DANGER,
        dialog={"title": "Refuse this proposal", "form_class": RefusalForm, "form_submit_text": "Refuse"},
    )
    def refuse(self, request: HttpRequest, form: RefusalForm, object_id: str) -> HttpResponse:
        return self._decide(request, form, object_id, approve=False)

    @action(
        description="Take back",
        permissions=["withdraw"],
        icon="undo",
        dialog={
            "title": "Take this proposal back",
            "description": "Nothing is changed. It can be proposed anew.",
            "form_class": None,
            "form_submit_text": "Take back",
        },
    )
    def withdraw(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        return act(
            request,
            lambda: in_words(
                lambda: proposals.withdraw(proposal_id=int(object_id), maker=request.user, at=timezone.now())
            ),
            "Taken back: nothing was changed.",
            reverse("admin:lending_proposal_change", args=[object_id]),
            {Refused: "{refusal}"},
        )

    def _decide(self, request: HttpRequest, form: BaseDialogForm, object_id: str, *, approve: bool) -> HttpResponse:
        return act(
            request,
            lambda: in_words(
                lambda: proposals.decide(
                    proposal_id=int(object_id),
                    checker=request.user,
                    approve=approve,
                    remark=form.cleaned_data["remark"],
                    at=timezone.now(),
                )
            ),
            "Approved and carried out." if approve else "Refused: nothing was changed.",
            reverse("admin:lending_proposal_change", args=[object_id]),
            {Refused: "{refusal}"},
        )


ASKED = {
    "amount_cents": "Amount",
    "part": "Part",
    "due_on": "Date",
    "installments": "More installments",
    "of": "Undone",
}


def _asked(row: Proposal, currency: str) -> list[tuple[Any, Any, Any]]:
    """Return what was asked for as the first rows of the table."""
    fact = row.details.get("fact", {})
    return [
        (words, "", cells.shown(fact[name], currency) if name == "amount_cents" else fact[name])
        for name, words in ASKED.items()
        if name in fact
    ]
