"""Reports as text and files. Whoever shows one shows these values: a test holds them together."""

import csv
import io
import json
from collections.abc import Iterable, Iterator
from datetime import date
from decimal import Decimal
from itertools import chain, islice
from pathlib import Path
from typing import Any

from lending.selectors.metrics.report import Column, Report, Unit

BATCH = 10_000


def as_csv(report: Report, on: date) -> Iterator[str]:
    """Yield the lines of a CSV file: column names, then rows; dates are ISO, nothing is empty."""
    header = [column.name for column in report.columns]
    for row in chain([header], report.rows(on)):
        line = io.StringIO()
        csv.writer(line).writerow(row)
        yield line.getvalue()


def as_json(report: Report, on: date) -> Iterator[str]:
    """Yield one JSON object in pieces: the definitions, then the rows, one a line. A share is a string."""
    head = json.dumps(described(report, on), indent=1, ensure_ascii=False)
    yield head.removesuffix("\n}") + ',\n "rows": ['
    names, separator = [column.name for column in report.columns], "\n  "
    for row in report.rows(on):
        yield separator + json.dumps(dict(zip(names, map(plain, row), strict=True)), ensure_ascii=False)
        separator = ",\n  "
    yield "\n ]\n}\n"


def described(report: Report, on: date) -> dict[str, Any]:
    """Return what a report says about itself: the data dictionary of a file."""
    return {
        "name": report.name,
        "title": report.title,
        "on": on.isoformat(),
        "definition": report.words,
        "columns": [
            {"name": column.name, "unit": column.unit, "definition": column.words} for column in report.columns
        ],
    }


def plain(value: Any) -> Any:
    """Return a value as JSON has it; a Decimal is text, because a float would be another number."""
    return str(value) if isinstance(value, Decimal | date) else value


def write_parquet(report: Report, on: date, path: Path) -> None:
    """Write a Parquet file; definitions are metadata of the columns and of the file."""
    # Read only here: pyarrow takes longer to load than most reports to make.
    import pyarrow as pa
    from pyarrow import parquet

    schema = pa.schema(
        [pa.field(column.name, _type(column), metadata=_metadata(column)) for column in report.columns],
        metadata={"report": report.name, "on": on.isoformat(), "definition": report.words},
    )
    with parquet.ParquetWriter(path, schema) as writer:
        for batch in _batches(report.rows(on)):
            columns = [
                pa.array(values, field.type) for values, field in zip(zip(*batch, strict=True), schema, strict=True)
            ]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))


def _batches(rows: Iterable[Any]) -> Iterator[list[Any]]:
    rows = iter(rows)
    while batch := list(islice(rows, BATCH)):
        yield batch


def _type(column: Column) -> Any:
    import pyarrow as pa

    if column.unit == Unit.SHARE:
        return pa.decimal128(18, 6)
    return {Unit.DATE: pa.date32(), Unit.TEXT: pa.string()}.get(column.unit, pa.int64())


def _metadata(column: Column) -> dict[str, str]:
    return {"unit": column.unit, "definition": column.words}
