"""A group that saves by phone: paying in, asking, agreeing and refusing, and sharing out."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from lending import outbox
from lending.models import Borrower, GroupMember, GroupWithdrawal, PaymentIntent, SavingsInstruction
from lending.services import groups
from tests import factories
from tests.factories import PIN
from tests.phone import Phone
from ussd.models import Sms

MINUTE = timedelta(minutes=1)
NAMES = ("Amina Wanjiru", "Brian Otieno", "Cheptoo Kiplagat")


@pytest.fixture
def members(law: None) -> list[Borrower]:
    return [
        factories.register(name, f"25471100060{place}", f"4556700{place}", at=timezone.now())
        for place, name in enumerate(NAMES)
    ]


@pytest.fixture
def phones(client: Client, members: list[Borrower]) -> list[Phone]:
    """The phones of Amina, Brian and Cheptoo, whose group has KES 900 of which two must agree."""
    group = groups.form_group(
        name="Tumaini", members=members, approvals_needed=2, product_code="jirani-group", at=timezone.now()
    )
    for place, member in enumerate(members):
        groups.contribute(
            group_id=group.id, borrower_id=member.id, amount_cents=(50_000, 30_000, 10_000)[place],
            reference=f"in:{place}", moved_at=timezone.now(),
        )  # fmt: skip
    return [Phone(client, member.msisdn) for member in members]


def told(kind: str) -> list[str]:
    outbox.drain(timezone.now(), queue="messages")
    return list(Sms.objects.filter(kind=kind).order_by("id").values_list("msisdn", flat=True))


def test_who_is_taken_in_is_told_what_it_means_each_time(phones: list[Phone], members: list[Borrower]) -> None:
    assert told("group_joined") == [member.msisdn for member in members]
    assert Sms.objects.filter(kind="group_joined").latest("id").text == (
        "You are now in the savings group Tumaini. 2 must agree before money leaves. "
        "Dial *384*77#, Save. If you do not want this: SMS HELP."
    )
    cheptoo, at = members[-1], timezone.now()
    member = cheptoo.memberships.get()
    groups.join(group_id=member.group_id, borrower=cheptoo, at=at)
    for again in (at - MINUTE, at):
        groups.leave(member_id=member.id, at=again)
        groups.join(group_id=member.group_id, borrower=cheptoo, at=again)
    groups.join(group_id=member.group_id, borrower=cheptoo, at=at)
    assert told("group_joined") == [member.msisdn for member in [*members, cheptoo]], (
        "of the two times only the last"
    )

    groups.join(group_id=member.group_id, borrower=factories.register("Dan Kip", "254711000609", "45567009"), at=at)
    groups.leave(member_id=GroupMember.objects.latest("id").id, at=at)
    assert len(told("group_joined")) == 4, "who is out again by now hears nothing"


def asks(phone: Phone, amount: str = "300") -> None:
    phone.dials("*384*77#").types("3").sees("2 Tumaini KES 900").types("2").sees("Your share: KES")
    phone.types("2").sees("up to KES 900").types(amount).sees("2 illness").types("2")
    phone.sees(f"KES {amount} from Tumaini, illness", "2 members must agree", "Fee none").types("1", PIN)
    phone.ends_with("All members get an SMS", "2 members agree").repeats().ends_with("All members get an SMS")


def test_two_of_three_agree_and_the_holder_is_asked(
    phones: list[Phone], members: list[Borrower], books_balance: Any
) -> None:
    amina, brian, cheptoo = phones
    asks(amina)
    assert told("group_asked") == [member.msisdn for member in members]

    amina.dials("*384*77#").types("3", "2").sees("To decide: 1").types("3", "1").sees("Agreed 0 of 2", "1 Agree")
    amina.types("1", PIN).ends_with("Your word counts")
    amina.dials("*384*77#").types("3", "2", "3", "1").sees("You have said your word").sees_no("Agree\n")
    brian.dials("*384*77#").types("3", "2", "3", "1").sees("Amina asks for KES 300, illness", "Agreed 1 of 2")
    brian.types("1", PIN).ends_with("The money is on its way").repeats().ends_with("The money is on its way")

    [asked] = SavingsInstruction.objects.filter(kind="withdrawal")
    assert (asked.amount_cents, asked.member.borrower_id if asked.member else None) == (30_000, members[0].id)
    assert told("group_decided") == [member.msisdn for member in members]
    cheptoo.dials("*384*77#").types("3", "2", "3").sees("Nothing waits to be decided in Tumaini")
    books_balance()


def test_two_of_three_refuse_and_it_is_over(phones: list[Phone], members: list[Borrower]) -> None:
    amina, brian, cheptoo = phones
    asks(amina)
    brian.dials("*384*77#").types("3", "2", "3", "1", "2", PIN).ends_with("Your word counts")
    cheptoo.dials("*384*77#").types("3", "2", "3", "1").sees("refused 1").types("2", PIN).ends_with("It is refused")
    assert GroupWithdrawal.objects.get().state == "refused"
    assert len(told("group_decided")) == 3
    assert not SavingsInstruction.objects.filter(kind="withdrawal").exists()


def test_brian_pays_in_and_cheptoo_asks_to_share_out(phones: list[Phone], books_balance: Any) -> None:
    _, brian, cheptoo = phones
    brian.dials("*384*77#").types("3", "2", "1").sees("You have paid in KES 300").types("200")
    brian.ends_with("M-PESA prompt for KES 200", "account GRP")
    assert PaymentIntent.objects.get().purpose == "save"

    cheptoo.dials("*384*77#").types("3", "2", "4").sees("To share: KES 900", "You paid in KES 100", "get KES 100")
    cheptoo.types("1", PIN).ends_with("All members get an SMS")
    assert GroupWithdrawal.objects.get().kind == "share_out"
    books_balance()


def test_who_is_in_no_group_is_told_how_to_form_one(client: Client, amina: Borrower) -> None:
    Phone(client, amina.msisdn).dials("*384*77#").types("3", "2").sees("no savings group", "an officer helps")
