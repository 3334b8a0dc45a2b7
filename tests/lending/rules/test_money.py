"""Money: parse, print, round, split."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lending.rules import money


@pytest.mark.parametrize(
    ("typed", "cents"),
    [
        ("500", 50_000),
        (" 1,000 ", 100_000),
        ("1,000,000", 100_000_000),
        ("500.5", 50_050),
        ("KES 500", 50_000),
        ("ksh.500", 50_000),
        ("500/=", 50_000),
        ("0500", 50_000),
    ],
)
def test_parses_what_people_type(typed: str, cents: int) -> None:
    assert money.parse(typed) == cents


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "0",
        "0.00",
        "-5",
        "+5",
        "1e3",
        "٥٠٠",
        "５００",
        "5 00",
        "1,00",
        "10,00,000",
        "500.123",
        "1*2",
        "abc",
        "9" * 10,
    ],
)
def test_refuses_what_could_be_misread(typed: str) -> None:
    with pytest.raises(money.InvalidAmount):
        money.parse(typed)


@given(cents=st.integers(1, 99_999_999_999))
def test_what_is_shown_can_be_typed_back(cents: int) -> None:
    assert money.parse(money.show(cents, "KES")) == cents


@given(cents=st.integers(0, 10**12), parts=st.integers(1, 400))
def test_splitting_loses_no_cent_and_no_part(cents: int, parts: int) -> None:
    split = money.split(cents, parts)
    assert sum(split) == cents and len(split) == parts


@pytest.mark.parametrize(
    ("cents", "unit", "rounded"),
    [("7549.9", 100, 7500), ("7550", 100, 7600), ("-7550", 100, -7600), ("0.5", 1, 1)],
)
def test_rounds_half_away_from_zero(cents: str, unit: int, rounded: int) -> None:
    assert money.round_half_up(Decimal(cents), unit) == rounded


@pytest.mark.parametrize("value", ["nan", "inf", "1.001", "x", None])
def test_refuses_a_rails_nonsense_amount(value: object) -> None:
    with pytest.raises((ValueError, ArithmeticError)):
        money.from_units(value)


def test_whole_units_never_round_money_away() -> None:
    assert money.to_units(50_000) == 500
    with pytest.raises(ValueError, match="whole units"):
        money.to_units(50_050)
