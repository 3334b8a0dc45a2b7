"""The hash chain over postings: what was in the books can be changed later only visibly.

Each posting is chained in the order of ids behind those who write them, so nobody who pays ever waits for it.
Its hash is SHA-256 over the hash before (32 zero bytes before the first) and the posting's content in UTF-8.
A changed, removed or slipped-in posting breaks the chain where it is, and `audit_books` names it. Who rewrites
the whole chain as well is found by a head that an auditor has noted: docs/domain/accounting.md, "The chain".
"""

from dataclasses import dataclass

from django.db import connection

from lending.ledger import settled_id
from lending.models import PostingHash

GENESIS = bytes(32)
# Each batch is one short transaction.
BATCH = 10_000

# A JSON array of all that a posting says, its entries in the order of their ids; written by PostgreSQL alone.
CONTENT = """
    SELECT posting.id AS posting_id, json_build_array(
               posting.id, posting.kind, posting.reference,
               posting.borrower_id, posting.loan_id, posting.reverses_id,
               to_char(posting.occurred_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
               posting.business_date,
               to_char(posting.booked_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
               json_agg(json_build_array(entry.id, account_id, currency, debit_cents, credit_cents)
                        ORDER BY entry.id) FILTER (WHERE entry.id IS NOT NULL)
           )::text AS content
      FROM lending_posting posting LEFT JOIN lending_entry entry ON entry.posting_id = posting.id
"""

NEXT = """
    SELECT max(id) FROM (
           SELECT id FROM lending_posting WHERE id > %(after)s AND id <= %(upto)s ORDER BY id LIMIT %(batch)s
    ) batch
"""
# The chain is a function of the postings: two who extend it at once write the same rows.
EXTEND = f"""
    INSERT INTO lending_postinghash (posting_id, hash)
    SELECT posting_id, lending_chain(%(hash)s, content) OVER (ORDER BY posting_id)
      FROM ({CONTENT} WHERE posting.id > %(after)s AND posting.id <= %(last)s GROUP BY posting.id) batch
        ON CONFLICT DO NOTHING
"""  # noqa: S608 - made of texts above


@dataclass(frozen=True)
class Head:
    """Where the chain ends: how many postings it holds, the last of them, and the hash that stands for all."""

    postings: int
    posting_id: int
    hash: bytes


def extend() -> int:
    """Chain every posting that is not chained yet and below which none can appear; return how many.

    Repeats safely, by any number of workers at once.
    """
    upto = settled_id("lending_posting")
    chained = 0
    with connection.cursor() as cursor:
        while True:
            after, known = _end()
            cursor.execute(NEXT, {"after": after, "upto": upto, "batch": BATCH})
            last = cursor.fetchone()[0]
            if last is None:
                return chained
            cursor.execute(EXTEND, {"after": after, "last": last, "hash": known})
            chained += cursor.rowcount


def _end() -> tuple[int, bytes]:
    last = PostingHash.objects.order_by("-posting_id").first()
    return (last.posting_id, bytes(last.hash)) if last else (0, GENESIS)


def head() -> Head:
    """Return the end of the chain, for an auditor to note."""
    return Head(PostingHash.objects.count(), *_end())


def still_holds(posting_id: int, noted: bytes) -> bool:
    """Say whether a head that was noted earlier is still part of the chain."""
    known = PostingHash.objects.filter(posting_id=posting_id).first()
    return known is not None and bytes(known.hash) == noted
