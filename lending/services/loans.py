"""The life of a loan, from the moment somebody said yes.

The loan is live only when the operator completed the payout, and from that moment; until then the money is
reserved. Each function is one transaction under the borrower's lock.
"""

import secrets
from datetime import datetime

from django.conf import settings
from django.db import transaction

from lending import outbox
from lending.ledger import post, reverse
from lending.models import Application, Loan, LoanEvent, PaymentAttempt, PaymentIntent, Posting
from lending.rules import accounting, calendar
from lending.selectors import contracts, offers
from lending.services import audit, life
from lending.services.people import lock_person
from lending.services.receipts import apply_kept
from lending.wake import wake

# Read aloud over a bad line: no letter or digit that sounds or looks like another.
_SPOKEN = "23456789ACDEFHJKMNPRTWXY"


def new_reference() -> str:
    """Return a short code for the customer that nobody has yet; 24^6 values, and the column is unique."""
    return new_references(1)[0]


def new_references(count: int) -> list[str]:
    """Return so many short codes that nobody has yet."""
    found: set[str] = set()
    while len(found) < count:
        drawn = {"".join(secrets.choice(_SPOKEN) for _ in range(6)) for _ in range(count - len(found))}
        for kind in (Application, Loan):
            drawn -= set(kind.objects.filter(reference__in=drawn).values_list("reference", flat=True))
        found |= drawn
    return list(found)


def approve_loan(application: Application, at: datetime) -> Loan:
    """Write loan, reservation and payout intent inside the caller's transaction, once per application.

    Paid out is the principal without what is deducted from it. What is charged is what the customer accepted:
    amounts come from the application, and the calculator must still agree with them.
    """
    if known := Loan.objects.filter(application=application).first():
        return known
    accepted_on = calendar.business_date(application.submitted_at, settings.TIME_ZONE)
    priced = offers.quote(application.product_version, application.principal_cents, accepted_on)
    assert priced.total_cents == application.total_cents, "the calculator disagrees with itself"
    loan = Loan.objects.create(
        borrower=application.borrower,
        application=application,
        product_version=application.product_version,
        country_pack=application.country_pack,
        reference=application.reference,
        identity_index=application.borrower.identity_index,
        currency=application.product_version.currency,
        principal_cents=application.principal_cents,
        fee_cents=application.fee_cents,
        tax_cents=application.tax_cents,
        interest_cents=application.interest_cents,
        deducted_cents=application.deducted_cents,
        capitalised_cents=application.capitalised_cents,
        outstanding_cents=application.total_cents,
        approved_at=at,
    )
    post(
        kind=Posting.Kind.RESERVATION,
        reference=f"reserve:loan:{loan.id}",
        occurred_at=at,
        currency=loan.currency,
        lines=accounting.reservation(loan.received_cents),
        loan=loan,
    )
    PaymentIntent.objects.create(
        purpose=PaymentIntent.Purpose.DISBURSE,
        business_key=f"disburse:loan:{loan.id}",
        provider="daraja",
        borrower=loan.borrower,
        loan=loan,
        msisdn=loan.borrower.msisdn,
        amount_cents=loan.received_cents,
        currency=loan.currency,
        due_at=at,
        created_at=at,
    )
    wake("lending.tasks.run_payments", queue="money")
    return loan


@transaction.atomic
def payout_succeeded(
    *, attempt_id: int, receipt_no: str, amount_cents: int, completed_at: datetime, at: datetime
) -> Loan:
    """Start the loan at the operator's completion time and book the payout.

    Repeats safely: a loan that is live already is returned unchanged. A payout that was reported failed and
    reached the customer after all makes the loan live, too, unless they have another one by now: then
    PostgreSQL refuses and the engine leaves it to a person.
    """
    loan = _locked_loan(attempt_id)
    if loan.disbursed_at is not None:
        return loan
    assert amount_cents == loan.received_cents, "the engine settles only exact payouts"
    if loan.state == Loan.State.NOT_PAID_OUT:
        _reserve_again(loan, completed_at)
    loan.disbursed_at = completed_at
    loan.save(update_fields=["disbursed_at"])
    key = f"disburse:{receipt_no}"
    lived = life.record(
        loan,
        key=key,
        kind=LoanEvent.Kind.DISBURSE,
        happened_at=completed_at,
        at=at,
        details={"amount_cents": loan.principal_cents, "most_interest_cents": loan.interest_cents},
    )
    # The days between two dates of a plan may be others than on the day of the quote: less is charged, never more.
    loan.interest_cents = sum(item.due.interest for item in lived.installments if item.event_key == key)
    loan.save(update_fields=["interest_cents"])
    apply_kept(loan, at)
    if loan.state == Loan.State.LIVE:
        outbox.write("loan_disbursed", reference=f"loan_disbursed:{loan.id}", loan_id=loan.id, at=at)
    return loan


@transaction.atomic
def payout_failed(*, attempt_id: int, code: str, text: str, at: datetime) -> Loan:
    """Release the reservation of a payout that certainly failed and tell the customer. Repeats safely."""
    loan = _locked_loan(attempt_id)
    if loan.state != Loan.State.APPROVED:
        return loan
    loan.state = Loan.State.NOT_PAID_OUT
    loan.outstanding_cents = 0
    loan.save(update_fields=["state", "outstanding_cents"])
    reserved = Posting.objects.get(reference=f"reserve:loan:{loan.id}")
    reverse(reserved, reference=f"release:loan:{loan.id}", occurred_at=at)
    audit.record(
        "payout_failed", subject=f"loan:{loan.id}", borrower=loan.borrower, at=at, code=code, text=text[:120]
    )
    outbox.write("disbursement_failed", reference=f"disbursement_failed:{loan.id}", loan_id=loan.id, at=at)
    return loan


def _reserve_again(loan: Loan, at: datetime) -> None:
    """Take back the release of a reservation, so that the payout finds what it uses up."""
    loan.outstanding_cents = loan.total_cents
    post(
        kind=Posting.Kind.RESERVATION,
        reference=f"reserve:loan:{loan.id}:late",
        occurred_at=at,
        currency=loan.currency,
        lines=accounting.reservation(loan.received_cents),
        loan=loan,
    )


def _locked_loan(attempt_id: int) -> Loan:
    attempt = PaymentAttempt.objects.select_related("intent__borrower").get(id=attempt_id)
    lock_person(attempt.intent.borrower)
    return contracts.with_contract().get(payment_intents=attempt.intent)
