"""What texts mean: keywords, sentences, slips, numbers in words, in six languages. No database."""

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ussd import understanding
from ussd.understanding import understand

MEANT = [
    ("en", "BAL", "balance", None),
    ("en", "What is my balance?", "balance", None),
    ("en", "LOAN 500", "loan", 500),
    ("en", "loan", "loan", None),
    ("en", "I want to borrow five hundred shillings please", "loan", 500),
    ("en", "laon 500", "loan", 500),
    ("en", "borow 1,000/=", "loan", 1000),
    ("en", "Loan Ksh. 2 500", "loan", 2500),
    ("en", "loan 2k", "loan", 2000),
    ("en", "pay two hundred and fifty", "pay", 250),
    ("en", "REPAY 100", "pay", 100),
    ("en", "STOP", "stop", None),
    ("en", "stop offers", "stop", None),
    ("en", "stpo", "stop", None),
    ("en", "help me", "help", None),
    ("en", "SALE 350", "sale", 350),
    ("en", "exp 200 fuel", "expense", 200),
    ("en", "500", "amount", 500),
    ("en", "five hundred", "amount", 500),
    ("en", "PAY 1,000ksh", "pay", 1000),
    ("en", "PAY 500ksh", "pay", 500),
    ("en", "SALE 1,500bob", "sale", 1500),
    ("en", "pay 2 thousand", "pay", None),
    ("en", "sold 3 for five hundred", "sale", None),
    ("sw", "lipa elfu 2", "pay", None),
    ("sw", "lipa mia 5", "pay", None),
    ("sw", "weka laki moja", "save", None),
    ("sw", "lipa elfu moja na nusu", "pay", None),
    ("sw", "nina shida", "help", None),
    ("ha", "biya shida", "pay", 6),
    ("en", "yes", "yes", None),
    ("sw", "SALIO", "balance", None),
    ("sw", "Nataka mkopo wa mia tano", "loan", 500),
    ("sw", "mkopo elfu moja", "loan", 1000),
    ("sw", "mkpo 500", "loan", 500),
    ("sw", "lipa elfu mbili mia tano", "pay", 2500),
    ("sw", "weka akiba mia mbili na hamsini", "save", 250),
    ("sw", "msaada", "help", None),
    ("sw", "acha", "stop", None),
    ("sw", "loan mia tano", "loan", 500),
    ("fr", "Solde", "balance", None),
    ("fr", "je veux un prêt de cinq cents", "loan", 500),
    ("fr", "payer quatre vingt dix", "pay", 90),
    ("fr", "rembourser deux mille", "pay", 2000),
    ("fr", "arrêter", "stop", None),
    ("ha", "bashi dari biyar", "loan", 500),
    ("ha", "biya dubu biyu", "pay", 2000),
    ("ha", "taimako", "help", None),
    ("lg", "looni 500", "loan", 500),
    ("lg", "okusasula 2000", "pay", 2000),
    ("am", "ብድር 500", "loan", 500),
    ("am", "ብድር አምስት መቶ", "loan", 500),
    ("am", "አቁም", "stop", None),
]


@pytest.mark.parametrize(("language", "text", "intent", "units"), MEANT)
def test_a_text_is_understood(language: str, text: str, intent: str, units: int | None) -> None:
    meaning = understand(text, language)
    assert meaning is not None, "not understood"
    assert (meaning.intent, meaning.units) == (intent, units)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "🙂",
        "hello",
        "how are you my friend",
        "1*500*2",
        "500 600",
        "please do not stop sending me money now",
    ],
)
def test_what_could_be_anything_is_nothing(text: str) -> None:
    assert understand(text, "en") is None


def test_of_two_amounts_none_is_guessed() -> None:
    meaning = understand("LOAN 500 2580", "en")
    assert meaning is not None and meaning.units is None and not any(map(str.isdigit, meaning.rest))


def test_a_word_of_ones_own_language_goes_first() -> None:
    for language in ("en", "fr"):
        meaning = understand("stop", language)
        assert meaning is not None and (meaning.intent, meaning.language) == ("stop", language)


def test_no_word_means_two_things_in_one_language() -> None:
    for language, known in understanding.lexicon().items():
        seen: dict[str, str] = {}
        for intent, phrases in known["intents"].items():
            for phrase in phrases:
                assert seen.setdefault(phrase, intent) == intent, f"{language}: {phrase}"


def test_every_language_of_the_phone_has_the_words_that_matter_most() -> None:
    for language, known in understanding.lexicon().items():
        assert {"balance", "loan", "pay", "save", "help", "stop", "start", "yes", "no"} <= known[
            "intents"
        ].keys(), language


@given(st.text(max_size=300), st.sampled_from(["en", "sw", "fr", "ha", "lg", "am", "xx"]))
def test_any_text_is_read_without_harm(text: str, language: str) -> None:
    meaning = understand(text, language)
    assert meaning is None or meaning.units is None or meaning.units >= 0


@given(st.integers(1, 99))
def test_tens_and_units_are_read_back(number: int) -> None:
    from itertools import product

    units = understanding.lexicon()["sw"]["numbers"]["units"]
    by_value = {value: word for word, value in units.items()}
    tens, ones = number - number % 10, number % 10
    said = " na ".join(by_value[part] for part in (tens, ones) if part)
    for before, after in product(("", "mkopo "), ("", " tafadhali")):
        meaning = understand(f"{before}{said}{after}", "sw")
        assert (meaning is None and after and not before) or (meaning is not None and meaning.units == number)


def test_the_examples_hold() -> None:
    assert doctest.testmod(understanding).failed == 0
