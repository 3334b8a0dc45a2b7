"""Writing in a trader's book: by USSD or SMS alike, once per `origin`, and never changed afterwards.

Source: docs/domain/business.md.
"""

from datetime import datetime

from django.conf import settings
from django.db import transaction

from lending.models import BookEntry
from lending.rules import business as rules
from lending.rules import calendar
from lending.selectors import business as selectors
from lending.selectors import products
from lending.services.people import lock_borrower


class BookRefused(ValueError):
    """It cannot be a line of a book: the amount, or who owes, is missing or impossible."""


class NothingOwed(Exception):
    """The customer owes less than they are said to have paid; `owed_cents` is what they owe."""

    def __init__(self, owed_cents: int) -> None:
        super().__init__(f"owes {owed_cents} cents")
        self.owed_cents = owed_cents


class NothingToUndo(Exception):
    """Nothing was written today that is not taken back."""


@transaction.atomic
def write(
    *,
    borrower_id: int,
    kind: str,
    amount_cents: int,
    origin: str,
    at: datetime,
    customer: str = "",
    note: str = "",
) -> BookEntry:
    """Write one line for today. Repeats safely: the same `origin` is the same line.

    Raises:
        BookRefused: no such kind, an amount that is none, or no customer where one owes or pays.
        NothingOwed: the customer owes less.
    """
    lock_borrower(borrower_id)
    if known := BookEntry.objects.filter(origin=origin).first():
        return known
    customer = " ".join(customer.split())[:30]
    of_customer = kind in BookEntry.OF_CUSTOMERS
    least = 0 if kind == rules.CASH_COUNTED else 1
    if kind not in BookEntry.Kind.values or not least <= amount_cents <= rules.MOST_CENTS:
        raise BookRefused(f"need {least} to {rules.MOST_CENTS} cents of a known kind, got {amount_cents} of {kind}")
    if bool(customer) != of_customer:
        raise BookRefused(f"{kind} needs {'a' if of_customer else 'no'} customer, got {customer!r}")
    if kind == rules.CREDIT_PAID:
        customer = _debtor(borrower_id, customer, amount_cents, at)
    on = calendar.business_date(at, settings.TIME_ZONE)
    return BookEntry.objects.create(
        borrower_id=borrower_id,
        kind=kind,
        amount_cents=amount_cents,
        currency=products.country_rules(settings.COUNTRY, on).currency,
        happened_on=on,
        customer=customer,
        note=note[:40],
        origin=origin,
        recorded_at=at,
    )


def _debtor(borrower_id: int, customer: str, amount_cents: int, at: datetime) -> str:
    """Return a customer's name as it is in the book, if they owe as much as they paid."""
    for known, owed_cents in selectors.owed(borrower_id, at).items():
        if rules.same_customer(known) == rules.same_customer(customer):
            if amount_cents > owed_cents:
                raise NothingOwed(owed_cents)
            return known
    raise NothingOwed(0)


@transaction.atomic
def undo_last(*, borrower_id: int, origin: str, at: datetime) -> BookEntry:
    """Take back the newest line of today that stands; return the line that was taken back.

    Repeats safely: the same `origin` takes back once.

    Raises:
        NothingToUndo: nothing was written today, or all of it is taken back.
    """
    lock_borrower(borrower_id)
    if known := BookEntry.objects.filter(origin=origin).select_related("reverses").first():
        assert known.reverses is not None, f"{origin} wrote a line and took none back"
        return known.reverses
    last = selectors.last_standing(borrower_id, calendar.business_date(at, settings.TIME_ZONE))
    if last is None:
        raise NothingToUndo
    BookEntry.objects.create(
        borrower_id=borrower_id,
        kind=last.kind,
        amount_cents=last.amount_cents,
        currency=last.currency,
        happened_on=last.happened_on,
        customer=last.customer,
        reverses=last,
        origin=origin,
        recorded_at=at,
    )
    return last


@transaction.atomic
def close_day(*, borrower_id: int, counted_cents: int, origin: str, at: datetime) -> rules.Count:
    """Keep the cash that was counted, and say what the book expected. Repeats safely.

    The first count begins the tin: nothing is expected before it.

    Raises:
        BookRefused: the amount is impossible.
    """
    lock_borrower(borrower_id)
    counted = write(
        borrower_id=borrower_id, kind=rules.CASH_COUNTED, amount_cents=counted_cents, origin=origin, at=at
    )
    before = selectors.standing(borrower_id, at, before=counted)
    return rules.Count(counted.amount_cents, rules.expected_cash(before))
