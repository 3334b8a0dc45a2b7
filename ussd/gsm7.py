"""The alphabet of every phone: GSM 03.38, counted in septets. How much of it fits is in ussd.alphabet.

One curly quote turns a whole SMS to UCS-2 and doubles its price, and a screen with it is cut or refused.
"""

import unicodedata

BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
EXTENSION = frozenset("^{}\\[~]|€")
ALPHABET = BASIC | EXTENSION
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
    return ALPHABET.issuperset(text)


def septets(text: str) -> int:
    """Count septets: one for a basic character, two for one of the extension table.

    Raises:
        NotGsm7: the text holds other characters, so it has no length in septets.
    """
    if not is_gsm7(text):
        strange = sorted(set(text) - ALPHABET)
        raise NotGsm7(f"text must be GSM-7, got {strange}")
    return length(text)


def length(text: str) -> int:
    """Return the septets of a text that is known to be GSM-7."""
    return len(text) + sum(map(text.count, EXTENSION))


def to_gsm7(text: str) -> str:
    """Return the text in GSM-7: accents that the alphabet lacks fall off, what remains foreign is dropped.

    >>> to_gsm7("Wanjirũ O’Néill 🙂")
    "Wanjiru O'Néill "
    """
    if is_gsm7(text):
        return text
    return "".join(_to_gsm7(char) for char in unicodedata.normalize("NFC", text).translate(PLAIN))


def _to_gsm7(char: str) -> str:
    if char in ALPHABET:
        return char
    plain = unicodedata.normalize("NFKD", char).translate(PLAIN)
    return "".join(part for part in plain if part in ALPHABET)
