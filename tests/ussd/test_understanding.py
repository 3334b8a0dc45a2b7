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
    ("lg", "looni bitaano", "loan", 500),
    ("lg", "njagala okwewola lukumi mu bitaano", "loan", 1500),
    ("lg", "sasula enkumi bbiri mu bitaano", "pay", 2500),
    ("lg", "sasula enkumi biri", "pay", 2000),
    ("lg", "sasula nkumi ttano", "pay", 5000),
    ("lg", "tereka amakumi ataano", "save", 50),
    ("lg", "tereka amakumi abiri mu ttaano", "save", 25),
    ("lg", "tereka kkumi n'emu", "save", 11),
    ("lg", "tereka kumi na bbiri", "save", 12),
    ("lg", "looni omutwalo gumu", "loan", 10_000),
    ("lg", "looni omutwaalo", "loan", 10_000),
    ("lg", "looni omutwalo gumu mu kakaaga mu bitaano", "loan", 16_500),
    ("lg", "looni emitwalo ebiri", "loan", 20_000),
    ("lg", "looni ssente lukaaga", "loan", 600),
    ("lg", "sasula bbiri ssatu", "pay", None),
    ("lg", "sasula bibiri bisatu", "pay", None),
    ("lg", "looni emitwalo kkumi na mukaaga", "loan", None),
    ("lg", "sasula enkumi 2", "pay", None),
    ("lg", "ekkomo lyange", "limit", None),
    ("lg", "sitatimenti", "statement", None),
    ("sw", "mkopo, mume wangu ana deni", "loan", None),
    ("sw", "nataka mkopo, mtoto ana homa", "loan", None),
    ("ha", "ina bukatar bashi dari biyu", "loan", 200),
    ("ha", "zan biya bashi dubu daya", "pay", 1000),
    ("ha", "bayanin asusu", "statement", None),
    ("ha", "iyakar bashi", "limit", None),
    ("ha", "sauran bashina", "balance", None),
    ("am", "ብድር እፈልጋለሁ", "loan", None),
    ("am", "እከፍላለሁ 300 ብር", "pay", 300),
    ("am", "ቀሪ ሒሳብ", "balance", None),
    ("am", "የሂሳብ መግለጫ", "statement", None),
    ("am", "የብድር ገደብ", "limit", None),
    ("am", "እርዱኝ", "help", None),
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


LUGANDA = {
    1: "emu", 2: "bbiri", 3: "ssatu", 4: "nnya", 5: "ttaano", 6: "mukaaga", 7: "musanvu", 8: "munaana", 9: "mwenda",
    10: "kkumi", 20: "amakumi abiri", 30: "amakumi asatu", 40: "amakumi ana", 50: "amakumi ataano", 60: "nkaaga",
    70: "nsanvu", 80: "kinaana", 90: "kyenda", 100: "kikumi", 200: "bibiri", 300: "bisatu", 400: "bina",
    500: "bitaano", 600: "lukaaga", 700: "lusanvu", 800: "lunaana", 900: "lwenda", 1000: "lukumi",
    2000: "enkumi bbiri", 3000: "enkumi ssatu", 4000: "enkumi nnya", 5000: "enkumi ttaano", 6000: "kakaaga",
    7000: "kasanvu", 8000: "kanaana", 9000: "kenda", 10_000: "omutwalo gumu", 20_000: "emitwalo ebiri",
    30_000: "emitwalo esatu", 40_000: "emitwalo ena", 50_000: "emitwalo etaano", 60_000: "emitwalo mukaaga",
    70_000: "emitwalo musanvu", 80_000: "emitwalo munaana", 90_000: "emitwalo mwenda",
}  # fmt: skip


@given(st.integers(1, 99_999), st.booleans())
def test_numbers_in_luganda_are_read_back_also_with_single_letters(number: int, slips: bool) -> None:
    digits = [int(digit) * 10**place for place, digit in enumerate(reversed(str(number))) if digit != "0"]
    said = " mu ".join(LUGANDA[part] for part in reversed(digits))
    meaning = understand(f"looni {understanding.single(said) if slips else said}", "lg")
    assert meaning is not None and (meaning.intent, meaning.units) == ("loan", number), said


def test_the_examples_hold() -> None:
    assert doctest.testmod(understanding).failed == 0
