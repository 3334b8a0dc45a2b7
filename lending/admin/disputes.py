"""A customer says that something about a loan is wrong: an officer writes it down, and no bureau hears of it."""

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from unfold.decorators import action

from lending.admin.dialogs import ReasonForm, act
from lending.models import Loan
from lending.services import bureau


class TakesDisputes:
    """What an officer does about a loan that its customer disputes."""

    def also_offered(self, loan: Loan) -> set[str]:
        """Return what means something for a loan as it stands: a record of it may go to a bureau."""
        others: set[str] = super().also_offered(loan)  # type: ignore[misc]
        return others if loan.disbursed_at is None else others | {"dispute"}

    @action(
        description="Record a dispute",
        permissions=["grant"],
        icon="contact_support",
        dialog={
            "title": "The customer disputes it",
            "description": "It becomes a case. Until that is closed, no bad record of this loan goes to a bureau.",
            "form_class": ReasonForm,
            "form_submit_text": "Open the case",
        },
    )
    def grant_dispute(self, request: HttpRequest, form: ReasonForm, object_id: str) -> HttpResponse:
        return act(
            request,
            lambda: bureau.dispute(
                loan_id=int(object_id), actor=request.user, reason=form.cleaned_data["reason"], at=timezone.now()
            ),
            "There is a case now: the customer is owed an answer.",
            reverse("admin:lending_loan_change", args=[object_id]),
            {},
        )
