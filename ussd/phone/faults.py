"""Faults of a phone's line as people choose them, and the sandbox's rules that they stand for."""

from typing import Any

NEXT, EVERY = "next", "every"
# A gateway waits 15 s for an answer; what is held up longer is lost, and that is another fault.
LONGEST_S, FARTHEST = 14, 20
KINDS = {
    "lost_there": "Lost on the way there",
    "lost_back": "Answer lost on the way back",
    "delay": "Held up {seconds} s",
    "twice": "Delivered twice",
}


class InvalidFault(ValueError):
    """What was chosen is no fault; the text says what can be chosen."""


def rules(kind: str, *, when: str = EVERY, count: Any = 1, seconds: Any = 4) -> list[dict[str, Any]]:
    """Return the rules of a fault: `when` is the next hop, or every `count`-th; no kind is a line that works.

    >>> rules("lost_back", when="next")[0]["label"]
    'Answer lost on the way back: the next hop'

    Raises:
        InvalidFault: with what was needed.
    """
    if not kind:
        return []
    if kind not in KINDS or when not in (NEXT, EVERY):
        raise InvalidFault(
            f"a fault is one of {', '.join(KINDS)}, for the next hop or every n-th; got {kind[:20]!r}"
        )
    nth, held_s = _whole(count, "every n-th hop", FARTHEST), _whole(seconds, "the delay", LONGEST_S)
    match = {"path": "/ussd"} | ({"nth": 1} if when == NEXT else {"every": nth})
    return [{"match": match, "callbacks": _callbacks(kind, held_s), "label": _label(kind, when, nth, held_s)}]


def _whole(value: Any, name: str, most: int) -> int:
    text = str(value)
    if not (text.isascii() and text.isdigit() and len(text) < 4 and 1 <= int(text) <= most):
        raise InvalidFault(f"{name} is a whole number from 1 to {most}, got {text[:20]!r}")
    return int(text)


def _callbacks(kind: str, seconds: int) -> list[dict[str, Any]]:
    plans: dict[str, list[dict[str, Any]]] = {
        "lost_there": [],
        "lost_back": [{"mode": "answer_lost"}],
        "delay": [{"after_ms": seconds * 1000}],
        "twice": [{"dup": 2}],
    }
    return plans[kind]


def _label(kind: str, when: str, nth: int, seconds: int) -> str:
    which = "the next hop" if when == NEXT else "every hop" if nth == 1 else f"every {_ordinal(nth)} hop"
    return f"{KINDS[kind].format(seconds=seconds)}: {which}"


def _ordinal(number: int) -> str:
    """Return 2nd, 3rd, 4th ... of a number up to 20."""
    endings = {1: "st", 2: "nd", 3: "rd"}
    return f"{number}{endings.get(number, 'th')}"
