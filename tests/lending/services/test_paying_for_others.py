"""Whose loan money goes to: somebody else's, one on another number, one that was lost; and from savings."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from lending import outbox
from lending.models import AuditEvent, Borrower, Loan, OutboxMessage, PaymentIntent, SavingsAccount
from lending.payments import engine
from lending.ports import PaymentOrder
from lending.selectors import loans, payoffs
from lending.services import receipts, repayments, savings_instructions, savings_sweeps
from tests import factories
from tests.factories import NOON, pay
from tests.lending import saving
from tests.lending.lending import lend, product
from tests.lending.payments import operator
from tests.lending.payments.conftest import rail
from tests.lending.payments.operator import Operator

__all__ = ["rail"]
LEVEL = {"kind": "level", "term": {"installments": 12, "unit": "month"}, "interest": {"rate": "0.12"}}


def prompts() -> list[PaymentOrder]:
    """Return what the operator was asked to collect."""
    current: Operator = operator.current
    return [order for order in current.sent if order.purpose == "collect"]


def asked(borrower: Borrower, cents: int = 20_000, **changes: Any) -> PaymentIntent:
    said = {"borrower_id": borrower.id, "amount_cents": cents, "origin": "ussd:1", "at": NOON}
    return repayments.request_repayment(**(said | changes))


class TestForSomebodyElse:
    def test_the_prompt_goes_to_the_payer_and_the_money_to_the_other(
        self, aminas_loan: Loan, amina: Borrower, brian: Borrower, books_balance: Callable[[], None]
    ) -> None:
        intent = asked(amina, payer_id=brian.id)
        assert (intent.msisdn, intent.payer, intent.borrower) == (brian.msisdn, brian, amina)
        attempt = intent.attempts.create(number=1, provider="daraja", state="succeeded", created_at=NOON)
        facts: dict[str, Any] = {"party": brian.msisdn, "attempt": attempt}
        pay(aminas_loan.reference, 20_000, **facts)
        pay(aminas_loan.reference, 20_000, **facts)
        aminas_loan.refresh_from_db()
        assert aminas_loan.outstanding_cents == 33_000
        told = OutboxMessage.objects.filter(topic__in=["paid_for_another", "repayment_received"])
        assert sorted(told.values_list("topic", flat=True)) == ["paid_for_another", "repayment_received"]
        PaymentIntent.objects.filter(id=intent.id).update(state="succeeded")
        books_balance()

    def test_the_payer_is_thanked_when_the_paybill_road_was_quicker(
        self, aminas_loan: Loan, amina: Borrower, brian: Borrower
    ) -> None:
        attempt = asked(amina, payer_id=brian.id).attempts.create(
            number=1, provider="daraja", state="accepted", created_at=NOON
        )
        pay(aminas_loan.reference, 20_000, party=brian.msisdn)
        assert not OutboxMessage.objects.filter(topic="paid_for_another").exists()
        pay(aminas_loan.reference, 20_000, party=brian.msisdn, attempt=attempt)
        assert OutboxMessage.objects.filter(topic="paid_for_another").count() == 1

    def test_nobody_learns_how_much_is_owed(self, aminas_loan: Loan, amina: Borrower, brian: Borrower) -> None:
        with pytest.raises(repayments.InvalidRepayment):
            asked(amina, 5_000_100, payer_id=brian.id)
        assert asked(amina, 500_000, payer_id=brian.id).amount_cents == 500_000

    def test_one_prompt_at_a_time_is_one_for_each_phone(
        self, aminas_loan: Loan, amina: Borrower, brian: Borrower
    ) -> None:
        asked(amina, payer_id=brian.id)
        asked(amina, origin="ussd:2")
        with pytest.raises(repayments.PromptPending):
            asked(amina, payer_id=brian.id, origin="ussd:3")

    @pytest.mark.usefixtures("rail")
    def test_more_than_is_owed_goes_out_all_the_same(
        self, aminas_loan: Loan, amina: Borrower, brian: Borrower
    ) -> None:
        asked(amina, 60_000, payer_id=brian.id)
        engine.run_due(NOON + timedelta(seconds=10))
        assert [order.msisdn for order in prompts()] == [brian.msisdn]

    @pytest.mark.usefixtures("rail")
    def test_nothing_goes_out_for_a_loan_that_was_paid_meanwhile(
        self, aminas_loan: Loan, amina: Borrower, brian: Borrower
    ) -> None:
        asked(amina, payer_id=brian.id)
        pay(amina.msisdn, 53_000)
        engine.run_due(NOON + timedelta(seconds=10))
        assert prompts() == [] and PaymentIntent.objects.get(purpose="collect").state == "failed"


class TestLookingSomebodyUp:
    def found(self, payer: Borrower, msisdn: str, **changes: Any) -> Borrower | None:
        return repayments.find_to_pay_for(**({"payer_id": payer.id, "msisdn": msisdn, "at": NOON} | changes))

    def test_says_the_same_of_a_stranger_of_who_owes_nothing_and_of_oneself(
        self, aminas_loan: Loan, amina: Borrower, brian: Borrower
    ) -> None:
        assert self.found(brian, amina.msisdn) == amina
        assert self.found(brian, "254711999999") is None
        assert self.found(amina, brian.msisdn) is None
        assert self.found(brian, brian.msisdn) is None

    def test_is_in_the_trail_of_whoever_was_asked_about_and_ends_after_five_a_day(
        self, aminas_loan: Loan, amina: Borrower, brian: Borrower
    ) -> None:
        for _ in range(repayments.LOOK_UPS_A_DAY):
            self.found(brian, amina.msisdn)
        assert AuditEvent.objects.filter(action="looked_up_to_pay", borrower=amina).count() == 5
        with pytest.raises(repayments.LookedTooOften):
            self.found(brian, amina.msisdn)
        assert self.found(brian, amina.msisdn, at=NOON + timedelta(hours=25)) == amina

    @pytest.mark.parametrize("typed", ["0711000101", "+254 711 000 101", "254711000101", "711000101"])
    def test_takes_a_number_in_any_of_its_forms(self, typed: str) -> None:
        assert receipts.msisdn_of(typed) == "254711000101"

    @pytest.mark.parametrize("typed", ["", "500", "abc", "٠٧١١٠٠٠١٠١", "*#"])
    def test_takes_nothing_else_for_a_number(self, typed: str) -> None:
        assert receipts.msisdn_of(typed) == ""


class TestWhatCanBePaid:
    def test_is_a_loan_on_another_number_of_the_same_person(self, aminas_loan: Loan) -> None:
        other = factories.register("Amina Wanjiru", "254711000199", "23456781")
        intent = asked(other)
        assert (intent.loan, intent.msisdn) == (aminas_loan, other.msisdn)

    @pytest.mark.usefixtures("rail")
    def test_is_a_loan_that_was_written_off(self, aminas_loan: Loan, amina: Borrower) -> None:
        factories.write_off(aminas_loan, at=NOON)
        asked(amina, 53_000)
        engine.run_due(NOON + timedelta(seconds=10))
        assert [order.amount_cents for order in prompts()] == [53_000]

    def test_are_the_last_cents_of_a_loan_in_a_whole_unit(self, law: None) -> None:
        loan = lend(product({}), 50_042, NOON)
        assert asked(loan.borrower, 50_100).amount_cents == 50_100

    def test_is_less_today_than_by_the_plan_where_interest_is_saved(self, law: None) -> None:
        loan = lend(product(LEVEL), 500_000, NOON)
        owed = loans.loan_to_repay(loan.identity_index)
        assert owed is not None
        found = payoffs.pay_off(owed, NOON.date() + timedelta(days=10))
        assert found.owed_cents == loan_outstanding(loan) and found.payable_cents == 501_700
        assert found.saved_cents == found.owed_cents - 501_700


def loan_outstanding(loan: Loan) -> int:
    return Loan.objects.get(id=loan.id).outstanding_cents


class TestFromSavings:
    @pytest.fixture
    def cow(self, amina: Borrower, aminas_loan: Loan) -> SavingsAccount:
        account = saving.pot(amina, goal="Cow")
        saving.deposit(account, 30_050)
        return account

    def pays(self, account: SavingsAccount, borrower: Borrower, cents: int = 20_000, **changes: Any) -> Any:
        said = {
            "borrower_id": borrower.id,
            "account_id": account.id,
            "amount_cents": cents,
            "origin": "1",
            "at": NOON,
        }
        return savings_sweeps.repay_from_savings(**(said | changes))

    def test_asks_the_holder_once_and_holds_the_money(self, cow: SavingsAccount, amina: Borrower) -> None:
        assert payoffs.savings_to_pay_from(amina.identity_index, NOON.date()) == [(cow, 30_000)]
        instruction = self.pays(cow, amina)
        assert self.pays(cow, amina) == instruction
        assert (instruction.kind, saving.fresh(cow).held_cents) == ("sweep", 20_000)
        with pytest.raises(savings_sweeps.SweepUnderWay):
            self.pays(cow, amina, origin="2")

    def test_refuses_other_people_s_savings_and_more_than_is_owed(
        self, cow: SavingsAccount, amina: Borrower, brian: Borrower
    ) -> None:
        with pytest.raises(savings_sweeps.NotTheirs):
            self.pays(cow, brian)
        with pytest.raises(repayments.InvalidRepayment):
            self.pays(cow, amina, 53_100)
        pay(amina.msisdn, 53_000)
        with pytest.raises(repayments.NoOpenLoan):
            self.pays(cow, amina)

    def test_that_the_holder_refuses_are_free_again_and_the_saver_is_told(
        self, cow: SavingsAccount, amina: Borrower, books_balance: Callable[[], None]
    ) -> None:
        instruction = self.pays(cow, amina)
        for _ in range(2):
            savings_instructions.reject_instruction(reference=instruction.reference, at=NOON)
        assert saving.fresh(cow).held_cents == 0
        assert OutboxMessage.objects.filter(topic="savings_did_not_pay").count() == 1
        assert outbox.topics_of("messages").count("savings_did_not_pay") == 1
        books_balance()
