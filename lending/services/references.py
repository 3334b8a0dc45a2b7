"""Short codes that are said to customers."""

import secrets

from lending.models import Application, Case, Loan

# Read aloud over a bad line: no letter or digit that sounds or looks like another.
_SPOKEN = "23456789ACDEFHJKMNPRTWXY"


def new_reference() -> str:
    """Return a short code for the customer that nobody has yet; 24^6 values, and the column is unique."""
    return new_references(1)[0]


def new_references(count: int) -> list[str]:
    """Return so many short codes that nobody has yet."""
    found: set[str] = set()
    while len(found) < count:
        drawn = {"".join(secrets.choice(_SPOKEN) for _ in range(6)) for _ in range(count - len(found))}
        for kind in (Application, Loan, Case):
            drawn -= set(kind.objects.filter(reference__in=drawn).values_list("reference", flat=True))
        found |= drawn
    return list(found)
