"""The side bar: rooms in groups, with counts on what waits. Rooms that a user may not enter are left out."""

from typing import Any

from django.http import HttpRequest
from django.urls import reverse

from lending.admin import dashboard, reports
from lending.admin.dashboard import listing

Room = tuple[str, str, str, str]  # words, icon, address, permission
Placed = tuple[str, str, str]  # words, icon, model or page
# Rooms that are no list of rows, and the right to look into each.
PAGES = {"reports": reports.PERMISSION, "admin:lending_account_statements": "lending.view_account"}
SHELVES: tuple[tuple[str, tuple[Placed, ...]], ...] = (
    (
        "Customers",
        (
            ("Borrowers", "group", "lending.borrower"),
            ("Applications", "assignment", "lending.application"),
            ("Agents", "diversity_3", "lending.agent"),
            ("Who looked", "visibility", "lending.accessrecord"),
            ("Forgotten", "person_remove", "lending.erasure"),
        ),
    ),
    (
        "Loans",
        (
            ("Loans", "payments", "lending.loan"),
            ("Promises to pay", "handshake", "lending.promise"),
            ("Proposals", "approval", "lending.proposal"),
            ("Reports", "monitoring", "reports"),
            ("Products", "sell", "lending.productversion"),
            ("Country packs", "gavel", "lending.countrypack"),
        ),
    ),
    (
        "Payments",
        (
            ("Payments", "swap_horiz", "lending.paymentintent"),
            ("Tries", "send_money", "lending.paymentattempt"),
            ("Receipts", "receipt_long", "lending.receipt"),
            ("Given back", "undo", "lending.refund"),
            ("Rail events", "cell_tower", "lending.providerevent"),
            ("Rails", "electric_bolt", "lending.rail"),
        ),
    ),
    (
        "Savings",
        (
            ("Savings accounts", "savings", "lending.savingsaccount"),
            ("Movements", "sync_alt", "lending.savingsmovement"),
            ("Savings products", "sell", "lending.savingsproductversion"),
            ("May pay loans", "key", "lending.sweepmandate"),
            ("Business books", "menu_book", "lending.bookentry"),
            ("Savings groups", "groups", "lending.savingsgroup"),
            ("Group withdrawals", "how_to_vote", "lending.groupwithdrawal"),
        ),
    ),
    (
        "Messages",
        (
            ("SMS sent", "sms", "ussd.sms"),
            ("SMS received", "mark_chat_unread", "ussd.incomingsms"),
            ("Delivery reports", "done_all", "ussd.deliveryreport"),
            ("Dialogues", "dialpad", "ussd.session"),
            ("Campaigns", "campaign", "ussd.campaign"),
            ("Signs of abuse", "shield", "ussd.abusesign"),
        ),
    ),
    (
        "Books",
        (
            ("Statements", "balance", "admin:lending_account_statements"),
            ("Accounts", "account_balance", "lending.account"),
            ("Postings", "menu_book", "lending.posting"),
            ("Entries", "list_alt", "lending.entry"),
            ("Closed periods", "lock_clock", "lending.periodclosing"),
            ("Trail", "history", "lending.auditevent"),
            ("Owed effects", "outbox", "lending.outboxmessage"),
            ("Daily jobs", "event_available", "lending.jobrun"),
        ),
    ),
    (
        "Models",
        (
            ("Health", "ecg_heart", "scoring.healthcheck"),
            ("Versions", "model_training", "scoring.modelversion"),
            ("Who served when", "swap_vert", "scoring.promotion"),
            ("Training runs", "manufacturing", "scoring.pipelinerun"),
        ),
    ),
    (
        "Staff",
        (
            ("Users", "badge", "auth.user"),
            ("Groups", "lock_person", "auth.group"),
            ("Schedule", "schedule", "django_celery_beat.periodictask"),
        ),
    ),
)


def sidebar(request: HttpRequest) -> list[dict[str, Any]]:
    """Return UNFOLD's navigation for this user."""
    groups = [
        _group("", [_item("Today", "dashboard", reverse("admin:index"))]),
        _group("Work", _work(request)),
        *(_group(title, _rooms(request, rooms)) for title, rooms in SHELVES),
    ]
    return [group for group in groups if group["items"]]


def _work(request: HttpRequest) -> list[dict[str, Any]]:
    rooms: list[tuple[Room, Any]] = [
        (
            ("Referred applications", "rule", listing("application", work="waiting"), "lending.view_application"),
            dashboard.waiting_badge,
        ),
        (
            (
                "Waiting for a second person",
                "group_add",
                listing("proposal", work="waiting"),
                "lending.view_proposal",
            ),
            dashboard.proposals_badge,
        ),
        (("Cases", "support", listing("case", work="open"), "lending.view_case"), dashboard.cases_badge),
        (
            ("Asked for by people", "contact_support", listing("case", work="asked"), "lending.view_case"),
            dashboard.asked_badge,
        ),
        (
            ("Suspense", "help_center", listing("receipt", state__exact="suspense"), "lending.view_receipt"),
            dashboard.suspense_badge,
        ),
    ]
    return [
        _item(words, icon, href)
        # Not lit for every row of the table: the room of all rows has an item of its own.
        | {"active": request.get_full_path() == href}
        | ({"badge": count, "badge_variant": "warning"} if (count := badge()) else {})
        for (words, icon, href, permission), badge in rooms
        if request.user.has_perm(permission)
    ]


def _room(words: str, icon: str, place: str) -> Room:
    """Return a room with its address, and the right to look into it."""
    if place in PAGES:
        return words, icon, reverse(place), PAGES[place]
    app, model = place.split(".")
    return words, icon, reverse(f"admin:{app}_{model}_changelist"), f"{app}.view_{model}"


def _rooms(request: HttpRequest, rooms: tuple[Placed, ...]) -> list[dict[str, Any]]:
    found = (_room(*placed) for placed in rooms)
    return [_item(*door) for *door, permission in found if request.user.has_perm(permission)]


def _item(words: str, icon: str, href: str) -> dict[str, Any]:
    return {"title": words, "icon": icon, "link": href}


def _group(title: str, items: list[dict[str, Any]]) -> dict[str, Any]:
    return {"title": title, "separator": bool(title), "items": items}
