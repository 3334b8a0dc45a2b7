"""What went over the air to and from each phone, and which callbacks followed: for people who watch.

It is kept in memory only. What somebody typed may be a PIN or a national ID, and a network cannot know which:
no number of four digits or more that was typed is kept, whatever it was.
"""

import itertools
import re
from collections import deque
from collections.abc import Container
from typing import Any

from sandbox.clock import Clock, iso

KEPT = 2000
MASK = "****"
LONG_NUMBER = re.compile(r"\d(?:[\s.-]?\d){3,}")
LONGEST_MENU_NUMBER = 2


def typed(text: str, asked: str = "") -> str:
    """Return what was typed, as it may be watched; `asked` is the screen that it answers.

    >>> typed("LOAN 500"), typed("LOAN 500 2580"), typed("25x0", asked="PIN?"), typed("1", asked="1 Change PIN")
    ('LOAN 500', 'LOAN ****', '****', '1')
    """
    if "PIN" in asked and len(text) > LONGEST_MENU_NUMBER:
        return MASK
    return LONG_NUMBER.sub(MASK, text)


def dial_string(dialled: str, own_code: str) -> str:
    """Return a dial string as it may be watched: the service's own code is no secret.

    >>> dial_string("*384*7700*1*2580#", "*384*7700#"), dial_string("*384*2580#", "*384*7700#")
    ('*384*7700*1*****#', '*384*****#')
    """
    own = own_code.rstrip("#")
    return own + typed(dialled.removeprefix(own)) if dialled.startswith(own) else typed(dialled)


class Wire:
    """The last of what went over the wire, oldest first.

    `way` is "out" (from the phone), "in" (to the phone) or "" (between the operator and the service).
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._entries: deque[dict[str, Any]] = deque(maxlen=KEPT)
        self._numbers = itertools.count(1)

    def note(
        self,
        msisdn: str,
        kind: str,
        way: str,
        text: str,
        *,
        status: str = "",
        fault: str = "",
        ms: int | None = None,
    ) -> None:
        """Keep one entry."""
        self._entries.append(
            {
                "id": next(self._numbers),
                "at": iso(self.clock.now()),
                "msisdn": msisdn,
                "kind": kind,
                "way": way,
                "text": text,
                "status": status,
                "fault": fault,
                "ms": ms,
            }
        )

    def since(self, after: int, msisdns: Container[str]) -> list[dict[str, Any]]:
        """Return what these phones had after the entry with this number."""
        return [one for one in self._entries if one["id"] > after and one["msisdn"] in msisdns]

    @property
    def latest(self) -> int:
        """Return the number of the last entry; 0 before the first."""
        return self._entries[-1]["id"] if self._entries else 0
