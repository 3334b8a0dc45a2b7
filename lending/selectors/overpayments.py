"""What is kept for customers who paid too much: by loan, and by receipt where there was no loan to repay."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import Q, Sum
from django.db.models.functions import Coalesce

from lending.models import Loan, PaymentAttempt, Receipt, Refund, RefundPart
from lending.rules import money
from lending.rules.refunds import Split, split
from lending.selectors import products


@dataclass(frozen=True)
class Kept:
    """What one loan or receipt keeps for a person and no refund speaks for; below zero, too much was given back."""

    source: Loan | Receipt
    cents: int


# A repayment that was undone keeps nothing: its receipt went elsewhere.
_STANDS = Q(repayments__event__reversed_by__isnull=True)
_BESIDE_ANY_LOAN = Q(repayment__isnull=True) | Q(repayment__event__reversed_by__isnull=False)


def kept(identity_index: str) -> list[Kept]:
    """Return what is kept for a person, the oldest loan first, whichever of their numbers it came from."""
    return [one for one in (*_by_loans(identity_index), *_by_receipts(identity_index)) if one.cents]


def kept_cents(identity_index: str) -> int:
    """Return what can be given back to a person now."""
    return sum(one.cents for one in kept(identity_index))


def open_refund(identity_index: str) -> Refund | None:
    """Return the refund of a person that is on its way; there is one at most."""
    return Refund.objects.filter(identity_index=identity_index, state=Refund.State.OPEN).first()


def payout_receipt(refund: Refund) -> str:
    """Return the operator's number of the payout that brought a refund; empty before it did."""
    done = PaymentAttempt.objects.filter(intent__refund=refund, state=PaymentAttempt.State.SUCCEEDED)
    return done.values_list("receipt_no", flat=True).first() or ""


def ways_out(identity_index: str) -> Split:
    """Return what of the kept money a wallet can get, what is too small and closed, and what stays."""
    latest = Loan.objects.filter(identity_index=identity_index).order_by("-approved_at", "-id")
    loan = latest.select_related("product_version").first()
    tolerance = products.terms_of(loan.product_version).closing_tolerance_cents if loan else 0
    found = kept(identity_index)
    unit = money.currency(found[0].source.currency).payable_cents if found else 1
    return split(sum(one.cents for one in found), unit, tolerance)


def _by_loans(identity_index: str) -> list[Kept]:
    loans = Loan.objects.filter(identity_index=identity_index).annotate(
        received=Coalesce(Sum("repayments__receipt__over_cents", filter=_STANDS), 0)
    )
    away = _spoken_for("loan", identity_index, [Refund.State.OPEN])  # what was given back, a loan has counted
    return [Kept(loan, loan.over_cents + loan.received - away.get(loan.id, 0)) for loan in loans.order_by("id")]


def _by_receipts(identity_index: str) -> list[Kept]:
    mine = Receipt.objects.filter(_BESIDE_ANY_LOAN, borrower__identity_index=identity_index)
    away = _spoken_for("receipt", identity_index, Refund.SPOKEN_FOR)
    receipts = mine.filter(Q(over_cents__gt=0) | Q(id__in=away))
    return [Kept(one, one.over_cents - away.get(one.id, 0)) for one in receipts.order_by("id")]


def _spoken_for(source: str, identity_index: str, states: Sequence[str]) -> dict[int, int]:
    """Return how much of each loan or receipt a person's refunds in these states are taken from."""
    parts = RefundPart.objects.filter(
        refund__identity_index=identity_index, refund__state__in=states, **{f"{source}__isnull": False}
    )
    return dict(parts.values_list(source).annotate(cents=Sum("amount_cents")))
