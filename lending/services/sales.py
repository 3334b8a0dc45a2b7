"""Cash advances: a day's sales, as a partner's till or settlement tells them, make a share fall due.

Source: docs/domain/products.md, "Cash advance".
"""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from django.conf import settings
from django.db import transaction

from lending.models import Loan, LoanEvent
from lending.rules import calendar
from lending.selectors import contracts, products
from lending.services import audit, life
from lending.services.people import lock_person


class SalesRefused(Exception):
    """These sales mean nothing for this loan. The text says why."""


class ToldOtherwise(Exception):
    """The same settlement was told before with another amount or day: it has to be reversed first."""


@dataclass(frozen=True)
class Recorded:
    """A day's sales on record, and the share of them that fell due."""

    event: LoanEvent
    share_cents: int


@transaction.atomic
def record_sales(
    *, loan_id: int, sales_cents: int, sold_on: date, source: str, reference: str, at: datetime, actor: Any = None
) -> Recorded:
    """Record a day's sales of who took a cash advance; their share falls due on that day.

    The money comes by itself, as a receipt. `source` and `reference` name the settlement ("till-7", "2026-03-05"):
    the same one counts once, whenever it is told again. A day that is told late is played in its place.

    Raises:
        SalesRefused: no cash advance, not paid out by that day, over by now, a day to come, an amount below zero.
        ToldOtherwise: the settlement is on record with another amount or day.
    """
    loan = contracts.with_contract().get(id=loan_id)
    lock_person(loan.borrower)
    loan.refresh_from_db()
    key = f"sales:{loan.id}:{source}:{reference}"
    if known := LoanEvent.objects.filter(key=key).first():
        if (known.business_date, known.details["amount_cents"]) != (sold_on, sales_cents):
            raise ToldOtherwise(f"{reference} of {source} was {known.details['amount_cents']} cents")
        return Recorded(known, _share(loan, key))
    _refuse(loan, sales_cents, sold_on, at)
    life.record(
        loan,
        key=key,
        kind=LoanEvent.Kind.SALES,
        happened_at=min(at, calendar.end_of(sold_on, settings.TIME_ZONE)),
        at=at,
        details={"amount_cents": sales_cents},
        actor=actor,
    )
    audit.record("sales_recorded", subject=f"loan:{loan.id}", borrower=loan.borrower, actor=actor, at=at, key=key)
    return Recorded(LoanEvent.objects.get(key=key), _share(loan, key))


def _refuse(loan: Loan, sales_cents: int, sold_on: date, at: datetime) -> None:
    today = calendar.business_date(at, settings.TIME_ZONE)
    if products.terms_of(loan.product_version).kind != "sales_share":
        raise SalesRefused(f"loan {loan.reference} is no cash advance")
    if loan.disbursed_at is None or sold_on < calendar.business_date(loan.disbursed_at, settings.TIME_ZONE):
        raise SalesRefused(f"loan {loan.reference} was not paid out on {sold_on}")
    if loan.state != Loan.State.LIVE:
        raise SalesRefused(f"loan {loan.reference} is {loan.get_state_display().lower()}")
    if sold_on > today:
        raise SalesRefused(f"{sold_on} is yet to come")
    if sales_cents < 0:
        raise SalesRefused(f"sales must be 0 cents or more, got {sales_cents}")


def _share(loan: Loan, key: str) -> int:
    return sum(item.total_cents for item in loan.installments.filter(event_key=key))
