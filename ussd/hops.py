"""Which hop a request is: a new one, or a copy of one that was answered.

Money rests on it, and gateways differ in what they tell:

- Everything typed so far: each hop has a text of its own, so the text tells the hop.
- What was typed last, with the hop's number: the number tells the hop, whatever stands beside it.
- What was typed last and nothing else: two hops may look the same. Then a hop is known by its place and its
  text, and what repeats the last text is a copy of the last hop when
  its answer is not out yet, or was out for less time than anybody needs to read and to type; or
  the dialogue has ended, so that nothing can follow; or
  that text was refused, so that it would be refused again and would only cost a try.

What is left: a copy that comes later than people type, of an answer that was accepted. It is taken for a new
answer, and it moves no money: what moves money asks for a PIN, and a PIN that was accepted has led away from
the screen that asked for it. A copy of any other answer is no PIN; an amount of four digits may look like one,
so at these gateways a PIN is taken on a screen of its own and not with the key facts. Nor does it agree to
anything: an agreement counts by a number that was not typed before (`Dialogue.unused`). Source: docs/gateways.md.
"""

import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings

from ussd.models import Hop, Session

# The way to the phone and back takes more than a second, reading and pressing two keys another one.
QUICKEST_ANSWER = timedelta(seconds=3)


@dataclass(frozen=True)
class Latest:
    """What a gateway tells about a hop besides the text that was typed last.

    `begins`: this hop opens the session. `key`: the gateway's own number for the hop; empty where it has none.
    """

    begins: bool
    key: str = ""


def copies_look_new(latest: Latest | None) -> bool:
    """Say whether a late copy of an answer cannot be told from the next one."""
    return latest is not None and not latest.key


def fingerprint(text: str) -> str:
    """Return the keyed fingerprint under which a text is recognised without being kept."""
    return hmac.new(settings.CALLBACK_KEY.encode(), b"hop:" + text.encode(), hashlib.sha256).hexdigest()


def identify(session: Session, text: str, latest: Latest | None, at: datetime) -> str:
    """Return the fingerprint of the hop that this request is; a copy gets that of its first."""
    if latest is None:
        return fingerprint(text)
    if latest.begins:
        return fingerprint("latest begins")
    if latest.key:
        return fingerprint(f"latest key {latest.key}")
    if session.hops_answered:
        last = _at_place(session.hops_answered, text)
        answered = Hop.objects.filter(session=session, text_mac=last).first()
        if answered is not None and _is_copy(session, answered, at):
            return last
    return _at_place(session.hops_answered + 1, text)


def _at_place(place: int, text: str) -> str:
    return fingerprint(f"latest {place} {text}")


def _is_copy(session: Session, answered: Hop, at: datetime) -> bool:
    """Say whether the text of the last hop, come again, is that hop again."""
    if not answered.final or session.ended_at is not None or session.misses:
        return True
    answer_out_at = answered.answered_at + timedelta(milliseconds=answered.duration_ms)
    return at < answer_out_at + QUICKEST_ANSWER


def first_inputs(text: str, latest: Latest | None) -> list[str]:
    """Return what a dial string brings along.

    An answer to a session that we never saw begin answers nothing that we showed, so it is dropped.
    """
    heard_the_beginning = latest is None or latest.begins
    return text.split("*") if text and heard_the_beginning else []
