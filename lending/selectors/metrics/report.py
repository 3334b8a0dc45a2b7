"""What a report is: named columns, each with its unit, its definition in words and its SQL, as of a date."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Any

from django.conf import settings
from django.db import connection, transaction

from lending.selectors import products
from lending.selectors.metrics.facts import FACTS

Row = tuple[Any, ...]


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


Parameters = Callable[[date], Mapping[str, Any]]


def as_of_that_day(on: date) -> dict[str, Any]:
    """Ask about the end of one day."""
    return {"days": [on]}


@dataclass(frozen=True)
class Report:
    """A named table of figures.

    `source` is what stands behind SELECT: FROM, GROUP BY, ORDER BY; `facts` are further named queries. A report
    that is more than one statement gives `compute` instead. `personal`: it names people and has no page.
    `is_listing`: it has a row for each loan and is not kept with the date.
    """

    name: str
    title: str
    words: str
    columns: tuple[Column, ...]
    source: str = ""
    facts: tuple[str, ...] = ()
    parameters: Parameters = as_of_that_day
    compute: Callable[[date], Iterable[Row]] | None = None
    personal: bool = False
    is_listing: bool = False

    @property
    def sql(self) -> str:
        """Return the whole statement."""
        selected = ", ".join(column.selected for column in self.columns)
        return f"WITH {', '.join((FACTS, *self.facts))} SELECT {selected} {self.source}"

    def rows(self, on: date) -> Iterator[Row]:
        """Yield the rows as of the end of a business date, in a fixed order."""
        if self.compute is not None:
            yield from self.compute(on)
        else:
            yield from ask(self.sql, on, self.parameters(on))

    def records(self, on: date) -> list[dict[str, Any]]:
        """Return the rows by column name."""
        names = [column.name for column in self.columns]
        return [dict(zip(names, row, strict=True)) for row in self.rows(on)]


def ask(sql: str, on: date, parameters: Mapping[str, Any], *, in_chunks: bool = False) -> Iterator[Row]:
    """Yield the rows of a statement over the facts.

    `in_chunks` leaves the rows with PostgreSQL until they are read: for a file with a row for each loan.
    """
    given = {"on": on, "zone": settings.TIME_ZONE, "home": home_currency(on), **parameters}
    with connection.chunked_cursor() if in_chunks else connection.cursor() as cursor:
        with _planned_for_whole_tables():
            cursor.execute(sql, given)
        while found := cursor.fetchmany(2000):
            yield from found


@contextmanager
def _planned_for_whole_tables() -> Iterator[None]:
    """Keep the planner from nested loops wherever it has another way.

    It cannot know how many rows a named query has, takes it for a handful, and goes through a table once for
    each row of another: hours instead of a second.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_nestloop = off")
        cursor.execute("SET LOCAL jit = off")  # what it refuses to do looks dear, and dear plans are compiled
        yield
        cursor.execute("SET LOCAL enable_nestloop = on")


def home_currency(on: date) -> str:
    """Return the currency of the country that this system serves.

    Raises:
        NothingInForce: there was no country pack yet.
    """
    return products.country_rules(settings.COUNTRY, on).currency


def share(part: str, whole: str) -> str:
    """Return the SQL of a share; of nothing it is NULL."""
    return f"({part})::numeric / nullif({whole}, 0)"
