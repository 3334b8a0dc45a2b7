"""Who looked at whom, who wants to be forgotten, and the agents who help others to register."""

import json
from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from lending.admin import cells
from lending.admin.dialogs import ReasonForm, act
from lending.admin.history import History
from lending.models import AccessRecord, Agent, Erasure
from lending.selectors import agents as counted
from lending.services import agents


@admin.register(AccessRecord)
class AccessRecordAdmin(History):
    list_display = ("looked_at", "officer", "role", "purpose", "customer")
    list_filter = ("purpose", "role", "looked_at")
    search_fields = ("officer__username", "borrower__full_name")
    ordering = ("-looked_at",)
    list_select_related = ("borrower", "officer")
    detail_related = ("borrower", "officer")
    fieldsets = ((None, {"fields": (("looked_at", "officer", "role"), ("purpose", "customer"))}),)

    customer = cells.link_to("borrower", "Customer")


@admin.register(Erasure)
class ErasureAdmin(History):
    list_display = ("customer", "asked_at", "kept_until", "done_at")
    list_filter = (("done_at", admin.EmptyFieldListFilter), "asked_at")
    ordering = ("-asked_at",)
    list_select_related = ("borrower",)
    detail_related = ("borrower",)
    fieldsets = ((None, {"fields": (("customer", "asked_at"), ("kept_until", "done_at"), "gone")}),)

    customer = cells.link_to("borrower", "Customer")

    @display(description="Erased at once")
    def gone(self, row: Erasure) -> str:
        return cells.words_as_shown(json.dumps(row.counts, indent=2))


@admin.register(Agent)
class AgentAdmin(History):
    """Customers who help others to register; an officer says who may."""

    list_display = ("customer", "state_label", "asked_at", "decided_by", "decided_at")
    list_filter = ("state", "asked_at")
    search_fields = ("borrower__full_name",)
    ordering = ("state", "-asked_at")
    list_select_related = ("borrower", "decided_by")
    detail_related = ("borrower", "decided_by")
    actions_detail = ("approve", "refuse", "end")
    fieldsets = (
        (None, {"fields": (("customer", "state_label", "asked_at"), ("invited", "registered"))}),
        ("Decided", {"fields": (("decided_by", "decided_at"), "reason")}),
    )

    customer = cells.link_to("borrower", "Customer")

    @display(
        description="State",
        ordering="state",
        label={
            Agent.State.ASKED.label: "warning",
            Agent.State.APPROVED.label: "success",
            Agent.State.REFUSED.label: "danger",
            Agent.State.ENDED.label: "info",
        },
    )
    def state_label(self, row: Agent) -> str:
        return row.get_state_display()

    @display(description="Invited in 30 days")
    def invited(self, row: Agent) -> int:
        return counted.counts(row.pk, timezone.now()).invited

    @display(description="Of these registered")
    def registered(self, row: Agent) -> int:
        return counted.counts(row.pk, timezone.now()).registered

    def has_decide_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return request.user.has_perm("lending.change_borrower")

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """Offer what fits the state."""
        fits = {
            Agent.State.ASKED: ("approve", "refuse"),
            Agent.State.APPROVED: ("end",),
            Agent.State.REFUSED: ("approve",),
            Agent.State.ENDED: ("approve",),
        }
        agent = Agent.objects.filter(pk=object_id).first()
        names = fits[Agent.State(agent.state)] if agent else ()
        return [one for one in super().get_actions_detail(request, object_id) if one.action_name.endswith(names)]

    @action(
        description="Approve",
        permissions=["decide"],
        icon="check",
        variant=ActionVariant.SUCCESS,
        dialog={
            "title": "Let this customer help others to register",
            "description": "First meet them. They will see how many they registered, and nothing else of anybody.",
            "form_class": ReasonForm,
            "form_submit_text": "Approve",
        },
    )
    def approve(self, request: HttpRequest, form: ReasonForm, object_id: str) -> HttpResponse:
        return self._decide(request, form, object_id, Agent.State.APPROVED)

    @action(
        description="Refuse",
        permissions=["decide"],
        icon="close",
        dialog={"title": "Refuse", "form_class": ReasonForm, "form_submit_text": "Refuse"},
    )
    def refuse(self, request: HttpRequest, form: ReasonForm, object_id: str) -> HttpResponse:
        return self._decide(request, form, object_id, Agent.State.REFUSED)

    @action(
        description="End",
        permissions=["decide"],
        icon="person_off",
        dialog={"title": "End this agent's work", "form_class": ReasonForm, "form_submit_text": "End it"},
    )
    def end(self, request: HttpRequest, form: ReasonForm, object_id: str) -> HttpResponse:
        return self._decide(request, form, object_id, Agent.State.ENDED)

    def _decide(self, request: HttpRequest, form: ReasonForm, object_id: str, state: str) -> HttpResponse:
        return act(
            request,
            lambda: agents.decide(
                agent_id=int(object_id),
                state=state,
                officer=request.user,
                reason=form.cleaned_data["reason"],
                at=timezone.now(),
            ),
            "Done. The customer is told.",
            reverse("admin:lending_agent_change", args=[object_id]),
            {ValueError: "Nothing was changed: it needs a reason in words."},
        )
