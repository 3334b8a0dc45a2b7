"""What a customer means by an SMS: keywords and short sentences with their slips, and amounts in digits or words.

Pure: a text goes in, a meaning comes out. The words of each language are data (`keywords/<language>.json`). All
languages are listened for at once, because people mix them; what a word means in the customer's own goes first.
Source: docs/conversation.md.
"""

import json
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

KEYWORDS = Path(__file__).resolve().parent / "keywords"
# Words that stand beside an amount, or are said to be polite: they mean nothing by themselves.
CURRENCIES = {
    "kes",
    "ksh",
    "sh",
    "shs",
    "shilling",
    "shillings",
    "shilingi",
    "bob",
    "ugx",
    "tzs",
    "ngn",
    "ghs",
    "naira",
    "cedi",
    "silingi",
    "ssente",
    "sente",
    "birr",
    "ብር",
}
# A word of so many letters may have so many slips: a letter wrong, missing, added, or two in the wrong order.
SLIPS = ((8, 2), (4, 1))
MOST_WORDS = 40
# Parts of amounts that are not read; an amount with one of them is asked for again.
UNREAD = {"laki", "lakh", "nusu", "half", "million", "milioni"}
# What may follow STOP and START: a purpose of messages.
MEANT_ALONE = {"stop", "start", "yes", "no"}


@dataclass(frozen=True)
class Meaning:
    """What is wanted, in which language it was said, and the amount that stands in it, in whole units."""

    intent: str
    language: str
    units: int | None = None
    rest: tuple[str, ...] = ()


@dataclass(frozen=True)
class Word:
    """One phrase of a language that stands for an intent."""

    tokens: tuple[str, ...]
    intent: str
    language: str


def understand(text: str, language: str) -> Meaning | None:
    """Return what a text means to somebody who speaks a language, or None if it could be anything or nothing.

    >>> understand("Nataka mkopo wa mia tano", "sw")
    Meaning(intent='loan', language='sw', units=500, rest=('wa',))
    >>> understand("laon 1,000/=", "en").units
    1000
    """
    tokens = words_of(text)[:MOST_WORDS]
    units, said = amount(tokens, language)
    left = [token for place, token in enumerate(tokens) if place not in said and token not in CURRENCIES]
    if not left:
        return Meaning("amount", language, units) if units is not None else None
    found = _said(left, language) or _nearly_said(left, language)
    if found is None:
        return None
    rest = tuple(token for token in left if token not in found.tokens)
    if found.intent in MEANT_ALONE and len(rest) > 2:
        return None
    return Meaning(found.intent, found.language, units, rest)


def words_of(text: str) -> list[str]:
    """Return the words of a text in small letters without accents; numbers keep their point."""
    plain = unicodedata.normalize("NFKD", text.casefold().replace("’", "'").replace("/=", " ").replace("/-", " "))
    letters = "".join(char for char in plain if not unicodedata.combining(char))
    # "1,000ksh" is a number and a word; "2k" is a number.
    letters = re.sub(r"(?<=\d)(?=[^\W\d_]{2})", " ", letters)
    joined = re.sub(r"(?<=\d),(?=\d{3}\b)|(?<=\b\d) (?=\d{3}\b)|(?<=\b\d\d) (?=\d{3}\b)", "", letters)
    return re.findall(r"\d+(?:\.\d+)?k?\b|[^\W\d_]+(?:'[^\W\d_]+)?", joined)


# --- words --------------------------------------------------------------------------------------------------
@cache
def lexicon() -> Mapping[str, Any]:
    """Return the words of every language."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(KEYWORDS.glob("*.json"))}


@cache
def _phrases(language: str) -> tuple[Word, ...]:
    """Return every phrase, the longest first, those of one's own language before the others."""
    found = [
        Word(tuple(words_of(phrase)), intent, spoken)
        for spoken, known in lexicon().items()
        for intent, phrases in known["intents"].items()
        for phrase in phrases
    ]
    return tuple(sorted(found, key=lambda one: (-len(one.tokens), one.language != language)))


def _said(tokens: Sequence[str], language: str) -> Word | None:
    """Return the phrase that a text holds: the longest, and of these the one that comes first."""
    best: tuple[int, int, bool] | None = None
    found = None
    for phrase in _phrases(language):
        place = _place(phrase.tokens, tokens)
        if place is not None:
            rank = (-len(phrase.tokens), place, phrase.language != language)
            if best is None or rank < best:
                best, found = rank, phrase
    return found


def _place(phrase: Sequence[str], tokens: Sequence[str]) -> int | None:
    """Return where a phrase begins among words, all of it in a row."""
    for start in range(len(tokens) - len(phrase) + 1):
        if tuple(tokens[start : start + len(phrase)]) == tuple(phrase):
            return start
    return None


def _nearly_said(tokens: Sequence[str], language: str) -> Word | None:
    """Return the one keyword that a word of the text is a slip of; None if there are two of different meaning."""
    nearest: dict[str, tuple[int, bool, Word]] = {}
    for phrase in _phrases(language):
        if len(phrase.tokens) > 1:
            continue
        for token in tokens:
            away = slips(token, phrase.tokens[0])
            if away <= _allowed(phrase.tokens[0]) and token[:1] == phrase.tokens[0][:1]:
                rank = (away, phrase.language != language, phrase)
                if phrase.intent not in nearest or rank[:2] < nearest[phrase.intent][:2]:
                    nearest[phrase.intent] = rank
    ranked = sorted(nearest.values(), key=lambda one: one[:2])
    if not ranked or (len(ranked) > 1 and ranked[0][:2] == ranked[1][:2]):
        return None
    away, _, word = ranked[0]
    near = next(token for token in tokens if slips(token, word.tokens[0]) == away)
    return Word((near,), word.intent, word.language)


def _allowed(word: str) -> int:
    return next((count for letters, count in SLIPS if len(word) >= letters), 0)


def slips(typed: str, meant: str) -> int:
    """Return how many slips lie between two words (Damerau-Levenshtein, adjacent letters swapped count once).

    >>> slips("laon", "loan"), slips("blance", "balance"), slips("stop", "shop")
    (1, 1, 1)
    """
    before: list[int] = []
    row = list(range(len(meant) + 1))
    for i, left in enumerate(typed, 1):
        earlier, before, row = before, row, [i]
        for j, right in enumerate(meant, 1):
            least = min(row[-1] + 1, before[j] + 1, before[j - 1] + (left != right))
            if i > 1 and j > 1 and left == meant[j - 2] and typed[i - 2] == right:
                least = min(least, earlier[j - 2] + 1)
            row.append(least)
    return row[-1]


# --- amounts ------------------------------------------------------------------------------------------------
def amount(tokens: Sequence[str], language: str) -> tuple[int | None, set[int]]:
    """Return the one amount in some words, in whole units, and at which places it stands.

    None if there is none, or if there are two: nobody guesses which one is meant.

    >>> amount(["five", "hundred"], "en"), amount(["elfu", "mbili", "mia", "tano"], "sw")
    ((500, {0, 1}), (2500, {0, 1, 2, 3}))
    """
    in_digits = [(place, _digits(token)) for place, token in enumerate(tokens) if token[0].isdigit()]
    if in_digits:
        places = {place for place, _ in in_digits}
        counted = {place for place, token in enumerate(tokens) if token in _counting()}
        return (in_digits[0][1] if len(in_digits) == 1 and not counted else None), places | counted
    if not UNREAD.isdisjoint(tokens):
        return None, {place for place, token in enumerate(tokens) if token in UNREAD}
    for spoken in (language, *(one for one in lexicon() if one != language)):
        numbers = lexicon().get(spoken, lexicon()["en"])["numbers"]
        found = list(_runs(tokens, numbers))
        if spoken != language:
            # In one's own language it may be a word: "shida" is six in Hausa and trouble in Kiswahili, "ana" is
            # forty in Luganda and "has" in Kiswahili.
            words = _keywords().union(numbers.get("words_elsewhere", ()))
            found = [run for run in found if not words & set(tokens[run[0] : run[1]])]
        if found:
            places = set().union(*(set(range(start, end)) for start, end, _ in found))
            return (found[0][2] if len(found) == 1 else None), places
    return None, set()


@cache
def _counting() -> frozenset[str]:
    """Return the words that multiply a number beside them: what they make of digits is not guessed."""
    known = (one["numbers"] for one in lexicon().values())
    counted = ({*one["hundred"], *one["thousand"], *one.get("times", ())} for one in known)
    return frozenset(UNREAD.union(*counted))


@cache
def _keywords() -> frozenset[str]:
    """Return every word that stands for something else than a number."""
    return frozenset(token for phrase in _phrases("en") for token in phrase.tokens)


def _digits(token: str) -> int | None:
    """Return the whole number that is written in digits; a k stands for thousands."""
    number, thousand = token.removesuffix("k"), token.endswith("k")
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]+)?", number, flags=re.ASCII):
        return None
    exact = float(number) * (1000 if thousand else 1)
    return int(exact) if exact == int(exact) else None


def _runs(tokens: Sequence[str], numbers: Mapping[str, Any]) -> Iterator[tuple[int, int, int | None]]:
    """Yield each run of number words: where it begins and ends, and its value; None of one that makes no number."""
    if numbers.get("doubled"):
        tokens, numbers = [single(token) for token in tokens], _with_single_letters(numbers)
    silent = set(numbers.get("silent", ()))
    known = {*numbers["units"], *numbers["hundred"], *numbers["thousand"], *numbers.get("times", ()), *silent}
    start = 0
    while start < len(tokens):
        end = start
        while end < len(tokens) and (tokens[end] in known or (end > start and tokens[end] in numbers["and"])):
            end += 1
        while end > start and tokens[end - 1] not in known:
            end -= 1
        run = [token for token in tokens[start:end] if token in known - silent]
        if run and not set(run) <= set(numbers.get("articles", ())):
            yield start, end, _value(run, numbers)
        start = max(end, start + 1)


def single(word: str) -> str:
    """Return a word with each doubled letter written once: who types on keys often leaves one out.

    >>> single("ttaano"), single("ttano"), single("mukaaga")
    ('tano', 'tano', 'mukaga')
    """
    return re.sub(r"(.)\1+", r"\1", word)


def _with_single_letters(numbers: Mapping[str, Any]) -> dict[str, Any]:
    """Return the words of a language in which doubled letters are one."""

    def written(words: Any) -> Any:
        if isinstance(words, dict):
            return {single(word): value for word, value in words.items()}
        return [single(word) for word in words]

    return {name: written(words) if isinstance(words, dict | list) else words for name, words in numbers.items()}


def _value(run: Sequence[str], numbers: Mapping[str, Any]) -> int | None:
    """Return the value of number words: "two thousand five hundred", "elfu mbili mia tano"."""
    if numbers["order"] == "parts":
        return _value_of_parts(run, numbers)
    joined = " ".join(run)
    for pair, value in numbers.get("pairs", {}).items():
        joined = joined.replace(pair, str(value))
    read = _value_before if numbers["order"] == "before" else _value_after
    return read(joined.split(), dict(numbers) | {"units": numbers["units"] | {str(n): n for n in range(100)}})


def _value_before(run: Sequence[str], numbers: Mapping[str, Any]) -> int:
    """What counts hundreds and thousands stands before them."""
    total = current = 0
    for token in run:
        if token in numbers["thousand"]:
            total, current = total + max(current, 1) * 1000, 0
        elif token in numbers["hundred"]:
            current = max(current, 1) * 100
        else:
            current += numbers["units"][token]
    return total + current


def _value_after(run: Sequence[str], numbers: Mapping[str, Any]) -> int:
    """What counts hundreds and thousands stands behind them."""
    total, place = 0, 0
    while place < len(run):
        token = run[place]
        place += 1
        if token in numbers["units"]:
            total += numbers["units"][token]
            continue
        times = 0
        most = 1 if token in numbers["hundred"] else 2
        while place < len(run) and run[place] in numbers["units"] and most:
            times += numbers["units"][run[place]]
            place, most = place + 1, most - 1
        total += max(times, 1) * (100 if token in numbers["hundred"] else 1000)
    return total


def _value_of_parts(run: Sequence[str], numbers: Mapping[str, Any]) -> int | None:
    """Add words that are each a number of tens, hundreds or thousands, the larger first: "lukumi mu bitaano".

    One that multiplies has its count behind it. None where one part does not fit behind the other: of
    "bbiri ssatu" nobody knows whether it is five.
    """
    total, place, room = 0, 0, 0
    while place < len(run):
        part, fits, place = _next_part(run, place, numbers)
        if total and part >= room:
            return None
        total, room = total + part, fits
    return total


def _next_part(run: Sequence[str], place: int, numbers: Mapping[str, Any]) -> tuple[int, int, int]:
    """Return one part of a number, below which value another may follow, and where that would stand."""
    times = numbers["times"].get(run[place])
    if times is None:
        value = numbers["units"][run[place]]
        return value, 10 ** (len(str(value)) - 1), place + 1
    count = numbers["units"].get(run[place + 1]) if place + 1 < len(run) else None
    if count is None or count > 10:
        return times, times, place + 1
    # "emitwalo kkumi na mukaaga" is sixteen of them: what follows ten is not guessed.
    return times * count, times if count < 10 else 1, place + 2
