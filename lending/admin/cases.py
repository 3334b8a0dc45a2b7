"""Cases: what only a person can settle, what people asked of us, and closing either with words."""

from typing import Any

from django.contrib import admin
from django.contrib.admin import SimpleListFilter
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.timesince import timesince
from unfold.dataclasses import ActionDialog
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from lending.admin import asked, cells, subjects, wishes
from lending.admin.changes import pending
from lending.admin.dialogs import MatchForm, ResolutionForm, StopForm, act
from lending.admin.history import LooksAreKept
from lending.models import Case
from lending.selectors import portfolio
from lending.selectors import requests as asked_for
from lending.services import brakes, cases, proposals, receipts

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
        return [("open", "Open"), ("asked", "Asked for by people"), ("overdue", "Overdue"), ("closed", "Closed")]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any]":
        queues = {
            "open": portfolio.OPEN_CASES,
            "asked": asked_for.WAITING,
            "overdue": asked_for.overdue(timezone.now()),
            "closed": ~portfolio.OPEN_CASES,
        }
        return queryset.filter(queues.get(self.value() or "", Q()))


@admin.register(Case)
class CaseAdmin(asked.SettlesRequests, wishes.AnswersWishes, LooksAreKept):
    list_display = ("kind_label", "customer", "what", "age", "state_label", "answer_by", "closed_by")
    list_filter = (OpenFilter, "kind", "topic", "opened_at")
    search_fields = ("reference", "subject_key", "note", "borrower__full_name", "receipt__receipt_no")
    ordering = ("closed_at", "opened_at")
    list_select_related = ("borrower", "closed_by")
    detail_related = ("borrower", "receipt", "attempt__intent", "closed_by")
    actions_detail = ("match_customer", *asked.ALL, "close")
    actions_list = ("stop_lending",)
    fieldsets = (
        (None, {"fields": (("kind_label", "state_label", "opened_at", "age"), "note")}),
        ("About", {"fields": (("customer", "about"), "wished")}),
    )
    ASKED = (
        "Asked",
        {
            "fields": (
                ("reference", "caller", "language"),
                ("acknowledge_by", "acknowledged_at", "answer_by"),
            )
        },
    )
    PROPOSED = ("Proposed", {"fields": ("waiting",)})
    SETTLED = ("Settled", {"fields": (("closed_at", "closed_by"), "resolution")})
    ANSWERED = ("Answered", {"fields": (("outcome_label", "answer"),)})

    customer = cells.link_to("borrower", "Customer")

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Leave out what says nothing of this case: who asked for it, how it ended, what was answered."""
        if obj is None:
            return self.fieldsets
        more = (
            (self.PROPOSED, proposals.pending(obj.subject_key)),
            (self.ASKED, obj.msisdn),
            (self.SETTLED, obj.closed_at),
            (self.ANSWERED, obj.outcome),
        )
        return (*self.fieldsets, *(section for section, says in more if says))

    @display(description="Record")
    @cells.once
    def about(self, row: Case) -> str:
        """The receipt or payment that it is about, else whom it names or what its subject does."""
        found = row.receipt or row.attempt or asked.named_customer(row)
        return cells.link(found) if found else subjects.link(row.subject_key)

    @display(description="Waiting for a second person")
    @cells.once
    def waiting(self, row: Case) -> str:
        return pending(row.subject_key)

    @display(description="What")
    def what(self, row: Case) -> str:
        """What there is to read before the page is opened."""
        return row.note or row.get_topic_display() or ", ".join(asked.said(row).values()) or cells.NOTHING

    @display(description="Case", ordering="kind")
    def kind_label(self, row: Case) -> str:
        return row.get_kind_display()

    @display(description="State", label={"Open": "warning", "Overdue": "danger", "Closed": "success"})
    def state_label(self, row: Case) -> str:
        if asked_for.is_overdue(row, timezone.now()):
            return "Overdue"
        return "Closed" if row.closed_at else "Open"

    @display(description="Age", ordering="opened_at")
    def age(self, row: Case) -> str:
        return timesince(row.opened_at, row.closed_at or timezone.now(), depth=1)

    @display(description="Call")
    def caller(self, row: Case) -> str:
        """The whole number of whoever wants to be called: nobody can dial a mask."""
        return f"+{row.msisdn}" if row.msisdn else cells.NOTHING

    @display(description="Asked for")
    def wished(self, row: Case) -> str:
        said = asked.said(row)
        return cells.table((), said.items()) if said else cells.NOTHING

    @display(description="Outcome")
    def outcome_label(self, row: Case) -> str:
        return row.get_outcome_display() or cells.NOTHING

    def has_close_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return may_close(request)

    def has_propose_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return request.user.has_perm("lending.add_proposal")

    def has_grant_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return request.user.has_perm("lending.change_loan")

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """Offer what fits: nothing on a closed case, and only what settles one of its kind."""
        case = Case.objects.filter(portfolio.OPEN_CASES, pk=object_id).first()
        fits = _what_fits(case) if case else ()
        offered = super().get_actions_detail(request, object_id)
        return [one for one in offered if one.action_name.endswith(fits)]

    @action(
        description="Stop lending",
        permissions=["close"],
        icon="front_hand",
        variant=ActionVariant.DANGER,
        dialog={
            "title": "Stop lending at once",
            "description": "It holds from the next decision on, until its case is closed.",
            "form_class": StopForm,
            "form_submit_text": "Stop",
        },
    )
    def stop_lending(self, request: HttpRequest, form: StopForm) -> HttpResponse:
        return act(
            request,
            lambda: brakes.stop(
                what=form.cleaned_data["what"],
                officer=request.user,
                reason=form.cleaned_data["reason"],
                at=timezone.now(),
            ),
            "It is stopped. Close its case to let it go on.",
            reverse("admin:lending_case_changelist"),
            {ValueError: "Nothing was changed: {refusal}."},
        )

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
                cases.NeedsAnAnswer: "Nothing was changed: whoever asked waits for an answer of its own kind.",
            },
        )


def _what_fits(case: Case) -> tuple[str, ...]:
    """Return the acts that settle a case of this kind."""
    if case.kind == Case.Kind.UNMATCHED_RECEIPT and case.receipt_id:
        return ("match_customer", "close")
    if case.kind == Case.Kind.PLAN_WISH:
        return wishes.fits(case)
    fits = asked.SETTLES.get(case.kind, ("close",))
    return tuple(name for name in fits if name != "take_up") if case.acknowledged_at else fits


class AlreadyClosed(Exception):
    """Somebody else was first; the text is their name."""


def _close(case_id: int, officer: Any, resolution: str) -> None:
    closed = Case.objects.exclude(portfolio.OPEN_CASES).select_related("closed_by").filter(pk=case_id).first()
    if closed:
        raise AlreadyClosed(closed.closed_by or "the system")
    cases.close_case(case_id=case_id, officer=officer, resolution=resolution, at=timezone.now())


def _no_money() -> None:
    raise ValueError("the case has no receipt")
