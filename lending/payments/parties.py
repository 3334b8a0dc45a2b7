"""Whose wallet a rail means: it prints numbers plain, masked or hashed, with a name or without."""

import hashlib
import re


def names_a_wallet(told: str) -> bool:
    """Say whether a party was told at all, with at least some of its digits."""
    return bool(re.search(r"[0-9]", told.split(" - ")[0]))


def is_same_party(told: str, msisdn: str) -> bool:
    """Say whether a party, plain, masked ("2547 ***** 126") or hashed, can be this number.

    A party that was not told at all cannot contradict.
    """
    party = told.split(" - ")[0].strip().lower()
    if re.fullmatch(r"[0-9a-f]{64}", party):
        return party == hashlib.sha256(msisdn.encode()).hexdigest()
    shape = re.sub(r"[^0-9*]", "", party)
    if not shape:
        return True
    if "*" in shape:
        head, tail = shape.split("*")[0], shape.split("*")[-1]
        return msisdn.startswith(head) and msisdn.endswith(tail)
    return shape.lstrip("0")[-9:] == msisdn[-9:]
