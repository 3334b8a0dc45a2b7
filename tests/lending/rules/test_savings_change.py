"""A change of terms: what is worse, which account goes over when, and no interest is lost or counted twice."""

from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lending.rules.savings import (
    DAY,
    PARTS_PER_CENT,
    Move,
    SavingsTerms,
    Standing,
    accrue,
    earned_parts,
    read_terms,
)
from lending.rules.savings_change import Agreed, Change, Version, correct, end_terms, next_change, what_is_worse
from tests.lending.rules.test_savings import FIRST, TERMS, interest, interests

LATER = date(2026, 3, 1)


def terms(**changes: Any) -> SavingsTerms:
    return read_terms(TERMS | changes)


def earning(*rates: str, **changes: Any) -> SavingsTerms:
    """Return terms whose tiers begin every 1,000.00."""
    tiers = [{"from_cents": 100_000 * place, "rate": rate} for place, rate in enumerate(rates)]
    return terms(interest=TERMS["interest"] | {"tiers": tiers} | changes)  # type: ignore[operator]


class TestWhatIsWorse:
    @pytest.mark.parametrize(
        ("new", "worse"),
        [
            (earning("0.04", "0.06"), []),
            (earning("0.05", "0.06"), []),
            (earning("0.04", "0.05"), ["interest"]),
            (earning("0.5", "0.06", "0.059"), ["interest"]),
            (earning("0.03", "0.5"), ["interest"]),
            (earning("0.04", "0.06", tax_rate="0.16"), ["interest"]),
            (earning("0.04", "0.06", balance="minimum"), ["interest"]),
            (earning("0.04", "0.06", credited="daily"), []),
            (earning("0.04", "0.06", tiers_apply_to="whole"), []),
        ],
        ids=["same", "more", "less above", "less far above", "less below", "tax", "strict", "often", "whole"],
    )
    def test_interest_is_worse_if_any_balance_earns_less(self, new: SavingsTerms, worse: list[str]) -> None:
        assert what_is_worse(new, earning("0.04", "0.06")) == worse

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("interest", None),
            ("minimum_balance_cents", 1),
            ("dormant_after_days", 364),
            ("lock", None),
            ("lock", {"exit_after_hours": [24], "longest_days": 365}),
            ("lock", {"exit_after_hours": [24, 72], "longest_days": 364}),
            ("save_first", None),
            ("save_first", {"deposits": 5, "every_days": 7, "minimum_cents": 1_000}),
            ("save_first", {"deposits": 4, "every_days": 7, "minimum_cents": 1_001}),
            ("save_first", {"deposits": 4, "every_days": 8, "minimum_cents": 1_000}),
        ],
    )
    def test_each_term_has_a_worse_side(self, field: str, value: Any) -> None:
        assert what_is_worse(terms(**{field: value}), terms()) == [field]

    @given(old=interests(), new=interests(), balance=st.integers(0, 10**13))
    def test_what_is_not_worse_earns_no_less_on_any_balance(self, old: Any, new: Any, balance: int) -> None:
        from lending.rules.savings import parts_a_day

        if not what_is_worse(
            terms(interest=new.model_dump(mode="json")), terms(interest=old.model_dump(mode="json"))
        ):
            net = [parts_a_day(one, balance) * (10**6 - one.tax_ppm) for one in (old, new)]
            assert net[0] <= net[1]


class TestNextChange:
    OWN = Version(1, 1, date(2025, 1, 1), earning("0.04"))
    WORSE = Version(2, 2, LATER, earning("0.03"))
    BETTER = Version(3, 3, LATER + 10 * DAY, earning("0.05"))

    @pytest.mark.parametrize(
        ("versions", "first", "locked_until", "change"),
        [
            ([], FIRST, None, None),
            ([OWN], FIRST, None, None),
            ([WORSE], FIRST, None, Change(LATER, WORSE)),
            ([WORSE], LATER + DAY, None, Change(LATER + DAY, WORSE)),
            ([WORSE], FIRST, LATER - DAY, Change(LATER, WORSE)),
            ([WORSE], FIRST, LATER, Change(LATER + DAY, WORSE)),
            ([BETTER], FIRST, LATER + 90 * DAY, Change(BETTER.effective_on, BETTER)),
            ([WORSE, BETTER], FIRST, None, Change(LATER, WORSE)),
            ([WORSE, BETTER], FIRST, LATER + 90 * DAY, Change(BETTER.effective_on, BETTER)),
            ([WORSE, BETTER], FIRST, LATER + 3 * DAY, Change(LATER + 4 * DAY, WORSE)),
            ([WORSE, BETTER], LATER + 20 * DAY, None, Change(LATER + 20 * DAY, BETTER)),
        ],
    )
    def test_the_day_is_the_versions_own_unless_a_lock_or_a_closed_day_is_in_the_way(
        self, versions: list[Version], first: date, locked_until: date | None, change: Change | None
    ) -> None:
        assert next_change(self.OWN, versions, first, locked_until) == change


class TestAcrossAChange:
    DEPOSIT = [Move(FIRST, 1_000_000)]

    def standing(self) -> Standing:
        return Standing(1_000_000, 0, FIRST - DAY, FIRST)

    def test_up_to_the_day_before_by_the_old_rate_and_from_then_on_by_the_new(self) -> None:
        old, new = (interest(tiers=[{"from_cents": 0, "rate": rate}], tax_rate="0") for rate in ("0.0365", "0.073"))
        now, _ = accrue(old, self.standing(), FIRST + 9 * DAY)
        now, credit = end_terms(old, now, is_locked=False)
        assert credit is not None and (credit.on, credit.gross_cents) == (FIRST + 9 * DAY, 1_000)
        now, credits = accrue(new, now, FIRST + 10 * DAY)
        assert credits == [] and now.accrued_parts == 1_001_000 * 73_000

    def test_in_a_lock_nothing_is_credited_and_nothing_lost(self) -> None:
        old = interest(tiers=[{"from_cents": 0, "rate": "0.0365"}])
        locked_until = FIRST + 90 * DAY
        now, _ = accrue(old, self.standing(), FIRST + 9 * DAY, locked_until)
        ended, credit = end_terms(old, now, is_locked=True)
        assert credit is None
        assert (ended.accrued_parts, ended.period_on) == (1_000 * PARTS_PER_CENT, FIRST + 10 * DAY)

    def test_a_period_that_ended_by_itself_is_not_credited_twice(self) -> None:
        old = interest(credited="daily", tiers=[{"from_cents": 0, "rate": "0.0365"}])
        now, credits = accrue(old, self.standing(), FIRST)
        assert len(credits) == 1
        assert end_terms(old, now, is_locked=False) == (now, None)

    @given(
        old=interests(),
        new=interests(),
        late_on=st.integers(0, 40),
        changed=st.integers(1, 40),
        cents=st.integers(-(10**6), 10**12),
    )
    def test_a_late_word_earns_on_each_day_by_the_terms_of_that_day(
        self, old: Any, new: Any, late_on: int, changed: int, cents: int
    ) -> None:
        """As if it had been known: the difference is that of the days that are counted again."""
        changed_on, last = FIRST + changed * DAY, FIRST + 40 * DAY
        late = Move(FIRST + late_on * DAY, cents)
        now = Standing(1_000_000, 5, last, changed_on)
        then = correct([Agreed(date.min, old), Agreed(changed_on, new)], now, self.DEPOSIT, late, FIRST)
        change = 0
        for offset in range(41):
            day = FIRST + timedelta(days=offset)
            by = old if day < changed_on else new
            if by.balance == "daily" and day >= late.on:
                known, before = ([*self.DEPOSIT, late], self.DEPOSIT)
                change += earned_parts(by, known, day, day) - earned_parts(by, before, day, day)
        if new.balance == "minimum":
            change += earned_parts(new, [*self.DEPOSIT, late], changed_on, last)
            change -= earned_parts(new, self.DEPOSIT, changed_on, last)
        assert then.accrued_parts == 5 + change
        assert then.balance_cents == 1_000_000 + cents
