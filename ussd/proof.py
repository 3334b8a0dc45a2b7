"""What can be proved of the conversation before anybody dials: every screen, every way between two, every language.

Where a screen leads is read from its code: the names of screens that its functions hold, and the functions that
they call in `ussd.screens`. So nothing has to be declared twice, and nothing can be forgotten.
"""

import re
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from inspect import unwrap
from types import CodeType, FunctionType, ModuleType
from typing import Any

from django.conf import settings

from ussd import alphabet, catalogue, engine, flows
from ussd.engine import SCREENS, START, Ask, End, Go, Menu, Read, View
from ussd.tongue import speaking

MOST_HOPS_DOWN = 4
HOME = "home"
# Where the engine and the sessions send a dialogue by themselves.
ROOTS = (START, engine.LANGUAGES, "home.resume", "lost", "sorry", "busy", "over")
# Services that move money or promise it at the customer's word. What only asks a person to look is not among them.
MOVES_MONEY = {
    "lending.services.applications": {"submit"},
    "lending.services.groups": {"ask_withdrawal", "ask_share_out"},
    "lending.services.savings_instructions": {"instruct_withdrawal"},
    "lending.services.changes": {"change_loan"},
    "lending.services.savings_sweeps": {"repay_from_savings"},
}


@dataclass(frozen=True)
class Fault:
    """Something that is wrong with the conversation, and where."""

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


def faults() -> list[Fault]:
    """Return all that is wrong, in the order of the checks."""
    checks = (
        too_long, refusals_too_long, ways_to_nowhere, dead_ends, orphans, unreachable, too_deep, same_twice,
        crowded, uncosted, untranslated,
    )  # fmt: skip
    return [fault for check in checks for fault in check()]


# --- ways ---------------------------------------------------------------------------------------------------
@cache
def ways(name: str) -> frozenset[str]:
    """Return the screens that a screen's code may lead to, those of its resumption included."""
    screen = SCREENS[name]
    found = {one for one in _strings(screen.view) if one in SCREENS and one != name}
    return frozenset(found | ({screen.resume} - {"", name}))


def _strings(view: Callable[..., Any]) -> set[str]:
    return set().union(*(_strings_of(code) for code, _ in _codes(view)), *_named_by_tables(view))


def _strings_of(code: CodeType) -> set[str]:
    """Return the strings that code holds, but for its documentation."""
    return {const for const in code.co_consts if isinstance(const, str)} | {
        const for held in code.co_consts if isinstance(held, tuple) for const in held if isinstance(const, str)
    }


def _named_by_tables(view: Callable[..., Any]) -> Iterator[set[str]]:
    """Yield the values of the dictionaries that functions look screens up in."""
    for code, known in _codes(view):
        for name in code.co_names:
            if isinstance(table := known.get(name), dict):
                yield {value for value in table.values() if isinstance(value, str)}


def _codes(view: Callable[..., Any]) -> list[tuple[CodeType, dict[str, Any]]]:
    """Return the code of a function and of all that it calls in the screens, with what names mean there."""
    seen: dict[CodeType, dict[str, Any]] = {}
    # Behind a decorator stands the function that it was put on.
    views = {_function(view), _function(unwrap(view))}
    left: list[tuple[CodeType, dict[str, Any]]] = [(one.__code__, one.__globals__) for one in views]
    while left:
        code, known = left.pop()
        if code in seen:
            continue
        seen[code] = known
        left += [(const, known) for const in code.co_consts if isinstance(const, CodeType)]
        left += [(called.__code__, called.__globals__) for called in _called(code, known)]
    return list(seen.items())


def _function(view: Callable[..., Any]) -> FunctionType:
    assert isinstance(view, FunctionType)
    return view


def _called(code: CodeType, known: dict[str, Any]) -> Iterator[FunctionType]:
    """Yield the functions of the screens that code may call: by name, or by name in a module that it names."""
    modules = [known[name] for name in code.co_names if isinstance(known.get(name), ModuleType)]
    for name in code.co_names:
        for found in (known.get(name), *(getattr(module, name, None) for module in modules)):
            # Another screen is a place of its own: naming its function is not going there.
            if isinstance(found, FunctionType) and found.__module__.startswith("ussd.screens"):
                yield from () if any(screen.view is found for screen in SCREENS.values()) else (found,)


def reached_from(*roots: str) -> dict[str, int]:
    """Return how many steps each screen is away from the nearest of some, those that are out of reach left out."""
    steps = dict.fromkeys(roots, 0)
    left = deque(roots)
    while left:
        here = left.popleft()
        for there in sorted(ways(here)):
            if there not in steps:
                steps[there] = steps[here] + 1
                left.append(there)
    return steps


# --- checks -------------------------------------------------------------------------------------------------
def too_long() -> Iterator[Fault]:
    """What does not fit the screen of its language, or takes several where it is not meant to."""
    for one in flows.renderings():
        letters = alphabet.of(one.language)
        room = letters.room(one.parts) if one.parts else letters.screen
        if letters.length(one.text) > room:
            over = f"{letters.length(one.text)} of {room} in {letters.name}"
            yield Fault(f"{one.where} [{one.language}]", f"{over}: {one.text!r}")
    for screen, where, language, view in _views():
        if isinstance(view, Menu | End) and alphabet.of(language) is alphabet.GSM7 and not screen.paged:
            with speaking(language):
                pages = len(engine._pages(view))
            if pages > 1:
                yield Fault(f"{where} [{language}]", f"takes {pages} pages; shorten it, or declare it paged")


def refusals_too_long() -> Iterator[Fault]:
    """Refusals of an answer that do not fit above a question that takes several pages."""
    for screen, where, language, view in _views():
        letters = alphabet.of(language)
        if not letters.note or not isinstance(view, Ask):
            continue
        with speaking(language):
            notes = sorted(set(flows._notes(view, screen.tries)))
        for note in notes:
            if letters.length(letters.clean(note)) >= letters.note:
                yield Fault(f"{where} [{language}]", f"{letters.length(note)} of {letters.note - 1}: {note!r}")


def ways_to_nowhere() -> Iterator[Fault]:
    """Names that look like a screen's and are none: `journey.screen` of a journey that exists."""
    for _, where, language, view in _views():
        if language == "en":
            targets = [choice.then for choice in getattr(view, "choices", ()) if choice.then]
            targets += [view.then] if isinstance(view, Ask) and view.then else []
            yield from (
                Fault(where, f"leads to {name}, which does not exist") for name in targets if name not in SCREENS
            )
    journeys = {catalogue.journey(name) for name in SCREENS if "." in name}
    contexts = {one.context for one in catalogue.said_in_code().values()}
    for name, screen in SCREENS.items():
        for said in sorted(_strings(screen.view)):
            looks_like_one = re.fullmatch(r"[a-z_]+\.[a-z_]+", said) and catalogue.journey(said) in journeys
            if looks_like_one and said not in SCREENS and said not in contexts:
                yield Fault(name, f"its code names {said}, which does not exist")
        if screen.resume and screen.resume not in SCREENS:
            yield Fault(name, f"resumes at {screen.resume}, which does not exist")


def dead_ends() -> Iterator[Fault]:
    """Screens that are not the end and offer no way on."""
    for _, where, language, view in _views():
        if language != "en":
            continue
        if isinstance(view, Menu) and not view.choices and view.back is None:
            yield Fault(where, "a menu without a choice")
        if isinstance(view, Ask) and not (view.then or view.act):
            yield Fault(where, "a question whose answer leads nowhere")


def orphans() -> Iterator[Fault]:
    """Screens that no other screen leads to."""
    named = {name for here in SCREENS for name in ways(here)}
    yield from (Fault(name, "no screen leads here") for name in SCREENS if name not in named and name not in ROOTS)


def unreachable() -> Iterator[Fault]:
    """Screens that are led to, but only from others that nobody can come to."""
    reached = reached_from(*ROOTS)
    named = {name for here in SCREENS for name in ways(here)}
    yield from (Fault(name, "cannot be reached") for name in SCREENS if name in named and name not in reached)


def too_deep() -> Iterator[Fault]:
    """Menus with more than three others between them and the first one."""
    menus = {screen.name for screen, _, _, view in _views() if isinstance(view, Menu)}
    depth = {HOME: 0}
    left = deque([HOME])
    while left:
        here = left.popleft()
        for there in sorted(ways(here)):
            if there not in depth and there not in (START, HOME):
                depth[there] = depth[here] + (there in menus)
                left.append(there)
    for name in sorted(menus):
        if depth.get(name, 0) > MOST_HOPS_DOWN:
            yield Fault(name, f"is {depth[name]} menus down, at most {MOST_HOPS_DOWN} can be found again")


def same_twice() -> Iterator[Fault]:
    """Two lines of a menu that read the same, or two that lead to the same."""
    for _, where, language, view in _views():
        if not isinstance(view, Menu | Read):
            continue
        labels = [choice.label for choice in view.choices]
        targets = [(choice.then, str(dict(choice.save))) for choice in view.choices if not choice.act]
        for label in sorted({one for one in labels if labels.count(one) > 1}):
            yield Fault(f"{where} [{language}]", f"two choices are called {label!r}")
        for then, save in sorted({one for one in targets if targets.count(one) > 1}):
            if language == "en":
                yield Fault(where, f"two choices lead to {then} with {save}")


def crowded() -> Iterator[Fault]:
    """Menus of more options than a page takes that do not say that they have several pages."""
    for screen, where, language, view in _views():
        if language != "en" or screen.paged or not isinstance(view, Menu | Read):
            continue
        if len(view.choices) > engine.MAX_OPTIONS:
            yield Fault(where, f"has {len(view.choices)} options, at most {engine.MAX_OPTIONS}")


def uncosted() -> Iterator[Fault]:
    """Screens that move money without an itemised cost: on them, or on each screen on the way there."""
    for name in SCREENS:
        if moves_money(name) and not _is_costed(name, frozenset()):
            yield Fault(name, "moves money, and a way there passes no screen that says item by item what it costs")
    for screen, where, language, view in _views():
        if screen.costs and isinstance(view, Menu):
            with speaking(language):
                text = engine.read_whole(view, language)
            if not any(code in text for code in ("KES", "UGX", "TZS", "NGN", "GHS", "ETB")):
                yield Fault(f"{where} [{language}]", "is to say what it costs, and names no amount")


def moves_money(name: str) -> bool:
    """Say whether the code of a screen calls a service that moves money."""
    for code, known in _codes(SCREENS[name].view):
        for module, verbs in MOVES_MONEY.items():
            for called in verbs & set(code.co_names):
                named = [known.get(one) for one in code.co_names]
                if any(isinstance(one, ModuleType) and one.__name__ == module for one in named):
                    return True
                if getattr(known.get(called), "__module__", "") == module:
                    return True
    return False


def _is_costed(name: str, seen: frozenset[str]) -> bool:
    """Say whether whoever comes to a screen has seen what it costs. A screen that leads nobody in needs nothing."""
    if SCREENS[name].costs or name in seen:
        return True
    if name in ROOTS or name == HOME:
        return False
    # A step back or a resumption comes from a screen that was costed itself.
    before = [here for here in SCREENS if name in ways(here) and SCREENS[here].resume != name]
    return bool(before) and all(_is_costed(here, seen | {name}) for here in before)


def untranslated() -> Iterator[Fault]:
    """Sentences that are missing in a language, or not as they must be."""
    for language in catalogue.languages():
        yield from (Fault(f"text/{language}", problem) for problem in catalogue.problems(language))
    missing = {code for code, _ in settings.SPOKEN_LANGUAGES} - {"en"} - set(catalogue.languages())
    yield from (Fault(f"text/{language}", "there is no catalogue") for language in sorted(missing))


def _views() -> Iterator[tuple[engine.Screen, str, str, View]]:
    """Yield every screen under every sample in every language: screen, place, language, view."""
    for language, _ in settings.SPOKEN_LANGUAGES:
        for screen in SCREENS.values():
            for make in screen.samples:
                view = engine.look(flows.dialogue_of(make(), screen.name, language))
                assert not isinstance(view, Go)
                yield screen, f"{screen.name}({make.__name__})", language, view


# --- drawing ------------------------------------------------------------------------------------------------
def drawn() -> str:
    """Return the journeys as Mermaid, one picture a journey, with what leads into it and out of it."""
    journeys = dict.fromkeys(catalogue.journey(name) for name in SCREENS if name != START)
    return "\n".join(_drawn(journey) for journey in journeys)


def _drawn(journey: str) -> str:
    lines = [f"## {journey}", "", "```mermaid", "flowchart LR"]
    inside = [name for name in SCREENS if catalogue.journey(name) == journey]
    for name in inside:
        lines.append(f"  {_node(name)}{_shape(name)}")
    for name in inside:
        for there in sorted(ways(name) - {START}):
            arrow = "-.->" if catalogue.journey(there) != journey else "-->"
            lines.append(f"  {_node(name)} {arrow} {_node(there)}")
    return "\n".join([*lines, "```", ""])


def _node(name: str) -> str:
    return name.replace(".", "_")


def _shape(name: str) -> str:
    """Draw questions as slanted boxes, ends as round ones, what moves money with a double border."""
    view = next((view for screen, _, _, view in _views_of(name)), None)
    label = f'"{name}"'
    if moves_money(name):
        return f"[[{label}]]"
    if isinstance(view, Ask):
        return f"[/{label}/]"
    return f"([{label}])" if isinstance(view, End) else f"[{label}]"


def _views_of(name: str) -> Iterator[tuple[engine.Screen, str, str, View]]:
    screen = SCREENS[name]
    for make in screen.samples[:1]:
        yield screen, name, "en", engine.look(flows.dialogue_of(make(), name, "en"))
