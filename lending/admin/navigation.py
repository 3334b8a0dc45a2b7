"""The side bar: rooms in groups, with counts on what waits. Rooms that a user may not enter are left out."""

from typing import Any

from django.http import HttpRequest
from django.urls import reverse

from lending.admin import dashboard, reports
from lending.admin.dashboard import listing

Room = tuple[str, str, str, str]  # words, icon, address, permission


def sidebar(request: HttpRequest) -> list[dict[str, Any]]:
    """Return UNFOLD's navigation for this user."""
    groups = [
        _group("", [_item("Today", "dashboard", reverse("admin:index"))]),
        _group("Work", _work(request)),
        *(_group(title, _rooms(request, rooms)) for title, rooms in _shelves()),
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


def _shelves() -> list[tuple[str, list[Room]]]:
    return [
        (
            "Customers",
            [
                _room("Borrowers", "group", "lending", "borrower"),
                _room("Applications", "assignment", "lending", "application"),
                _room("Agents", "diversity_3", "lending", "agent"),
                _room("Who looked", "visibility", "lending", "accessrecord"),
                _room("Forgotten", "person_remove", "lending", "erasure"),
            ],
        ),
        (
            "Loans",
            [
                _room("Loans", "payments", "lending", "loan"),
                _room("Promises to pay", "handshake", "lending", "promise"),
                _room("Proposals", "approval", "lending", "proposal"),
                ("Reports", "monitoring", reverse("reports"), reports.PERMISSION),
                _room("Products", "sell", "lending", "productversion"),
                _room("Country packs", "gavel", "lending", "countrypack"),
            ],
        ),
        (
            "Payments",
            [
                _room("Payments", "swap_horiz", "lending", "paymentintent"),
                _room("Tries", "send_money", "lending", "paymentattempt"),
                _room("Receipts", "receipt_long", "lending", "receipt"),
                _room("Given back", "undo", "lending", "refund"),
                _room("Rail events", "cell_tower", "lending", "providerevent"),
                _room("Rails", "electric_bolt", "lending", "rail"),
            ],
        ),
        (
            "Savings",
            [
                _room("Savings accounts", "savings", "lending", "savingsaccount"),
                _room("Movements", "sync_alt", "lending", "savingsmovement"),
                _room("Savings products", "sell", "lending", "savingsproductversion"),
                _room("May pay loans", "key", "lending", "sweepmandate"),
                _room("Business books", "menu_book", "lending", "bookentry"),
                _room("Savings groups", "groups", "lending", "savingsgroup"),
                _room("Group withdrawals", "how_to_vote", "lending", "groupwithdrawal"),
            ],
        ),
        (
            "Messages",
            [
                _room("SMS sent", "sms", "ussd", "sms"),
                _room("SMS received", "mark_chat_unread", "ussd", "incomingsms"),
                _room("Delivery reports", "done_all", "ussd", "deliveryreport"),
                _room("Dialogues", "dialpad", "ussd", "session"),
                _room("Campaigns", "campaign", "ussd", "campaign"),
                _room("Signs of abuse", "shield", "ussd", "abusesign"),
            ],
        ),
        (
            "Books",
            [
                ("Statements", "balance", reverse("admin:lending_account_statements"), "lending.view_account"),
                _room("Accounts", "account_balance", "lending", "account"),
                _room("Postings", "menu_book", "lending", "posting"),
                _room("Entries", "list_alt", "lending", "entry"),
                _room("Closed periods", "lock_clock", "lending", "periodclosing"),
                _room("Trail", "history", "lending", "auditevent"),
                _room("Owed effects", "outbox", "lending", "outboxmessage"),
                _room("Daily jobs", "event_available", "lending", "jobrun"),
            ],
        ),
        (
            "Models",
            [
                _room("Versions", "model_training", "scoring", "modelversion"),
                _room("Training runs", "manufacturing", "scoring", "pipelinerun"),
            ],
        ),
        (
            "Staff",
            [
                _room("Users", "badge", "auth", "user"),
                _room("Groups", "lock_person", "auth", "group"),
                _room("Schedule", "schedule", "django_celery_beat", "periodictask"),
            ],
        ),
    ]


def _room(words: str, icon: str, app: str, model: str) -> Room:
    return words, icon, reverse(f"admin:{app}_{model}_changelist"), f"{app}.view_{model}"


def _rooms(request: HttpRequest, rooms: list[Room]) -> list[dict[str, Any]]:
    return [
        _item(words, icon, href) for words, icon, href, permission in rooms if request.user.has_perm(permission)
    ]


def _item(words: str, icon: str, href: str) -> dict[str, Any]:
    return {"title": words, "icon": icon, "link": href}


def _group(title: str, items: list[dict[str, Any]]) -> dict[str, Any]:
    return {"title": title, "separator": bool(title), "items": items}
