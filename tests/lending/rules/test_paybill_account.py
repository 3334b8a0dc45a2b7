"""An account to type: found again however it is spaced, and never somebody else's after one slip."""

from hypothesis import given
from hypothesis import strategies as st

from lending.rules import paybill_account

NUMBERS = st.integers(1, 10**9)
KINDS = st.sampled_from(paybill_account.KINDS)


@given(KINDS, NUMBERS)
def test_what_is_written_is_read(kind: str, number: int) -> None:
    typed = paybill_account.write(kind, number)
    assert (
        paybill_account.read(typed) == paybill_account.read(f" {typed[:4].lower()}-{typed[4:]} ") == (kind, number)
    )


@given(KINDS, NUMBERS, st.data())
def test_one_wrong_digit_names_nothing(kind: str, number: int, data: st.DataObject) -> None:
    typed = paybill_account.write(kind, number)
    place = data.draw(st.integers(len(kind), len(typed) - 1))
    other = data.draw(st.sampled_from([digit for digit in "0123456789" if digit != typed[place]]))
    assert paybill_account.read(typed[:place] + other + typed[place + 1 :]) is None


def test_fits_what_the_operator_passes_on() -> None:
    assert len(paybill_account.write("SAVE", 9_999_999)) == 12
    assert len(paybill_account.write("GRP", 99_999_999)) == 12
