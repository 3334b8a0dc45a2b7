"""Agreements, one purpose at a time, given and taken back at the customer's word.

Source: docs/domain/data_rights.md, "What each agreement is for".
"""

from datetime import datetime

from django.db import transaction

from lending.models import Borrower, Consent
from lending.services import audit

# What can be taken back by itself. Without leave to keep data at all there is no account: that is erasing.
WITHDRAWABLE = (
    Consent.Purpose.SCORING,
    Consent.Purpose.WALLET,
    Consent.Purpose.BUREAU,
    Consent.Purpose.SAVINGS,
    Consent.Purpose.MARKETING,
)


def record(
    borrower: Borrower, purpose: str, granted: bool, text_version: str, language: str, at: datetime
) -> Consent:
    """Write an answer down inside the caller's transaction; it replaces the one in force."""
    Consent.objects.filter(borrower=borrower, purpose=purpose, withdrawn_at__isnull=True).update(withdrawn_at=at)
    return Consent.objects.create(
        borrower=borrower,
        purpose=purpose,
        granted=granted,
        text_version=text_version,
        language=language,
        given_at=at,
    )


@transaction.atomic
def answer(
    *, borrower_id: int, purpose: str, granted: bool, text_version: str, language: str, at: datetime
) -> Consent:
    """Give or take back one agreement. Repeats safely: the same answer again stands as it was given.

    Raises:
        ValueError: this agreement cannot be answered by itself.
    """
    if purpose not in WITHDRAWABLE:
        raise ValueError(f"purpose must be one of {', '.join(WITHDRAWABLE)}, got {purpose!r}")
    # The whole person is locked by nobody here: an agreement belongs to a number.
    borrower = Borrower.objects.select_for_update(no_key=True).get(id=borrower_id)
    known = Consent.objects.filter(borrower=borrower, purpose=purpose, withdrawn_at__isnull=True).first()
    if known is not None and known.granted == granted:
        return known
    given = record(borrower, purpose, granted, text_version, language, at)
    audit.record(
        "consent_given" if granted else "consent_withdrawn",
        subject=f"borrower:{borrower.id}",
        borrower=borrower,
        at=at,
        purpose=purpose,
    )
    return given
