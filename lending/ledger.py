"""The books: post() and reverse() are the only writers of entries.

Balance and append-only are enforced by PostgreSQL (triggers in the first migration), not by this file.
"""

from collections.abc import Sequence
from datetime import datetime

from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.db.models import Sum
from django.utils import timezone

from lending.models import Borrower, Checkpoint, Entry, Loan, Posting
from lending.rules import calendar
from lending.rules.accounting import Line


class UnbalancedPosting(AssertionError):
    """Debits and credits differ: a bug of ours, caught before PostgreSQL refuses it."""


class ReferenceReused(Exception):
    """The same reference arrived with other money. Nothing was posted."""

    def __init__(self, reference: str) -> None:
        super().__init__(f"posting {reference} exists with other legs or for another loan")
        self.reference = reference


def post(
    *,
    kind: str,
    reference: str,
    occurred_at: datetime,
    currency: str,
    lines: Sequence[Line],
    borrower: Borrower | None = None,
    loan: Loan | None = None,
    reverses: Posting | None = None,
) -> Posting:
    """Write one posting with its entries inside the caller's transaction.

    Repeats safely: a `reference` posted before returns the posting on record.

    Raises:
        UnbalancedPosting: the legs do not sum to zero.
        ReferenceReused: the reference is on record with other legs, or for another loan.
    """
    if sum(line.debit_cents - line.credit_cents for line in lines) or len(lines) < 2:
        raise UnbalancedPosting(f"{reference}: legs must balance, got {lines}")
    if known := Posting.objects.filter(reference=reference).first():
        return _same_or_refuse(known, loan, currency, lines)
    try:
        with transaction.atomic():
            posting = Posting.objects.create(
                kind=kind,
                reference=reference,
                borrower=borrower if borrower is not None else (loan.borrower if loan else None),
                loan=loan,
                reverses=reverses,
                occurred_at=occurred_at,
                business_date=calendar.business_date(occurred_at, settings.TIME_ZONE),
                booked_at=timezone.now(),
            )
            Entry.objects.bulk_create(
                Entry(
                    posting=posting,
                    account_id=line.account,
                    currency=currency,
                    debit_cents=line.debit_cents,
                    credit_cents=line.credit_cents,
                )
                for line in lines
            )
    except IntegrityError:
        # Somebody else posted the same event in this very moment; theirs counts.
        known = Posting.objects.filter(reference=reference).first()
        if known is None:
            raise
        return _same_or_refuse(known, loan, currency, lines)
    return posting


def _same_or_refuse(known: Posting, loan: Loan | None, currency: str, lines: Sequence[Line]) -> Posting:
    stored = sorted(known.entries.values_list("account_id", "currency", "debit_cents", "credit_cents"))
    told = sorted((line.account, currency, line.debit_cents, line.credit_cents) for line in lines)
    if stored != told or known.loan_id != (loan.id if loan else None):
        raise ReferenceReused(known.reference)
    return known


def reverse(posting: Posting, *, reference: str, occurred_at: datetime) -> Posting:
    """Undo a posting by its mirror image, which points to it. Reversing twice returns the first reversal."""
    if hasattr(posting, "reversed_by"):
        return posting.reversed_by
    entries = list(posting.entries.order_by("id"))
    return post(
        kind=Posting.Kind.REVERSAL,
        reference=reference,
        occurred_at=occurred_at,
        currency=entries[0].currency,
        lines=[Line(e.account_id, debit_cents=e.credit_cents, credit_cents=e.debit_cents) for e in entries],
        borrower=posting.borrower,
        loan=posting.loan,
        reverses=posting,
    )


def balance_cents(account: str, currency: str) -> int:
    """Return debits minus credits of an account: the last checkpoint plus the entries since."""
    checkpoint = Checkpoint.objects.filter(account_id=account, currency=currency).order_by("-last_entry_id").first()
    entries = Entry.objects.filter(account_id=account, currency=currency)
    before = 0
    if checkpoint:
        entries = entries.filter(id__gt=checkpoint.last_entry_id)
        before = checkpoint.debit_cents - checkpoint.credit_cents
    since = entries.aggregate(debits=Sum("debit_cents"), credits=Sum("credit_cents"))
    return before + (since["debits"] or 0) - (since["credits"] or 0)


def make_checkpoints(at: datetime) -> int:
    """Store each account's balance so that reading it stays cheap; return how many were written.

    Entries still being written by open transactions may carry lower ids than the newest one seen, so a
    checkpoint is taken under a lock that waits for them. Close of business calls this at night; only the
    entries since the last checkpoint are summed.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("LOCK TABLE lending_entry IN SHARE MODE")
        cursor.execute(CHECKPOINTS, {"at": at})
        return int(cursor.rowcount)


CHECKPOINTS = """
    WITH last AS (
        SELECT DISTINCT ON (account_id, currency) account_id, currency, last_entry_id, debit_cents, credit_cents
          FROM lending_checkpoint ORDER BY account_id, currency, last_entry_id DESC
    ), parts AS (
        SELECT account_id, currency, debit_cents, credit_cents FROM last
         UNION ALL
        SELECT entry.account_id, entry.currency, sum(entry.debit_cents), sum(entry.credit_cents)
          FROM lending_entry entry LEFT JOIN last USING (account_id, currency)
         WHERE entry.id > coalesce(last.last_entry_id, 0)
         GROUP BY entry.account_id, entry.currency
    )
    INSERT INTO lending_checkpoint (account_id, currency, last_entry_id, debit_cents, credit_cents, made_at)
    SELECT account_id, currency, (SELECT max(id) FROM lending_entry), sum(debit_cents), sum(credit_cents), %(at)s
      FROM parts GROUP BY account_id, currency
        ON CONFLICT DO NOTHING
"""
