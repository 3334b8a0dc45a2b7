"""What a hop leaves behind, in few statements: each is a way to the database while a customer waits."""

from collections.abc import Sequence
from functools import cache
from typing import Any

from django.db import connection
from django.db.models import Field, JSONField, Model

from lending.fields import EncryptedField
from lending.prepared import Statement
from ussd.models import Hop, Session

CONVERTED = (JSONField, EncryptedField)


def insert_once(session: Session) -> bool:
    """Insert a session, locked by that; False and nothing if there is one of that name."""
    row = _opening().row(_values(session, _fields(Session)))
    if row is None:
        return False
    session.id, session._state.adding = row[0], False
    return True


def move_on(session: Session, changed: Sequence[str], hop: Hop, *, durable: bool) -> None:
    """Store what a hop changed of its session, and the hop with its answer.

    One that changed nothing else need not be `durable`: its transaction is not waited for to reach the disk. If
    PostgreSQL crashes within the second, the hop is as if it had not come, and the next one is resynchronised.
    """
    changing = [_field(Session, name) for name in changed]
    row = _moving_on(tuple(changed)).row(
        [*_values(session, changing), session.id, *_values(hop, _fields(Hop))],
        before="" if durable else "SET LOCAL synchronous_commit = off; ",
    )
    assert row is not None, "an INSERT returns its row"
    hop.id, hop._state.adding = row[0], False


@cache
def _opening() -> Statement:
    fields = _fields(Session)
    return Statement(f"{_insert(Session, 1)} ON CONFLICT DO NOTHING RETURNING id", len(fields))


@cache
def _moving_on(changed: tuple[str, ...]) -> Statement:
    sets = ", ".join(f"{_field(Session, name).column} = ${place}" for place, name in enumerate(changed, 1))
    at = len(changed) + 1
    moved = f"WITH moved AS (UPDATE {Session._meta.db_table} SET {sets} WHERE id = ${at})"  # noqa: S608 - names of ours
    return Statement(f"{moved} {_insert(Hop, at + 1)} RETURNING id", at + len(_fields(Hop)))


def _insert(model: type[Model], first: int) -> str:
    columns = [str(field.column) for field in _fields(model)]
    places = ", ".join(f"${place}" for place in range(first, first + len(columns)))
    return f"INSERT INTO {model._meta.db_table} ({', '.join(columns)}) VALUES ({places})"  # noqa: S608 - names of ours


@cache
def _fields(model: type[Model]) -> list["Field[Any, Any]"]:
    return [field for field in model._meta.local_concrete_fields if not field.primary_key]


def _field(model: type[Model], name: str) -> "Field[Any, Any]":
    return next(field for field in _fields(model) if field.name == name)


def _values(row: Model, fields: Sequence["Field[Any, Any]"]) -> list[object]:
    """Return the values as the driver takes them: most as they are."""
    return [
        field.get_db_prep_save(getattr(row, field.attname), connection)
        if isinstance(field, CONVERTED)
        else getattr(row, field.attname)
        for field in fields
    ]
