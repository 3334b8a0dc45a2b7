"""Rows in the books for a made-up data set: who asked for each loan, in which language, and what became of it."""

from datetime import UTC, datetime, timedelta

import numpy as np

from lending.models import Application, Borrower, CountryPack, Loan
from ml.data import Dataset
from ml.gate import Groups
from tests import factories
from tests.factories import NOON

PRINCIPAL, FEE, TAX = 50_000, 5_000, 1_000


def write(loans: Dataset, *, languages: Groups, at_once: int = 0) -> None:
    """Write loan after loan of a data set whose ids are numbers, three to a borrower.

    The borrowers of the last `at_once` loans registered in the same hour from one block of numbers; all others on a
    day and a block of their own.
    """
    product, pack = factories.usual_product(), CountryPack.objects.get(country="KE")
    place = np.arange(len(loans))
    false = place >= len(loans) - at_once
    whose = place // 3 + false
    people = Borrower.objects.bulk_create(
        _borrower(number, number in whose[false]) for number in range(whose.max() + 1)
    )
    applied = Application.objects.bulk_create(
        Application(
            id=int(key), borrower=people[whose[row]], product_version=product, country_pack=pack,
            origin=f"crowd:{key}", reference=f"C{key}", principal_cents=PRINCIPAL, fee_cents=FEE, tax_cents=TAX,
            apr=1, key_facts_text="", key_facts_language=str(languages[row]), key_facts_version="1",
            key_facts_shown_at=NOON, state="approved",
            submitted_at=datetime.fromtimestamp(int(loans.decided_at[row]), UTC),
        )
        for row, key in enumerate(loans.ids)
    )  # fmt: skip
    Loan.objects.bulk_create(
        Loan(
            borrower=one.borrower, application=one, product_version=product, country_pack=pack,
            reference=one.reference, identity_index=one.borrower.identity_index, currency="KES",
            principal_cents=PRINCIPAL, fee_cents=FEE, tax_cents=TAX, outstanding_cents=0, state="settled",
            approved_at=one.submitted_at, disbursed_at=one.submitted_at,
            settled_at=one.submitted_at + timedelta(30), due_on=(one.submitted_at + timedelta(30)).date(),
        )
        for one in applied
    )  # fmt: skip


def _borrower(number: int, at_once: bool) -> Borrower:
    msisdn = f"254799111{number % 1000:03d}" if at_once else f"2547{number:05d}000"
    return Borrower(
        msisdn=msisdn, msisdn_sha256="", full_name="Somebody", national_id=str(number),
        identity_index=f"id {number}", registered_at=NOON if at_once else NOON - timedelta(days=int(number) + 1),
    )  # fmt: skip


def half_and_half(loans: Dataset) -> Groups:
    return np.where(np.arange(len(loans)) % 2 == 0, "en", "sw")
