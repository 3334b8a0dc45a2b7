"""The longest that a business book may have to say, for measuring: nothing here is read from a database."""

from datetime import date, timedelta
from typing import Any

from lending.models import BookEntry
from lending.rules.business import Totals
from lending.selectors.business import Month
from ussd import samples
from ussd.engine import Sample
from ussd.trader import Trader

CUSTOMER = "{Wanjirũ}~Ñoñez|[0711]"


class LongestTrader(Trader):
    """A book put in place instead of read."""

    def __init__(self, totals: Totals | None = None, owed: bool = False) -> None:
        super().__init__(1, samples.AT, samples.DAY, "KES")
        self.totals, self.owes = totals or Totals(), owed

    def day(self) -> Totals:
        return self.totals

    def month(self, on: date) -> Month:
        best = (samples.DAY, samples.MOST_CENTS) if self.owes else None
        return Month(samples.DAY.replace(day=1), self.totals, best, samples.MOST_CENTS if self.owes else 0)

    def owed(self) -> dict[str, int]:
        return {f"{number}{CUSTOMER}": samples.MOST_CENTS for number in range(9)} if self.owes else {}

    def weeks(self) -> dict[date, Totals]:
        if not self.owes:
            return {}
        monday = samples.DAY - timedelta(days=samples.DAY.weekday())
        return {monday - timedelta(weeks=number): self.totals for number in range(8, 0, -1)}

    def last(self) -> BookEntry | None:
        return None


samples.FURTHER["trader"] = lambda: LongestTrader(Totals(sales_cents=samples.MOST_CENTS), owed=True)


def _sample(totals: Totals | None = None, owed: bool = True, **answers: Any) -> Sample:
    facts = samples.LongestFacts(trader=LongestTrader(totals, owed))
    return Sample(facts, samples.ANSWERS | {"customer": f"0{CUSTOMER}", **answers})


MOST = samples.MOST_CENTS
EARNED = Totals(sales_cents=MOST, expenses_cents=1)
SPENT = Totals(sales_cents=1, expenses_cents=MOST)
WRITTEN: dict[str, Any] = {"written": {"kind": "credit_given", "cents": MOST}, "undone_cents": MOST}


def traded() -> Sample:
    """Much was sold, and customers owe."""
    return _sample(EARNED, **WRITTEN)


def lost() -> Sample:
    """More was spent than sold: the minus takes room, too."""
    return _sample(SPENT, **WRITTEN)


def untraded() -> Sample:
    return _sample(owed=False)


def counted() -> Sample:
    return _sample(EARNED, count={"counted": MOST, "expected": 1})


def counted_less() -> Sample:
    return _sample(SPENT, count={"counted": 1, "expected": MOST})


def counted_first() -> Sample:
    return _sample(EARNED, count={"counted": MOST, "expected": None})


def fits() -> Sample:
    return _sample(Totals(sales_cents=99_999_999_999))


def too_much() -> Sample:
    return _sample(SPENT)
