"""A new version under open accounts: each day by its own terms, whoever comes first and however late."""

import threading
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction

from lending.models import SavingsAccount, SavingsMovement, SavingsProductVersion, SavingsVersionChange
from lending.right_of_way import GaveWay
from lending.savings_closing import accrue_savings, claim_and_accrue, mark_dormant
from lending.selectors import savings as selectors
from lending.selectors import savings_versions
from lending.services import groups, savings_instructions, savings_locks
from tests import factories
from tests.lending.saving import MORNING, OPENED_ON, after, deposit, fresh, next_version, on, pot

pytestmark = pytest.mark.django_db
CHANGED_ON = date(2026, 2, 15)
DAY = timedelta(days=1)
ALL = (0, 2**31)
# 1,000.00 from 10 January: 22 days at 4 % are 241.09 cents; with 205 of them in it, 14 days more are 153.73.
JANUARY, FEBRUARY = 241, 153


def change(rate: str = "0.02", code: str = "jirani-goal", **more: Any) -> SavingsProductVersion:
    """Bring out a version with one rate for all balances."""
    version = SavingsProductVersion.objects.filter(code=code).latest("version")
    interest = version.terms["interest"] | {"tiers": [{"from_cents": 0, "rate": rate}]}
    terms = {"interest": interest} | more.pop("terms", {})
    return next_version(code, **{"effective_on": CHANGED_ON, "terms": terms} | more)


@pytest.fixture
def goal(amina: Any) -> SavingsAccount:
    account = pot(amina, goal="School fees")
    deposit(account, 100_000)
    return fresh(account)


def gone_over(account: SavingsAccount) -> list[tuple[int, int, date]]:
    rows = SavingsVersionChange.objects.filter(account=account).order_by("id")
    return [(row.before.version, row.after.version, row.effective_on) for row in rows.select_related()]


def interest_of(account: SavingsAccount) -> list[tuple[date, int]]:
    rows = SavingsMovement.objects.filter(account=account, kind="interest").order_by("value_on")
    return [(row.value_on, row.amount_cents) for row in rows]


class TestGoingOver:
    def test_a_day_earns_by_the_version_of_that_day(self, goal: SavingsAccount, books_balance: Any) -> None:
        change("0.02")
        accrue_savings(CHANGED_ON - 2 * DAY, *ALL)
        assert fresh(goal).product_version.version == 1
        accrue_savings(CHANGED_ON - DAY, *ALL)
        assert gone_over(goal) == [(1, 2, CHANGED_ON)]
        assert fresh(goal).product_version.version == 2
        assert interest_of(goal) == [(date(2026, 2, 1), JANUARY), (CHANGED_ON, FEBRUARY)]
        left = fresh(goal).accrued_parts
        accrue_savings(CHANGED_ON + 4 * DAY, *ALL)
        assert fresh(goal).accrued_parts - left == 5 * fresh(goal).balance_cents * 20_000
        books_balance()

    def test_missed_days_are_caught_up_across_it(self, goal: SavingsAccount, books_balance: Any) -> None:
        change("0.02")
        change("0.03", effective_on=CHANGED_ON + 3 * DAY)
        accrue_savings(CHANGED_ON + 20 * DAY, *ALL)
        assert gone_over(goal) == [(1, 2, CHANGED_ON), (2, 3, CHANGED_ON + 3 * DAY)]
        assert [day for day, _ in interest_of(goal)] == [
            date(2026, 2, 1), CHANGED_ON, CHANGED_ON + 3 * DAY, date(2026, 3, 1),
        ]  # fmt: skip
        once = SavingsAccount.objects.values().get()
        accrue_savings(CHANGED_ON + 20 * DAY, *ALL)
        assert SavingsAccount.objects.values().get() == once
        books_balance()

    def test_money_that_comes_first_lets_it_go_over_too(self, goal: SavingsAccount, books_balance: Any) -> None:
        change("0.02")
        deposit(goal, 5_000, on(CHANGED_ON))
        assert gone_over(goal) == [(1, 2, CHANGED_ON)]
        assert interest_of(goal)[-1] == (CHANGED_ON, FEBRUARY)
        accrue_savings(CHANGED_ON, *ALL)
        assert gone_over(goal) == [(1, 2, CHANGED_ON)]
        books_balance()

    def test_a_late_word_counts_on_each_day_by_its_own_version(
        self, goal: SavingsAccount, books_balance: Any
    ) -> None:
        change("0.02")
        accrue_savings(CHANGED_ON + 4 * DAY, *ALL)
        before = fresh(goal).accrued_parts
        deposit(goal, 36_500, on(CHANGED_ON + 5 * DAY), value_on=CHANGED_ON - 3 * DAY, reference="late")
        assert fresh(goal).accrued_parts - before == 36_500 * (3 * 40_000 + 5 * 20_000)
        books_balance()

    def test_a_higher_minimum_takes_nothing_that_is_there(self, goal: SavingsAccount, books_balance: Any) -> None:
        change("0.04", terms={"minimum_balance_cents": 30_000})
        accrue_savings(CHANGED_ON, *ALL)
        assert (fresh(goal).minimum_cents, fresh(goal).floor_cents) == (30_000, 0)
        deposit(goal, 20_000, on(CHANGED_ON + DAY))
        assert fresh(goal).floor_cents == 20_000
        books_balance()

    def test_a_lower_minimum_sets_money_free(self, goal: SavingsAccount, books_balance: Any) -> None:
        change(effective_on=OPENED_ON + DAY, terms={"minimum_balance_cents": 30_000})
        change(effective_on=CHANGED_ON, terms={"minimum_balance_cents": 10_000})
        deposit(goal, 50_000, after(3))
        assert fresh(goal).floor_cents == 30_000
        accrue_savings(CHANGED_ON, *ALL)
        assert (fresh(goal).minimum_cents, fresh(goal).floor_cents) == (10_000, 10_000)
        books_balance()

    def test_the_statement_shows_it_on_its_day(self, goal: SavingsAccount) -> None:
        change("0.02")
        accrue_savings(CHANGED_ON, *ALL)
        told = selectors.statement(goal.id, date(2026, 2, 1), date(2026, 2, 28))
        assert [(line.on, line.before.interest.tiers[0].rate, line.after.interest.tiers[0].rate)
                for line in told.changes if line.before.interest and line.after.interest] == [
            (CHANGED_ON, selectors.rules.Decimal("0.04"), selectors.rules.Decimal("0.02")),
        ]  # fmt: skip
        assert selectors.statement(goal.id, date(2026, 3, 1), date(2026, 3, 31)).changes == ()

    def test_nobody_edits_what_was_kept(self, goal: SavingsAccount) -> None:
        change()
        accrue_savings(CHANGED_ON, *ALL)
        with pytest.raises(IntegrityError, match="is history"), transaction.atomic():
            SavingsVersionChange.objects.update(effective_on=OPENED_ON)


class TestLocks:
    UNTIL = CHANGED_ON + 30 * DAY
    # A day's 10.96 cents were credited when the lock began: 8 of them after tax, and a part of a cent is left.
    BALANCE, LEFT = 100_008, 100_000 * 40_000 - 10 * 365_000_000

    @pytest.fixture
    def locked(self, goal: SavingsAccount) -> SavingsAccount:
        return savings_locks.lock_goal(account_id=goal.id, until=self.UNTIL, exit_after_hours=24, at=after(1))

    def test_worse_terms_wait_for_the_end_of_the_lock(self, locked: SavingsAccount, books_balance: Any) -> None:
        change("0.02")
        accrue_savings(self.UNTIL - DAY, *ALL)
        assert (gone_over(locked), interest_of(locked)) == ([], [(after(1).date(), 10)])
        accrue_savings(self.UNTIL + 9 * DAY, *ALL)
        assert gone_over(locked) == [(1, 2, self.UNTIL + DAY)]
        assert interest_of(locked)[1:] == [
            (self.UNTIL + DAY, (self.BALANCE * 40_000 * 66 + self.LEFT) // 365_000_000)
        ]
        books_balance()

    def test_better_terms_do_not_wait_and_nothing_is_lost(self, locked: SavingsAccount, books_balance: Any) -> None:
        change("0.08")
        accrue_savings(self.UNTIL, *ALL)
        assert gone_over(locked) == [(1, 2, CHANGED_ON)]
        days = (CHANGED_ON - after(1).date()).days
        parts = self.BALANCE * (40_000 * days + 80_000 * (66 - days)) + self.LEFT
        assert interest_of(locked)[1:] == [(self.UNTIL + DAY, parts // 365_000_000)]
        books_balance()

    def test_the_key_opens_the_door_to_what_had_to_wait(self, locked: SavingsAccount, books_balance: Any) -> None:
        change("0.02")
        accrue_savings(CHANGED_ON + 4 * DAY, *ALL)
        savings_locks.turn_key(account_id=locked.id, at=on(CHANGED_ON + 3 * DAY))
        savings_locks.open_lock(account_id=locked.id, at=on(CHANGED_ON + 5 * DAY))
        assert gone_over(locked) == [(1, 2, CHANGED_ON + 5 * DAY)]
        books_balance()

    def test_a_version_that_was_worse_is_passed_over(self, locked: SavingsAccount) -> None:
        change("0.02")
        change("0.09", effective_on=CHANGED_ON + 5 * DAY)
        accrue_savings(CHANGED_ON + 20 * DAY, *ALL)
        assert gone_over(locked) == [(1, 3, CHANGED_ON + 5 * DAY)]


class TestWhoGoesOver:
    def test_an_account_that_is_being_closed_stays_and_catches_up_if_it_is_not_paid_out(
        self, goal: SavingsAccount, books_balance: Any
    ) -> None:
        change("0.02")
        asked = savings_instructions.close_account(account_id=goal.id, at=on(CHANGED_ON - 5 * DAY))
        accrue_savings(CHANGED_ON + DAY, *ALL)
        assert asked is not None and gone_over(goal) == []
        savings_instructions.reject_instruction(reference=asked.reference, at=on(CHANGED_ON + 2 * DAY))
        accrue_savings(CHANGED_ON + 2 * DAY, *ALL)
        assert gone_over(goal) == [(1, 2, CHANGED_ON)]
        books_balance()

    def test_a_closed_account_stays_as_it_was(self, amina: Any) -> None:
        account = pot(amina)
        savings_instructions.close_account(account_id=account.id, at=after(1))
        change()
        accrue_savings(CHANGED_ON, *ALL)
        assert (fresh(account).state, gone_over(account)) == ("closed", [])

    def test_sleeping_and_empty_accounts_go_over(self, goal: SavingsAccount, brian: Any) -> None:
        empty = pot(brian)
        change()
        mark_dormant(OPENED_ON + 366 * DAY, *ALL)
        accrue_savings(CHANGED_ON, *ALL)
        assert fresh(goal).state == "dormant"
        assert gone_over(goal) == gone_over(empty) == [(1, 2, CHANGED_ON)]

    def test_a_group_goes_over(self, amina: Any, brian: Any, books_balance: Any) -> None:
        group = groups.form_group(
            name="Tumaini", members=[amina, brian], approvals_needed=2, product_code="jirani-group", at=MORNING
        )
        groups.contribute(
            group_id=group.id, borrower_id=amina.id, amount_cents=200_000, reference="in", moved_at=MORNING
        )
        change("0.01", code="jirani-group")
        accrue_savings(CHANGED_ON + DAY, *ALL)
        account = group.savings_account
        assert gone_over(account) == [(1, 2, CHANGED_ON)]
        # The lowest balance of a period counts: a new one began with the new terms.
        assert fresh(account).period_on == CHANGED_ON
        books_balance()

    def test_who_opens_an_account_in_between_goes_over_and_who_opens_one_later_need_not(self, amina: Any) -> None:
        change()
        between, later = pot(amina, goal="Cow"), pot(amina, goal="Roof", at=on(CHANGED_ON))
        accrue_savings(CHANGED_ON, *ALL)
        assert (gone_over(between), gone_over(later)) == ([(1, 2, CHANGED_ON)], [])
        assert pot(amina, goal="Cow", at=on(CHANGED_ON)) == between

    def test_without_interest_the_rest_of_the_terms_changes(self, amina: Any, books_balance: Any) -> None:
        account = pot(amina, "jirani-save")
        next_version("jirani-save", effective_on=CHANGED_ON, terms={"minimum_balance_cents": 500})
        accrue_savings(CHANGED_ON, *ALL)
        assert (gone_over(account), fresh(account).minimum_cents) == ([(1, 2, CHANGED_ON)], 500)
        books_balance()

    def test_deposits_are_judged_by_the_terms_of_the_day(self, amina: Any) -> None:
        account = pot(amina, "jirani-save")
        next_version("jirani-save", effective_on=CHANGED_ON, terms={"save_first": None})
        accrue_savings(CHANGED_ON, *ALL)
        assert savings_versions.terms_on(fresh(account), CHANGED_ON - DAY).save_first is not None
        assert savings_versions.terms_on(fresh(account), CHANGED_ON).save_first is None


def until_done(close: Callable[[], object]) -> None:
    """Take it up again for as long as a saver goes first, as the close of business does."""
    while True:
        try:
            close()
            return
        except GaveWay:
            continue


@pytest.mark.django_db(transaction=True)
def test_workers_and_savers_at_once_let_each_account_go_over_once(books_balance: Any) -> None:
    people = [factories.register(f"Saver {chr(65 + n)}x", f"2547120{n:05d}", f"557{n:05d}") for n in range(8)]
    accounts = [pot(person) for person in people]
    for account in accounts:
        deposit(account, 100_000)
    change()
    start, failures = threading.Barrier(4), list[Exception]()

    def work(number: int) -> None:
        start.wait()
        try:
            if number < 2:
                until_done(lambda: claim_and_accrue(CHANGED_ON, *ALL))
            elif number == 2:
                until_done(lambda: accrue_savings(CHANGED_ON, *ALL))
            else:
                for account in accounts:
                    deposit(account, 500, on(CHANGED_ON))
        except Exception as failure:  # noqa: BLE001 - shown below, whatever it is
            failures.append(failure)
        finally:
            connection.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert [gone_over(account) for account in accounts] == [[(1, 2, CHANGED_ON)]] * 8
    assert {fresh(account).product_version.version for account in accounts} == {2}
    books_balance()
