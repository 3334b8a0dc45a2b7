"""Savers and their products, for the tests of everything that saves."""

from datetime import date, datetime, timedelta
from typing import Any

from lending.models import Borrower, SavingsAccount, SavingsMovement, SavingsProductVersion
from lending.services import savings
from tests.factories import NAIROBI

MORNING = datetime(2026, 1, 10, 9, 0, tzinfo=NAIROBI)
OPENED_ON = MORNING.date()


def on(day: date, hour: int = 9) -> datetime:
    return datetime(day.year, day.month, day.day, hour, tzinfo=NAIROBI)


def after(days: int, hours: int = 0) -> datetime:
    return MORNING + timedelta(days=days, hours=hours)


def terms_of(code: str = "jirani-goal", **changes: Any) -> dict[str, Any]:
    """Return the terms of a product as it ships, with some of them changed."""
    return SavingsProductVersion.objects.get(code=code).terms | changes


def product(
    code: str, *, partner: str = "Umoja Bank", country: str = "KE", **changes: Any
) -> SavingsProductVersion:
    """Bring out another product with terms like the goal's."""
    return SavingsProductVersion.objects.create(
        code=code,
        version=1,
        name=code,
        currency="KES",
        country=country,
        partner=partner,
        effective_on=date(2025, 1, 1),
        proposed_by="maker",
        approved_by="checker",
        approved_on=date(2025, 1, 1),
        terms=terms_of(**changes),
    )


def next_version(code: str = "jirani-goal", **changes: Any) -> SavingsProductVersion:
    """Follow the newest version of a product with another one, in force since a day before MORNING."""
    values = SavingsProductVersion.objects.filter(code=code).order_by("-version").values().first()
    assert values is not None
    follows = {"version": values["version"] + 1, "effective_on": OPENED_ON - timedelta(days=1)}
    follows["terms"] = values["terms"] | changes.pop("terms", {})
    return SavingsProductVersion.objects.create(**values | {"id": None} | follows | changes)


def pot(borrower: Borrower, product_code: str = "jirani-goal", **facts: Any) -> SavingsAccount:
    return savings.open_account(**({"product_code": product_code, "borrower": borrower, "at": MORNING} | facts))


def move(account: SavingsAccount, kind: str, cents: int, at: datetime, **facts: Any) -> SavingsMovement:
    reference = facts.pop("reference", f"{kind}:{account.id}:{at.isoformat()}:{cents}")
    return savings.record_movement(
        account_id=account.id, kind=kind, amount_cents=cents, reference=reference, moved_at=at, **facts
    )


def deposit(account: SavingsAccount, cents: int, at: datetime = MORNING, **facts: Any) -> SavingsMovement:
    return move(account, "deposit", cents, at, **facts)


def fresh(account: SavingsAccount) -> SavingsAccount:
    return SavingsAccount.objects.select_related("product_version", "group", "borrower").get(id=account.id)
