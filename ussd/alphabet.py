"""What fits a phone: each language's alphabet, its length, and pages, clips and SMS parts of that length.

A language in the letters of GSM-7 has 160 of them on a screen; one in another script has 70, because each takes
16 bits of the same 140 bytes (3GPP TS 23.038). Source: reference of the conversation, docs/conversation.md.
"""

import re
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass

from ussd import gsm7, tongue


@dataclass(frozen=True)
class Page:
    """One screenful of a longer text."""

    text: str
    is_last: bool


@dataclass(frozen=True)
class Alphabet:
    """Lengths are in the alphabet's own units: septets, or 16-bit units."""

    name: str
    screen: int
    part: int
    # How much of an SMS a customer is asked to read: one part, or two where a script leaves little room.
    sms: int
    # The room that a refusal has above a question, where a question may need more than one page; 0: it may not.
    note: int
    clean: Callable[[str], str]
    # How much room a clean text takes.
    length: Callable[[str], int]

    def room(self, parts: int) -> int:
        """Return how much an SMS of at most so many parts holds, and never less than `sms`."""
        return max(self.sms, self.screen if parts == 1 else parts * self.part)

    def holds(self, text: str) -> bool:
        """Say whether every character of a text is one of the alphabet's."""
        return self.clean(text) == text

    def clip(self, text: str, limit: int) -> str:
        """Return the text, clean, cut to `limit` with a full stop where something was cut."""
        plain = " ".join(self.clean(text).split())
        if self.length(plain) <= limit:
            return plain
        while self.length(plain) > limit - 1:
            plain = plain[:-1]
        return plain.rstrip() + "."

    def segments(self, text: str) -> int:
        """Return how many SMS a text takes. A pair (escape and character, surrogates) straddles no two parts."""
        if self.length(text) <= self.screen:
            return 1
        count, used = 1, 0
        for width in map(self.length, text):
            if used + width > self.part:
                count, used = count + 1, 0
            used += width
        return count

    def pages(
        self, items: Sequence[str], *, more: str, last: str, limit: int = 0, breaks: Container[str] = ()
    ) -> list[Page]:
        """Pack items, one a line, into pages; an item is never split while it fits a page by itself.

        `more` and `last` are the lines of navigation below every page but the last, and below the last. Their
        room is taken off before packing: packing first is how menus come to overflow. One of `breaks` begins a
        page.
        """
        room, last_room = ((limit or self.screen) - self.length(below) - 1 for below in (more, last))
        packed: list[list[str]] = [[]]
        for item in self._lines_within(items, room):
            full = self.length("\n".join([*packed[-1], item])) > room
            if packed[-1] and (full or item in breaks):
                packed.append([])
            packed[-1].append(item)
        packed += self._overhang(packed[-1], last_room)
        final = len(packed) - 1
        return [
            Page("\n".join([*lines, last if number == final else more]).strip("\n"), number == final)
            for number, lines in enumerate(packed)
        ]

    def _overhang(self, lines: list[str], room: int) -> list[list[str]]:
        """Take off the last page what stands there beyond its room, as much as the page after it holds: a page that
        holds no line is left with the navigation alone."""
        if self.length("\n".join(lines)) <= room:
            return []
        rest: list[str] = []
        while self.length("\n".join([lines[-1], *rest])) <= room:
            rest.insert(0, lines.pop())
        return [rest]

    def _lines_within(self, items: Sequence[str], room: int) -> list[str]:
        """Cut only what no page could hold, at a space."""
        lines: list[str] = []
        for item in items:
            rest = item
            while self.length(rest) > room:
                cut = self._cut_at(rest, room)
                lines.append(rest[:cut].rstrip())
                rest = rest[cut:].lstrip()
            lines.append(rest)
        return lines

    def _cut_at(self, text: str, room: int) -> int:
        """Return where to cut so that the head takes at most `room`, at a space where there is one."""
        fits, used = 0, 0
        for char in text:
            used += self.length(char)
            if used > room:
                break
            fits += 1
        spaces = [match.start() for match in re.finditer(" ", text[: fits + 1]) if match.start()]
        return spaces[-1] if spaces else max(fits, 1)


def _of_the_basic_plane(text: str) -> str:
    """Return the text without what takes two units: no language of ours needs it, and few phones show it."""
    return "".join(char for char in text if ord(char) < 0x10000 and not 0xD800 <= ord(char) < 0xE000)


def _units(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


GSM7 = Alphabet("GSM-7", 160, 153, 160, 0, gsm7.to_gsm7, gsm7.length)
UCS2 = Alphabet("UCS-2", 70, 67, 134, 30, _of_the_basic_plane, _units)
# Languages that GSM-7 cannot write.
SCRIPTS = {"am": UCS2}


def of(language: str) -> Alphabet:
    """Return the alphabet that a language is shown in."""
    return SCRIPTS.get(language, GSM7)


def active() -> Alphabet:
    """Return the alphabet of the active language."""
    return of(tongue.language())


def of_text(text: str) -> Alphabet:
    """Return the alphabet that a finished text is sent in: what does not fit GSM-7 goes as 16-bit units."""
    return GSM7 if gsm7.is_gsm7(text) else UCS2
