"""What a trader's book says, as it stood at any moment: nothing that was written or taken back later is seen."""

from calendar import monthrange
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime

from lending.models import BookEntry
from lending.prepared import Prepared
from lending.rules import business as rules


def entries(
    borrower_id: int, as_of: datetime, first: date | None = None, last: date | None = None
) -> list[rules.Entry]:
    """Return the lines of a book as they stood, in the order of writing, for days from `first` to `last`.

    A line that was taken back by then stands beside the line that takes it back, below zero: they cancel out.
    """
    rows = BookEntry.objects.filter(borrower_id=borrower_id, recorded_at__lte=as_of)
    if first is not None:
        rows = rows.filter(happened_on__gte=first)
    if last is not None:
        rows = rows.filter(happened_on__lte=last)
    return [_entry(row) for row in rows.order_by("id")]


def _entry(row: BookEntry) -> rules.Entry:
    sign = -1 if row.reverses_id else 1
    return rules.Entry(row.kind, sign * row.amount_cents, row.happened_on, row.customer)


def standing(borrower_id: int, as_of: datetime, before: BookEntry | None = None) -> list[rules.Entry]:
    """Return the lines that stood, without those that were taken back by then; only those `before` a line."""
    found = BookEntry.objects.filter(borrower_id=borrower_id, recorded_at__lte=as_of)
    rows = list((found.filter(id__lt=before.pk) if before else found).order_by("id"))
    undone = {row.reverses_id for row in rows if row.reverses_id}
    return [_entry(row) for row in rows if not row.reverses_id and row.pk not in undone]


def last_standing(borrower_id: int, on: date) -> BookEntry | None:
    """Return the newest line of a day that was not taken back."""
    rows = BookEntry.objects.filter(borrower_id=borrower_id, happened_on=on, reverses=None, reversed_by=None)
    return rows.order_by("-id").first()


def day(borrower_id: int, on: date, as_of: datetime) -> rules.Totals:
    """Return what a day came to."""
    return rules.totals(map(_entry, _OF_DAY.all(borrower_id=borrower_id, as_of=as_of, on=on)))


_OF_DAY: Prepared[BookEntry] = Prepared(
    lambda borrower_id, as_of, on: BookEntry.objects.filter(
        borrower_id=borrower_id, recorded_at__lte=as_of, happened_on=on
    ).order_by("id"),
    borrower_id=int,
    as_of=datetime,
    on=date,
)


@dataclass(frozen=True)
class Month:
    """What a month came to so far, its best day, and what customers owe at the moment of asking."""

    first: date
    totals: rules.Totals
    best_day: tuple[date, int] | None
    owed_cents: int


def month(borrower_id: int, on: date, as_of: datetime) -> Month:
    """Return the month of a day."""
    first = on.replace(day=1)
    found = entries(borrower_id, as_of, first, on.replace(day=monthrange(on.year, on.month)[1]))
    owed_cents = sum(owed(borrower_id, as_of).values())
    return Month(first, rules.totals(found), rules.best_day(found), owed_cents)


def owed(borrower_id: int, as_of: datetime) -> dict[str, int]:
    """Return what each customer owes, the largest debt first."""
    return rules.owed(map(_entry, _OF_CUSTOMERS.all(borrower_id=borrower_id, as_of=as_of)))


_OF_CUSTOMERS: Prepared[BookEntry] = Prepared(
    lambda borrower_id, as_of: BookEntry.objects.filter(
        borrower_id=borrower_id, recorded_at__lte=as_of, kind__in=BookEntry.OF_CUSTOMERS
    ).order_by("id"),
    borrower_id=int,
    as_of=datetime,
)


def weeks(borrower_id: int, as_of: datetime, first: date | None = None) -> dict[date, rules.Totals]:
    """Return what each week came to as it stood at a moment, by its Monday: what a feature may be made of.

    A week all of whose lines were taken back was not written down.
    """
    return {
        monday: totals
        for monday, totals in rules.by_week(_but_counts(entries(borrower_id, as_of, first))).items()
        if totals != rules.Totals()
    }


def _but_counts(found: Iterable[rules.Entry]) -> Iterable[rules.Entry]:
    return (entry for entry in found if entry.kind != rules.CASH_COUNTED)
