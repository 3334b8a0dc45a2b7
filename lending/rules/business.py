"""A small trader's book: what a day, a week and a month came to, who owes, and what it says about a loan.

The book is kept the way traders count: what was sold less what was spent, stock when it is bought. Goods given
on credit are sold on that day; their money comes later. Amounts are integer cents, days are local days.
Source: docs/domain/business.md.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction

from lending.rules import money

SALE, EXPENSE, STOCK = "sale", "expense", "stock"
CREDIT_GIVEN, CREDIT_PAID, CASH_COUNTED = "credit_given", "credit_paid", "cash_counted"
# What one line can be: more than that at a stroke is a slip of the thumb.
MOST_CENTS = 100_000_000
# What an instalment may take of an average week, so that bad weeks can pay it, too. Advances against card
# takings are capped at 20 to 30 % of them (Kopo Kopo and others); ours takes the upper end, of what is left over.
LARGEST_SHARE = Decimal("0.30")
# Fewer weeks say little about the next ones, older ones little about now.
FEWEST_WEEKS, MOST_WEEKS = 4, 8
WEEK = timedelta(days=7)


@dataclass(frozen=True)
class Entry:
    """One line of the book. `cents` is below zero in a line that takes another one back."""

    kind: str
    cents: int
    on: date
    customer: str = ""


@dataclass(frozen=True)
class Totals:
    """What some days came to. `sales` are those for cash; `on_credit` is sold, too."""

    sales_cents: int = 0
    on_credit_cents: int = 0
    expenses_cents: int = 0
    stock_cents: int = 0
    credit_paid_cents: int = 0

    @property
    def sold_cents(self) -> int:
        """All that was sold, paid or not."""
        return self.sales_cents + self.on_credit_cents

    @property
    def costs_cents(self) -> int:
        """Expenses, and stock as far as it was bought now."""
        return self.expenses_cents + self.stock_cents

    @property
    def profit_cents(self) -> int:
        """What is left of what was sold; below zero more was spent."""
        return self.sold_cents - self.costs_cents

    @property
    def cash_cents(self) -> int:
        """By how much the cash in the tin changed."""
        return self.sales_cents + self.credit_paid_cents - self.costs_cents


_FIELDS = {
    SALE: "sales_cents",
    CREDIT_GIVEN: "on_credit_cents",
    EXPENSE: "expenses_cents",
    STOCK: "stock_cents",
    CREDIT_PAID: "credit_paid_cents",
}


def totals(entries: Iterable[Entry]) -> Totals:
    """Return what entries come to; cash that was counted is no income.

    >>> day = date(2026, 3, 2)
    >>> totals([Entry("sale", 235_000, day), Entry("expense", 90_000, day)]).profit_cents
    145000
    """
    sums: dict[str, int] = defaultdict(int)
    for entry in entries:
        if entry.kind in _FIELDS:
            sums[_FIELDS[entry.kind]] += entry.cents
    return Totals(**sums)


def owed(entries: Iterable[Entry]) -> dict[str, int]:
    """Return what each customer owes, the largest debt first; who has paid all is not in it.

    Names are one however they are written: `mary` and ` Mary ` are the same customer, under the first spelling.
    """
    spelled: dict[str, str] = {}
    sums: dict[str, int] = defaultdict(int)
    for entry in entries:
        if entry.kind in (CREDIT_GIVEN, CREDIT_PAID):
            key = same_customer(entry.customer)
            spelled.setdefault(key, entry.customer.strip())
            sums[key] += entry.cents if entry.kind == CREDIT_GIVEN else -entry.cents
    debts = sorted(((spelled[key], cents) for key, cents in sums.items() if cents > 0), key=lambda one: -one[1])
    return dict(debts)


def same_customer(customer: str) -> str:
    """Return by what a customer is known again."""
    return " ".join(customer.split()).casefold()


def best_day(entries: Iterable[Entry]) -> tuple[date, int] | None:
    """Return the day on which most was sold, and how much; the first of several. None when nothing was."""
    sums: dict[date, int] = defaultdict(int)
    for entry in entries:
        if entry.kind in (SALE, CREDIT_GIVEN):
            sums[entry.on] += entry.cents
    sold = [(on, cents) for on, cents in sorted(sums.items()) if cents > 0]
    return max(sold, key=lambda one: one[1], default=None)


# --- the tin --------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Count:
    """The cash that was counted, and what the book expects; None at the first count, which begins the tin."""

    counted_cents: int
    expected_cents: int | None

    @property
    def difference_cents(self) -> int:
        """Above zero there is more than the book says, below zero some is missing."""
        return 0 if self.expected_cents is None else self.counted_cents - self.expected_cents


def expected_cash(entries: Sequence[Entry]) -> int | None:
    """Return what should be in the tin: the last count and every movement since. None if nothing was counted.

    `entries` in the order in which they were written, none of them taken back.
    """
    places = [place for place, entry in enumerate(entries) if entry.kind == CASH_COUNTED]
    if not places:
        return None
    return entries[places[-1]].cents + totals(entries[places[-1] + 1 :]).cash_cents


# --- weeks ----------------------------------------------------------------------------------------------------
def monday_of(day: date) -> date:
    """Return the first day of the week of a day."""
    return day - timedelta(days=day.weekday())


def by_week(entries: Iterable[Entry]) -> dict[date, Totals]:
    """Return what each week came to, by its Monday, in order; weeks without a line are left out."""
    weeks: dict[date, list[Entry]] = defaultdict(list)
    for entry in entries:
        weeks[monday_of(entry.on)].append(entry)
    return {monday: totals(weeks[monday]) for monday in sorted(weeks)}


# --- a loan ---------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Affordability:
    """What the book says about an instalment. `share` is its part of an average week; None without a margin."""

    weeks: int
    margin_cents: int
    instalment_cents: int

    @property
    def is_known(self) -> bool:
        """Say whether enough weeks were written down."""
        return self.weeks >= FEWEST_WEEKS

    @property
    def share(self) -> Decimal | None:
        if self.margin_cents <= 0:
            return None
        return Decimal(self.instalment_cents) / Decimal(self.margin_cents)

    @property
    def fits(self) -> bool:
        """Say whether an average week carries it with room for bad ones."""
        return self.is_known and self.share is not None and self.share <= LARGEST_SHARE


def affordability(weeks: dict[date, Totals], owed_cents: int, days: int, today: date) -> Affordability:
    """Compare what a week leaves over, on average, with what a loan asks for in a week.

    Only weeks that are over and have lines count, the newest eight. A gap in the book is no week without income,
    so it does not count either. `owed_cents` is all that is to be paid back within `days`.
    """
    over = [totals for monday, totals in weeks.items() if monday + WEEK <= monday_of(today)][-MOST_WEEKS:]
    margin = Fraction(sum(week.profit_cents for week in over), len(over)) if over else Fraction(0)
    in_a_week = Fraction(owed_cents * 7, max(days, 7))
    return Affordability(len(over), money.round_half_up(margin), money.round_half_up(in_a_week))
