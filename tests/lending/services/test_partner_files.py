"""Settling with a partner: what agrees is booked once, what differs becomes a case and books nothing."""

from datetime import date
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from lending.models import Case, SavingsAccount, SettlementFile, SettlementLine
from lending.rules.settlement_file import FileRefused
from lending.selectors.deposits import paybill_account
from lending.services import partner_files, savings_instructions
from tests import factories
from tests.lending.saving import after, deposit, fresh, on, pot

pytestmark = pytest.mark.django_db
PARTNER = "Umoja Bank"
HEADER = "partner_reference,reference,account,kind,amount_cents,outcome,value_on"
DAY = "2026-01-11"


@pytest.fixture
def goal(amina: Any) -> SavingsAccount:
    account = pot(amina)
    deposit(account, 100_000)
    savings_instructions.instruct_withdrawal(
        account_id=account.id, amount_cents=40_000, reference="w1", at=after(1)
    )
    return fresh(account)


def take(*lines: str, name: str = "monday.csv", partner: str = PARTNER, at: Any = None) -> SettlementFile:
    text = "\n".join((HEADER, *lines)) + "\n"
    return partner_files.take_file(partner=partner, name=name, text=text, actor=None, at=at or after(2))


class TestFileOfAsked:
    def test_it_lists_what_is_open_and_the_interest_to_confirm(self, goal: SavingsAccount) -> None:
        deposit(goal, 100, on(date(2026, 2, 1)), reference="d")
        assert partner_files.file_of_asked(PARTNER).splitlines() == [
            "reference,account,kind,amount_cents,asked_on",
            f"w1,{goal.id},withdrawal,40000,2026-01-11",
            f"interest:{goal.id}:2026-01-31,{goal.id},interest,241,2026-01-31",
            f"tax:{goal.id}:2026-01-31,{goal.id},tax,36,2026-01-31",
        ]
        assert partner_files.file_of_asked("Another Bank").count("\n") == 1

    def test_what_is_answered_is_not_asked_again(self, goal: SavingsAccount) -> None:
        deposit(goal, 100, on(date(2026, 2, 1)), reference="d")
        take(
            f"P1,w1,{goal.id},withdrawal,40000,confirmed,{DAY}",
            f"P2,interest:{goal.id}:2026-01-31,{goal.id},interest,241,confirmed,2026-01-31",
            at=on(date(2026, 2, 2)),
        )
        assert partner_files.file_of_asked(PARTNER).splitlines()[1:] == [
            f"tax:{goal.id}:2026-01-31,{goal.id},tax,36,2026-01-31"
        ]


class TestTakeFile:
    def test_a_confirmed_line_is_booked_once_however_often_it_comes(
        self, goal: SavingsAccount, books_balance: Any
    ) -> None:
        line = f"P1,w1,{goal.id},withdrawal,40000,confirmed,{DAY}"
        first = take(line)
        assert first.result == {"confirmed": 1}
        assert take(line, name="again.csv") == first
        other = f"P9,none,{goal.id},withdrawal,1,rejected,{DAY}"
        assert take(line, other).result == {"repeated": 1, "differs": 1}
        assert (fresh(goal).balance_cents, fresh(goal).held_cents) == (60_000, 0)
        assert SettlementLine.objects.count() == 1
        books_balance()

    def test_a_rejected_line_frees_the_money(self, goal: SavingsAccount) -> None:
        line = f"P1,w1,{goal.id},withdrawal,40000,rejected,{DAY}"
        assert take(line).result == {"rejected": 1}
        assert take(line, f"P2,w1,{goal.id},withdrawal,40000,rejected,{DAY}").result == {"repeated": 2}
        assert (fresh(goal).balance_cents, fresh(goal).held_cents) == (100_000, 0)

    @pytest.mark.parametrize(
        ("line", "why"),
        [
            ("P1,w1,{id},withdrawal,39999,confirmed,2026-01-11", "39999"),
            ("P1,w1,{id},withdrawal,40001,rejected,2026-01-11", "40001"),
            ("P1,w1,{id},sweep,40000,confirmed,2026-01-11", "sweep"),
            ("P1,w1,9999,withdrawal,40000,confirmed,2026-01-11", "9999"),
            ("P1,w2,{id},withdrawal,40000,confirmed,2026-01-11", "we know no such reference"),
            ("P1,w1,{id},withdrawal,40000,confirmed,2030-01-01", "2030-01-01"),
        ],
    )
    def test_a_difference_becomes_a_case_and_books_nothing(
        self, goal: SavingsAccount, line: str, why: str, books_balance: Any
    ) -> None:
        line = line.format(id=goal.id)
        assert take(line).result == {"differs": 1}
        assert take(line, f"P7,none,{goal.id},tax,1,rejected,{DAY}").result == {"differs": 2}
        case = Case.objects.get(subject_key=f"settlement:{PARTNER}:P1")
        assert case.kind == "savings_mismatch" and why in case.note
        assert (fresh(goal).balance_cents, fresh(goal).held_cents) == (100_000, 40_000)
        books_balance()

    def test_one_line_that_differs_keeps_no_other_from_being_booked(self, goal: SavingsAccount) -> None:
        result = take(
            f"P1,none,{goal.id},deposit,5,confirmed,{DAY}", f"P2,w1,{goal.id},withdrawal,40000,confirmed,{DAY}"
        ).result
        assert result == {"differs": 1, "confirmed": 1}

    def test_another_partner_cannot_confirm(self, goal: SavingsAccount) -> None:
        line = f"P1,w1,{goal.id},withdrawal,40000,confirmed,{DAY}"
        assert take(line, partner="Another Bank").result == {"differs": 1}

    def test_a_word_that_turns_round_becomes_a_case(self, goal: SavingsAccount) -> None:
        take(f"P1,w1,{goal.id},withdrawal,40000,confirmed,{DAY}")
        assert take(f"P2,w1,{goal.id},withdrawal,40000,rejected,{DAY}").result == {"differs": 1}
        assert take(f"P3,w1,{goal.id},withdrawal,40000,confirmed,{DAY}").result == {"differs": 1}
        assert fresh(goal).balance_cents == 60_000

    def test_one_reference_of_the_partners_confirms_one_movement(self, goal: SavingsAccount) -> None:
        savings_instructions.instruct_withdrawal(
            account_id=goal.id, amount_cents=40_000, reference="w2", at=after(1)
        )
        take(f"P1,w1,{goal.id},withdrawal,40000,confirmed,{DAY}")
        assert take(f"P1,w2,{goal.id},withdrawal,40000,confirmed,{DAY}").result == {"differs": 1}
        assert fresh(goal).held_cents == 40_000

    def test_interest_that_the_partner_refuses_becomes_a_case(self, goal: SavingsAccount) -> None:
        deposit(goal, 100, on(date(2026, 2, 1)), reference="d")
        line = f"P1,interest:{goal.id}:2026-01-31,{goal.id},interest,241,rejected,2026-01-31"
        assert take(line, at=on(date(2026, 2, 2))).result == {"differs": 1}

    def test_a_file_that_cannot_be_read_leaves_nothing(self, goal: SavingsAccount) -> None:
        with pytest.raises(FileRefused):
            take(f"P1,w1,{goal.id},withdrawal,40000,confirmed,{DAY}", "P2,?")
        assert not SettlementFile.objects.exists()
        assert fresh(goal).held_cents == 40_000


def test_silence_becomes_a_case_after_two_days(goal: SavingsAccount) -> None:
    assert partner_files.chase_silence(partner=PARTNER, at=after(3)) == 0
    for _ in range(2):
        assert partner_files.chase_silence(partner=PARTNER, at=after(3, hours=1)) == 1
    assert Case.objects.get(kind="savings_silence").borrower == goal.borrower


class TestCommand:
    def test_a_deposit_is_asked_and_counts_when_the_partner_says_so(
        self, amina: Any, tmp_path: Path, books_balance: Any
    ) -> None:
        saver = pot(amina)
        factories.pay(paybill_account(saver, amina), 10_000, "SAV1", at=after(1))
        asked = StringIO()
        call_command("settle_savings", PARTNER, stdout=asked)
        assert asked.getvalue().splitlines()[1] == f"deposit:daraja:SAV1,{saver.id},deposit,10000,{DAY}"

        file = tmp_path / "tuesday.csv"
        file.write_text(f"{HEADER}\nUB1,deposit:daraja:SAV1,{saver.id},deposit,10000,confirmed,{DAY}\n")
        for _ in range(2):
            told = StringIO()
            call_command("settle_savings", PARTNER, answers=file, stdout=told)
            assert told.getvalue() == "1 confirmed\n"
        assert fresh(saver).balance_cents == 10_000
        books_balance()

    def test_a_file_that_cannot_be_read_is_named(self, goal: SavingsAccount, tmp_path: Path) -> None:
        file = tmp_path / "bad.csv"
        file.write_text("nothing,of,this\n")
        with pytest.raises(CommandError, match=r"bad\.csv"):
            call_command("settle_savings", PARTNER, answers=file)
