"""Both views of what is set aside: the regulator's table as it is read, and money followed through roll rates."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lending.rules import arrears
from lending.rules.provisions import chances_of_loss, expected_loss, provision_table
from tests.lending.rules.packs import LAWS

BUCKETS = ["fresh", "late", "very late", "lost"]
PLACES = [*BUCKETS, "repaid"]


def test_the_table_is_the_pack_s_with_the_classes_of_loans() -> None:
    table = provision_table(LAWS["ke"])
    assert [(one.name, one.from_days) for one in table] == list(arrears.CLASSES)
    assert table[0].rate == Decimal("0.01")


def test_a_country_without_a_table_says_so() -> None:
    with pytest.raises(ValueError, match="no provisioning table is known for UG"):
        provision_table(LAWS["ug"])


class TestChancesOfLoss:
    def test_money_rolls_on_until_it_is_lost_or_repaid(self) -> None:
        rolled = {("fresh", "repaid"): 90, ("fresh", "late"): 10, ("late", "repaid"): 50, ("late", "lost"): 50}
        assert chances_of_loss(rolled, ["fresh", "late", "lost"], {"lost"}) == {
            "fresh": Fraction(1, 20),
            "late": Fraction(1, 2),
            "lost": Fraction(1),
        }

    def test_money_may_come_back_to_a_better_bucket(self) -> None:
        rolled = {("fresh", "late"): 50, ("fresh", "repaid"): 50, ("late", "fresh"): 50, ("late", "lost"): 50}
        chances = chances_of_loss(rolled, ["fresh", "late", "lost"], {"lost"})
        assert (chances["fresh"], chances["late"]) == (Fraction(1, 3), Fraction(2, 3))

    def test_a_bucket_without_a_past_is_taken_for_the_next_worse(self) -> None:
        rolled = {("very late", "lost"): 1, ("very late", "repaid"): 3}
        chances = chances_of_loss(rolled, BUCKETS, {"lost"})
        assert chances["fresh"] == chances["late"] == chances["very late"] == Fraction(1, 4)

    def test_money_that_rolls_into_a_bucket_without_a_past_goes_on_to_the_next(self) -> None:
        rolled = {
            ("fresh", "late"): 1,
            ("fresh", "repaid"): 1,
            ("very late", "lost"): 1,
            ("very late", "repaid"): 1,
        }
        assert chances_of_loss(rolled, BUCKETS, {"lost"})["fresh"] == Fraction(1, 4)

    def test_money_that_only_goes_round_is_not_lost(self) -> None:
        rolled = {("fresh", "late"): 10, ("late", "fresh"): 10}
        assert chances_of_loss(rolled, ["fresh", "late", "lost"], {"lost"})["fresh"] == 0

    def test_a_lender_without_a_past_expects_the_worst(self) -> None:
        assert set(chances_of_loss({}, BUCKETS, {"lost"}).values()) == {Fraction(1)}

    @given(
        st.dictionaries(
            st.tuples(st.sampled_from(BUCKETS[:3]), st.sampled_from(PLACES)), st.integers(1, 10**12), max_size=12
        )
    )
    def test_a_chance_is_between_none_and_certain_and_solves_its_equation(
        self, rolled: dict[tuple[str, str], int]
    ) -> None:
        chances = chances_of_loss(rolled, BUCKETS, {"lost"}) | {"repaid": Fraction(0)}
        assert all(0 <= chance <= 1 for chance in chances.values())
        for start in BUCKETS[:3]:
            leaving = {end: cents for (begin, end), cents in rolled.items() if begin == start}
            ahead = sum(cents * chances[end] for end, cents in leaving.items())
            if leaving:
                assert chances[start] * sum(leaving.values()) == ahead
            else:
                assert chances[start] == chances[BUCKETS[BUCKETS.index(start) + 1]]


def test_the_expected_loss_is_rounded_once() -> None:
    assert expected_loss(101, Fraction(1, 2), Fraction(0)) == 51
    assert expected_loss(10**18 + 1, Fraction(1), Fraction(0)) == 10**18 + 1
