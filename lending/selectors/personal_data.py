"""What is held about a customer, who looked at it, and all of it as a copy."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from django.conf import settings
from django.db.models import Count, Model, Q
from django.db.models.functions import TruncDate

from lending.models import (
    AccessRecord,
    Application,
    Borrower,
    Case,
    Consent,
    Loan,
    NextOfKin,
    Receipt,
    SavingsAccount,
    WalletMovement,
)
from lending.rules import calendar
from lending.selectors.limits import owing_cents

# What no copy carries: it proves who somebody is, or finds them again, and says nothing about them.
SECRET = ("pin_hash", "msisdn_sha256", "identity_index", "number_index")


@dataclass(frozen=True)
class Held:
    """What is held about a customer in figures a phone can show; the ID is masked."""

    name: str
    msisdn: str
    id_ending: str
    since: date
    consents: dict[str, bool]
    loans: int
    owed_cents: int
    receipts: int
    saved_cents: int
    wallet_movements: int
    next_of_kin: str
    looks: int


def held(borrower: Borrower) -> Held:
    """Return what is held about a customer."""
    accounts = SavingsAccount.objects.filter(borrower=borrower)
    kin = kin_of(borrower.id)
    return Held(
        name=borrower.full_name,
        msisdn=borrower.msisdn,
        id_ending=borrower.national_id[-3:],
        since=calendar.business_date(borrower.registered_at, settings.TIME_ZONE),
        consents=consents_of(borrower.id),
        loans=Loan.objects.filter(borrower=borrower).count(),
        owed_cents=owing_cents(borrower.identity_index),
        receipts=Receipt.objects.filter(borrower=borrower).count(),
        saved_cents=sum(accounts.values_list("balance_cents", flat=True)),
        wallet_movements=WalletMovement.objects.filter(borrower=borrower).count(),
        next_of_kin=kin.name if kin else "",
        looks=AccessRecord.objects.filter(borrower=borrower).count(),
    )


def consents_of(borrower_id: int) -> dict[str, bool]:
    """Return which agreements are given, of those that were ever asked for."""
    in_force = Consent.objects.filter(borrower_id=borrower_id, withdrawn_at__isnull=True)
    return dict(in_force.values_list("purpose", "granted"))


def kin_of(borrower_id: int) -> NextOfKin | None:
    """Return the next of kin whom a customer has named, whether they agreed yet or not."""
    return NextOfKin.objects.filter(borrower_id=borrower_id, ended_at__isnull=True).first()


@dataclass(frozen=True)
class Look:
    """How often somebody of a role looked at a customer's page on a day, for a purpose."""

    on: date
    role: str
    purpose: str
    times: int


def looks(borrower_id: int, limit: int = 10) -> list[Look]:
    """Return who looked at a customer's page, by day, role and purpose, the latest day first."""
    counted = (
        AccessRecord.objects.filter(borrower_id=borrower_id)
        .annotate(on=TruncDate("looked_at"))
        .values("on", "role", "purpose")
        .annotate(times=Count("id"))
        .order_by("-on", "role", "purpose")
    )
    return [Look(**row) for row in counted[:limit]]


def purpose_of_look(borrower_id: int) -> str:
    """Return what an officer who looks at a customer's page now has to do there, the most pressing first."""
    cases = Case.objects.filter(borrower_id=borrower_id, closed_at__isnull=True)
    kinds = set(cases.values_list("kind", flat=True))
    purpose = AccessRecord.Purpose
    if kinds & set(Case.ASKED):
        return purpose.REQUEST
    if Application.objects.filter(borrower_id=borrower_id, state=Application.State.REFERRED).exists():
        return purpose.DECISION
    if Loan.objects.filter(Q(days_past_due__gt=0), borrower_id=borrower_id, state=Loan.State.LIVE).exists():
        return purpose.ARREARS
    return purpose.CHECK if kinds else purpose.OTHER


def copy_of(borrower: Borrower) -> dict[str, Any]:
    """Return every row that names a customer, table by table, without what only proves or finds them."""
    tables: dict[str, Any] = {"customer": _readable(borrower)}
    for relation in Borrower._meta.related_objects:
        rows = relation.related_model._base_manager.filter(**{relation.field.name: borrower}).order_by("pk")
        if found := [_readable(row) for row in rows]:
            tables[str(relation.related_model._meta.verbose_name_plural)] = found
    return tables


def _readable(row: Model) -> dict[str, Any]:
    """Return the columns of a row as text."""
    shown = (field for field in row._meta.concrete_fields if field.name not in SECRET)
    return {field.name: _text(getattr(row, field.attname)) for field in shown}


def _text(value: Any) -> Any:
    if isinstance(value, datetime | date):
        return value.isoformat()
    return value if value is None or isinstance(value, int | float | bool | str | dict | list) else str(value)
