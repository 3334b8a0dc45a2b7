"""A data set of past decisions: what was known then, and how each loan ended."""

import hashlib
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ml import features
from ml.events import CODES, KINDS, LAST, Events, none

OFFERS = ("microloan", "savings", "neither")
MICROLOAN, SAVINGS, NEITHER = range(3)
UNKNOWN_OFFER = -1
DAY = 86_400
# Rows that are worked on at once, so that memory stays bounded.
BLOCK = 65_536
# The events of a loan in a file.
PACKED = pa.binary(LAST * CODES)
TARGETS = ("id", "decided_at", "default", "repaid_share", "best_offer")


class InvalidDataset(ValueError):
    """Rows that cannot be learnt from as they are."""


@dataclass(frozen=True)
class Dataset:
    """Loans with their vector as of the decision and their outcome, in any order.

    x: (n, n_features) float32, NaN where missing. default: (n,) 0 or 1, ever over 30 days late.
    repaid_share: (n,) 0..1 of what was owed, NaN where unknown. best_offer: (n,) index into OFFERS, -1 where
    unknown. decided_at: (n,) whole seconds since 1970 UTC. ids: (n,) text, the application's own.
    repay_time: (n,) until it was repaid, as a share 0..1 of the time from payout to 30 days after the due date, 1
    where it was not by then, NaN where unknown. events: (n, 128, 4) as `ml.events` says. Either may be absent.
    """

    x: npt.NDArray[np.float32]
    default: npt.NDArray[np.float32]
    repaid_share: npt.NDArray[np.float32]
    best_offer: npt.NDArray[np.int64]
    decided_at: npt.NDArray[np.int64]
    ids: npt.NDArray[np.str_]
    names: tuple[str, ...] = features.NAMES
    repay_time: npt.NDArray[np.float32] | None = None
    events: Events | None = None

    def __post_init__(self) -> None:
        """Refuse shapes and labels that no book can have.

        Raises:
            InvalidDataset: says which column and what was needed.
        """
        n = len(self.x)
        if self.x.ndim != 2 or self.x.shape[1] != len(self.names):
            raise InvalidDataset(f"x must be (n, {len(self.names)}), got {self.x.shape}")
        for name in ("default", "repaid_share", "best_offer", "decided_at", "ids"):
            if getattr(self, name).shape != (n,):
                raise InvalidDataset(f"{name} must be ({n},), got {getattr(self, name).shape}")
        if np.isinf(self.x).any():
            raise InvalidDataset(f"{self.names[int(np.isinf(self.x).any(axis=0).argmax())]} must be finite")
        if not np.isin(self.default, (0, 1)).all():
            raise InvalidDataset("default must be 0 or 1")
        if ((self.repaid_share < 0) | (self.repaid_share > 1)).any():
            raise InvalidDataset("repaid_share must be from 0 to 1, or missing")
        self._refuse_what_may_be_absent(n)
        if ((self.best_offer < UNKNOWN_OFFER) | (self.best_offer >= len(OFFERS))).any():
            raise InvalidDataset(f"best_offer must be from {UNKNOWN_OFFER} to {len(OFFERS) - 1}")

    def _refuse_what_may_be_absent(self, n: int) -> None:
        time, events = self.repay_time, self.events
        if time is not None and (time.shape != (n,) or ((time < 0) | (time > 1)).any()):
            raise InvalidDataset(f"repay_time must be ({n},), from 0 to 1 or missing")
        if events is None:
            return
        if events.shape != (n, LAST, CODES) or events.dtype != np.uint8:
            raise InvalidDataset(f"events must be ({n}, {LAST}, {CODES}) of uint8, got {events.shape}")
        if (events[..., 0] > len(KINDS)).any():
            raise InvalidDataset(f"events must be of kinds up to {len(KINDS)}")

    def __len__(self) -> int:
        """Return the number of loans."""
        return len(self.x)

    def take(self, rows: npt.NDArray[Any] | slice) -> "Dataset":
        """Return the loans at these positions, or where this mask is true; a slice copies nothing."""
        taken: dict[str, Any] = {name: values[rows] for name, values in self.columns().items()}
        return replace(self, **taken)

    @property
    def told(self) -> tuple[npt.NDArray[Any], ...]:
        """Return what a model is told of the loans: x, and the events where there are any."""
        return (self.x,) if self.events is None else (self.x, self.events)

    def columns(self) -> dict[str, npt.NDArray[Any]]:
        """Return the arrays that are there by name, a loan a row in each."""
        found = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "names"}
        return {name: values for name, values in found.items() if values is not None}

    def in_time_order(self) -> "Dataset":
        """Return the same loans, oldest decision first; ties by id, so that any shuffle ends the same.

        Loans that are in order are not copied: a million take 400 MB.
        """
        order = np.lexsort((self.ids, self.decided_at))
        return self if np.array_equal(order, np.arange(len(self))) else self.take(order)

    def after(self, seconds: int) -> "Dataset":
        """Return the loans decided later than this moment (seconds since 1970 UTC)."""
        return self.take(self.decided_at > seconds)

    def split(self, shares: tuple[float, ...], *, gap_days: float = 0) -> list["Dataset"]:
        """Return consecutive parts in time order, one per share; shares are normalised.

        With `gap_days`, loans decided in so many days before the next part begins are dropped from a part:
        their outcome was not known yet on the day when that next part was decided.
        """
        ordered = self.in_time_order()
        edges = np.round(np.cumsum((0, *shares)) / sum(shares) * len(self)).astype(int)
        parts = [ordered.take(slice(a, b)) for a, b in pairwise(edges)]
        for i, later in enumerate(parts[1:]):
            if len(later):
                known = later.decided_at[0] - gap_days * DAY
                parts[i] = parts[i].take(slice(np.searchsorted(parts[i].decided_at, known, side="right")))
        return parts

    def sha256(self) -> str:
        """Return the digest of names, numbers and outcomes in time order, however the file was packed."""
        ordered, digest = self.in_time_order(), hashlib.sha256()
        digest.update("\n".join((*self.names, "", *ordered.ids)).encode())
        known = (ordered.x, ordered.default, ordered.repaid_share)
        for column in known if ordered.repay_time is None else (*known, ordered.repay_time):
            for at in range(0, len(self), BLOCK):
                values = column[at : at + BLOCK]
                # One bit pattern for every NaN: the many that exist are the same missing value.
                digest.update(np.where(np.isnan(values), np.float32("nan"), values).astype("<f4").tobytes())
        if ordered.events is not None:
            digest.update(np.ascontiguousarray(ordered.events).data)
        for whole in (ordered.best_offer, ordered.decided_at):
            digest.update(whole.astype("<i8").tobytes())
        return digest.hexdigest()

    def save(self, path: Path) -> None:
        """Write one Parquet file: id, decided_at, outcomes, events, then one column per feature."""
        columns: dict[str, Any] = {
            "id": self.ids.tolist(),
            "decided_at": self.decided_at,
            "default": self.default.astype(np.int8),
            "repaid_share": self.repaid_share,
            "best_offer": self.best_offer.astype(np.int8),
        }
        if self.repay_time is not None:
            columns["repay_time"] = self.repay_time
        if self.events is not None:
            packed = pa.py_buffer(np.ascontiguousarray(self.events))
            columns["events"] = pa.FixedSizeBinaryArray.from_buffers(PACKED, len(self), [None, packed])
        columns |= {name: self.x[:, i] for i, name in enumerate(self.names)}
        pq.write_table(pa.table(columns), path, compression="zstd")


def load(path: Path, *, names: tuple[str, ...] = features.NAMES) -> Dataset:
    """Return the data set in a Parquet file that `Dataset.save` or any other tool wrote.

    Nulls count as missing. Columns that are neither an outcome, `events` nor in `names` are not read; `repay_time`
    and `events` (128 times 4 bytes a loan) may be absent.

    Raises:
        InvalidDataset: a column is absent, or its values cannot be.
    """
    present = set(pq.read_schema(path).names)
    if absent := [name for name in (*TARGETS, *names) if name not in present]:
        raise InvalidDataset(f"{path.name} lacks the columns {', '.join(absent)}")

    def column(name: str) -> Any:
        return pq.read_table(path, columns=[name]).column(name)

    def numbers(name: str, kind: Any) -> npt.NDArray[Any]:
        values = column(name).cast(pa.float64()).to_numpy(zero_copy_only=False)
        if kind is np.int64 and np.isnan(values).any():
            raise InvalidDataset(f"{name} must not be missing")
        return values.astype(kind)

    # A column at a time: the table as a whole would be held twice over.
    x = np.empty((pq.read_metadata(path).num_rows, len(names)), np.float32)
    for place, name in enumerate(names):
        x[:, place] = numbers(name, np.float32)
    return Dataset(
        x=x,
        default=numbers("default", np.float32),
        repaid_share=numbers("repaid_share", np.float32),
        best_offer=numbers("best_offer", np.int64),
        decided_at=numbers("decided_at", np.int64),
        ids=np.array([str(value) for value in column("id").to_pylist()], dtype=np.str_),
        names=names,
        repay_time=numbers("repay_time", np.float32) if "repay_time" in present else None,
        events=_events(column("events")) if "events" in present else None,
    )


def _events(column: Any) -> Events:
    """Return the events of each loan; a null is somebody to whom nothing has happened."""
    try:
        packed = pc.fill_null(column.cast(PACKED), pa.scalar(bytes(LAST * CODES), PACKED))
    except pa.ArrowException as error:
        raise InvalidDataset(f"events must be {LAST * CODES} bytes a loan: {error}") from error
    parts = [np.frombuffer(chunk.buffers()[1], np.uint8).reshape(-1, LAST, CODES) for chunk in packed.chunks]
    taken = [part[chunk.offset :][: len(chunk)] for part, chunk in zip(parts, packed.chunks, strict=True)]
    return np.concatenate([none(0), *taken])
