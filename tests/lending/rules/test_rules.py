"""Price, allocation, arrears, ladder, country: pure rules."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lending.rules import arrears, calendar, limits, pricing
from lending.rules.accounting import disbursement, recovery, repayment, write_off
from lending.rules.allocation import KINDS, Due, allocate
from lending.rules.terms import read_terms
from tests.factories import FLAT_30

TERMS = read_terms(FLAT_30)
DAY = date(2026, 2, 12)
cents = st.integers(0, 10**9)
dues = st.lists(st.builds(Due, cents, cents, cents, cents, cents), max_size=6)


class TestQuote:
    def test_a_worked_example(self) -> None:
        priced = pricing.key_facts(TERMS, 100_000, DAY)
        assert (priced.fee_cents, priced.tax_cents, priced.total_cents) == (5_000, 1_000, 106_000)
        assert priced.apr == Decimal("0.7300")
        assert priced.due_on == date(2026, 3, 14)

    @given(principal=st.integers(200, 50_000).map(lambda whole: whole * 100))
    def test_every_part_is_payable_in_whole_shillings(self, principal: int) -> None:
        priced = pricing.key_facts(TERMS, principal, DAY)
        assert priced.fee_cents % 100 == priced.tax_cents % 100 == 0
        assert priced.total_cents == principal + priced.fee_cents + priced.tax_cents

    def test_the_reference_figures_of_a_yearly_rate(self) -> None:
        assert pricing.nominal_apr(7_500, 100_000, 30) == Decimal("0.9125")
        assert pricing.effective_apr(7_500, 92_500, 30).quantize(Decimal("0.01")) == Decimal("1.58")


class TestAllocate:
    @given(paid=cents, dues=dues, order=st.permutations(KINDS))
    def test_neither_makes_nor_loses_money(self, paid: int, dues: list[Due], order: list[str]) -> None:
        covered, over = allocate(paid, dues, order)
        assert sum(due.total for due in covered) + over == paid
        assert over == max(0, paid - sum(due.total for due in dues))

    @given(paid=cents, dues=dues)
    def test_an_older_installment_is_full_before_the_next_gets_anything(self, paid: int, dues: list[Due]) -> None:
        covered, _ = allocate(paid, dues)
        for (older, owed), (newer, _) in pairwise(zip(covered, dues, strict=True)):
            assert newer.total == 0 or older == owed

    def test_follows_the_loans_own_order(self) -> None:
        covered, _ = allocate(100, [Due(fee=80, principal=80)], ["principal", "penalty", "fee", "tax", "interest"])
        assert covered == [Due(principal=80, fee=20)]

    def test_refuses_an_order_that_forgets_a_kind(self) -> None:
        with pytest.raises(ValueError, match="order must name each"):
            allocate(1, [], ["principal"])


@given(due=st.builds(Due, cents, cents, cents, cents, cents), over=cents)
def test_the_legs_of_every_event_balance(due: Due, over: int) -> None:
    for lines in (
        disbursement(due.principal, due.fee, due.tax),
        repayment(due, over),
        repayment(due, over, source="suspense"),
        recovery(due, over),
        write_off(due),
    ):
        assert sum(line.debit_cents - line.credit_cents for line in lines) == 0


@given(days=st.integers(0, 2_000))
def test_days_past_due_is_zero_on_the_day_and_one_the_next(days: int) -> None:
    due = date(2026, 1, 31)
    assert arrears.days_past_due([due, due + timedelta(days=30)], due + timedelta(days=days)) == days
    assert arrears.days_past_due([], due) == 0


@pytest.mark.parametrize(
    ("rung", "late", "after"),
    [(0, 0, 1), (11, 0, 11), (3, 1, 2), (0, 1, 0), (3, 8, 1), (1, 30, 0), (9, 31, 0)],
)
def test_the_ladder_goes_up_one_and_down_by_lateness(rung: int, late: int, after: int) -> None:
    assert limits.next_rung(rung, late, top=11) == after


def test_a_business_date_is_local() -> None:
    assert calendar.business_date(datetime(2026, 3, 1, 21, 30, tzinfo=UTC), "Africa/Nairobi") == date(2026, 3, 2)
