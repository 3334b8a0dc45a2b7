"""How the facts are asked: one statement at a time, or, for many reports of one date, gathered first."""

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import date
from typing import Any

from django.conf import settings
from django.db import connection, transaction

from lending.selectors import products
from lending.selectors.metrics.facts import statement

Row = tuple[Any, ...]

# What most reports read, in the order in which one is made of the others.
GATHERED = ("lent", "item", "cover", "first_plan", "stood")
# More than PostgreSQL's own, so that most sorts of a middling book stay in memory; less than would hurt a server.
WORK_MEM = "64MB"
_GATHERED_DAYS: ContextVar[frozenset[date]] = ContextVar("gathered_days", default=frozenset())


def ask(
    select: str,
    on: date,
    *,
    days: Iterable[date] | None = None,
    facts: Iterable[str] = (),
    in_chunks: bool = False,
    **parameters: Any,
) -> Iterator[Row]:
    """Yield the rows of a statement over the facts and over further named queries, as of the end of a day.

    `days`: those of `standing`; by default that day alone. `in_chunks` leaves the rows with PostgreSQL until they
    are read: for a file with a row for each loan.
    """
    asked = {on} if days is None else set(days)
    if gathered := _GATHERED_DAYS.get():
        assert asked <= gathered, f"standing was gathered for other days than {sorted(asked - gathered)}"
    sql = statement(select, facts, tables=GATHERED if gathered else ())
    with connection.chunked_cursor() if in_chunks else connection.cursor() as cursor:
        with _planned_for_whole_tables():
            cursor.execute(sql, _given(on, asked) | parameters)
        while found := cursor.fetchmany(2000):
            yield from found


@contextmanager
def gathered(on: date, days: Iterable[date]) -> Iterator[None]:
    """Let all that is asked inside read the facts from temporary tables, into which they are read once, here.

    `days`: all those that will be asked about. The tables have the names that the facts have as queries, so what
    is asked is the same; nothing is left of them.

    Raises:
        NothingInForce: there was no country pack yet.
    """
    asked = set(days)
    given = _given(on, asked)
    with transaction.atomic(), connection.cursor() as cursor:
        with _planned_for_whole_tables():
            for place, name in enumerate(GATHERED):
                query = statement(f"SELECT * FROM {name}", tables=GATHERED[:place])  # noqa: S608
                cursor.execute(f"CREATE TEMPORARY TABLE {name} ON COMMIT DROP AS {query}", given)
                cursor.execute(f"ANALYZE {name}")
        token = _GATHERED_DAYS.set(frozenset(asked))
        try:
            yield
        finally:
            _GATHERED_DAYS.reset(token)
        cursor.execute(f"DROP TABLE {', '.join(GATHERED)}")


def _given(on: date, days: Collection[date]) -> dict[str, Any]:
    return {"on": on, "zone": settings.TIME_ZONE, "home": home_currency(on), "days": sorted(days)}


@contextmanager
def one_picture() -> Iterator[None]:
    """Read everything as of one moment; inside somebody's transaction that is already theirs to choose."""
    nested = connection.in_atomic_block
    with transaction.atomic():
        if not nested:
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        yield


@contextmanager
def _planned_for_whole_tables() -> Iterator[None]:
    """Keep the planner from nested loops wherever it has another way.

    It cannot know how many rows a named query has, takes it for a handful, and goes through a table once for
    each row of another: hours instead of a second.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_nestloop = off")
        cursor.execute("SET LOCAL jit = off")  # what it refuses to do looks dear, and dear plans are compiled
        cursor.execute(f"SET LOCAL work_mem = '{WORK_MEM}'")
        yield
        cursor.execute("SET LOCAL enable_nestloop = on")
        cursor.execute("SET LOCAL work_mem TO DEFAULT")


def home_currency(on: date) -> str:
    """Return the currency of the country that this system serves.

    Raises:
        NothingInForce: there was no country pack yet.
    """
    return products.country_rules(settings.COUNTRY, on).currency
