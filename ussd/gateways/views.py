"""The callbacks of gateways. A hop is always answered 200 with CON or END, whatever went wrong."""

import hmac
import logging
from collections.abc import Callable
from functools import wraps

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt

from lending.services import preferences
from ussd import sessions, sms
from ussd.gateways import africastalking
from ussd.gateways.africastalking import GATEWAY, Unreadable, msisdn_of, plain, session_of
from ussd.models import Session, SessionEnd

logger = logging.getLogger(__name__)

# For when not even the customer's language is known: both, in one screen.
SORRY = "Sorry, that did not work. Please dial {code} again. / Samahani, haikufaulu. Tafadhali piga {code} tena."
NOT_OURS = "This code is not served here. / Namba hii haitumiki hapa. {code}: Jirani."

View = Callable[[HttpRequest, str], HttpResponse]


def plain_answer(text: str, status: int = 200) -> HttpResponse:
    return HttpResponse(text, content_type="text/plain; charset=utf-8", status=status)


def end(text: str) -> HttpResponse:
    return plain_answer("END " + text.format(code=settings.USSD_CODE))


def callback(on_failure: Callable[[Exception], HttpResponse]) -> Callable[[View], View]:
    """Let in what is posted under the right secret, and turn every failure into an answer."""

    def guard(view: View) -> View:
        @csrf_exempt
        @wraps(view)
        def guarded(request: HttpRequest, secret: str) -> HttpResponse:
            if not hmac.compare_digest(secret.encode(), settings.AFRICASTALKING_SECRET.encode()):
                return plain_answer("Not found", 404)
            if request.method != "POST":
                response = plain_answer("Only POST", 405)
                response["Allow"] = "POST"
                return response
            try:
                return view(request, secret)
            except Unreadable as error:
                logger.warning("%s came without a usable %s", view.__name__, error)
                return on_failure(error)
            except Exception as error:  # noqa: BLE001 - the outermost guard: no stack trace reaches anybody
                logger.error("%s failed: %s", view.__name__, sessions.describe(error))
                return on_failure(error)

        return guarded

    return guard


def _sorry(error: Exception) -> HttpResponse:
    return end(SORRY)


def _later(error: Exception) -> HttpResponse:
    """Refuse what makes no sense once and for all; ask for the rest again, which the gateway does on non-200."""
    return (
        plain_answer("Bad request", 400) if isinstance(error, Unreadable) else plain_answer("Try again later", 503)
    )


@callback(_sorry)
def ussd(request: HttpRequest, secret: str) -> HttpResponse:
    """Answer one hop of a dialogue."""
    event = africastalking.hop_event(request.POST)
    if not event.service_code:
        logger.warning("a hop for a service code that is not ours")  # not which: a dial string may hold a PIN
        return end(NOT_OURS)
    reply = sessions.take_hop(event, timezone.now())
    return plain_answer(("END " if reply.ends else "CON ") + reply.text)


@callback(_later)
def ussd_events(request: HttpRequest, secret: str) -> HttpResponse:
    """Keep the report on an ended session. `input` and `lastAppResponse` are not even read: they hold PINs."""
    form, at = request.POST, timezone.now()
    session_id = session_of(form)
    session = Session.objects.filter(gateway=GATEWAY, gateway_session=session_id).first()
    with transaction.atomic():
        end, created = SessionEnd.objects.get_or_create(
            gateway=GATEWAY,
            gateway_session=session_id,
            defaults={
                "session": session,
                "status": plain(form, "status", 30),
                "network": plain(form, "networkCode", 12),
                "duration_ms": _count(plain(form, "durationInMillis", 12)),
                "hops_counted": _count(plain(form, "hopsCount", 6)),
                "cost": plain(form, "cost", 20),
                "error": sms.mask_digits(plain(form, "errorMessage", 200)),
                "received_at": at,
            },
        )
        if created and session is not None and end.status == "Failed":
            sessions.owe_unseen_decision(session, at)
        if not created:
            SessionEnd.objects.filter(id=end.id).update(times_received=F("times_received") + 1)
    sessions.forget_answers(at)
    return plain_answer("OK")


def _count(digits: str) -> int | None:
    return int(digits) if digits.isascii() and digits.isdigit() else None


@callback(_later)
def incoming_sms(request: HttpRequest, secret: str) -> HttpResponse:
    """Take a customer's message; it is answered by SMS, once."""
    form = request.POST
    message_id = plain(form, "id", 80)
    if not message_id:
        raise Unreadable("id")
    sms.take_incoming(
        gateway=GATEWAY,
        message_id=message_id,
        msisdn=msisdn_of(form.get("from", "")),
        sent_to=plain(form, "to", 20),
        text=form.get("text", ""),
        at=timezone.now(),
    )
    return plain_answer("OK")


@callback(_later)
def sms_report(request: HttpRequest, secret: str) -> HttpResponse:
    """Take a delivery report."""
    form = request.POST
    message_id, status = plain(form, "id", 80), plain(form, "status", 40)
    if not message_id or not status:
        raise Unreadable("id or status")
    sms.take_report(
        message_id=message_id,
        status=status,
        failure_reason=plain(form, "failureReason", 60),
        network=plain(form, "networkCode", 12),
        at=timezone.now(),
    )
    return plain_answer("OK")


@callback(_later)
def sms_opt_out(request: HttpRequest, secret: str) -> HttpResponse:
    """Take the aggregator's word that a customer refuses our messages."""
    preferences.stop(msisdn=msisdn_of(request.POST.get("phoneNumber", "")), at=timezone.now())
    return plain_answer("OK")
