"""Plans of every kind: sums, counts, dates, and the figures of the textbook."""

from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lending.rules import calendar, money, schedule
from lending.rules.daycount import DAY_COUNTS, year_fraction
from lending.rules.pricing import LoanRefused, daily_discount, fee_curve, key_facts
from lending.rules.terms import Grace, Interest, Terms, TermsRefused, read_terms
from tests.lending.rules.strategies import CENTS, ON, terms

LEVEL: dict[str, Any] = {
    "kind": "level",
    "currency": "NGN",
    "min_cents": 1,
    "max_cents": 10**12,
    "term": {"installments": 12, "unit": "month"},
    "interest": {"rate": "0.12", "day_count": "30/360"},
}


def plan_of(principal_cents: int, on: date = date(2026, 1, 15), **changes: Any) -> list[schedule.Row]:
    return schedule.plan(read_terms(LEVEL | changes), principal_cents, on)


class TestEveryPlan:
    @settings(max_examples=60, deadline=None)
    @given(terms(), CENTS, ON)
    def test_principal_adds_up_and_no_installment_is_lost(self, agreed: Terms, cents: int, on: date) -> None:
        rows = schedule.plan(agreed, cents, on)
        assert len(rows) == agreed.term.installments
        assert sum(row.principal for row in rows) == cents
        assert all(row.principal >= 0 and row.interest >= 0 for row in rows)
        due = [row.period.due_on for row in rows]
        assert due == sorted(due)
        assert due[0] > on

    @settings(max_examples=40, deadline=None)
    @given(terms(kinds=("level",)), st.integers(10**6, 10**8), ON)
    def test_level_installments_differ_only_by_the_rounding(self, agreed: Terms, cents: int, on: date) -> None:
        plain = {"grace": Grace(), "interest": Interest(rate=Decimal("0.24"))}
        rows = schedule.plan(agreed.model_copy(update=plain), cents, on)
        totals = [row.total for row in rows]
        if agreed.rounding.mode != "up":
            spread = max(totals[:-1], default=totals[0]) - min(totals[:-1], default=totals[0])
            assert spread <= (agreed.unit_cents if agreed.rounding.remainder == "spread" else 0)

    @settings(max_examples=40, deadline=None)
    @given(terms(kinds=("equal_principal", "flat", "bullet", "interest_only")), CENTS, ON)
    def test_interest_is_the_exact_sum_up_to_one_rounding_each(self, agreed: Terms, cents: int, on: date) -> None:
        rows = schedule.plan(agreed, cents, on)
        if agreed.interest.per == "term" or agreed.plan_kind in ("bullet", "flat"):
            return
        exact = sum(
            (
                row.base_cents * schedule.interest_fraction(agreed.interest, row.period)
                for row in rows[agreed.grace.interest_free :]
            ),
            Fraction(0),
        )
        assert abs(sum(row.interest for row in rows) - exact) <= agreed.unit_cents * len(rows)


class TestFigures:
    def test_a_textbook_loan(self) -> None:
        """1,000.00 at 1 % a month in 12 months: 88.85 a month, and 66.19 of interest in all."""
        rows = plan_of(100_000)
        assert [row.total for row in rows] == [8_885] * 11 + [8_884]
        assert sum(row.interest for row in rows) == 6_619
        assert (rows[0].interest, rows[0].principal) == (1_000, 7_885)

    def test_unequal_periods_have_level_installments(self) -> None:
        rows = plan_of(100_000, on=date(2026, 1, 31), interest={"rate": "0.12"})
        assert {row.total for row in rows[:-1]} == {8_881}
        assert rows[-1].total == 8_879

    def test_two_weeks_at_eight_percent_a_year(self) -> None:
        [row] = plan_of(
            50_000, kind="bullet", term={"installments": 1, "every": 14, "unit": "day"}, interest={"rate": "0.08"}
        )
        assert row.interest == 153

    def test_rounding_up_keeps_the_last_installment(self) -> None:
        """130 at 20 % ran 11 months instead of 12 where the installment was rounded up to whole units."""
        rows = plan_of(13_000, interest={"rate": "0.20"}, rounding={"unit_cents": 100, "mode": "up"})
        assert len(rows) == 12
        assert all(row.principal > 0 for row in rows)

    def test_less_than_a_unit_each_is_still_paid_back(self) -> None:
        rows = plan_of(500, rounding={"unit_cents": 100})
        assert [row.principal for row in rows] == [0] * 11 + [500]

    def test_equal_principal_halves_its_interest(self) -> None:
        rows = plan_of(120_000, kind="equal_principal")
        assert [row.principal for row in rows] == [10_000] * 12
        assert [row.interest for row in rows] == [1_200 - 100 * n for n in range(12)]

    def test_flat_interest_is_on_the_whole_principal(self) -> None:
        rows = plan_of(120_000, kind="flat")
        assert [(row.principal, row.interest) for row in rows] == [(10_000, 1_200)] * 12

    def test_interest_only_keeps_the_principal_to_the_end(self) -> None:
        rows = plan_of(120_000, kind="interest_only")
        assert [row.interest for row in rows] == [1_200] * 12
        assert [row.principal for row in rows] == [0] * 11 + [120_000]

    def test_free_of_interest(self) -> None:
        rows = plan_of(120_000, interest={"rate": "0"})
        assert [row.total for row in rows] == [10_000] * 12

    def test_grace_on_principal_then_level(self) -> None:
        rows = plan_of(100_000, grace={"principal": 2})
        assert [row.total for row in rows[:2]] == [1_000, 1_000]
        assert {row.total for row in rows[2:-1]} == {10_558}

    def test_interest_that_waits_is_asked_for_with_the_first(self) -> None:
        rows = plan_of(100_000, grace={"principal": 3, "interest": 2})
        assert [row.interest for row in rows[:3]] == [0, 0, 3_000]

    def test_an_interest_free_month_costs_nothing(self) -> None:
        rows = plan_of(120_000, kind="equal_principal", grace={"interest_free": 1})
        assert [row.interest for row in rows[:2]] == [0, 1_100]

    @pytest.mark.parametrize(
        ("remainder", "principals"), [("last", [33_300, 33_300, 33_400]), ("spread", [33_300, 33_400, 33_300])]
    )
    def test_the_remainder_is_on_the_last_or_spread(self, remainder: str, principals: list[int]) -> None:
        rows = plan_of(
            100_000,
            kind="equal_principal",
            term={"installments": 3, "unit": "month"},
            rounding={"unit_cents": 100, "remainder": remainder},
        )
        assert [row.principal for row in rows] == principals


class TestDates:
    @pytest.mark.parametrize(
        ("first", "count", "unit", "expected"),
        [
            ("2026-01-31", 1, "month", "2026-02-28"),
            ("2028-01-31", 1, "month", "2028-02-29"),
            ("2026-01-31", 2, "month", "2026-03-31"),
            ("2028-02-29", 12, "month", "2029-02-28"),
            ("2026-12-15", 1, "month", "2027-01-15"),
            ("2026-01-10", 1, "half_month", "2026-01-25"),
            ("2026-01-10", 2, "half_month", "2026-02-10"),
            ("2026-01-25", 1, "half_month", "2026-02-10"),
            ("2026-01-15", 3, "half_month", "2026-02-28"),
            ("2026-01-31", 2, "half_month", "2026-02-28"),
            ("2026-01-30", 4, "half_month", "2026-03-30"),
            ("2026-03-28", 1, "week", "2026-04-04"),  # the clocks of Europe change in between; days do not
            ("2026-03-02", 2, "fortnight", "2026-03-30"),
        ],
    )
    def test_terms_are_counted_from_the_first_date(self, first: str, count: int, unit: str, expected: str) -> None:
        assert calendar.add(date.fromisoformat(first), count, unit).isoformat() == expected

    @given(ON, st.sampled_from(calendar.UNITS), st.integers(1, 48))
    def test_later_terms_are_later(self, first: date, unit: str, count: int) -> None:
        assert first < calendar.add(first, count, unit) < calendar.add(first, count + 1, unit)

    @pytest.mark.parametrize(
        ("rule", "expected"),
        [
            ("none", "2026-05-31"),
            ("next", "2026-06-02"),
            ("previous", "2026-05-29"),
            ("next_in_month", "2026-05-29"),
        ],
    )
    def test_a_due_date_moves_off_closed_days(self, rule: str, expected: str) -> None:
        """31 May 2026 is a Sunday, and 1 June a holiday in Kenya."""
        moved = calendar.move(date(2026, 5, 31), rule, weekend=(5, 6), holidays=[date(2026, 6, 1)])
        assert moved.isoformat() == expected

    def test_a_moved_date_costs_no_interest(self) -> None:
        changes = {"due_dates": {"rule": "next", "weekend": ["saturday", "sunday"]}}
        plain, moved = plan_of(100_000, on=date(2026, 1, 31)), plan_of(100_000, on=date(2026, 1, 31), **changes)
        assert [row.interest for row in plain] == [row.interest for row in moved]
        assert moved[0].period.due_on == date(2026, 3, 2)

    def test_beyond_the_calendar_is_named(self) -> None:
        with pytest.raises(calendar.BeyondCalendar):
            calendar.add(date(9999, 12, 1), 1, "month")

    @given(ON, st.integers(0, 800), st.sampled_from(DAY_COUNTS), st.integers(0, 800))
    def test_day_counts_add_up(self, first: date, days: int, day_count: str, more: int) -> None:
        middle, last = first + timedelta(days=days), first + timedelta(days=days + more)
        parts = year_fraction(first, middle, day_count) + year_fraction(middle, last, day_count)
        assert parts == year_fraction(first, last, day_count)

    def test_a_leap_year_is_a_year_only_where_the_product_says_so(self) -> None:
        year = date(2028, 1, 1), date(2029, 1, 1)
        assert {count: year_fraction(*year, count) for count in DAY_COUNTS} == {
            "act/360": Fraction(366, 360),
            "act/364": Fraction(366, 364),
            "act/365": Fraction(366, 365),
            "act/act": 1,
            "30/360": 1,
        }


class TestPrices:
    BULLET = LEVEL | {
        "kind": "bullet",
        "term": {"installments": 1, "every": 30, "unit": "day"},
        "interest": {"rate": "0"},
        "fees": [{"name": "fee", "rate": "0.075"}],
    }

    def facts(self, cents: int = 100_000, **changes: Any) -> Any:
        return key_facts(read_terms(self.BULLET | changes), cents, date(2026, 3, 2))

    def test_seventy_five_on_a_thousand(self) -> None:
        facts = self.facts()
        assert (facts.apr, round(facts.effective_rate, 2)) == (Decimal("0.9125"), Decimal("1.41"))

    def test_deducted_it_is_dearer(self) -> None:
        facts = self.facts(fees=[{"name": "fee", "rate": "0.075", "charged": "deducted"}])
        assert (facts.received_cents, facts.total_cents) == (92_500, 100_000)
        assert (round(facts.apr, 3), round(facts.effective_rate, 2)) == (Decimal("0.986"), Decimal("1.58"))

    def test_the_nominal_rate_of_a_level_loan_is_its_rate(self) -> None:
        facts = key_facts(read_terms(LEVEL), 10**10, date(2026, 1, 15))
        assert abs(facts.apr - Decimal("0.12")) < Decimal("0.001")
        assert abs(facts.effective_rate - Decimal("0.1268")) < Decimal("0.001")

    def test_nothing_costs_nothing(self) -> None:
        facts = self.facts(fees=[], term={"installments": 1, "every": 30, "unit": "day"})
        assert (facts.cost_cents, facts.apr, facts.effective_rate) == (0, 0, 0)

    @settings(max_examples=40, deadline=None)
    @given(terms(), CENTS, ON)
    def test_the_flows_are_worth_what_was_received(self, agreed: Terms, cents: int, on: date) -> None:
        try:
            facts = key_facts(agreed, cents, on)
        except LoanRefused:
            return
        assert facts.received_cents + facts.cost_cents >= facts.principal_cents
        assert facts.total_cents - facts.received_cents == facts.cost_cents
        assert facts.apr >= 0
        # Simple interest of one payment after more than a year is a yearly rate that grows faster than money does.
        if facts.due_on <= on + timedelta(days=365):
            assert facts.effective_rate >= facts.apr - Decimal("0.0002")

    def test_a_discount_is_the_same_on_every_machine(self) -> None:
        assert str(daily_discount(100_000, [(30, 53_750), (60, 53_750)]))[:12] == "0.9983876664"[:12]

    @pytest.mark.parametrize("cents", [0, 10**12 + 1, -1])
    def test_an_amount_outside_the_bounds_is_refused(self, cents: int) -> None:
        with pytest.raises(LoanRefused, match="principal_cents must be from"):
            self.facts(cents)

    def test_more_deducted_than_lent_is_refused(self) -> None:
        with pytest.raises(LoanRefused, match="deducted"):
            self.facts(100, fees=[{"name": "fee", "amount_cents": 100, "charged": "deducted"}])

    @given(st.integers(100, 10**9), st.integers(1, 10**8), st.integers(0, 10**7), st.integers(1, 200))
    @settings(max_examples=30, deadline=None)
    def test_the_fee_of_an_advance_is_earned_to_the_cent(
        self, principal: int, fee: int, daily: int, days: int
    ) -> None:
        curve = fee_curve(principal, fee, daily, days)
        assert curve.fee[0] == 0
        assert curve.fee[-1] == fee
        assert list(curve.fee) == sorted(curve.fee)
        assert curve.paid[-1] == principal + fee


class TestTerms:
    @pytest.mark.parametrize(
        ("changes", "path"),
        [
            ({"kind": "balloon"}, "kind"),
            ({"currency": "EUR"}, "currency"),
            ({"colour": "red"}, "colour"),
            ({"min_cents": 0}, "min_cents"),
            ({"min_cents": -5}, "min_cents"),
            ({"min_cents": 1.0}, "min_cents"),
            ({"min_cents": True}, "min_cents"),
            ({"min_cents": "5"}, "min_cents"),
            ({"min_cents": 10**13}, "min_cents"),
            ({"max_cents": 10**31}, "max_cents"),
            ({"term": None}, "term"),
            ({"term": {"installments": 0, "unit": "day"}}, "term.installments"),
            ({"term": {"installments": 3, "unit": "year"}}, "term.unit"),
            ({"term": {"installments": 3}}, "term.unit"),
            ({"term": {"installments": 300, "unit": "month"}}, "term"),
            ({"interest": {"rate": 0.12}}, "interest.rate"),
            ({"interest": {"rate": "twelve"}}, "interest.rate"),
            ({"interest": {"rate": "-0.12"}}, "interest.rate"),
            ({"interest": {"rate": "NaN"}}, "interest.rate"),
            ({"interest": {"rate": "Infinity"}}, "interest.rate"),
            ({"interest": {"rate": "1e-40"}}, "interest.rate"),
            ({"interest": {"rate": "0.1", "per": "term"}}, "interest.per"),
            ({"kind": "bullet"}, "term.installments"),
            ({"fees": [{"name": "fee"}]}, "fees[0].rate"),
            ({"fees": [{"name": "fee", "rate": "0.1", "amount_cents": 5}]}, "fees[0].rate"),
            ({"fees": [{"name": "fee", "rate": "0.1"}, {"rate": "0.1"}]}, "fees[1].name"),
            ({"fees": [{"name": "fee", "rate": "0.1", "charged": "on_day"}]}, "fees[0].on_day"),
            ({"fees": [{"name": "fee", "rate": "0.1", "on_day": 3}]}, "fees[0].on_day"),
            ({"fees": [{"name": "fee", "rate": "0.1", "min_cents": 5, "max_cents": 4}]}, "fees[0].min_cents"),
            ({"fees": [{"name": "fee", "rate": "0.1", "rebated": True}]}, "fees[0].rebated"),
            ({"fees": {}}, "fees"),
            ({"grace": {"principal": 12}}, "grace.principal"),
            ({"grace": {"interest": -1}}, "grace.interest"),
            ({"rounding": {"unit_cents": 0}}, "rounding.unit_cents"),
            ({"rounding": {"mode": "down"}}, "rounding.mode"),
            ({"due_dates": {"weekend": ["caturday"]}}, "due_dates.weekend[0]"),
            ({"allocation": {"due": ["fee"]}}, "allocation.due"),
            ({"allocation": {"due": ["fee"] * 5}}, "allocation.due"),
            ({"penalties": [{"name": "late"}]}, "penalties[0].rate"),
            ({"extension": {"every": 1, "unit": "week", "most_times": 1}}, "extension.rate"),
            ({"kind": "sales_share", "term": {"installments": 1, "unit": "day"}}, "sales_share"),
            ({"sales_share": {"share": "0.1"}}, "sales_share"),
            ({"refinance": {"repaid_share": 0.5}}, "refinance.repaid_share"),
            ({"kind": "credit_line", "draw": "level", "refinance": {"repaid_share": "0.5"}}, "refinance"),
            ({"allocation": {"advance": "reamortise"}, "early": {"interest": "all"}}, "early.interest"),
        ],
    )
    def test_what_cannot_be_sold_is_refused_with_its_path(self, changes: dict[str, Any], path: str) -> None:
        with pytest.raises(TermsRefused) as refused:
            read_terms(LEVEL | changes)
        assert refused.value.path == path
        assert str(refused.value).startswith(path)

    @pytest.mark.parametrize("json", [None, [], 5, "level"])
    def test_terms_are_an_object(self, json: object) -> None:
        with pytest.raises(TermsRefused, match=r"terms: must be an object"):
            read_terms(json, "terms")

    def test_a_weekend_without_an_open_day_is_refused(self) -> None:
        days = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
        with pytest.raises(TermsRefused, match=r"due_dates\.weekend"):
            read_terms(LEVEL | {"due_dates": {"rule": "next", "weekend": days}})


class TestRounding:
    @given(st.integers(-(10**6), 10**6), st.integers(1, 1000), st.sampled_from(["half_up", "half_even", "up"]))
    def test_is_near_and_a_multiple(self, cents: int, unit: int, mode: str) -> None:
        exact = Fraction(cents, 7)
        rounded = money.round_to(exact, unit, mode)
        assert rounded % unit == 0
        assert abs(rounded - exact) <= (unit if mode == "up" else Fraction(unit, 2))

    @given(st.integers(0, 10**9), st.integers(1, 40), st.integers(1, 500))
    def test_a_spread_is_even_to_the_unit(self, cents: int, parts: int, unit: int) -> None:
        spread = money.spread(cents, parts, unit)
        assert sum(spread) == cents
        assert min(spread) >= 0
        assert max(spread) - min(spread) <= 2 * unit
