"""Abuse: counted in Redis, refused in words, told to officers; honest customers are served meanwhile.

Counters are a help, never a condition: with Redis dead nothing is counted, nobody is refused, and what protects
money goes on, because it is in PostgreSQL (three wrong PINs lock, a hop acts once). What is counted holds numbers
and kinds, never what was typed. Source: docs/abuse.md.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from typing import Any

import redis
from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Greatest
from prometheus_client import CollectorRegistry, Counter
from redis.client import Pipeline

from lending.rules import identity
from ussd.models import AbuseSign

logger = logging.getLogger(__name__)

Kind = AbuseSign.Kind
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


@dataclass(frozen=True)
class Limit:
    """So many in a window are nothing. `why`: where the figure is from."""

    most: int
    window: timedelta
    why: str


LIMITS: dict[str, Limit] = {
    Kind.FLOOD_NUMBER: Limit(
        60, MINUTE, "nobody answers a screen sooner than in three seconds: 20 a minute, and two copies of each"
    ),
    Kind.FLOOD_GATEWAY: Limit(
        18_000, MINUTE, "300 hops a second, more than one machine serves; only dialogues that begin are put off"
    ),
    Kind.FORGED: Limit(5, HOUR, "an address is entered once at the gateway; a few wrong ones are a slip"),
    Kind.UNREADABLE: Limit(20, HOUR, "a gateway's fault shows in every hop, a stranger's guesses in many"),
    Kind.OVERSIZE: Limit(0, HOUR, "no callback comes near 32 KiB"),
    Kind.SLOW: Limit(5, HOUR, "a gateway has sent its few hundred bytes within milliseconds; a line may break"),
    Kind.OTHERS_SESSION: Limit(0, HOUR, "a network never hands a session to another number"),
    Kind.REPLAYED: Limit(2, HOUR, "gateways send a hop again within seconds, not after ten minutes"),
    Kind.PIN_DIALLED: Limit(0, HOUR, "the customer needs to hear that call logs keep what is dialled"),
    Kind.PIN_LOCKED: Limit(0, HOUR, "three wrong PINs"),
    Kind.STRANGERS: Limit(
        300, HOUR, "more numbers that nobody registered than a campaign brings to one gateway in an hour"
    ),
    Kind.IDENTITIES: Limit(3, DAY, "whoever mistypes a name or an ID has it right by the third time"),
    Kind.PIN_BRAKE: Limit(0, HOUR, "see BRAKE"),
    Kind.FLOOD_SMS: Limit(
        30, timedelta(minutes=10), "a text takes twenty seconds on keys; its copies have its id and do not count"
    ),
    Kind.FLOOD_SMS_GATEWAY: Limit(
        6_000, MINUTE, "100 texts a second, more than one machine answers; the gateway is asked to come again"
    ),
    Kind.SMS_ODD: Limit(0, HOUR, "other words under an id that we know, or a text to a number that is not ours"),
}


@dataclass(frozen=True)
class Brake:
    """When PIN guessing over many numbers is slowed: all of it within `window`, at one gateway.

    Customers mistype one PIN in twenty or so; guesses are nearly all wrong. So it is the share that tells them
    apart, at any size of business.
    """

    window: timedelta = timedelta(minutes=10)
    wrong: int = 30
    numbers: int = 10
    share: float = 1 / 3
    lasts: timedelta = timedelta(minutes=30)
    # A number that was wrong waits so long for its next try. Whoever types the right one first never notices.
    wait: timedelta = timedelta(minutes=5)


BRAKE = Brake()
PREFIX = "guard:"
REPLAY_AFTER = timedelta(minutes=10)
# Redis answers within milliseconds or not at all; after a failure nobody asks for a while.
TIMEOUT_S, PAUSE_S = 0.2, 5.0

# Add one to each counter; each is forgotten after a while. As a script it is one command for Redis and for us.
COUNT_EACH = """
local counts = {}
for place, key in ipairs(KEYS) do
    counts[place] = redis.call('INCR', key)
    if counts[place] == 1 then redis.call('EXPIRE', key, ARGV[1]) end
end
return counts
"""

METRICS = CollectorRegistry()
_counted = Counter("jirani_abuse", "Signs of abuse, by kind", ["kind"], registry=METRICS)
_client: redis.Redis | None = None
_paused_until = 0.0


# --- hops ---------------------------------------------------------------------------------------------------
def admit(*, gateway: str, msisdn: str, begins: bool, at: datetime) -> bool:
    """Count a hop and say whether it is served: not those of a number beyond what a person can type.

    A gateway beyond what we can serve begins no dialogues for a moment; those that run go on.
    """
    minute = int(at.timestamp() // 60)
    keys = f"{PREFIX}hops:{gateway}:{msisdn}:{minute}", f"{PREFIX}hops:{gateway}:{minute}"
    counts = _reach(lambda client: client.eval(COUNT_EACH, len(keys), *keys, int(MINUTE.total_seconds()) * 2))
    if counts is None or not settings.REFUSE_FLOODS:
        return True
    of_number, of_gateway = counts
    if of_number > LIMITS[Kind.FLOOD_NUMBER].most:
        notice(Kind.FLOOD_NUMBER, gateway=gateway, msisdn=msisdn, at=at, allowed=0)
        return False
    if of_gateway > LIMITS[Kind.FLOOD_GATEWAY].most and begins:
        notice(Kind.FLOOD_GATEWAY, gateway=gateway, at=at, allowed=0)
        return False
    return True


class Answer(Enum):
    """What a text gets: its answer; one word that it is too much; nothing, since each answer costs money; or it is
    to come again, and nothing of it is lost."""

    ITS_OWN = auto()
    TOO_MUCH = auto()
    NONE = auto()
    LATER = auto()


def admit_text(*, gateway: str, msisdn: str, message_id: str, at: datetime) -> Answer:
    """Count a text and say what it gets. One that comes again under its id is counted once."""
    limit = LIMITS[Kind.FLOOD_SMS]
    window, minute = int(at.timestamp() // limit.window.total_seconds()), int(at.timestamp() // 60)
    mine = f"{PREFIX}sms:{gateway}:{msisdn}:{window}"

    def came(pipe: Pipeline) -> None:
        pipe.sadd(mine, message_id)
        pipe.scard(mine)
        pipe.expire(mine, limit.window * 2)
        _count(pipe, f"{PREFIX}sms:{gateway}:{minute}", MINUTE)

    counts = _ask(came)
    if counts is None or not settings.REFUSE_FLOODS:
        return Answer.ITS_OWN
    is_new, of_number, of_gateway = counts[0], counts[1], counts[3]
    if of_number > limit.most:
        notice(Kind.FLOOD_SMS, gateway=gateway, msisdn=msisdn, at=at, allowed=0)
        return Answer.TOO_MUCH if is_new and of_number == limit.most + 1 else Answer.NONE
    if of_gateway > LIMITS[Kind.FLOOD_SMS_GATEWAY].most:
        notice(Kind.FLOOD_SMS_GATEWAY, gateway=gateway, at=at, allowed=0)
        return Answer.LATER
    return Answer.ITS_OWN


def stranger(*, gateway: str, msisdn: str, at: datetime) -> None:
    """Count the numbers that nobody registered: somebody who tries out numbers meets many."""
    key = f"{PREFIX}strangers:{gateway}:{_hour(at).timestamp():.0f}"

    def met(pipe: Pipeline) -> None:
        pipe.sadd(key, msisdn)
        pipe.scard(key)
        pipe.expire(key, HOUR * 2)

    counts = _ask(met)
    if counts and counts[0] and counts[1] > LIMITS[Kind.STRANGERS].most:
        notice(Kind.STRANGERS, gateway=gateway, at=at, allowed=0)


def may_try_identity(*, msisdn: str) -> bool:
    """Say whether a number may try another name with an ID: else the register could be read out through us."""
    found = _ask(lambda pipe: pipe.get(f"{PREFIX}identities:{msisdn}"))
    return found is None or int(found[0] or 0) < LIMITS[Kind.IDENTITIES].most


def identity_was_refused(*, gateway: str, msisdn: str, at: datetime) -> None:
    """Count a name and an ID that do not belong together."""

    def refused(pipe: Pipeline) -> None:
        pipe.incr(f"{PREFIX}identities:{msisdn}")
        pipe.expire(f"{PREFIX}identities:{msisdn}", LIMITS[Kind.IDENTITIES].window)

    counts = _ask(refused)
    if counts and counts[0] >= LIMITS[Kind.IDENTITIES].most:
        notice(Kind.IDENTITIES, gateway=gateway, msisdn=msisdn, at=at, allowed=0)


def dialled(inputs: list[str], *, gateway: str, msisdn: str, at: datetime) -> None:
    """Note a dial string that seems to end in a PIN. It was not taken for one; the call log has it all the same.

    What stands alone, or behind the choice of a menu, is an amount; so is a round number, which no PIN is.
    """
    *before, last = inputs or [""]
    leads_to_pin = len(before) > 1 or any(len(typed) > 1 for typed in before)
    if leads_to_pin and identity.looks_like_pin(last) and not identity.is_round(int(last)):
        notice(Kind.PIN_DIALLED, gateway=gateway, msisdn=msisdn, at=at)


def answered_before(answered_at: datetime, *, gateway: str, msisdn: str, at: datetime) -> None:
    """Note a hop that comes again long after it was answered."""
    if at - answered_at > REPLAY_AFTER:
        notice(Kind.REPLAYED, gateway=gateway, msisdn=msisdn, at=at)


# --- PINs ---------------------------------------------------------------------------------------------------
def gateway_of(origin: str) -> str:
    """Return the gateway in the origin of a dialogue's step: "ussd:nalo:session:4"."""
    parts = origin.split(":")
    return parts[1] if len(parts) > 2 else ""


def pin_must_wait(*, gateway: str, msisdn: str) -> bool:
    """Say whether a PIN is not even looked at now: the brake is on, and this number was wrong just before."""
    found = _ask(lambda pipe: [pipe.get(_brake(gateway)), pipe.get(f"{PREFIX}wrong:{msisdn}")])
    return found is not None and all(found)


def pin_was(*, right: bool, gateway: str, msisdn: str, at: datetime) -> None:
    """Count a PIN that was looked at, and pull the brake when many numbers are tried with wrong ones."""
    begun = int(at.timestamp() // BRAKE.window.total_seconds())
    wrong, all_of, numbers = (f"{PREFIX}pins:{what}:{gateway}:{begun}" for what in ("wrong", "all", "numbers"))

    def tried(pipe: Pipeline) -> None:
        _count(pipe, all_of, BRAKE.window)
        if right:
            return
        _count(pipe, wrong, BRAKE.window)
        pipe.sadd(numbers, msisdn)
        pipe.scard(numbers)
        pipe.expire(numbers, BRAKE.window * 2)
        pipe.set(f"{PREFIX}wrong:{msisdn}", 1, ex=BRAKE.wait)

    counts = _ask(tried)
    if counts is None or right:
        return
    tries, misses, different = counts[0], counts[2], counts[5]
    if misses >= BRAKE.wrong and different >= BRAKE.numbers and misses > tries * BRAKE.share:
        _pull_the_brake(gateway, at)


def _pull_the_brake(gateway: str, at: datetime) -> None:
    fresh = _ask(lambda pipe: [pipe.set(_brake(gateway), 1, ex=BRAKE.lasts, get=True)])
    if fresh is not None and fresh[0] is None:
        logger.error("PINs are guessed over many numbers through %s: the brake is on", gateway)
    notice(Kind.PIN_BRAKE, gateway=gateway, at=at)


def _brake(gateway: str) -> str:
    return f"{PREFIX}brake:{gateway}"


# --- signs --------------------------------------------------------------------------------------------------
def notice(kind: str, *, gateway: str, at: datetime, msisdn: str = "", allowed: int | None = None) -> None:
    """Count a sign of abuse; beyond its limit, or what is `allowed` instead, it is written down for officers.

    A row is written at the first and then at twice as many each time, so a flood writes a dozen times, not a
    million; its `times` is at least what is counted. Never raises: a customer may be waiting.
    """
    _counted.labels(kind=kind).inc()
    hour = _hour(at)
    counts = _ask(lambda pipe: _count(pipe, f"{PREFIX}{kind}:{gateway}:{msisdn}:{hour.timestamp():.0f}", HOUR))
    beyond = counts[0] - (LIMITS[kind].most if allowed is None else allowed) if counts else 0
    if beyond < 1 or beyond & (beyond - 1):
        return
    try:
        _write(kind, gateway, msisdn, hour, at, counts[0] if counts else 1)
    except Exception as error:  # noqa: BLE001 - a sign that is lost costs less than a hop
        logger.error("a sign of abuse was not written: %s", type(error).__name__)


@transaction.atomic
def _write(kind: str, gateway: str, msisdn: str, hour: datetime, at: datetime, times: int) -> None:
    sign, created = AbuseSign.objects.get_or_create(
        kind=kind,
        gateway=gateway,
        msisdn=msisdn,
        hour=hour,
        defaults={"times": times, "first_at": at, "last_at": at},
    )
    if not created:
        AbuseSign.objects.filter(id=sign.id).update(times=Greatest(F("times"), times), last_at=at)


def _hour(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


# --- Redis --------------------------------------------------------------------------------------------------
def _count(pipe: Pipeline, key: str, window: timedelta) -> None:
    """Add one to a counter, which is forgotten after its window: two answers, the count first."""
    pipe.incr(key)
    pipe.expire(key, window * 2)


def _ask(commands: Callable[[Pipeline], Any]) -> list[Any] | None:
    """Return what Redis answers to some commands, in one round trip; None when it does not answer."""

    def ask(client: redis.Redis) -> list[Any]:
        with client.pipeline(transaction=False) as pipe:
            commands(pipe)
            return pipe.execute()

    return _reach(ask)


def _reach(ask: Callable[[redis.Redis], Any]) -> Any:
    """Return what is asked of Redis; None when it does not answer."""
    global _client, _paused_until
    if time.monotonic() < _paused_until:
        return None
    try:
        if _client is None:
            _client = redis.Redis.from_url(
                settings.REDIS_URL, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S
            )
        return ask(_client)
    except (redis.RedisError, OSError) as error:
        _paused_until = time.monotonic() + PAUSE_S
        logger.warning("abuse is not counted: Redis says %s", type(error).__name__)
        return None
