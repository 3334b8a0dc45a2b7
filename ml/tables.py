"""A table to judge scorers on: numbers and categories as they came, what became of each row, and folds.

A directory holds `data.parquet`, `schema.json` (`label`, and `numeric` or `categorical` for each column) and, if
the split is given, `folds.csv` (`row`, `fold`: a number for cross-validation, or `train`, `test` and `unused` for
one split).
"""

import csv
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

Rows = npt.NDArray[np.int64]
FOLDS = 5
# A category of fewer rows than this is not told from the other rare ones.
LEAST_ROWS = 10
# So many categories of a column are told apart, the most frequent ones, unless somebody asks for fewer.
MOST_CATEGORIES = 32
MISSING = -1


class InvalidTable(ValueError):
    """A directory that cannot be read as a table, in words."""


@dataclass(frozen=True)
class Table:
    """n rows to learn from or to be judged on.

    numbers: (n, a) float64, NaN where missing. categories: (n, b) int32, place in the column's `texts`, -1 where
    missing. y: (n,) 0 or 1.
    """

    name: str
    numbers: npt.NDArray[np.float64]
    categories: npt.NDArray[np.int32]
    y: npt.NDArray[np.float32]
    number_names: tuple[str, ...]
    category_names: tuple[str, ...]
    texts: tuple[tuple[str, ...], ...]

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.y)

    def take(self, rows: Rows) -> "Table":
        """Return these rows."""
        return replace(self, numbers=self.numbers[rows], categories=self.categories[rows], y=self.y[rows])


@dataclass(frozen=True)
class Fold:
    """Rows to learn from and rows to be judged on."""

    name: str
    train: Rows
    test: Rows


def read(directory: Path) -> Table:
    """Return the table in a directory.

    Raises:
        InvalidTable: what is absent, or cannot be.
    """
    label, columns = _schema(directory / "schema.json")
    path = directory / "data.parquet"
    try:
        present = pq.read_schema(path).names
        if absent := [name for name in (label, *columns) if name not in present]:
            raise InvalidTable(f"{path} lacks {', '.join(absent)}")
        table = pq.read_table(path, columns=list(dict.fromkeys((*columns, label))))
    except (OSError, pa.ArrowException) as error:
        raise InvalidTable(f"{path}: {error}") from error
    numeric = tuple(name for name, kind in columns.items() if kind == "numeric" and name != label)
    categorical = tuple(name for name, kind in columns.items() if kind == "categorical" and name != label)
    y = _numbers(table, label)
    if not np.isin(y, (0, 1)).all() or len(set(y.tolist())) < 2:
        raise InvalidTable(f"{path}: {label} must be 0 and 1, both")
    found = [_categories(table, name) for name in categorical]
    return Table(
        name=directory.resolve().name,
        numbers=np.column_stack([_numbers(table, name) for name in numeric]) if numeric else np.zeros((len(y), 0)),
        categories=np.column_stack([codes for codes, _ in found]) if found else np.zeros((len(y), 0), np.int32),
        y=y.astype(np.float32),
        number_names=numeric,
        category_names=categorical,
        texts=tuple(texts for _, texts in found),
    )


def _schema(path: Path) -> tuple[str, dict[str, str]]:
    """Return the name of the label, and the kind of each column."""
    try:
        schema = json.loads(path.read_text())
        label, columns = str(schema.get("label", "label")), dict(schema["columns"])
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise InvalidTable(f"{path} must name the label, and the kind of each column: {error!r}") from error
    if wrong := [str(kind) for kind in columns.values() if kind not in ("numeric", "categorical")]:
        raise InvalidTable(f"{path}: a column is numeric or categorical, got {', '.join(wrong)}")
    return label, columns


def _numbers(table: Any, name: str) -> npt.NDArray[np.float64]:
    try:
        values = table.column(name).cast(pa.float64()).to_numpy(zero_copy_only=False)
    except (pa.ArrowException, KeyError) as error:
        raise InvalidTable(f"{name} must hold numbers: {error}") from error
    # What is infinite is no measurement: nothing was divided by.
    return np.where(np.isfinite(values), values, np.nan)


def _categories(table: Any, name: str) -> tuple[npt.NDArray[np.int32], tuple[str, ...]]:
    """Return the place of each row's text among the texts of a column, and these."""
    try:
        column = table.column(name).combine_chunks()
        if pa.types.is_floating(column.type):
            column = pc.if_else(pc.is_nan(column), None, column)
        coded = column.cast(pa.string()).dictionary_encode()
    except (pa.ArrowException, KeyError) as error:
        raise InvalidTable(f"{name} must hold categories: {error}") from error
    places = coded.indices.fill_null(MISSING).to_numpy(zero_copy_only=False).astype(np.int32)
    return places, tuple(coded.dictionary.to_pylist())


def folds_of(table: Table, path: Path | None, *, seed: int = 0) -> list[Fold]:
    """Return the folds of a file, or five stratified ones where there is none.

    Raises:
        InvalidTable: a row or a fold that cannot be, or a fold without two rows of each outcome.
    """
    if path is None:
        return _found(table, stratified(table.y, FOLDS, seed=seed).astype(str).astype(object))
    try:
        with path.open(newline="") as file:
            lines = [(int(line["row"]), line["fold"].strip()) for line in csv.DictReader(file)]
    except (OSError, KeyError, TypeError, ValueError, AttributeError, csv.Error) as error:
        raise InvalidTable(f"{path} needs the columns row and fold: {error!r}") from error
    named = np.full(len(table), "unused", dtype=object)
    if len({row for row, _ in lines}) < len(lines):
        raise InvalidTable(f"{path}: a row stands there twice")
    for row, fold in lines:
        if not 0 <= row < len(table):
            raise InvalidTable(f"{path}: row {row} is not one of {len(table)}")
        named[row] = fold
    return _found(table, named)


def _found(table: Table, named: npt.NDArray[Any]) -> list[Fold]:
    names = sorted(set(named.tolist()) - {"unused"})
    if {"train", "test"} & set(names):
        if names != ["test", "train"]:
            raise InvalidTable(f"one split has train, test and unused, got {', '.join(names)}")
        folds = [Fold("test", np.flatnonzero(named == "train"), np.flatnonzero(named == "test"))]
    else:
        known = named != "unused"
        folds = [
            Fold(name, np.flatnonzero(known & (named != name)), np.flatnonzero(named == name)) for name in names
        ]
    for fold in folds:
        for part in (fold.train, fold.test):
            if min((table.y[part] == outcome).sum() for outcome in (0, 1)) < 2:
                raise InvalidTable(f"fold {fold.name} needs both outcomes twice to learn from and to be judged on")
    if not folds:
        raise InvalidTable("there is no fold")
    return folds


def stratified(y: npt.NDArray[np.floating], parts: int, *, seed: int) -> Rows:
    """Return (n,) the part of each row, 0 to parts - 1: equal in size, and in the share of each outcome."""
    rng = np.random.default_rng(seed)
    found = np.zeros(len(y), np.int64)
    for outcome in (0, 1):
        rows = rng.permutation(np.flatnonzero(y == outcome))
        found[rows] = (np.arange(len(rows)) + outcome) % parts
    return found


@dataclass(frozen=True)
class Vocabulary:
    """Which texts of each column are told apart, by their number; 0 is what is rare, or was never seen."""

    known: tuple[dict[str, int], ...]

    @classmethod
    def learn(cls, table: Table, most: int = MOST_CATEGORIES) -> "Vocabulary":
        """Number the texts by how many rows have them; by outcomes, these would come back in the numbers."""
        columns = zip(table.categories.T, table.texts, strict=True)
        return cls(tuple(_numbered(places, texts, most) for places, texts in columns))

    def codes(self, table: Table) -> npt.NDArray[np.float64]:
        """Return the numbers (n, b), NaN where missing."""
        found = np.full(table.categories.shape, np.nan)
        for place, (known, texts) in enumerate(zip(self.known, table.texts, strict=True)):
            # Last, where the place of a missing text points.
            of_texts = np.array([*(known.get(text, 0) for text in texts), np.nan])
            found[:, place] = of_texts[table.categories[:, place]]
        return found


def _numbered(places: npt.NDArray[np.int32], texts: tuple[str, ...], most: int) -> dict[str, int]:
    counts = np.bincount(places[places != MISSING], minlength=len(texts))
    frequent = [place for place in np.argsort(-counts, kind="stable") if counts[place] >= LEAST_ROWS]
    return {texts[place]: number for number, place in enumerate(frequent[:most], 1)}
