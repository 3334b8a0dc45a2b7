"""Is it alive, can it serve, how does it do."""

from datetime import timedelta

from django.db import connection
from django.db.models import Count, Min, Q, Sum
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from prometheus_client import CollectorRegistry, Gauge, disable_created_metrics, generate_latest

from lending.models import Case, OutboxMessage, PaymentAttempt, ProductVersion, Proposal, Receipt
from lending.services import life
from lending.wake import broker_answers
from scoring.models import HealthCheck, HealthFigure, Promotion
from scoring.monitor.figures import MEASURES
from ussd import guard
from ussd.models import AbuseSign

disable_created_metrics()  # when a counter began is nothing that anybody watches


def healthz(request: HttpRequest) -> HttpResponse:
    """Answer as long as the process can answer at all."""
    return HttpResponse("ok", content_type="text/plain")


def readyz(request: HttpRequest) -> HttpResponse:
    """Answer 200 when PostgreSQL answers and a product is in force; a dead Redis is reported, not fatal."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        ready = ProductVersion.objects.exists()
    except Exception:  # noqa: BLE001 - whatever is wrong with the database, we are not ready
        return JsonResponse({"ready": False, "database": False}, status=503)
    return JsonResponse({"ready": ready, "database": True, "redis": broker_answers()}, status=200 if ready else 503)


def metrics(request: HttpRequest) -> HttpResponse:
    """Answer with what an operator watches, in Prometheus' text format, counted from PostgreSQL."""
    registry = CollectorRegistry()
    for name, words, value in _figures():
        Gauge(f"jirani_{name}", words, registry=registry).set(value)
    _health_of_model(registry)
    text = generate_latest(registry) + generate_latest(life.METRICS) + generate_latest(guard.METRICS)
    return HttpResponse(text, content_type="text/plain; version=0.0.4")


def _health_of_model(registry: CollectorRegistry) -> None:
    """Add how many figures of the latest nightly check ring, by measure; 0 where all is well."""
    now, latest, first = timezone.now(), HealthCheck.objects.first(), Promotion.objects.order_by("id").first()
    since = latest.checked_at if latest else first.promoted_at if first else now
    age = Gauge("jirani_model_check_age_seconds", "Since the model's health was checked", registry=registry)
    age.set(max(timedelta(), now - since).total_seconds())
    counted = latest.figures.values_list("measure", "state").annotate(n=Count("id")) if latest else []
    times = {(measure, state): n for measure, state, n in counted}
    for name, state, words in (
        ("alarms", HealthFigure.State.ALARM, "Figures of the latest check that ring"),
        ("warnings", HealthFigure.State.WARN, "Figures of the latest check to look at"),
    ):
        gauge = Gauge(f"jirani_model_{name}", words, ["measure"], registry=registry)
        for measure in MEASURES:
            gauge.labels(measure).set(times.get((measure, state), 0))


def _figures() -> list[tuple[str, str, float]]:
    now = timezone.now()
    outbox = OutboxMessage.objects.filter(done_at__isnull=True).aggregate(
        waiting=Count("id", filter=Q(parked_at__isnull=True)),
        parked=Count("id", filter=Q(parked_at__isnull=False)),
        oldest=Min("due_at", filter=Q(parked_at__isnull=True)),
    )
    unknown = PaymentAttempt.objects.filter(state__in=["submitting", "accepted", "unknown"]).aggregate(
        number=Count("id"), cents=Sum("intent__amount_cents"), oldest=Min("submitted_at")
    )
    suspense = Receipt.objects.filter(state=Receipt.State.SUSPENSE).aggregate(cents=Sum("amount_cents"))
    since = lambda moment: max(timedelta(), now - moment).total_seconds() if moment else 0.0  # noqa: E731
    return [
        ("outbox_waiting", "Effects owed and not parked", outbox["waiting"]),
        ("outbox_parked", "Effects that failed too often", outbox["parked"]),
        ("outbox_oldest_seconds", "How late the oldest owed effect is", since(outbox["oldest"])),
        ("payments_unsettled", "Attempts whose outcome is not known", unknown["number"]),
        ("payments_unsettled_cents", "Money in them", unknown["cents"] or 0),
        ("payments_oldest_unsettled_seconds", "Age of the oldest", since(unknown["oldest"])),
        ("suspense_cents", "Money in suspense", suspense["cents"] or 0),
        ("cases_open", "Cases waiting for a person", Case.objects.filter(closed_at__isnull=True).count()),
        (
            "proposals_pending",
            "Proposals waiting for a second person",
            Proposal.objects.filter(state=Proposal.State.PENDING).count(),
        ),
        (
            "abuse_signs",
            "Signs of abuse within the last hour",
            AbuseSign.objects.filter(last_at__gte=now - timedelta(hours=1)).count(),
        ),
    ]
