"""The life of a loan, from the moment somebody said yes.

The loan is live only when the operator completed the payout, and from that moment; until then the money is
reserved. Each function is one transaction under the borrower's lock.
"""

import secrets
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction

from lending import outbox
from lending.ledger import post, reverse
from lending.models import Application, Installment, Loan, PaymentAttempt, PaymentIntent, Posting
from lending.rules import accounting, calendar
from lending.rules.allocation import total_of
from lending.selectors import loans, offers
from lending.services import audit
from lending.services.receipts import apply_kept, lock_person
from lending.wake import wake

# Read aloud over a bad line: no letter or digit that sounds or looks like another.
_SPOKEN = "23456789ACDEFHJKMNPRTWXY"


def new_reference() -> str:
    """Return a short code for the customer that nobody has yet; 24^6 values, and the column is unique."""
    while True:
        reference = "".join(secrets.choice(_SPOKEN) for _ in range(6))
        if not Application.objects.filter(reference=reference).exists():
            return reference


def approve_loan(application: Application, at: datetime) -> Loan:
    """Write loan, reservation and payout intent inside the caller's transaction, once per application.

    What is charged is what the customer accepted: amounts come from the application, and the calculator must
    still agree with them.
    """
    if known := Loan.objects.filter(application=application).first():
        return known
    priced = offers.quote(application.product_version, application.principal_cents)
    assert (priced.fee_cents, priced.tax_cents) == (application.fee_cents, application.tax_cents)
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
        outstanding_cents=application.total_cents,
        approved_at=at,
    )
    post(
        kind=Posting.Kind.RESERVATION,
        reference=f"reserve:loan:{loan.id}",
        occurred_at=at,
        currency=loan.currency,
        lines=accounting.reservation(loan.principal_cents),
        loan=loan,
    )
    PaymentIntent.objects.create(
        purpose=PaymentIntent.Purpose.DISBURSE,
        business_key=f"disburse:loan:{loan.id}",
        provider="daraja",
        borrower=loan.borrower,
        loan=loan,
        msisdn=loan.borrower.msisdn,
        amount_cents=loan.principal_cents,
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
    assert amount_cents == loan.principal_cents, "the engine settles only exact payouts"
    if loan.state == Loan.State.NOT_PAID_OUT:
        _reserve_again(loan, completed_at)
    disbursed_on = calendar.business_date(completed_at, settings.TIME_ZONE)
    loan.state = Loan.State.LIVE
    loan.disbursed_at = completed_at
    loan.due_on = disbursed_on + timedelta(days=loan.product_version.term_days)
    loan.aged_on = disbursed_on
    loan.save(update_fields=["state", "disbursed_at", "due_on", "aged_on", "outstanding_cents"])
    Installment.objects.create(
        loan=loan,
        number=1,
        due_on=loan.due_on,
        principal_cents=loan.principal_cents,
        fee_cents=loan.fee_cents,
        tax_cents=loan.tax_cents,
    )
    post(
        kind=Posting.Kind.DISBURSEMENT,
        reference=f"disburse:{receipt_no}",
        occurred_at=completed_at,
        currency=loan.currency,
        lines=accounting.disbursement(loan.principal_cents, loan.fee_cents, loan.tax_cents),
        loan=loan,
    )
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
        lines=accounting.reservation(loan.principal_cents),
        loan=loan,
    )


def _locked_loan(attempt_id: int) -> Loan:
    attempt = PaymentAttempt.objects.select_related("intent__borrower").get(id=attempt_id)
    lock_person(attempt.intent.borrower)
    return Loan.objects.select_related("borrower", "product_version").get(payment_intents=attempt.intent)


@transaction.atomic
def write_off_loan(*, loan_id: int, actor: Any, reason: str, at: datetime) -> Loan:
    """Take what will not come back off the books; the history stays and later money is still welcome.

    Repeats safely: a loan written off already is returned unchanged.

    Raises:
        ValueError: no reason was given, or the loan is not live.
    """
    if not reason.strip():
        raise ValueError("a write-off needs a reason")
    loan = Loan.objects.select_related("borrower").get(id=loan_id)
    lock_person(loan.borrower)
    loan.refresh_from_db()
    if loan.state == Loan.State.WRITTEN_OFF:
        return loan
    if loan.state != Loan.State.LIVE:
        raise ValueError(f"only a live loan is written off, {loan.reference} is {loan.state}")
    left = [due for _, due in loans.dues(loan)]
    post(
        kind=Posting.Kind.WRITE_OFF,
        reference=f"write_off:loan:{loan.id}",
        occurred_at=at,
        currency=loan.currency,
        lines=accounting.write_off(total_of(left)),
        loan=loan,
    )
    loan.state, loan.written_off_at = Loan.State.WRITTEN_OFF, at
    loan.save(update_fields=["state", "written_off_at"])
    audit.record(
        "loan_written_off",
        subject=f"loan:{loan.id}",
        borrower=loan.borrower,
        actor=actor,
        reason=reason,
        at=at,
    )
    return loan
