"""The officers' first page: today's figures, each a link to the list behind it, and the work that waits."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from lending.admin import cells, words
from lending.models import Application, Case, Proposal, Receipt
from lending.rules import calendar
from lending.selectors import limits, portfolio, requests

SHOWN = 8


@dataclass(frozen=True)
class Card:
    """One figure. `permission` is what it takes to see the list behind it."""

    title: str
    figure: str
    note: str
    href: str
    permission: str
    urgent: bool = False


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Add today's figures and the oldest waiting work to the first page (UNFOLD's DASHBOARD_CALLBACK)."""
    may_see = [card for card in cards() if request.user.has_perm(card.permission)]
    return context | {
        "cards": may_see,
        "waiting": _waiting() if request.user.has_perm("lending.view_application") else [],
        "cases": _cases() if request.user.has_perm("lending.view_case") else [],
        "waiting_href": listing("application", work="waiting"),
        "cases_href": listing("case", work="open"),
    }


def listing(model: str, **filters: object) -> str:
    """Return the address of a list with these filters."""
    return reverse(f"admin:lending_{model}_changelist") + ("?" + urlencode(filters) if filters else "")


def cards() -> list[Card]:
    """Return the figures in the order in which an officer needs them."""
    today = timezone.localdate()
    now, currency = portfolio.figures(today), cells.home_currency()
    when = "" if now.loans_on == today else f", at the end of {now.loans_on:%-d %B}"
    start = calendar.start_of(today, str(timezone.get_current_timezone()))
    return [
        *stopped(),
        Card(
            "Waiting applications",
            f"{now.waiting_applications:,}",
            "an officer decides",
            listing("application", work="waiting"),
            "lending.view_application",
            now.waiting_applications > 0,
        ),
        Card(
            "Open cases",
            f"{now.open_cases:,}",
            "only a person can settle them",
            listing("case", work="open"),
            "lending.view_case",
            now.open_cases > 0,
        ),
        Card(
            "Unknown payouts",
            f"{now.unknown_payouts:,}",
            "sent, outcome not known yet",
            listing("paymentattempt", work="unknown"),
            "lending.view_paymentattempt",
            now.unknown_payouts > 0,
        ),
        Card(
            "In suspense",
            cells.shown(now.suspense_cents, currency),
            "money that fits nobody",
            listing("receipt", state__exact="suspense"),
            "lending.view_receipt",
            now.suspense_cents > 0,
        ),
        Card(
            "Live loans",
            f"{now.live_loans:,}",
            f"principal {cells.shown(now.gross_portfolio_cents, currency)}{when}",
            listing("loan", state__exact="live"),
            "lending.view_loan",
        ),
        Card(
            "Outstanding",
            cells.shown(now.outstanding_cents, currency),
            f"principal, fees and taxes still owed{when}",
            listing("loan", state__exact="live"),
            "lending.view_loan",
        ),
        Card(
            "PAR 0",
            f"{now.par0 or 0:.1%}",
            f"of principal is late by a day or more{when}",
            listing("loan", late=0),
            "lending.view_loan",
        ),
        Card(
            "PAR 30",
            f"{now.par30 or 0:.1%}",
            f"of principal is over 30 days late{when}",
            listing("loan", late=30),
            "lending.view_loan",
        ),
        Card(
            "Collected today",
            cells.shown(now.collected_cents, currency),
            f"since midnight, {today:%-d %B}",
            listing("receipt", paid_at__gte=start.isoformat(), to="loans"),
            "lending.view_receipt",
        ),
        *_model_alarms(),
    ]


def stopped() -> list[Card]:
    """Return what people have stopped, with who and why; nothing while lending goes on."""
    cards = [
        Card(
            case.get_kind_display(),
            "Stopped",
            case.note,
            reverse("admin:lending_case_change", args=[case.pk]),
            "lending.view_case",
            urgent=True,
        )
        for case in limits.stops()
    ]
    if settings.COMPUTER_APPROVES:
        return cards
    note = "COMPUTER_APPROVES is off: a person looks at each application"
    return [*cards, Card("Computer", "Stopped", note, listing("application"), "lending.view_application", True)]


def _model_alarms() -> list[Card]:
    """Return a card only when the nightly check has called somebody and nobody has closed the case."""
    alarms = Case.objects.filter(portfolio.OPEN_CASES, kind=Case.Kind.MODEL_HEALTH).count()
    href, permission = reverse("admin:scoring_healthcheck_changelist"), "scoring.view_healthcheck"
    card = Card("Model alarms", f"{alarms:,}", "found by the nightly check", href, permission, urgent=True)
    return [card] if alarms else []


def _waiting() -> list[dict[str, Any]]:
    oldest = (
        Application.objects.filter(portfolio.WAITING_APPLICATIONS)
        .select_related("borrower", "decision", "product_version")
        .order_by("submitted_at")[:SHOWN]
    )
    return [
        {
            "href": reverse("admin:lending_application_change", args=[row.pk]),
            "title": f"{row.borrower.full_name}: {cells.shown(row.principal_cents, row.product_version.currency)}",
            "note": "; ".join(_why(row)),
            "at": row.submitted_at,
        }
        for row in oldest
    ]


def _why(row: Application) -> list[str]:
    """Return why an application waits: at the customer's own word, and for what the computer saw."""
    asked = ["The customer asked for a person"] if row.appealed_at else []
    return asked + [words.reason(one, row.product_version.currency) for one in row.decision.reasons[:2]]


def _cases() -> list[dict[str, Any]]:
    oldest = Case.objects.filter(portfolio.OPEN_CASES).order_by("opened_at")[:SHOWN]
    return [
        {
            "href": reverse("admin:lending_case_change", args=[row.pk]),
            "title": row.get_kind_display(),
            "note": row.note,
            "at": row.opened_at,
        }
        for row in oldest
    ]


def waiting_badge() -> str:
    """Return the count for the side bar; empty when there is nothing to do."""
    return str(Application.objects.filter(portfolio.WAITING_APPLICATIONS).count() or "")


def cases_badge() -> str:
    return str(Case.objects.filter(portfolio.OPEN_CASES).count() or "")


def asked_badge() -> str:
    return str(Case.objects.filter(requests.WAITING).count() or "")


def proposals_badge() -> str:
    return str(Proposal.objects.filter(portfolio.PENDING_PROPOSALS).count() or "")


def suspense_badge() -> str:
    return str(Receipt.objects.filter(portfolio.SUSPENSE).count() or "")
