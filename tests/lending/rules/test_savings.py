"""Savings rules: terms that are refused, interest to the cent by any path, shares that are the pot."""

import copy
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lending.rules import savings
from lending.rules.savings import (
    DAY,
    PARTS_PER_CENT,
    Interest,
    Move,
    SavingsTermsRefused,
    Standing,
    accrue,
    earned_parts,
    next_credit_on,
    read_terms,
)
from lending.rules.savings_change import Agreed, correct

TERMS = {
    "minimum_balance_cents": 0,
    "dormant_after_days": 365,
    "interest": {
        "balance": "daily",
        "tiers_apply_to": "part",
        "tiers": [{"from_cents": 0, "rate": "0.04"}, {"from_cents": 5_000_000, "rate": "0.06"}],
        "credited": "monthly",
        "tax_rate": "0.15",
    },
    "goal": {"suggest_from": "0.01", "suggest_to": "0.02"},
    "lock": {"exit_after_hours": [24, 72], "longest_days": 365},
    "save_first": {"deposits": 4, "every_days": 7, "minimum_cents": 1_000},
}


def interest(**changes: Any) -> Interest:
    return Interest.model_validate(TERMS["interest"] | changes)  # type: ignore[operator]


class TestTerms:
    def test_terms_are_read_and_cannot_be_changed(self) -> None:
        terms = read_terms(TERMS)
        assert terms.interest is not None and [tier.ppm for tier in terms.interest.tiers] == [40_000, 60_000]
        with pytest.raises(ValueError, match="frozen"):
            terms.dormant_after_days = 1

    @pytest.mark.parametrize(
        ("path", "value", "fault"),
        [
            ("minimum_balance_cents", -1, "greater than or equal to 0, got '-1'"),
            ("minimum_balance_cents", "0", "valid integer"),
            ("minimum_balance_cents", True, "valid integer"),
            ("minimum_balance_cents", 1.0, "valid integer"),
            ("dormant_after_days", 0, "greater than or equal to 1"),
            ("interest.tiers[0].rate", 0.04, "need a text .* got 0.04"),
            ("interest.tiers[1].rate", "0.0000001", "up to six decimals"),
            ("interest.tiers[0].rate", "1.5", "from 0 to 1"),
            ("interest.tiers[0].rate", "-0.1", "from 0 to 1"),
            ("interest.tiers[0].rate", "NaN", "from 0 to 1"),
            ("interest.tiers[0].from_cents", "5", "valid integer"),
            ("interest.tiers", [], "at least 1 item"),
            ("interest.balance", "average", "'daily' or 'minimum'"),
            ("interest.bonus", 1, "Extra inputs"),
            ("lock.exit_after_hours[0]", 23, "greater than or equal to 24"),
            ("save_first.deposits", 0, "greater than or equal to 1"),
            ("compounding", "daily", "Extra inputs"),
        ],
    )
    def test_a_fault_is_refused_with_its_path(self, path: str, value: Any, fault: str) -> None:
        stored = copy.deepcopy(TERMS)
        place: Any = stored
        *steps, last = [
            int(step) if step.isdigit() else step for step in path.replace("[", ".").replace("]", "").split(".")
        ]
        for step in steps:
            place = place[step]
        place[last] = value
        with pytest.raises(SavingsTermsRefused, match=fault) as refused:
            read_terms(stored)
        assert refused.value.path == path

    @pytest.mark.parametrize(
        ("path", "changes", "fault"),
        [
            ("interest", {"tiers": [{"from_cents": 1, "rate": "0"}]}, "start at 0"),
            ("interest", {"tiers": [{"from_cents": 0, "rate": "0"}] * 2}, "and rise"),
            ("interest", {"balance": "minimum", "credited": "daily"}, "credited must be monthly"),
            ("goal", {"suggest_from": "0.03"}, "suggest_from <= suggest_to"),
            ("goal", {"suggest_from": "0"}, "0 < suggest_from"),
        ],
    )
    def test_terms_that_contradict_each_other_are_refused(self, path: str, changes: Any, fault: str) -> None:
        with pytest.raises(SavingsTermsRefused, match=fault) as refused:
            read_terms(TERMS | {path: TERMS[path] | changes})  # type: ignore[operator]
        assert refused.value.path == path

    @pytest.mark.parametrize("missing", TERMS)
    def test_a_missing_field_is_named(self, missing: str) -> None:
        with pytest.raises(SavingsTermsRefused, match="required") as refused:
            read_terms({key: value for key, value in TERMS.items() if key != missing})
        assert refused.value.path == missing

    @pytest.mark.parametrize("stored", [None, [], "terms", 5])
    def test_what_is_no_object_is_refused(self, stored: Any) -> None:
        with pytest.raises(SavingsTermsRefused):
            read_terms(stored)


# --- interest -----------------------------------------------------------------------------------------------
FIRST = date(2024, 1, 20)  # a leap year, and not the first of a month
KINDS = [("daily", "daily"), ("daily", "monthly"), ("minimum", "monthly")]


@st.composite
def interests(draw: st.DrawFn) -> Interest:
    """Any terms of interest: one to three tiers, every way to count and credit."""
    starts = [0, *sorted(draw(st.sets(st.integers(1, 10**12), max_size=2)))]
    balance, credited = draw(st.sampled_from(KINDS))
    return Interest.model_validate(
        {
            "balance": balance,
            "credited": credited,
            "tiers_apply_to": draw(st.sampled_from(["part", "whole"])),
            "tiers": [{"from_cents": start, "rate": f"0.{draw(st.integers(0, 300_000)):06d}"} for start in starts],
            "tax_rate": draw(st.sampled_from(["0", "0.15", "0.333333"])),
        }
    )


# Days after the opening and cents; a story of money that comes and goes.
stories = st.lists(st.tuples(st.integers(0, 70), st.integers(-(10**12), 10**12)), max_size=8)


def opened() -> Standing:
    return Standing(0, 0, FIRST - DAY, FIRST)


class Saver:
    """One account, played the way the service plays it."""

    def __init__(self, terms: Interest, locked_until: date | None = None) -> None:
        self.terms, self.locked_until = terms, locked_until
        self.now, self.moves, self.gross_cents = opened(), list[Move](), 0

    def until(self, day: date) -> None:
        self.now, credits = accrue(self.terms, self.now, day, self.locked_until)
        self.moves += [Move(credit.on + DAY, credit.net_cents) for credit in credits]
        self.gross_cents += sum(credit.gross_cents for credit in credits)

    def move(self, on: date, wanted_cents: int) -> None:
        self.until(on - DAY)
        move = Move(on, max(wanted_cents, -self.now.balance_cents))
        if on <= self.now.accrued_on:
            self.now = correct([Agreed(date.min, self.terms)], self.now, self.moves, move, FIRST)
        else:
            self.now = savings.replace(self.now, balance_cents=self.now.balance_cents + move.cents)
        self.moves.append(move)

    @property
    def said_parts(self) -> int:
        return self.now.accrued_parts + self.gross_cents * PARTS_PER_CENT

    @property
    def earned_parts(self) -> int:
        """What the movements alone say, each period by itself."""
        total, first = 0, FIRST
        while first <= self.now.accrued_on:
            end = next_credit_on(self.terms, first, self.locked_until)
            total += earned_parts(self.terms, self.moves, first, min(end, self.now.accrued_on))
            first = end + DAY
        return total


class TestInterest:
    @pytest.mark.parametrize(
        ("apply_to", "balance_cents", "cents_a_year"),
        [
            ("part", 5_000_000, 200_000),
            ("part", 5_000_100, 200_006),
            ("whole", 4_999_900, 199_996),
            ("whole", 5_000_000, 300_000),
            ("part", -5, 0),
            ("whole", -5, 0),
        ],
    )
    def test_tiers_hold_for_parts_or_for_the_whole(
        self, apply_to: str, balance_cents: int, cents_a_year: int
    ) -> None:
        parts = savings.parts_a_day(interest(tiers_apply_to=apply_to), balance_cents)
        assert parts * 365 == cents_a_year * PARTS_PER_CENT

    def test_the_day_of_a_deposit_earns_and_that_of_a_withdrawal_does_not(self) -> None:
        saver = Saver(interest(tiers=[{"from_cents": 0, "rate": "0.0365"}]))
        saver.move(FIRST, 100_000)
        saver.move(FIRST + 3 * DAY, -100_000)
        saver.until(FIRST + 9 * DAY)
        assert saver.now.accrued_parts == 3 * 10 * PARTS_PER_CENT

    def test_a_lock_credits_once_at_its_end(self) -> None:
        _, credits = accrue(
            interest(), savings.replace(opened(), balance_cents=10**6), date(2024, 5, 31), date(2024, 4, 15)
        )
        assert [credit.on for credit in credits] == [date(2024, 4, 15), date(2024, 4, 30), date(2024, 5, 31)]

    def test_the_lowest_closing_balance_earns_for_the_whole_period(self) -> None:
        saver = Saver(interest(balance="minimum", tiers=[{"from_cents": 0, "rate": "0.0365"}]))
        saver.move(FIRST, 100_000)
        saver.move(date(2024, 1, 31), -60_000)
        saver.move(date(2024, 2, 1), 60_000)
        saver.until(date(2024, 2, 28))
        # Twelve days of January on 400, 28 days of February on 1,000 and the interest of January.
        assert saver.gross_cents == 48
        assert saver.now.lowest_cents == 100_000 + 48 - 7

    @given(terms=interests(), story=stories, stops=st.sets(st.integers(0, 90)), lock=st.none() | st.integers(0, 80))
    def test_any_path_to_a_day_earns_the_same(
        self, terms: Interest, story: list[tuple[int, int]], stops: set[int], lock: int | None
    ) -> None:
        locked_until = None if lock is None else FIRST + lock * DAY
        straight, in_steps = Saver(terms, locked_until), Saver(terms, locked_until)
        story = sorted(story, key=lambda told: told[0])
        for day, wanted in story:
            straight.move(FIRST + day * DAY, wanted)
        straight.until(FIRST + 90 * DAY)
        for stop in sorted(stops):
            while story and story[0][0] <= stop:
                day, wanted = story.pop(0)
                in_steps.move(FIRST + day * DAY, wanted)
            in_steps.until(FIRST + stop * DAY)
        for day, wanted in story:
            in_steps.move(FIRST + day * DAY, wanted)
        in_steps.until(FIRST + 90 * DAY)
        assert (in_steps.now, in_steps.moves) == (straight.now, straight.moves)

    @given(terms=interests(), story=stories, lock=st.none() | st.integers(0, 80))
    def test_what_is_accrued_and_credited_is_what_the_movements_earn(
        self, terms: Interest, story: list[tuple[int, int]], lock: int | None
    ) -> None:
        saver = Saver(terms, None if lock is None else FIRST + lock * DAY)
        for day, wanted in sorted(story, key=lambda told: told[0]):
            saver.move(FIRST + day * DAY, wanted)
        saver.until(FIRST + 90 * DAY)
        assert saver.said_parts == saver.earned_parts
        assert saver.now.balance_cents == sum(move.cents for move in saver.moves)

    @given(terms=interests().filter(lambda terms: terms.balance == "daily"), story=stories)
    def test_a_late_word_of_a_movement_leaves_the_same_proof(
        self, terms: Interest, story: list[tuple[int, int]]
    ) -> None:
        saver = Saver(terms)
        for day, wanted in story:
            saver.move(FIRST + day * DAY, wanted)
        saver.until(FIRST + 90 * DAY)
        assert saver.said_parts == saver.earned_parts

    @given(terms=interests(), deposits=st.permutations([(1, 500_000), (4, 10_000), (7, 1), (9, 2_000_000)]))
    def test_within_a_period_the_order_of_arrival_does_not_matter(
        self, terms: Interest, deposits: list[tuple[int, int]]
    ) -> None:
        monthly = terms.model_copy(update={"credited": "monthly"})
        in_order, as_told = Saver(monthly), Saver(monthly)
        for day, cents in sorted(deposits):
            in_order.move(FIRST + day * DAY, cents)
        for day, cents in deposits:
            as_told.move(FIRST + day * DAY, cents)
        in_order.until(FIRST + 11 * DAY)
        as_told.until(FIRST + 11 * DAY)
        assert in_order.now == as_told.now

    @given(terms=interests(), balance_cents=st.integers(0, 2**62))
    def test_no_fraction_is_ever_lost(self, terms: Interest, balance_cents: int) -> None:
        now, credits = accrue(terms, savings.replace(opened(), balance_cents=balance_cents), FIRST + 400 * DAY)
        assert all(0 <= credit.tax_cents <= credit.gross_cents for credit in credits)
        assert terms.balance == "minimum" or now.period_on > now.accrued_on or now.accrued_parts >= 0
        assert now.balance_cents == balance_cents + sum(credit.net_cents for credit in credits)


# --- goals, sweeps, groups ----------------------------------------------------------------------------------
class TestGoals:
    @pytest.mark.parametrize(
        ("inflow_cents", "suggested"),
        [(0, (100, 100)), (100_000, (1_000, 2_000)), (105_050, (1_100, 2_100)), (3_000, (100, 100))],
    )
    def test_one_to_two_percent_of_the_inflow_are_suggested(
        self, inflow_cents: int, suggested: tuple[int, int]
    ) -> None:
        assert savings.suggested_deposits(inflow_cents, read_terms(TERMS).goal, 100) == suggested

    @pytest.mark.parametrize(
        ("days", "as_of", "on_time"),
        [
            ([0, 7, 14, 21], 21, 4),
            ([0, 7, 14, 21], 27, 4),
            ([0, 7, 14, 21], 30, 4),
            ([0, 7, 14, 21], 35, 0),
            ([0, 7, 21, 28], 28, 2),
            ([0, 1, 2, 3], 3, 1),
            ([6, 7, 20, 21], 21, 4),
            ([], 5, 0),
            ([10], 5, 0),
        ],
    )
    def test_spans_with_a_deposit_are_counted_back_to_the_first_without(
        self, days: list[int], as_of: int, on_time: int
    ) -> None:
        rule = read_terms(TERMS).save_first
        assert rule is not None
        moves = [Move(FIRST + day * DAY, 1_000) for day in days]
        assert savings.deposits_on_time(rule, FIRST, moves, FIRST + as_of * DAY) == on_time
        small = [Move(move.on, 999) for move in moves]
        assert savings.deposits_on_time(rule, FIRST, small, FIRST + as_of * DAY) == 0

    @pytest.mark.parametrize(
        ("due", "available", "keep", "taken"),
        [(500, 10_000, 0, 500), (500, 300, 0, 300), (500, 300, 250, 0), (500, 100, 200, 0), (550, 9_999, 0, 500)],
    )
    def test_a_sweep_leaves_what_its_owner_keeps(self, due: int, available: int, keep: int, taken: int) -> None:
        assert savings.sweep_cents(due, available, keep, 100) == taken


class TestShareOut:
    @given(
        pot_cents=st.integers(0, 10**15),
        paid_in=st.dictionaries(st.integers(1, 99), st.integers(0, 10**12), min_size=1).filter(
            lambda paid: sum(paid.values()) > 0
        ),
        unit=st.sampled_from([1, 100, 500]),
    )
    def test_the_shares_are_the_pot(self, pot_cents: int, paid_in: dict[int, int], unit: int) -> None:
        shares = savings.share_out(pot_cents, paid_in, unit)
        assert sum(shares.values()) == pot_cents
        total = sum(paid_in.values())
        for member, cents in shares.items():
            assert abs(cents - pot_cents * paid_in[member] / total) < 2 * unit + pot_cents * 1e-12
            assert paid_in[member] or cents < unit or pot_cents % unit

    @given(
        pot_cents=st.integers(0, 10**9),
        paid_in=st.dictionaries(st.integers(1, 99), st.integers(1, 10**6), min_size=1),
    )
    def test_the_order_of_members_does_not_matter(self, pot_cents: int, paid_in: dict[int, int]) -> None:
        turned = dict(reversed(paid_in.items()))
        assert savings.share_out(pot_cents, paid_in) == savings.share_out(pot_cents, turned)

    @pytest.mark.parametrize("paid_in", [{}, {1: 0}, {1: -1, 2: 5}])
    def test_without_contributions_there_is_no_measure(self, paid_in: dict[int, int]) -> None:
        with pytest.raises(ValueError, match="weights"):
            savings.share_out(100, paid_in)


def test_the_law_wants_a_partner_unless_it_says_that_we_may_hold() -> None:
    assert savings.must_be_held_by_partner({})
    assert savings.must_be_held_by_partner({"savings": {"held_by": "licensed partner"}})
    assert not savings.must_be_held_by_partner({"savings": {"held_by": "us"}})
