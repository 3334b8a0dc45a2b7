"""Every sentence in every language at its longest. No database is needed for it."""

from pathlib import Path

import pytest
from django.utils import translation

from ussd import catalogue, engine, flows, gsm7, words


def test_every_screen_and_sms_fits_a_phone_in_every_language() -> None:
    offenders = [
        f"{one.language} {one.where}: {gsm7.septets(one.text)} septets\n{one.text}"
        for one in flows.renderings()
        if gsm7.septets(one.text) > gsm7.SCREEN_SEPTETS
    ]
    assert not offenders, "\n\n".join(offenders)


def test_every_screen_is_measured() -> None:
    assert [name for name, screen in engine.SCREENS.items() if not screen.samples] == [engine.START]


def test_every_screen_differs_between_languages() -> None:
    said: dict[str, dict[str, list[str]]] = {}
    for one in flows.renderings():
        said.setdefault(one.where.split("(")[0], {}).setdefault(one.language, []).append(one.text)
    same = {where for where, texts in said.items() if texts["en"] == texts["sw"]}
    assert same == {"register.language"} or not same, f"not translated: {same}"


@pytest.mark.parametrize("po", catalogue.catalogues(), ids=lambda po: po.parts[-3])
def test_catalogue_is_complete_and_compiled(po: Path) -> None:
    assert list(catalogue.problems(po)) == []


def test_there_is_a_catalogue_for_each_language_but_english(settings) -> None:  # type: ignore[no-untyped-def]
    assert {po.parts[-3] for po in catalogue.catalogues()} == {code for code, _ in settings.LANGUAGES} - {"en"}


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
