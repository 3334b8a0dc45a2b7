"""What officers do about a customer's wish for another date: propose it, extend, or leave the dates as they are."""

from typing import Any

from django.urls import reverse
from django.utils import timezone

from lending.admin.changes import ChangeForm, RescheduleForm, granting, loan_of, proposing
from lending.models import Case, Loan
from lending.services import changes


class _OfAWish(ChangeForm):
    """The form of a change that is made from the case of a wish."""

    def loan(self) -> Loan:
        return wished_loan(Case.objects.get(pk=self.object_id))

    def back(self) -> str:
        return reverse("admin:lending_case_change", args=[self.object_id])


class WishedDateForm(_OfAWish, RescheduleForm):
    """The wished date stands in it already."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        case = Case.objects.get(pk=self.object_id)
        self.fields["due_on"].initial = case.details.get("due_on")


class WishedExtensionForm(_OfAWish):
    kind = "extend"


def wished_loan(case: Case) -> Loan:
    """Return the loan of which another date is wished."""
    return loan_of(case.subject_key.removeprefix("loan:"))


def fits(case: Case) -> tuple[str, ...]:
    """Return the acts that answer a wish: the extension only where the product still grants one."""
    grants = changes.granted(wished_loan(case), timezone.localdate())
    return ("propose_reschedule", *(["grant_extend"] if "extend" in grants else []), "keep_dates")


class AnswersWishes:
    """The acts on a wish that change its loan, for the room of cases."""

    propose_reschedule = proposing(
        WishedDateForm, "Propose another date", "date_range",
        "Somebody else has to agree. Then the customer gets an SMS with the new dates, and the case closes.",
    )  # fmt: skip
    grant_extend = granting(
        WishedExtensionForm, "Extend instead", "more_time",
        "All that is unpaid falls due later, against the product's fee. First ask the customer, who can also "
        "choose it on the phone.",
        "Done: the loan is extended. The customer gets an SMS.",
    )  # fmt: skip
