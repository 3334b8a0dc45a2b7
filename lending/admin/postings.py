"""One posting as a table of its legs."""

from lending.admin import cells
from lending.models import Posting


def legs(posting: Posting) -> str:
    """Return the entries of a posting, debits first; they should be prefetched with their accounts."""
    entries = sorted(posting.entries.all(), key=lambda entry: (entry.credit_cents > 0, entry.id))
    return cells.table(
        ("Account", "Debit", "Credit"),
        (
            (
                entry.account.name,
                cells.shown(entry.debit_cents or None, entry.currency),
                cells.shown(entry.credit_cents or None, entry.currency),
            )
            for entry in entries
        ),
    )
