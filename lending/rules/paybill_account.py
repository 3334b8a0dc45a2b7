"""What somebody types as account of a paybill payment that is to be saved: SAVE or GRP, a number, a check digit.

The numbers stand close together, so one that was mistyped would be somebody else's; the check digit finds every
single wrong digit and nearly every swap. The letters S and G are in no loan's reference.
Source of the check digit: ISO/IEC 7812-1, annex B (Luhn).
"""

import re

# SAVE names an account of one person, GRP the membership of one person in a group.
KINDS = ("SAVE", "GRP")
_FORM = re.compile(rf"(?P<kind>{'|'.join(KINDS)})(?P<number>[1-9][0-9]*)(?P<check>[0-9])", re.ASCII)


def check_digit(number: int) -> int:
    """Return the digit that makes the whole a Luhn number.

    >>> check_digit(7_992_739_871)
    3
    """
    doubled = (int(digit) * (2 if place % 2 == 0 else 1) for place, digit in enumerate(reversed(str(number))))
    return -sum(value - 9 if value > 9 else value for value in doubled) % 10


def write(kind: str, number: int) -> str:
    """Return the account to type.

    >>> write("SAVE", 12)
    'SAVE125'
    """
    assert kind in KINDS, f"kind must be one of {KINDS}, got {kind}"
    return f"{kind}{number}{check_digit(number)}"


def read(typed: str) -> tuple[str, int] | None:
    """Return what an account names, however it is spaced; None if it is no such account or mistyped.

    >>> read("save 125"), read("SAVE126")
    (('SAVE', 12), None)
    """
    found = _FORM.fullmatch(re.sub(r"[\s\-.]", "", typed).upper())
    if found is None or int(found["check"]) != check_digit(int(found["number"])):
        return None
    return found["kind"], int(found["number"])
