"""The dialogue as a pure step: (where you are, what you typed) -> (where you go, what you read).

A screen is a function from a dialogue to a view: a menu, a question, pages to read, or the end. Views hold
words, choices, how an answer is read and where it leads; the engine does the rest: back, home, more, tries,
shortcuts, length. The only screens with an effect are those whose view names an `act`.
"""

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import count
from typing import Any

from ussd import alphabet
from ussd.alphabet import Page
from ussd.facts import Facts
from ussd.tongue import pgettext, speaking

logger = logging.getLogger(__name__)

START = "start"
BACK, HOME, MORE = "0", "00", "98"
LANGUAGE, LANGUAGES = "99", "language.choose"
# On one page; what a menu has beyond that stands on its next pages.
MAX_OPTIONS = 5
MAX_TRIES = 3
MAX_CHAIN = 12
MAX_HISTORY = 12


class Again(Exception):
    """The answer is refused with a reason in words; the same question is asked again."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class NotHeld(Exception):
    """An act stands next, and the session is not held: its row has to be locked and looked at anew first."""


class Elsewhere(Exception):
    """What was asked for cannot be had; another screen says why."""

    def __init__(self, screen: str) -> None:
        super().__init__(screen)
        self.screen = screen


@dataclass(frozen=True)
class Await:
    """The decision on an application is wanted: shown by `then` when it comes in time, else `late` is shown."""

    application_id: int
    then: str
    late: str


@dataclass
class Dialogue:
    """One customer's place in the conversation, of one version of it. `answers` never holds a PIN.

    `typed`: the short numbers typed so far, where a late copy of an answer looks like the next answer; None
    where copies are told apart.
    """

    msisdn: str
    language: str
    at: datetime
    facts: Facts
    origin: str = ""
    screen: str = START
    page: int = 0
    history: list[str] = field(default_factory=list)
    answers: dict[str, Any] = field(default_factory=dict)
    misses: int = 0
    version: int = 0
    # Whether an act of a screen ran: something changed beyond the dialogue itself. None does before it is `held`.
    acted: bool = False
    held: bool = True
    typed: list[int] | None = None

    def unused(self, choices: int) -> int:
        """Return from which number on so many choices of an agreement count: 1, or where a late copy of any answer
        of this session could be taken for it, the first of so many numbers that were not typed yet."""
        used = set(self.typed or ())
        return next(first for first in count(1) if used.isdisjoint(range(first, first + choices)))

    def note(self, typed: str) -> None:
        """Remember a short number that was typed; a PIN never is one."""
        if self.typed is not None and re.fullmatch(r"[0-9]{1,2}", typed, flags=re.ASCII):
            self.typed = sorted({*self.typed, int(typed)})

    def go(self, screen: str) -> None:
        """Move on, remembering the way back."""
        self.history = [*self.history, self.screen][-MAX_HISTORY:]
        self.screen, self.page = screen, 0

    def go_back(self) -> None:
        self.screen, self.page = (self.history.pop() if self.history else START), 0

    def go_home(self) -> None:
        """Leave a journey; what was answered in it is forgotten."""
        self.screen, self.page, self.history, self.answers = START, 0, [], {}


Next = str | Await
Act = Callable[[Dialogue, Any], Next]


@dataclass(frozen=True)
class Choice:
    """One numbered line. `save` goes into the answers; `act` runs instead of `then` and says where to go.

    `number`: the one that it has whatever stands above it, where lines come and go; else they are counted.
    """

    label: str
    then: str = ""
    save: Mapping[str, Any] = field(default_factory=dict)
    act: Act | None = None
    number: int = 0


@dataclass(frozen=True)
class Ahead:
    """A screen whose question was answered on a menu, without going there first; else it is asked there."""

    screen: str
    answered: bool = True


@dataclass(frozen=True)
class Menu:
    """Words and numbered choices, over several pages where they do not fit one.

    `must_be_seen`: a shortcut stops here, and nothing is chosen before the last page. `record_as` keeps what was
    shown. `ahead`: where what is typed leads that is no choice (where all must be seen, on the last page only), and
    only where a late copy of an answer is not taken for the next one. `first`: the number of the first choice.
    Words that cost reading are given as a function: to understand an answer they are not needed.
    """

    text: str | Callable[[], str]
    choices: Sequence[Choice]
    back: str | None = ""
    back_to: str = ""
    must_be_seen: bool = False
    ahead: Callable[[str], "Ahead | None"] | None = None
    record_as: str = ""
    remember: Mapping[str, Any] = field(default_factory=dict)
    first: int = 1


@dataclass(frozen=True)
class Ask:
    """A question. `parse` reads the answer or raises Again.

    `secret`: a PIN; it is handed to `act` and goes nowhere else, and a shortcut never answers it.
    `whole`: free text, so a typed star belongs to the answer. `zero_is_answer`: 0 is an amount, not "back".
    """

    text: str
    parse: Callable[[str], Any]
    then: str = ""
    save_as: str = ""
    act: Act | None = None
    secret: bool = False
    whole: bool = False
    zero_is_answer: bool = False


@dataclass(frozen=True)
class Read:
    """Items to read, over as many pages as it takes; the choices stand on the last page.

    `seen_as` is set among the answers when the last page is shown.
    """

    items: Sequence[str]
    choices: Sequence[Choice] = ()
    seen_as: str = ""


@dataclass(frozen=True)
class End:
    """The last screen; the session ends when its last page is shown."""

    text: str


@dataclass(frozen=True)
class Go:
    """No words of its own: another screen speaks."""

    screen: str


Paged = Menu | Read | End | Ask
View = Paged | Go
Samples = Sequence[Callable[[], "Sample"]]


@dataclass(frozen=True)
class Sample:
    """Facts and answers under which a screen is measured: the longest that can occur."""

    facts: Facts
    answers: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Screen:
    """A declared screen. `resume`: the safe screen at which a dropped dialogue goes on; empty is none.

    `samples` and `tries` are for measuring: worst values, and answers whose refusals are sentences too.
    `costs`: it says, item by item, what the step that follows costs; `paged`: it is meant to take several pages.
    `until`: the last version of the conversation in which the screen was like this.
    """

    name: str
    view: Callable[[Dialogue], View]
    resume: str
    samples: Samples
    tries: Sequence[str]
    costs: bool = False
    paged: bool = False
    until: int = 0


# Raised when a screen changes so that an answer to the old one would mean something else now. The old screen then
# stays, declared `until` the version before, for as long as a dialogue may last.
VERSION = 3
SCREENS: dict[str, Screen] = {}
EARLIER: dict[str, list[Screen]] = {}


def screen(
    name: str,
    *,
    samples: Samples,
    resume: str = "",
    tries: Sequence[str] = ("", "x"),
    costs: bool = False,
    paged: bool = False,
    until: int = 0,
) -> Callable[[Callable[[Dialogue], View]], Callable[[Dialogue], View]]:
    """Declare a screen by name."""

    def declare(view: Callable[[Dialogue], View]) -> Callable[[Dialogue], View]:
        declared = Screen(name, view, resume, samples, tries, costs, paged, until)
        if until:
            EARLIER.setdefault(name, []).append(declared)
            EARLIER[name].sort(key=lambda one: one.until)
        else:
            assert name not in SCREENS, f"screen {name} is declared twice"
            SCREENS[name] = declared
        return view

    return declare


def find(name: str, version: int) -> Screen | None:
    """Return the screen of this name as it is in a version of the conversation."""
    earlier = (one for one in EARLIER.get(name, ()) if version and version <= one.until)
    return next(earlier, SCREENS.get(name))


@dataclass(frozen=True)
class Shown:
    """What the phone shows after a step."""

    text: str
    ends: bool
    awaiting: Await | None = None


def step(dialogue: Dialogue, inputs: Sequence[str], *, may_act: bool = True) -> Shown:
    """Walk the inputs from where the dialogue is and return what to show; the dialogue moves along.

    Usually there is one input; a shortcut dialled in one go brings several. A walk stops at the first
    refusal, at a question that must be seen before it is answered, and always at a PIN. With `may_act` off
    (the gateway's text and our memory disagree) it stops before any effect.

    Raises:
        NotHeld: an act stands next, and others may be at this dialogue too.
    """
    with speaking(dialogue.language):
        note, awaiting = _walk(dialogue, inputs, may_act)
        return show(dialogue, note, awaiting)


def _walk(dialogue: Dialogue, inputs: Sequence[str], may_act: bool) -> tuple[str, Await | None]:
    """Take the inputs one by one; return the refusal to show, and what to wait for."""
    note = ""
    awaiting = None
    for number, typed in enumerate(inputs[:MAX_CHAIN]):
        view = look(dialogue)
        if _is_over(dialogue, view) or (number and _stops_a_walk(view)):
            break
        rest = inputs[number:]
        try:
            outcome = _take(dialogue, view, typed if not _takes_all(view) else "*".join(rest), may_act)
        except _Halt:
            break
        except Again as refusal:
            note = refusal.reason
            dialogue.misses += 1
            break
        dialogue.misses = 0
        if isinstance(outcome, Await):
            awaiting = outcome
            dialogue.go(outcome.late)
            break
        if _takes_all(view) or (isinstance(view, Menu) and view.ahead and view.must_be_seen):
            break
    if dialogue.misses >= MAX_TRIES:
        dialogue.misses = 0
        dialogue.go("lost")
        note = ""
    return note, awaiting


class _Halt(Exception):
    """An effect stands next and must not be had now."""


def look(dialogue: Dialogue) -> View:
    """Return the view of the current screen in the customer's language, following redirections."""
    for _ in range(MAX_HISTORY):
        found = find(dialogue.screen, dialogue.version)
        if found is None:
            raise LookupError(f"no screen {dialogue.screen} in version {dialogue.version}")
        with speaking(dialogue.language):
            view = found.view(dialogue)
        if not isinstance(view, Go):
            return view
        dialogue.screen = view.screen
    raise RuntimeError(f"screens lead in a circle at {dialogue.screen}")


def _stops_a_walk(view: View) -> bool:
    return (isinstance(view, Ask) and view.secret) or (isinstance(view, Menu) and view.must_be_seen)


def _takes_all(view: View) -> bool:
    return isinstance(view, Ask) and (view.whole or view.secret)


def _take(dialogue: Dialogue, view: View, typed: str, may_act: bool) -> Await | None:
    """Apply one input to the view; move the dialogue.

    Raises:
        Again: the input is refused, with words.
    """
    with speaking(dialogue.language):
        if typed == HOME:
            dialogue.go_home()
            return None
        if typed == BACK and not (isinstance(view, Ask) and view.zero_is_answer):
            _go_back(dialogue, view)
            return None
        assert not isinstance(view, Go)
        if typed == MORE and not _is_last_page(dialogue, view):
            dialogue.page += 1
            return None
        if isinstance(view, Ask):
            return _answer(dialogue, view, typed, may_act)
        if typed == LANGUAGE and LANGUAGES in SCREENS and not isinstance(view, End):
            dialogue.go(LANGUAGES)
            return None
        return _choose(dialogue, view, typed, may_act)


def _is_last_page(dialogue: Dialogue, view: Paged) -> bool:
    return dialogue.page + 1 >= len(_pages(view))


def _is_over(dialogue: Dialogue, view: View) -> bool:
    with speaking(dialogue.language):
        return isinstance(view, End) and _is_last_page(dialogue, view)


def _go_back(dialogue: Dialogue, view: View) -> None:
    if dialogue.page:
        dialogue.page -= 1
    elif isinstance(view, Menu) and view.back_to == START:
        dialogue.go_home()
    elif isinstance(view, Menu) and view.back_to:
        dialogue.go(view.back_to)
    else:
        dialogue.go_back()


def _choose(dialogue: Dialogue, view: Menu | Read | End, typed: str, may_act: bool) -> Await | None:
    dialogue.note(typed)
    if isinstance(view, End) or (_must_be_read(view) and not _is_last_page(dialogue, view)):
        raise Again(pgettext("engine", "Not an option."))
    try:
        choice = _chosen(view, typed)
    except Again:
        ahead = view.ahead(typed) if isinstance(view, Menu) and view.ahead else None
        if ahead is None:
            raise
        return _answer_ahead(dialogue, ahead, typed, may_act)
    if choice.act and not may_act:
        raise _Halt
    dialogue.answers.update(choice.save)
    return _move(dialogue, _act(choice.act, dialogue, None) if choice.act else choice.then)


def _answer_ahead(dialogue: Dialogue, ahead: Ahead, typed: str, may_act: bool) -> Await | None:
    """Go to the question of another screen, with its answer; refused for what it is, it is asked again there."""
    there = replace(dialogue, screen=ahead.screen, page=0)
    question = look(there)
    dialogue.go(there.screen)
    if ahead.answered and isinstance(question, Ask):
        return _answer(dialogue, question, typed, may_act)
    return None


def _must_be_read(view: Menu | Read) -> bool:
    """Say whether choices count on the last page only: nobody accepts what they have not seen to the end."""
    return isinstance(view, Read) or view.must_be_seen


def _chosen(view: Menu | Read, typed: str) -> Choice:
    """Return the choice with this number; digits of other scripts and signs are no numbers here."""
    for number, choice in _with_numbers(view):
        if typed == str(number):
            return choice
    raise Again(pgettext("engine", "Not an option."))


def _answer(dialogue: Dialogue, view: Ask, typed: str, may_act: bool) -> Await | None:
    if not view.secret:
        dialogue.note(typed)
    if view.act and not may_act:
        raise _Halt
    value = view.parse(typed)
    if view.save_as and not view.secret:
        dialogue.answers[view.save_as] = value
    return _move(dialogue, _act(view.act, dialogue, value) if view.act else view.then)


def _act(act: Act, dialogue: Dialogue, value: Any) -> Next:
    if not dialogue.held:
        raise NotHeld
    dialogue.acted = True
    try:
        return act(dialogue, value)
    except Elsewhere as elsewhere:
        return elsewhere.screen
    finally:
        dialogue.facts.forget()


def _move(dialogue: Dialogue, outcome: Next) -> Await | None:
    if isinstance(outcome, Await):
        return outcome
    if outcome == START:
        dialogue.go_home()
    else:
        dialogue.go(outcome)
    return None


def show(dialogue: Dialogue, note: str = "", awaiting: Await | None = None) -> Shown:
    """Render the current screen: GSM-7, within the length of a screen."""
    view = look(dialogue)
    with speaking(dialogue.language):
        text = fit(render(view, note, dialogue.page), dialogue.screen)
    if isinstance(view, Menu) and view.record_as:
        dialogue.answers[view.record_as] = {
            "text": read_whole(view, dialogue.language),
            "language": dialogue.language,
            "shown_at": dialogue.at.isoformat(),
            **view.remember,
        }
    if isinstance(view, Read) and view.seen_as and _is_last_page(dialogue, view):
        dialogue.answers[view.seen_as] = True
    return Shown(text, _is_over(dialogue, view), awaiting)


def render(view: View, note: str = "", page: int = 0) -> str:
    """Return the words of a view in the active language, customer data brought to its alphabet, of any length."""
    if isinstance(view, Go):
        raise TypeError(f"{view} has no words")
    letters, shown = alphabet.active(), _pages(view)
    text = shown[min(page, len(shown) - 1)].text
    note = letters.clean(note)
    if isinstance(view, Ask) and letters.note:
        note = letters.clip(note, letters.note - 1)
    if note and isinstance(view, Menu | Read) and _gives_way(view):
        text = _less(text, letters.screen - letters.length(note) - 1, choices=_items_of(_numbered(view)))
    return f"{note}\n{text}" if note else text


def _less(text: str, room: int, choices: Sequence[str]) -> str:
    """Return as many of the last lines as there is room for, the choices in any case."""
    letters, lines = alphabet.active(), text.split("\n")
    while letters.length("\n".join(lines)) > room and lines[0] not in choices:
        del lines[0]
    return "\n".join(lines)


def read_whole(view: Paged, language: str) -> str:
    """Return all that a view says, as one text: its pages without the way from one to the next."""
    with speaking(language):
        return _joined(_items(view), _last_line(view))


def _items(view: Paged) -> list[str]:
    """Return the lines of a view, its choices last, in the alphabet of the active language."""
    if isinstance(view, Read):
        lines = [*view.items, *_numbered(view)]
    elif isinstance(view, Menu):
        text = view.text if isinstance(view.text, str) else view.text()
        lines = [*text.split("\n"), *_numbered(view)]
    else:
        assert isinstance(view, End | Ask)
        lines = view.text.split("\n")
    return _items_of(lines)


def _items_of(lines: Sequence[str]) -> list[str]:
    return [line for line in map(alphabet.active().clean, lines) if line]


def _numbered(view: Menu | Read) -> list[str]:
    return [f"{number} {choice.label}" for number, choice in _with_numbers(view)]


def _with_numbers(view: Menu | Read) -> list[tuple[int, Choice]]:
    first = view.first if isinstance(view, Menu) else 1
    return [(choice.number or place, choice) for place, choice in enumerate(view.choices, first)]


def _last_line(view: Paged) -> str:
    """Return the way back that stands below the last page."""
    if isinstance(view, End) or (isinstance(view, Menu) and view.back is None):
        return ""
    if isinstance(view, Ask) and view.zero_is_answer:
        return _home_label()
    if isinstance(view, Menu) and view.back:
        return alphabet.active().clean(f"{BACK} {view.back}")
    return _back_label()


def _back_label() -> str:
    return alphabet.active().clean(pgettext("engine", "0 Back"))


def _home_label() -> str:
    return alphabet.active().clean(pgettext("engine", "00 Home"))


def _joined(lines: Sequence[str], last: str) -> str:
    return "\n".join([*lines, last] if last else lines)


def _pages(view: Paged) -> list[Page]:
    """Return a view as the pages on which it is shown: one if it fits, with the room for a refusal above it."""
    if isinstance(view, Ask):
        return _pages_of_question(view)
    letters, items, last = alphabet.active(), _items(view), _last_line(view)
    choices = [] if isinstance(view, End) else _numbered(view)
    whole = _joined(items, last)
    room = letters.screen
    if (choices or isinstance(view, Read)) and not _gives_way(view):
        # Always kept, so that page numbers mean the same with a refusal and without one.
        room -= 1 + letters.length(letters.clean(pgettext("engine", "Not an option.")))
    if letters.length(whole) <= room and len(choices) <= MAX_OPTIONS:
        return [Page(whole, True)]
    more = letters.clean(pgettext("engine", "98 More"))
    if not (isinstance(view, End) or _gives_way(view)):
        more = f"{more}\n{_back_label()}"
    if _is_settled_at_the_end(view):
        last, items = _joined([*choices], last), items[: len(items) - len(choices)]
    breaks = {letters.clean(line) for line in choices[MAX_OPTIONS::MAX_OPTIONS]}
    return letters.pages(items, more=more, last=last, limit=room, breaks=breaks)


def _pages_of_question(view: Ask) -> list[Page]:
    """Return a question as one page; in a script that leaves little room as several, and it is answered on any.

    Only 98 leads on, and on the last page it is an answer like any other.
    """
    letters, items, last = alphabet.active(), _items(view), _last_line(view)
    whole = _joined(items, last)
    if not letters.note or letters.length(whole) <= letters.screen - letters.note:
        return [Page(whole, True)]
    return letters.pages(
        items, more=letters.clean(pgettext("engine", "98 More")), last=last, limit=letters.screen - letters.note
    )


def _is_settled_at_the_end(view: Paged) -> bool:
    """Say whether the choices of a view stand together below its last page."""
    return isinstance(view, Menu | Read) and _must_be_read(view)


def _gives_way(view: Paged) -> bool:
    """Say whether words that were read a moment ago give way to a refusal, where a script leaves little room."""
    return bool(alphabet.active().note) and _is_settled_at_the_end(view)


def fit(text: str, name: str, limit: int = 0) -> str:
    """Return the text as it is when it fits; one that does not is our fault, so it is logged and cut.

    `limit` is that of a screen if none is given, in the units of the active language's alphabet.
    """
    letters = alphabet.active()
    limit = limit or letters.screen
    if letters.length(text) <= limit:
        return text
    logger.error("screen %s takes %s of %s", name, letters.length(text), limit)
    lines = text.split("\n")
    for _ in lines:
        over = letters.length("\n".join(lines)) - limit
        longest = max(range(len(lines)), key=lambda number: letters.length(lines[number]))
        if over > 0:
            lines[longest] = letters.clip(lines[longest], max(letters.length(lines[longest]) - over, 4))
    return "\n".join(lines)
