"""Dialogues between hops: one hop at a time, one answer per hop, and no text kept.

Most gateways send everything typed so far with every hop; all of them repeat hops and send two at once. So a
hop is known by a keyed fingerprint (ussd/hops.py); the input is what the text adds to what was seen before; and
everything that a hop changes commits together with the answer that is recorded for it.

Most hops lead from one screen to the next and change nothing else. They are read without a lock and stored by one
statement, which PostgreSQL carries out only if no other hop came between (optimistic locking). What acts, and what
was beaten to it, is taken anew with the session's row locked.
"""

import hmac
import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, OperationalError, transaction
from django.db.models import QuerySet
from psycopg2.errors import UniqueViolation

from lending import outbox
from lending.models import Borrower, Decision
from lending.prepared import Pair, Prepared
from lending.selectors.glance import GLANCE, as_glance
from ussd import deadline, engine, guard, hops, records, screens
from ussd.deadline import is_impatience
from ussd.engine import Await, Dialogue, NotHeld, Shown
from ussd.facts import RECENT, Facts
from ussd.hops import Latest, fingerprint
from ussd.models import Hop, Session

logger = logging.getLogger(__name__)

assert screens.__all__, "the screens are declared by importing them"

RESUME = "home.resume"
RESUME_WITHIN = timedelta(minutes=3)
# From the first byte to the last word of a hop, whatever happens: a step, waiting for a decision, or for another
# copy of the hop. A gateway gives up after 5 to 15 s, and a person earlier.
DEADLINE_S = 4.5
STEP_S = 3.0
DECISION_S = 2.0
REPEAT_S = 3.0
# How long to wait before asking again: at first most answers are there at once, later a crowd is waiting, and its
# asking would take the processor from whoever works on the answers.
FIRST_POLL_S, LAST_POLL_S = 0.03, 0.3

CHANGED_BY_A_HOP = [
    "flow_version",
    "screen",
    "page",
    "history",
    "language",
    "misses",
    "typed",
    "answers",
    "prefix_chars",
    "prefix_segments",
    "prefix_mac",
    "hops_answered",
    "last_hop_at",
    "ended_at",
]


def _of_name(gateway: str, gateway_session: str) -> "QuerySet[Session]":
    return Session.objects.filter(gateway=gateway, gateway_session=gateway_session)


READ: Pair[Session, Borrower] = Pair(Prepared(_of_name, gateway=str, gateway_session=str), GLANCE)
LOCKED: Prepared[Session] = Prepared(
    lambda **name: _of_name(**name).select_for_update(), gateway=str, gateway_session=str
)
# The number's dialogue before the one that begins.
LATEST: Prepared[Session] = Prepared(
    lambda msisdn, but: Session.objects.filter(msisdn=msisdn).exclude(id=but).order_by("-began_at")[:1],
    msisdn=str,
    but=int,
)
DIALLED: Pair[Session, Borrower] = Pair(LATEST, GLANCE)

# Waiting for another process. Tests put a worker's turn here instead of time.
pause: Callable[[float], None] = time.sleep


@dataclass(frozen=True)
class Event:
    """A hop as every gateway's adapter puts it.

    `text` is all that was typed in the session, joined by stars; with `latest`, only what was typed last.
    """

    gateway: str
    gateway_session: str
    msisdn: str
    service_code: str
    text: str
    network: str = ""
    latest: Latest | None = None


@dataclass(frozen=True)
class Reply:
    """What the phone is to show."""

    text: str
    ends: bool


@dataclass(frozen=True)
class Found:
    """What a hop begins from: the session, `held` when its row is locked, who holds the phone, and when it begins
    with nothing typed the dialogue that they had before."""

    session: Session
    facts: Facts
    latest: Session | None
    held: bool


def take_hop(event: Event, at: datetime) -> Reply:
    """Answer one hop: the recorded words if this text was answered before, else one step of the dialogue."""
    began = time.monotonic()
    over_at = began + DEADLINE_S
    try:
        hop, waits_for = _answer_once(event, at)
    except OperationalError as error:
        if not is_impatience(error):
            raise
        return _recorded_or_busy(event, at, over_at)
    except IntegrityError as error:
        if not _was_answered(error):
            logger.error("hop failed on %s: %s", event.gateway, describe(error))
            return _apologise(event, at, over_at)
        return _recorded_or_busy(event, at, over_at)
    except Exception as error:  # noqa: BLE001 - a bug of ours is a sentence for the customer
        logger.error("hop failed on %s: %s", event.gateway, describe(error))
        return _apologise(event, at, over_at)
    if waits_for is not None:
        return _with_decision(hop, waits_for, at, began)
    return Reply(hop.answer, hop.ends) if hop.final else _when_final(hop, over_at)


def _answer_once(event: Event, at: datetime) -> tuple[Hop, Await | None]:
    """Commit the step together with its recorded answer; also return what the answer should wait for."""
    began = time.monotonic()
    with deadline.until(began + STEP_S):
        try:
            return _answer(event, _read(event, at), at, began)
        except NotHeld:
            with transaction.atomic():
                return _answer(event, _lock(event, at), at, began)


def _answer(event: Event, found: Found, at: datetime, began: float) -> tuple[Hop, Await | None]:
    """Answer a hop of a session that is locked, or was just read.

    Raises:
        NotHeld: nothing was done, and the session has to be locked first.
    """
    session = found.session
    if session.msisdn != event.msisdn:
        logger.warning("session %s came from a second number; ended", session.id)
        guard.notice(guard.Kind.OTHERS_SESSION, gateway=event.gateway, msisdn=event.msisdn, at=at)
        return _unrecorded(session, "sorry", at), None
    mac = hops.identify(session, event.text, event.latest, at)
    if not _goes_on(session, event) and (known := Hop.objects.filter(session=session, text_mac=mac).first()):
        guard.answered_before(known.answered_at, gateway=event.gateway, msisdn=event.msisdn, at=at)
        return known, None
    if session.ended_at is not None:
        return _unrecorded(session, "over", at), None
    begins = session.hops_answered == 0
    shown, dialogue = _step(event, found)
    hop = _record(session, dialogue, shown, event.text, mac, at, began)
    if begins:
        _guard_beginning(event, dialogue, at)
    return hop, shown.awaiting


def _was_answered(error: IntegrityError) -> bool:
    """Say whether PostgreSQL refused a hop because it is there."""
    return isinstance(error.__cause__, UniqueViolation) and error.__cause__.diag.constraint_name == "hop_once"


def _goes_on(session: Session, event: Event) -> bool:
    """Say whether this is a hop that no other can be a copy of: the first, or one that adds to all before it.

    One that overtook another may add to it all the same and be there; then the database refuses it (`hop_once`).
    """
    if not session.hops_answered:
        return True
    adds = event.latest is None and len(event.text) > session.prefix_chars
    return adds and _extends(session, event.text)


def _extends(session: Session, text: str) -> bool:
    return hmac.compare_digest(fingerprint(text[: session.prefix_chars]), session.prefix_mac)


def _read(event: Event, at: datetime) -> Found:
    """Return the session as it is; one that seems to begin now is not stored yet."""
    facts, session, latest = Facts(event.msisdn, at), None, None
    about = {"msisdn": event.msisdn, "since": at - RECENT}
    if event.text:
        session, seen = READ.first(**_name(event), **about)
    else:
        latest, seen = DIALLED.first(but=0, **about)
    facts.seen = as_glance(seen)
    return Found(session or _fresh(event, at), facts, latest, held=False)


def _lock(event: Event, at: datetime) -> Found:
    """Return the session with its row locked."""
    session = _locked_session(event, at)
    begins = session.hops_answered == 0 and not event.text
    latest = LATEST.first(msisdn=session.msisdn, but=session.id) if begins else None
    return Found(session, Facts(session.msisdn, at), latest, held=True)


def _locked_session(event: Event, at: datetime) -> Session:
    """Return the session's row locked; the first hop inserts it, and of two first hops one."""
    if known := LOCKED.first(**_name(event)):
        return known
    fresh = _fresh(event, at)
    if records.insert_once(fresh):
        return fresh
    known = LOCKED.first(**_name(event))
    assert known is not None, "a session that is there already is there"
    return known


def _name(event: Event) -> dict[str, str]:
    return {"gateway": event.gateway, "gateway_session": event.gateway_session}


def _fresh(event: Event, at: datetime) -> Session:
    return Session(
        **_name(event),
        msisdn=event.msisdn,
        service_code=event.service_code,
        network=event.network,
        flow_version=str(engine.VERSION),
        screen=engine.START,
        language="en",
        began_at=at,
        last_hop_at=at,
    )


def _step(event: Event, found: Found) -> tuple[Shown, Dialogue]:
    """Find out what was typed and walk it."""
    session, dialogue = found.session, _dialogue(found.session, found.facts)
    dialogue.held = found.held
    if hops.copies_look_new(event.latest):
        dialogue.typed = session.typed
    if session.hops_answered == 0:
        _greet(dialogue, found.latest)
        inputs, may_act = hops.first_inputs(event.text, event.latest), True
    elif event.latest is not None:
        inputs, may_act = event.text.split("*"), True
    else:
        inputs, may_act = new_inputs(session, event.text)
    if engine.find(dialogue.screen, dialogue.version) is None:
        dialogue.version = engine.VERSION
        dialogue.go_home()
        inputs = []
    session.flow_version = str(dialogue.version)
    return engine.step(dialogue, _real(inputs), may_act=may_act), dialogue


def _dialogue(session: Session, facts: Facts) -> Dialogue:
    return Dialogue(
        msisdn=session.msisdn,
        language=session.language,
        at=facts.at,
        facts=facts,
        origin=f"ussd:{session.gateway}:{session.gateway_session}:{session.hops_answered + 1}",
        screen=session.screen,
        page=session.page,
        history=list(session.history),
        answers=json.loads(session.answers) if session.answers else {},
        misses=session.misses,
        version=int(session.flow_version),
    )


def _greet(dialogue: Dialogue, latest: Session | None) -> None:
    """Speak the customer's language from the first word, and offer to resume a dialogue that dropped."""
    borrower = dialogue.facts.borrower
    if borrower is not None:
        dialogue.language = borrower.language
    dropped = latest if latest is not None and _is_dropped(latest, dialogue.at) else None
    if dropped is not None and (place := _place_of(dropped)):
        if not dialogue.held:
            raise NotHeld
        dialogue.language = borrower.language if borrower is not None else dropped.language
        dialogue.version = int(dropped.flow_version)
        dialogue.screen = RESUME
        dialogue.answers = {"dropped": place}
        if dialogue.typed is not None:
            dialogue.typed = dropped.typed
        Session.objects.filter(id=dropped.id).update(answers="")


def _guard_beginning(event: Event, dialogue: Dialogue, at: datetime) -> None:
    """Count what a session that begins may be a sign of."""
    if dialogue.facts.borrower is None:
        guard.stranger(gateway=event.gateway, msisdn=event.msisdn, at=at)
    inputs = hops.first_inputs(event.text, event.latest)
    guard.dialled(inputs, gateway=event.gateway, msisdn=event.msisdn, at=at)


def _place_of(dropped: Session) -> dict[str, Any] | None:
    """Return where a dropped dialogue goes on. One that dropped while it was asked to go on keeps that place."""
    answers = json.loads(dropped.answers) if dropped.answers else {}
    if dropped.screen == RESUME:
        return answers.get("dropped")
    known = engine.find(dropped.screen, int(dropped.flow_version))
    if known is None or not known.resume:
        return None
    return {"screen": known.resume, "answers": answers, "history": dropped.history}


def _is_dropped(session: Session, at: datetime) -> bool:
    """Say whether the line dropped on a dialogue just now."""
    return session.ended_at is None and session.last_hop_at >= at - RESUME_WITHIN


def new_inputs(session: Session, text: str) -> tuple[list[str], bool]:
    """Return what `text` adds to what was seen, and whether it may have effects.

    A text that does not begin with the one before it means that the gateway and we remember different
    sessions: then inputs are counted instead, and nothing that moves money may follow from a guess.
    """
    extends = _extends(session, text)
    if extends and session.prefix_chars == 0:
        return text.split("*"), True
    if extends and text[session.prefix_chars : session.prefix_chars + 1] == "*":
        return text[session.prefix_chars + 1 :].split("*"), True
    return (text.split("*") if text else [])[session.prefix_segments :], False


def _real(inputs: list[str]) -> list[str]:
    """Drop empty inputs beside real ones: a star typed by itself is no answer of its own."""
    return [typed for typed in inputs if typed] or inputs[:1]


def _record(
    session: Session, dialogue: Dialogue, shown: Shown, text: str, mac: str, at: datetime, began: float
) -> Hop:
    """Store where the dialogue is and what was answered.

    Raises:
        NotHeld: another hop of the session was faster, so nothing is stored.
    """
    begins = session.id is None
    session.screen, session.page, session.history = dialogue.screen, dialogue.page, dialogue.history
    session.language, session.misses = dialogue.language, dialogue.misses
    session.typed = dialogue.typed or session.typed
    session.answers = "" if shown.ends or not dialogue.answers else json.dumps(dialogue.answers)
    session.prefix_chars, session.prefix_mac = len(text), mac
    session.prefix_segments = len(text.split("*")) if text else 0
    session.hops_answered += 1
    session.last_hop_at = at
    session.ended_at = at if shown.ends else None
    hop = Hop(
        session=session,
        position=session.hops_answered,
        text_mac=mac,
        screen=dialogue.screen,
        answer=shown.text,
        ends=shown.ends,
        final=shown.awaiting is None,
        application_id=shown.awaiting.application_id if shown.awaiting else None,
        answered_at=at,
        duration_ms=round((time.monotonic() - began) * 1000),
    )
    if begins:
        is_stored = records.begin(session, hop)
    else:
        is_stored = records.move_on(session, CHANGED_BY_A_HOP, hop, durable=dialogue.acted)
    if not is_stored:
        raise NotHeld
    return hop


def _with_decision(hop: Hop, awaited: Await, at: datetime, began: float) -> Reply:
    """Give the workers a moment; then this hop's answer is final, with or without their decision."""
    until = min(time.monotonic() + DECISION_S, began + DEADLINE_S)
    decided = _wait(lambda: Decision.objects.filter(application_id=awaited.application_id).exists(), until)
    answer, screen = hop.answer, hop.screen
    if decided:
        shown = _decision_words(hop, awaited, at)
        # This is the last screen, so one of several pages goes by SMS.
        decided = shown.ends
        answer, screen = (shown.text, awaited.then) if decided else (answer, screen)
    _finish(hop, answer, screen, decision_shown=decided, began=began)
    return _when_final(hop, began + DEADLINE_S)


def _decision_words(hop: Hop, awaited: Await, at: datetime) -> Shown:
    dialogue = _dialogue(hop.session, Facts(hop.session.msisdn, at))
    dialogue.screen, dialogue.page = awaited.then, 0
    dialogue.answers = {"application_id": awaited.application_id}
    return engine.show(dialogue)


def _finish(hop: Hop, answer: str, screen: str, *, decision_shown: bool, began: float) -> None:
    """Make an answer final. Only the first to say so is heard, so every copy of the hop shows the same."""
    Hop.objects.filter(id=hop.id, final=False).update(
        answer=answer,
        screen=screen,
        final=True,
        decision_shown=decision_shown,
        duration_ms=round((time.monotonic() - began) * 1000),
    )


def _when_final(hop: Hop, over_at: float) -> Reply:
    """Return the final words of a hop; if whoever works on it died, the provisional ones become final."""

    def is_final() -> bool:
        hop.refresh_from_db(fields=["answer", "final"])
        return hop.final

    if not _wait(is_final, min(time.monotonic() + REPEAT_S, over_at)):
        Hop.objects.filter(id=hop.id, final=False).update(final=True)
        hop.refresh_from_db(fields=["answer", "final"])
    return Reply(hop.answer, hop.ends)


def _wait(ready: Callable[[], bool], until: float) -> bool:
    """Ask until it is so or time is up; say whether it is so."""
    seconds = FIRST_POLL_S
    while not (found := ready()) and (left := until - time.monotonic()) > 0:
        pause(min(seconds, left))
        seconds = min(seconds * 1.5, LAST_POLL_S)
    return found


def _recorded_or_busy(event: Event, at: datetime, over_at: float) -> Reply:
    """Another copy of this session is still being worked on: return its answer, or say so."""
    session = Session.objects.filter(gateway=event.gateway, gateway_session=event.gateway_session).first()
    if session is None:
        return Reply(say("en", "busy", at), True)
    mac = hops.identify(session, event.text, event.latest, at)
    if hop := Hop.objects.filter(session=session, text_mac=mac).first():
        return _when_final(hop, over_at)
    return Reply(say(session.language, "busy", at), True)


def _apologise(event: Event, at: datetime, over_at: float) -> Reply:
    """Say sorry, and record it: a copy of this hop that comes later must not do what this one could not."""
    try:
        return _apology_on_record(event, at, over_at)
    except OperationalError as error:
        if not is_impatience(error):
            raise
        return Reply(say("en", "sorry", at), True)


def _apology_on_record(event: Event, at: datetime, over_at: float) -> Reply:
    with transaction.atomic(), deadline.until(over_at):
        session = _locked_session(event, at)
        mac = hops.identify(session, event.text, event.latest, at)
        if known := Hop.objects.filter(session=session, text_mac=mac).first():
            return Reply(known.answer, known.ends)
        dialogue = _dialogue(session, Facts(session.msisdn, at))
        dialogue.screen, dialogue.answers = "sorry", {}
        hop = _record(session, dialogue, engine.show(dialogue), event.text, mac, at, time.monotonic())
    return Reply(hop.answer, hop.ends)


def forget_answers(at: datetime, *, begun_within: timedelta | None = None) -> int:
    """Empty the answers of dialogues that dropped and can no longer be resumed; return how many.

    To look only at those that began within a while costs as much as these are; the others should be empty by then.
    """
    dropped = Session.objects.filter(ended_at__isnull=True, last_hop_at__lt=at - RESUME_WITHIN)
    if begun_within is not None:
        dropped = dropped.filter(began_at__gte=at - begun_within)
    return dropped.exclude(answers="").update(answers="")


def owe_unseen_decision(session: Session, at: datetime) -> None:
    """Have a decision told by SMS after all: the gateway says that its screen never reached the phone."""
    for hop in Hop.objects.filter(session=session, decision_shown=True):
        Hop.objects.filter(id=hop.id).update(decision_shown=False)
        outbox.write(
            "application_decided",
            reference=f"application_unseen:{hop.application_id}",
            at=at,
            application_id=hop.application_id,
        )


def _unrecorded(session: Session, screen: str, at: datetime) -> Hop:
    """Return an ending that belongs to no step of the dialogue."""
    return Hop(session=session, answer=say(session.language, screen, at), ends=True, final=True)


def say(language: str, screen: str, at: datetime) -> str:
    """Return the words of a screen that needs to know nothing about the customer."""
    return engine.show(Dialogue(msisdn="", language=language, at=at, facts=Facts("", at), screen=screen)).text


def describe(error: BaseException) -> str:
    """Name an exception and where it rose, without its text: that may carry what a customer typed."""
    places: list[str] = []
    trace: Any = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        places.append(f"{code.co_filename.rsplit('/', 1)[-1]}:{trace.tb_lineno} {code.co_name}")
        trace = trace.tb_next
    return f"{type(error).__name__} at {' > '.join(places[-4:])}"
