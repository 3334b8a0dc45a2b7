"""One loan from the first dial to the settled book, every part real, every cent counted.

The operator's wallets and our books are compared after each step: no fault creates or destroys a cent.
"""

import pytest
import redis
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.utils import timezone

from lending.ledger import balance_cents
from lending.models import Application, Case, Loan, Receipt
from lending.services import applications
from tests.stack import FLOAT_CENTS, Stack, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]
AMINA = "254711000101"


def dial(stack: Stack, *keys: str) -> str:
    """Dial, press keys one by one, and return the last screen."""
    screen = stack.sandbox.dial(AMINA, settings.USSD_CODE)
    for key in keys:
        assert screen["open"], f"{screen['text']!r} ended before {key}"
        screen = stack.sandbox.type(AMINA, key)
    return str(screen["text"])


def handset(stack: Stack) -> dict[str, object]:
    answer: dict[str, object] = stack.sandbox.http.get(f"/phones/{AMINA}").json()
    return answer


def texts(stack: Stack) -> str:
    return " / ".join(message["text"] for message in handset(stack)["inbox"])  # type: ignore[attr-defined]


def assert_no_cent_is_lost(stack: Stack, gift_cents: int = 0) -> None:
    money = stack.sandbox.money()
    assert money["total_cents"] == money["issued_cents"] == FLOAT_CENTS + gift_cents
    paid_out = FLOAT_CENTS - money["shortcodes"][settings.DARAJA_B2C_SHORTCODE]["utility_cents"]
    assert balance_cents("mpesa_payout", "KES") == -paid_out
    paybill = money["shortcodes"].get(settings.DARAJA_PAYBILL, {})  # an account without money is not listed
    assert balance_cents("mpesa_paybill", "KES") == sum(paybill.values())
    call_command("audit_books", verbosity=0)


def borrow(stack: Stack) -> Loan:
    """Register, apply, and let an officer approve: without a model nobody is approved by a machine."""
    dial(stack, "1", "1", "1", "2", "Amina Wanjiru", "23456781", "2580", "2580")
    said = dial(stack, "1", "500", "5", "2", "2580")
    application = Application.objects.get()
    assert application.reference in said
    wait_for(lambda: Application.objects.filter(state="referred").exists(), 60)
    officer = get_user_model().objects.create_user("wambui")
    applications.review(
        application_id=application.id, officer=officer, approve=True, reason="Knows the stall", at=timezone.now()
    )
    return Loan.objects.get()


def test_from_the_first_dial_to_the_settled_book(stack: Stack) -> None:
    stack.worker("money", "money,messages,default")
    stack.worker("scoring", "scoring")
    loan = borrow(stack)
    wait_for(lambda: Loan.objects.filter(id=loan.id, state="live").exists(), 60)
    assert handset(stack)["balance_cents"] == 50_000
    assert_no_cent_is_lost(stack)
    wait_for(lambda: loan.reference in texts(stack), why="no SMS about the payout")

    stack.sandbox.phone(AMINA, balance_cents=53_000, answer="right_pin")
    dial(stack, "2", "1")
    wait_for(lambda: Loan.objects.filter(id=loan.id, state="settled").exists(), 60, why="never settled")
    assert Receipt.objects.get().amount_cents == 53_000
    wait_for(lambda: Receipt.objects.get().receipt_no in texts(stack), why="no SMS receipt")
    assert handset(stack)["balance_cents"] == 0
    assert_no_cent_is_lost(stack, gift_cents=3_000)


def test_redis_dies_and_comes_back_and_nothing_is_lost(stack: Stack) -> None:
    """The broker is emptied while work is owed: the rows are found all the same."""
    stack.worker("scoring", "scoring")
    stack.sweeper()
    stack.sandbox.phone(AMINA, answer="right_pin")
    redis.Redis.from_url(settings.REDIS_URL).flushdb()
    loan = borrow(stack)
    redis.Redis.from_url(settings.REDIS_URL).flushdb()
    wait_for(lambda: Loan.objects.filter(id=loan.id, state="live").exists(), 60)
    assert_no_cent_is_lost(stack)
    assert not Case.objects.exists()
