"""docs/domain/history.md: its columns are those that are read, and its example comes out as it says."""

import io
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from lending.models import Entry
from lending.rules.history import Clock, columns_of
from lending.services.history_files import FILES
from tests.docs.tables import REPOSITORY, cents, checked_tables
from tests.lending import lending
from tests.lending.test_import_history import AMINA, lent, paid, write

PAGE = (REPOSITORY / "docs/domain/history.md").read_text()
TABLES = checked_tables()
FLAT = {
    "kind": "flat",
    "term": {"installments": 3, "every": 1, "unit": "month"},
    "interest": {"rate": "0.1", "per": "term"},
}
YEARLY = {"rate": "0.36", "per": "year"}


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


PRODUCTS: dict[str, tuple[dict[str, Any], ...]] = {
    "one sum, flat, level, equal principal, interest first; any term, grace, penalty": (
        {},
        FLAT,
        FLAT | {"kind": "level", "interest": YEARLY},
        FLAT | {"kind": "equal_principal", "interest": YEARLY, "grace": {"principal": 1}},
        FLAT | {"kind": "interest_only", "interest": YEARLY, "penalties": [{"name": "Late", "amount_cents": 100}]},
    ),
    "a fee repaid with the loan, per installment, on a day, or earned over the term": (
        {"fees": [{"name": "Fee", "rate": "0.05"}]},
        FLAT | {"fees": [{"name": "Fee", "amount_cents": 100, "charged": "each_installment"}]},
        {"fees": [{"name": "Fee", "rate": "0.05", "charged": "on_day", "on_day": 3}]},
        FLAT | {"fees": [{"name": "Fee", "rate": "0.05", "earned": "over_term", "rebated": True}]},
    ),
    "a cash advance": (
        {"kind": "sales_share", "sales_share": {"share": "0.1"}, "fees": [{"name": "Fee", "rate": "0.05"}]},
    ),
    "a fee kept back from the payout, or lent with it": (
        {"fees": [{"name": "Fee", "rate": "0.05", "charged": "deducted"}]},
        {"fees": [{"name": "Fee", "rate": "0.05", "charged": "capitalised"}]},
    ),
    "a credit line": ({"kind": "credit_line"},),
}


@pytest.mark.parametrize("row", TABLES["history.products"], ids=str)
def test_products_come_in_or_not_as_the_page_says(row: Any, law: None, tmp_path: Path, books_balance: Any) -> None:
    for number, terms in enumerate(PRODUCTS[row["Product"]]):
        version, who = lending.product(terms), 101 + number
        person = AMINA | {"borrower_id": f"B{who}", "phone": f"254711000{who}", "national_id": f"23456{who}"}
        loan = lent(f"L{who}", f"B{who}", principal="3000", product=version.code)
        written = write(tmp_path, [person], [loan], [paid(f"R{who}", f"L{who}", "100")])
        told = io.StringIO()
        try:
            call_command("import_history", str(written), stdout=told)
        except CommandError:
            assert row["Comes in"] == "no" and row["Why not"].strip("`") in told.getvalue(), told.getvalue()
        else:
            assert row["Comes in"] == "yes", terms
    books_balance()


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
