"""The browser phones: one page, and keys that are passed on to the sandbox's handsets.

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
from lending.selectors import people
from ussd.models import Session
from ussd.phone import client
from ussd.phone import faults as line_faults
from ussd.phone.client import Handset, InvalidMsisdn, Refused, SandboxDown, clean_msisdn
from ussd.screens.language import OWN_NAMES

# What each phone is without a number in the address, and the third for when both would be the same.
DEMO_PHONES = ("254711000001", "254711000002", "254711000003")
# The page loads nothing from elsewhere and runs no inline script.
CONTENT_POLICY = "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

Press = Callable[..., dict[str, Any]]


@never_cache
@ensure_csrf_cookie
@require_GET
def page(request: HttpRequest) -> HttpResponse:
    """Draw the phones whose numbers are in `?phone=` and `?second=`; demo phones without them."""
    first, problem = _number(request.GET.get("phone", ""), DEMO_PHONES[0])
    other = next(number for number in DEMO_PHONES[1:] if number != first)
    second, second_problem = _number(request.GET.get("second", ""), other)
    if first == second:
        second, second_problem = other, "The two phones need two numbers."
    context = {
        "phones": (first, second),
        "problem": problem or second_problem,
        "kinds": [(kind, words.split(" {")[0]) for kind, words in line_faults.KINDS.items()],
        "longest_s": line_faults.LONGEST_S,
        "farthest": line_faults.FARTHEST,
        "ussd_code": settings.USSD_CODE,
        "sms_short_code": settings.SMS_SHORT_CODE,
        "paybill": settings.PAYBILL,
    }
    response = render(request, "phone/phone.html", context)
    response["Content-Security-Policy"] = CONTENT_POLICY
    return response


def _number(typed: str, otherwise: str) -> tuple[str, str]:
    """Return the number that was typed, or another one and what is wrong with it."""
    try:
        return clean_msisdn(typed.strip() or otherwise), ""
    except InvalidMsisdn as error:
        return otherwise, f"{error}.".capitalize()


def _key(method: Callable[[Any], Any]) -> Callable[[Press], Callable[..., HttpResponse]]:
    """Make a view of a function that presses one key: (handset, body, **path) -> JSON."""

    def decorate(press: Press) -> Callable[..., HttpResponse]:
        @wraps(press)
        @sensitive_variables()
        def view(request: HttpRequest, msisdn: str, **rest: str) -> HttpResponse:
            return _answered(lambda: press(Handset(msisdn, settings.SANDBOX_URL), _body(request), **rest))

        return never_cache(method(view))

    return decorate


def _body(request: HttpRequest) -> dict[str, Any]:
    body = json.loads(request.body or b"{}")
    return body if isinstance(body, dict) else {}


@sensitive_variables()
def _answered(ask: Callable[[], dict[str, Any]]) -> HttpResponse:
    """Return what the network answers as JSON, or a sentence about what is wrong."""
    try:
        return JsonResponse(ask())
    except SandboxDown as error:
        return JsonResponse({"error": str(error)}, status=503)
    except Refused as error:
        return JsonResponse({"error": str(error)}, status=error.status)
    except (InvalidMsisdn, line_faults.InvalidFault) as error:
        return JsonResponse({"error": f"{error}.".capitalize()}, status=400)
    except ValueError:  # broken JSON, or an amount that is none
        return JsonResponse({"error": "The phone did not understand that."}, status=400)


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


@_key(require_POST)
def faults(handset: Handset, body: dict[str, Any]) -> dict[str, Any]:
    """Break the phone's line, or mend it."""
    return handset.break_line(
        line_faults.rules(
            str(body.get("kind", "")),
            when=str(body.get("when", line_faults.EVERY)),
            count=body.get("count", 1),
            seconds=body.get("seconds", 1),
        )
    )


# -- beside the phones ---------------------------------------------------------------------------------------


@never_cache
@require_GET
def wire(request: HttpRequest) -> HttpResponse:
    """Show what went over the wire of `?phones=` after the entry `?after=`, and which language each stands in."""
    msisdns = request.GET.get("phones", "").split(",")[:2]

    def look() -> dict[str, Any]:
        log = client.wire(msisdns, int(request.GET.get("after", "0")), settings.SANDBOX_URL)
        return log | {"languages": {msisdn: language(msisdn) for msisdn in map(clean_msisdn, msisdns)}}

    return _answered(look)


def language(msisdn: str) -> str:
    """Return the own name of the language that a phone is spoken to in; empty before anybody has chosen one."""
    borrower = people.find_borrower(msisdn)
    if borrower is not None:
        return OWN_NAMES.get(borrower.language, borrower.language)
    latest = Session.objects.filter(msisdn=msisdn).order_by("-began_at").values("language", "screen").first()
    if latest is None or latest["screen"] == "register.language":
        return ""
    return OWN_NAMES.get(latest["language"], latest["language"])
