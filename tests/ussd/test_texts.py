"""Every sentence in every language at its longest. No database is needed for it."""

import pytest
from django.utils import translation

from lending.admin import words as admin_words
from ussd import catalogue, engine, flows, words


def test_every_screen_is_measured() -> None:
    assert [name for name, screen in engine.SCREENS.items() if not screen.samples] == [engine.START]


def test_no_screen_says_the_same_in_two_languages() -> None:
    """Which it would if words stood in the code outside a catalogue."""
    said: dict[str, dict[str, str]] = {}
    for one in flows.renderings():
        said.setdefault(one.where, {})[one.language] = one.text
    same = {
        where.split("(")[0] for where, texts in said.items() if "en" in texts and texts["en"] == texts.get("sw")
    }
    assert same <= {"register.language"}, f"not translated: {same}"


def test_there_is_a_catalogue_for_each_language_but_english(settings) -> None:  # type: ignore[no-untyped-def]
    assert set(catalogue.languages()) == {code for code, _ in settings.SPOKEN_LANGUAGES} - {"en"}


def test_an_unknown_reason_or_next_step_is_still_words() -> None:
    from ussd import samples

    decision = samples.decision("decline", "made_up_tomorrow", "made_up_too")
    with translation.override("en"):
        assert words.why(decision) == "What we know does not yet speak for this loan."
        assert words.what_next(decision) == "Try again in 30 days."


@pytest.mark.parametrize(("language", "said"), [("en", "You paid 9 days late before."), ("sw", "siku 9")])
def test_a_reason_carries_its_values(language: str, said: str) -> None:
    from ussd import samples

    decision = samples.decision("decline", "late_before")
    decision.reasons[0]["values"] = {"days": 9}
    with translation.override(language):
        assert said in words.why(decision)


@pytest.mark.parametrize(
    ("country", "msisdn", "said"),
    [
        ("KE", "254711000001", "0711000001"),
        ("UG", "256772000001", "0772000001"),
        ("KE", "256772000001", "256772000001"),
        ("NG", "2348031234567", "08031234567"),
    ],
)
def test_a_number_is_said_as_it_is_dialled_at_home(settings, country: str, msisdn: str, said: str) -> None:  # type: ignore[no-untyped-def]
    settings.COUNTRY = country
    assert words.local_number(msisdn) == said


@pytest.mark.parametrize("language", catalogue.languages())
def test_no_translation_names_one_country_s_wallet(language: str) -> None:
    for path in sorted((catalogue.TEXT / language).glob("*.po")):
        assert "M-PESA" not in path.read_text(), path.name


def test_officers_have_words_for_whatever_a_customer_is_told() -> None:
    assert words.REASONS.keys() == admin_words.REASONS.keys()
    assert words.NEXT_STEPS.keys() == admin_words.NEXT_STEPS.keys()
