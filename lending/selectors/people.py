"""Reading about people."""

from lending.models import Borrower


def find_borrower(msisdn: str) -> Borrower | None:
    """Return who registered this number, if anybody did."""
    return Borrower.objects.filter(msisdn=msisdn).first()
