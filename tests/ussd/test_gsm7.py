"""Alphabet and length."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ussd import gsm7
from ussd.alphabet import GSM7, of_text


@pytest.mark.parametrize(
    ("text", "length"), [("", 0), ("KES 500", 7), ("é@ñ", 3), ("^{}[]~|\\€", 18), ("a\nb", 3), ("x" * 160, 160)]
)
def test_septets_counts_extension_characters_twice(text: str, length: int) -> None:
    assert gsm7.septets(text) == length


@pytest.mark.parametrize("char", list("êçãõáíóúâîôûœ’“”–…₵₦ĩũɛɔŋẹọṣɓɗƙ`\t🙂ሀع"))
def test_what_looks_like_gsm7_and_is_not_is_refused(char: str) -> None:
    with pytest.raises(gsm7.NotGsm7):
        gsm7.septets(char)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Wanjirũ O’Néill", "Wanjiru O'Néill"),
        ("José Conceição", "José Conceicao"),
        ("Ɔbɛng “Kofi”", 'Obeng "Kofi"'),
        ("ŋẹọṣɓɗƙ", "ngeosbdk"),
        ("🙂 Amina", " Amina"),
        ("{name} %s", "{name} %s"),
    ],
)
def test_names_are_brought_to_the_alphabet(name: str, shown: str) -> None:
    assert gsm7.to_gsm7(name) == shown


@given(st.text())
def test_any_text_becomes_gsm7(text: str) -> None:
    assert gsm7.is_gsm7(gsm7.to_gsm7(text))


@given(st.text(), st.integers(2, 40))
def test_clip_keeps_within_its_limit(text: str, limit: int) -> None:
    assert gsm7.septets(GSM7.clip(text, limit)) <= limit


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("x" * 160, 1),
        ("x" * 161, 2),
        ("x" * 306, 2),
        ("x" * 307, 3),
        ("x" * 152 + "€" + "x" * 100, 2),  # the pair does not straddle, so one septet is lost
        ("x" * 152 + "€" + "x" * 152, 3),
        ("’" * 70, 1),
        ("’" * 71, 2),
        ("🙂" * 35, 1),
        ("🙂" * 36, 2),
    ],
)
def test_segments_are_counted_as_they_are_charged(text: str, count: int) -> None:
    assert of_text(text).segments(text) == count


LINES = st.lists(st.text("abcdefgh {}€", min_size=1, max_size=90), min_size=1, max_size=40)


@given(LINES)
def test_pages_never_overflow_and_lose_nothing(items: list[str]) -> None:
    pages = GSM7.pages(items, more="98 More\n0 Back", last="1 Accept\n0 Back")
    assert all(gsm7.septets(page.text) <= GSM7.screen for page in pages)
    assert [page.is_last for page in pages] == [False] * (len(pages) - 1) + [True]
    shown = (
        "".join(page.text for page in pages).replace("98 More", "").replace("1 Accept", "").replace("0 Back", "")
    )
    assert sorted("".join(shown.split())) == sorted("".join("".join(items).split()))


def test_an_item_is_not_split_while_it_fits_a_page() -> None:
    items = [f"{number} " + "x" * 60 for number in range(9)]
    pages = GSM7.pages(items, more="98 More\n0 Back", last="0 Back")
    assert [item for page in pages for item in page.text.split("\n") if "x" in item] == items
