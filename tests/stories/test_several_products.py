"""Several products on the phone: how long and for what, said once and remembered."""

from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from lending.models import Application, Borrower, Case, Loan, ProductVersion
from lending.services import applications
from tests import factories
from tests.factories import PIN
from tests.phone import Phone
from ussd.screens import borrow

pytestmark = pytest.mark.usefixtures("fixed_scorer", "deciding_worker")
LATE = {"name": "Late", "amount_cents": 2_000, "grace_days": 2, "every_days": 7, "most_times": 3}


@pytest.fixture
def aminas_phone(client: Client, amina: Borrower) -> Phone:
    return Phone(client, amina.msisdn)


def to_the_end(phone: Phone) -> Phone:
    """Turn the pages of the key facts until they can be accepted."""
    while "2 Accept" not in phone.text:
        phone.types("98")
    return phone


def test_amina_chooses_how_long_and_says_for_what(aminas_phone: Phone) -> None:
    aminas_phone.dials("*384*77#").types("1", "500").sees("It changes nothing for you", "5 Rather not say")
    aminas_phone.types("5").sees("You repay KES 530", "3 Change").types("3")
    aminas_phone.sees("For 30 days. Use: not said.").types("1")
    aminas_phone.sees("1 30 days: KES 530", "2 14 days: KES 518", "3 4 weeks, 4 parts: KES 526").types("2")
    aminas_phone.sees("You repay KES 518", "Fee KES 15", "Tax KES 3").types("3", "2")
    aminas_phone.sees("It changes nothing for you").types("1").sees("You repay KES 518").types(PIN)
    application = Application.objects.get()
    assert (application.product_version.code, application.purpose) == ("jirani-14", "business")
    assert "You repay KES 518" in application.key_facts_text


def test_the_next_time_it_is_remembered(aminas_phone: Phone, amina: Borrower) -> None:
    test_amina_chooses_how_long_and_says_for_what(aminas_phone)
    loan = factories.pay_out(Loan.objects.get(), at=timezone.now())
    factories.pay(loan.reference, 51_800, at=timezone.now())
    aminas_phone.dials("*384*77#").types("1", "500").sees("You repay KES 518").types("2", PIN).ends_with("Approved")
    latest = Application.objects.latest("id")
    assert (latest.product_version.code, latest.purpose) == ("jirani-14", "business")


@pytest.mark.parametrize(("typed", "purpose"), [("1", "business"), ("4", "home"), ("5", ""), ("6", "other")])
def test_what_it_is_for_is_asked_once(aminas_phone: Phone, amina: Borrower, typed: str, purpose: str) -> None:
    aminas_phone.dials("*384*77#").types("1", "500").sees("What is it for?").types(typed).sees("You get KES 500")
    aminas_phone.types(PIN).ends_with("Approved")
    assert Application.objects.get().purpose == purpose
    loan = factories.pay_out(Loan.objects.get(), at=timezone.now())
    factories.pay(loan.reference, 53_000, at=timezone.now())
    aminas_phone.dials("*384*77#").types("1", "500").sees("You get KES 500").types(PIN).ends_with("Approved")
    assert Application.objects.latest("id").purpose == purpose


def test_who_goes_back_from_what_it_is_for_is_at_the_amount(aminas_phone: Phone) -> None:
    aminas_phone.dials("*384*77#").types("1", "500").sees("What is it for?").types("0").sees("How much")
    aminas_phone.types("600", "2").sees("You get KES 600").types("3").sees("Use: School")


def test_what_was_said_can_be_taken_back(aminas_phone: Phone) -> None:
    aminas_phone.dials("*384*77#").types("1", "500", "1", "3").sees("Use: Stock or business").types("2", "5")
    aminas_phone.sees("You get KES 500").types("3").sees("Use: not said")


def test_the_key_facts_of_a_plan_say_its_parts_and_what_late_costs(aminas_phone: Phone) -> None:
    weekly = ProductVersion.objects.filter(code="jirani-weekly").values().get()
    terms = weekly["terms"] | {"penalties": [LATE]}
    ProductVersion.objects.create(**weekly | {"id": None, "version": 2, "terms": terms})
    aminas_phone.dials("*384*77#").types("1", "500", "5", "3", "1", "3").sees("You get KES 500")
    shown = aminas_phone.text
    to_the_end(aminas_phone)
    whole = shown + aminas_phone.text
    costs = (
        "Interest KES 20",
        "You repay KES 526",
        "4 parts ",
        "first KES 130",
        "Late fee KES 20 each 7 days",
    )
    assert [one for one in costs if one not in whole] == []
    aminas_phone.types("1").sees("You repay KES 526 in 4 parts: the first, KES 130, on")
    read = aminas_phone.text
    while "1 Accept" not in aminas_phone.text:
        read += aminas_phone.types("98").text
    assert "From day 3 late: KES 20 each 7 days" in read and "Paying early costs less" in read
    assert "You may skip a payment" in read and "Paying late costs no fee" not in read


def test_a_product_that_rests_is_not_offered(aminas_phone: Phone) -> None:
    rest("jirani-14")
    aminas_phone.dials("*384*77#").types("1", "500", "5", "3", "1").sees("1 30 days", "2 4 weeks").sees_no(
        "14 days"
    )


def rest(*codes: str) -> None:
    """Let products make no new loans until a person has looked."""
    for code in codes:
        Case.objects.create(kind="loss_brake", subject_key=f"product:{code}", opened_at=timezone.now())


def test_who_asks_while_the_usual_one_rests_gets_the_next(aminas_phone: Phone) -> None:
    rest("jirani-30")
    aminas_phone.dials("*384*77#").types("1").sees("Your limit is KES 1,000").types("500", "5")
    aminas_phone.sees("You repay KES 518").types("3", "1").sees("1 14 days", "2 4 weeks").sees_no("30 days")
    aminas_phone.types("0", "0").types(PIN).ends_with("Approved")
    assert Application.objects.get().product_version.code == "jirani-14"


def test_only_when_all_rest_is_nothing_lent(aminas_phone: Phone, settings: Any) -> None:
    rest(*settings.PRODUCTS)
    aminas_phone.dials("*384*77#").types("1").ends_with("no new loans of this kind", "not because of you")


def test_one_that_rests_since_its_key_facts_is_not_lent_and_the_next_is_shown(aminas_phone: Phone) -> None:
    aminas_phone.dials("*384*77#").types("1", "500", "5").sees("You repay KES 530")
    rest("jirani-30")
    aminas_phone.types(PIN).sees("You repay KES 518", "2 Accept, or enter PIN")
    assert not Application.objects.exists()
    aminas_phone.repeats()
    assert not Application.objects.exists()
    aminas_phone.types(PIN).ends_with("Approved")
    assert Application.objects.get().product_version.code == "jirani-14"


def test_one_that_rests_while_it_is_submitted_leads_to_the_next(
    aminas_phone: Phone, monkeypatch: pytest.MonkeyPatch
) -> None:
    aminas_phone.dials("*384*77#").types("1", "500", "5")
    looked = borrow._is_as_shown

    def and_then_it_rests(*args: Any) -> Any:
        found = looked(*args)
        rest("jirani-30")
        return found

    monkeypatch.setattr(borrow, "_is_as_shown", and_then_it_rests)
    aminas_phone.types(PIN).sees("You repay KES 518", "2 Accept")
    assert not Application.objects.exists()


def test_an_application_is_held_to_its_own_product(amina: Borrower) -> None:
    weekly = ProductVersion.objects.get(code="jirani-weekly")
    rest("jirani-weekly")
    with pytest.raises(applications.Paused):
        applications.submit(
            borrower_id=amina.id, principal_cents=50_000, product_version_id=weekly.id, shown=factories.shown(),
            origin="ussd:1", at=timezone.now(),
        )  # fmt: skip
