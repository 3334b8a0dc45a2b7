"""The files of a lender who moves in, checked row by row and sorted by borrower.

Files come in any order and of any size, so nothing is held in memory: rows go through temporary tables, which
end with the connection. A national ID lies there as it does everywhere, sealed and as a blind index.

Source: docs/domain/history.md.
"""

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
from django.db import connection

from lending.models import Borrower
from lending.rules.history import (
    BORROWERS,
    LOANS,
    REPAYMENTS,
    Clock,
    Column,
    Problem,
    Row,
    columns_of,
    read_row,
)
from lending.services.people import identity_index

FILES = (BORROWERS, LOANS, REPAYMENTS)
CHUNK = 5_000


class FilesRefused(Exception):
    """The files cannot be worked on as a whole: one is missing, or not what its name says."""


class RowsOfNobody(Exception):
    """Rows do not say whose they are, so whoever is brought in might lack them. Nothing is brought in."""


Report = Callable[[Problem], None]


@dataclass
class Found:
    """How many rows were read, and how many problems they have."""

    rows: int = 0
    problems: int = 0
    of_nobody: int = 0
    ignored: dict[str, list[str]] = field(default_factory=dict)


def paths_in(directory: Path) -> dict[str, Path]:
    """Return the three files of a directory.

    Raises:
        FilesRefused: one is missing or there twice.
    """
    found = {}
    for file in FILES:
        there = [path for end in ("csv", "parquet") if (path := directory / f"{file}.{end}").is_file()]
        if len(there) != 1:
            came = " and ".join(path.name for path in there) or "neither"
            raise FilesRefused(f"{directory} must hold {file}.csv or {file}.parquet, got {came}")
        found[file] = there[0]
    return found


# --- reading ----------------------------------------------------------------------------------------------
Cells = tuple[int, Mapping[str, object], tuple[Problem, ...]]


def _cells_of(path: Path, columns: Iterable[Column], found: Found) -> Iterator[Cells]:
    """Yield line, cells by column and what is wrong with the row as a whole.

    Raises:
        FilesRefused: it is no such file, or a needed column is missing.
        RowsOfNobody: a quote is not closed, so that rows can no longer be told apart.
    """
    try:
        yield from (_csv if path.suffix == ".csv" else _parquet)(path, list(columns), found)
    except (OSError, pyarrow.ArrowException) as error:
        raise FilesRefused(f"{path.name} cannot be read: {str(error)[:200]}") from None


def _csv(path: Path, columns: list[Column], found: Found) -> Iterator[Cells]:
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as stream:
        reader = csv.reader(stream, strict=True)
        header = [name.strip() for name in _next(reader, path) or []]
        _check_header(path, header, columns, found)
        line = reader.line_num
        while (row := _next(reader, path)) is not None:
            line += 1
            if reader.line_num != line:
                raise RowsOfNobody(f"{path.name}:{line}: a row must be on one line, is a quote not closed?")
            if row:
                yield line, dict(zip(header, row, strict=False)), _wrong_with(path, line, header, row)


def _next(reader: Any, path: Path) -> list[str] | None:
    try:
        return next(reader, None)
    except csv.Error as error:
        raise RowsOfNobody(f"{path.name}:{reader.line_num}: must be a row of CSV: {error}") from None


def _wrong_with(path: Path, line: int, header: list[str], row: list[str]) -> tuple[Problem, ...]:
    if len(row) != len(header):
        return (Problem(path.stem, line, "row", f"of {len(header)} cells", f"{len(row)} cells"),)
    if any("\ufffd" in cell for cell in row):
        return (Problem(path.stem, line, "row", "text in UTF-8"),)
    return ()


def _parquet(path: Path, columns: list[Column], found: Found) -> Iterator[Cells]:
    with pyarrow.parquet.ParquetFile(path) as source:
        header = list(source.schema_arrow.names)
        _check_header(path, header, columns, found)
        wanted = [column.name for column in columns if column.name in header]
        line = 0
        for batch in source.iter_batches(batch_size=CHUNK, columns=wanted):
            for cells in batch.to_pylist():
                line += 1
                yield line, cells, ()


def _check_header(path: Path, header: list[str], columns: list[Column], found: Found) -> None:
    missing = [column.name for column in columns if column.is_needed and column.name not in header]
    if missing or len(set(header)) < len(header):
        raise FilesRefused(
            f"{path.name}:1: must have each column once, {', '.join(missing) or 'one is there twice'}"
        )
    found.ignored[path.name] = sorted(set(header) - {column.name for column in columns})


# --- sorting ----------------------------------------------------------------------------------------------
STAGE = """
    DROP TABLE IF EXISTS history_borrowers, history_loans, history_repayments, history_held;
    CREATE TEMP TABLE history_borrowers
           (key text, owner text, line bigint, bad boolean, body text, identity text, phone text);
    CREATE TEMP TABLE history_loans (key text, owner text, line bigint, bad boolean, body text);
    CREATE TEMP TABLE history_repayments (key text, owner text, line bigint, bad boolean, body text);
"""


def stage(paths: Mapping[str, Path], clock: Clock, national_id_pattern: str, report: Report) -> Iterator[Found]:
    """Read and check every row; yield how far it is now and then, and when it is done.

    Raises:
        FilesRefused: a file is not what its name says.
        RowsOfNobody: rows do not say whose they are; all of them were reported.
    """
    found = Found()
    with connection.cursor() as cursor:
        cursor.execute(STAGE)
    for file in FILES:
        columns = columns_of(file, clock, national_id_pattern)
        rows = _cells_of(paths[file], columns, found)
        while chunk := list(islice(rows, CHUNK)):
            _load(file, [_staged(file, columns, cells, found, report) for cells in chunk])
            yield found
    _index()
    _report_whole(found, report)
    yield found
    if found.of_nobody:
        raise RowsOfNobody(f"{found.of_nobody} rows do not say whose they are")


def _staged(file: str, columns: tuple[Column, ...], cells: Cells, found: Found, report: Report) -> list[Any]:
    line, values, wrong = cells
    row = read_row(file, columns, values, line)
    problems = wrong or row.problems
    for problem in problems:
        report(problem)
    owner = row.values.get(columns[0 if file == BORROWERS else 1].name)
    found.rows += 1
    found.problems += len(problems)
    found.of_nobody += owner is None and file != BORROWERS
    staged = [row.values.get(columns[0].name), owner, line, bool(problems)]
    return [*staged, *(_body_of_person(row) if file == BORROWERS else [json.dumps(dict(row.values))])]


def _body_of_person(row: Row) -> list[Any]:
    values = dict(row.values)
    index = None
    if national_id := values.pop("national_id", None):
        index = identity_index(national_id)
        values["sealed_id"] = _national_id().get_prep_value(national_id)
    return [json.dumps(values), index, values.get("phone")]


def _national_id() -> Any:
    return Borrower._meta.get_field("national_id")


def _load(file: str, rows: list[list[Any]]) -> None:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    text.seek(0)
    with connection.cursor() as cursor:
        cursor.copy_expert(f"COPY history_{file} FROM STDIN WITH (FORMAT csv)", text)


def _index() -> None:
    with connection.cursor() as cursor:
        for file in FILES:
            cursor.execute(f"CREATE INDEX ON history_{file} (key); CREATE INDEX ON history_{file} (owner)")
            cursor.execute(f"ANALYZE history_{file}")


# --- what only all rows together show -----------------------------------------------------------------------
def _report_whole(found: Found, report: Report) -> None:
    """Report what is there twice and what belongs to nobody in the files, and hold back whom it touches."""
    twice = [(file, f"{file[:-1]}_id", "key") for file in FILES]
    twice += [(BORROWERS, "national_id", "identity"), (BORROWERS, "phone", "phone")]
    for file, column, of in twice:
        _report_twice(file, column, of, found, report)
    for file, column, owners in ((LOANS, "borrower_id", BORROWERS), (REPAYMENTS, "loan_id", LOANS)):
        _report_orphans(file, column, owners, found, report)
    with connection.cursor() as cursor:
        cursor.execute(HELD)


def _report_twice(file: str, column: str, of: str, found: Found, report: Report) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            WITH again AS (SELECT {of} AS value, min(line) AS first FROM history_{file}
                            WHERE {of} IS NOT NULL GROUP BY {of} HAVING count(*) > 1)
            UPDATE history_{file} SET bad = TRUE FROM again WHERE {of} = value RETURNING line, first, key
            """  # noqa: S608 - names of ours
        )
        for line, first, key in sorted(cursor.fetchall()):
            if line != first:
                found.problems += 1
                shown = str(key) if of == "key" else ""
                report(Problem(file, line, column, f"there once, and is in line {first} already", shown))


def _report_orphans(file: str, column: str, owners: str, found: Found, report: Report) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            UPDATE history_{file} SET bad = TRUE
             WHERE owner IS NOT NULL AND NOT EXISTS (SELECT FROM history_{owners} WHERE key = history_{file}.owner)
            RETURNING line, owner
            """  # noqa: S608 - names of ours
        )
        for line, owner in sorted(cursor.fetchall()):
            found.problems += 1
            report(Problem(file, line, column, f"one of {owners}", owner))


# Nothing is brought in of whom a single row is wrong.
HELD = """
    CREATE TEMP TABLE history_held AS
    SELECT key FROM history_borrowers WHERE bad AND key IS NOT NULL
     UNION
    SELECT owner FROM history_loans WHERE bad AND owner IS NOT NULL
     UNION
    SELECT loan.owner FROM history_repayments paid JOIN history_loans loan ON loan.key = paid.owner
     WHERE paid.bad AND loan.owner IS NOT NULL;
    CREATE INDEX ON history_held (key);
    ANALYZE history_held;
"""


# --- handing out ------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Told:
    """A row that was checked: its line and its values."""

    line: int
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ToldLoan:
    """A past loan with its repayments."""

    row: Told
    repayments: tuple[Told, ...]


@dataclass(frozen=True, slots=True)
class ToldBorrower:
    """Everything that the files say about one borrower."""

    row: Told
    identity: str
    national_id: str
    loans: tuple[ToldLoan, ...]


def held() -> int:
    """Return of how many borrowers nothing can be brought in, for what their rows say."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM history_held JOIN history_borrowers USING (key)")
        return int(cursor.fetchone()[0])


def batches(size: int) -> Iterator[list[ToldBorrower]]:
    """Yield the borrowers of whom all rows are sound, by their key, so many at a time."""
    last = ""
    while people := _select(
        "SELECT key, line, body, identity FROM history_borrowers person WHERE key > %s"
        " AND NOT EXISTS (SELECT FROM history_held WHERE key = person.key) ORDER BY key LIMIT %s",
        [last, size],
    ):
        last = people[-1][0]
        loans = _loans_of([key for key, *_ in people])
        yield [_borrower(row, tuple(loans.get(row[0], ()))) for row in people]


def _borrower(row: tuple[Any, ...], loans: tuple[ToldLoan, ...]) -> ToldBorrower:
    _, line, body, identity = row
    values = json.loads(body)
    national_id = _national_id().from_db_value(values.pop("sealed_id"), None, None)
    return ToldBorrower(Told(line, values), identity, national_id, loans)


def _loans_of(keys: list[str]) -> dict[str, list[ToldLoan]]:
    rows = _select("SELECT owner, key, line, body FROM history_loans WHERE owner = ANY(%s)", [keys])
    repayments: dict[str, list[Told]] = {}
    for owner, line, body in _select(
        "SELECT owner, line, body FROM history_repayments WHERE owner = ANY(%s) ORDER BY line",
        [[key for _, key, _, _ in rows]],
    ):
        repayments.setdefault(owner, []).append(Told(line, json.loads(body)))
    found: dict[str, list[ToldLoan]] = {}
    for owner, key, line, body in rows:
        loan = ToldLoan(Told(line, json.loads(body)), tuple(repayments.get(key, ())))
        found.setdefault(owner, []).append(loan)
    return found


def _select(query: str, values: list[Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(query, values)
        return cursor.fetchall()
