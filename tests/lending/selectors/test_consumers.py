"""Dashboard, reports page and command show the same numbers, whoever asks."""

import csv
import io
import json
import re
import stat
from datetime import date
from decimal import Decimal
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from pyarrow import parquet

from lending.admin import dashboard, reports
from lending.models import Loan
from lending.selectors.metrics import REPORTS, Report, Unit
from tests.lending.selectors.story import ON

JUNE = ON.date()
PUBLIC = [name for name, report in REPORTS.items() if not report.personal]


@pytest.fixture
def officer(four_loans: dict[str, Loan]) -> Client:
    user = User.objects.create_user("wambui", password="a-long-password", is_staff=True)
    user.groups.set(Group.objects.filter(name="Loan officers"))
    client = Client()
    client.force_login(user)
    return client


def ask(name: str, **options: Any) -> str:
    """Return what the command prints."""
    out = io.StringIO()
    call_command("report", name, stdout=out, **({"on": JUNE} | options))
    return out.getvalue()


def page(client: Client, name: str, **query: str) -> Any:
    return client.get(reverse("report", args=[name]), {"on": JUNE.isoformat()} | query)


def typed(report: Report, row: list[str]) -> tuple[Any, ...]:
    """Read a line of CSV back by the units of the columns."""
    read = {Unit.SHARE: Decimal, Unit.DATE: date.fromisoformat, Unit.TEXT: str}
    return tuple(
        read.get(column.unit, int)(text) if text or column.unit == Unit.TEXT else None
        for column, text in zip(report.columns, row, strict=True)
    )


def test_every_consumer_tells_the_same_numbers(officer: Client, tmp_path: Path):
    """One test for all reports: lending to four people costs more than asking."""
    for name in PUBLIC:
        report = REPORTS[name]
        rows = list(report.rows(JUNE))
        assert rows, name
        assert from_csv(report, ask(name)) == rows, name
        assert from_csv(report, b"".join(page(officer, name, format="csv")).decode()) == rows, name
        assert from_json(report, ask(name, format="json")) == rows, name
        assert from_parquet(report, tmp_path / f"{name}.parquet") == rows, name
        assert_page_shows(report, rows, page(officer, name).content.decode())


def from_csv(report: Report, text: str) -> list[tuple[Any, ...]]:
    header, *lines = csv.reader(io.StringIO(text))
    assert header == [column.name for column in report.columns]
    return [typed(report, line) for line in lines]


def from_json(report: Report, text: str) -> list[tuple[Any, ...]]:
    told = json.loads(text)
    assert (told["name"], told["on"], told["definition"]) == (report.name, "2026-06-30", report.words)
    assert [column["definition"] for column in told["columns"]] == [column.words for column in report.columns]
    for row in told["rows"]:
        assert list(row) == [column.name for column in report.columns]
    as_text = [["" if value is None else str(value) for value in row.values()] for row in told["rows"]]
    return [typed(report, row) for row in as_text]


def from_parquet(report: Report, path: Path) -> list[tuple[Any, ...]]:
    call_command("report", report.name, on=JUNE, format="parquet", out=path)
    table = parquet.read_table(path)
    for column in report.columns:
        assert table.schema.field(column.name).metadata[b"definition"].decode() == column.words
    return [tuple(row.values()) for row in table.to_pylist()]


def assert_page_shows(report: Report, rows: list[tuple[Any, ...]], html: str) -> None:
    names = [column.name for column in report.columns]
    currency = dict(zip(names, rows[0], strict=True)).get("currency", "")
    assert [unescape(cell) for cell in re.findall(r"<td class=[^>]*>([^<]*)</td>", html)] == [
        reports.shown(value, column.unit, currency)
        for row in rows
        for value, column in zip(row, report.columns, strict=True)
    ], report.name
    for column in report.columns:
        assert column.words in unescape(html), (report.name, column.name)


def test_the_first_page_shows_the_figures_of_the_reports(officer: Client):
    cards = {card.title: card for card in dashboard.cards()}
    [portfolio] = REPORTS["portfolio"].records(JUNE)
    par = {row["more_than_days"]: row["par"] for row in REPORTS["par"].records(JUNE)}
    assert (cards["Live loans"].figure, cards["Live loans"].note) == ("3", "principal KES 2,130")
    assert portfolio["live_loans"] == 3 and portfolio["gross_portfolio_cents"] == 2_130_00
    assert cards["Outstanding"].figure == reports.shown(portfolio["outstanding_cents"], Unit.CENTS, "KES")
    for days in (0, 30):
        assert cards[f"PAR {days}"].figure == reports.shown(par[days], Unit.SHARE, "KES")
        listed = officer.get(cards[f"PAR {days}"].href).context["cl"].queryset
        at_risk = sum(row["loans"] for row in REPORTS["ageing"].records(JUNE) if row["bucket"] in LATER[days])
        assert listed.count() == at_risk > 0


LATER = {0: ("1-7", "8-30", "31-60", "61-90", "91-180", "over 180"), 30: ("31-60", "61-90", "91-180", "over 180")}


class TestPage:
    def test_the_index_names_every_report_with_its_definition(self, officer: Client):
        shown = unescape(officer.get(reverse("reports")).content.decode())
        for name in PUBLIC:
            assert REPORTS[name].words in shown and reverse("report", args=[name]) in shown

    def test_the_side_bar_leads_there(self, officer: Client):
        assert f'href="{reverse("reports")}"' in officer.get(reverse("admin:index")).content.decode()

    def test_the_table_can_be_read_aloud(self, officer: Client):
        shown = page(officer, "par").content.decode()
        assert "<caption" in shown and "Portfolio at risk at the end of 30 June 2026" in shown
        assert shown.count('<th scope="col"') == len(REPORTS["par"].columns)
        assert '<label for="on"' in shown

    @pytest.mark.parametrize(("on", "words"), [("31 June", "is no date"), ("2026-07-01", "is still to come")])
    def test_a_day_that_cannot_be_is_said_so_and_today_is_shown(self, officer: Client, on: str, words: str):
        shown = page(officer, "par", on=on).content.decode()
        assert words in shown and "at the end of 30 June 2026" in shown

    def test_a_day_before_the_law_is_said_so(self, officer: Client):
        assert "Cannot be made for this day" in page(officer, "par", on="2019-01-01").content.decode()

    def test_people_are_not_on_pages(self, officer: Client):
        assert page(officer, "bureau").status_code == 404
        assert page(officer, "nothing").status_code == 404

    def test_who_may_not_see_loans_sees_no_report(self, officer: Client):
        User.objects.create_user("newcomer", password="a-long-password", is_staff=True)
        newcomer = Client()
        newcomer.force_login(User.objects.get(username="newcomer"))
        assert page(newcomer, "par").status_code == 403
        assert newcomer.get(reverse("reports")).status_code == 403
        assert page(Client(), "par").status_code == 302


class TestCommand:
    def test_without_a_name_it_says_what_there_is(self, law: None, capsys: pytest.CaptureFixture[str]):
        call_command("report")
        assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(REPORTS)

    def test_the_default_is_today(self, four_loans: dict[str, Loan]):
        assert ask("par", on=None) == ask("par")

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"on": date(2026, 7, 1)}, "must be 2026-06-30 or before, got 2026-07-01"),
            ({"on": date(2019, 1, 1)}, "no country pack for KE on 2019-01-01"),
            ({"format": "parquet"}, "needs --out"),
            ({"out": Path("/nowhere/par.csv")}, "No such file"),
        ],
    )
    def test_what_it_cannot_do_is_said_in_words(
        self, law: None, evening: None, options: dict[str, Any], words: str
    ):
        with pytest.raises(CommandError, match=words):
            ask("par", **options)

    @pytest.mark.parametrize("arguments", [("par", "--on", "30.6.2026"), ("par", "--format", "xls"), ("parr",)])
    def test_what_was_typed_wrong_is_refused(self, law: None, arguments: tuple[str, ...]):
        with pytest.raises(CommandError):
            call_command("report", *arguments)

    def test_a_file_that_fails_leaves_nothing(self, law: None, evening: None, tmp_path: Path):
        with pytest.raises(CommandError):
            call_command("report", "par", on=date(2019, 1, 1), out=tmp_path / "par.csv")
        assert list(tmp_path.iterdir()) == []

    def test_a_file_that_names_people_is_its_owners(self, four_loans: dict[str, Loan], tmp_path: Path):
        call_command("report", "bureau", on=JUNE, out=tmp_path / "bureau.csv")
        assert stat.S_IMODE((tmp_path / "bureau.csv").stat().st_mode) == 0o600
