"""Acts on savings groups: forming one, taking somebody in, letting a member go."""

from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from unfold.decorators import action
from unfold.enums import ActionVariant
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from lending.admin.dialogs import MatchForm, ReasonForm, act
from lending.models import Borrower, GroupMember, SavingsAccount
from lending.selectors import search
from lending.selectors.products import NothingInForce
from lending.selectors.savings import GROUP_PRODUCT
from lending.services import groups, savings

PEOPLE_AT_LEAST = 2
APPROVALS = 2
REFUSALS: dict[type[Exception], str] = {
    groups.AlreadyFormed: "Nothing was formed: one of them is in a group of that name.",
    groups.TooFewMembers: "Nothing was changed: {refusal}.",
    groups.GroupEnded: "Nothing was changed: the group's savings are closed, or being closed.",
    savings.PartnerNeeded: "Nothing was formed: the law wants a licensed holder for such savings: there is none.",
    NothingInForce: "Nothing was formed: {refusal}.",
}


def customer(typed: str) -> Borrower:
    """Return the one customer whom a text points to, if they can save.

    Raises:
        ValidationError: it points to nobody or to several, or to somebody whose account here has ended.
    """
    found = search.the_borrower(typed)
    if found is None:
        raise forms.ValidationError(f"\u201c{typed}\u201d does not point to exactly one customer.")
    if found.state != Borrower.State.ACTIVE:
        raise forms.ValidationError(f"{found.full_name} cannot join: the customer is {found.state}.")
    return found


class FormGroupForm(ReasonForm):
    """A name, the members, and how many of them must agree before money leaves."""

    name = forms.CharField(label="Name", max_length=30, widget=UnfoldAdminTextInputWidget())
    members = forms.CharField(
        label="Members",
        help_text="One a line: phone number, national ID or full name. Each must be registered and present.",
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 5}),
    )
    approvals_needed = forms.IntegerField(
        label="Members who must agree before money leaves",
        initial=APPROVALS,
        min_value=1,
        widget=UnfoldAdminIntegerFieldWidget(),
    )
    field_order = ("name", "members", "approvals_needed", "reason")

    def clean_members(self) -> list[Borrower]:
        """Return the customers of the lines, each person once."""
        lines = [line.strip() for line in self.cleaned_data["members"].splitlines() if line.strip()]
        people = {found.identity_index: found for found in map(customer, lines)}
        if len(people) < PEOPLE_AT_LEAST:
            raise forms.ValidationError(f"A group has at least {PEOPLE_AT_LEAST} people.")
        return list(people.values())

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        members, needed = cleaned.get("members"), cleaned.get("approvals_needed")
        if members and needed and needed > len(members):
            self.add_error("approvals_needed", f"There are {len(members)} members.")
        return cleaned


class JoinForm(MatchForm):
    """Who is taken in."""

    def clean_customer(self) -> Borrower:
        """Return the customer whom the text points to."""
        return customer(self.cleaned_data["customer"])


class LeaveForm(ReasonForm):
    """Who goes."""

    member = forms.ChoiceField(label="Member", widget=UnfoldAdminSelectWidget())
    field_order = ("member", "reason")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        staying = GroupMember.objects.filter(group_id=self.object_id, left_at=None).select_related("borrower")
        choices: Any = self.fields["member"]
        choices.choices = [(one.pk, str(one.borrower)) for one in staying.order_by("joined_at", "id")]


class ActsOnGroups:
    """What an officer does for a group, on its page and above the list."""

    def has_group_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return request.user.has_perm("lending.change_borrower")

    @action(
        description="Form a group",
        permissions=["group"],
        icon="group_add",
        variant=ActionVariant.PRIMARY,
        dialog={
            "title": "Form a savings group",
            "description": "Its members get an SMS and see it under Save. Money leaves only when they agree.",
            "form_class": FormGroupForm,
            "form_submit_text": "Form it",
        },
    )
    def form_group(self, request: HttpRequest, form: FormGroupForm) -> HttpResponse:
        said = form.cleaned_data
        return act(
            request,
            lambda: groups.form_group(
                name=said["name"],
                members=said["members"],
                approvals_needed=said["approvals_needed"],
                product_code=GROUP_PRODUCT,
                officer=request.user,
                reason=said["reason"],
                at=timezone.now(),
            ),
            "The group is formed.",
            reverse("admin:lending_savingsgroup_changelist"),
            REFUSALS,
        )

    @action(
        description="Take in a member",
        permissions=["group"],
        icon="person_add",
        dialog={
            "title": "Take in a member",
            "description": "First hear it from the group: whoever joins has a say in what leaves the pot.",
            "form_class": JoinForm,
            "form_submit_text": "Take in",
        },
    )
    def take_in(self, request: HttpRequest, form: JoinForm, object_id: str) -> HttpResponse:
        said = form.cleaned_data
        return self._change(
            request,
            lambda: groups.join(
                group_id=int(object_id),
                borrower=said["customer"],
                officer=request.user,
                reason=said["reason"],
                at=timezone.now(),
            ),
            f"{said['customer'].full_name} is in the group.",
            object_id,
        )

    @action(
        description="Let a member go",
        permissions=["group"],
        icon="person_remove",
        dialog={
            "title": "Let a member go",
            "description": "What they paid in stays theirs when the pot is shared out.",
            "form_class": LeaveForm,
            "form_submit_text": "Let go",
        },
    )
    def let_go(self, request: HttpRequest, form: LeaveForm, object_id: str) -> HttpResponse:
        said = form.cleaned_data
        return self._change(
            request,
            lambda: groups.leave(
                member_id=int(said["member"]), officer=request.user, reason=said["reason"], at=timezone.now()
            ),
            "The member has left the group.",
            object_id,
        )

    def _change(self, request: HttpRequest, service: Any, done: str, object_id: str) -> HttpResponse:
        return act(request, service, done, reverse("admin:lending_savingsgroup_change", args=[object_id]), REFUSALS)

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """Offer nothing on a group whose pot is closed."""
        open_now = SavingsAccount.objects.filter(group_id=object_id, closing_at=None)
        is_open = open_now.exclude(state=SavingsAccount.State.CLOSED).exists()
        offered: list[Any] = super().get_actions_detail(request, object_id)  # type: ignore[misc]
        return offered if is_open else []
