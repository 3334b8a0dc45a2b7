"""All that the first look at a customer needs, in one question.

Most of what a conversation asks about somebody has the answer "nothing": no loan, nothing undecided, no movement
within the hour. One query says for which of these there is something to read.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import Exists, OuterRef, QuerySet, Subquery

from lending.models import Borrower, Draw, Loan, ProductVersion, Receipt
from lending.prepared import Prepared
from lending.selectors import limits, loans, offers, products


@dataclass(frozen=True)
class Glance:
    """A registered number, and what there is to read about it.

    `has_loan`: the person behind it has one, on whichever number; `moved`: money came or went since the moment
    that was asked about; `last_choice`: see `offers.last_choice`.
    """

    borrower: Borrower
    has_loan: bool
    is_undecided: bool
    raise_waits: bool
    moved: bool
    brakes: Sequence[str]
    versions: Sequence[int]
    last_choice: tuple[str, str]

    def is_paused(self, code: str) -> bool:
        """Say whether new approvals of a product rest."""
        return not {limits.brake_subject(code), limits.ALL_PRODUCTS}.isdisjoint(self.brakes)

    def products(self, country: str, on: date) -> Sequence[ProductVersion]:
        """Return the newest effective version of each product that the phone offers, in its order."""
        return products.offered(self.versions, country, on)


def glance(msisdn: str, since: datetime) -> Glance | None:
    """Return what there is about whoever registered this number; None: nobody did."""
    return as_glance(GLANCE.first(msisdn=msisdn, since=since))


def as_glance(found: Any) -> Glance | None:
    """Return what a row of `GLANCE` says."""
    if found is None:
        return None
    return Glance(
        found,
        has_loan=found.has_loan,
        is_undecided=found.is_undecided,
        raise_waits=found.raise_waits,
        moved=found.was_paid_out or found.drew or found.paid,
        brakes=found.brakes,
        versions=found.versions,
        last_choice=offers.as_choice(found.choice),
    )


def _glance(msisdn: str, since: datetime) -> "QuerySet[Borrower]":
    me = OuterRef("pk")
    return Borrower.objects.filter(msisdn=msisdn).annotate(
        has_loan=Exists(loans.loans_of(OuterRef("identity_index"))),
        is_undecided=Exists(loans.undecided_applications(me)),
        raise_waits=limits.raise_waits(me),
        was_paid_out=Exists(Loan.objects.filter(borrower=me, disbursed_at__gte=since)),
        drew=Exists(Draw.objects.filter(loan__borrower=me, paid_out_at__gte=since)),
        paid=Exists(Receipt.objects.filter(borrower=me, paid_at__gte=since)),
        brakes=ArraySubquery(limits.OPEN_BRAKES.values("subject_key")),
        versions=ArraySubquery(ProductVersion.objects.order_by("id").values("id")),
        choice=Subquery(offers.last_asked(me)),
    )


# To be asked together with something else; `glance` asks it alone.
GLANCE: Prepared[Borrower] = Prepared(_glance, msisdn=str, since=datetime)
