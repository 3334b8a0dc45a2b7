"""Cases: what only a person can settle, and closing it with words."""

from typing import Any

from django.contrib import admin
from django.contrib.admin import SimpleListFilter
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from unfold.dataclasses import ActionDialog
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from lending.admin import cells
from lending.admin.dialogs import MatchForm, ResolutionForm, act
from lending.admin.history import History
from lending.models import Case
from lending.selectors import portfolio
from lending.services import cases, receipts

MATCH_DIALOG: ActionDialog = {
    "title": "Whose money is it?",
    "description": "It goes to the customer's open loan, oldest due first; what is over is kept for them.",
    "form_class": MatchForm,
    "form_submit_text": "Give it to this customer",
}


def may_close(request: HttpRequest) -> bool:
    """Officers who may change cases may settle them, which includes money that fits nobody."""
    return request.user.has_perm("lending.change_case")


def match(request: HttpRequest, form: MatchForm, receipt_id: int, back: str) -> HttpResponse:
    """Give money in suspense to a customer and return to the page."""
    customer = form.cleaned_data["customer"]
    return act(
        request,
        lambda: receipts.match_receipt(
            receipt_id=receipt_id,
            borrower_id=customer.id,
            officer=request.user,
            reason=form.cleaned_data["reason"],
            at=timezone.now(),
        ),
        f"The money is {customer.full_name}'s now.",
        back,
        {receipts.NotInSuspense: "Nothing was changed: {refusal} is not in suspense, somebody has dealt with it."},
    )


class OpenFilter(SimpleListFilter):
    title = "work"
    parameter_name = "work"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("open", "Open"), ("closed", "Closed")]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any]":
        if self.value() == "open":
            return queryset.filter(portfolio.OPEN_CASES)
        return queryset.exclude(portfolio.OPEN_CASES) if self.value() == "closed" else queryset


@admin.register(Case)
class CaseAdmin(History):
    list_display = ("kind_label", "customer", "note", "opened_at", "state_label", "closed_by")
    list_filter = (OpenFilter, "kind", "opened_at")
    search_fields = ("subject_key", "note", "borrower__full_name", "receipt__receipt_no")
    ordering = ("closed_at", "opened_at")
    list_select_related = ("borrower", "closed_by")
    detail_related = ("borrower", "receipt", "attempt__intent", "closed_by")
    actions_detail = ("match_customer", "close")
    fieldsets = (
        (None, {"fields": (("kind_label", "state_label", "opened_at"), "note")}),
        ("About", {"fields": (("customer", "receipt_link", "attempt_link"), "subject_key")}),
        ("Settled", {"fields": (("closed_at", "closed_by"), "resolution")}),
    )

    customer = cells.link_to("borrower", "Customer")
    receipt_link = cells.link_to("receipt", "Receipt")
    attempt_link = cells.link_to("attempt", "Payment")

    @display(description="Case", ordering="kind")
    def kind_label(self, row: Case) -> str:
        return row.get_kind_display()

    @display(description="State", label={"Open": "warning", "Closed": "success"})
    def state_label(self, row: Case) -> str:
        return "Closed" if row.closed_at else "Open"

    def has_close_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return may_close(request)

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """Offer what fits: nothing on a closed case, matching only for money that fits nobody."""
        case = Case.objects.filter(portfolio.OPEN_CASES, pk=object_id).first()
        offered = super().get_actions_detail(request, object_id) if case else []
        is_money = case is not None and case.kind == Case.Kind.UNMATCHED_RECEIPT and case.receipt_id
        return [one for one in offered if is_money or not one.action_name.endswith("match_customer")]

    @action(
        description="Match to a customer",
        permissions=["close"],
        icon="person_search",
        variant=ActionVariant.PRIMARY,
        dialog=MATCH_DIALOG,
    )
    def match_customer(self, request: HttpRequest, form: MatchForm, object_id: str) -> HttpResponse:
        back = reverse("admin:lending_case_change", args=[object_id])
        case = Case.objects.get(pk=object_id)
        if case.receipt_id is None:
            return act(request, _no_money, "", back, {ValueError: "This case is not about money."})
        return match(request, form, case.receipt_id, back)

    @action(
        description="Close",
        permissions=["close"],
        icon="task_alt",
        dialog={
            "title": "Close this case",
            "description": "Say how it was settled; the next person reads only this.",
            "form_class": ResolutionForm,
            "form_submit_text": "Close the case",
        },
    )
    def close(self, request: HttpRequest, form: ResolutionForm, object_id: str) -> HttpResponse:
        return act(
            request,
            lambda: _close(int(object_id), request.user, form.cleaned_data["resolution"]),
            "The case is closed.",
            reverse("admin:lending_case_change", args=[object_id]),
            {
                AlreadyClosed: "Nothing was changed: the case was closed before, by {refusal}.",
                cases.StillInSuspense: "Nothing was changed: {refusal} is in suspense. Match it to its customer,"
                " which closes the case.",
            },
        )


class AlreadyClosed(Exception):
    """Somebody else was first; the text is their name."""


def _close(case_id: int, officer: Any, resolution: str) -> None:
    closed = Case.objects.exclude(portfolio.OPEN_CASES).select_related("closed_by").filter(pk=case_id).first()
    if closed:
        raise AlreadyClosed(closed.closed_by or "the system")
    cases.close_case(case_id=case_id, officer=officer, resolution=resolution, at=timezone.now())


def _no_money() -> None:
    raise ValueError("the case has no receipt")
