"""The callbacks of gateways. A hop is always answered 200 with a screen, whatever went wrong."""

import hmac
import logging
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from functools import wraps

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt

from lending.services import preferences
from ussd import guard, sessions, sms, texting
from ussd.asked import mask_digits
from ussd.gateways.africastalking import AfricasTalking
from ussd.gateways.infobip import Infobip
from ussd.gateways.protocol import (
    DidNotCome,
    Ended,
    Fields,
    Gateway,
    NotANumber,
    NotOurs,
    TextGateway,
    TooLarge,
    Unreadable,
    form_of,
    msisdn_of,
    plain_answer,
)
from ussd.models import Session, SessionEnd
from ussd.sessions import Event, Reply

logger = logging.getLogger(__name__)

# For when not even the customer's language is known: both, in one screen.
SORRY = "Sorry, that did not work. Please dial {code} again. / Samahani, haikufaulu. Tafadhali piga {code} tena."
NOT_OURS = "This code is not served here. / Namba hii haitumiki hapa. {code}: Jirani."
NO_NUMBER = (
    "Your network did not tell us your number. Please dial {code} again. / "
    "Mtandao haukutupa namba yako. Tafadhali piga {code} tena."
)

WAIT = (
    "Too many answers at once. Wait a minute, then dial {code}. / "
    "Majibu mengi kwa mara moja. Subiri dakika moja, kisha piga {code}."
)

View = Callable[..., HttpResponse]


def door(*methods: str) -> Callable[[View], View]:
    """Let in who knows the gateway's secret and comes by one of these methods; by the gateway's own if none."""

    def decorate(view: View) -> View:
        @csrf_exempt
        @wraps(view)
        def guarded(request: HttpRequest, secret: str, gateway: Gateway, **path: str) -> HttpResponse:
            if not _knows(secret, gateway):
                guard.notice(guard.Kind.FORGED, gateway=gateway.name, at=timezone.now())
                return plain_answer("Not found", 404)
            allowed = methods or sorted(gateway.methods)
            if request.method not in allowed:
                response = plain_answer("Only " + ", ".join(allowed), 405)
                response["Allow"] = ", ".join(allowed)
                return response
            return view(request, gateway, **path)

        return guarded

    return decorate


def _knows(secret: str, gateway: Gateway) -> bool:
    """Say whether the secret is the gateway's; without one set, nobody knows it."""
    expected: str = getattr(settings, gateway.secret_setting)
    return bool(expected) and hmac.compare_digest(secret.encode(errors="replace"), expected.encode())


@door()
def ussd(request: HttpRequest, gateway: Gateway, **path: str) -> HttpResponse:
    """Answer one hop of a dialogue, or take the report that a session ended where it comes by the same way."""
    at = timezone.now()
    fields: Fields = {}
    try:
        fields = gateway.fields(request, **path)
        told = gateway.read(fields, at)
        if isinstance(told, Ended):
            _keep_end(told, gateway.name, at)
            return gateway.acknowledge(fields)
        return gateway.render(fields, sessions.take_hop(told, at) if _is_admitted(told, at) else _reply(WAIT))
    except Exception as error:  # noqa: BLE001 - the outermost guard: no stack trace reaches anybody
        return gateway.render(fields, _reply(_refusal(error, gateway, at)))


def _is_admitted(event: Event, at: datetime) -> bool:
    begins = event.latest.begins if event.latest else not event.text
    return guard.admit(gateway=event.gateway, msisdn=event.msisdn, begins=begins, at=at)


def _reply(words: str) -> Reply:
    return Reply(words.format(code=settings.USSD_CODE), ends=True)


def _refusal(error: Exception, gateway: Gateway, at: datetime) -> str:
    """Say in words what cannot be done; the log says which field is to blame, never what stood in it."""
    match error:
        case NotOurs():
            logger.warning("a hop of %s for a service code that is not ours", gateway.name)
            return NOT_OURS
        case NotANumber():
            logger.warning("a hop of %s came without a number that can be one", gateway.name)
            guard.notice(guard.Kind.UNREADABLE, gateway=gateway.name, at=at)
            return NO_NUMBER
        case Unreadable():
            logger.warning("a hop of %s came without a usable %s", gateway.name, error)
            _notice_unreadable(error, gateway, at)
            return SORRY
        case _:
            logger.error("a hop of %s failed: %s", gateway.name, sessions.describe(error))
            return SORRY


def _notice_unreadable(error: Unreadable, gateway: Gateway, at: datetime) -> None:
    match error:
        case TooLarge():
            kind = guard.Kind.OVERSIZE
        case DidNotCome():
            kind = guard.Kind.SLOW
        case _:
            kind = guard.Kind.UNREADABLE
    guard.notice(kind, gateway=gateway.name, at=at)


@door("GET")
def ussd_status(request: HttpRequest, gateway: Infobip, session: str) -> HttpResponse:
    """Say whether a session is open."""
    return gateway.status(session)


class ComeAgain(Exception):
    """More than we serve now; the gateway keeps it and sends it again."""


def report(view: Callable[..., None]) -> View:
    """Answer for what is no hop: refuse what makes no sense once and for all, ask for the rest again.

    A gateway sends a callback again that was not answered 200.
    """

    @wraps(view)
    def reported(request: HttpRequest, gateway: Gateway, **path: str) -> HttpResponse:
        try:
            view(request, gateway, **path)
        except Unreadable as error:
            logger.warning("%s of %s came without a usable %s", view.__name__, gateway.name, error)
            _notice_unreadable(error, gateway, timezone.now())
            return plain_answer("Bad request", 400)
        except ComeAgain:
            return plain_answer("Try again later", 503)
        except Exception as error:  # noqa: BLE001 - the outermost guard: no stack trace reaches anybody
            logger.error("%s of %s failed: %s", view.__name__, gateway.name, sessions.describe(error))
            return plain_answer("Try again later", 503)
        return plain_answer("OK")

    return reported


@door("POST")
@report
def ussd_events(request: HttpRequest, gateway: AfricasTalking) -> None:
    """Keep the report on an ended session."""
    _keep_end(gateway.ended(gateway.fields(request)), gateway.name, timezone.now())


def _keep_end(told: Ended, gateway: str, at: datetime) -> None:
    """Store a report once; a status that nobody has heard of is kept too."""
    session = Session.objects.filter(gateway=gateway, gateway_session=told.gateway_session).first()
    with transaction.atomic():
        end, created = SessionEnd.objects.get_or_create(
            gateway=gateway,
            gateway_session=told.gateway_session,
            defaults={
                "session": session,
                "status": told.status,
                "network": told.network,
                "duration_ms": told.duration_ms,
                "hops_counted": told.hops_counted,
                "cost": told.cost,
                "error": mask_digits(told.error),
                "received_at": at,
            },
        )
        if created and session is not None and end.status == "Failed":
            sessions.owe_unseen_decision(session, at)
        if not created:
            SessionEnd.objects.filter(id=end.id).update(times_received=F("times_received") + 1)


@door("POST")
@report
def incoming_sms(request: HttpRequest, gateway: TextGateway) -> None:
    """Take customers' messages; each is answered by SMS, once, but for those of a flood."""
    for message in gateway.incoming(request):
        at = timezone.now()
        answer = guard.admit_text(gateway=gateway.name, msisdn=message.msisdn, message_id=message.message_id, at=at)
        match answer:
            case guard.Answer.LATER:
                raise ComeAgain
            case guard.Answer.ITS_OWN:
                texting.take_incoming(gateway=gateway.name, at=at, **asdict(message))
            case _:
                is_told = answer is guard.Answer.TOO_MUCH
                texting.put_off(gateway=gateway.name, is_told=is_told, at=at, **asdict(message))


@door("POST")
@report
def sms_reports(request: HttpRequest, gateway: TextGateway) -> None:
    """Take delivery reports."""
    for delivery in gateway.deliveries(request):
        sms.take_report(
            message_id=delivery.message_id,
            status=delivery.status,
            failure_reason=delivery.failure_reason,
            network=delivery.network,
            at=timezone.now(),
        )


@door("POST")
@report
def sms_opt_out(request: HttpRequest, gateway: AfricasTalking) -> None:
    """Take the aggregator's word that a customer refuses our messages."""
    number = form_of(request).get("phoneNumber", "")
    preferences.stop(msisdn=msisdn_of(number, gateway.country), at=timezone.now())
