"""The person who may tell us that a customer has died: named by the customer, agreed from their own phone.

Source: docs/domain/people.md, "Next of kin".
"""

from datetime import datetime

from django.conf import settings
from django.db import transaction

from lending import outbox
from lending.models import Borrower, NextOfKin
from lending.rules import calendar, identity
from lending.selectors import products
from lending.selectors.preferences import number_index
from lending.services import audit


class OwnNumber(ValueError):
    """Nobody is their own next of kin."""


@transaction.atomic
def name_kin(*, borrower_id: int, name: str, number: str, at: datetime) -> NextOfKin:
    """Keep whom a customer names, in place of an earlier one, and ask that person by SMS.

    Repeats safely: the same person again is the one on record.

    Raises:
        InvalidName, InvalidNumber: what was typed cannot be taken.
        OwnNumber: it is the customer's own.
    """
    law = products.country_rules(settings.COUNTRY, calendar.business_date(at, settings.TIME_ZONE))
    clean = identity.clean_name(name)
    msisdn = identity.clean_number(number, law.dialling_prefix)
    borrower = Borrower.objects.select_for_update(no_key=True).get(id=borrower_id)
    if msisdn == borrower.msisdn:
        raise OwnNumber("that is the customer's own number")
    known = NextOfKin.objects.filter(borrower=borrower, ended_at__isnull=True).first()
    if known is not None and (known.name, known.msisdn) == (clean, msisdn):
        return known
    _end(borrower, at)
    kin = NextOfKin.objects.create(
        borrower=borrower, name=clean, msisdn=msisdn, number_index=number_index(msisdn), named_at=at
    )
    audit.record("next_of_kin_named", subject=f"borrower:{borrower_id}", borrower=borrower, at=at)
    outbox.write("kin_asked", reference=f"kin_asked:{kin.id}", at=at, kin_id=kin.id)
    return kin


@transaction.atomic
def take_back(*, borrower_id: int, at: datetime) -> None:
    """Name nobody any more. Repeats safely."""
    _end(Borrower.objects.select_for_update(no_key=True).get(id=borrower_id), at)


def _end(borrower: Borrower, at: datetime) -> None:
    """End who is named; their name and number are nobody's business any more."""
    NextOfKin.objects.filter(borrower=borrower, ended_at__isnull=True).update(ended_at=at, name="", msisdn="")


@transaction.atomic
def answer(*, msisdn: str, agreed: bool, at: datetime) -> bool:
    """Take the word of a number that was asked; False when nobody had asked it."""
    asked = NextOfKin.objects.filter(
        number_index=number_index(msisdn), agreed_at__isnull=True, ended_at__isnull=True
    )
    if agreed:
        return bool(asked.update(agreed_at=at))
    return bool(asked.update(ended_at=at, name="", msisdn=""))
