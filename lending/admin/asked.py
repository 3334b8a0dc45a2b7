"""What officers do about requests that words alone do not settle: corrections, lost phones, new SIMs, deaths."""

import re
from collections.abc import Callable
from datetime import date
from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.formats import date_format
from unfold.decorators import action
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminTextInputWidget

from lending.admin import cells
from lending.admin.changes import a_date
from lending.admin.dialogs import AnswerForm, ReasonForm, ResolutionForm, act
from lending.models import Borrower, Case
from lending.payments import stopped
from lending.rules import identity
from lending.selectors import people, refinancing
from lending.services import (
    changes,
    complaints,
    corrections,
    deaths,
    holds,
    life,
    lost_phones,
    proposals,
    requests,
)

REFUSALS: dict[type[Exception], str] = {
    requests.NotOpen: "Nothing was changed: it is settled already.",
    proposals.AlreadyPending: "Nothing was changed: {refusal}.",
    stopped.LentToTheDead: "Nothing was changed: no loan is paid out to somebody who has died. Give it up.",
    stopped.CheckedElsewhere: "Nothing was changed: another case of this customer comes first: {refusal}.",
    stopped.TakesTwoOfficers: "Nothing was changed: the customer has died, and what is kept goes back at the word"
    " of two officers. Give it up, then propose the refund.",
    stopped.UnderWay: "Nothing was changed: the payout was sent, and it may arrive. Ask the rail about it first.",
    refinancing.RefinancingUnderWay: "Nothing was changed: {refusal}. Give that payout up, or wait until it is"
    " known how it ended, and then record the death.",
    life.OpenLoanInTheWay: "Nothing was changed: loan {refusal} of this customer is open beside a loan that this"
    " would open again. That one has to be ended first.",
    life.TooManyFacts: "Nothing was changed: {refusal}. Ask the administrator.",
    changes.NotALoanToChange: "Nothing was changed: {refusal} by now. Look at it, and record the death again.",
    identity.InvalidName: "Nothing was changed: that is no name.",
    ValueError: "Nothing was changed: {refusal}.",
}
# What settles a case of a kind, by the names of the acts below; any other is closed with words.
SETTLES: dict[str, tuple[str, ...]] = {
    Case.Kind.COMPLAINT: ("take_up", "answer_complaint"),
    Case.Kind.CORRECTION: ("propose_correction", "settle_correction", "leave_uncorrected"),
    Case.Kind.LOST_PHONE: ("give_number_back", "keep_stopped"),
    Case.Kind.SIM_CHANGED: ("lift_hold",),
    Case.Kind.DEATH: ("confirm_death", "not_dead"),
    Case.Kind.PAYOUT_STOPPED: ("pay_after_all", "give_up_payout", "ask_rail"),
    Case.Kind.PLAN_WISH: ("propose_reschedule", "grant_extend", "keep_dates"),
}
ALL = tuple(name for names in SETTLES.values() for name in names)


# How what was asked for is called, and what of it is not for reading.
DETAILS = {
    "died_on": "Day of death",
    "due_on": "Date",
    "escalate_to": "Who else hears complaints",
    "field": "What is wrong",
    "from": "Call from",
    "to": "Call until",
    "number": "Number",
    "value": "Should be",
}
UNSAID = ("loan_id", "customer", "application_id")


def said(case: Case) -> dict[str, str]:
    """Return what was asked for in words: moments in local time, and what is nothing left out."""
    told = {"about": case.get_topic_display()} | case.details
    told = {name: value for name, value in told.items() if value and name not in UNSAID}
    return {DETAILS.get(name, name[:1].upper() + name[1:]): _in_words(value) for name, value in told.items()}


def named_customer(case: Case) -> Borrower | None:
    """Return the customer whose number somebody else names: one that was stopped, or is said to have died."""
    if case.kind == Case.Kind.LOST_PHONE:
        return Borrower.objects.filter(id=case.details.get("customer")).first()
    return people.find_borrower(deaths.reported_number(case)) if case.kind == Case.Kind.DEATH else None


def _in_words(value: Any) -> str:
    if isinstance(value, bool):
        return "yes"
    text = str(value).replace("_", " ")
    if not re.match(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        return text
    at = parse_datetime(text) if "T" in text else None
    return cells.moment(at) if at else date_format(date.fromisoformat(text))


class CorrectionForm(ReasonForm):
    """The right name, as on the card."""

    full_name = forms.CharField(
        label="Full name as on the ID card", max_length=60, widget=UnfoldAdminTextInputWidget()
    )
    field_order = ("full_name", "reason")


class DeathForm(ResolutionForm):
    """How we know, and since when."""

    died_on = a_date(
        "Day of death",
        required=False,
        help_text="As the document says, but not before the customer last used the PIN. Empty: the day on which we"
        " were told.",
    )
    field_order = ("died_on", "resolution")


def _settling(
    name: str,
    description: str,
    icon: str,
    explained: str,
    done: str,
    service: Callable[..., Any],
    form_class: Any = ResolutionForm,
    variant: ActionVariant = ActionVariant.DEFAULT,
) -> Any:
    """Return an act on a case: a dialog, and one service called with what was typed."""

    def settle(self: Any, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        names = [name for name in getattr(form_class, "base_fields", {}) if not name.startswith("_")]
        typed = {name: form.cleaned_data[name] for name in names}
        return act(
            request,
            lambda: service(case_id=int(object_id), officer=request.user, at=timezone.now(), **typed),
            done,
            reverse("admin:lending_case_change", args=[object_id]),
            REFUSALS,
        )

    settle.__name__ = name
    dialog = {
        "title": description,
        "description": explained,
        "form_class": form_class,
        "form_submit_text": description,
    }
    return action(description=description, permissions=["close"], icon=icon, variant=variant, dialog=dialog)(settle)


def _answer(*, words: str, **said: Any) -> None:
    complaints.answer(words=words, **said)


def _lift(*, case_id: int, officer: Any, resolution: str, at: Any) -> None:
    holds.lift_sim_hold(case_id=case_id, officer=officer, resolution=resolution, at=at)


class SettlesRequests:
    """The acts on requests, for the room of cases."""

    take_up = _settling(
        "take_up", "Take up", "front_hand", "The customer gets an SMS that an officer looks into it now.",
        "It is yours. The customer is told.", complaints.take_up, None,
    )  # fmt: skip
    answer_complaint = _settling(
        "answer_complaint", "Answer", "reply",
        "The customer gets an SMS with the outcome and your words; of no mistake, also who else hears complaints.",
        "Answered: the customer is told.", _answer, AnswerForm, ActionVariant.PRIMARY,
    )  # fmt: skip
    propose_correction = _settling(
        "propose_correction", "Propose the right name", "edit",
        "First look at the ID card. A second officer has to agree; then the customer gets an SMS.",
        "Proposed: it waits for a second person.", corrections.propose_correction, CorrectionForm,
        ActionVariant.PRIMARY,
    )  # fmt: skip
    settle_correction = _settling(
        "settle_correction", "It is put right", "task_alt", "The customer gets an SMS that the data are corrected.",
        "The wish is settled. The customer is told.",
        lambda **said: corrections.settle(put_right=True, **said),
    )  # fmt: skip
    leave_uncorrected = _settling(
        "leave_uncorrected", "It cannot be put right", "block",
        "The customer gets an SMS to bring the ID card to an officer.",
        "The wish is settled. The customer is told.",
        lambda **said: corrections.settle(put_right=False, **said),
    )  # fmt: skip
    give_number_back = _settling(
        "give_number_back", "Give the number back", "lock_open",
        "Only after you have spoken with the customer, who has the SIM again. They choose a new PIN by their "
        "national ID at the next dial.",
        "The number works again.", lambda **said: lost_phones.settle(give_back=True, **said),
    )  # fmt: skip
    keep_stopped = _settling(
        "keep_stopped", "Leave it as it is", "phonelink_lock",
        "A number that was stopped stays stopped. The case is closed.",
        "The case is closed.", lambda **said: lost_phones.settle(give_back=False, **said),
    )  # fmt: skip
    lift_hold = _settling(
        "lift_hold", "Let payouts go on", "lock_open", "Only after you have checked who holds the new SIM.",
        "Payouts go on.", _lift,
    )  # fmt: skip
    confirm_death = _settling(
        "confirm_death", "Record the death", "local_florist",
        "Each live loan ends as its terms say for a death: nothing since that day is charged. Nobody is written to "
        "any more, and whoever told us gets an SMS that nothing is asked of the family.",
        "Recorded.", deaths.confirm, DeathForm,
    )  # fmt: skip
    not_dead = _settling(
        "not_dead", "It is not so", "undo",
        "What was stopped goes on, unless another word of a next of kin is still open.", "Settled.", deaths.refuse,
    )  # fmt: skip
    pay_after_all = _settling(
        "pay_after_all", "Pay after all", "send_money",
        "Only after you have checked whose number it is. All that waits for that number goes on.",
        "It goes out now.", stopped.pay_after_all,
    )  # fmt: skip
    give_up_payout = _settling(
        "give_up_payout", "Give the payout up", "money_off",
        "Nothing is sent. What was set aside is free again; a loan that never went out is owed by nobody.",
        "Given up: the money stays with us.", stopped.give_up,
    )  # fmt: skip
    ask_rail = _settling(
        "ask_rail", "Ask the rail", "contact_support",
        "For a payout that was sent before it stood still: the rail is asked what became of it.",
        "If it was sent, the rail is asked again now.", stopped.ask_rail, None,
    )  # fmt: skip
    keep_dates = _settling(
        "keep_dates", "The dates stay", "event_busy",
        "The customer gets an SMS that the dates stay, and what is owed when.",
        "Answered: the customer is told.", changes.keep_dates,
    )  # fmt: skip
