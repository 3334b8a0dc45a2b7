"""The statements of the books: for any date, whatever is in checkpoints and what came since."""

import csv
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from lending.ledger import make_checkpoints, post
from lending.models import Loan
from lending.rules.accounting import capital
from lending.selectors import books
from tests import factories
from tests.factories import NOON, pay
from tests.lending.admin.conftest import auditor, groups, staff
from tests.lending.posters import fund

__all__ = ["auditor", "groups"]
DAY = NOON.date()


def amounts(statement: books.Statement) -> dict[str, int]:
    """Return the amounts of a statement by name, a credit as less than nothing."""
    return {
        row["name"]: row["amount_cents"] if "amount_cents" in row else row["debit_cents"] - row["credit_cents"]
        for row in statement.rows()
    }


@pytest.fixture
def business(aminas_loan: Loan) -> None:
    """Float on the first day, with a loan of KES 500 for 530; two days later KES 20 of it are repaid, and after
    five days the rest is written off."""
    fund(100_000)
    pay(aminas_loan.reference, 2_000, at=NOON + timedelta(days=2))
    factories.write_off(aminas_loan, at=NOON + timedelta(days=5))


CHECKPOINTS = ["none", "all", "part"]


@pytest.fixture(params=CHECKPOINTS)
def checkpoints(request: pytest.FixtureRequest, business: None) -> None:
    """Nothing, everything or a part of it is in checkpoints: no figure may depend on it."""
    if request.param != "none":
        make_checkpoints(NOON)
    if request.param == "part":
        fund(7_000, "capital:2", at=NOON + timedelta(days=2))
        fund(3_000, "capital:3", at=NOON + timedelta(days=2))
    else:
        fund(10_000, "capital:2", at=NOON + timedelta(days=2))


@pytest.mark.usefixtures("checkpoints")
class TestStatements:
    def test_the_trial_balance_stands_as_of_its_day(self) -> None:
        assert amounts(books.trial_balance(DAY - timedelta(days=1), "KES")) == {"Total": 0}
        first = amounts(books.trial_balance(DAY, "KES"))
        assert first == {
            "M-PESA payout account (utility)": 50_000,
            "Payouts reserved": 0,
            "Principal receivable": 50_000,
            "Fees receivable": 2_500,
            "Tax on fees receivable": 500,
            "Payouts promised": 0,
            "Excise duty payable": -500,
            "Paid-in capital": -100_000,
            "Fee income": -2_500,
            "Total": 0,
        }
        later = amounts(books.trial_balance(DAY + timedelta(days=2), "KES"))
        assert later["Fees receivable"] == 500
        assert later["Paid-in capital"] == -110_000

    def test_both_sides_of_the_trial_balance_sum_to_the_same(self) -> None:
        for days in range(7):
            total = books.trial_balance(DAY + timedelta(days=days), "KES").lines[-1]
            assert isinstance(total, books.TrialLine)
            assert total.debit_cents == total.credit_cents > 0

    def test_the_balance_sheet_balances_every_day(self) -> None:
        for days in range(-1, 7):
            sheet = amounts(books.balance_sheet(DAY + timedelta(days=days), "KES"))
            assert sheet["Total assets"] == sheet["Total liabilities and equity"]
        assert sheet["Result until this date"] == 2_500 - 50_500
        assert sheet["Total assets"] == 60_000 + 2_000

    def test_the_income_statement_counts_its_days_and_no_others(self) -> None:
        month = amounts(books.income_statement(DAY, DAY + timedelta(days=30), "KES"))
        assert month == {
            "Fee income": 2_500,
            "Total income": 2_500,
            "Loans written off": 50_500,
            "Total expenses": 50_500,
            "Result": -48_000,
        }
        assert amounts(books.income_statement(DAY, DAY + timedelta(days=4), "KES"))["Result"] == 2_500
        assert (
            amounts(books.income_statement(DAY + timedelta(days=1), DAY + timedelta(days=5), "KES"))["Result"]
            == -50_500
        )

    def test_another_currency_stands_apart(self) -> None:
        post(kind="capital", reference="ugx", occurred_at=NOON, currency="UGX", lines=capital(77))
        assert amounts(books.balance_sheet(DAY, "UGX"))["Total assets"] == 77
        assert amounts(books.balance_sheet(DAY, "KES"))["Total assets"] == 103_000


def said(*args: str) -> str:
    out = StringIO()
    call_command("statements", *args, stdout=out)
    return out.getvalue()


class TestCommand:
    def test_prints_figures_with_their_definition(self, business: None) -> None:
        text = said("balance_sheet", "--on", DAY.isoformat())
        assert text.startswith("Balance sheet at the end of 2026-03-02\nBalances over all postings")
        assert text.splitlines()[-1].split() == ["Equity", "Total", "liabilities", "and", "equity", "KES", "1,030"]

    def test_writes_cents_as_csv(self, business: None) -> None:
        rows = list(csv.DictReader(StringIO(said("trial_balance", "--on", DAY.isoformat(), "--csv"))))
        assert {"section": "Equity", "name": "Paid-in capital", "debit_cents": "0", "credit_cents": "100000",
                "account": "paid_in_capital"} in rows  # fmt: skip

    def test_an_income_statement_begins_with_the_year(self, business: None) -> None:
        assert "from 2026-01-01 to 2026-03-02" in said("income_statement", "--on", DAY.isoformat())

    def test_books_without_a_posting_have_empty_statements(self, law: None) -> None:
        assert said("trial_balance", "--csv").splitlines()[1:] == ["Total,Total,0,0,"]


PAGE = "admin:lending_account_statements"


class TestPage:
    def test_shows_the_three_statements_of_a_day(self, business: None, auditor: Client) -> None:
        page = auditor.get(reverse(PAGE), {"on": DAY.isoformat()}).content.decode()
        for words in ("Trial balance at the end of 2026-03-02", "Total liabilities and equity", "KES 1,030"):
            assert words in page

    def test_shows_today_when_nothing_is_asked(self, business: None, auditor: Client) -> None:
        today = timezone.localdate().isoformat()
        assert f"Trial balance at the end of {today}" in auditor.get(reverse(PAGE)).content.decode()

    @pytest.mark.parametrize("asked", [{"on": "2026-02-30"}, {"currency": "XXX"}, {"since": "<script>"}])
    def test_asks_again_for_what_it_cannot_read(self, law: None, auditor: Client, asked: dict[str, str]) -> None:
        answer = auditor.get(reverse(PAGE), asked)
        assert answer.status_code == 200
        assert "Trial balance at" not in answer.content.decode()
        assert "<script>" not in answer.content.decode().split("<form", 1)[1].split("</form>")[0]

    def test_is_for_those_who_may_see_the_accounts_and_takes_no_orders(self, law: None, auditor: Client) -> None:
        assert Client().get(reverse(PAGE)).status_code == 302
        assert staff("nobody").get(reverse(PAGE)).status_code == 403
        assert auditor.post(reverse(PAGE)).status_code == 405

    def test_stands_in_the_side_bar(self, law: None, auditor: Client) -> None:
        assert reverse(PAGE) in auditor.get(reverse("admin:index")).content.decode()
