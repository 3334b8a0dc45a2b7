"""The browser phone: one page, and keys that are passed on to the sandbox's handset.

Nothing here is kept or logged: an answer may be a PIN.
"""

import json
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_GET, require_POST

from lending.rules import money
from ussd.phone.client import Handset, InvalidMsisdn, Refused, SandboxDown, clean_msisdn

FIRST_PHONE = "254711000001"
# The page loads nothing from elsewhere and runs no inline script.
CONTENT_POLICY = "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

Press = Callable[..., dict[str, Any]]


@never_cache
@ensure_csrf_cookie
@require_GET
def page(request: HttpRequest) -> HttpResponse:
    """Draw the phone whose number is in `?phone=`; the first demo phone without one."""
    typed = request.GET.get("phone", "").strip() or FIRST_PHONE
    try:
        msisdn, problem = clean_msisdn(typed), ""
    except InvalidMsisdn as error:
        msisdn, problem = FIRST_PHONE, f"{error}.".capitalize()
    context = {
        "msisdn": msisdn,
        "problem": problem,
        "ussd_code": settings.USSD_CODE,
        "sms_short_code": settings.SMS_SHORT_CODE,
        "paybill": settings.DARAJA_PAYBILL,
    }
    response = render(request, "phone/phone.html", context)
    response["Content-Security-Policy"] = CONTENT_POLICY
    return response


def _key(method: Callable[[Any], Any]) -> Callable[[Press], Callable[..., HttpResponse]]:
    """Make a view of a function that presses one key: (handset, body, **path) -> JSON."""

    def decorate(press: Press) -> Callable[..., HttpResponse]:
        @wraps(press)
        @sensitive_variables()
        def view(request: HttpRequest, msisdn: str, **rest: str) -> HttpResponse:
            try:
                body = json.loads(request.body or b"{}")
                handset = Handset(msisdn, settings.SANDBOX_URL)
                return JsonResponse(press(handset, body if isinstance(body, dict) else {}, **rest))
            except SandboxDown as error:
                return JsonResponse({"error": str(error)}, status=503)
            except Refused as error:
                return JsonResponse({"error": str(error)}, status=error.status)
            except InvalidMsisdn as error:
                return JsonResponse({"error": f"{error}.".capitalize()}, status=400)
            except ValueError:  # broken JSON, or an amount that is none
                return JsonResponse({"error": "The phone did not understand that."}, status=400)

        return never_cache(method(view))

    return decorate


@_key(require_GET)
def state(handset: Handset, body: dict[str, Any]) -> dict[str, Any]:
    """Show what is on the phone now."""
    return handset.state()


@_key(require_POST)
def switch_on(handset: Handset, body: dict[str, Any]) -> dict[str, Any]:
    """Show the phone, with a new SIM if the number is nobody's."""
    return handset.switch_on()


@_key(require_POST)
def dial(handset: Handset, body: dict[str, Any]) -> dict[str, Any]:
    """Press the green key."""
    return handset.dial(str(body.get("code", ""))[:60])


@_key(require_POST)
def answer(handset: Handset, body: dict[str, Any]) -> dict[str, Any]:
    """Answer the open dialogue."""
    return handset.type(str(body.get("text", ""))[:160])


@_key(require_POST)
def hang_up(handset: Handset, body: dict[str, Any]) -> dict[str, Any]:
    """Press the red key."""
    return handset.hang_up()


@_key(require_POST)
def prompt(handset: Handset, body: dict[str, Any], prompt_id: str) -> dict[str, Any]:
    """Answer a payment prompt with the wallet PIN, or cancel it."""
    if body.get("cancel"):
        return handset.cancel_prompt(prompt_id)
    return handset.approve_prompt(prompt_id, str(body.get("pin", ""))[:12])


@_key(require_POST)
def sms(handset: Handset, body: dict[str, Any]) -> dict[str, Any]:
    """Send a text message."""
    return handset.send_sms(str(body.get("to", ""))[:20], str(body.get("text", ""))[:480])


@_key(require_POST)
def paybill(handset: Handset, body: dict[str, Any]) -> dict[str, Any]:
    """Pay a paybill; the amount is what a human typed."""
    try:
        amount_cents = money.parse(str(body.get("amount", "")))
    except money.InvalidAmount:
        return {"accepted": False, "reason": "Enter the amount in shillings, like 550."}
    return handset.pay_paybill(
        paybill=str(body.get("paybill", ""))[:12],
        account=str(body.get("account", ""))[:20],
        amount_cents=amount_cents,
        pin=str(body.get("pin", ""))[:12],
    )
