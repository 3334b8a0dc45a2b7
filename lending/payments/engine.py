"""The engine of money: submit what is due, ask about what is unsettled, take up what was told.

Any number of processes may run it side by side. A row is leased and `submitting` is committed before a byte
leaves; the call happens outside of any transaction; the answer is recorded afterwards. Dying between any two
of these steps leaves a row that says what may have happened, and that is asked about, never sent anew.
"""

import logging
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from django.conf import settings
from django.db import InterfaceError, OperationalError, transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet

from lending.models import PaymentAttempt, PaymentIntent
from lending.payments import breaker, events, settling, stopped
from lending.payments.attempts import AT_REST, next_attempt
from lending.payments.breaker import restart_rail
from lending.payments.settling import LIVE, Purpose, State, ask_again, settle_failure, settle_success
from lending.payments.stopped import STANDS_STILL
from lending.ports import (
    Accepted,
    Answer,
    Failed,
    NotFound,
    NotSent,
    PaymentOrder,
    PaymentProvider,
    Succeeded,
    Unknown,
    payment_provider,
)
from lending.rules import money

__all__ = ["ask_again", "restart_rail", "run_due", "settle_failure", "settle_success"]

logger = logging.getLogger(__name__)

# One run takes no new row after BUDGET_S, so that a row leased late in a slow run is recorded before its
# lease, which counts from the start of the run, is over. A call takes up to 13 s, with a fresh token 26 s.
# Should one last longer, the attempt is asked about meanwhile, which does no harm.
LEASE = timedelta(seconds=60)
BUDGET_S = 15.0
LONGEST_WAIT = timedelta(seconds=60)
# A prompt that could not go out for so long would surprise the customer.
PROMPT_STALE_AFTER = timedelta(minutes=10)
# The loan was repaid by another road meanwhile: what the prompt brought would be too much. Less than a payable unit
# too much is what the last cents of a loan take. Who pays for somebody else is not to learn how much is owed.
OWED = F("loan__outstanding_cents") + F("loan__written_off_cents")
PART_OF_A_UNIT = max(one.payable_cents for one in money.CURRENCIES.values()) - 1
ASKS_TOO_MUCH = Q(purpose=Purpose.COLLECT) & (
    Q(payer=None, amount_cents__gt=OWED + PART_OF_A_UNIT) | Q(loan__outstanding_cents=0, loan__written_off_cents=0)
)
DIRECTIONS = ((Purpose.DISBURSE, Purpose.REFUND), PaymentIntent.PROMPTS)


def run_due(at: datetime, limit: int = 50) -> int:
    """Do what is due at this moment; return how many rows were taken. Safe beside any number of others."""
    until = time.monotonic() + BUDGET_S
    done = 0
    for event_id in events.waiting(at, limit):
        done += events.process(event_id, at)
    _safely(stopped.keep_cases, at)
    for step in (_ask_next, _drop_prompt, *_submitters()):
        taken = 0
        while taken < limit and time.monotonic() < until and _safely(step, at):
            taken += 1
        done += taken
    return done


def _safely(step: Callable[[datetime], bool], at: datetime) -> bool:
    """Do one step. What it stumbles over is leased already, so the next step meets another row."""
    try:
        return step(at)
    except (OperationalError, InterfaceError):
        raise
    except Exception:
        logger.exception("a payment could not be dealt with")
        return True


def _submitters() -> list[Callable[[datetime], bool]]:
    """Return one step for each rail and direction, so that one that stands still does not hold up another."""

    def submitter(provider: str, purposes: tuple[str, ...]) -> Callable[[datetime], bool]:
        return lambda at: _submit_next(provider, purposes, at)

    return [submitter(name, purposes) for name in settings.PAYMENT_PROVIDERS for purposes in DIRECTIONS]


def order_of(attempt: PaymentAttempt) -> PaymentOrder:
    """Return what the rail needs to know of an attempt."""
    intent = attempt.intent
    return PaymentOrder(
        provider_ref=str(attempt.provider_ref),
        request_id=attempt.request_id,
        purpose=intent.purpose,
        msisdn=intent.msisdn,
        amount_cents=intent.amount_cents,
        currency=intent.currency,
        account_reference=settling.account_reference(intent),
        submitted_at=attempt.submitted_at,
    )


# -- submit ------------------------------------------------------------------------------------------------


def _submit_next(provider: str, purposes: tuple[str, ...], at: datetime) -> bool:
    """Submit one due intent; return whether there was one."""
    rail = breaker.rail_of(provider, purposes[0])
    attempt = _lease(provider, purposes, rail, at)
    if attempt is None:
        return False
    _record(attempt, _submit(attempt), rail, at)
    return True


@transaction.atomic
def _lease(provider: str, purposes: tuple[str, ...], rail: str, at: datetime) -> PaymentAttempt | None:
    """Take the next due intent and commit that its attempt is being sent."""
    intent = _due(provider, purposes, at).order_by("due_at", "id").first()
    if intent is None or not breaker.claim(rail, at):
        return None
    intent.leased_until = at + LEASE
    intent.save(update_fields=["leased_until"])
    attempt = next_attempt(intent, at)
    attempt.state, attempt.submitted_at, attempt.next_query_at = State.SUBMITTING, at, at + LEASE
    attempt.save(update_fields=["state", "submitted_at", "next_query_at"])
    return attempt


def _due(provider: str, purposes: tuple[str, ...], at: datetime) -> QuerySet[PaymentIntent]:
    """Return open intents that may be sent now: no try of theirs is under way, and no other prompt is out."""
    tries = PaymentAttempt.objects.filter(intent=OuterRef("pk")).exclude(state__in=AT_REST)
    prompts = PaymentAttempt.objects.filter(
        intent__msisdn=OuterRef("msisdn"), intent__purpose__in=PaymentIntent.PROMPTS, state__in=LIVE
    )
    return (
        PaymentIntent.objects.select_for_update(skip_locked=True, of=("self",))
        .filter(provider=provider, purpose__in=purposes, state=PaymentIntent.State.OPEN, due_at__lte=at)
        .filter(Q(leased_until__isnull=True) | Q(leased_until__lte=at))
        .filter(~Exists(tries))
        .exclude(Q(purpose__in=PaymentIntent.PROMPTS) & Exists(prompts))
        .exclude(ASKS_TOO_MUCH)
        .exclude(STANDS_STILL)
        .select_related("loan")
    )


def _submit(attempt: PaymentAttempt) -> Answer:
    rail = payment_provider(attempt.provider)
    send = rail.request_payment if attempt.intent.is_prompt else rail.disburse
    return _answer(send, attempt)


def _answer(call: Callable[[PaymentOrder], Answer], attempt: PaymentAttempt) -> Answer:
    """Call the rail; a bug on the way is as unknown as a time-out, because bytes may have left."""
    try:
        return call(order_of(attempt))
    except Exception as error:
        logger.exception("rail of attempt %s failed", attempt.id)
        return Unknown(type(error).__name__)


def _record(attempt: PaymentAttempt, answer: Answer, rail: str, at: datetime) -> None:
    """Write down what the rail answered. A callback may have settled the attempt meanwhile: that stands."""
    match answer:
        case Accepted(request_id):
            breaker.note_success(rail, at)
            _record_accepted(attempt.id, request_id, at)
        case NotSent(why):
            _record_not_sent(attempt.id, breaker.note_failure(rail, why, at), why, at)
        case Failed():
            if answer.ours:
                breaker.note_failure(rail, f"{answer.code} {answer.text}", at)
            else:
                breaker.note_success(rail, at)
            _record_refused(attempt, answer, at)
        case Succeeded():
            breaker.note_success(rail, at)
            settling.settle_success(attempt.id, answer, at=at, source="submit")
        case Unknown(why):
            breaker.note_failure(rail, why, at)
            _record_unknown(attempt.id, why, at)
        case NotFound():
            _record_unknown(attempt.id, "not found on submitting", at)


def _record_refused(attempt: PaymentAttempt, answer: Failed, at: datetime) -> None:
    """Fail what was refused when it was sent for the first time; a person decides about a repeat.

    A refused repeat says nothing about the request before it, which may have been taken after all.
    """
    if attempt.queries == 0:
        settling.settle_failure(attempt.id, answer, at=at, refused=True)
    else:
        _record_unknown(attempt.id, f"its repeat was refused: {answer.code} {answer.text}", at)
        settling.hand_over(attempt.id, at)


@transaction.atomic
def _record_accepted(attempt_id: int, request_id: str, at: datetime) -> None:
    attempt = settling.lock(attempt_id)
    attempt.request_id = attempt.request_id or request_id
    if attempt.state == State.SUBMITTING:
        attempt.state, attempt.next_query_at = State.ACCEPTED, settling.next_query_at(attempt, at)
        _end_lease(attempt)
    attempt.save(update_fields=["request_id", "state", "next_query_at"])


@transaction.atomic
def _record_unknown(attempt_id: int, why: str, at: datetime) -> None:
    attempt = settling.lock(attempt_id)
    if attempt.state == State.SUBMITTING:
        attempt.state, attempt.result_text = State.UNKNOWN, why[:200]
        attempt.next_query_at = settling.next_query_at(attempt, at)
        _end_lease(attempt)
        attempt.save(update_fields=["state", "result_text", "next_query_at"])


@transaction.atomic
def _record_not_sent(attempt_id: int, failures: int, why: str, at: datetime) -> None:
    """Nothing happened: the same try goes out later, under the same id."""
    attempt = settling.lock(attempt_id)
    if attempt.state == State.SUBMITTING:
        attempt.state, attempt.result_text, attempt.next_query_at = State.CREATED, why[:200], None
        attempt.intent.due_at = at + min(timedelta(seconds=2 ** min(failures, 10)), LONGEST_WAIT)
        attempt.intent.save(update_fields=["due_at"])
        _end_lease(attempt)
        attempt.save(update_fields=["state", "result_text", "next_query_at"])


def _end_lease(attempt: PaymentAttempt) -> None:
    attempt.intent.leased_until = None
    attempt.intent.save(update_fields=["leased_until"])


@transaction.atomic
def _drop_prompt(at: datetime) -> bool:
    """Give up one prompt that could not go out in time or asks for more than is still owed, instead of
    surprising the customer with it."""
    stale = at - PROMPT_STALE_AFTER
    begun = PaymentAttempt.objects.filter(intent=OuterRef("pk"))
    intent = (
        PaymentIntent.objects.select_for_update(skip_locked=True, of=("self",))
        .filter(purpose__in=PaymentIntent.PROMPTS, state=PaymentIntent.State.OPEN, due_at__lte=at)
        .filter(~Exists(begun.exclude(state__in=AT_REST)))
        .filter(Q(due_at__lte=stale) | Exists(begun.filter(created_at__lte=stale)) | ASKS_TOO_MUCH)
        .first()
    )
    if intent is None:
        return False
    attempt = next_attempt(intent, at)
    settling.settle_failure(attempt.id, Failed("not_sent", "the prompt was too late or not needed"), at=at)
    return True


# -- ask ---------------------------------------------------------------------------------------------------


def _ask_next(at: datetime) -> bool:
    """Ask about one unsettled attempt; return whether there was one."""
    attempt = _take_unsettled(at)
    if attempt is None:
        return False
    if not _is_forgotten_prompt(attempt, at):
        rail: PaymentProvider = payment_provider(attempt.provider)
        settling.settle(attempt.id, _answer(rail.query, attempt), at=at, source="query")
        if attempt.next_query_at is not None:
            return True
    _stop_asking(attempt, at)
    return True


@transaction.atomic
def _take_unsettled(at: datetime) -> PaymentAttempt | None:
    """Take the next attempt to ask about and commit when it will be asked about again."""
    attempt = (
        PaymentAttempt.objects.select_for_update(skip_locked=True, of=("self",))
        .filter(state__in=LIVE, next_query_at__lte=at)
        .select_related("intent__loan", "intent__borrower")
        .order_by("next_query_at", "id")
        .first()
    )
    if attempt is None:
        return None
    if attempt.state == State.SUBMITTING:
        attempt.state, attempt.result_text = State.UNKNOWN, "whoever sent it has died"
    attempt.queries += 1
    attempt.next_query_at = settling.next_query_at(attempt, at)
    attempt.save(update_fields=["state", "result_text", "queries", "next_query_at"])
    if at - attempt.created_at >= settling.ALARM_AFTER and not attempt.intent.is_prompt:
        settling.alarm_unknown(attempt, at)
    return attempt


def _is_forgotten_prompt(attempt: PaymentAttempt, at: datetime) -> bool:
    """Say whether asking about a prompt is of no more use."""
    if not attempt.intent.is_prompt or attempt.result_code == "0":
        return False
    age = at - (attempt.submitted_at or attempt.created_at)
    known = bool(attempt.request_id)
    return age >= (settling.PROMPT_GIVEN_UP_AFTER if known else settling.PROMPT_FORGOTTEN_AFTER)


def _stop_asking(attempt: PaymentAttempt, at: datetime) -> None:
    """Nobody will tell: a payout goes to a person, a prompt ends; paid after all, it still counts."""
    if _is_forgotten_prompt(attempt, at):
        settling.give_up_prompt(attempt.id, at)
    else:
        settling.hand_over(attempt.id, at)
