"""An officer writes down that a customer disputes a loan; it becomes a case, once."""

from django.test import Client

from lending.models import Case, Loan
from tests.lending.admin.test_changes import page, send


def test_it_becomes_a_case_with_what_is_wrong(officer: Client, aminas_loan: Loan) -> None:
    assert "Record a dispute" in officer.get(page(aminas_loan)).content.decode()
    for _ in range(2):
        answer = send(officer, aminas_loan, "grant_dispute", reason="She paid at the shop on Friday.")
    assert "There is a case now" in answer.content.decode()
    case = Case.objects.get(kind=Case.Kind.DISPUTE)
    assert (case.subject_key, case.note) == (f"loan:{aminas_loan.id}", "She paid at the shop on Friday.")
    assert case.borrower == aminas_loan.borrower
