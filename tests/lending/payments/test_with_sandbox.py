"""The real client, the real callbacks and the operator's own process: whatever it does, money moves once."""

from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from django.core.management import call_command
from django.utils import timezone

from lending.demo import partner
from lending.models import (
    Case,
    Loan,
    PaymentAttempt,
    ProviderEvent,
    Rail,
    Receipt,
    SavingsAccount,
    SavingsInstruction,
)
from lending.payments import engine, views
from lending.payments.providers.daraja import B2C_PATH, STK_PATH
from lending.selectors.deposits import paybill_account
from lending.services import deposits, repayments, savings_instructions
from sandbox.process import SandboxProcess, free_port
from tests import factories
from tests.lending import saving

pytestmark = pytest.mark.django_db(transaction=True)
MSISDN = "254711000101"


@pytest.fixture(scope="module")
def world() -> Iterator[SandboxProcess]:
    with SandboxProcess(f"http://127.0.0.1:{free_port()}", latency_ms=10, validation_s=5) as process:
        yield process


@pytest.fixture
def sandbox(world, live_server, settings) -> Iterator[SandboxProcess]:
    settings.DARAJA_BASE_URL, settings.PUBLIC_BASE_URL = world.url, live_server.url
    settings.DARAJA_B2C_SHORTCODE, settings.DARAJA_PAYBILL = "600100", "600200"
    world.clear_faults()
    world.shortcode("600100", name="JIRANI", utility_cents=100_000_00)
    world.shortcode("600200", name="JIRANI", utility_cents=0)
    world.phone(
        MSISDN, name="Amina", wallet_pin="4321", balance_cents=100_000, answer="right_pin", answer_after_ms=5
    )
    call_command("register_paybill", verbosity=0)
    yield world
    world.clear_faults()
    world.flush()
    money = world.money()
    assert money["balanced"] and money["total_cents"] == money["issued_cents"]


class Clock:
    """The time of the whole story: what the engine is told and what the views read."""

    at = timezone.now()

    @classmethod
    def now(cls) -> datetime:
        return cls.at


@pytest.fixture
def now(monkeypatch) -> datetime:
    Clock.at = timezone.now()
    monkeypatch.setattr(views, "timezone", Clock)
    return Clock.at


@pytest.fixture
def loan(sandbox, amina, fixed_scorer, now) -> Loan:
    """KES 500 for Amina, approved just now."""
    application = factories.apply(amina, at=now)
    factories.decide(application, at=now)
    return Loan.objects.get(application=application)


def wallet(sandbox: SandboxProcess) -> int:
    return sandbox.phone(MSISDN)["balance_cents"]


def run(sandbox: SandboxProcess, at: datetime) -> None:
    """Let the engine work, and the operator finish all that follows from it."""
    Clock.at = at
    engine.run_due(at)
    sandbox.flush()


def assert_paid_once(sandbox: SandboxProcess, loan: Loan) -> None:
    loan.refresh_from_db()
    assert loan.state == Loan.State.LIVE
    assert wallet(sandbox) == 100_000 + 50_000
    assert PaymentAttempt.objects.filter(state="succeeded").count() == 1


class TestPayout:
    def test_reaches_the_wallet_and_starts_the_loan(self, sandbox, loan, now, books_balance):
        run(sandbox, now)

        assert_paid_once(sandbox, loan)
        assert abs(loan.disbursed_at - now) < timedelta(minutes=1)
        books_balance()

    @pytest.mark.parametrize(
        "fault",
        [
            {"ack": {"mode": "lost_after_accept"}},
            {"ack": {"mode": "lost_before_accept"}},
            {"ack": {"mode": "truncated"}},
            {"ack": {"mode": "reset"}},
            {"ack": {"mode": "html"}},
            {"ack": {"mode": "spike"}},
            {"ack": {"mode": "token_expired"}},
            {"ack": {"mode": "lost_after_accept"}, "callbacks": []},
            {"callbacks": []},
            {"callbacks": [{"mode": "before_ack"}]},
            {"callbacks": [{"mode": "dup", "dup": 5}]},
            {"callbacks": [{"url": "timeout"}, {"after_ms": 200}]},
            {"callbacks": [{"url": "timeout"}]},
            {"callbacks": [{"mode": "malformed"}]},
            {"callbacks": [{"mode": "unknown_id"}]},
            {"callbacks": [{"mode": "wrong_amount"}]},
            {"callbacks": [{"mode": "wrong_party"}]},
        ],
        ids=str,
    )
    def test_moves_money_once_whatever_goes_wrong(self, sandbox, loan, now, fault, books_balance):
        sandbox.faults({"match": {"path": B2C_PATH, "nth": 1}} | fault)
        before = len(sandbox.requests(B2C_PATH))

        for seconds in (0, 3, 61, 64, 125, 130, 305):
            run(sandbox, now + timedelta(seconds=seconds))

        assert_paid_once(sandbox, loan)
        assert len({r["body"]["OriginatorConversationID"] for r in sandbox.requests(B2C_PATH)[before:]}) == 1
        assert PaymentAttempt.objects.count() == 1
        books_balance()

    def test_out_of_an_empty_float_waits_for_a_person(self, sandbox, loan, now, books_balance):
        sandbox.shortcode("600100", name="JIRANI", utility_cents=0)
        run(sandbox, now)
        run(sandbox, now + timedelta(hours=1))
        loan.refresh_from_db()
        assert (loan.state, wallet(sandbox)) == (Loan.State.APPROVED, 100_000)
        assert Rail.objects.get(provider="daraja").needs_person

        sandbox.shortcode("600100", name="JIRANI", utility_cents=100_000_00)
        engine.restart_rail("daraja", None, now + timedelta(hours=2))
        run(sandbox, now + timedelta(hours=2))

        assert_paid_once(sandbox, loan)
        books_balance()

    def test_to_no_wallet_fails_for_good(self, sandbox, loan, now, books_balance):
        sandbox.faults({"match": {"path": B2C_PATH}, "outcome": {"code": 2040}})
        run(sandbox, now)

        loan.refresh_from_db()
        assert (loan.state, wallet(sandbox)) == (Loan.State.NOT_PAID_OUT, 100_000)
        books_balance()

    def test_leaves_no_secret_in_what_is_kept(self, sandbox, loan, now, settings):
        run(sandbox, now)

        for event in ProviderEvent.objects.all():
            assert settings.DARAJA_SECRET not in event.body and "[removed]" in event.body


class TestRepayment:
    @pytest.fixture
    def prompted(self, sandbox, loan, now) -> datetime:
        """The moment at which Amina's prompt for KES 200 is due."""
        run(sandbox, now)
        repayments.request_repayment(
            borrower_id=loan.borrower_id, amount_cents=20_000, origin="ussd:test:9", at=now + timedelta(minutes=1)
        )
        return now + timedelta(minutes=1, seconds=6)

    @pytest.mark.parametrize(
        "fault",
        [
            {},
            {"callbacks": []},
            {"callbacks": [{"mode": "dup", "dup": 4}]},
            {"callbacks": [{"mode": "malformed"}]},
            {"ack": {"mode": "lost_after_accept"}},
            {"ack": {"mode": "lost_after_accept"}, "callbacks": []},
        ],
        ids=str,
    )
    def test_by_prompt_counts_once(self, sandbox, loan, prompted, fault, books_balance):
        sandbox.faults({"match": {"path": STK_PATH, "nth": 1}} | fault)
        prompts = len(sandbox.requests(STK_PATH))

        for seconds in (0, 61, 185, 305):
            run(sandbox, prompted + timedelta(seconds=seconds))

        loan.refresh_from_db()
        assert loan.outstanding_cents == loan.total_cents - 20_000
        assert wallet(sandbox) == 150_000 - 20_000
        assert len(sandbox.requests(STK_PATH)) == prompts + 1
        assert Receipt.objects.count() == 1
        books_balance()

    @pytest.mark.parametrize("answer", ["wrong_pin", "cancel"])
    def test_by_prompt_that_is_refused_takes_nothing(self, sandbox, loan, prompted, answer, books_balance):
        sandbox.phone(MSISDN, answer=answer)
        run(sandbox, prompted)

        loan.refresh_from_db()
        assert (loan.outstanding_cents, wallet(sandbox)) == (loan.total_cents, 150_000)
        assert PaymentAttempt.objects.latest("id").state == "failed"
        books_balance()

    def test_by_paybill_is_validated_and_counted(self, sandbox, loan, now, books_balance):
        run(sandbox, now)
        paid = {"paybill": "600200", "amount_cents": 10_000, "pin": "4321"}
        sandbox.pay(MSISDN, account=loan.reference.lower(), **paid)
        sandbox.pay(MSISDN, account="0711000101", **paid)
        sandbox.flush()

        loan.refresh_from_db()
        assert loan.outstanding_cents == loan.total_cents - 20_000
        assert wallet(sandbox) == 150_000 - 20_000
        assert Case.objects.count() == 0
        books_balance()


class TestSaving:
    @pytest.fixture
    def pot(self, sandbox, amina, now) -> SavingsAccount:
        return saving.pot(amina, goal="School fees", at=now)

    def saved(self, pot: SavingsAccount, sandbox: SandboxProcess) -> list[int]:
        asked = SavingsInstruction.objects.filter(account=pot, kind="deposit", state="open")
        assert wallet(sandbox) == 100_000 - sum(one.amount_cents for one in asked)
        return [one.amount_cents for one in asked.order_by("id")]

    @pytest.mark.parametrize(
        "fault",
        [
            {},
            {"callbacks": []},
            {"callbacks": [{"mode": "dup", "dup": 4}]},
            {"callbacks": [{"mode": "malformed"}]},
            {"ack": {"mode": "lost_after_accept"}},
            {"ack": {"mode": "lost_after_accept"}, "callbacks": []},
        ],
        ids=str,
    )
    def test_by_prompt_counts_once(self, sandbox, pot, now, fault, books_balance):
        sandbox.faults({"match": {"path": STK_PATH, "nth": 1}} | fault)
        deposits.request_deposit(
            borrower_id=pot.borrower_id, account_id=pot.id, amount_cents=20_000, origin="ussd:test:9", at=now
        )

        for seconds in (6, 67, 191, 311):
            run(sandbox, now + timedelta(seconds=seconds))

        assert self.saved(pot, sandbox) == [20_000]
        assert [receipt.over_cents for receipt in Receipt.objects.all()] == [0]
        assert Case.objects.count() == 0
        books_balance()

    def test_by_paybill_is_validated_and_counted(self, sandbox, pot, amina, books_balance):
        paid = {"paybill": "600200", "amount_cents": 10_000, "pin": "4321"}
        sandbox.pay(MSISDN, account=paybill_account(pot, amina).lower(), **paid)
        sandbox.flush()

        assert self.saved(pot, sandbox) == [10_000]
        assert Case.objects.count() == 0
        books_balance()

    def test_and_taken_out_again_is_settled_with_the_bank_of_the_sandbox(
        self, sandbox, pot, amina, now, settings, books_balance
    ):
        settings.SANDBOX_URL = sandbox.url
        sandbox.pay(MSISDN, account=paybill_account(pot, amina), paybill="600200", amount_cents=10_000, pin="4321")
        sandbox.flush()
        assert [partner.settle_all(now), partner.settle_all(now)] == [1, 0]
        pot.refresh_from_db()
        assert (pot.balance_cents, wallet(sandbox)) == (10_000, 90_000)

        out = {"account_id": pot.id, "amount_cents": 4_000, "reference": "w1"}
        savings_instructions.instruct_withdrawal(at=now, **out)
        assert partner.settle_all(now) == 1
        pot.refresh_from_db()
        assert (pot.balance_cents, pot.held_cents, wallet(sandbox)) == (6_000, 0, 94_000)
        assert sandbox.money()["shortcodes"]["600200"]["utility_cents"] == 0
        books_balance()
