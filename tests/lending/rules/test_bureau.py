"""The bureau's record of one loan: its values, and everything that keeps it out of the file."""

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from lending.rules.bureau import FIELDS, Listing, MobileLoan, faults, record_of

ON = date(2026, 6, 30)
LISTING = Listing(notice_days=30, minimum_cents=1_000_00)
# Cheptoo borrowed KES 3,000, paid 500 and is 46 days late; a notice reached her in time.
CHEPTOO = MobileLoan(
    on=ON,
    full_name="Cheptoo Jebet Koech",
    national_id="24567803",
    msisdn="254711000203",
    client_number="17",
    reference="7KQ2XM",
    currency="KES",
    principal_cents=3_000_00,
    owed_cents=2_680_00,
    overdue_cents=2_680_00,
    items_overdue=1,
    unpaid_since=date(2026, 5, 15),
    first_due_on=date(2026, 5, 15),
    last_due_on=date(2026, 5, 15),
    first_installment_cents=3_180_00,
    disbursed_on=date(2026, 4, 15),
    closed_on=None,
    written_off_on=None,
    restructured_on=None,
    is_deceased=False,
    paid_on=date(2026, 5, 20),
    paid_cents=500_00,
    may_share=True,
    noticed_on=date(2026, 5, 31),
)


def record(**changes: Any) -> dict[str, str]:
    names = [field.name for field in FIELDS]
    return dict(zip(names, record_of(replace(CHEPTOO, **changes)), strict=True))


def test_the_record_has_the_31_fields_of_the_template_in_order() -> None:
    assert record() == {
        "Surname": "Koech",
        "Forename1": "Cheptoo",
        "Forename2": "Jebet",
        "Forename3": "",
        "TradingAs": "",
        "DateOfBirth": "",
        "ClientNumber": "17",
        "AccountNumber": "7KQ2XM",
        "Gender": "",
        "Nationality": "",
        "PrimaryIDType": "001",
        "PrimaryIDNumber": "24567803",
        "MobilePhone": "254711000203",
        "ProductType": "I",
        "InstalmentDueDate": "20260515",
        "OriginalAmount": "3000.00",
        "Currency": "KES",
        "CurrentBalanceKES": "2680.00",
        "CurrentBalance": "2680.00",
        "OverdueBalance": "2680.00",
        "OverdueDate": "20260515",
        "DaysInArrears": "46",
        "InstalmentsInArrears": "1",
        "PrudentialClass": "B",
        "AccountStatus": "F",
        "StatusDate": "20260415",
        "RepaymentPeriod": "1",
        "DisbursementDate": "20260415",
        "InstalmentAmount": "3180.00",
        "LatestPaymentDate": "20260520",
        "LastPaymentAmount": "500.00",
    }
    assert len(FIELDS) == 31
    assert faults(CHEPTOO, LISTING) == []


@pytest.mark.parametrize(
    ("changes", "status", "day"),
    [
        ({}, "F", "20260415"),
        ({"restructured_on": date(2026, 6, 1)}, "G", "20260601"),
        ({"restructured_on": date(2026, 6, 1), "written_off_on": date(2026, 6, 2)}, "C", "20260602"),
        ({"written_off_on": date(2026, 6, 2), "is_deceased": True}, "L", "20260630"),
        ({"is_deceased": True, "closed_on": date(2026, 6, 3)}, "A", "20260603"),
    ],
)
def test_the_gravest_status_is_told(changes: dict[str, Any], status: str, day: str) -> None:
    told = record(**changes)
    assert (told["AccountStatus"], told["StatusDate"]) == (status, day)


@pytest.mark.parametrize(("days", "code"), [(30, "A"), (31, "B"), (91, "C"), (181, "D"), (361, "E")])
def test_the_class_follows_the_days(days: int, code: str) -> None:
    assert record(unpaid_since=ON - timedelta(days=days))["PrudentialClass"] == code


@pytest.mark.parametrize(
    ("name", "surname", "forenames"),
    [
        ("Amina Wanjiru", "Wanjiru", ["Amina", "", ""]),
        ("Grace Njeri Wambui Kamau", "Kamau", ["Grace", "Njeri", "Wambui"]),
        ("A B C D E", "E", ["A", "B", "C D"]),
    ],
)
def test_the_family_name_is_the_last(name: str, surname: str, forenames: list[str]) -> None:
    told = record(full_name=name)
    assert [told["Surname"], *(told[f"Forename{place}"] for place in (1, 2, 3))] == [surname, *forenames]


@pytest.mark.parametrize(("term", "months"), [(7, "1"), (30, "1"), (31, "1"), (32, "2"), (92, "3"), (365, "12")])
def test_a_period_that_has_begun_is_a_month(term: int, months: str) -> None:
    assert record(last_due_on=CHEPTOO.disbursed_on + timedelta(days=term))["RepaymentPeriod"] == months


NOT_LATE = {"unpaid_since": date(2026, 7, 15), "overdue_cents": 0, "items_overdue": 0, "noticed_on": None}


class TestFaults:
    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"full_name": "Cheptoo"}, "Surname"),
            ({"full_name": "Cheptoo K"}, "Surname"),
            ({"full_name": "=1+1 Koech"}, "Forename1"),
            ({"full_name": f"{'Che' * 20} Koech"}, "Forename1"),
            ({"national_id": ""}, "PrimaryIDNumber"),
            ({"national_id": "123456789"}, "PrimaryIDNumber"),
            ({"national_id": "A1234567"}, "PrimaryIDNumber"),
            ({"msisdn": "0711"}, "MobilePhone"),
            ({"currency": "UGX"}, "Currency"),
            ({"items_overdue": 0}, "InstalmentsInArrears"),
            (NOT_LATE | {"items_overdue": 1}, "InstalmentsInArrears"),
            ({"overdue_cents": 2_680_01}, "OverdueBalance"),
            ({"may_share": False}, "consent"),
            ({"owed_cents": 1_000_00, "overdue_cents": 1_000_00}, "listing"),
            ({"noticed_on": None}, "listing"),
            ({"noticed_on": date(2026, 6, 1)}, "listing"),
        ],
        ids=str,
    )
    def test_a_fault_is_named_with_its_field(self, changes: dict[str, Any], field: str) -> None:
        assert field in [fault.field for fault in faults(replace(CHEPTOO, **changes), LISTING)]

    def test_all_faults_are_told_at_once(self) -> None:
        found = faults(replace(CHEPTOO, full_name="Cheptoo", may_share=False, noticed_on=None), LISTING)
        assert [fault.field for fault in found] == ["Surname", "Forename1", "consent", "listing"]

    def test_a_loan_that_is_not_late_needs_no_notice_and_may_be_small(self) -> None:
        small = replace(CHEPTOO, **NOT_LATE, owed_cents=10_00)
        assert faults(small, LISTING) == []
