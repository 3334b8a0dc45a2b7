"""What a report is: named columns, each with its unit, its definition in words and its SQL, as of a date."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Any

from lending.selectors.metrics.asking import Row, ask
from lending.selectors.metrics.facts import statement

# For the words of every report that tells what was paid from what was not.
PAID_BY_NEW_LOAN = "What a new loan paid off of an old one counts as paid."


class Unit(StrEnum):
    """What a column's values are. Cents and counts are integers, a share is a Decimal with six places."""

    CENTS = "cents"
    COUNT = "count"
    DAYS = "days"
    SHARE = "share"
    DATE = "date"
    TEXT = "text"


_CAST = {
    Unit.CENTS: "({})::bigint",
    Unit.COUNT: "({})::bigint",
    Unit.DAYS: "({})::bigint",
    Unit.SHARE: "round(({})::numeric, 6)",
    Unit.DATE: "({})::date",
    Unit.TEXT: "({})::text",
}


@dataclass(frozen=True)
class Column:
    """One figure, or what it is broken down by. `sql` is an expression over what the report selects from."""

    name: str
    unit: Unit
    words: str
    sql: str = ""

    @property
    def selected(self) -> str:
        return f"{_CAST[self.unit].format(self.sql or self.name)} AS {self.name}"


def that_day(on: date) -> list[date]:
    """Ask about the end of one day."""
    return [on]


def no_more(on: date) -> dict[str, Any]:
    """Give no further parameters."""
    return {}


@dataclass(frozen=True)
class Report:
    """A named table of figures.

    `source` is what stands behind SELECT: FROM, GROUP BY, ORDER BY; `facts` are further named queries; `days`: at
    whose ends it looks at what stands. A report that is more than one statement gives `compute` instead.
    `personal`: it names people and has no page. `is_listing`: it has a row for each loan and is not kept with the
    date.
    """

    name: str
    title: str
    words: str
    columns: tuple[Column, ...]
    source: str = ""
    facts: tuple[str, ...] = ()
    days: Callable[[date], list[date]] = that_day
    parameters: Callable[[date], Mapping[str, Any]] = no_more
    compute: Callable[[date], Iterable[Row]] | None = None
    personal: bool = False
    is_listing: bool = False

    @property
    def sql(self) -> str:
        """Return the whole statement."""
        return statement(self._select, self.facts)

    @property
    def _select(self) -> str:
        return f"SELECT {', '.join(column.selected for column in self.columns)} {self.source}"

    def rows(self, on: date) -> Iterator[Row]:
        """Yield the rows as of the end of a business date, in a fixed order."""
        if self.compute is not None:
            yield from self.compute(on)
        else:
            yield from ask(self._select, on, days=self.days(on), facts=self.facts, **self.parameters(on))

    def records(self, on: date) -> list[dict[str, Any]]:
        """Return the rows by column name."""
        names = [column.name for column in self.columns]
        return [dict(zip(names, row, strict=True)) for row in self.rows(on)]


def share(part: str, whole: str) -> str:
    """Return the SQL of a share; of nothing it is NULL."""
    return f"({part})::numeric / nullif({whole}, 0)"
