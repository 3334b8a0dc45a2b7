"""People and what happened to them, made through the real services. One trait each: Amina borrows and pays,
Brian pays late, Cheptoo is over her limit.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.contrib.auth.models import User

from lending import ports
from lending.models import (
    Application,
    Borrower,
    Loan,
    PaymentAttempt,
    PaymentIntent,
    ProductVersion,
    Receipt,
    Refund,
)
from lending.rules import calendar
from lending.selectors import contracts, offers, products
from lending.services import applications, changes, loans, people, proposals, receipts, refunds

NAIROBI = ZoneInfo("Africa/Nairobi")
NOON = datetime(2026, 3, 2, 12, 0, tzinfo=NAIROBI)
PIN = "2580"
CONSENTS = {"service": True, "scoring": True, "wallet": True, "marketing": False}


def register(
    name: str = "Amina Wanjiru",
    msisdn: str = "254711000101",
    national_id: str = "23456781",
    *,
    at: datetime = NOON - timedelta(days=200),
    consents: Mapping[str, bool] = CONSENTS,
    language: str = "en",
) -> Borrower:
    return people.register_borrower(
        msisdn=msisdn,
        full_name=name,
        national_id=national_id,
        pin=PIN,
        language=language,
        consents=consents,
        text_version="1",
        origin="test",
        at=at,
    )


FLAT_30 = {
    "kind": "bullet",
    "currency": "KES",
    "min_cents": 20_000,
    "max_cents": 5_000_000,
    "term": {"installments": 1, "every": 30, "unit": "day"},
    "fees": [{"name": "Fee", "rate": "0.05"}],
    "tax": {"rate": "0.2"},
}


def usual_product() -> ProductVersion:
    """Return the newest version of the product that whoever names none is offered."""
    return ProductVersion.objects.filter(code=settings.PRODUCTS[0]).latest("version")


def like_the_usual(**changes: Any) -> dict[str, Any]:
    """Return the fields of a product that is the usual one but for some."""
    return ProductVersion.objects.filter(id=usual_product().id).values().get() | {"id": None} | changes


def next_version(**changes: Any) -> ProductVersion:
    """Follow the newest version of the usual product with another one, in force after some days of notice."""
    usual = usual_product()
    follows = {"version": usual.version + 1, "effective_on": usual.effective_on + timedelta(days=40)}
    return ProductVersion.objects.create(**like_the_usual(**follows) | changes)


def shown(at: datetime = NOON) -> applications.KeyFactsShown:
    return applications.KeyFactsShown("You get KES 500 ...", "en", "1", at, terms_read=False)


def apply(
    borrower: Borrower, principal_cents: int = 50_000, *, origin: str = "ussd:test:1", at: datetime = NOON
) -> Application:
    on = calendar.business_date(at, "Africa/Nairobi")
    return applications.submit(
        borrower_id=borrower.id,
        principal_cents=principal_cents,
        product_version_id=products.product_in_force("KE", on).id,
        shown=shown(at),
        origin=origin,
        at=at,
    )


def verdict(outcome: str = "approve", *, limit_cents: int = 100_000, **changes: Any) -> ports.Verdict:
    reasons = () if outcome == "approve" else (ports.Reason("low_inflow"),)
    facts: dict[str, Any] = {
        "outcome": outcome,
        "score": 0.08,
        "offer": {"microloan": 0.8, "savings": 0.15, "neither": 0.05},
        "limit_cents": limit_cents,
        "inputs": {"features": {}},
        "reasons": reasons,
        "next_step": "" if outcome == "approve" else "use_wallet",
        "model_version": "test",
        "feature_version": "1",
        "policy_version": "1",
    }
    return ports.Verdict(**(facts | changes))


class FixedScorer:
    """A scorer that says what the story needs; the real one has tests of its own."""

    says = verdict()

    def assess(self, application_id: int, at: datetime) -> ports.Verdict:
        return FixedScorer.says


def decide(application: Application, outcome: str = "approve", *, at: datetime = NOON, **changes: Any) -> Any:
    FixedScorer.says = verdict(outcome, **changes)
    return applications.decide(application.id, at)


def pay_out(loan: Loan, *, receipt_no: str = "", at: datetime = NOON) -> Loan:
    """Let the operator complete the payout of an approved loan."""
    intent = PaymentIntent.objects.get(business_key=f"disburse:loan:{loan.id}")
    attempt = PaymentAttempt.objects.create(
        intent=intent, number=1, provider="daraja", state="succeeded", created_at=at, completed_at=at
    )
    PaymentIntent.objects.filter(id=intent.id).update(state="succeeded")
    return loans.payout_succeeded(
        attempt_id=attempt.id,
        receipt_no=receipt_no or f"OUT{loan.id}",
        amount_cents=loan.received_cents,
        completed_at=at,
        at=at,
    )


def live_loan(borrower: Borrower, principal_cents: int = 50_000, *, at: datetime = NOON) -> Loan:
    """Take a borrower from application to money in the wallet; needs the `fixed_scorer` fixture."""
    application = apply(borrower, principal_cents, origin=f"ussd:test:{borrower.id}:{at.isoformat()}", at=at)
    decide(application, at=at, limit_cents=max(100_000, principal_cents))
    return pay_out(Loan.objects.get(application=application), at=at)


def pay(
    account: str, amount_cents: int, receipt_no: str = "SFC7XK2", *, at: datetime = NOON, **changes: Any
) -> Receipt:
    """Let somebody pay the paybill."""
    facts: dict[str, Any] = {
        "provider": "daraja",
        "receipt_no": receipt_no,
        "amount_cents": amount_cents,
        "currency": "KES",
        "party": "2547 ***** 101",
        "account_reference": account,
        "paid_at": at,
        "source": "c2b",
        "at": at,
    }
    return receipts.record_receipt(**(facts | changes))


def give_back(borrower: Borrower, receipt_no: str = "BACK1", *, at: datetime = NOON) -> Refund:
    """Let a customer ask for what they paid too much, and the operator pay it."""
    refund = refunds.refund_to_wallet(borrower_id=borrower.id, origin=f"ussd:back:{receipt_no}", at=at)
    attempt = PaymentAttempt.objects.create(
        intent=refund.intent, number=1, provider="daraja", state="succeeded", receipt_no=receipt_no,
        created_at=at, completed_at=at,
    )  # fmt: skip
    PaymentIntent.objects.filter(id=refund.intent_id).update(state="succeeded")
    return refunds.payout_succeeded(
        attempt_id=attempt.id, receipt_no=receipt_no, amount_cents=refund.amount_cents, completed_at=at, at=at
    )


def write_off(loan: Loan, *, at: datetime, reason: str = "Cannot be found.") -> Loan:
    """Let two people write a loan off."""
    maker, checker = (User.objects.get_or_create(username=name)[0] for name in ("mwende", "kamau"))
    loan = contracts.with_contract().get(id=loan.id)
    word = changes.propose_change(loan=loan, kind="write_off", details={}, maker=maker, reason=reason, at=at)
    proposals.decide(proposal_id=word.id, checker=checker, approve=True, at=at)
    loan.refresh_from_db()
    return loan


def quoted(principal_cents: int = 50_000) -> Any:
    return offers.quote(products.product_in_force("KE", NOON.date()), principal_cents, NOON.date())
