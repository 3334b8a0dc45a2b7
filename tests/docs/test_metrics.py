"""docs/domain/metrics.md: the reports are those of the code, and its worked example is what they count."""

import re
from datetime import date, datetime, timedelta
from typing import Any

import pytest

from lending.admin import reports
from lending.models import Borrower, BureauNotice, Loan
from lending.rules.arrears import BUCKETS
from lending.selectors.metrics import REPORTS, files
from lending.services import bureau
from tests import factories
from tests.docs.tables import Row, cents, checked_tables
from tests.lending.selectors import story
from tests.lending.selectors.conftest import evening, four_loans

__all__ = ["evening", "four_loans"]

TABLES = {name: rows for name, rows in checked_tables().items() if name.startswith("metrics.")}
EXAMPLES = [name for name in TABLES if name.removeprefix("metrics.") in REPORTS]


def test_the_reports_are_those_of_the_code() -> None:
    assert [(row["Name"], row["Report"]) for row in TABLES["metrics.reports"]] == [
        (report.name, report.title) for report in REPORTS.values()
    ]


def test_the_buckets_are_those_of_the_code() -> None:
    assert tuple(
        (row["Bucket"], int(row["From day"]), int(row["To day"]) if row["To day"] else None)
        for row in TABLES["metrics.buckets"]
    ) == tuple(BUCKETS)


def test_the_loans_are_those_of_the_story(four_loans: dict[str, Loan]) -> None:
    told = TABLES["metrics.loans"]
    assert {row["Who"] for row in told} == set(four_loans)
    for row in told:
        loan = four_loans[row["Who"]]
        loan.refresh_from_db()
        assert (loan.principal_cents, loan.fee_cents + loan.tax_cents) == (
            cents(row["Principal"]),
            cents(row["Fee and tax"]),
        )
        assert (loan.disbursed_at.date().isoformat(), str(loan.due_on)) == (row["Paid out"], row["Due"])
        assert sum(part.amount_cents for part in loan.repayments.all()) == cents(row["Repaid"])


def test_the_worked_example_is_what_the_reports_count(four_loans: dict[str, Loan]) -> None:
    for name in EXAMPLES:
        report = REPORTS[name.removeprefix("metrics.")]
        titles = [reports.heading(column).title for column in report.columns]
        shown = [_shown(report, row, titles) for row in report.rows(story.ON.date())]
        for row in TABLES[name]:
            assert row.cells.keys() <= set(titles), row
            assert row.cells in [{title: one[title] for title in row.cells} for one in shown], (str(row), shown)


def _shown(report: Any, row: tuple[Any, ...], titles: list[str]) -> dict[str, str]:
    values = zip(titles, report.columns, row, strict=True)
    return {title: reports.shown(value, column.unit, "KES") for title, column, value in values}


def test_every_report_that_the_example_leaves_out_is_about_people_or_the_same_by_week() -> None:
    left_out = set(REPORTS) - {name.removeprefix("metrics.") for name in EXAMPLES}
    assert left_out == {"vintage_weeks", "bureau", "bureau_rejects"}


def test_every_marked_table_of_the_page_is_checked() -> None:
    assert set(TABLES) == {*EXAMPLES, "metrics.reports", "metrics.buckets", "metrics.loans", "metrics.listing"}


@pytest.mark.parametrize("row", TABLES["metrics.listing"], ids=str)
def test_a_loan_is_listed_from_the_day_of_the_example(row: Row, law: None, fixed_scorer: object) -> None:
    brian = factories.register(consents=factories.CONSENTS | {"bureau": True})
    Borrower.objects.update(limit_cents=200_000)
    loan = factories.live_loan(brian, 150_000)
    assert str(loan.due_on) == "2026-04-01"
    told = dict.fromkeys(re.findall(r"2026-\d\d-\d\d", row["Notice delivered"]), "notice")
    if row["Repaid"]:
        paid, _, on = row["Repaid"].partition(" on ")
        told[on] = paid
    bureau.owe_notices(date(2026, 5, 1), _noon("2026-05-01"))
    for on in sorted(told):
        if told[on] == "notice":
            bureau.owe_notices(date.fromisoformat(on), _noon(on))
            bureau.notice_delivered(BureauNotice.objects.latest("id").id, _noon(on))
        else:
            factories.pay(loan.reference, cents(told[on]), at=_noon(on))
    days = (date(2026, 5, 1) + timedelta(days=n) for n in range(60))
    listed = [day for day in days if any(row[7] == loan.reference for row in REPORTS["bureau"].rows(day))]
    assert (str(listed[0]) if listed else "never") == row["Listed from"]


def _noon(day: str) -> datetime:
    return datetime.fromisoformat(f"{day} 12:00").replace(tzinfo=factories.NAIROBI)


def test_a_file_carries_its_definitions() -> None:
    told = files.described(REPORTS["par"], story.ON.date())
    assert told["definition"] == REPORTS["par"].words and len(told["columns"]) == len(REPORTS["par"].columns)
