"""Statements that are worked out once: by Django into SQL, by PostgreSQL into a plan.

Django works out the SQL of a query each time it is asked, and PostgreSQL how to answer it; for a query of many
small parts that takes longer than the answer. Where a customer waits, a statement is prepared once on each
connection and carried out with other values. It lives as long as the connection, so no pooler that shares
connections between transactions may stand before PostgreSQL (docs/operations.md).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import count
from typing import Any, Generic, TypeVar
from weakref import WeakKeyDictionary

from django.db import DatabaseError, connection
from django.db.models import Model, QuerySet
from django.db.models.query import get_related_populators

M = TypeVar("M", bound=Model)
N = TypeVar("N", bound=Model)

# Values that occur nowhere else in a query, by the type of what stands in their place.
MARKS: Mapping[type, Callable[[int], Any]] = {
    str: lambda number: f"mark {number}",
    int: lambda number: -1_000_003 - number,
    datetime: lambda number: datetime(1, 1, 2, tzinfo=UTC) + timedelta(seconds=number),
    date: lambda number: date(2, 1, 1) + timedelta(days=number),
}
# Unknown, prepared already, or of another result: a table was altered under us, or a pooler stands between.
GONE_BAD = ("26000", "42P05", "0A000")
_numbers = count(1)
# Which statements a connection to PostgreSQL knows.
_known: WeakKeyDictionary[Any, set[str]] = WeakKeyDictionary()


class Statement:
    """An SQL statement with places $1, $2, ... for its values."""

    def __init__(self, sql: str, places: int) -> None:
        self.name = f"jirani_{next(_numbers)}"
        self._sql = sql
        self.execute = f"EXECUTE {self.name} ({', '.join(['%s'] * places)})" if places else f"EXECUTE {self.name}"

    def prepare(self) -> None:
        """Let the connection in use know the statement; again and again does nothing."""
        connection.ensure_connection()
        known = _known.get(connection.connection)
        if known is None:
            known = _known[connection.connection] = set()
        if self.name not in known:
            with connection.cursor() as cursor:
                cursor.execute(f"PREPARE {self.name} AS {self._sql}")
            known.add(self.name)

    def row(self, values: Sequence[Any], before: str = "") -> tuple[Any, ...] | None:
        """Carry the statement out and return its row, if there is one; `before` goes along with it."""
        return next(iter(self.rows(values, before)), None)

    def rows(self, values: Sequence[Any], before: str = "") -> list[tuple[Any, ...]]:
        """Carry the statement out and return its rows; `before` goes along with it."""
        try:
            self.prepare()
            with connection.cursor() as cursor:
                cursor.execute(before + self.execute, values)
                found: list[tuple[Any, ...]] = cursor.fetchall()
        except DatabaseError as error:
            if getattr(error.__cause__, "pgcode", None) in GONE_BAD:
                # What this connection knows is not what we think: Django closes it at the end of the request.
                connection.close_at = 0
            raise
        return found


class Prepared(Generic[M]):
    """A query over one model, with values of named types left open.

    `build` takes the marks by name and returns the query; it may annotate and `select_related`.
    """

    def __init__(self, build: Callable[..., "QuerySet[M]"], **values: type) -> None:
        self._build, self._types = build, values
        self._made: tuple[Statement, Written[M]] | None = None

    def first(self, **values: Any) -> M | None:
        """Return the first row of the query with these values, if there is one."""
        return next(iter(self.all(**values)), None)

    def all(self, **values: Any) -> list[M]:
        """Return the rows of the query with these values."""
        if self._made is None:
            written = self.write()
            self._made = Statement(written.sql, len(written.names)), written
        statement, written = self._made
        return [written.read(row) for row in statement.rows([values[name] for name in written.names])]

    def write(self, places: int = 0) -> "Written[M]":
        """Return the query as SQL; its places follow so many of another one."""
        marks = {name: MARKS[kind](number) for number, (name, kind) in enumerate(self._types.items())}
        query = self._build(**marks)
        sql, params = query.query.sql_with_params()
        of_mark, names = {mark: name for name, mark in marks.items()}, []
        parts = [part.replace("%%", "%") for part in sql.split("%s")]
        assert len(parts) == len(params) + 1, "a query holds %s for each of its values and nowhere else"
        written = parts[0]
        for value, part in zip(params, parts[1:], strict=True):
            name = of_mark.get(value) if isinstance(value, tuple(MARKS)) else None
            if name:
                names.append(name)
            # What is the same each time is written out: the plan may rest on it.
            written += (f"${places + len(names)}" if name else _literal(value)) + part
        missing = set(marks) - set(names)
        assert not missing, f"the query leaves out {missing}"
        return Written(written, names, *_reader(query))


class Pair(Generic[M, N]):
    """Two queries asked as one, each of one row at most; neither hangs on the other."""

    def __init__(self, one: Prepared[M], other: Prepared[N]) -> None:
        self._queries = one, other
        self._made: tuple[Statement, Written[M], Written[N]] | None = None

    def first(self, **values: Any) -> tuple[M | None, N | None]:
        """Return the row of each query with these values, if there is one."""
        statement, one, other = self._made or self._make()
        row = statement.row([values[name] for name in [*one.names, *other.names]])
        assert row is not None, "a join to one row has one"
        mine, theirs = row[: one.width], row[one.width :]
        return (
            None if mine[0] is None else one.read(mine),
            None if theirs[0] is None else other.read(theirs),
        )

    def _make(self) -> "tuple[Statement, Written[M], Written[N]]":
        one = self._queries[0].write()
        other = self._queries[1].write(len(one.names))
        sql = f"""SELECT one.*, other.* FROM (SELECT) always
                    LEFT JOIN ({one.sql}) one ON true
                    LEFT JOIN ({other.sql}) other ON true"""  # noqa: S608 - made by Django
        self._made = Statement(sql, len(one.names) + len(other.names)), one, other
        return self._made


@dataclass(frozen=True)
class Written(Generic[M]):
    """A query as SQL: the names of its values by place, what makes a row of it, and how wide that is.

    The first column is the primary key.
    """

    sql: str
    names: Sequence[str]
    read: Callable[[Sequence[Any]], M]
    width: int


def _reader(query: "QuerySet[M]") -> tuple[Callable[[Sequence[Any]], M], int]:
    """Return what makes a row of the query an instance of its model, as Django would, and how wide a row is."""
    compiler = query.query.get_compiler(connection=connection)
    compiler.pre_sql_setup()
    select, made_of, more = compiler.select, compiler.klass_info, compiler.annotation_col_map
    assert select and made_of, "a query over a model selects its columns"
    converters = compiler.get_converters([column for column, _, _ in select])
    columns = made_of["select_fields"]
    fields = [select[place][0].target.attname for place in columns]
    first, after = columns[0], columns[-1] + 1
    # The stubs are of a later Django, which asks for one thing more.
    joined = get_related_populators(made_of, select, connection.alias)  # type: ignore[call-arg]

    def read(row: Sequence[Any]) -> M:
        values = list(row)
        for place, (convert, expression) in converters.items():
            for one in convert:
                values[place] = one(values[place], expression, connection)
        found = query.model.from_db(connection.alias, fields, values[first:after])
        for populator in joined:
            populator.populate(values, found)
        for name, place in (more or {}).items():
            setattr(found, name, values[place])
        return found

    return read, len(select)


def _literal(value: Any) -> str:
    with connection.cursor() as cursor:
        written: bytes = cursor.mogrify("%s", [value])
    return written.decode()
