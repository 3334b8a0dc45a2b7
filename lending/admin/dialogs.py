"""The small forms in which an officer says why, and the way back to the page afterwards."""

import hashlib
import json
from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from unfold.forms import BaseDialogForm
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from lending.admin import words
from lending.models import Borrower, Case
from lending.selectors import search
from lending.services import applications, brakes


class ReasonForm(BaseDialogForm):
    """A reason in words, which stays on record with the officer's name."""

    reason = forms.CharField(
        label="Reason",
        max_length=300,
        help_text="Kept for ever with your name. Write what you saw, not only what you did, and name nobody.",
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
    )


class StopForm(ReasonForm):
    """What is to stop at once, and why."""

    what = forms.ChoiceField(
        label="What stops",
        choices=[(what, means) for what, (_, means) in brakes.STOPS.items()],
        widget=UnfoldAdminSelectWidget(),
    )
    field_order = ("what", "reason")


class DeclineForm(ReasonForm):
    """Why, for the record, and what the customer is told."""

    code = forms.ChoiceField(
        label="The customer is told",
        choices=[(code, words.reason({"code": code}, "")) for code in applications.DECLINES],
        widget=UnfoldAdminSelectWidget(),
    )
    field_order = ("code", "reason")


class ResolutionForm(BaseDialogForm):
    """How a case was settled."""

    resolution = forms.CharField(
        label="Resolution", max_length=300, widget=UnfoldAdminTextareaWidget(attrs={"rows": 3})
    )


class AnswerForm(ResolutionForm):
    """What a complaint came to, and the words that the customer reads."""

    outcome = forms.ChoiceField(label="Outcome", choices=Case.Outcome.choices, widget=UnfoldAdminSelectWidget())
    words = forms.CharField(
        label="The customer reads",
        max_length=60,
        help_text="In their language, calm and plain, up to 60 characters. No amounts that others should not read.",
        widget=UnfoldAdminTextInputWidget(),
    )
    field_order = ("outcome", "words", "resolution")


class MatchForm(ReasonForm):
    """Whose money it is, and how the officer knows."""

    customer = forms.CharField(
        label="Customer",
        max_length=80,
        help_text="Phone number, national ID, loan reference or full name: it must point to one person.",
        widget=UnfoldAdminTextInputWidget(),
    )
    field_order = ("customer", "reason")

    def clean_customer(self) -> Borrower:
        """Return the one borrower that the text points to."""
        found = search.the_borrower(self.cleaned_data["customer"])
        if found is None:
            raise forms.ValidationError("This does not point to exactly one customer.")
        return found


class PreviewedForm(ReasonForm):
    """A form that is sent twice: the first time it shows what would happen, the second time it happens.

    What was shown travels along as a fingerprint, so that whatever changed in between is shown again first.
    """

    form_before_template = "lending/preview.html"
    seen = forms.CharField(required=False, widget=forms.HiddenInput)
    shown: Any = None

    def preview(self) -> Any:
        """Return what would happen, as `rows` reads it; raise ValidationError with what speaks against it."""
        raise NotImplementedError

    def rows(self, shown: Any) -> list[tuple[Any, ...]]:
        """Return what is shown of it: in words, before, after."""
        raise NotImplementedError

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        if not self.errors:
            self.shown = self.preview()
            print_ = hashlib.sha256(json.dumps(self.shown, sort_keys=True).encode()).hexdigest()
            if cleaned["seen"] != print_:
                self.data: Any = self.data.copy()
                self.data["seen"] = print_
                raise forms.ValidationError(
                    "Nothing has happened yet. This is what would; send it once more to go ahead."
                )
        return cleaned

    def get_before_template_context(self, request: HttpRequest, object_id: Any = None) -> dict[str, Any]:
        return {
            "said": self.non_field_errors() if self.is_bound else [],
            "headers": ("", "Now", "Afterwards"),
            "rows": self.rows(self.shown) if self.shown else [],
        }


def act(
    request: HttpRequest, service: Callable[[], Any], done: str, back: str, refusals: dict[type[Exception], str]
) -> HttpResponse:
    """Call a service and return to the page with what became of it; a refusal is a sentence, not an error."""
    try:
        service()
    except tuple(refusals) as refusal:
        words = next(text for kind, text in refusals.items() if isinstance(refusal, kind))
        messages.error(request, words.format(refusal=refusal))
    else:
        messages.success(request, done)
    if request.headers.get("HX-Request"):
        # The dialog posts in the background; this header makes the page itself go there.
        return HttpResponse(headers={"HX-Redirect": back})
    return HttpResponseRedirect(back)
