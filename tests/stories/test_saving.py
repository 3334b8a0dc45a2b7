"""Saving by phone: a goal, a prompt, money out, a lock and its key, and savings that pay a loan."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from lending.models import (
    Borrower,
    PaymentIntent,
    SavingsAccount,
    SavingsInstruction,
    SavingsMovement,
    SweepMandate,
)
from lending.selectors import deposits
from lending.services import savings_instructions
from tests import factories
from tests.factories import PIN
from tests.lending import saving
from tests.phone import Phone


@pytest.fixture
def aminas_phone(client: Client, amina: Borrower) -> Phone:
    return Phone(client, amina.msisdn)


@pytest.fixture
def school_fees(amina: Borrower) -> SavingsAccount:
    """KES 1,000 of 2,000 for school, saved by now."""
    pot = saving.pot(amina, goal="School fees", target_cents=200_000, at=timezone.now())
    saving.deposit(pot, 100_000, at=timezone.now())
    return pot


def holder_confirms(reference: str, cents: int) -> SavingsMovement:
    now = timezone.now()
    return savings_instructions.confirm_instruction(
        reference=reference, amount_cents=cents, partner_reference=f"UB:{reference}", moved_at=now,
        value_on=timezone.localdate(now), at=now,
    )  # fmt: skip


def test_amina_opens_a_goal_and_pays_in(aminas_phone: Phone, amina: Borrower, books_balance: Any) -> None:
    phone = aminas_phone.dials("*384*77#").types("3").sees("never security for a loan", "1 New goal")
    phone.types("1").sees("1 School fees").types("1").sees("How much each week?")
    phone.types("50").sees(
        "School fees: KES 600 by", "Held by Umoja Bank", "4-6% a year", "tax on it 15%", "No fees"
    )
    phone.types("1").sees("School fees is open", "1 Pay in KES 50 now").repeats().sees("School fees is open")
    pot = SavingsAccount.objects.get()
    typed = deposits.paybill_account(pot, amina)
    phone.types("1").ends_with("M-PESA prompt for KES 50", f"Paybill 600200, account {typed}")
    phone.repeats().ends_with("M-PESA prompt for KES 50")
    assert PaymentIntent.objects.get().purpose == "save"

    for _ in range(2):
        factories.pay(typed, 5_000, "SAV1", at=timezone.now())
    phone.dials("*384*77#").sees("Last: KES 50 to save", "ref SAV1")
    phone.types("3", "1").sees("School fees: KES 0 of KES 600", "On its way: KES 50").types("00")
    holder_confirms("deposit:daraja:SAV1", 5_000)
    phone.dials("*384*77#").types("3").sees("1 School fees KES 50").types("1").sees("KES 50 of KES 600")
    phone.types("4").sees("This month: interest KES 0", "in KES 50")
    books_balance()


def test_one_prompt_at_a_time(aminas_phone: Phone, school_fees: SavingsAccount) -> None:
    aminas_phone.dials("*384*77#").types("3", "1", "1", "2", "100").ends_with("prompt for KES 100")
    aminas_phone.dials("*384*77#").types("3", "1", "1", "2", "100").ends_with("already on its way")
    assert PaymentIntent.objects.count() == 1


def test_amina_takes_money_out_with_her_pin(
    aminas_phone: Phone, school_fees: SavingsAccount, books_balance: Any
) -> None:
    phone = aminas_phone.dials("*384*77#").types("3", "1", "2").sees("You can take out KES 1,000")
    phone.types("1001").sees("You have less than that")
    phone.types("400").sees(
        "School fees KES 400", "Fee none", "You get KES 400", "Stays saved KES 600", "1 or 2 days"
    )
    phone.types("1").sees("PIN").types("0000").sees("Wrong PIN").types(PIN)
    phone.ends_with("We asked Umoja Bank to send KES 400").repeats().ends_with("KES 400")
    asked = SavingsInstruction.objects.get()
    assert (asked.kind, asked.amount_cents, asked.state) == ("withdrawal", 40_000, "open")

    phone.dials("*384*77#").types("3", "1").sees("Free: KES 600").types("2").sees("take out KES 600")
    holder_confirms(asked.reference, 40_000)
    assert saving.fresh(school_fees).balance_cents == 60_000
    books_balance()


def test_nothing_leaves_after_a_shortcut_that_holds_the_pin(
    aminas_phone: Phone, school_fees: SavingsAccount
) -> None:
    aminas_phone.dials(f"*384*77*3*1*2*400*1*{PIN}#")
    assert not SavingsInstruction.objects.exists()


def test_amina_locks_her_goal_and_turns_the_key(
    aminas_phone: Phone, school_fees: SavingsAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    phone = (
        aminas_phone.dials("*384*77#").types("3", "1", "3").sees("From 1 to 12").types("13").sees("from 1 to 12")
    )
    phone.types("3").sees("1 24 hours", "2 3 days", "3 7 days").types("1")
    phone.sees("is locked until", "Out before: wait 24 hours, lose that interest", "Fee none")
    phone.types("1", PIN).ends_with("is locked until", "You can still pay in")
    locked = saving.fresh(school_fees)
    assert locked.locked_until == timezone.localdate() + timedelta(days=90)

    phone.dials("*384*77#").types("3", "1").sees("Locked until", "3 Open the lock")
    phone.types("2").sees("you lose its interest", "You wait 24 hours").types("1", PIN).ends_with(
        "You can open it from"
    )
    phone.dials("*384*77#").types("3", "1", "3").sees("You can open it on", "1 Keep it locked").types("1")
    assert saving.fresh(school_fees).exit_asked_at is None
    phone.dials("*384*77#").types("3", "1", "3", "1", PIN).ends_with("You can open it from")

    SavingsAccount.objects.update(exit_asked_at=timezone.now() - timedelta(hours=25))
    phone.dials("*384*77#").types("3", "1", "3").sees("1 Open it").types("1", PIN).sees("is open. It cost KES 0")
    assert saving.fresh(school_fees).locked_until is None


def test_savings_pay_a_loan_only_while_amina_wants_it(aminas_phone: Phone, school_fees: SavingsAccount) -> None:
    phone = aminas_phone.dials("*384*77#").types("3", "1", "5").sees("1 Let it pay my loan", "2 Interest and terms")
    phone.types("1").sees("How much must always stay").types("0").sees("PIN").types(PIN)
    phone.ends_with("KES 0 always stays")
    assert SweepMandate.objects.get().withdrawn_at is None
    phone.dials("*384*77#").types("3", "1", "5").sees("1 Pay my loan no more").types("1", PIN)
    phone.ends_with("pays no loan any more")
    assert SweepMandate.objects.get().withdrawn_at is not None


def test_the_terms_of_today_and_those_to_come_are_said(aminas_phone: Phone, school_fees: SavingsAccount) -> None:
    later = timezone.localdate() + timedelta(days=40)
    worse = saving.terms_of()["interest"] | {"tiers": [{"from_cents": 0, "rate": "0.02"}]}
    saving.next_version(effective_on=later, approved_on=timezone.localdate(), terms={"interest": worse})
    phone = (
        aminas_phone.dials("*384*77#").types("3", "1", "5", "2").sees("Umoja Bank holds your money", "4-6% a year")
    )
    said = phone.text
    while "98 More" in phone.text:
        said += phone.types("98").text
    assert "your savings earn 2% a year, now 4-6%" in said
    assert "Until then you can take your money out free" in said


def test_brian_saves_in_swahili(client: Client, brian: Borrower) -> None:
    brian.language = "sw"
    brian.save()
    phone = Phone(client, brian.msisdn).dials("*384*77#").types("3").sees("1 Lengo jipya")
    phone.types("1").sees("1 Karo").types("1", "50").sees("Karo: KES 600", "Hakuna ada").types("1", "1")
    phone.ends_with("ombi la M-PESA la KES 50")


def test_a_dropped_line_never_takes_money_out_twice(aminas_phone: Phone, school_fees: SavingsAccount) -> None:
    aminas_phone.dials("*384*77#").types("3", "1", "2", "400", "1", PIN).ends_with("KES 400")
    aminas_phone.dials("*384*77#").sees_no("Go on")
    assert SavingsInstruction.objects.count() == 1
