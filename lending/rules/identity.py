"""What a person types about themselves: number, name, national ID, PIN."""

import re
import unicodedata
from collections.abc import Iterable
from itertools import pairwise


class InvalidName(ValueError):
    """The name holds no letters or too many characters."""


class InvalidNationalId(ValueError):
    """The national ID is not of the country's form."""


class InvalidNumber(ValueError):
    """The phone number is not of the country's form."""


class WeakPin(ValueError):
    """The PIN is not four digits, or among the first that a thief tries."""


# Ten codes make up a fifth of all four-digit codes in use (docs/domain/pins.md).
ROUND = 50
COMMON_PINS = frozenset(
    {
        "1234",
        "1111",
        "0000",
        "1212",
        "7777",
        "1004",
        "2000",
        "4444",
        "2222",
        "6969",
        "9999",
        "3333",
        "5555",
        "6666",
        "1122",
        "1313",
        "8888",
        "4321",
        "2001",
        "1010",
    }
)


def clean_name(typed: str) -> str:
    """Return the name with single spaces, controls and symbols dropped; letters of any script stay.

    Raises:
        InvalidName: fewer than 2 letters or more than 60 characters.
    """
    kept = "".join(
        char if unicodedata.category(char)[0] in "LM" or char in "'-. " else " "
        for char in unicodedata.normalize("NFC", typed)
    )
    name = " ".join(kept.split())
    if sum(char.isalpha() for char in name) < 2 or len(name) > 60:
        raise InvalidName(f"name must hold 2 to 60 letters, got {len(name)} characters")
    return name


def clean_national_id(typed: str, pattern: str) -> str:
    """Return the ID in capitals without spaces or dashes.

    Raises:
        InvalidNationalId: it does not match the country's pattern. The message never repeats the ID.
    """
    value = re.sub(r"[\s\-]", "", typed).upper()
    if not re.fullmatch(pattern, value, flags=re.ASCII):
        raise InvalidNationalId(f"national ID must match {pattern}, got {len(value)} characters")
    return value


def clean_number(typed: str, prefix: str) -> str:
    """Return a phone number of the country as E.164 digits, however people write it.

    >>> {clean_number(typed, "254") for typed in ("0711 000101", "+254711000101", "254711000101", "711000101")}
    {'254711000101'}

    Raises:
        InvalidNumber: it has not nine digits of its own. The message never repeats it.
    """
    digits = re.sub(r"[\s\-+().]", "", typed)
    own = digits.removeprefix("00").removeprefix(prefix) if len(digits) > 10 else digits.removeprefix("0")
    if not re.fullmatch(r"[1-9][0-9]{8}", own, flags=re.ASCII):
        raise InvalidNumber(f"number must have 9 digits after 0 or {prefix}, got {len(digits)}")
    return prefix + own


def mask(value: str) -> str:
    """Return a value of which only the last two characters can be read.

    >>> mask("23456781")
    '******81'
    """
    return "*" * (len(value) - 2) + value[-2:]


def mask_name(full_name: str) -> str:
    """Return a name by which whoever knows the person knows them, and nobody else.

    >>> mask_name("Amina Wanjiru"), mask_name("Bo")
    ('Am*** W.', 'B***')
    """
    first, *others = full_name.split()
    last = f" {others[-1][0]}." if others else ""
    return f"{first[: min(2, len(first) - 1)]}***{last}"


def mask_within(text: str, pattern: str) -> str:
    """Return text in which whatever looks like a national ID is masked; a longer number is none.

    >>> mask_within("ID 23456781, tel 0711000101", "[0-9]{6,9}")
    'ID ******81, tel 0711000101'
    """
    return re.sub(rf"(?<![0-9])(?:{pattern})(?![0-9])", lambda found: mask(found[0]), text, flags=re.ASCII)


def looks_like_pin(typed: str) -> bool:
    """Say whether something is four digits."""
    return bool(re.fullmatch(r"[0-9]{4}", typed, flags=re.ASCII))


def is_round(number: int) -> bool:
    """Say whether a number is one that people say when they mean an amount. No PIN is: see `refuse_weak_pin`."""
    return number % ROUND == 0


def refuse_weak_pin(pin: str, known_digits: Iterable[str]) -> None:
    """Refuse what a thief tries first: common codes, runs, repeats, round numbers, and digits of the number, ID or
    birth year. A round number could be taken for an amount, too, where both may be typed.

    Raises:
        WeakPin: the message never repeats the PIN.
    """
    if not looks_like_pin(pin):
        raise WeakPin("PIN must be 4 digits")
    steps = {int(b) - int(a) for a, b in pairwise(pin)}
    if pin in COMMON_PINS or steps in ({0}, {1}, {-1}) or is_round(int(pin)):
        raise WeakPin("PIN is easy to guess")
    if pin[:2] in ("19", "20") or any(digits.endswith(pin) or digits.startswith(pin) for digits in known_digits):
        raise WeakPin("PIN is part of what others know about you")
