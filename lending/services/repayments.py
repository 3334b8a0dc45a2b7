"""Asking a wallet for a repayment: the borrower's own, or that of somebody who pays for them."""

from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction

from lending import outbox
from lending.models import AuditEvent, Borrower, Loan, PaymentAttempt, PaymentIntent
from lending.rules import calendar, money
from lending.selectors import loans, people, products
from lending.services import audit
from lending.services.people import lock_person
from lending.wake import wake

# The USSD session holds the lock that a prompt needs (Daraja 1001): let it go first.
AFTER_SESSION = timedelta(seconds=6)
# Whoever pays for others knows their numbers; whoever tries numbers out is stopped.
LOOK_UPS_A_DAY = 5
LOOKED_UP = "looked_up_to_pay"


class NoOpenLoan(Exception):
    """There is nothing to repay."""


class PromptPending(Exception):
    """A prompt is on its way already; a second one would collect twice."""


class LookedTooOften(Exception):
    """This customer has looked for as many people to pay for as one may in a day."""


class InvalidRepayment(ValueError):
    """The amount is not payable on this rail."""

    def __init__(self, amount_cents: int, most_cents: int) -> None:
        super().__init__(f"amount must be whole units from 1 to {most_cents}, got {amount_cents}")
        self.amount_cents, self.most_cents = amount_cents, most_cents


@transaction.atomic
def request_repayment(
    *, borrower_id: int, amount_cents: int, origin: str, at: datetime, payer_id: int | None = None
) -> PaymentIntent:
    """Owe a phone one prompt for this amount, a few seconds after the session has ended.

    The money goes to the loan that the borrower owes, on whichever of their numbers it is, also one that was
    charged off or written off. With `payer_id` somebody else pays; they are told neither what is owed nor that
    they pay too much, and what is over is kept for the borrower. Repeats safely: the same `origin` returns the
    intent on record.

    Raises:
        NoOpenLoan: nothing is owed.
        PromptPending: an earlier prompt to the same phone is still open.
        InvalidRepayment: below one unit, not whole units, or more than is owed.
    """
    borrower = Borrower.objects.get(id=borrower_id)
    lock_person(borrower)
    key = f"collect:{origin}"
    if known := PaymentIntent.objects.filter(business_key=key).first():
        return known
    loan = loans.loan_to_repay(borrower.identity_index)
    if loan is None:
        raise NoOpenLoan
    payer = None if payer_id in (None, borrower_id) else Borrower.objects.get(id=payer_id)
    msisdn = (payer or borrower).msisdn
    if loans.pending_prompt(msisdn):
        raise PromptPending
    most_cents = money.payable(loan.owing_cents, loan.currency) if payer is None else most_for_another(at)
    refuse_unpayable(amount_cents, most_cents, loan)
    intent = PaymentIntent.objects.create(
        purpose=PaymentIntent.Purpose.COLLECT,
        business_key=key,
        provider=settings.PAYMENT_PROVIDER,
        borrower=borrower,
        payer=payer,
        loan=loan,
        msisdn=msisdn,
        amount_cents=amount_cents,
        currency=loan.currency,
        due_at=at + AFTER_SESSION,
        created_at=at,
    )
    wake("lending.tasks.run_payments", queue="money", countdown=AFTER_SESSION.total_seconds())
    return intent


def refuse_unpayable(amount_cents: int, most_cents: int, loan: Loan) -> None:
    """Refuse what is no whole units, or more than may be paid.

    Raises:
        InvalidRepayment: it is.
    """
    unit_cents = money.currency(loan.currency).payable_cents
    if not unit_cents <= amount_cents <= most_cents or amount_cents % unit_cents:
        raise InvalidRepayment(amount_cents, most_cents)


def most_for_another(at: datetime) -> int:
    """Return the most that can be paid for somebody else at once: the largest loan there is, the same for
    everybody, so that it tells nothing about anybody."""
    on = calendar.business_date(at, settings.TIME_ZONE)
    return products.terms_of(products.product_in_force(settings.COUNTRY, on)).max_cents


@transaction.atomic
def find_to_pay_for(*, payer_id: int, msisdn: str, at: datetime) -> Borrower | None:
    """Return whose loan may be repaid under a number, and keep in the trail who asked.

    None alike for a number that is nobody's, for somebody who owes nothing and for the payer's own.

    Raises:
        LookedTooOften: so many numbers were asked about today already.
    """
    since = at - timedelta(days=1)
    asked = AuditEvent.objects.filter(
        action=LOOKED_UP, detail__payer_id=payer_id, happened_at__gt=since, happened_at__lte=at
    )
    if asked.count() >= LOOK_UPS_A_DAY:
        raise LookedTooOften
    other = people.find_borrower(msisdn)
    audit.record(LOOKED_UP, subject=f"borrower:{payer_id}", borrower=other, at=at, payer_id=payer_id)
    if other is None or other.id == payer_id or loans.loan_to_repay(other.identity_index) is None:
        return None
    return other


@transaction.atomic
def prompt_failed(*, attempt_id: int, code: str, text: str, at: datetime) -> None:
    """Tell whoever was asked that no money was taken and how to pay otherwise. Repeats safely."""
    intent_id = PaymentAttempt.objects.values_list("intent_id", flat=True).get(id=attempt_id)
    outbox.write("repayment_not_made", reference=f"repayment_not_made:{intent_id}", intent_id=intent_id, at=at)
