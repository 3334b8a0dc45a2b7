"""The translators' catalogues held to the code: what is said, what is translated, what is compiled.

A language has one catalogue a journey (`text/sw/borrow.po`), so that a journey can be translated, and read aloud,
by itself. Together they compile to the one .mo that the running system reads. Babel is a development tool.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

from babel.messages import Catalog, Message
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

from ussd import alphabet

USSD = Path(__file__).resolve().parent
TEXT = USSD / "text"
# The context of every sentence is its screen, so that one English word may be two in another language.
KEYWORDS: dict[str, Any] = {"pgettext": ((1, "c"), 2), "npgettext": ((1, "c"), 2, 3)}
NO_DATE = datetime(2000, 1, 1, tzinfo=UTC)
PLACE = re.compile(r"%\(\w+\)[sd]")
# A comment in the code that begins like this is for translators.
FOR_TRANSLATORS = ("Translators:",)

Key = tuple[str, str | tuple[str, ...]]


@dataclass(frozen=True)
class Said:
    """A sentence of the code, with its context and what translators are told of it; plurals are tuples."""

    context: str
    message: str | tuple[str, ...]
    comments: tuple[str, ...] = ()

    @property
    def key(self) -> Key:
        return self.context, self.message

    @property
    def journey(self) -> str:
        return journey(self.context)


def journey(context: str) -> str:
    """Return the journey of a context, which is the name of its catalogue: borrow of "borrow.facts"."""
    return context.split(".")[0].replace(" ", "_")


def said_in_code() -> dict[Key, Said]:
    """Return every sentence of the code in the order of the code."""
    found = extract_from_dir(USSD, [("**.py", "python")], keywords=KEYWORDS, comment_tags=FOR_TRANSLATORS)
    said = (Said(context or "", message, tuple(comments)) for _, _, message, comments, context in found)
    return {one.key: one for one in said}


def languages() -> list[str]:
    """Return the languages that have catalogues."""
    return sorted(path.name for path in TEXT.iterdir() if path.is_dir())


def read(language: str) -> dict[str, Catalog]:
    """Return the catalogues of a language by journey."""
    found = {}
    for po in sorted((TEXT / language).glob("*.po")):
        with po.open("rb") as source:
            found[po.stem] = read_po(source, locale=language)
    return found


def compiled(language: str) -> bytes:
    """Return what the catalogues of a language compile to. What is marked fuzzy is left out: English is said."""
    # Of no date, so that the same sentences compile to the same bytes.
    whole = Catalog(locale=language, creation_date=NO_DATE, revision_date=NO_DATE)
    for catalogue in read(language).values():
        for message in catalogue:
            if message.id:
                whole[message.id] = message
    target = BytesIO()
    write_mo(target, whole)
    return target.getvalue()


def mo(language: str) -> Path:
    """Return where the compiled catalogue of a language is."""
    return TEXT / language / "LC_MESSAGES" / "django.mo"


def update(language: str) -> None:
    """Bring the catalogues of a language to what the code says: what is new is empty, what is said no more goes."""
    known = {key_of(message): message for one in read(language).values() for message in one if message.id}
    wanted: dict[str, Catalog] = {}
    for said in said_in_code().values():
        catalogue = wanted.setdefault(said.journey, Catalog(locale=language, fuzzy=False, header_comment=""))
        old = known.get(said.key)
        catalogue.add(
            said.message,
            string=old.string if old else None,
            context=said.context,
            flags=old.flags - {"python-format"} if old else (),
            auto_comments=said.comments,
            user_comments=old.user_comments if old else (),
        )
    for po in (TEXT / language).glob("*.po"):
        po.unlink()
    for name, catalogue in wanted.items():
        with (TEXT / language / f"{name}.po").open("wb") as target:
            write_po(target, catalogue, width=0, no_location=True, omit_header=True, sort_output=False)


def key_of(message: Message) -> Key:
    """Return the key of a message of a catalogue."""
    message_id = message.id if isinstance(message.id, str) else tuple(message.id)
    return message.context or "", message_id


def problems(language: str) -> Iterator[str]:
    """Yield what is missing, left over, or not fit for a phone in the catalogues of a language."""
    said = said_in_code()
    known: dict[Key, Message] = {}
    for name, catalogue in read(language).items():
        for message in catalogue:
            if message.id:
                known[key_of(message)] = message
                if journey(message.context or "") != name:
                    yield f"in the wrong catalogue, {name}: {message.context} | {message.id}"
    yield from (f"not translated: {key}" for key in said if key not in known)
    yield from (f"not said any more: {key}" for key in known if key not in said)
    for message in known.values():
        yield from (f"{problem}: {message.context} | {message.id}" for problem in _problems(language, message))
    if not mo(language).exists() or mo(language).read_bytes() != compiled(language):
        yield "the .mo is older than the .po: run manage.py compile_text"


def _problems(language: str, message: Message) -> Iterator[str]:
    words = [message.string] if isinstance(message.string, str) else list(message.string or ())
    ids = [message.id] if isinstance(message.id, str) else list(message.id)
    if not message.fuzzy and not (words and all(words)):
        yield "empty"
    if any(set(PLACE.findall(text)) != set(PLACE.findall(ids[-1])) for text in words if text):
        yield "other values than in English"
    letters = alphabet.of(language)
    if not all(alphabet.of("en").holds(text) for text in ids) or not all(map(letters.holds, words)):
        yield f"not in {letters.name}"


def uncertain(language: str) -> list[str]:
    """Return the sentences that wait for a reader who is sure of the language: they are said in English."""
    return [
        f"{message.context} | {message.id}"
        for catalogue in read(language).values()
        for message in catalogue
        if message.id and message.fuzzy
    ]
