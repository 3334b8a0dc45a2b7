"""Many rows at once: PostgreSQL's COPY, beside anybody else who writes."""

import csv
import gc
import io
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from operator import attrgetter
from typing import Any

from django.db import connection, models

from lending.fields import EncryptedField

PIECE = 1 << 20


def reserve(model: type[models.Model], count: int) -> list[int]:
    """Return so many ids of a table that nobody else gets, in rising order.

    Who checks "no row below this id can appear any more" (ledger.settled_id) sees only those who hold a lock on
    the table: take one first where that matters.
    """
    table = model._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT nextval(pg_get_serial_sequence(%s, 'id')) FROM generate_series(1, %s)", [table, count]
        )
        return sorted(number for (number,) in cursor.fetchall())


def rows(model: type[models.Model], columns: Sequence[str], values: Iterable[Sequence[Any]]) -> None:
    """COPY rows into a table."""
    with connection.cursor() as cursor:
        copy(cursor, model, columns, as_csv(values))


def write(unsaved: Sequence[models.Model]) -> None:
    """COPY unsaved rows of one model. Either all of them have an id (see `reserve`), or none."""
    if not unsaved:
        return
    model, has_id = type(unsaved[0]), unsaved[0].pk is not None
    fields = [field for field in model._meta.concrete_fields if not field.primary_key or has_id]
    values_of = attrgetter(*(field.attname for field in fields))
    written = [(place, write) for place, field in enumerate(fields) if (write := _written(field))]
    found = []
    for row in unsaved:
        values = list(values_of(row))
        for place, as_text in written:
            values[place] = as_text(values[place])
        found.append(values)
    rows(model, [str(field.column) for field in fields], found)


def _written(field: Any) -> Callable[[Any], Any] | None:
    """Return what turns a value into what the column holds, where it is not the value itself."""
    if isinstance(field, models.JSONField):
        return json.dumps
    return field.get_prep_value if isinstance(field, EncryptedField) else None


def as_csv(rows: Iterable[Sequence[Any]]) -> io.BytesIO:
    """Return rows as `copy` reads them."""
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return io.BytesIO(text.getvalue().encode())


def copy(cursor: Any, model: type[models.Model], columns: Sequence[str], text: io.BytesIO) -> None:
    """COPY CSV into a table. An empty text is a value; only where a column may be null does nothing mean null."""
    filled = [str(field.column) for field in model._meta.concrete_fields if not field.null]
    never_null = [column for column in columns if column in filled]
    cursor.copy_expert(
        f"COPY {model._meta.db_table} ({', '.join(columns)}) FROM STDIN"
        f" WITH (FORMAT csv, FORCE_NOT_NULL ({', '.join(never_null)}))",
        text,
        PIECE,
    )


@contextmanager
def collector_at_rest() -> Iterator[None]:
    """Keep Python from searching a great many fresh rows for garbage again and again: it costs a third to a half
    of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
