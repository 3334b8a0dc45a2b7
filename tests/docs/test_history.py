"""docs/domain/history.md: its columns are those that are read, and its example comes out as it says."""

import io
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from lending.models import Entry
from lending.rules.history import Clock, columns_of
from lending.services.history_files import FILES
from tests.docs.tables import REPOSITORY, cents, checked_tables

PAGE = (REPOSITORY / "docs/domain/history.md").read_text()
TABLES = checked_tables()


def block(mark: str) -> str:
    """Return what stands between the backticks below a mark."""
    found = re.search(rf"<!-- {re.escape(mark)} -->\n```\n(.*?)```", PAGE, flags=re.DOTALL)
    assert found is not None, mark
    return found[1]


@pytest.fixture
def files(law: None, tmp_path: Path) -> Path:
    for file in FILES:
        (tmp_path / f"{file}.csv").write_text(block(f"file: {file}.csv"))
    return tmp_path


def bring_in(directory: Path, *options: str) -> str:
    told = io.StringIO()
    with pytest.raises(CommandError):
        call_command("import_history", str(directory), *options, stdout=told)
    return told.getvalue()


def test_the_columns_are_those_that_are_read() -> None:
    clock = Clock("Africa/Nairobi", datetime(2026, 3, 2, tzinfo=UTC))
    assert [(row["File"], row["Column"], row["Needed"]) for row in TABLES["history.columns"]] == [
        (file, column.name, "yes" if column.is_needed else "no")
        for file in FILES
        for column in columns_of(file, clock, "[0-9]{6,9}")
    ]


def test_the_example_says_what_the_command_says(files: Path) -> None:
    assert bring_in(files) == block("said")


def test_the_example_is_booked_as_the_page_says(files: Path) -> None:
    bring_in(files, "--keep-differences")
    entries = Entry.objects.select_related("posting__loan").order_by(
        "posting__loan__origin", "posting__business_date"
    )
    booked = [
        (
            entry.posting.loan.origin.removeprefix("history:"),
            entry.posting.business_date.isoformat(),
            entry.posting.kind,
            entry.account_id,
            entry.debit_cents,
            entry.credit_cents,
        )
        for entry in entries
    ]
    assert sorted(booked) == sorted(
        (row["Loan"], row["Booked on"], row["Event"], row["Account"], cents(row["Debit"]), cents(row["Credit"]))
        for row in TABLES["history.postings"]
    )
