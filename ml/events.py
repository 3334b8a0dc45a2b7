"""What happened to an applicant, one thing after the other: the last 128 events before a decision.

Each event is four small whole numbers: its kind, how long ago it was, how long after the event of the same kind
before it, and its amount; the last three on a scale of logarithms, since between an hour and a day lies as much as
between a month and two years. This file is the only list of kinds; the SQL that reads them follows it
(scoring/events.py). Importing it is cheap: NumPy only.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

# (n, LAST, CODES), newest first; what is left over at the end is all 0.
Events = npt.NDArray[np.uint8]
Whole = npt.NDArray[np.int64]

LAST = 128
KIND, AGE, GAP, AMOUNT = range(4)
CODES = 4
# The earliest of its kind among the events that are seen.
NO_GAP = 255


class InvalidEvents(ValueError):
    """Events that nobody has declared, or codes that cannot be."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of event. promise: at -1 one more never raises the chance of default, at 0 nothing is promised."""

    name: str
    source: str  # table/moment
    promise: int = 0


# A code of an event is its place in this list, from 1 on; 0 is no event.
KINDS = (
    Kind("paid_out", "loan/disbursed_at"),
    Kind("repaid_in_time", "repayment/received_at", promise=-1),
    Kind("repaid_late", "repayment/received_at"),
    Kind("saved", "savings movement/moved_at", promise=-1),
    Kind("withdrawn", "savings movement/moved_at"),
    Kind("came_in", "wallet movement/moved_at"),
    Kind("went_out", "wallet movement/moved_at"),
    Kind("airtime", "wallet movement/moved_at"),
    Kind("sold", "book entry/recorded_at"),
    Kind("spent", "book entry/recorded_at"),
    Kind("applied", "application/submitted_at"),
)
NAMES = tuple(kind.name for kind in KINDS)
CODE_OF = {name: code for code, name in enumerate(NAMES, 1)}
PROMISES = np.array([kind.promise for kind in KINDS])


def _edges(steps: int, unit: int) -> Whole:
    """Return the least whole number of each code from 1 on: so many codes to a doubling of (1 + number / unit).

    Whole edges, because the logarithm of a number may differ by its last bit from one processor to another.
    """
    return np.ceil(unit * (2 ** (np.arange(1, NO_GAP) / steps) - 1)).astype(np.int64)


# 12 codes to a doubling of hours end beyond a century, 7 to a doubling of cents beyond any loan.
SECONDS_EDGES, CENTS_EDGES = _edges(12, 3_600), _edges(7, 1)


def coded(rows: int, row: Whole, kind: Whole, seconds: Whole, cents: Whole) -> Events:
    """Return the codes (rows, LAST, CODES) of events (m,), which come row by row and newest first.

    row: whose event it is, from 0 on; at most LAST of one. seconds: before the decision.
    """
    first = np.searchsorted(row, row, side="left")
    codes = np.zeros((rows, LAST, CODES), np.uint8)
    each = np.column_stack([
        kind, np.searchsorted(SECONDS_EDGES, seconds, side="right"), _gaps(row, kind, seconds),
        np.searchsorted(CENTS_EDGES, cents, side="right"),
    ])  # fmt: skip
    codes[row, np.arange(len(row)) - first] = each
    return codes


def _gaps(row: Whole, kind: Whole, seconds: Whole) -> Whole:
    """Return the code of the time since the event of the same kind before each one (m,)."""
    order = np.lexsort((np.arange(len(row)), kind, row))
    before = np.full(len(row), NO_GAP)
    same = (np.diff(row[order]) == 0) & (np.diff(kind[order]) == 0)
    gaps = np.diff(seconds[order])[same]
    before[order[:-1][same]] = np.searchsorted(SECONDS_EDGES, gaps, side="right")
    return before


def check(codes: Events, rows: int) -> None:
    """Hold events to what those of so many rows, or of one for all of them, can be.

    Raises:
        InvalidEvents: another shape or type, or a kind that nobody has declared.
    """
    if codes.shape not in ((rows, LAST, CODES), (1, LAST, CODES)) or codes.dtype != np.uint8:
        shape = f"({rows}, {LAST}, {CODES})"
        raise InvalidEvents(f"events must be {shape} of uint8, got {codes.shape} of {codes.dtype}")
    if (codes[..., KIND] > len(KINDS)).any():
        raise InvalidEvents(f"events must be of kinds up to {len(KINDS)}")


def none(rows: int) -> Events:
    """Return the codes of people to whom nothing has happened."""
    return np.zeros((rows, LAST, CODES), np.uint8)


def to_json(codes: Events) -> list[list[str | int]]:
    """Return one applicant's events (LAST, CODES) as lists of name, age, gap and amount, the newest first."""
    return [[NAMES[kind - 1], *map(int, rest)] for kind, *rest in codes.tolist() if kind]


def from_json(listed: Sequence[Sequence[str | int]]) -> Events:
    """Return (LAST, CODES): what `to_json` was given.

    Raises:
        InvalidEvents: more events than are kept, an unknown kind, or a code that is none.
    """
    codes = none(1)[0]
    if len(listed) > LAST:
        raise InvalidEvents(f"events must be at most {LAST}, got {len(listed)}")
    for place, event in enumerate(listed):
        name, *rest = event
        if name not in CODE_OF or len(rest) != CODES - 1 or any(code not in range(256) for code in rest):
            raise InvalidEvents(f"an event must be a kind and three codes from 0 to 255, got {event!r}")
        codes[place] = CODE_OF[name], *rest
    return codes
