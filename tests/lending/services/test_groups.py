"""Groups: enough members agree, each once, and money leaves once; PostgreSQL insists on it."""

import threading
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction

from lending.models import (
    Borrower,
    GroupApproval,
    GroupMember,
    GroupRefusal,
    GroupWithdrawal,
    OutboxMessage,
    SavingsAccount,
    SavingsGroup,
    SavingsInstruction,
)
from lending.selectors import savings as selectors
from lending.services import groups, savings_holds, savings_instructions
from tests import factories
from tests.lending.saving import MORNING, after, deposit, fresh

NAMES = ("Amina", "Brian", "Cheptoo", "Daudi")


def people() -> list[Borrower]:
    return [
        factories.register(f"{name} Example", f"25471100050{place}", f"4456700{place}")
        for place, name in enumerate(NAMES)
    ]


def form(members: list[Borrower], approvals_needed: int = 3, name: str = "Tumaini") -> SavingsGroup:
    return groups.form_group(
        name=name, members=members, approvals_needed=approvals_needed, product_code="jirani-group", at=MORNING
    )


def pay_in(group: SavingsGroup, cents: dict[Borrower, int]) -> None:
    for borrower, amount in cents.items():
        groups.contribute(
            group_id=group.id, borrower_id=borrower.id, amount_cents=amount,
            reference=f"in:{borrower.id}", moved_at=MORNING,
        )  # fmt: skip


@pytest.fixture
def members(law: None) -> list[Borrower]:
    return people()


@pytest.fixture
def group(members: list[Borrower]) -> SavingsGroup:
    formed = form(members)
    pay_in(formed, dict(zip(members, (50_000, 30_000, 15_000, 5_000), strict=True)))
    return formed


def account_of(group: SavingsGroup) -> SavingsAccount:
    return fresh(SavingsAccount.objects.get(group=group))


def ask(
    group: SavingsGroup, by: Borrower, to: Borrower, cents: int = 60_000, origin: str = "o1"
) -> GroupWithdrawal:
    return groups.ask_withdrawal(
        group_id=group.id, asked_by=by.id, to=to.id, amount_cents=cents, purpose="roof", origin=origin, at=after(1)
    )


def say_yes(asked: GroupWithdrawal, *who: Borrower) -> GroupWithdrawal:
    for borrower in who:
        asked = groups.approve(withdrawal_id=asked.id, borrower_id=borrower.id, at=after(2))
    return asked


class TestWithdrawal:
    def test_the_third_yes_pays_once(self, group: Any, members: Any, books_balance: Any) -> None:
        amina, brian, cheptoo, daudi = members
        asked = ask(group, daudi, daudi)
        assert ask(group, daudi, daudi) == asked
        assert say_yes(asked, amina, brian).state == "asked"
        assert not SavingsInstruction.objects.exists()
        assert say_yes(asked, cheptoo, daudi, amina).state == "approved"
        [instruction] = SavingsInstruction.objects.all()
        assert (instruction.amount_cents, instruction.member.borrower) == (60_000, daudi)
        books_balance()

    def test_a_yes_said_twice_is_one(self, group: Any, members: Any) -> None:
        asked = ask(group, members[0], members[0])
        assert say_yes(asked, members[0], members[0], members[0]).state == "asked"
        assert GroupApproval.objects.count() == 1

    def test_two_sims_of_one_person_are_one_voice(self, group: Any, members: Any) -> None:
        second_sim = factories.register("Amina Example", "254711000599", "44567000")
        assert groups.join(group_id=group.id, borrower=second_sim, at=after(1)).borrower == members[0]
        asked = ask(group, members[0], members[0])
        assert say_yes(asked, members[0], second_sim).state == "asked"
        assert GroupApproval.objects.count() == 1

    def test_strangers_and_those_who_left_have_no_voice(self, group: Any, members: Any, law: None) -> None:
        asked = ask(group, members[0], members[0])
        stranger = factories.register("Esther Example", "254711000590", "44567009")
        with pytest.raises(groups.NotAMember):
            say_yes(asked, stranger)
        say_yes(asked, members[3], members[1])
        groups.leave(member_id=GroupMember.objects.get(borrower=members[3]).id, at=after(2))
        assert say_yes(asked, members[0]).state == "asked"
        with pytest.raises(groups.NotAMember):
            say_yes(asked, members[3])
        assert say_yes(asked, members[2]).state == "approved"

    def test_money_that_has_gone_meanwhile_is_not_paid(self, group: Any, members: Any) -> None:
        first, second = ask(group, members[0], members[0]), ask(group, members[1], members[1], origin="o2")
        say_yes(first, *members[:3])
        with pytest.raises(savings_holds.NotEnoughSavings), transaction.atomic():
            say_yes(second, *members[:3])
        second.refresh_from_db()
        assert second.state == "asked"

    def test_who_asked_may_take_it_back_until_it_is_approved(self, group: Any, members: Any) -> None:
        asked = ask(group, members[0], members[0])
        with pytest.raises(groups.NotAMember):
            groups.cancel(withdrawal_id=asked.id, borrower_id=members[1].id, at=after(1))
        for _ in range(2):
            assert (
                groups.cancel(withdrawal_id=asked.id, borrower_id=members[0].id, at=after(1)).state == "cancelled"
            )
        with pytest.raises(groups.AlreadyEnded):
            say_yes(asked, members[1])

    @pytest.mark.parametrize("cents", [0, -5, 100_001])
    def test_more_than_there_is_is_not_even_asked(self, group: Any, members: Any, cents: int) -> None:
        with pytest.raises(savings_holds.NotEnoughSavings):
            ask(group, members[0], members[0], cents)


class TestRefuse:
    def test_it_is_over_once_those_who_are_left_cannot_agree(
        self, group: Any, members: Any, books_balance: Any
    ) -> None:
        asked = ask(group, members[0], members[0])
        assert groups.refuse(withdrawal_id=asked.id, borrower_id=members[1].id, at=after(2)).state == "asked"
        for _ in range(2):
            asked = groups.refuse(withdrawal_id=asked.id, borrower_id=members[2].id, at=after(2))
        assert (asked.state, asked.refusals.count()) == ("refused", 2)
        with pytest.raises(groups.AlreadyEnded):
            say_yes(asked, members[3])
        with pytest.raises(groups.AlreadyEnded):
            groups.cancel(withdrawal_id=asked.id, borrower_id=members[0].id, at=after(3))
        books_balance()

    def test_a_word_is_a_word(self, group: Any, members: Any) -> None:
        asked = say_yes(ask(group, members[0], members[0]), members[1])
        with pytest.raises(groups.AlreadySaid):
            groups.refuse(withdrawal_id=asked.id, borrower_id=members[1].id, at=after(2))
        groups.refuse(withdrawal_id=asked.id, borrower_id=members[2].id, at=after(2))
        with pytest.raises(groups.AlreadySaid):
            say_yes(asked, members[2])

    def test_only_members_have_a_word(self, group: Any, members: Any) -> None:
        stranger = factories.register("Esther Example", "254711000599", "44567099")
        with pytest.raises(groups.NotAMember):
            groups.refuse(withdrawal_id=ask(group, members[0], members[0]).id, borrower_id=stranger.id, at=after(2))

    def test_every_member_is_told_what_was_asked_and_decided_once(self, group: Any, members: Any) -> None:
        asked = ask(group, members[0], members[0])
        ask(group, members[0], members[0])
        assert OutboxMessage.objects.filter(topic="group_asked").count() == 4
        say_yes(asked, *members[:3])
        say_yes(asked, members[3])
        assert OutboxMessage.objects.filter(topic="group_decided").count() == 4


class TestPostgresRefuses:
    def test_a_yes_and_a_no_of_the_same_member(self, group: Any, members: Any) -> None:
        asked = say_yes(ask(group, members[0], members[0]), members[0])
        member = GroupMember.objects.get(borrower=members[0])
        with pytest.raises(IntegrityError, match="has said their word"), transaction.atomic():
            GroupRefusal.objects.create(withdrawal=asked, member=member, refused_at=after(3))
        other = GroupMember.objects.get(borrower=members[1])
        GroupRefusal.objects.create(withdrawal=asked, member=other, refused_at=after(3))
        with pytest.raises(IntegrityError, match="has said their word"), transaction.atomic():
            GroupApproval.objects.create(withdrawal=asked, member=other, approved_at=after(3))

    def test_a_second_yes_of_the_same_member(self, group: Any, members: Any) -> None:
        asked = say_yes(ask(group, members[0], members[0]), members[0])
        with pytest.raises(IntegrityError, match="group_approval_once"), transaction.atomic():
            GroupApproval.objects.create(
                withdrawal=asked, member=GroupMember.objects.get(borrower=members[0]), approved_at=after(3)
            )

    def test_an_approval_that_was_not_given(self, group: Any, members: Any) -> None:
        asked = say_yes(ask(group, members[0], members[0]), *members[:2])
        with pytest.raises(IntegrityError, match="needs 3 approvals, has 2"), transaction.atomic():
            GroupWithdrawal.objects.filter(id=asked.id).update(state="approved")

    def test_approvals_of_another_groups_members(self, group: Any, members: Any) -> None:
        others = form([members[0]], 1, "Umoja")
        asked = ask(group, members[0], members[0])
        stranger = GroupMember.objects.get(group=others)
        with pytest.raises(IntegrityError, match="has 2"), transaction.atomic():
            GroupApproval.objects.create(withdrawal=asked, member=stranger, approved_at=after(2))
            say_yes(asked, *members[:2])
            GroupWithdrawal.objects.filter(id=asked.id).update(state="approved")

    @pytest.mark.parametrize("change", [{"amount_cents": 90_000}, {"approvals_needed": 1}])
    def test_a_withdrawal_that_changes_after_people_agreed(self, group: Any, members: Any, change: Any) -> None:
        asked = say_yes(ask(group, members[0], members[0]), *members[:2])
        with pytest.raises(IntegrityError, match="cannot be changed"), transaction.atomic():
            GroupWithdrawal.objects.filter(id=asked.id).update(**change)

    def test_a_second_payment_of_one_withdrawal(self, group: Any, members: Any) -> None:
        asked = say_yes(ask(group, members[0], members[0]), *members[:3])
        with pytest.raises(IntegrityError, match="cannot pay 1 after 60000"), transaction.atomic():
            savings_instructions.instruct_withdrawal(
                account_id=asked.account_id, amount_cents=1, reference="again", at=after(3), withdrawal=asked
            )

    def test_money_asked_out_beside_the_members(self, group: Any) -> None:
        with pytest.raises(IntegrityError, match="only by a withdrawal"), transaction.atomic():
            savings_instructions.instruct_withdrawal(
                account_id=account_of(group).id, amount_cents=1, reference="beside", at=after(3)
            )

    def test_a_change_of_what_was_approved(self, group: Any, members: Any) -> None:
        say_yes(ask(group, members[0], members[0]), members[0])
        with pytest.raises(IntegrityError, match="is history"), transaction.atomic():
            GroupApproval.objects.all().delete()


class TestShareOut:
    def test_each_gets_by_what_they_paid_in_and_no_cent_is_left(
        self, group: Any, members: Any, books_balance: Any
    ) -> None:
        account = account_of(group)
        deposit(account, 1_051, after(3), reference="a fine that belongs to all")
        asked = groups.ask_share_out(group_id=group.id, asked_by=members[0].id, origin="s1", at=after(4))
        assert asked.amount_cents == 101_051
        say_yes(asked, *members[:3])
        paid = {row.member.borrower: row.amount_cents for row in SavingsInstruction.objects.all()}
        assert paid == dict(zip(members, (50_551, 30_300, 15_200, 5_000), strict=True))
        for row in SavingsInstruction.objects.all():
            savings_instructions.confirm_instruction(
                reference=row.reference, amount_cents=row.amount_cents, partner_reference=f"P{row.id}",
                moved_at=after(5), value_on=after(5).date(), at=after(5),
            )  # fmt: skip
        assert account_of(group).balance_cents == 0
        books_balance()

    def test_an_empty_pot_is_not_shared(self, members: Any) -> None:
        with pytest.raises(groups.NothingToShare):
            groups.ask_share_out(group_id=form(members).id, asked_by=members[0].id, origin="s1", at=after(4))


class TestMembers:
    @pytest.mark.parametrize("needed", [0, 5])
    def test_a_group_that_could_never_agree_is_not_formed(self, members: Any, needed: int) -> None:
        with pytest.raises(groups.TooFewMembers):
            form(members, needed)

    def test_nobody_leaves_a_group_that_then_could_not_agree(self, group: Any, members: Any) -> None:
        ids = [GroupMember.objects.get(borrower=member).id for member in members]
        groups.leave(member_id=ids[3], at=after(1))
        groups.leave(member_id=ids[3], at=after(2))
        with pytest.raises(groups.TooFewMembers):
            groups.leave(member_id=ids[2], at=after(2))
        assert groups.join(group_id=group.id, borrower=members[3], at=after(3)).id == ids[3]

    def test_only_members_pay_in_and_each_contribution_has_a_name(self, group: Any, members: Any) -> None:
        stranger = factories.register("Esther Example", "254711000590", "44567009")
        with pytest.raises(groups.NotAMember):
            pay_in(group, {stranger: 100})
        assert sorted(selectors.paid_in(account_of(group).id).values()) == [5_000, 15_000, 30_000, 50_000]


@pytest.mark.django_db(transaction=True)
def test_approvals_at_the_same_moment_pay_once() -> None:
    members = people()
    group = form(members)
    pay_in(group, {members[0]: 60_000})
    asked = ask(group, members[0], members[0])
    start, failures = threading.Barrier(4), []

    def agree(borrower: Borrower) -> None:
        start.wait()
        try:
            say_yes(asked, borrower)
        except (IntegrityError, savings_holds.NotEnoughSavings) as failure:
            failures.append(failure)
        finally:
            connection.close()

    threads = [threading.Thread(target=agree, args=(member,)) for member in members]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert [row.amount_cents for row in SavingsInstruction.objects.all()] == [60_000]
