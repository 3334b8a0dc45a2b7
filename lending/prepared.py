"""Statements that are worked out once: by Django into SQL, by PostgreSQL into a plan.

Django works out the SQL of a query each time it is asked, and PostgreSQL how to answer it; for a query of many
small parts that takes longer than the answer. Where a customer waits, a statement is prepared once on each
connection and carried out with other values. It lives as long as the connection, so no pooler that shares
connections between transactions may stand before PostgreSQL (docs/operations.md).
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, Generic, TypeVar
from weakref import WeakKeyDictionary

from django.db import DatabaseError, connection
from django.db.models import Model, QuerySet

M = TypeVar("M", bound=Model)

# Values that occur nowhere else in a query, by the type of what stands in their place.
MARKS: Mapping[type, Callable[[int], Any]] = {
    str: lambda number: f"mark {number}",
    int: lambda number: -1_000_003 - number,
    datetime: lambda number: datetime(1, 1, 2, tzinfo=UTC) + timedelta(seconds=number),
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
        """Carry the statement out and return its first row, if there is one; `before` goes along with it."""
        try:
            self.prepare()
            with connection.cursor() as cursor:
                cursor.execute(before + self.execute, values)
                found: tuple[Any, ...] | None = cursor.fetchone()
        except DatabaseError as error:
            if getattr(error.__cause__, "pgcode", None) in GONE_BAD:
                # What this connection knows is not what we think: Django closes it at the end of the request.
                connection.close_at = 0
            raise
        return found


class Prepared(Generic[M]):
    """A query over one model, with values of named types left open.

    `build` takes the marks by name and returns the query; it may annotate, and join nothing into the rows.
    """

    def __init__(self, build: Callable[..., "QuerySet[M]"], **values: type) -> None:
        self._build, self._types = build, values
        self._made: tuple[Statement, list[str], Callable[[Sequence[Any]], M]] | None = None

    def first(self, **values: Any) -> M | None:
        """Return the first row of the query with these values, if there is one."""
        statement, names, read = self._made or self._make()
        row = statement.row([values[name] for name in names])
        return None if row is None else read(row)

    def _make(self) -> tuple[Statement, list[str], Callable[[Sequence[Any]], M]]:
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
            written += (f"${len(names)}" if name else _literal(value)) + part
        missing = set(marks) - set(names)
        assert not missing, f"the query leaves out {missing}"
        self._made = Statement(written, len(names)), names, _reader(query)
        return self._made


def _reader(query: "QuerySet[M]") -> Callable[[Sequence[Any]], M]:
    """Return what makes a row of the query an instance of its model, as Django would."""
    fields = [field.attname for field in query.model._meta.concrete_fields]
    more = list(query.query.annotation_select)
    compiler = query.query.get_compiler(connection=connection)
    compiler.setup_query()
    converters = compiler.get_converters([column for column, _, _ in compiler.select])

    def read(row: Sequence[Any]) -> M:
        values = list(row)
        for place, (convert, expression) in converters.items():
            for one in convert:
                values[place] = one(values[place], expression, connection)
        found = query.model.from_db(connection.alias, fields, values[: len(fields)])
        for name, value in zip(more, values[len(fields) :], strict=True):
            setattr(found, name, value)
        return found

    return read


def _literal(value: Any) -> str:
    with connection.cursor() as cursor:
        written: bytes = cursor.mogrify("%s", [value])
    return written.decode()
