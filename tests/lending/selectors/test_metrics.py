"""What figures are made of, told as stories: days, late news, losses, and nothing at all."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest

from lending.models import Borrower, Loan, ProductVersion
from lending.selectors.metrics import REPORTS, Unit
from lending.selectors.products import NothingInForce
from lending.services import applications
from tests import factories
from tests.factories import NAIROBI
from tests.lending.selectors.recount import Recount
from tests.lending.selectors.story import at
from tests.stories import test_credit_line as credit_line

JUNE = date(2026, 6, 30)


def row(name: str, on: date, **by: Any) -> dict[str, Any]:
    """Return the one row of a report with these values."""
    [found] = [one for one in REPORTS[name].records(on) if all(one[key] == value for key, value in by.items())]
    return found


class TestDays:
    """Amina's loan of KES 500 is due on 1 April."""

    @pytest.mark.parametrize(
        ("on", "days"), [(date(2026, 4, 1), "not late"), (date(2026, 4, 2), "1-7"), (date(2026, 4, 9), "8-30")]
    )
    def test_a_loan_is_a_day_late_on_the_day_after_its_due_date(self, aminas_loan: Loan, on: date, days: str):
        assert row("ageing", on, bucket=days)["loans"] == 1

    def test_money_counts_until_midnight_in_nairobi(self, aminas_loan: Loan):
        factories.pay(aminas_loan.reference, 530_00, at=datetime(2026, 4, 1, 23, 59, 59, tzinfo=NAIROBI))
        assert row("portfolio", date(2026, 4, 1))["live_loans"] == 0

    def test_money_after_midnight_counts_the_next_day(self, aminas_loan: Loan):
        factories.pay(aminas_loan.reference, 530_00, at=datetime(2026, 4, 2, 0, 0, 0, tzinfo=NAIROBI))
        assert row("portfolio", date(2026, 4, 1))["outstanding_cents"] == 530_00
        assert row("portfolio", date(2026, 4, 2))["outstanding_cents"] == 0

    def test_a_loan_counts_from_the_day_of_its_payout(self, aminas_loan: Loan):
        assert row("portfolio", date(2026, 3, 1))["live_loans"] == 0
        assert row("portfolio", date(2026, 3, 2))["live_loans"] == 1

    def test_stored_figures_are_not_asked(self, aminas_loan: Loan):
        Loan.objects.update(days_past_due=99, worst_days_past_due=99)
        assert row("par", date(2026, 4, 1), more_than_days=0)["par"] == 0


class TestLateNews:
    def test_money_told_weeks_later_changes_the_day_on_which_it_was_paid(self, aminas_loan: Loan):
        april = date(2026, 4, 30)
        assert row("par", april, more_than_days=7)["par"] == 1
        factories.pay(aminas_loan.reference, 530_00, at=at(4, 1))
        assert row("portfolio", april)["live_loans"] == 0
        assert row("vintage_months", april, days_since_due=0)["unpaid_share"] == 0

    def test_money_paid_before_a_write_off_and_told_after_it_is_no_recovery(self, four_loans: dict[str, Loan]):
        factories.pay(four_loans["Daudi"].reference, 50_00, "EARLY", at=at(6, 9))
        june = row("write_offs", JUNE, month=date(2026, 6, 1))
        assert (june["written_off_cents"], june["recovered_cents"]) == (374_00, 100_00)


class TestLosses:
    def test_a_write_off_leaves_the_portfolio_and_stays_in_the_twin(self, four_loans: dict[str, Loan]):
        par = row("par", JUNE, more_than_days=90)
        assert par["par"] == 0
        assert par["par_with_write_offs"] == Decimal("0.158103")  # 400 of 2,130 + 400

    def test_a_write_off_of_more_than_a_year_ago_is_in_no_twin(self, four_loans: dict[str, Loan]):
        factories.pay(four_loans["Brian"].reference, 330_00, "REST", at=at(6, 30))
        last, after = date(2027, 6, 9), date(2027, 6, 10)
        assert row("par", last, more_than_days=0)["par_with_write_offs"] is not None
        gross = row("portfolio", after)["gross_portfolio_cents"]
        par = row("par", after, more_than_days=0)
        assert gross and par["par_with_write_offs"] == par["par"]

    def test_a_recovery_never_lowers_what_was_written_off(self, four_loans: dict[str, Loan]):
        june = row("write_offs", JUNE, month=date(2026, 6, 1))
        assert (june["loans"], june["written_off_cents"], june["recovered_cents"]) == (1, 424_00, 100_00)
        assert row("write_offs", date(2026, 7, 31), month=date(2026, 7, 1))["loans"] == 0


def test_restructured_loans_count_as_at_risk_in_their_twin(four_loans: dict[str, Loan]):
    Loan.objects.filter(id=four_loans["Amina"].id).update(restructured_on=date(2026, 6, 25))
    par = row("par", JUNE, more_than_days=30)
    assert (par["par"], par["par_with_restructured"]) == (Decimal("0.375587"), Decimal("0.845070"))
    before = row("par", date(2026, 6, 24), more_than_days=30)
    assert before["par"] == before["par_with_restructured"]


class TestANewLoanThatPaysOffTheOldOne:
    """Amina repays 500 of 800 and gets 1,000 that pay off the other 300; of each loan 6 % are kept back."""

    MARCH = date(2026, 3, 31)

    @pytest.fixture(autouse=True)
    def story(self, amina: Borrower, fixed_scorer: object) -> None:
        Borrower.objects.update(rung=3, limit_cents=200_000)
        ordinary = factories.like_the_usual()
        terms = ordinary["terms"] | {
            "fees": [{"name": "Fee", "rate": "0.05", "charged": "deducted"}],
            "refinance": {"repaid_share": "0.40"},
        }
        version = ProductVersion.objects.create(**ordinary | {"id": None, "code": "jirani-again", "terms": terms})
        old = self.borrow(amina, version, 800_00, at(3, 2))
        factories.pay(old.reference, 500_00, at=at(3, 16))
        self.borrow(amina, version, 1_000_00, at(3, 18), old)

    @staticmethod
    def borrow(amina: Borrower, version: ProductVersion, cents: int, on: datetime, old: Loan | None = None) -> Loan:
        application = applications.submit(
            borrower_id=amina.id, principal_cents=cents, product_version_id=version.id, shown=factories.shown(on),
            origin=f"ussd:{on}", at=on, refinances_id=old.id if old else None,
        )  # fmt: skip
        factories.decide(application, at=on, limit_cents=cents)
        return factories.pay_out(Loan.objects.get(application=application), at=on)

    def test_the_cash_flow_counts_what_moved(self) -> None:
        march = row("cash_flow", self.MARCH, month=date(2026, 3, 1))
        counted = ("paid_out_cents", "received_cents", "principal_cents", "kept_cents", "net_cents")
        paid_out = 752_00 + 1_000_00 - 60_00 - 300_00
        assert [march[name] for name in counted] == [paid_out, 500_00, 500_00, 0, 500_00 - paid_out]
        assert REPORTS["cash_flow"].records(self.MARCH) == Recount().cash_flow(self.MARCH)

    def test_elsewhere_the_old_one_is_paid(self) -> None:
        april = row("collections", date(2026, 4, 30), month=date(2026, 4, 1))
        assert (april["due_cents"], april["in_time_cents"]) == (1_800_00, 800_00)
        vintage = row("vintage_months", date(2026, 4, 1), days_since_due=0)
        assert (vintage["loans"], vintage["unpaid_cents"]) == (1, 0)


class TestOfANewLender:
    def test_every_report_can_be_made(self, law: None):
        by_loan = (
            "vintage_weeks",
            "vintage_months",
            "roll_rates",
            "first_payment_default",
            "bureau",
            "bureau_rejects",
        )
        for name, shown in REPORTS.items():
            assert bool(shown.records(JUNE)) == (name not in by_loan), name

    def test_there_is_a_row_of_nothing(self, law: None):
        assert row("portfolio", JUNE)["gross_portfolio_cents"] == 0
        assert row("par", JUNE, more_than_days=30)["par"] is None

    def test_before_there_was_a_law_there_is_no_report(self, law: None):
        with pytest.raises(NothingInForce):
            list(REPORTS["portfolio"].rows(date(2019, 1, 1)))


class TestDefinitions:
    @pytest.mark.parametrize("name", REPORTS)
    def test_every_figure_says_what_it_is(self, name: str):
        shown = REPORTS[name]
        assert shown.name == name and shown.title and shown.words.endswith(".")
        assert len({column.name for column in shown.columns}) == len(shown.columns)
        for column in shown.columns:
            assert column.words, column.name
            assert column.name.endswith("_cents") == (column.unit == Unit.CENTS), column.name


class TestALine:
    MARCH, APRIL = date(2026, 3, 31), date(2026, 4, 30)

    def test_each_draw_moves_on_its_own_day(self, amina: Borrower, fixed_scorer: object) -> None:
        ordinary = factories.like_the_usual()
        values = ordinary | {"id": None, "code": "jirani-line", "terms": ordinary["terms"] | credit_line.LINE}
        credit_line.ask(amina, ProductVersion.objects.create(**values))
        line = Loan.objects.get()
        credit_line.arrive(credit_line.draw(line, 600_00, "1", at(3, 28)), at(3, 28))
        credit_line.arrive(credit_line.draw(line, 400_00, "2", at(4, 2)), at(4, 2))
        for day, first, cents in ((self.MARCH, date(2026, 3, 1), 564_00), (self.APRIL, date(2026, 4, 1), 376_00)):
            assert row("cash_flow", day, month=first)["paid_out_cents"] == cents
            assert REPORTS["cash_flow"].records(day) == Recount().cash_flow(day)
