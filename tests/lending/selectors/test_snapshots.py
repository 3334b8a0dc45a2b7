"""Reports that are kept with a closed date: the same figures as a recount, for whoever asks."""

import io
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from lending import closing
from lending.admin import dashboard, reports
from lending.models import JobRun, Loan, ReportSnapshot
from lending.selectors.metrics import REPORTS, Unit, files, snapshots
from lending.services import snapshots as service
from tests import factories
from tests.lending.selectors.story import ON

JUNE = ON.date()
AT = datetime(2026, 7, 1, 1, tzinfo=UTC)


@pytest.fixture
def kept(four_loans: dict[str, Loan]) -> dict[str, Loan]:
    """Four loans, and the reports of 30 June as they were kept when it was closed."""
    call_command("load_fixtures", verbosity=0)
    assert service.take(JUNE, AT) == len(snapshots.KEPT)
    return four_loans


@pytest.fixture
def officer(kept: object) -> Client:
    user = User.objects.create_user("wambui", password="a-long-password", is_staff=True)
    user.groups.set(Group.objects.filter(name="Loan officers"))
    client = Client()
    client.force_login(user)
    return client


def pay_late(loan: Loan) -> None:
    """Let a payment of 29 June become known on 2 July."""
    at = datetime(2026, 6, 29, 9, tzinfo=UTC)
    factories.pay(loan.reference, 10_000, "LATE1", at=at)


def command(name: str, *options: str) -> tuple[str, str]:
    out, err = io.StringIO(), io.StringIO()
    call_command("report", name, "--on", JUNE.isoformat(), *options, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def test_a_snapshot_is_what_a_recount_says(kept: dict[str, Loan]) -> None:
    for report in snapshots.KEPT:
        counted = snapshots.as_counted(report, JUNE)
        assert counted.taken_at == AT
        rows = list(counted.report.rows(JUNE))
        assert rows == list(report.rows(JUNE)) != [], report.name
        assert [[type(value) for value in row] for row in rows] == [
            [type(value) for value in row] for row in report.rows(JUNE)
        ]


def test_every_consumer_reads_it_and_counts_nothing(officer: Client, tmp_path: Path) -> None:
    for report in snapshots.KEPT:
        counted = snapshots.as_counted(report, JUNE).report
        with CaptureQueriesContext(
            connection,
        ) as asked:
            said, _ = command(report.name)
            as_json, _ = command(report.name, "--format", "json")
            command(report.name, "--format", "parquet", "--out", str(tmp_path / report.name))
            page = officer.get(reverse("report", args=[report.name]), {"on": JUNE.isoformat()})
            file = officer.get(page.request["PATH_INFO"], {"on": JUNE.isoformat(), "format": "csv"})
            text = b"".join(file).decode()  # type: ignore[call-overload]
        assert said == text == "".join(files.as_csv(counted, JUNE))
        assert as_json == "".join(files.as_json(counted, JUNE))
        assert b"Counted when the day was closed" in page.content
        assert not [one["sql"] for one in asked if "WITH" in one["sql"][:10]], report.name


def test_what_was_told_later_is_said_and_is_in_a_recount(officer: Client, kept: dict[str, Loan]) -> None:
    before, quiet = command("portfolio")
    assert quiet == ""
    pay_late(kept["Brian"])
    assert command("portfolio") == (before, "counted at 2026-07-01 01:00; 1 facts came later: --recount\n")
    again, _ = command("portfolio", "--recount")
    assert again != before
    page = officer.get(reverse("report", args=["portfolio"]), {"on": JUNE.isoformat()}).content.decode()
    assert "1 fact of that day or before came later" in page
    recounted = officer.get(reverse("report", args=["portfolio"]), {"on": JUNE.isoformat(), "recount": "1"})
    assert "Counted when" not in recounted.content.decode()


def test_the_pages_open_with_the_last_date_that_is_kept(officer: Client) -> None:
    """It is the evening of 30 June, so that day is not over."""
    service.take(JUNE - timedelta(days=1), AT)
    assert officer.get(reverse("reports")).context["on"] == JUNE - timedelta(days=1)
    assert officer.get(reverse("report", args=["par"])).context["on"] == JUNE - timedelta(days=1)


def test_the_first_page_shows_the_loans_as_yesterday_was_kept(officer: Client) -> None:
    today = {card.title: card for card in dashboard.cards()}
    assert "at the end of" not in today["Outstanding"].note
    service.take(JUNE - timedelta(days=1), AT)
    with CaptureQueriesContext(connection) as asked:
        kept = {card.title: card for card in dashboard.cards()}
    assert not [one["sql"] for one in asked if "WITH" in one["sql"][:10]]
    assert {title for title, card in kept.items() if card.note.endswith(", at the end of 29 June")} == {
        "Live loans", "Outstanding", "PAR 0", "PAR 30",
    }  # fmt: skip
    [portfolio] = REPORTS["portfolio"].records(JUNE - timedelta(days=1))
    assert kept["Outstanding"].figure == reports.shown(portfolio["outstanding_cents"], Unit.CENTS, "KES")


def test_until_yesterday_is_kept_the_first_page_shows_the_date_before(kept: object) -> None:
    service.take(JUNE - timedelta(days=2), AT)
    with CaptureQueriesContext(connection) as asked:
        notes = {card.title: card.note for card in dashboard.cards()}
    assert not [one["sql"] for one in asked if "WITH" in one["sql"][:10]]
    assert notes["Outstanding"].endswith(", at the end of 28 June")


def test_taking_it_again_adds_nothing_and_another_definition_does(kept: object, monkeypatch: Any) -> None:
    assert service.take(JUNE, AT + timedelta(days=1)) == 0
    ReportSnapshot.objects.bulk_create(
        [ReportSnapshot(report="par", business_date=date(2026, 6, 29), definition="older", rows=[[1]],
                        last_event_id=0, taken_at=AT)]
    )  # fmt: skip
    assert snapshots.as_counted(REPORTS["par"], date(2026, 6, 29)).taken_at is None
    assert service.take(date(2026, 6, 29), AT) == len(snapshots.KEPT)


def test_it_is_never_changed(kept: object) -> None:
    with pytest.raises(IntegrityError, match="is history"), transaction.atomic():
        ReportSnapshot.objects.update(rows=[])
    with pytest.raises(IntegrityError, match="is history"), transaction.atomic():
        ReportSnapshot.objects.all().delete()


def test_a_share_and_a_date_come_back_as_they_were(kept: object) -> None:
    rows = snapshots.as_counted(REPORTS["par"], JUNE).report.records(JUNE)
    assert {type(row["par"]) for row in rows} == {Decimal}
    weeks = snapshots.as_counted(REPORTS["vintage_weeks"], JUNE).report.records(JUNE)
    assert isinstance(weeks[0]["cohort"], date)


def test_what_names_people_or_lists_loans_is_not_kept() -> None:
    assert set(REPORTS) - {report.name for report in snapshots.KEPT} == {"bureau", "bureau_rejects"}


def test_close_of_business_keeps_them_and_makes_up_for_what_was_cut_off(law: None) -> None:
    monday = factories.NOON.date()
    JobRun.objects.create(job=closing.JOB, business_date=monday - timedelta(days=3), started_at=AT, finished_at=AT)
    closing.close_until_yesterday(factories.NOON)
    kept = ReportSnapshot.objects.filter(report="portfolio").order_by("business_date")
    assert [(one.business_date - monday).days for one in kept] == [-3, -2, -1]
    assert set(kept.values_list("taken_at", flat=True)) == {factories.NOON}
