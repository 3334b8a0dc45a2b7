"""Finding a customer by whatever an officer has at hand."""

import re

from django.db.models import Q, QuerySet

from lending.fields import blind_index
from lending.models import Application, Borrower, Loan, PaymentAttempt, Receipt

# Shorter pieces of a number or name would find half the country.
MIN_DIGITS, MIN_LETTERS = 5, 2


def find_borrowers(typed: str) -> "QuerySet[Borrower]":
    """Return the borrowers whom a phone number (in any form), national ID, name, loan or receipt points to.

    A national ID is found whole, through its blind index, and never by a part of it.
    """
    # PostgreSQL has no NUL in text.
    text = " ".join(typed.replace("\x00", "").split())[:80]
    if not text:
        return Borrower.objects.none()
    return Borrower.objects.filter(_by_name(text) | _by_number(text) | _by_document(text))


def the_borrower(typed: str) -> Borrower | None:
    """Return the one borrower whom the text points to; None when there is none or more than one."""
    found = list(find_borrowers(typed)[:2])
    return found[0] if len(found) == 1 else None


def _by_name(text: str) -> Q:
    if sum(char.isalpha() for char in text) < MIN_LETTERS:
        return Q(pk__in=[])
    named = Q()
    for word in text.split(" "):
        named &= Q(full_name__icontains=word)
    return named


def _by_number(text: str) -> Q:
    digits = re.sub(r"[\s\-+().]", "", text)
    if not (digits.isascii() and digits.isdigit()) or len(digits) < MIN_DIGITS:
        return Q(pk__in=[])
    # 0711..., 254711..., 00254711... and 711... are the same phone.
    return Q(msisdn__contains=digits.removeprefix("00").removeprefix("0")) | _by_national_id(digits)


def _by_national_id(text: str) -> Q:
    return Q(identity_index=blind_index("national_id", text.upper()))


def _by_document(text: str) -> Q:
    """Find by our reference, or by the number of a receipt or payout; national IDs may carry letters, too."""
    code = re.sub(r"[\s\-]", "", text).upper()
    return (
        Q(pk__in=Loan.objects.filter(reference=code).values("borrower"))
        | Q(pk__in=Application.objects.filter(reference=code).values("borrower"))
        | Q(pk__in=Receipt.objects.filter(receipt_no__iexact=code).values("borrower"))
        | Q(pk__in=PaymentAttempt.objects.filter(receipt_no__iexact=code).values("intent__borrower"))
        | _by_national_id(code)
    )
