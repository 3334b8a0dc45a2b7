"""Loans under any terms, for tests of what time does to them: nobody decides and no operator is asked."""

from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import count
from typing import Any

from django.db import transaction

from lending.models import Application, Borrower, CountryPack, Loan, ProductVersion
from lending.selectors import contracts
from lending.services import life
from lending.services.people import lock_person
from tests import factories

_NUMBERS = count(1)
BRAKE = {
    "window_days": 14,
    "grace_days": 7,
    "least_loans": 50,
    "max_first_payment_default": "0.25",
    "max_expected_default": "0.12",
}
FEE_FREE = {
    "kind": "bullet",
    "currency": "KES",
    "min_cents": 1,
    "max_cents": 10**12,
    "term": {"installments": 1, "every": 30, "unit": "day"},
}


def product(terms: Mapping[str, Any], code: str = "") -> ProductVersion:
    """Return a product with these terms, of a country of its own, so that nobody is offered it."""
    number = next(_NUMBERS)
    return ProductVersion.objects.create(
        code=code or f"test-{number}",
        version=1,
        name=f"Test {number}",
        currency="KES",
        country="XX",
        effective_on="2024-01-01",
        proposed_by="maker",
        approved_on="2024-01-01",
        approved_by="checker",
        loss_brake=BRAKE,
        terms=FEE_FREE | terms,
        ladder_cents=[100_000],
    )


@transaction.atomic
def lend(version: ProductVersion, principal_cents: int, at: datetime, pack: CountryPack | None = None) -> Loan:
    """Return a loan that was paid out at a moment."""
    number = next(_NUMBERS)
    borrower: Borrower = factories.register(
        f"Amina {'I' * (number % 9)}", f"25471{number:07d}", f"3{number:07d}", at=at
    )
    agreed = {
        "borrower": borrower,
        "product_version": version,
        "country_pack": pack or CountryPack.objects.get(country="KE"),
        "reference": f"T{number:05d}",
        "principal_cents": principal_cents,
        "fee_cents": 0,
        "tax_cents": 0,
    }
    application = Application.objects.create(
        **agreed, origin=f"test:{number}", apr=0, key_facts_shown_at=at, submitted_at=at, state="approved"
    )
    loan = Loan.objects.create(
        **agreed,
        application=application,
        identity_index=borrower.identity_index,
        currency="KES",
        outstanding_cents=principal_cents,
        approved_at=at,
        disbursed_at=at,
    )
    happen(loan, "disburse", at, amount_cents=principal_cents)
    return loan


@transaction.atomic
def happen(loan: Loan, kind: str, at: datetime, **details: Any) -> Loan:
    """Let a fact happen to a loan."""
    loan = contracts.with_contract().get(id=loan.id)
    lock_person(loan.borrower)
    life.record(loan, key=f"{kind}:test:{next(_NUMBERS)}", kind=kind, happened_at=at, at=at, details=details)
    return loan


def noon(year: int, month: int, day: int) -> datetime:
    return datetime(year, month, day, 9, tzinfo=UTC)
