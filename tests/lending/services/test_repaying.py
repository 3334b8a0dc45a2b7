"""What a payment does to a stored loan, by the road that money takes: receipt, facts, allocations, books."""

from collections import Counter
from datetime import date, datetime
from typing import Any

import pytest

from lending.ledger import balance_cents
from lending.models import Allocation, Loan, ProductVersion
from lending.rules.allocation import KINDS
from lending.selectors import contracts
from tests.factories import pay
from tests.lending.lending import happen, lend, noon, product

LEVEL = {"kind": "level", "term": {"installments": 12, "unit": "month"}, "interest": {"rate": "0.12"}}
FLAT = {
    "kind": "flat",
    "term": {"installments": 4, "unit": "week"},
    "interest": {"rate": "0.01", "per": "period"},
    "fees": [{"name": "Fee", "amount_cents": 1_000, "due": "spread"}],
}
START = noon(2026, 3, 2)
pytestmark = pytest.mark.usefixtures("law")


def lent(terms: dict[str, Any], principal_cents: int = 500_000, at: datetime = START) -> Loan:
    return lend(product(terms), principal_cents, at)


def repay(loan: Loan, cents: int, at: datetime, receipt_no: str = "SFC7XK2") -> Loan:
    pay(loan.reference, cents, receipt_no, at=at)
    loan.refresh_from_db()
    return loan


def covered(loan: Loan, receipt_no: str = "SFC7XK2", kind: str = "paid") -> dict[tuple[str, str], int]:
    """Return how much of which kind of which due a receipt covered, by due date."""
    sums: Counter[tuple[str, str]] = Counter()
    rows = Allocation.objects.filter(installment__loan=loan, event_key=f"receipt:daraja:{receipt_no}", kind=kind)
    for row in rows.select_related("installment"):
        for one in KINDS:
            sums[str(row.installment.due_on), one] += getattr(row, f"{one}_cents")
    return {key: cents for key, cents in sums.items() if cents}


class TestOrder:
    def test_goes_by_bucket_and_kind_as_the_loan_s_own_product_says(self) -> None:
        order = ["principal", "interest", "fee", "tax", "penalty"]
        loan = lent(FLAT | {"allocation": {"past_due": order}}, 40_000)
        repay(loan, 10_500, noon(2026, 3, 12))
        # 9 March is past due and goes principal first; 16 March is ahead, in the usual order.
        assert covered(loan) == {
            ("2026-03-09", "principal"): 10_000,
            ("2026-03-09", "interest"): 400,
            ("2026-03-09", "fee"): 100,
        }

    def test_is_frozen_on_the_loan(self) -> None:
        loan = lent(FLAT, 40_000)
        terms = loan.product_version.terms | {
            "allocation": {"past_due": ["principal", "interest", "fee", "tax", "penalty"]}
        }
        ProductVersion.objects.create(
            **{field: getattr(loan.product_version, field) for field in ("code", "name", "currency", "country")},
            version=2, effective_on="2026-03-03", proposed_by="maker", approved_on="2026-03-03",
            approved_by="checker", loss_brake=loan.product_version.loss_brake, terms=terms, ladder_cents=[100_000],
        )  # fmt: skip
        repay(loan, 500, noon(2026, 3, 12))
        assert covered(loan) == {("2026-03-09", "fee"): 300, ("2026-03-09", "interest"): 200}

    def test_a_charge_is_due_on_its_own_date(self) -> None:
        loan = lent(FLAT, 40_000)
        happen(loan, "charge", noon(2026, 3, 3), amount_cents=700, part="fee", due_on="2026-03-11")
        repay(loan, 11_400, noon(2026, 3, 12))
        assert covered(loan) == {
            ("2026-03-09", "fee"): 300,
            ("2026-03-09", "interest"): 400,
            ("2026-03-09", "principal"): 10_000,
            ("2026-03-11", "fee"): 700,
        }

    def test_a_part_leaves_the_rest_owed_and_late(self) -> None:
        loan = repay(lent(FLAT, 40_000), 5_000, noon(2026, 3, 12))
        assert (loan.outstanding_cents, loan.unpaid_since) == (40_000 + 1_600 + 1_000 - 5_000, date(2026, 3, 9))


class TestEarly:
    @pytest.mark.parametrize(
        ("rule", "interest_cents"), [("to_day", 1_642), ("to_period_end", 4_600), ("all", None)]
    )
    def test_what_settles_it_is_told_before_and_settles_it(self, rule: str, interest_cents: int | None) -> None:
        loan = lent(LEVEL | {"early": {"interest": rule}}, at=noon(2026, 2, 1))
        loan.refresh_from_db()
        on = noon(2026, 2, 11)
        told = contracts.payoff(contracts.with_contract().get(id=loan.id), on.date())
        assert told.principal == 500_000
        assert told.interest == (interest_cents or loan.outstanding_cents - 500_000)
        repay(loan, told.total, on)
        assert (loan.state, loan.outstanding_cents) == ("settled", 0)
        assert -balance_cents("interest_income", "KES") == told.interest
        assert balance_cents("interest_receivable", "KES") == balance_cents("principal_receivable", "KES") == 0
        assert balance_cents("customer_overpayments", "KES") == 0

    def test_a_cent_less_does_not_settle_it_and_forgives_nothing(self) -> None:
        loan = lent(LEVEL)
        told = contracts.payoff(contracts.with_contract().get(id=loan.id), date(2026, 3, 12))
        repay(loan, told.total - 1, noon(2026, 3, 12))
        assert loan.state == "live"
        assert covered(loan, kind="rebated") == {}

    def test_all_that_was_agreed_comes_too_and_what_was_not_earned_is_the_customers(self) -> None:
        loan = lent(LEVEL)
        told = contracts.payoff(contracts.with_contract().get(id=loan.id), date(2026, 3, 12))
        loan.refresh_from_db()
        whole = loan.outstanding_cents
        repay(loan, whole, noon(2026, 3, 12))
        assert loan.state == "settled"
        assert -balance_cents("customer_overpayments", "KES") == whole - told.total

    @pytest.mark.parametrize("charged", ["with_loan", "deducted"])
    def test_a_fee_is_given_back_as_far_as_it_was_not_earned(self, charged: str) -> None:
        fee = {"name": "fee", "rate": "0.05", "earned": "over_term", "rebated": True, "charged": charged}
        loan = lent({"fees": [fee], "tax": {"rate": "0.2"}}, 50_000)
        told = contracts.payoff(contracts.with_contract().get(id=loan.id), date(2026, 3, 17))
        # Half of 30 days: of the fee of 25 and its tax of 5, 12.50 and 2.50 were earned.
        assert told.total == (50_000 + 1_250 + 250 if charged == "with_loan" else 50_000 - 1_250 - 250)
        repay(loan, told.total, noon(2026, 3, 17))
        assert loan.state == "settled"
        assert -balance_cents("fee_income", "KES") == 1_250
        assert -balance_cents("excise_payable", "KES") == 250
        assert balance_cents("deferred_fee_income", "KES") == 0


class TestTolerance:
    @pytest.mark.parametrize(("left", "state"), [(50, "settled"), (51, "live")])
    def test_what_is_left_is_closed_up_to_the_tolerance(self, left: int, state: str) -> None:
        loan = lent({"closing_tolerance_cents": 50}, 50_000)
        repay(loan, 50_000 - left, noon(2026, 3, 12))
        assert loan.state == state
        assert balance_cents("small_balances", "KES") == (left if state == "settled" else 0)
        assert balance_cents("principal_receivable", "KES") == loan.outstanding_cents
