"""A loan on its way out, a loan to be repaid, and a rail between."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from lending.models import Borrower, Loan, PaymentAttempt, PaymentIntent
from lending.services import repayments
from tests import factories
from tests.factories import NOON
from tests.lending.payments import operator
from tests.lending.payments.operator import Operator


@pytest.fixture
def rail(settings, monkeypatch) -> Operator:
    """The operator, in the place of the real client (which has tests of its own over HTTP)."""
    settings.PAYMENT_PROVIDERS = {"daraja": "tests.lending.payments.operator.rail"}
    monkeypatch.setattr(operator, "current", Operator())
    return operator.current


@pytest.fixture
def approved(amina: Borrower, fixed_scorer) -> Loan:
    """KES 500 for Amina, approved at noon and not paid out yet."""
    application = factories.apply(amina)
    factories.decide(application)
    return Loan.objects.get(application=application)


@pytest.fixture
def payout(approved: Loan) -> PaymentIntent:
    return PaymentIntent.objects.get(loan=approved)


@pytest.fixture
def prompt(aminas_loan: Loan) -> PaymentIntent:
    """Amina has asked, an hour after noon, to repay KES 200; her session ends six seconds later."""
    return repayments.request_repayment(
        borrower_id=aminas_loan.borrower_id, amount_cents=20_000, origin="ussd:test:9", at=NOON + timedelta(hours=1)
    )


@pytest.fixture
def attempt_of() -> Callable[[PaymentIntent], PaymentAttempt]:
    """Return the newest attempt of an intent as it stands now."""

    def newest(intent: PaymentIntent) -> PaymentAttempt:
        attempt = intent.attempts.order_by("-number").first()
        assert attempt is not None
        return attempt

    return newest
