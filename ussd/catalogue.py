"""The translators' catalogues held to the code: what is said, what is translated, what is compiled.

Babel, a development tool, reads and writes them; the running system reads the committed .mo alone.
"""

import re
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

from ussd import gsm7

USSD = Path(__file__).resolve().parent
TEXT = USSD / "text"
# The context of every sentence is its screen, so that one English word may be two in another language.
KEYWORDS: dict[str, Any] = {"pgettext": ((1, "c"), 2), "npgettext": ((1, "c"), 2, 3)}
PLACE = re.compile(r"%\(\w+\)[sd]")

Said = tuple[str, str | tuple[str, ...]]


def said_in_code() -> set[Said]:
    """Return every sentence of the code with its context; plurals are tuples."""
    from babel.messages.extract import extract_from_dir

    found = extract_from_dir(USSD, [("**.py", "python")], keywords=KEYWORDS)
    return {(context or "", message) for _, _, message, _, context in found}


def compiled(po: Path) -> bytes:
    """Return what a catalogue compiles to."""
    from babel.messages.mofile import write_mo
    from babel.messages.pofile import read_po

    with po.open("rb") as source:
        catalogue = read_po(source, locale=po.parts[-3])
    target = BytesIO()
    write_mo(target, catalogue)
    return target.getvalue()


def problems(po: Path) -> Iterator[str]:
    """Yield what is missing, left over, uncertain or not fit for a phone in one catalogue."""
    from babel.messages.pofile import read_po

    with po.open("rb") as source:
        catalogue = read_po(source, locale=po.parts[-3])
    said = said_in_code()
    known = {(message.context or "", message.id): message for message in catalogue if message.id}
    yield from (f"not translated: {one}" for one in sorted(map(str, said - known.keys())))
    yield from (f"not said any more: {one}" for one in sorted(map(str, known.keys() - said)))
    for (context, message_id), message in known.items():
        words = [message.string] if isinstance(message.string, str) else list(message.string or ())
        ids = [message_id] if isinstance(message_id, str) else list(message_id)
        name = f"{context} | {ids[0]}"
        if not all(words) or message.fuzzy:
            yield f"empty or uncertain: {name}"
        if any(set(PLACE.findall(text)) != set(PLACE.findall(ids[-1])) for text in words):
            yield f"other values than in English: {name}"
        if not all(gsm7.is_gsm7(text) for text in [*words, *ids]):
            yield f"not GSM-7: {name}"
    if po.with_suffix(".mo").read_bytes() != compiled(po):
        yield "the .mo is older than the .po: run manage.py compile_text"


def catalogues() -> list[Path]:
    """Return the .po of every language."""
    return sorted(TEXT.glob("*/LC_MESSAGES/django.po"))
