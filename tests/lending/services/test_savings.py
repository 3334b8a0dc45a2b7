"""Saving through the real services: balances that keep their minimum, locks, holds, sweeps, what partners say."""

import threading
from datetime import date, timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction

from lending import closing, savings_closing
from lending.models import (
    AuditEvent,
    Consent,
    CountryPack,
    Entry,
    JobRun,
    SavingsAccount,
    SavingsHold,
    SavingsInstruction,
    SavingsMovement,
    SavingsProductVersion,
    SweepMandate,
)
from lending.selectors import savings as selectors
from lending.services import savings, savings_holds, savings_instructions, savings_locks, savings_sweeps
from tests import factories
from tests.lending.saving import MORNING, OPENED_ON, after, deposit, fresh, move, next_version, on, pot, product

pytestmark = pytest.mark.django_db


@pytest.fixture
def goal(amina: Any) -> SavingsAccount:
    """Amina saves KES 2,000 for school fees, of which she has 1,000."""
    account = pot(amina, goal="School fees", target_cents=200_000)
    deposit(account, 100_000)
    return fresh(account)


def withdraw(account: SavingsAccount, cents: int, at: Any = None, reference: str = "w1") -> SavingsInstruction:
    return savings_instructions.instruct_withdrawal(
        account_id=account.id, amount_cents=cents, reference=reference, at=at or after(1)
    )


def confirm(instruction: SavingsInstruction, at: Any = None, **facts: Any) -> SavingsMovement:
    at = at or after(1)
    return savings_instructions.confirm_instruction(
        **(
            {
                "reference": instruction.reference,
                "amount_cents": instruction.amount_cents,
                "partner_reference": f"P:{instruction.reference}",
                "moved_at": at,
                "value_on": at.date(),
                "at": at,
            }
            | facts
        )
    )


class TestOpenAccount:
    def test_the_same_goal_is_the_same_pot_and_another_another(self, amina: Any) -> None:
        assert pot(amina, goal="Cow") == pot(amina, goal="Cow") != pot(amina, goal="Roof")

    def test_a_newer_version_opens_no_second_pot(self, amina: Any) -> None:
        old = pot(amina)
        newer = next_version()
        assert pot(amina) == old
        assert pot(amina, goal="Cow").product_version == newer

    def test_without_a_partner_the_law_must_let_us_hold_deposits(self, amina: Any) -> None:
        product("ours", partner="")
        with pytest.raises(savings.PartnerNeeded):
            pot(amina, "ours")
        pack = CountryPack.objects.get(country="KE")
        CountryPack.objects.create(
            country="KE", version=2, effective_on=OPENED_ON, approved_by="test",
            rules=pack.rules | {"savings": {"held_by": "us"}},
        )  # fmt: skip
        assert pot(amina, "ours").partner == ""

    def test_an_account_belongs_to_one_borrower_or_one_group(self, goal: SavingsAccount) -> None:
        with pytest.raises(IntegrityError, match="savings_of_a_borrower_or_a_group"), transaction.atomic():
            SavingsAccount.objects.filter(id=goal.id).update(borrower=None)


class TestMovements:
    def test_a_repeated_word_counts_once(self, goal: SavingsAccount, books_balance: Any) -> None:
        first = deposit(goal, 5_000, after(1), reference="SV1")
        assert deposit(goal, 5_000, after(2), reference="SV1") == first
        assert fresh(goal).balance_cents == 105_000
        books_balance()

    def test_a_month_is_credited_when_the_next_money_comes(self, goal: SavingsAccount, books_balance: Any) -> None:
        deposit(goal, 5_000, on(date(2026, 2, 3)))
        # 22 days of 1,000 at 4 %: 241.09 cents, of which 15 % are withheld.
        lines = selectors.statement(goal.id, date(2026, 2, 1), date(2026, 2, 28)).lines
        assert [(line.kind, line.cents) for line in lines] == [("interest", 241), ("tax", -36), ("deposit", 5_000)]
        assert fresh(goal).balance_cents == 100_000 + 241 - 36 + 5_000
        assert fresh(goal).accrued_on == date(2026, 2, 2)
        books_balance()

    def test_a_late_word_earns_from_its_value_date(self, goal: SavingsAccount) -> None:
        deposit(goal, 100, on(date(2026, 1, 25)))
        before = fresh(goal).accrued_parts
        deposit(goal, 36_500, on(date(2026, 1, 25)), value_on=date(2026, 1, 20), reference="late")
        assert fresh(goal).accrued_parts - before == 5 * 36_500 * 40_000

    def test_what_we_hold_ourselves_is_our_debt_and_our_expense(self, amina: Any, books_balance: Any) -> None:
        values = CountryPack.objects.filter(country="KE").values().get() | {"id": None, "version": 2}
        CountryPack.objects.create(**values | {"rules": values["rules"] | {"savings": {"held_by": "us"}}})
        product("ours", partner="")
        account = pot(amina, "ours")
        deposit(account, 100_000)
        move(account, "withdrawal", 20_000, on(date(2026, 2, 1)))
        sums = {
            account: sum(entry.debit_cents - entry.credit_cents for entry in Entry.objects.filter(account=account))
            for account in ("mpesa_paybill", "mpesa_payout", "savings_interest_expense", "customer_savings",
                            "withholding_tax_payable", "savings_at_partner")
        }  # fmt: skip
        assert sums == {
            "mpesa_paybill": 100_000, "mpesa_payout": -20_000, "savings_interest_expense": 241,
            "customer_savings": -80_205, "withholding_tax_payable": -36, "savings_at_partner": 0,
        }  # fmt: skip
        books_balance()

    def test_history_is_not_changed(self, goal: SavingsAccount) -> None:
        with pytest.raises(IntegrityError, match="is history"), transaction.atomic():
            SavingsMovement.objects.update(amount_cents=1)


class TestMinimumAndHolds:
    def test_the_minimum_stays(self, amina: Any) -> None:
        product("with-minimum", minimum_balance_cents=30_000)
        account = pot(amina, "with-minimum")
        deposit(account, 20_000)
        with pytest.raises(savings_holds.NotEnoughSavings) as refused:
            withdraw(account, 100)
        assert refused.value.available_cents == 0
        deposit(account, 20_000, after(1))
        assert selectors.available_cents(fresh(account)) == 10_000

    @pytest.mark.parametrize("cents", [0, -1, 100_001, 2**53 * 10])
    def test_no_more_than_there_is_can_be_asked_out(self, goal: SavingsAccount, cents: int) -> None:
        with pytest.raises(savings_holds.NotEnoughSavings):
            withdraw(goal, cents)

    def test_a_hold_keeps_its_money_until_it_is_released(self, goal: SavingsAccount, books_balance: Any) -> None:
        hold = {"account_id": goal.id, "amount_cents": 70_000, "reason": "court_order", "reference": "case 7"}
        placed = savings_holds.place_hold(**hold, actor=None, at=after(1))
        assert savings_holds.place_hold(**hold, actor=None, at=after(2)) == placed
        with pytest.raises(savings_holds.NotEnoughSavings):
            withdraw(goal, 30_001)
        books_balance()
        savings_holds.release_hold(reference="case 7", actor=None, at=after(3))
        savings_holds.release_hold(reference="case 7", actor=None, at=after(4))
        assert fresh(goal).held_cents == 0
        assert withdraw(goal, 100_000).hold is not None

    @pytest.mark.parametrize("change", ["balance_cents = 40000", "held_cents = 100001", "floor_cents = 1"])
    def test_postgres_refuses_a_balance_below_minimum_and_holds(self, goal: SavingsAccount, change: str) -> None:
        savings_holds.place_hold(
            account_id=goal.id, amount_cents=50_000, reason="dispute", reference="h", actor=None, at=after(1)
        )
        with pytest.raises(IntegrityError, match="savings_"), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"UPDATE lending_savingsaccount SET {change}")

    def test_postgres_knows_no_hold_for_a_loan(self, goal: SavingsAccount) -> None:
        with pytest.raises(IntegrityError, match="hold_never_for_a_loan"), transaction.atomic():
            savings_holds.place_hold(
                account_id=goal.id, amount_cents=1, reason="loan", reference="h", actor=None, at=after(1)
            )

    def test_postgres_refuses_a_reported_withdrawal_of_held_money(self, goal: SavingsAccount) -> None:
        withdraw(goal, 90_000)
        with pytest.raises(IntegrityError, match="savings_keep_minimum_and_holds"), transaction.atomic():
            move(goal, "withdrawal", 20_000, after(1))


class TestInstructions:
    def test_money_counts_when_the_partner_confirms(self, goal: SavingsAccount, books_balance: Any) -> None:
        asked = withdraw(goal, 40_000)
        assert withdraw(goal, 40_000) == asked
        assert (fresh(goal).balance_cents, fresh(goal).held_cents) == (100_000, 40_000)
        books_balance()
        moved = confirm(asked)
        assert confirm(asked) == moved
        assert (fresh(goal).balance_cents, fresh(goal).held_cents) == (60_000, 0)
        books_balance()

    def test_what_is_rejected_is_free_again(self, goal: SavingsAccount) -> None:
        asked = withdraw(goal, 40_000)
        savings_instructions.reject_instruction(reference=asked.reference, at=after(1))
        savings_instructions.reject_instruction(reference=asked.reference, at=after(2))
        assert selectors.available_cents(fresh(goal)) == 100_000
        with pytest.raises(savings_instructions.InstructionMismatch, match="after it was rejected"):
            confirm(asked)

    @pytest.mark.parametrize(
        ("facts", "why"),
        [
            ({"amount_cents": 39_999}, "confirmed 39999"),
            ({"value_on": after(2).date()}, "for 2026-01-12"),
        ],
    )
    def test_another_amount_or_a_day_to_come_books_nothing(
        self, goal: SavingsAccount, facts: dict[str, Any], why: str
    ) -> None:
        asked = withdraw(goal, 40_000)
        with pytest.raises(savings_instructions.InstructionMismatch, match=why):
            confirm(asked, **facts)
        assert fresh(goal).held_cents == 40_000

    def test_a_deposit_that_was_announced_counts_once(self, goal: SavingsAccount) -> None:
        asked = savings_instructions.instruct_deposit(
            account_id=goal.id, amount_cents=700, reference="d1", at=after(1)
        )
        assert fresh(goal).balance_cents == 100_000
        confirm(asked)
        confirm(asked)
        assert fresh(goal).balance_cents == 100_700


class TestLock:
    UNTIL = OPENED_ON + timedelta(days=90)

    @pytest.fixture
    def locked(self, goal: SavingsAccount) -> SavingsAccount:
        return savings_locks.lock_goal(account_id=goal.id, until=self.UNTIL, exit_after_hours=24, at=MORNING)

    def test_a_locked_goal_pays_nothing_out_before_its_day(self, locked: SavingsAccount) -> None:
        with pytest.raises(savings_instructions.StillLocked):
            withdraw(locked, 100, at=on(self.UNTIL))
        assert withdraw(locked, 100, at=on(self.UNTIL + timedelta(days=1))).amount_cents == 100

    def test_the_key_opens_after_its_hours_and_costs_the_interest_and_nothing_else(
        self, locked: SavingsAccount, books_balance: Any
    ) -> None:
        with pytest.raises(savings_locks.KeyNotTurned) as refused:
            savings_locks.open_lock(account_id=locked.id, at=after(50))
        assert refused.value.opens_at is None
        opens_at = savings_locks.turn_key(account_id=locked.id, at=after(50))
        assert savings_locks.turn_key(account_id=locked.id, at=after(50, hours=3)) == opens_at == after(51)
        with pytest.raises(savings_locks.KeyNotTurned):
            savings_locks.open_lock(account_id=locked.id, at=opens_at - timedelta(seconds=1))
        forgone = savings_locks.open_lock(account_id=locked.id, at=opens_at)
        assert forgone == 100_000 * 40_000 * 51 // 365_000_000
        assert fresh(locked).balance_cents == 100_000
        assert AuditEvent.objects.get(action="savings_lock_opened").detail == {"forgone_cents": forgone}
        books_balance()
        assert withdraw(locked, 100_000, at=opens_at).amount_cents == 100_000

    def test_turned_back_the_key_costs_nothing(self, locked: SavingsAccount) -> None:
        savings_locks.turn_key(account_id=locked.id, at=after(10))
        savings_locks.turn_key_back(account_id=locked.id, at=after(10, hours=1))
        with pytest.raises(savings_locks.KeyNotTurned):
            savings_locks.open_lock(account_id=locked.id, at=after(20))
        deposit(locked, 100, on(self.UNTIL + timedelta(days=1)))
        assert selectors.statement(locked.id, OPENED_ON, self.UNTIL + timedelta(days=2)).interest_cents == 997

    def test_what_was_earned_before_the_lock_is_not_at_stake(
        self, goal: SavingsAccount, books_balance: Any
    ) -> None:
        savings_locks.lock_goal(account_id=goal.id, until=self.UNTIL, exit_after_hours=72, at=after(10))
        savings_locks.lock_goal(account_id=goal.id, until=self.UNTIL, exit_after_hours=72, at=after(11))
        assert fresh(goal).balance_cents == 100_000 + 109 - 16
        savings_locks.turn_key(account_id=goal.id, at=after(20))
        savings_locks.open_lock(account_id=goal.id, at=after(23))
        assert fresh(goal).balance_cents == 100_000 + 109 - 16
        books_balance()

    @pytest.mark.parametrize(
        ("days", "hours"),
        [(0, 24), (-1, 24), (366, 24), (30, 25), (30, 0)],
        ids=["today", "past", "long", "25", "0"],
    )
    def test_a_lock_that_the_product_has_not_is_refused(self, goal: SavingsAccount, days: int, hours: int) -> None:
        with pytest.raises(savings_locks.LockRefused):
            savings_locks.lock_goal(
                account_id=goal.id, until=OPENED_ON + timedelta(days=days), exit_after_hours=hours, at=MORNING
            )

    def test_a_lock_is_not_made_harder_while_it_lasts(self, locked: SavingsAccount) -> None:
        with pytest.raises(savings_locks.LockRefused, match="already"):
            savings_locks.lock_goal(
                account_id=locked.id, until=self.UNTIL + timedelta(days=9), exit_after_hours=24, at=after(1)
            )


class TestClose:
    def test_everything_is_paid_out_the_minimum_and_the_interest_too(self, amina: Any, books_balance: Any) -> None:
        product("with-minimum", minimum_balance_cents=30_000)
        account = pot(amina, "with-minimum")
        deposit(account, 100_000)
        asked = savings_instructions.close_account(account_id=account.id, at=after(10))
        assert asked is not None and asked.amount_cents == 100_000 + 109 - 16
        assert savings_instructions.close_account(account_id=account.id, at=after(11)) == asked
        with pytest.raises(savings.AccountClosed):
            withdraw(account, 1)
        confirm(asked, after(12))
        assert (fresh(account).state, fresh(account).balance_cents) == ("closed", 0)
        assert pot(amina, "with-minimum") != account
        books_balance()

    def test_a_partner_who_refuses_leaves_it_open_and_earning(self, amina: Any, books_balance: Any) -> None:
        product("with-minimum", minimum_balance_cents=30_000)
        account = pot(amina, "with-minimum")
        deposit(account, 100_000)
        asked = savings_instructions.close_account(account_id=account.id, at=after(10))
        savings_instructions.reject_instruction(reference=asked.reference, at=after(12))
        stays = fresh(account)
        assert (stays.state, stays.closing_at, stays.held_cents, stays.floor_cents) == ("active", None, 0, 30_000)
        with pytest.raises(savings_holds.NotEnoughSavings):
            withdraw(account, 80_000)
        savings_closing.accrue_savings(after(20).date(), account.id, account.id)
        # Eleven more days of 1,000.93 and what was left of a cent: as if nobody had asked.
        assert selectors.earned_cents(fresh(account)) == 121
        again = savings_instructions.close_account(account_id=account.id, at=after(21))
        assert again is not None and again.reference != asked.reference
        confirm(again, after(22))
        assert (fresh(account).state, fresh(account).balance_cents) == ("closed", 0)
        books_balance()

    def test_money_that_came_while_it_was_closing_is_paid_out_by_asking_again(self, goal: SavingsAccount) -> None:
        first = savings_instructions.close_account(account_id=goal.id, at=after(10))
        deposit(goal, 700, after(11))
        assert savings_instructions.close_account(account_id=goal.id, at=after(11)) == first
        confirm(first, after(12))
        rest = savings_instructions.close_account(account_id=goal.id, at=after(13))
        assert rest is not None and rest.amount_cents == fresh(goal).balance_cents
        confirm(rest, after(14))
        assert fresh(goal).state == "closed"

    def test_held_money_keeps_it_open(self, goal: SavingsAccount) -> None:
        withdraw(goal, 5)
        with pytest.raises(savings_holds.NotEnoughSavings):
            savings_instructions.close_account(account_id=goal.id, at=after(1))


class TestSweep:
    @pytest.fixture
    def due(self, goal: SavingsAccount, aminas_loan: Any) -> Any:
        savings_sweeps.allow_sweep(
            account_id=goal.id, keep_cents=70_000, text_version="1", language="en", at=after(1)
        )
        return on(aminas_loan.due_on)

    def test_it_takes_what_is_due_above_what_the_owner_keeps_once_a_day(self, goal: Any, due: Any) -> None:
        asked = savings_sweeps.sweep(account_id=goal.id, at=due)
        assert asked is not None and asked.amount_cents == 30_000 and asked.kind == "sweep"
        assert savings_sweeps.sweep(account_id=goal.id, at=due) == asked
        assert savings_sweeps.sweep(account_id=goal.id, at=due + timedelta(days=1)) is None

    def test_close_of_business_asks_for_it_on_the_due_date_and_later(self, goal: Any, due: Any) -> None:
        for late in range(2):
            yesterday = due.date() + timedelta(days=late - 1)
            assert closing.close_business(yesterday, due + timedelta(days=late))
        # Above the 700 to keep are 300, and what these earned until then.
        assert [one.amount_cents for one in goal.instructions.filter(kind="sweep")] == [30_700]
        assert JobRun.objects.get(business_date=due.date() - timedelta(days=1)).result["sweeps"] == 1

    def test_without_the_owners_word_nothing_is_taken(self, goal: Any, due: Any) -> None:
        savings_sweeps.stop_sweep(account_id=goal.id, at=due)
        assert savings_sweeps.sweep(account_id=goal.id, at=due) is None
        assert SweepMandate.objects.filter(withdrawn_at__isnull=True).count() == 0

    def test_nothing_is_taken_before_the_due_date_or_from_a_lock(self, goal: Any, due: Any) -> None:
        assert savings_sweeps.sweep(account_id=goal.id, at=due - timedelta(days=1)) is None
        savings_locks.lock_goal(
            account_id=goal.id,
            until=due.date() + timedelta(days=3),
            exit_after_hours=24,
            at=due - timedelta(days=2),
        )
        assert savings_sweeps.sweep(account_id=goal.id, at=due) is None

    def test_a_new_word_replaces_the_old(self, goal: Any, due: Any) -> None:
        savings_sweeps.allow_sweep(
            account_id=goal.id, keep_cents=99_950, text_version="1", language="en", at=after(2)
        )
        assert savings_sweeps.sweep(account_id=goal.id, at=due) is None


class TestSavedFirst:
    @pytest.fixture
    def weekly(self, amina: Any) -> Any:
        account = pot(amina, "jirani-save")
        for week in range(4):
            deposit(account, 1_000, after(7 * week))
        return amina

    def consent(self, borrower: Any, granted: bool = True) -> None:
        Consent.objects.create(
            borrower=borrower, purpose="savings", granted=granted, text_version="1", language="en", given_at=MORNING
        )

    def test_deposits_on_time_stand_in_for_a_record_with_consent(self, weekly: Any) -> None:
        assert not selectors.saved_first(weekly.id, after(22)).stands_in
        self.consent(weekly)
        assert selectors.saved_first(weekly.id, after(22)) == selectors.SavedFirst(True, 4, 4)
        assert selectors.saved_first(weekly.id, after(22)).stands_in

    def test_nothing_later_than_the_moment_is_seen(self, weekly: Any) -> None:
        self.consent(weekly)
        assert selectors.saved_first(weekly.id, after(20)).on_time == 3
        assert selectors.saved_first(weekly.id, MORNING - timedelta(days=1)).consented is False

    def test_a_no_is_no_consent(self, weekly: Any) -> None:
        self.consent(weekly, granted=False)
        assert selectors.saved_first(weekly.id, after(22)) == selectors.SavedFirst(False, 0, 0)


class TestWhatSaversSee:
    def test_a_goal_shows_how_far_it_is(self, goal: SavingsAccount) -> None:
        assert selectors.progress(goal) == "School fees: KES 1,000 of KES 2,000"

    def test_suggestions_come_from_the_wallet_if_it_may_be_read(self, amina: Any) -> None:
        from tests.scoring.history import move as receive

        version = SavingsProductVersion.objects.get(code="jirani-goal")
        for days in (1, 8, 15, 22, 40):
            receive(amina, MORNING - timedelta(days=days), 200_000)
        assert selectors.suggested_deposits(amina, version, MORNING) == (2_000, 4_000)
        Consent.objects.filter(borrower=amina, purpose="wallet").update(withdrawn_at=MORNING)
        assert selectors.suggested_deposits(amina, version, MORNING) == (100, 100)

    def test_a_statement_adds_up(self, goal: SavingsAccount) -> None:
        deposit(goal, 5_000, on(date(2026, 2, 3)))
        confirm(withdraw(goal, 1_000, on(date(2026, 2, 4))), on(date(2026, 2, 4)))
        told = selectors.statement(goal.id, date(2026, 2, 2), date(2026, 2, 28))
        assert told.opening_cents == 100_205
        assert told.opening_cents + sum(line.cents for line in told.lines) == told.closing_cents == 104_205
        assert [line.balance_cents for line in told.lines] == [105_205, 104_205]


@pytest.mark.django_db(transaction=True)
def test_two_withdrawals_at_once_take_no_more_than_there_is() -> None:
    account = pot(factories.register())
    deposit(account, 100_000)
    start, outcomes = threading.Barrier(4), []

    def take(number: int) -> None:
        start.wait()
        try:
            withdraw(account, 40_000, reference=f"w{number}")
            outcomes.append("held")
        except savings_holds.NotEnoughSavings:
            outcomes.append("refused")
        finally:
            connection.close()

    threads = [threading.Thread(target=take, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["held", "held", "refused", "refused"]
    assert fresh(account).held_cents == 80_000 == sum(hold.amount_cents for hold in SavingsHold.objects.all())
