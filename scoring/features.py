"""The numbers about an applicant as they stood at a moment, by one SQL statement (scoring/sources.py).

The same statement builds one row for a decision and, for loans from before the first model, the training set.

Repayments and payouts count from the operator's time. That we may learn of them a little later cannot tell a
training row from a served one: nobody applies while a loan of theirs is open. A receipt that is taken back after
a decision changes how a loan stood before it; what the decision saw is kept with it, and is what trains.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
from django.conf import settings
from django.db import connection

from lending.models import Application
from ml import events, features
from scoring.sources import ASKED, COLUMNS, SOURCES

Vector = npt.NDArray[np.float32]
# Rows per statement: large enough that the round trip is nothing, small enough to show progress.
BLOCK = 2_000


@dataclass(frozen=True, slots=True)
class Asked:
    """Whose features, as of when, and for what amount. `as_of` itself is already too late for a fact.

    application_id: the one that is decided, whose own words count; None where nobody has applied yet.
    """

    borrower_id: int
    as_of: datetime
    requested_cents: int
    application_id: int | None = None

    @classmethod
    def of(cls, application: Application) -> "Asked":
        """Ask for what is known when an application was handed in."""
        return cls(application.borrower_id, application.submitted_at, application.principal_cents, application.pk)


class UnknownBorrower(LookupError):
    """A row was asked for somebody who is not in the books."""


def build(asked: Sequence[Asked]) -> Vector:
    """Return (len(asked), n_features) float32 in the order of `ml.features.NAMES`, NaN where missing.

    Raises:
        UnknownBorrower: a borrower does not exist.
        ml.features.InvalidFeature: the books hold a value that cannot be true.
    """
    return features.check_rows(rows(asked))


def rows(asked: Sequence[Asked]) -> npt.NDArray[np.float64]:
    """Return what `build` returns before any number is held to its range."""
    blocks = [_block(asked[i : i + BLOCK]) for i in range(0, len(asked), BLOCK)]
    return np.concatenate(blocks) if blocks else np.zeros((0, len(features.NAMES)))


def build_one(asked: Asked) -> Vector:
    """Return the vector (n_features,) of one applicant."""
    return build([asked])[0]


def to_json(vector: Vector) -> dict[str, float | None]:
    """Return the vector by name, None where missing. JSON brings the very same float32 back."""
    return {
        name: None if np.isnan(value) else float(value) for name, value in zip(features.NAMES, vector, strict=True)
    }


def from_json(values: Mapping[str, float | None]) -> Vector:
    """Return what `to_json` was given, bit for bit.

    Raises:
        ml.features.InvalidFeature: a name is absent or unknown, or a value cannot be true.
    """
    return features.row(values)


def parameters(asked: Sequence[Asked]) -> dict[str, Any]:
    """Return what the statement that begins with `scoring.sources.ASKED` is told."""
    return {
        "borrowers": [row.borrower_id for row in asked],
        "moments": [row.as_of for row in asked],
        "amounts": [row.requested_cents for row in asked],
        "applications": [row.application_id for row in asked],
        "zone": settings.TIME_ZONE,
    }


def told(inputs: Mapping[str, Any]) -> tuple[Vector, events.Events]:
    """Return the vector (n_features,) and the events (128, 4) that a decision kept.

    Raises:
        ml.features.InvalidFeature, ml.events.InvalidEvents: what is kept cannot be.
    """
    return from_json(inputs["features"]), events.from_json(inputs.get("events", ()))


def _block(asked: Sequence[Asked]) -> npt.NDArray[np.float64]:
    with connection.cursor() as cursor:
        cursor.execute(SQL, parameters(asked))
        found = cursor.fetchall()
    if len(found) != len(asked):
        known = {position for position, *_ in found}
        unknown = [row.borrower_id for i, row in enumerate(asked, start=1) if i not in known]
        raise UnknownBorrower(f"no borrower {unknown[0]}")
    return np.array([values for _, *values in found], dtype=np.float64)


# Nothing typed by anybody is in this text: it is made of names and columns declared in code.
SQL = f"""
WITH asked AS ({ASKED})
SELECT position, {", ".join(f"({COLUMNS[name]})::float8 AS {name}" for name in features.NAMES)}
FROM asked {"".join(source.join for source in SOURCES)}
ORDER BY position
"""  # noqa: S608
