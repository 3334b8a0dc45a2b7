"""Holidays move due dates of real loans, as the law said when the loan was made."""

from datetime import date
from typing import Any

import pytest

from lending.models import CountryPack, Loan
from lending.selectors import contracts, offers
from tests.lending.lending import happen, lend, noon, product

pytestmark = pytest.mark.django_db
# Paid out on 25 November, due 30 days later: on Christmas Day, a Friday, before Boxing Day and a Sunday.
START = noon(2026, 11, 25)
RULE = {"due_dates": {"rule": "next", "weekend": ["sunday"]}}
FEE = [{"name": "Fee", "rate": "0.05"}]


def due_dates(loan: Loan) -> list[date]:
    return [row.due_on for row in loan.installments.order_by("number")]


def pack_without_holidays(**changes: Any) -> CountryPack:
    """Follow Kenya's pack with one that knows no holiday."""
    last = CountryPack.objects.filter(country="KE").order_by("-version").values().first()
    assert last is not None
    rules = {name: part for name, part in last["rules"].items() if name != "holidays"}
    rules["not_found"] |= {"holidays": "none are kept any more"}
    told = {"rules": rules, "version": last["version"] + 1, "effective_on": date(2026, 6, 1)}
    return CountryPack.objects.create(**last | {"id": None} | told | changes)


def test_the_plan_keeps_off_them_and_is_the_one_that_was_quoted() -> None:
    version = product(RULE | {"fees": FEE})
    law = CountryPack.objects.get(country="KE")
    loan = lend(version, 100_000, START, law)
    loan.refresh_from_db()
    assert due_dates(loan) == [date(2026, 12, 28)]
    assert loan.due_on == offers.quote(version, 100_000, START.date(), law).due_on == date(2026, 12, 28)
    assert loan.outstanding_cents == 105_000


def test_nobody_is_late_on_a_holiday() -> None:
    loan = happen(lend(product(RULE), 100_000, START), "pay", noon(2026, 12, 28), amount_cents=100_000)
    loan.refresh_from_db()
    assert (loan.state, loan.worst_days_past_due) == ("settled", 0)


def test_a_product_that_keeps_its_dates_keeps_them_on_holidays_too() -> None:
    assert due_dates(lend(product({}), 100_000, START)) == [date(2026, 12, 25)]


def test_a_new_pack_leaves_the_due_dates_of_old_loans_alone() -> None:
    loan = lend(product(RULE), 100_000, START)
    new = lend(product(RULE), 100_000, START, pack_without_holidays())
    assert due_dates(new) == [date(2026, 12, 25)]
    happen(loan, "pay", noon(2026, 12, 1), amount_cents=1_000)
    assert due_dates(loan) == [date(2026, 12, 28)]


def test_a_pack_may_say_that_there_are_none() -> None:
    loan = lend(product(RULE), 100_000, START, pack_without_holidays())
    assert date(2026, 12, 25) not in contracts.contract_of(loan).holidays
