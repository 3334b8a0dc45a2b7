"""What a hop leaves behind, in one statement: each is a way to the database while a customer waits.

Nothing is stored if the session has answered another hop since it was read, whoever was faster: PostgreSQL says so.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

from django.db import connection
from django.db.models import CharField, Field, JSONField, Model

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


def begin(session: Session, hop: Hop) -> bool:
    """Insert a session together with its first hop; False and nothing if there is one of that name."""
    row = _beginning().row([*_values(session, _fields(Session)), *_values(hop, _answered())], before=HURRIED)
    if row is None:
        return False
    session.id, hop.session_id, hop.id = row[0], row[0], row[1]
    session._state.adding = hop._state.adding = False
    return True


def move_on(session: Session, changed: Sequence[str], hop: Hop, *, durable: bool) -> bool:
    """Store what a hop changed of its session, and the hop with its answer; False and nothing if it was not next.

    One that changed nothing else need not be `durable`: its transaction is not waited for to reach the disk. If
    PostgreSQL crashes within the second, the hop is as if it had not come, and the next one is resynchronised.
    """
    statement, changing = _moving_on(tuple(changed))
    row = statement.row(
        [*_values(session, changing), session.id, hop.position - 1, *_values(hop, _answered())],
        before="" if durable else HURRIED,
    )
    if row is None:
        return False
    hop.id, hop._state.adding = row[1], False
    return True


# Ends with the transaction that the statement is in, or is.
HURRIED = "SET LOCAL synchronous_commit = off; "


@cache
def _opening() -> Statement:
    return Statement(f"{_insert_session()} ON CONFLICT DO NOTHING RETURNING id", len(_fields(Session)))


@cache
def _beginning() -> Statement:
    stored = f"{_insert_session()} ON CONFLICT DO NOTHING RETURNING id"
    return _with_hop(stored, len(_fields(Session)))


@cache
def _moving_on(changed: tuple[str, ...]) -> tuple[Statement, list["Field[Any, Any]"]]:
    fields = [next(field for field in _fields(Session) if field.name == name) for name in changed]
    sets = ", ".join(f"{field.column} = ${place}" for place, field in enumerate(fields, 1))
    at = len(fields) + 1
    is_next = f"id = ${at} AND hops_answered = ${at + 1}"
    stored = f"UPDATE {Session._meta.db_table} SET {sets} WHERE {is_next} RETURNING id"  # noqa: S608 - names of ours
    return _with_hop(stored, at + 1), fields


def _with_hop(stored: str, places: int) -> Statement:
    """Return a statement that stores a session, after so many places, and inserts the hop if it did."""
    fields = _answered()
    columns = ", ".join(str(field.column) for field in fields)
    values = ", ".join(f"${place}::{_type(field)}" for place, field in enumerate(fields, places + 1))
    return Statement(
        f"WITH stored AS ({stored}) INSERT INTO {Hop._meta.db_table} (session_id, {columns})"  # noqa: S608 - names of ours
        f" SELECT id, {values} FROM stored RETURNING session_id, id",
        places + len(fields),
    )


def _type(field: "Field[Any, Any]") -> str:
    """Return what a value is until it is in its column, which refuses what is too long."""
    return "text" if isinstance(field, CharField) else str(field.db_type(connection))


def _insert_session() -> str:
    columns = [str(field.column) for field in _fields(Session)]
    places = ", ".join(f"${place}" for place in range(1, len(columns) + 1))
    return f"INSERT INTO {Session._meta.db_table} ({', '.join(columns)}) VALUES ({places})"  # noqa: S608 - names of ours


@cache
def _answered() -> list["Field[Any, Any]"]:
    """Return the fields of a hop but for its session."""
    return [field for field in _fields(Hop) if field.name != "session"]


@cache
def _fields(model: type[Model]) -> list["Field[Any, Any]"]:
    return [field for field in model._meta.local_concrete_fields if not field.primary_key]


def _values(row: Model, fields: Sequence["Field[Any, Any]"]) -> list[object]:
    """Return the values as the driver takes them: most as they are."""
    return [
        field.get_db_prep_save(getattr(row, field.attname), connection)
        if isinstance(field, CONVERTED)
        else getattr(row, field.attname)
        for field in fields
    ]
