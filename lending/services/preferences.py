"""STOP and START, for one purpose or for all.

What the law requires or the customer's own act calls for is not stopped by it: receipts, key facts, the notice
before a record at a credit bureau.
"""

from collections.abc import Iterable
from datetime import datetime

from django.db import transaction

from lending.models import Preference
from lending.selectors.preferences import number_index

EVERY = tuple(Preference.Purpose.values)


@transaction.atomic
def stop(*, msisdn: str, at: datetime, purposes: Iterable[str] = EVERY) -> None:
    """Send a number nothing more that it did not ask for, registered or not. Repeats safely: the first day
    stands."""
    index = number_index(msisdn)
    for purpose in purposes:
        said, created = Preference.objects.get_or_create(
            number_index=index,
            purpose=Preference.Purpose(purpose),
            defaults={"stopped_at": at, "changed_at": at},
        )
        if not created:
            Preference.objects.filter(id=said.id, stopped_at__isnull=True).update(stopped_at=at, changed_at=at)


@transaction.atomic
def start(*, msisdn: str, at: datetime, purposes: Iterable[str] = EVERY) -> None:
    """Take a stop back. It is no consent to offers where none was given."""
    stopped = Preference.objects.filter(
        number_index=number_index(msisdn), purpose__in=list(purposes), stopped_at__isnull=False
    )
    stopped.update(stopped_at=None, changed_at=at)
