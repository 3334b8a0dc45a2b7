"""Every sentence of the conversation in every language at its longest: what tests and the text check read.

Nothing here needs a database: screens are rendered from the samples that they declare.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from django.conf import settings

from ussd import answers, engine, money_answers, notices, samples, screens, texting, words
from ussd.engine import Again, Ask, Dialogue, Go, Read, Sample, View
from ussd.screens import pin
from ussd.tongue import speaking

assert screens.__all__, "the screens are declared by importing them"


@dataclass(frozen=True)
class Rendering:
    """One text as a phone may have to show it. `where` names the screen or SMS, and the sample.

    `parts`: how many an SMS may take; 0 is a screen.
    """

    where: str
    language: str
    text: str
    parts: int = 0


def renderings() -> Iterator[Rendering]:
    """Yield every screen and SMS in every language under every sample, refusals included."""
    for language, _ in settings.SPOKEN_LANGUAGES:
        with speaking(language), words.wallet_called(samples.country().wallet_name):
            yield from _screens(language)
            for kind, text in notices.longest():
                yield Rendering(f"sms {kind}", language, text, parts=1)
            for kind, text in (*answers.longest(), *money_answers.longest()):
                yield Rendering(f"sms {kind}", language, text, parts=texting.PARTS)


def _screens(language: str) -> Iterator[Rendering]:
    for screen in engine.SCREENS.values():
        for make in screen.samples:
            dialogue = dialogue_of(make(), screen.name, language)
            view = engine.look(dialogue)
            assert not isinstance(view, Go)
            where = f"{screen.name}({make.__name__})"
            for number, text in enumerate(_texts(view, screen.tries)):
                yield Rendering(f"{where} #{number}", language, text)


def dialogue_of(sample: Sample, screen: str, language: str) -> Dialogue:
    """Return a dialogue that stands at a screen under a sample."""
    return Dialogue(
        msisdn=samples.MSISDN,
        language=language,
        at=samples.AT,
        facts=sample.facts,
        screen=screen,
        answers=dict(sample.answers),
    )


def _texts(view: View, tries: Sequence[str]) -> Iterator[str]:
    """Yield each page of the view, plain and under each refusal that it may have to show."""
    assert not isinstance(view, Go)
    for page in range(len(engine._pages(view))):
        yield engine.render(view, page=page)
        yield from (engine.render(view, note, page) for note in _notes(view, tries))


def _notes(view: View, tries: Sequence[str]) -> Iterator[str]:
    if isinstance(view, engine.Menu | Read):
        try:
            engine._chosen(view, "x")
        except Again as refusal:
            yield refusal.reason
    if isinstance(view, Ask):
        yield from _refusals_of(view, tries)
        if view.secret:
            yield from (pin.wrong(2), pin.wrong(1), pin.weak())


def _refusals_of(view: Ask, tries: Sequence[str]) -> Iterator[str]:
    for typed in tries:
        try:
            view.parse(typed)
        except Again as refusal:
            yield refusal.reason
