"""The language: asked once, each by its own name, and changed from any menu with 99."""

from django.conf import settings

from lending.services import people
from ussd import samples
from ussd.engine import LANGUAGES, START, Choice, Dialogue, Menu, View, screen
from ussd.tongue import pgettext

# In their own names, as the letters of every phone write them; never translated.
OWN_NAMES = {
    "en": "English",
    "sw": "Kiswahili",
    "fr": "Francais",
    "lg": "Luganda",
    "ha": "Hausa",
    "am": "Amarigna",
}
CHOOSE = "Jirani: choose a language / chagua lugha"


def in_order(dialogue: Dialogue) -> list[str]:
    """Return the languages, those of the country first."""
    known = [code for code, _ in settings.SPOKEN_LANGUAGES]
    spoken = [code for code in dialogue.facts.country.languages.codes if code in known]
    return [*spoken, *(code for code in known if code not in spoken)]


@screen(LANGUAGES, samples=[samples.fresh], paged=True)
def choose(dialogue: Dialogue) -> View:
    """Two hops from any menu: 99, and a number."""
    others = [code for code in in_order(dialogue) if code != dialogue.language]
    return Menu(
        pgettext("language.choose", "Language"),
        [Choice(OWN_NAMES[code], save={"language": code}, act=_speak) for code in others],
    )


def _speak(dialogue: Dialogue, _: None) -> str:
    dialogue.language = dialogue.answers["language"]
    if dialogue.facts.borrower is not None:
        people.set_language(borrower_id=dialogue.facts.known.id, language=dialogue.language, at=dialogue.at)
    return START


@screen("register.language", samples=[samples.stranger], paged=True)
def ask(dialogue: Dialogue) -> View:
    """The first screen of all: before it nobody knows what the caller reads."""
    choices = [Choice(OWN_NAMES[code], save={"language": code}, act=_go_on_in) for code in in_order(dialogue)]
    return Menu(CHOOSE, choices, back=None)


def _go_on_in(dialogue: Dialogue, _: None) -> str:
    dialogue.language = dialogue.answers["language"]
    return "register.consent"
