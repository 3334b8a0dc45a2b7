"""The metrics layer counts the demo portfolio as plain Python does, on any day."""

from datetime import UTC, date, datetime, timedelta

import pytest

from lending.demo import economy, writer
from lending.management.commands.demo_portfolio import setting_of
from lending.models import CountryPack, Loan
from lending.selectors.metrics import REPORTS, snapshots
from lending.services import snapshots as service
from tests import factories
from tests.lending.selectors.recount import Recount

AS_OF = date(2026, 11, 23)
AT = datetime(2026, 11, 23, 1, tzinfo=UTC)
PEOPLE, DAYS, SEED = 60, 500, 13
# A month's end, a leap-free February's end, a day in the middle, the last day, one before there was a loan.
ASKED = [date(2026, 6, 30), date(2026, 2, 28), date(2026, 9, 14), AS_OF - timedelta(days=1), date(2025, 7, 1)]
EXACT = (
    "portfolio", "ageing", "par", "vintage_weeks", "vintage_months", "roll_rates", "collections", "provisions",
    "write_offs", "cash_flow",
)  # fmt: skip


@pytest.fixture
def recount(law: None) -> Recount:
    """The demo portfolio with some money on loans that were written off."""
    portfolio = economy.tell(setting_of(PEOPLE, SEED, AS_OF, DAYS))
    writer.load(portfolio, factories.usual_product(), CountryPack.objects.get(country="KE"), lambda text: None)
    lost = list(Loan.objects.filter(state="written_off").order_by("written_off_at"))
    assert len(lost) > 5, "the story is too poor: nothing was written off"
    for days, loan in enumerate(lost[::2]):
        at = loan.written_off_at + timedelta(days=days)
        factories.pay(loan.reference, 50_00 + days, f"BACK{loan.id}", at=at)
    return Recount()


def test_every_report_is_what_plain_python_counts(recount: Recount) -> None:
    for on in ASKED:
        for name in EXACT:
            assert REPORTS[name].records(on) == getattr(recount, name)(on), (name, on)

        cohorts = REPORTS["first_payment_default"].records(on)
        counted = [{key: value for key, value in row.items() if not key.startswith("fpd")} for row in cohorts]
        assert counted == recount.first_payment_default(on), on

        losses = REPORTS["expected_loss"].records(on)
        for row, expected in zip(losses, recount.expected_loss(on), strict=True):
            for name in ("bucket", "principal_cents", "observed_cents"):
                assert row[name] == expected[name], (on, row)
            # Rounded there, added up in floats here.
            assert float(row["chance_of_loss"]) == pytest.approx(expected["chance_of_loss"], abs=1e-6), (on, row)
            assert float(row["recovery"]) == pytest.approx(expected["recovery"], abs=1e-6), (on, row)
            assert row["expected_loss_cents"] == pytest.approx(expected["expected_loss_cents"], abs=1), (on, row)
    assert any(row["recovered_cents"] for row in recount.write_offs(ASKED[3])), "nothing was recovered"


def test_what_is_kept_of_a_date_is_what_each_report_counts(recount: Recount) -> None:
    """Kept reports are counted together, from tables; each report that is asked for alone, from what is stored."""
    for on in ASKED:
        assert service.take(on, AT) == len(snapshots.KEPT)
        for report in snapshots.KEPT:
            counted = snapshots.as_counted(report, on)
            assert (counted.taken_at, counted.report.records(on)) == (AT, report.records(on)), (report.name, on)
