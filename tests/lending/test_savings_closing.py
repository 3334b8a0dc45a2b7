"""Close of business for savings: SQL and Python say the same to the cent, once, in any chunks."""

from datetime import date, timedelta
from random import Random
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.models import Sum

from lending.models import Borrower, Entry, Posting, SavingsAccount, SavingsMovement, SavingsVersionChange
from lending.savings_closing import Accrued, accrue_savings, mark_dormant
from lending.services import savings, savings_instructions, savings_interest
from tests import factories
from tests.lending.saving import (
    MORNING,
    OPENED_ON,
    after,
    deposit,
    fresh,
    move,
    next_version,
    on,
    pot,
    product,
    terms_of,
)

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)
ALL = (0, 2**31)
KINDS = [
    ("daily", "daily", "part"),
    ("daily", "monthly", "part"),
    ("daily", "monthly", "whole"),
    ("minimum", "monthly", "part"),
    ("minimum", "monthly", "whole"),
]


def interest_of(kind: tuple[str, str, str], luck: Random) -> dict[str, Any]:
    balance, credited, apply_to = kind
    starts = sorted(luck.sample(range(1, 300_000), 2))
    return {
        "balance": balance,
        "credited": credited,
        "tiers_apply_to": apply_to,
        "tiers": [{"from_cents": start, "rate": f"0.{luck.randrange(300_000):06d}"} for start in (0, *starts)],
        "tax_rate": luck.choice(["0", "0.15", "0.333333"]),
    }


def some_products(luck: Random) -> None:
    """Bring out products of every kind, each with two later versions of any kind on days of their own."""
    for place, kind in enumerate(KINDS):
        minimum = luck.choice([0, 20_000])
        product(f"p{place}", interest=interest_of(kind, luck), minimum_balance_cents=minimum)
        for first in (luck.randrange(1, 40), luck.randrange(40, 80)):
            terms = {
                "interest": interest_of(luck.choice(KINDS), luck),
                "minimum_balance_cents": luck.choice([0, 9_000]),
            }
            next_version(f"p{place}", effective_on=OPENED_ON + first * DAY, terms=terms)


def some_savers(luck: Random, count: int) -> list[SavingsAccount]:
    """Open accounts of every kind, some with a minimum, a lock, or a holder of our own."""
    accounts = []
    some_products(luck)
    for number in range(count):
        borrower = factories.register(f"Saver {chr(65 + number)}x", f"2547120{number:05d}", f"557{number:05d}")
        account = pot(borrower, f"p{number % len(KINDS)}")
        if number % 4 == 1:
            until = OPENED_ON + timedelta(days=luck.randrange(5, 70))
            SavingsAccount.objects.filter(id=account.id).update(locked_until=until, exit_after_hours=24)
        if number % 7 == 3:
            SavingsAccount.objects.filter(id=account.id).update(partner="")
        accounts.append(account)
    return accounts


Story = list[tuple[int, int, int]]


def a_story(luck: Random, accounts: int, days: int) -> Story:
    """Return (day, account, cents): sometimes all is taken out, sometimes nothing moves for long."""
    return sorted(
        (luck.randrange(days), luck.randrange(accounts), luck.choice([-(10**9), -10_000, 500, 36_500, 250_000]))
        for _ in range(accounts * 4)
    )


def tell(accounts: list[SavingsAccount], told: Story, day: int) -> None:
    for number, (when, who, wanted) in enumerate(told):
        if when == day:
            account = brought_up(accounts[who], OPENED_ON + (day - 1) * DAY)
            free = account.balance_cents - account.held_cents - account.floor_cents
            cents = max(wanted, -free)
            if cents:
                kind = "deposit" if cents > 0 else "withdrawal"
                move(account, kind, abs(cents), after(day), reference=f"m{number}")


def brought_up(account: SavingsAccount, until: date) -> SavingsAccount:
    """Do now what the service would do at the next movement."""
    with transaction.atomic():
        locked = savings.lock_account(account.id)
        savings_interest.bring_up(locked, until)
        locked.save()
    return locked


def snapshot(accounts: list[SavingsAccount], until: date) -> dict[str, Any]:
    """Return accounts, movements and entries after the last lazy touch, without ids and clock."""
    for account in accounts:
        brought_up(account, until)
    movements = SavingsMovement.objects.order_by("reference").values_list(
        "reference", "kind", "amount_cents", "moved_at", "value_on"
    )
    # SQL books the credits of a chunk at once, so what is compared is each account's day.
    entries = (
        Entry.objects.values_list(
            "posting__kind", "posting__occurred_at", "posting__business_date", "account_id", "currency"
        )
        .order_by("posting__occurred_at", "account_id")
        .annotate(Sum("debit_cents"), Sum("credit_cents"))
    )
    changes = SavingsVersionChange.objects.order_by("account_id", "id")
    return {
        "changes": list(changes.values_list("account_id", "before_id", "after_id", "effective_on")),
        "accounts": list(SavingsAccount.objects.order_by("id").values()),
        "movements": list(movements),
        "entries": list(entries),
    }


@pytest.mark.parametrize("seed", range(4))
def test_sql_says_what_python_says_on_random_accounts(law: None, seed: int, books_balance: Any) -> None:
    luck = Random(seed)
    accounts = some_savers(luck, 20)
    told = a_story(luck, len(accounts), days := 85)
    end = OPENED_ON + days * DAY

    with transaction.atomic():
        for day in range(days):
            tell(accounts, told, day)
        by_python = snapshot(accounts, end)
        transaction.set_rollback(True)

    middle = accounts[len(accounts) // 2].id
    credited = 0
    for day in range(days + 1):
        tell(accounts, told, day)
        if luck.random() < 0.8:  # a night that is missed is caught up
            for ids in ((0, middle), (middle + 1, 2**31)):
                credited += accrue_savings(OPENED_ON + day * DAY, *ids).credited
    credited += accrue_savings(end, *ALL).credited
    assert credited > 10
    by_sql = snapshot(accounts, end)
    assert len(by_sql["changes"]) > len(accounts)

    for what in by_python:
        assert by_sql[what] == by_python[what], what
    books_balance()


class TestAccrue:
    @pytest.fixture
    def goal(self, amina: Borrower) -> SavingsAccount:
        account = pot(amina)
        deposit(account, 100_000)
        return account

    def test_a_date_that_is_closed_again_changes_nothing(self, goal: SavingsAccount, books_balance: Any) -> None:
        last = date(2026, 1, 31)
        assert accrue_savings(last, *ALL) == Accrued(accrued=1, credited=1)
        once = SavingsAccount.objects.values().get()
        assert accrue_savings(last, *ALL) == accrue_savings(last - DAY, *ALL) == Accrued()
        assert SavingsAccount.objects.values().get() == once
        assert Posting.objects.get(reference__startswith="savings-interest").business_date == last
        books_balance()

    def test_money_that_comes_before_the_close_of_yesterday_does_not_disturb_it(self, goal: SavingsAccount) -> None:
        deposit(goal, 10**9, on(date(2026, 2, 1), hour=0))
        assert accrue_savings(date(2026, 1, 31), *ALL) == Accrued()
        interest = SavingsMovement.objects.get(kind="interest")
        assert (interest.amount_cents, interest.value_on) == (241, date(2026, 2, 1))

    def test_missed_dates_are_caught_up_each_credit_on_its_day(self, goal: SavingsAccount) -> None:
        accrue_savings(date(2026, 4, 2), *ALL)
        credits = SavingsMovement.objects.filter(kind="interest").order_by("id")
        assert [row.value_on for row in credits] == [date(2026, 2, 1), date(2026, 3, 1), date(2026, 4, 1)]

    def test_only_accounts_with_something_to_do_are_touched(self, goal: SavingsAccount, brian: Borrower) -> None:
        pot(brian)
        deposit(pot(brian, "jirani-save"), 5_000)
        assert accrue_savings(OPENED_ON, *ALL).accrued == 1
        assert accrue_savings(OPENED_ON + DAY, goal.id + 1, 2**31) == Accrued()

    def test_the_largest_balances_do_not_overflow(self, goal: SavingsAccount, books_balance: Any) -> None:
        huge = 2**62
        deposit(goal, huge, after(1))
        accrue_savings(date(2026, 1, 31), *ALL)
        assert fresh(goal).balance_cents > huge + huge // 400
        books_balance()

    def test_an_account_being_closed_earns_no_more(self, goal: SavingsAccount) -> None:
        savings_instructions.close_account(account_id=goal.id, at=after(5))
        assert accrue_savings(date(2026, 1, 31), *ALL) == Accrued()

    def test_accrual_takes_no_room_in_an_index(self, goal: SavingsAccount) -> None:
        """An update of a column in no index stays on its page: the accrual of a million accounts is cheap."""
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_index JOIN pg_attribute ON attrelid = indrelid AND attnum = ANY (indkey)"
                " WHERE indrelid = 'lending_savingsaccount'::regclass"
                " AND attname IN ('accrued_parts', 'accrued_on', 'lowest_cents', 'balance_cents', 'period_on')"
            )
            assert cursor.fetchone() == (0,)


class TestDormancy:
    def test_what_is_not_used_sleeps_and_its_owner_wakes_it(self, amina: Borrower) -> None:
        account = pot(amina)
        deposit(account, 100)
        assert mark_dormant(OPENED_ON + 365 * DAY, *ALL) == 0
        assert mark_dormant(OPENED_ON + 366 * DAY, *ALL) == 1
        assert mark_dormant(OPENED_ON + 367 * DAY, *ALL) == 0
        assert fresh(account).state == "dormant"
        deposit(account, 100, after(400))
        assert (fresh(account).state, fresh(account).used_on) == ("active", after(400).date())

    def test_sleeping_money_earns_all_the_same(self, amina: Borrower) -> None:
        account = pot(amina)
        deposit(account, 100_000)
        SavingsAccount.objects.filter(id=account.id).update(state="dormant")
        assert accrue_savings(OPENED_ON, *ALL).accrued == 1


def test_the_shipped_products_can_be_read(law: None) -> None:
    assert {code: bool(terms_of(code)["interest"]) for code in ("jirani-save", "jirani-goal", "jirani-group")} == {
        "jirani-save": False, "jirani-goal": True, "jirani-group": True,
    }  # fmt: skip
    assert MORNING.date() == OPENED_ON
