"""A session on the phone, written down as a test that runs: what was dialled and typed, the words on each screen.

No PIN and no national ID gets into it. What differs from one run to the next (references, days, times) is left out.
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cache
from typing import Any

from django.conf import settings
from django.utils import timezone

from lending.models import Application, Decision
from lending.rules import identity
from lending.selectors import people
from ussd import flows, words
from ussd.engine import BACK, HOME, MORE, SCREENS, Ask, Menu, Sample, look
from ussd.models import Hop, Session
from ussd.phone.client import NETWORK_ERROR
from ussd.sessions import RESUME_WITHIN
from ussd.tongue import speaking

WIDTH = 116
SOMEBODYS_ID = "23456781"
EASY_PINS = ('"1111"', '"1234"')
# What is typed to see where a PIN leads.
ANY_PIN = "7093"
OTHER_PINS = (
    "factories.PIN[::-1]",
    "factories.PIN[2:] + factories.PIN[:2]",
    "factories.PIN[1:] + factories.PIN[:1]",
)


class CannotRecord(Exception):
    """The session would not be the same again on another day; the text says why."""


@dataclass
class Seen:
    """One hop: what was typed (None for the dial), and the screen that came."""

    typed: str | None
    text: str
    open: bool


@dataclass
class Recording:
    """One session of one phone, from the dial on."""

    msisdn: str
    code: str
    session_id: str = ""
    hops: list[Seen] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Look at who dials.

        Raises:
            CannotRecord: their past would have to be recorded, too.
        """
        self.customer = people.find_borrower(self.msisdn)
        dropped = Session.objects.filter(
            msisdn=self.msisdn, ended_at__isnull=True, last_hop_at__gte=timezone.now() - RESUME_WITHIN
        )
        if self.customer is not None and Application.objects.filter(borrower=self.customer).exists():
            raise CannotRecord("This customer has asked for a loan before. Record with a number that has not.")
        if dropped.exists():
            raise CannotRecord("The last session of this number can still be resumed. Record in three minutes.")
        if re.search(r"\d{4}", self.code.removeprefix(settings.USSD_CODE.rstrip("#"))):
            raise CannotRecord("A PIN may stand in what is dialled. Type it when it is asked for.")

    def hop(self, typed: str | None, shown: dict[str, Any]) -> None:
        """Keep one hop: what was typed, and the network's answer."""
        self.session_id = shown["session_id"]
        self.hops.append(Seen(typed, shown["text"], shown["open"]))

    # -- what our side knows of the session ----------------------------------------------------------------

    def screens(self) -> list[str]:
        """Return the name of the screen that each hop showed.

        Raises:
            CannotRecord: the network or our memory of the session does not tell all of them.
        """
        rows = Hop.objects.filter(session__gateway_session=self.session_id).order_by("position")
        names = list(rows.values_list("screen", flat=True))
        if len(names) != len(self.hops) or any(hop.text == NETWORK_ERROR for hop in self.hops):
            raise CannotRecord("The network did not carry every hop. Mend the line and record again.")
        if "register.not_possible" in names:
            raise CannotRecord("This national ID belongs to another customer here. Record with another one.")
        return names

    def application(self) -> Application | None:
        """Return what was applied for in this session."""
        return Application.objects.filter(origin__contains=f":{self.session_id}:").first()

    # -- the test -----------------------------------------------------------------------------------------

    def source(self, name: str) -> str:
        """Return the test, ready to run.

        Raises:
            CannotRecord: it would not run.
        """
        screens, application = self.screens(), self.application()
        decision = Decision.objects.filter(application=application).first() if application else None
        typed = self._typed(screens)
        said = [*self._people(), *_verdict(decision)]
        for number, hop in enumerate(self.hops):
            said += self._statements(hop, typed[number], application)
        # Without a worker that decides at once the answer comes by SMS, as it did here.
        worker = "" if "borrow.late" in screens else ", deciding_worker: None"
        return (
            f'"""Recorded with `manage.py dial --record`."""\n\n{_imports(said)}\n\n\n'
            f"def {name}(phone: Phone, fixed_scorer: Any{worker}) -> None:\n"
            + "".join(f"    {line}\n" for statement in said for line in statement.split("\n"))
        )

    def _people(self) -> list[str]:
        if self.customer is None:
            return [f"phone.msisdn = {_quoted(self.msisdn)}"]
        name, language = _quoted(self.customer.full_name), _quoted(self.customer.language)
        return [
            f"phone.msisdn = {_quoted(self.msisdn)}",
            f"factories.register({name}, phone.msisdn, language={language})",
        ]

    def _typed(self, screens: Sequence[str]) -> list[str]:
        """Return what was typed at each hop as Python, the dial's empty."""
        steps = zip(self.hops[1:], screens[:-1], screens[1:], strict=True)
        answered = [(hop.typed or "", asked, shown) for hop, asked, shown in steps]
        secrets = [
            (typed, shown not in (asked, secret_screens()[asked]))
            for typed, asked, shown in answered
            if asked in secret_screens()
        ]
        pins = _pins([(typed, led_on) for typed, led_on in secrets if identity.looks_like_pin(typed)])
        pins |= {pin: _easy(pin) for pin in pins if _is_easy(pin, self._known_digits(answered))}
        return ["", *(self._answer(typed, asked, pins) for typed, asked, _ in answered)]

    def _known_digits(self, answered: Sequence[tuple[str, str, str]]) -> list[str]:
        """Return what a PIN may not be taken from."""
        typed = [typed for typed, asked, _ in answered if asked == "register.national_id"]
        return [self.msisdn, *typed, *([self.customer.national_id] if self.customer else [])]

    def _answer(self, typed: str, asked: str, pins: dict[str, str]) -> str:
        if typed in pins:
            return pins[typed]  # also where no PIN was asked for
        if asked in secret_screens() and not _is_key(typed, asked):
            return '"x"'  # refused as no PIN, like what was typed
        if asked == "register.national_id" and sum(char.isdigit() for char in typed) > 3:
            return _quoted(SOMEBODYS_ID)
        return _quoted(typed)

    def _statements(self, hop: Seen, typed: str, application: Application | None) -> list[str]:
        did = f"phone.dials({_quoted(self.code)})" if hop.typed is None else f"phone.types({typed})"
        check = "sees" if hop.open else "ends_with"
        references = [application.reference] if application else []
        seen = [_quoted(part) for part in lasting(hop.text, references)]
        whole = f"{did}.{check}({', '.join(seen)})"
        return [whole] if len(whole) + 4 <= WIDTH else [did, _call(f"phone.{check}", seen)]


def _call(name: str, arguments: Sequence[str]) -> str:
    """Return a call over as many lines as the formatter would give it."""
    listed = ", ".join(arguments)
    if len(name) + len(listed) + 6 <= WIDTH:
        return f"{name}({listed})"
    if len(listed) + 8 <= WIDTH:
        return f"{name}(\n    {listed}\n)"
    return f"{name}(\n" + "".join(f"    {one},\n" for one in arguments) + ")"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _imports(statements: Iterable[str]) -> str:
    used = "\n".join(statements)
    lines = ["from typing import Any\n"]
    lines += ["from lending import ports"] if "ports." in used else []
    lines += ["from tests import factories"] if "factories." in used else []
    return "\n".join([*lines, "from tests.phone import Phone"])


# -- secrets ---------------------------------------------------------------------------------------------------


@cache
def secret_screens() -> dict[str, str]:
    """Return the screens that take a PIN, each with the one that asks for it again: itself, or where it leads."""
    found = {}
    for name, declared in SCREENS.items():
        for make in declared.samples:
            if asks := _asks_secret(name, make()):
                found[name] = asks
    return found


def _asks_secret(name: str, sample: Sample) -> str:
    view = look(flows.dialogue_of(sample, name, "en"))
    ahead = view.ahead(ANY_PIN) if isinstance(view, Menu) and view.ahead else None
    if ahead is not None:
        return _asks_secret(ahead.screen, sample)
    return name if isinstance(view, Ask) and view.secret else ""


def _is_key(typed: str, asked: str) -> bool:
    """Say whether an answer at a screen that takes a PIN was one of its keys: a choice, another page, back."""
    return typed in (BACK, HOME) or (secret_screens()[asked] != asked and len(typed) <= len(MORE))


def _pins(typed: Sequence[tuple[str, bool]]) -> dict[str, str]:
    """Return each PIN as it is written: the first that led on is the customer's own."""
    own = next((pin for pin, led_on in typed if led_on), None)
    others = iter(OTHER_PINS)
    written: dict[str, str] = {}
    for pin, _ in typed:
        if pin not in written:
            written[pin] = "factories.PIN" if pin == own else next(others, OTHER_PINS[-1])
    return written


def _is_easy(pin: str, known_digits: Iterable[str]) -> bool:
    try:
        identity.refuse_weak_pin(pin, known_digits)
    except identity.WeakPin:
        return True
    return False


def _easy(pin: str) -> str:
    """Return an easy PIN that is not the one that was typed."""
    return next(one for one in EASY_PINS if pin not in one)


# -- what lasts ------------------------------------------------------------------------------------------------


def lasting(text: str, references: Iterable[str] = ()) -> list[str]:
    """Return the parts of a screen that are the same on another day: no reference, no day, no time.

    >>> lasting("You repay KES 530\\nby 28 Dec\\nApproved, ref 7KQ2.", ["7KQ2"])
    ['You repay KES 530', 'by', 'Approved, ref']
    """
    changing = "|".join([*map(re.escape, references), _days(), r"\b\d\d:\d\d\b"])
    parts = (part.strip() for line in text.split("\n") for part in re.split(changing, line))
    return [part for part in parts if any(char.isalnum() for char in part)]


@cache
def _days() -> str:
    """Return a pattern of every day as any language writes it."""
    found = set()
    for language, _ in settings.SPOKEN_LANGUAGES:
        with speaking(language):
            found |= {words.day(date(2028, 1, 1) + timedelta(days=number)) for number in range(366)}
    # The longest first: 1 Dec stands in 21 Dec.
    return r"\b(?:" + "|".join(re.escape(day) for day in sorted(found, key=len, reverse=True)) + r")\b"


def _verdict(decision: Decision | None) -> list[str]:
    """Return what the scorer says in the test, if it is not what it says anyway."""
    if decision is None or decision.outcome == Decision.Outcome.APPROVE:
        return []
    reasons = ", ".join(
        f"ports.Reason({_quoted(one['code'])}, {one.get('values') or {}})" for one in decision.reasons
    )
    facts = [
        _quoted(decision.outcome),
        f"limit_cents={decision.limit_cents}",
        f"reasons=({reasons},)" if reasons else "reasons=()",
        f"next_step={_quoted(decision.next_step)}",
    ]
    return [f"factories.FixedScorer.says = {_call('factories.verdict', facts)}"]
