"""Kill -9 in the worst moments: money moves once, and the system finds its way by itself.

Real PostgreSQL, Redis, Celery workers, sweeper, web server and operator. The sandbox counts the money.
"""

from datetime import timedelta

import pytest
from django.core.management import call_command
from django.db.models import F
from django.utils import timezone

from lending.models import Loan, PaymentAttempt, PaymentIntent, ProviderEvent, Rail
from tests import factories
from tests.stack import Stack, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]
B2C = "/mpesa/b2c/v3/paymentrequest"


def approved_loan() -> Loan:
    """Approve a loan of KES 500 now; whoever runs pays it out."""
    now = timezone.now()
    amina = factories.register(at=now - timedelta(days=90))
    factories.decide(factories.apply(amina, at=now), at=now)
    return Loan.objects.get()


def time_passes(minutes: int) -> None:
    """Let what has happened have happened so many minutes earlier: nobody waits, the real clock stays."""
    ago = timedelta(minutes=minutes)
    PaymentAttempt.objects.update(
        created_at=F("created_at") - ago,
        submitted_at=F("submitted_at") - ago,
        next_query_at=F("next_query_at") - ago,
    )
    PaymentIntent.objects.update(due_at=F("due_at") - ago, leased_until=F("leased_until") - ago)


def assert_paid_once(stack: Stack, loan: Loan) -> None:
    live = Loan.objects.filter(id=loan.id, state="live")
    wait_for(live.exists, why=lambda: f"the loan never went live: {story_of(stack)}")
    assert stack.moved_cents() == 50_000
    assert stack.sandbox.http.get("/phones/254711000101").json()["balance_cents"] == 50_000
    assert PaymentAttempt.objects.filter(state="succeeded").count() == 1
    assert PaymentIntent.objects.get(purpose="disburse").state == "succeeded"
    call_command("audit_books", verbosity=0)


def test_a_worker_killed_between_lease_and_call_pays_once(stack: Stack) -> None:
    """The token is slow to come, so the attempt is committed as `submitting` and no request has left."""
    stack.sandbox.faults({"match": {"path": "/oauth/v1/generate"}, "ack": {"mode": "slow", "after_ms": 8_000}})
    stack.worker("money", "money,default")
    loan = approved_loan()
    engine_took_it = PaymentAttempt.objects.filter(state="submitting")
    wait_for(engine_took_it.exists)
    stack.kill("money")
    assert stack.booked_payouts() == []
    stack.sandbox.clear_faults()

    time_passes(minutes=30)
    stack.sweeper()
    assert_paid_once(stack, loan)


def test_a_worker_killed_between_call_and_record_pays_once(stack: Stack) -> None:
    """The operator took the request and the worker dies before it hears so; the callback is lost as well."""
    stack.sandbox.faults(
        {
            "match": {"path": B2C},
            "ack": {"mode": "lost_after_accept", "after_ms": 8_000},
            "callbacks": [{"mode": "never"}],
        }
    )
    stack.worker("money", "money,default")
    loan = approved_loan()
    wait_for(lambda: stack.moved_cents() == 50_000, why="the operator never paid")
    stack.kill("money")
    assert PaymentAttempt.objects.get().state == "submitting"
    stack.sandbox.clear_faults()

    time_passes(minutes=2)
    stack.sweeper()
    assert_paid_once(stack, loan)


def test_with_redis_dead_the_sweeper_moves_the_money(stack: Stack) -> None:
    """Nobody can be woken: the row alone is found."""
    stack.extra["REDIS_URL"] = "redis://127.0.0.1:1/0"
    stack.sweeper()
    loan = approved_loan()
    assert_paid_once(stack, loan)


def test_a_result_that_comes_twice_and_before_the_answer_pays_once(stack: Stack) -> None:
    stack.sandbox.faults(
        {
            "match": {"path": B2C},
            "ack": {"mode": "slow", "after_ms": 1_500},
            "callbacks": [{"mode": "before_ack"}, {"after_ms": 50, "dup": 3}],
        }
    )
    stack.worker("money", "money,default")
    loan = approved_loan()
    assert_paid_once(stack, loan)


def story_of(stack: Stack) -> str:
    """Say what the rows and the operator know, for the message of a failing test."""
    attempts = list(
        PaymentAttempt.objects.values("state", "queries", "next_query_at", "result_code", "result_text")
    )
    asked = [(row["path"], row.get("status")) for row in stack.sandbox.requests()]
    told = list(ProviderEvent.objects.values_list("kind", "outcome", "processed_at"))
    return f"{attempts}\n{asked}\n{told}\n{list(Rail.objects.values())}"
