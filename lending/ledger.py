"""The books: post(), post_new() and reverse() are the only writers of entries.

Balance and append-only are enforced by PostgreSQL (triggers in the first migration), not by this file.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Any

from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from lending import copying
from lending.models import Borrower, Entry, Loan, Posting
from lending.rules import calendar
from lending.rules.accounting import Line

# How long a checkpoint waits for those who are writing; payments take a few milliseconds.
PATIENCE_SECONDS = 2.0


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
    event_key: str = "",
    reverses: Posting | None = None,
) -> Posting:
    """Write one posting with its entries inside the caller's transaction.

    What happened in a period that is closed already is booked on the first open day, with its own `occurred_at`.
    Repeats safely: a `reference` posted before returns the posting on record.

    Raises:
        UnbalancedPosting: the legs do not sum to zero.
        ReferenceReused: the reference is on record with other legs, or for another loan.
    """
    _refuse_unbalanced(reference, lines)
    if known := Posting.objects.filter(reference=reference).first():
        return _same_or_refuse(known, loan, currency, lines)
    try:
        with transaction.atomic():
            posting = Posting.objects.create(
                kind=kind,
                reference=reference,
                borrower=borrower if borrower is not None else (loan.borrower if loan else None),
                loan=loan,
                event_key=event_key,
                reverses=reverses,
                occurred_at=occurred_at,
                business_date=open_day(calendar.business_date(occurred_at, settings.TIME_ZONE)),
                booked_at=timezone.now(),
            )
            Entry.objects.bulk_create(_entries(posting, currency, lines))
    except IntegrityError:
        # Somebody else posted the same event in this very moment; theirs counts.
        known = Posting.objects.filter(reference=reference).first()
        if known is None:
            raise
        return _same_or_refuse(known, loan, currency, lines)
    return posting


def post_new(drafts: Sequence[Mapping[str, Any]]) -> None:
    """Write postings of which none is on record, each told as `post` is, all of them by COPY.

    Raises:
        UnbalancedPosting: legs of one do not sum to zero.
        IntegrityError: a reference is on record.
    """
    first, now, zone = open_day(date.min), timezone.now(), settings.TIME_ZONE
    postings, entries = [], []
    for number, draft in zip(_reserved(len(drafts)), drafts, strict=True):
        _refuse_unbalanced(draft["reference"], draft["lines"])
        at, loan, currency = draft["occurred_at"], draft["loan"], draft["currency"]
        on = max(first, calendar.business_date(at, zone))
        event_key = draft.get("event_key", "")
        postings.append(
            (number, draft["kind"], draft["reference"], loan.borrower_id, loan.id, event_key, None, at, on, now)
        )
        entries += [
            (number, line.account, currency, line.debit_cents, line.credit_cents) for line in draft["lines"]
        ]
    copying.rows(Posting, POSTING, postings)
    copying.rows(Entry, ENTRY, entries)


POSTING = (
    "id", "kind", "reference", "borrower_id", "loan_id", "event_key", "reverses_id", "occurred_at", "business_date",
    "booked_at",
)  # fmt: skip
ENTRY = ("posting_id", "account_id", "currency", "debit_cents", "credit_cents")


def _reserved(count: int) -> list[int]:
    """Return ids for postings; whoever makes a checkpoint or chains postings waits for them from now on."""
    with connection.cursor() as cursor:
        cursor.execute("LOCK TABLE lending_posting, lending_entry IN ROW EXCLUSIVE MODE")
    return copying.reserve(Posting, count)


def _refuse_unbalanced(reference: str, lines: Sequence[Line]) -> None:
    if sum(line.debit_cents - line.credit_cents for line in lines) or len(lines) < 2:
        raise UnbalancedPosting(f"{reference}: legs must balance, got {lines}")


def _entries(posting: Posting, currency: str, lines: Sequence[Line]) -> Iterator[Entry]:
    for line in lines:
        yield Entry(
            posting=posting,
            account_id=line.account,
            currency=currency,
            debit_cents=line.debit_cents,
            credit_cents=line.credit_cents,
        )


def open_day(on: date) -> date:
    """Return the date or, if its period is closed, the first open one; it stays open until we commit."""
    with connection.cursor() as cursor:
        # The lock that an INSERT takes anyway: whoever closes a period waits for it.
        cursor.execute(
            "LOCK TABLE lending_posting IN ROW EXCLUSIVE MODE;"
            " SELECT greatest(%s, max(last_on) + 1) FROM lending_periodclosing",
            [on],
        )
        day: date = cursor.fetchone()[0]
        return day


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
        event_key=posting.event_key,
        reverses=posting,
    )


def balance_cents(account: str, currency: str) -> int:
    """Return debits minus credits of an account: its checkpoints plus the entries since the last of all."""
    with connection.cursor() as cursor:
        cursor.execute(BALANCE, {"account": account, "currency": currency})
        return int(cursor.fetchone()[0])


BALANCE = """
    SELECT coalesce(sum(debit_cents - credit_cents), 0) FROM (
           SELECT debit_cents, credit_cents FROM lending_checkpoint
            WHERE account_id = %(account)s AND currency = %(currency)s
            UNION ALL
           SELECT debit_cents, credit_cents FROM lending_entry
            WHERE account_id = %(account)s AND currency = %(currency)s
              AND id > (SELECT coalesce(max(last_entry_id), 0) FROM lending_checkpoint)
    ) part
"""


def make_checkpoints(at: datetime) -> int:
    """Store what each account moved on each business date since the last checkpoint, so that reading balances
    stays cheap; return how many were written.

    Close of business calls this at night. Nobody who writes entries waits for it. When they do not come to an
    end, nothing is written and the next night sums a little more.
    """
    upto = settled_id("lending_entry")
    with transaction.atomic(), connection.cursor() as cursor:
        # Two at once would count the same entries twice; readers and writers of entries do not notice.
        cursor.execute("LOCK TABLE lending_checkpoint IN SHARE ROW EXCLUSIVE MODE")
        cursor.execute(CHECKPOINTS, {"upto": upto, "at": at})
        return int(cursor.rowcount)


CHECKPOINTS = """
    INSERT INTO lending_checkpoint
           (account_id, currency, business_date, last_entry_id, debit_cents, credit_cents, made_at)
    SELECT account_id, currency, business_date, %(upto)s, sum(debit_cents), sum(credit_cents), %(at)s
      FROM lending_entry entry JOIN lending_posting posting ON posting.id = entry.posting_id
     WHERE entry.id > (SELECT coalesce(max(last_entry_id), 0) FROM lending_checkpoint) AND entry.id <= %(upto)s
     GROUP BY account_id, currency, business_date
"""


def settled_id(table: str) -> int:
    """Return the highest id of a table below which no row can appear any more, 0 if its writers take too long.

    Ids are given out before their rows are committed, so a lower id may still come from whoever is writing
    right now. They are waited for without a lock of our own: behind one, all later writers would queue.
    """
    until = time.monotonic() + PATIENCE_SECONDS
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT coalesce(max(id), 0) FROM {table}")  # noqa: S608 - a name of ours
        newest = int(cursor.fetchone()[0])
        writers = writing = _writers(cursor, table)
        while writers & writing:
            if time.monotonic() > until:
                return 0
            time.sleep(0.01)
            writing = _writers(cursor, table)
    return newest


def _writers(cursor: Any, table: str) -> set[str]:
    """Return the other transactions that have written to a table and have not ended."""
    cursor.execute(
        """
        SELECT virtualtransaction FROM pg_locks
         WHERE relation = %s::regclass AND mode = 'RowExclusiveLock' AND pid <> pg_backend_pid()
           AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
        """,
        [table],
    )
    return {transaction_id for (transaction_id,) in cursor.fetchall()}
