"""Asking the customer's wallet for a repayment."""

from datetime import datetime, timedelta

from django.db import transaction

from lending import outbox
from lending.models import Loan, PaymentAttempt, PaymentIntent
from lending.rules import money
from lending.selectors import loans
from lending.services.people import lock_borrower
from lending.wake import wake

# The USSD session holds the lock that a prompt needs (Daraja 1001): let it go first.
AFTER_SESSION = timedelta(seconds=6)


class NoOpenLoan(Exception):
    """There is nothing to repay."""


class PromptPending(Exception):
    """A prompt is on its way already; a second one would collect twice."""


class InvalidRepayment(ValueError):
    """The amount is not payable on this rail."""

    def __init__(self, amount_cents: int, owed_cents: int) -> None:
        super().__init__(f"amount must be whole units from 1 to {owed_cents}, got {amount_cents}")
        self.amount_cents, self.owed_cents = amount_cents, owed_cents


@transaction.atomic
def request_repayment(*, borrower_id: int, amount_cents: int, origin: str, at: datetime) -> PaymentIntent:
    """Owe the customer's phone one prompt for this amount, a few seconds after the session has ended.

    Repeats safely: the same `origin` returns the intent on record.

    Raises:
        NoOpenLoan: nothing is owed.
        PromptPending: an earlier prompt is still open.
        InvalidRepayment: below one unit, not whole units, or more than is owed.
    """
    borrower = lock_borrower(borrower_id)
    key = f"collect:{origin}"
    if known := PaymentIntent.objects.filter(business_key=key).first():
        return known
    loan = Loan.objects.filter(borrower=borrower, state=Loan.State.LIVE).first()
    if loan is None:
        raise NoOpenLoan
    if loans.pending_prompt(borrower_id):
        raise PromptPending
    unit = money.currency(loan.currency).payable_cents
    if not unit <= amount_cents <= loan.outstanding_cents or amount_cents % unit:
        raise InvalidRepayment(amount_cents, loan.outstanding_cents)
    intent = PaymentIntent.objects.create(
        purpose=PaymentIntent.Purpose.COLLECT,
        business_key=key,
        provider="daraja",
        borrower=borrower,
        loan=loan,
        msisdn=borrower.msisdn,
        amount_cents=amount_cents,
        currency=loan.currency,
        due_at=at + AFTER_SESSION,
        created_at=at,
    )
    wake("lending.tasks.run_payments", queue="money", countdown=AFTER_SESSION.total_seconds())
    return intent


@transaction.atomic
def prompt_failed(*, attempt_id: int, code: str, text: str, at: datetime) -> None:
    """Tell the customer that no money was taken and how to pay otherwise. Repeats safely."""
    intent_id = PaymentAttempt.objects.values_list("intent_id", flat=True).get(id=attempt_id)
    outbox.write("repayment_not_made", reference=f"repayment_not_made:{intent_id}", intent_id=intent_id, at=at)
