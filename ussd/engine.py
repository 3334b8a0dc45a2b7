"""The dialogue as a pure step: (where you are, what you typed) -> (where you go, what you read).

A screen is a function from a dialogue to a view: a menu, a question, pages to read, or the end. Views hold
words, choices, how an answer is read and where it leads; the engine does the rest: back, home, more, tries,
shortcuts, length. The only screens with an effect are those whose view names an `act`.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.utils import translation
from django.utils.translation import pgettext

from ussd import gsm7
from ussd.facts import Facts

logger = logging.getLogger(__name__)

START = "start"
BACK, HOME, MORE = "0", "00", "98"
MAX_OPTIONS = 5
MAX_TRIES = 3
MAX_CHAIN = 12
MAX_HISTORY = 12


class Again(Exception):
    """The answer is refused with a reason in words; the same question is asked again."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


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
    """One customer's place in the conversation. `answers` never holds a PIN."""

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
    """One numbered line. `save` goes into the answers; `act` runs instead of `then` and says where to go."""

    label: str
    then: str = ""
    save: Mapping[str, Any] = field(default_factory=dict)
    act: Act | None = None


@dataclass(frozen=True)
class Menu:
    """Words and numbered choices. `must_be_seen`: a shortcut stops here, and `record_as` keeps what was shown.

    Words that cost reading are given as a function: to understand an answer they are not needed.
    """

    text: str | Callable[[], str]
    choices: Sequence[Choice]
    back: str | None = ""
    back_to: str = ""
    must_be_seen: bool = False
    record_as: str = ""
    remember: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        assert len(self.choices) <= MAX_OPTIONS, f"a menu has at most {MAX_OPTIONS} options: {self.text!r}"


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
    """Items to read, over as many pages as it takes; the choices stand on the last page."""

    items: Sequence[str]
    choices: Sequence[Choice] = ()


@dataclass(frozen=True)
class End:
    """The last screen."""

    text: str


@dataclass(frozen=True)
class Go:
    """No words of its own: another screen speaks."""

    screen: str


View = Menu | Ask | Read | End | Go
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
    """

    name: str
    view: Callable[[Dialogue], View]
    resume: str
    samples: Samples
    tries: Sequence[str]


SCREENS: dict[str, Screen] = {}


def screen(
    name: str, *, samples: Samples, resume: str = "", tries: Sequence[str] = ("", "x")
) -> Callable[[Callable[[Dialogue], View]], Callable[[Dialogue], View]]:
    """Declare a screen by name."""

    def declare(view: Callable[[Dialogue], View]) -> Callable[[Dialogue], View]:
        assert name not in SCREENS, f"screen {name} is declared twice"
        SCREENS[name] = Screen(name, view, resume, samples, tries)
        return view

    return declare


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
    """
    note = ""
    awaiting = None
    for number, typed in enumerate(inputs[:MAX_CHAIN]):
        view = look(dialogue)
        if isinstance(view, End) or (number and _stops_a_walk(view)):
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
        if _takes_all(view):
            break
    if dialogue.misses >= MAX_TRIES:
        dialogue.misses = 0
        dialogue.go("lost")
        note = ""
    return show(dialogue, note, awaiting)


class _Halt(Exception):
    """An effect stands next and must not be had now."""


def look(dialogue: Dialogue) -> View:
    """Return the view of the current screen in the customer's language, following redirections."""
    for _ in range(MAX_HISTORY):
        with translation.override(dialogue.language):
            view = SCREENS[dialogue.screen].view(dialogue)
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
    with translation.override(dialogue.language):
        if typed == HOME:
            dialogue.go_home()
            return None
        if typed == BACK and not (isinstance(view, Ask) and view.zero_is_answer):
            _go_back(dialogue, view)
            return None
        if isinstance(view, Ask):
            return _answer(dialogue, view, typed, may_act)
        if isinstance(view, Read) and typed == MORE and dialogue.page + 1 < len(_pages(view)):
            dialogue.page += 1
            return None
        assert isinstance(view, Menu | Read)
        return _choose(dialogue, view, typed, may_act)


def _go_back(dialogue: Dialogue, view: View) -> None:
    if isinstance(view, Read) and dialogue.page:
        dialogue.page -= 1
    elif isinstance(view, Menu) and view.back_to:
        dialogue.go(view.back_to)
    else:
        dialogue.go_back()


def _choose(dialogue: Dialogue, view: Menu | Read, typed: str, may_act: bool) -> Await | None:
    if isinstance(view, Read) and dialogue.page + 1 < len(_pages(view)):
        # The choices stand on the last page: nobody accepts terms that they have not seen to the end.
        raise Again(pgettext("engine", "Not an option."))
    choice = _chosen(view, typed)
    if choice.act and not may_act:
        raise _Halt
    dialogue.answers.update(choice.save)
    return _move(dialogue, _act(choice.act, dialogue, None) if choice.act else choice.then)


def _chosen(view: Menu | Read, typed: str) -> Choice:
    """Return the choice with this number; digits of other scripts and signs are no numbers here."""
    if len(typed) == 1 and typed in "12345"[: len(view.choices)]:
        return view.choices[int(typed) - 1]
    raise Again(pgettext("engine", "Not an option."))


def _answer(dialogue: Dialogue, view: Ask, typed: str, may_act: bool) -> Await | None:
    if view.act and not may_act:
        raise _Halt
    value = view.parse(typed)
    if view.save_as and not view.secret:
        dialogue.answers[view.save_as] = value
    return _move(dialogue, _act(view.act, dialogue, value) if view.act else view.then)


def _act(act: Act, dialogue: Dialogue, value: Any) -> Next:
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
    with translation.override(dialogue.language):
        text = fit(render(view, note, dialogue.page), dialogue.screen)
    if isinstance(view, Menu) and view.record_as:
        dialogue.answers[view.record_as] = {
            "text": text,
            "language": dialogue.language,
            "shown_at": dialogue.at.isoformat(),
            **view.remember,
        }
    return Shown(text, isinstance(view, End), awaiting)


def render(view: View, note: str = "", page: int = 0) -> str:
    """Return the words of a view in the active language, customer data brought to GSM-7, of any length."""
    if isinstance(view, Menu):
        text = view.text if isinstance(view.text, str) else view.text()
        lines = [note, text, *_numbered(view.choices), _back_line(view)]
    elif isinstance(view, Ask):
        lines = [note, view.text, _home_label() if view.zero_is_answer else _back_label()]
    elif isinstance(view, Read):
        shown = _pages(view, note)
        lines = [shown[min(page, len(shown) - 1)].text]
    elif isinstance(view, End):
        lines = [view.text]
    else:
        raise TypeError(f"{view} has no words")
    return gsm7.to_gsm7("\n".join(line for line in lines if line))


def _numbered(choices: Sequence[Choice]) -> list[str]:
    return [f"{number} {choice.label}" for number, choice in enumerate(choices, 1)]


def _back_line(view: Menu) -> str:
    if view.back is None:
        return ""
    return f"{BACK} {view.back}" if view.back else _back_label()


def _back_label() -> str:
    return pgettext("engine", "0 Back")


def _home_label() -> str:
    return pgettext("engine", "00 Home")


def _pages(view: Read, note: str = "") -> list[gsm7.Page]:
    last = "\n".join([*_numbered(view.choices), _back_label()])
    more = pgettext("engine", "98 More") + "\n" + _back_label()
    items = [gsm7.to_gsm7(item) for item in view.items]
    # The room for a refusal is always kept, so that page numbers mean the same with and without one.
    room = gsm7.SCREEN_SEPTETS - 1 - gsm7.septets(pgettext("engine", "Not an option."))
    packed = gsm7.pages(items, more=more, last=last, limit=room)
    return [gsm7.Page(f"{note}\n{page.text}" if note else page.text, page.is_last) for page in packed]


def fit(text: str, name: str) -> str:
    """Return the text as it is when it fits a screen; one that does not is our fault, so it is logged and cut."""
    if gsm7.septets(text) <= gsm7.SCREEN_SEPTETS:
        return text
    logger.error("screen %s takes %s septets", name, gsm7.septets(text))
    lines = text.split("\n")
    for _ in lines:
        over = gsm7.septets("\n".join(lines)) - gsm7.SCREEN_SEPTETS
        longest = max(range(len(lines)), key=lambda number: gsm7.septets(lines[number]))
        if over > 0:
            lines[longest] = gsm7.clip(lines[longest], max(gsm7.septets(lines[longest]) - over, 4))
    return "\n".join(lines)
