"""The life of a loan, from the moment somebody said yes.

The loan is live only when the operator completed the payout, and from that moment; until then the money is
reserved. Each function is one transaction under the borrower's lock.
"""

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction

from lending import outbox
from lending.ledger import post, reverse
from lending.models import Application, Borrower, Draw, Loan, LoanEvent, PaymentAttempt, PaymentIntent, Posting
from lending.models.loans import Price
from lending.rules import accounting, calendar
from lending.selectors import contracts, offers, people, products
from lending.services import audit, changes, life
from lending.services.people import lock_person
from lending.services.receipts import apply_kept, move_later
from lending.services.refinancing import pay_off
from lending.wake import wake

# What a loan costs, column by column.
PRICE = [field.name for field in Price._meta.get_fields()]


def approve_loan(application: Application, at: datetime) -> Loan:
    """Write loan, reservation and payout intent inside the caller's transaction, once per application.

    Paid out is the principal without what is deducted from it. What is charged is what the customer accepted:
    amounts come from the application, and the calculator must still agree with them. A credit line is opened
    and waits to be drawn.
    """
    if known := Loan.objects.filter(application=application).first():
        return known
    accepted_on = calendar.business_date(application.submitted_at, settings.TIME_ZONE)
    priced = offers.quote(
        application.product_version, application.principal_cents, accepted_on, application.country_pack
    )
    assert priced.total_cents == application.total_cents, "the calculator disagrees with itself"
    price = {name: getattr(application, name) for name in PRICE}
    loan = Loan(
        refinances=application.refinances,
        refinanced_cents=application.refinanced_cents,
        borrower=application.borrower,
        application=application,
        product_version=application.product_version,
        country_pack=application.country_pack,
        reference=application.reference,
        identity_index=application.borrower.identity_index,
        currency=application.product_version.currency,
        outstanding_cents=application.total_cents,
        approved_at=at,
        **price,
    )
    if products.terms_of(loan.product_version).kind == "credit_line":
        return _open_line(loan)
    loan.save()
    send_off(loan, f"loan:{loan.id}", loan.received_cents, at)
    return loan


def _open_line(loan: Loan) -> Loan:
    """Open a credit line up to what was approved: nothing is reserved, paid out or owed until it is drawn."""
    loan.credit_limit_cents, loan.state, loan.outstanding_cents = loan.principal_cents, Loan.State.UNDRAWN, 0
    for name in PRICE:
        setattr(loan, name, 0)
    loan.save()
    return loan


def send_off(loan: Loan, subject: str, cents: int, at: datetime) -> PaymentIntent:
    """Reserve what a customer is to receive and owe its payout; `subject` names it: "loan:12", "draw:7"."""
    _reserve(loan, f"reserve:{subject}", cents, at)
    intent = PaymentIntent.objects.create(
        purpose=PaymentIntent.Purpose.DISBURSE,
        business_key=f"disburse:{subject}",
        provider=settings.PAYMENT_PROVIDER,
        borrower=loan.borrower,
        loan=loan,
        msisdn=loan.borrower.msisdn,
        amount_cents=cents,
        currency=loan.currency,
        due_at=at,
        created_at=at,
    )
    wake("lending.tasks.run_payments", queue="money")
    return intent


def _reserve(loan: Loan, reference: str, cents: int, at: datetime) -> None:
    post(
        kind=Posting.Kind.RESERVATION,
        reference=reference,
        occurred_at=at,
        currency=loan.currency,
        lines=accounting.reservation(cents),
        loan=loan,
    )


@transaction.atomic
def payout_succeeded(
    *, attempt_id: int, receipt_no: str, amount_cents: int, completed_at: datetime, at: datetime
) -> Loan:
    """Start the loan, or a draw of a credit line, at the operator's completion time and book the payout.

    Repeats safely: what was paid out already is returned unchanged. A payout that was reported failed and
    reached the customer after all makes the loan live, too, unless they have another one by now: then
    PostgreSQL refuses and the engine leaves it to a person.
    """
    loan = _locked_loan(attempt_id)
    draw = _draw_of(loan, attempt_id)
    paid: Loan | Draw = draw or loan
    if (draw.paid_out_at if draw else loan.disbursed_at) is not None:
        return loan
    assert amount_cents == paid.received_cents, "the engine settles only exact payouts"
    if paid.state == "not_paid_out":
        _reserve_again(loan, draw, completed_at)
    if draw:
        _count_draw(loan, draw, completed_at)
    loan.disbursed_at = loan.disbursed_at or completed_at
    loan.save(update_fields=["disbursed_at", *PRICE])
    if loan.refinances_id is not None:
        pay_off(loan, receipt_no, completed_at, at)
    key = f"disburse:{receipt_no}"
    lived = life.record(
        loan,
        key=key,
        kind=LoanEvent.Kind.DISBURSE,
        happened_at=completed_at,
        at=at,
        details=_payout(paid),
    )
    # The days between two dates of a plan may be others than on the day of the quote: never more is charged.
    charged = sum(item.due.interest for item in lived.installments if item.event_key == key)
    loan.interest_cents = loan.interest_cents - paid.interest_cents + charged
    loan.save(update_fields=["interest_cents"])
    apply_kept(loan, at)
    if loan.refinances is not None:
        move_later(loan.refinances, loan, completed_at, at)
    if loan.state == Loan.State.LIVE:
        _tell("loan_disbursed", loan, draw, at)
    if loan.borrower.state == Borrower.State.DECEASED:
        # After the payout, also where both are of one moment.
        return _end_by_death(loan, max(at, completed_at + timedelta(microseconds=1)))
    return loan


def _end_by_death(loan: Loan, at: datetime) -> Loan:
    """Let a loan that was on its way when its borrower's death was recorded end on the same day as the others."""
    day = people.died_on(loan.identity_index) or calendar.business_date(at, settings.TIME_ZONE)
    return changes.change_loan(
        loan_id=loan.id, kind="death", origin="payout", details={"died_on": day.isoformat()}, at=at
    )


def _payout(paid: Loan | Draw) -> dict[str, int]:
    details = {"amount_cents": paid.principal_cents, "most_interest_cents": paid.interest_cents}
    if isinstance(paid, Loan) and paid.refinanced_cents:
        details["refinanced_cents"] = paid.refinanced_cents
    return details


def _count_draw(loan: Loan, draw: Draw, completed_at: datetime) -> None:
    """Let a draw that was paid out count: what a line costs is the sum of its draws."""
    draw.state, draw.paid_out_at = Draw.State.PAID_OUT, completed_at
    draw.save(update_fields=["state", "paid_out_at"])
    for name in PRICE:
        setattr(loan, name, getattr(loan, name) + getattr(draw, name))


@transaction.atomic
def payout_failed(*, attempt_id: int, code: str, text: str, at: datetime) -> Loan:
    """Release the reservation of a payout that certainly failed and tell the customer. Repeats safely."""
    loan = _locked_loan(attempt_id)
    draw = _draw_of(loan, attempt_id)
    if (draw.state != Draw.State.UNDER_WAY) if draw else (loan.state != Loan.State.APPROVED):
        return loan
    if draw:
        draw.state = Draw.State.NOT_PAID_OUT
        draw.save(update_fields=["state"])
        loan.state = Loan.State.UNDRAWN if loan.state == Loan.State.APPROVED else loan.state
    else:
        loan.state, loan.outstanding_cents = Loan.State.NOT_PAID_OUT, 0
    loan.save(update_fields=["state", "outstanding_cents"])
    subject = _subject(loan, draw)
    reserved = Posting.objects.get(reference=f"reserve:{subject}")
    reverse(reserved, reference=f"release:{subject}", occurred_at=at)
    audit.record("payout_failed", subject=subject, borrower=loan.borrower, at=at, code=code, text=text[:120])
    _tell("disbursement_failed", loan, draw, at)
    return loan


def _subject(loan: Loan, draw: Draw | None) -> str:
    return f"draw:{draw.pk}" if draw else f"loan:{loan.id}"


def _tell(topic: str, loan: Loan, draw: Draw | None, at: datetime) -> None:
    about = f"draw:{draw.pk}" if draw else str(loan.id)
    payload: dict[str, Any] = {"loan_id": loan.id} | ({"draw_id": draw.pk} if draw else {})
    outbox.write(topic, reference=f"{topic}:{about}", at=at, **payload)


def _reserve_again(loan: Loan, draw: Draw | None, at: datetime) -> None:
    """Take back the release of a reservation, so that the payout finds what it uses up."""
    if draw is None:
        loan.outstanding_cents = loan.total_cents
    _reserve(loan, f"reserve:{_subject(loan, draw)}:late", (draw or loan).received_cents, at)


def _draw_of(loan: Loan, attempt_id: int) -> Draw | None:
    return loan.draws.filter(intent__attempts=attempt_id).first() if loan.is_line else None


def _locked_loan(attempt_id: int) -> Loan:
    attempt = PaymentAttempt.objects.select_related("intent__borrower").get(id=attempt_id)
    lock_person(attempt.intent.borrower)
    return contracts.with_contract().get(payment_intents=attempt.intent)
