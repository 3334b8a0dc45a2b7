"""Where Daraja calls us. Each view proves the caller, keeps what came, makes sense of it and answers.

The answer says "received", not "understood": what a callback was worth is in its stored event. Nothing here
fails with a 500, because an operator may then never call again.
"""

import json
import logging
from collections.abc import Callable
from datetime import datetime
from functools import wraps
from typing import Any

from django.core.exceptions import RequestDataTooBig
from django.db import Error as DatabaseError
from django.http import HttpRequest, JsonResponse, UnreadablePostError
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt

from lending.models import PaymentAttempt
from lending.payments import events, tokens
from lending.payments.providers import daraja_messages as messages
from lending.payments.providers.daraja_messages import Unreadable
from lending.selectors.deposits import target_of_account
from lending.services.receipts import borrower_of_account

logger = logging.getLogger(__name__)

MAX_BODY = 64 * 1024
ACCEPTED = {"ResultCode": 0, "ResultDesc": "Accepted"}

View = Callable[..., JsonResponse]
BodyView = Callable[..., JsonResponse]


def say(status: int, words: str) -> JsonResponse:
    """Return a refusal in the operator's own form."""
    return JsonResponse({"ResultCode": 1, "ResultDesc": words}, status=status)


def daraja_only(view: BodyView) -> View:
    """Let a POST of bearable size with our secret through, and hand its body and the time to the view."""

    @csrf_exempt
    @wraps(view)
    def guarded(request: HttpRequest, secret: str, **path: str) -> JsonResponse:
        if not tokens.is_secret(secret):
            return say(403, "Not allowed")
        if request.method != "POST":
            return say(405, "POST only")
        try:
            body = request.body
        except RequestDataTooBig:
            return say(413, "Too large")
        except UnreadablePostError:
            return say(408, "The body did not arrive")
        if len(body) > MAX_BODY:
            return say(413, "Too large")
        return view(request, body, timezone.now(), **path)

    return guarded


def _source(request: HttpRequest) -> str:
    return request.META.get("REMOTE_ADDR") or ""


def _parse(body: bytes) -> Any:
    """Return the JSON of a body, None when it is none."""
    try:
        return json.loads(body.decode())
    except (ValueError, RecursionError):
        return None


# -- about our own requests --------------------------------------------------------------------------------


def _about_attempt(kind: str, token_kind: str) -> View:
    """Return the view of callbacks whose address names one attempt of ours."""

    def view(request: HttpRequest, body: bytes, at: datetime, token: str) -> JsonResponse:
        reference = tokens.attempt_named_by(token_kind, token)
        attempt = PaymentAttempt.objects.filter(provider_ref=reference).first() if reference else None
        refusal = say(404, "Unknown address") if attempt is None else None
        return _keep(request, kind, body, at, token=token, attempt=attempt, refusal=refusal)

    view.__name__ = kind
    return daraja_only(view)


def _keep(
    request: HttpRequest,
    kind: str,
    body: bytes,
    at: datetime,
    *,
    token: str = "",
    attempt: PaymentAttempt | None = None,
    refusal: JsonResponse | None = None,
) -> JsonResponse:
    """Store a callback and process it, unless there is nothing to process in it."""
    try:
        event = events.store(kind, body, token=token, attempt=attempt, source_address=_source(request), at=at)
        if refusal is None and _parse(body) is None:
            refusal = say(400, "Malformed JSON")
        if refusal is not None:
            events.close(event, json.loads(refusal.content)["ResultDesc"], at)
            return refusal
        if event.processed_at is None:
            events.process(event.id, at)
    except DatabaseError as error:
        # Not kept, so not confirmed: the operator may call again.
        logger.error("callback %s was not kept: %s", kind, type(error).__name__)
        return say(503, "Try again")
    return JsonResponse(ACCEPTED)


stk_callback = _about_attempt("stk", "stk")
b2c_result = _about_attempt("b2c_result", "b2c")
b2c_timeout = _about_attempt("b2c_timeout", "b2c")
status_result = _about_attempt("status_result", "status")


# -- paybill -----------------------------------------------------------------------------------------------


@daraja_only
def confirm_payment(request: HttpRequest, body: bytes, at: datetime) -> JsonResponse:
    """Take the news of money that has reached the paybill."""
    return _keep(request, "c2b_confirmation", body, at)


@daraja_only
def validate_payment(request: HttpRequest, body: bytes, at: datetime) -> JsonResponse:
    """Say whether a payment is welcome, from PostgreSQL alone. This is no payment, so nothing is posted.

    When we ourselves are in trouble the answer is yes: money that is let in can be matched later.
    """
    code = "0"
    try:
        code = _verdict(_parse(body), at)
        event = events.store("c2b_validation", body, token="", attempt=None, source_address=_source(request), at=at)
        events.close(event, f"answered {code}", at)
    except Exception as error:  # noqa: BLE001 - whatever our trouble is, the customer may pay
        logger.error("validation in trouble: %s", type(error).__name__)
    return JsonResponse({"ResultCode": code, "ResultDesc": "Accepted" if code == "0" else "Rejected"})


def _verdict(body: Any, at: datetime) -> str:
    """Return 0, or the operator's code for what is wrong: account 12, amount 13, paybill 15, other 16."""
    try:
        payment = messages.read_payment(body, at)
    except Unreadable as error:
        return "C2B00013" if str(error) == "amount" else "C2B00016"
    if not events.is_our_paybill(payment.shortcode):
        return "C2B00015"
    account = payment.account_reference
    return "0" if borrower_of_account(account) or target_of_account(account) else "C2B00012"
