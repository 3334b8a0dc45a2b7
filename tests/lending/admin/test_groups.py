"""An officer forms a savings group with people who are there, takes members in and lets them go."""

import pytest
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone

from lending.models import AuditEvent, Borrower, GroupMember, SavingsAccount, SavingsGroup
from tests import factories
from tests.lending.admin.test_changes import page, send
from tests.phone import Phone

LIST = "/admin/lending/savingsgroup/"


@pytest.fixture
def people(law: None) -> list[Borrower]:
    names = ("Amina Wanjiru", "Brian Otieno", "Cheptoo Ruto")
    return [
        factories.register(name, f"25471100060{place}", f"4556700{place}", at=timezone.now())
        for place, name in enumerate(names)
    ]


def form(officer: Client, members: str, name: str = "Tumaini", approvals: str = "2") -> HttpResponse:
    said = {"name": name, "members": members, "approvals_needed": approvals, "reason": "Met all of them."}
    return officer.post(f"{LIST}form_group/", said | {"_form_submitted": "true"}, follow=True)  # type: ignore[return-value]


@pytest.fixture
def tumaini(officer: Client, people: list[Borrower]) -> SavingsGroup:
    form(officer, "0711000600\n45567001\n\nCheptoo Ruto")
    return SavingsGroup.objects.get()


def test_is_formed_of_whoever_the_lines_point_to(
    officer: Client, tumaini: SavingsGroup, people: list[Borrower], client: Client
) -> None:
    assert "Form a group" in officer.get(LIST).content.decode()
    assert [member.borrower for member in tumaini.members.order_by("id")] == people
    assert (tumaini.name, tumaini.approvals_needed) == ("Tumaini", 2)
    pot = SavingsAccount.objects.get(group=tumaini)
    assert (pot.product_version.code, pot.balance_cents) == ("jirani-group", 0)
    formed = AuditEvent.objects.get(action="group_formed")
    assert (formed.actor.username, formed.reason) == ("wambui", "Met all of them.")
    assert AuditEvent.objects.filter(action="group_joined", subject=f"group:{tumaini.id}").count() == 3
    Phone(client, people[1].msisdn).dials("*384*77#").types("3").sees("Tumaini KES 0")


def test_sent_twice_is_one_group(officer: Client, tumaini: SavingsGroup) -> None:
    assert "in a group of that name" in form(officer, "0711000600\n0711000601", "tumaini").content.decode()
    assert SavingsGroup.objects.get() == tumaini


def test_another_group_may_have_the_name(officer: Client, tumaini: SavingsGroup) -> None:
    for place in (7, 8):
        factories.register("Other", f"25471100060{place}", f"4556700{place}", at=timezone.now())
    form(officer, "0711000607\n0711000608")
    assert SavingsGroup.objects.filter(name="Tumaini").count() == 2


@pytest.mark.parametrize(
    ("members", "approvals", "said"),
    [
        ("0711000600\n0799999999", "1", "0799999999\u201d does not point to exactly one customer"),
        ("0711000600\nAmina Wanjiru", "1", "at least 2 people"),
        ("0711000600\n0711000601", "3", "There are 2 members"),
        ("0711000600\n0711000601", "0", "greater than or equal to 1"),
        ("", "1", "This field is required"),
    ],
)
def test_what_makes_no_group_is_said(
    officer: Client, people: list[Borrower], members: str, approvals: str, said: str
) -> None:
    assert said in form(officer, members, approvals=approvals).content.decode()
    assert not SavingsGroup.objects.exists()


def test_who_is_not_with_us_any_more_cannot_join(officer: Client, people: list[Borrower]) -> None:
    Borrower.objects.filter(id=people[2].id).update(state=Borrower.State.DECEASED)
    assert "Cheptoo Ruto cannot join" in form(officer, "0711000600\n0711000602").content.decode()


def test_takes_in_lets_go_and_takes_back(officer: Client, tumaini: SavingsGroup) -> None:
    achieng = factories.register("Achieng Odhiambo", "254711000609", "45567009", at=timezone.now())
    for _ in range(2):
        answer = send(officer, tumaini, "take_in", customer="0711000609", reason="The group asked.")
    assert "Achieng Odhiambo is in the group" in answer.content.decode()
    member = GroupMember.objects.get(borrower=achieng)
    assert "The member has left" in gone(officer, tumaini, member).content.decode()
    member.refresh_from_db()
    assert member.left_at is not None
    assert "Select a valid choice" in gone(officer, tumaini, member).content.decode()
    send(officer, tumaini, "take_in", customer="0711000609", reason="Back from the city.")
    member.refresh_from_db()
    assert member.left_at is None
    acts = AuditEvent.objects.filter(borrower=achieng, subject=f"group:{tumaini.id}").order_by("id")
    assert list(acts.values_list("action", flat=True)) == ["group_joined", "group_left", "group_joined"]


def gone(officer: Client, group: SavingsGroup, member: GroupMember) -> HttpResponse:
    return send(officer, group, "let_go", member=str(member.id), reason="Moved away.")


def test_as_many_stay_as_must_agree(officer: Client, tumaini: SavingsGroup) -> None:
    first, second, _ = tumaini.members.order_by("id")
    gone(officer, tumaini, first)
    assert "1 would stay, 2 approvals are needed" in gone(officer, tumaini, second).content.decode()
    second.refresh_from_db()
    assert second.left_at is None


def test_nobody_joins_a_pot_that_is_being_closed(officer: Client, tumaini: SavingsGroup) -> None:
    SavingsAccount.objects.filter(group=tumaini).update(closing_at=timezone.now())
    factories.register("Achieng Odhiambo", "254711000609", "45567009", at=timezone.now())
    assert "Take in a member" not in officer.get(page(tumaini)).content.decode()
    answer = send(officer, tumaini, "take_in", customer="0711000609", reason="The group asked.")
    assert "being closed" in answer.content.decode() and tumaini.members.count() == 3


def test_who_may_only_look_forms_nothing(auditor: Client, people: list[Borrower]) -> None:
    assert form(auditor, "0711000600\n0711000601").status_code == 403
    assert not SavingsGroup.objects.exists()
