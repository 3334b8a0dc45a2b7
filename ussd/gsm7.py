"""The alphabet and the length of what a phone can show: GSM 03.38, counted in septets.

One curly quote turns a whole SMS to UCS-2 and doubles its price, and a screen with it is cut or refused.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
EXTENSION = frozenset("^{}\\[~]|€")
SCREEN_SEPTETS = 160
SINGLE_SEPTETS, PART_SEPTETS = 160, 153
SINGLE_UNITS, PART_UNITS = 70, 67

# Marks that decomposition does not reach. Whatever is neither here nor a letter with an accent is dropped.
PLAIN = str.maketrans(
    {
        **dict.fromkeys("‘’‚‛`´ʼʻ", "'"),
        **dict.fromkeys("“”„‟«»", '"'),
        **dict.fromkeys("‐‑‒–—―−", "-"),
        **dict.fromkeys("\u00a0\u2007\u2009\u202f\t\v\f", " "),
        "\r": "",
        "…": "...",
        "•": "-",
        "ç": "c",
        "œ": "oe",
        "Œ": "OE",
        "ð": "d",
        "Ð": "D",
        "þ": "th",
        "Þ": "Th",
        "ł": "l",
        "Ł": "L",
        "đ": "d",
        "Đ": "D",
        "ı": "i",
        "ɛ": "e",
        "Ɛ": "E",
        "ɔ": "o",
        "Ɔ": "O",
        "ŋ": "ng",
        "Ŋ": "Ng",
        "ɓ": "b",
        "Ɓ": "B",
        "ɗ": "d",
        "Ɗ": "D",
        "ƙ": "k",
        "Ƙ": "K",
        "ƴ": "y",
        "Ƴ": "Y",
        "₦": "NGN ",
        "₵": "GHS ",
    }
)


class NotGsm7(ValueError):
    """A text of ours holds characters that a phone cannot show as GSM-7."""


def is_gsm7(text: str) -> bool:
    """Say whether every character has a GSM-7 code."""
    return all(char in BASIC or char in EXTENSION for char in text)


def septets(text: str) -> int:
    """Count septets: one for a basic character, two for one of the extension table.

    Raises:
        NotGsm7: the text holds other characters, so it has no length in septets.
    """
    if not is_gsm7(text):
        strange = sorted({char for char in text if char not in BASIC and char not in EXTENSION})
        raise NotGsm7(f"text must be GSM-7, got {strange}")
    return len(text) + sum(char in EXTENSION for char in text)


def to_gsm7(text: str) -> str:
    """Return the text in GSM-7: accents that the alphabet lacks fall off, what remains foreign is dropped.

    >>> to_gsm7("Wanjirũ O’Néill 🙂")
    "Wanjiru O'Néill "
    """
    if text.isascii() and is_gsm7(text):
        return text
    return "".join(_to_gsm7(char) for char in unicodedata.normalize("NFC", text).translate(PLAIN))


def _to_gsm7(char: str) -> str:
    if char in BASIC or char in EXTENSION:
        return char
    plain = unicodedata.normalize("NFKD", char).translate(PLAIN)
    return "".join(part for part in plain if part in BASIC or part in EXTENSION)


def clip(text: str, limit: int) -> str:
    """Return the text in GSM-7 cut to `limit` septets, with a full stop where something was cut."""
    plain = " ".join(to_gsm7(text).split())
    if septets(plain) <= limit:
        return plain
    while septets(plain) > limit - 1:
        plain = plain[:-1]
    return plain.rstrip() + "."


def segments(text: str) -> int:
    """Return how many SMS a text takes: GSM-7 160 then 153 septets a part, UCS-2 70 then 67 units.

    A pair (escape and character, or a surrogate pair) may not straddle two parts.
    """
    if is_gsm7(text):
        widths, single, part = [2 if char in EXTENSION else 1 for char in text], SINGLE_SEPTETS, PART_SEPTETS
    else:
        widths, single, part = [2 if ord(char) > 0xFFFF else 1 for char in text], SINGLE_UNITS, PART_UNITS
    if sum(widths) <= single:
        return 1
    return _parts(widths, part)


def _parts(widths: Sequence[int], part: int) -> int:
    count, used = 1, 0
    for width in widths:
        if used + width > part:
            count, used = count + 1, 0
        used += width
    return count


@dataclass(frozen=True)
class Page:
    """One screenful of a longer text."""

    text: str
    is_last: bool


def pages(items: Sequence[str], *, more: str, last: str, limit: int = SCREEN_SEPTETS) -> list[Page]:
    """Pack items, one a line, into pages; an item is never split while it fits one page by itself.

    `more` and `last` are the lines of navigation below every page but the last, and below the last. Their
    room is taken off before packing: packing first is how menus come to overflow.
    """
    room = limit - max(septets(more), septets(last)) - 1
    packed: list[list[str]] = [[]]
    for item in _lines_within(items, room):
        if packed[-1] and septets("\n".join([*packed[-1], item])) > room:
            packed.append([])
        packed[-1].append(item)
    final = len(packed) - 1
    return [
        Page("\n".join([*lines, last if number == final else more]).strip("\n"), number == final)
        for number, lines in enumerate(packed)
    ]


def _lines_within(items: Sequence[str], room: int) -> list[str]:
    """Cut only what no page could hold, at a space."""
    lines: list[str] = []
    for item in items:
        rest = item
        while septets(rest) > room:
            cut = _cut_at(rest, room)
            lines.append(rest[:cut].rstrip())
            rest = rest[cut:].lstrip()
        lines.append(rest)
    return lines


def _cut_at(text: str, room: int) -> int:
    """Return where to cut so that the head takes at most `room` septets, at a space where there is one."""
    fits, used = 0, 0
    for char in text:
        used += 2 if char in EXTENSION else 1
        if used > room:
            break
        fits += 1
    spaces = [match.start() for match in re.finditer(" ", text[: fits + 1]) if match.start()]
    return spaces[-1] if spaces else max(fits, 1)
