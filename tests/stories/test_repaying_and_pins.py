"""Repaying by phone, looking at a loan, and losing and winning back a PIN."""

from datetime import UTC, datetime
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from lending.models import Borrower, Case, Loan, PaymentIntent
from lending.services import people
from tests import factories
from tests.phone import Phone


@pytest.fixture
def aminas_phone(client: Client, amina: Borrower) -> Phone:
    return Phone(client, amina.msisdn)


@pytest.fixture
def loan_of_today(amina: Borrower, fixed_scorer: Any) -> Loan:
    return factories.live_loan(amina, at=timezone.now())


def test_amina_sees_what_happened_and_what_she_owes(aminas_phone: Phone, loan_of_today: Loan) -> None:
    ref = loan_of_today.reference
    aminas_phone.dials("*384*77#").sees("Last: KES 500 sent", f"ref {ref}", "You owe KES 530 by")
    aminas_phone.types("1").sees(f"Loan {ref}", "In 30 days").types("1").sees("sent KES 500")


def test_a_movement_after_midnight_stands_under_its_own_day(
    aminas_phone: Phone, amina: Borrower, fixed_scorer: Any
) -> None:
    factories.live_loan(amina, at=datetime(2026, 3, 1, 21, 30, tzinfo=UTC))  # half past midnight in Nairobi
    aminas_phone.dials("*384*77#").types("1", "1").sees("2 Mar sent KES 500")


def test_amina_asks_for_a_prompt_and_gets_one(aminas_phone: Phone, loan_of_today: Loan) -> None:
    aminas_phone.dials("*384*77#").types("2").sees("You owe KES 530", "paybill 600200, account 0711000101")
    aminas_phone.types("1").ends_with("M-PESA prompt for KES 530", "Enter your M-PESA PIN")
    aminas_phone.repeats().ends_with("M-PESA prompt for KES 530")
    assert PaymentIntent.objects.get(purpose="collect").amount_cents == 53_000

    aminas_phone.dials("*384*77#").types("2", "3", "100").ends_with("already on its way")
    assert PaymentIntent.objects.filter(purpose="collect").count() == 1


@pytest.mark.parametrize(
    ("amount", "said"), [("0", "digits"), ("600", "less than that"), ("10.50", "Whole KES only"), ("-5", "digits")]
)
def test_amina_cannot_repay_what_is_no_amount(
    aminas_phone: Phone, loan_of_today: Loan, amount: str, said: str
) -> None:
    aminas_phone.dials("*384*77#").types("2", "3", amount).sees(said, "How much do you pay now?")
    aminas_phone.types("200").ends_with("KES 200")


def test_amina_has_nothing_to_repay(aminas_phone: Phone) -> None:
    aminas_phone.dials("*384*77#").types("2").sees("You have no loan to repay", "1 Pay for someone else")


def test_amina_cannot_borrow_twice(aminas_phone: Phone, loan_of_today: Loan) -> None:
    aminas_phone.dials("*384*77#").types("1").sees("You owe KES 530", "2 Repay").types("2").sees("Pay all")


def test_an_early_repayment_settles_and_the_limit_grows(
    aminas_phone: Phone, loan_of_today: Loan, books_balance: Any
) -> None:
    factories.pay("0711000101", 53_000, at=timezone.now())
    factories.pay("0711000101", 53_000, at=timezone.now())
    aminas_phone.dials("*384*77#").sees("Last: KES 530 repaid", "ref SFC7XK2", "your limit is KES 1,500")
    aminas_phone.types("5", "3").sees("repaid KES 530")
    books_balance()


def test_brian_speaks_swahili_after_two_hops(client: Client, brian: Borrower) -> None:
    phone = Phone(client, brian.msisdn).dials("*384*77#").types("99").sees("Language", "1 Kiswahili").types("1")
    phone.sees("1 Mkopo", "kikomo chako")
    phone.dials("*384*77#").sees("1 Mkopo")


def test_amina_changes_her_pin(aminas_phone: Phone, amina: Borrower) -> None:
    aminas_phone.dials("*384*77#").types("5", "2", "1").sees("Enter your Jirani PIN").types("2580")
    aminas_phone.types("1234").sees("easy to guess").types("7391").types("7392").sees("Not the same")
    aminas_phone.types("7391").ends_with("Your PIN is changed")
    people.check_pin(borrower_id=amina.id, pin="7391", at=timezone.now())


def test_a_thief_is_locked_out_and_amina_comes_back_through_an_officer(
    aminas_phone: Phone, amina: Borrower, admin_user: Any
) -> None:
    aminas_phone.dials("*384*77#").types("1", "500", "5", "2")
    aminas_phone.types("9753").sees("2 tries left").types("8642").sees("1 try left")
    aminas_phone.types("7531").sees("Your PIN is locked", "opens by itself", "1 Ask for a new PIN")
    aminas_phone.dials("*384*77#").types("1", "500", "5", "2").sees("Your PIN is locked")
    assert Case.objects.filter(kind="pin_locked", borrower=amina, closed_at__isnull=True).count() == 1

    people.reset_pin(borrower_id=amina.id, officer=admin_user, reason="Came with her ID card.", at=timezone.now())
    aminas_phone.dials("*384*77#").sees("An officer reset your PIN").types("11111111", "7391", "7391")
    aminas_phone.ends_with("not the ID we know")
    aminas_phone.dials("*384*77#").types("23456781", "7391", "7391").sees("1 Loan")
    aminas_phone.types("1", "500", "5", "2", "7391")
    assert not aminas_phone.is_open


def test_who_refuses_is_not_kept(phone: Phone) -> None:
    phone.dials("*384*77#").types("1").types("2").ends_with("We keep nothing about you")
    assert not Borrower.objects.exists()
