"""The bureau file over the four loans: who is in, who is not, and why."""

from datetime import date
from typing import Any

import pytest
from django.contrib.auth.models import User

from lending.models import Case, Consent, Loan
from lending.selectors.metrics import REPORTS
from lending.services import bureau, cases
from tests import factories
from tests.lending.selectors.story import at

JUNE = date(2026, 6, 30)


def file(on: date = JUNE) -> dict[str, dict[str, Any]]:
    return {record["AccountNumber"]: record for record in REPORTS["bureau"].records(on)}


def rejects(on: date = JUNE) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for row in REPORTS["bureau_rejects"].records(on):
        found.setdefault(row["reference"], []).append(row["reason"])
    return found


def test_a_loan_that_is_not_late_is_in_the_file(four_loans: dict[str, Loan]):
    amina = four_loans["Amina"]
    record = file()[amina.reference]
    assert (record["Surname"], record["Forename1"], record["PrimaryIDNumber"]) == ("Wanjiru", "Amina", "24567801")
    assert (record["CurrentBalance"], record["OverdueBalance"], record["InstalmentDueDate"]) == (
        "1060.00",
        "0.00",
        "20260720",
    )
    assert amina.reference not in rejects()


def test_late_loans_stay_out_until_a_notice_is_on_record(four_loans: dict[str, Loan]):
    late = {four_loans[name].reference for name in ("Brian", "Cheptoo", "Daudi")}
    assert set(rejects()) == late and not late & set(file())
    assert any("notice 30 days before" in reason for reason in rejects()[four_loans["Cheptoo"].reference])
    assert "late with 848.00, listed above 1000.00" in rejects()[four_loans["Cheptoo"].reference]


def test_a_write_off_is_still_owed_to_the_file(four_loans: dict[str, Loan]):
    assert "late with 324.00, listed above 1000.00" in rejects()[four_loans["Daudi"].reference]


def test_consent_counts_as_it_was_on_the_day(four_loans: dict[str, Loan]):
    amina = four_loans["Amina"]
    Consent.objects.filter(borrower=amina.borrower, purpose="bureau").update(withdrawn_at=at(6, 29))
    assert rejects()[amina.reference] == ["the customer did not agree that data go to credit bureaus"]
    assert amina.reference in file(date(2026, 6, 28))


def test_a_closed_loan_is_told_for_a_month(four_loans: dict[str, Loan]):
    amina = four_loans["Amina"]
    factories.pay(amina.reference, 1_060_00, "JUL01", at=at(7, 1))
    record = file(date(2026, 7, 31))[amina.reference]
    assert (record["AccountStatus"], record["StatusDate"], record["LastPaymentAmount"]) == (
        "A",
        "20260701",
        "1060.00",
    )
    assert amina.reference not in file(date(2026, 8, 1))


def test_a_disputed_loan_stays_out_until_a_person_has_answered(four_loans: dict[str, Loan]):
    brian, officer = four_loans["Brian"], User.objects.create_user("officer")
    for _ in range(2):
        bureau.dispute(loan_id=brian.id, actor=officer, reason="He paid at the shop.", at=at(6, 20))
    case = Case.objects.get(kind="dispute")
    assert "late, and disputed by the customer since 2026-06-20" in rejects()[brian.reference]
    assert not any("disputed" in reason for reason in rejects(date(2026, 6, 19)).get(brian.reference, []))
    cases.close_case(case_id=case.id, officer=officer, resolution="The shop never sent it.", at=at(6, 29))
    assert not any("disputed" in reason for reason in rejects()[brian.reference])


def test_a_dispute_says_what_is_wrong(four_loans: dict[str, Loan]):
    with pytest.raises(ValueError, match="what is wrong"):
        bureau.dispute(loan_id=four_loans["Brian"].id, actor=None, reason=" ", at=at(6, 20))
