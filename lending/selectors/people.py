"""Reading about people."""

from datetime import datetime

from lending.models import Borrower, Consent, WalletMovement


def find_borrower(msisdn: str) -> Borrower | None:
    """Return who registered this number, if anybody did."""
    return Borrower.objects.filter(msisdn=msisdn).first()


def consents_to(borrower: Borrower, purpose: str) -> bool:
    """Say whether the borrower's agreement to a purpose is in force."""
    return Consent.objects.filter(
        borrower=borrower, purpose=purpose, granted=True, withdrawn_at__isnull=True
    ).exists()


def has_wallet_flow(borrower: Borrower, since: datetime) -> bool:
    """Say whether anything is known of the borrower's wallet after a moment."""
    return WalletMovement.objects.filter(borrower=borrower, moved_at__gte=since).exists()
