"""Paying in: one prompt, one receipt, one deposit, and no loan that takes it instead."""

from datetime import timedelta
from typing import Any

import pytest

from lending.ledger import balance_cents
from lending.models import (
    Borrower,
    Case,
    Loan,
    OutboxMessage,
    PaymentIntent,
    Receipt,
    SavingsAccount,
    SavingsInstruction,
)
from lending.payments import engine, settling
from lending.ports import Failed, Succeeded
from lending.selectors import deposits as selectors
from lending.selectors import loans as loan_selectors
from lending.selectors import overpayments
from lending.services import deposits, groups, receipts, repayments, savings_instructions
from lending.services.savings import AccountClosed
from tests.factories import NOON, pay
from tests.lending import saving
from tests.lending.payments import operator
from tests.lending.payments.operator import Operator

LATER = NOON + timedelta(hours=1)
TOMORROW = NOON + timedelta(days=1)


@pytest.fixture
def rail(settings, monkeypatch) -> Operator:  # type: ignore[no-untyped-def]
    settings.PAYMENT_PROVIDERS = {"daraja": "tests.lending.payments.operator.rail"}
    monkeypatch.setattr(operator, "current", Operator())
    return operator.current


@pytest.fixture
def pot(amina: Borrower) -> SavingsAccount:
    return saving.pot(amina, goal="School fees", at=NOON)


def ask(pot: SavingsAccount, borrower: Borrower, cents: int = 10_000, origin: str = "hop") -> PaymentIntent:
    return deposits.request_deposit(
        borrower_id=borrower.id, account_id=pot.id, amount_cents=cents, origin=origin, at=NOON
    )


def sent(intent: PaymentIntent) -> Any:
    engine.run_due(NOON + timedelta(seconds=10))
    return intent.attempts.get()


def paid(receipt_no: str = "SAV1", cents: int = 10_000) -> Succeeded:
    return Succeeded(receipt_no, cents, "254711000101", LATER)


def confirm(receipt_no: str = "SAV1", cents: int = 10_000) -> None:
    savings_instructions.confirm_instruction(
        reference=f"deposit:daraja:{receipt_no}", amount_cents=cents, partner_reference=f"UB:{receipt_no}",
        moved_at=TOMORROW, value_on=TOMORROW.date(), at=TOMORROW,
    )  # fmt: skip


def kept(borrower: Borrower) -> int:
    return overpayments.kept_cents(borrower.identity_index)


def in_transit() -> int:
    return -balance_cents("savings_in_transit", "KES")


class TestRequest:
    def test_a_repeated_hop_asks_once(self, amina: Borrower, pot: SavingsAccount) -> None:
        assert ask(pot, amina) == ask(pot, amina)

    def test_one_prompt_at_a_time_whatever_it_is_for(self, aminas_loan: Loan, pot: SavingsAccount) -> None:
        ask(pot, aminas_loan.borrower)
        with pytest.raises(repayments.PromptPending):
            ask(pot, aminas_loan.borrower, origin="another")
        with pytest.raises(repayments.PromptPending):
            repayments.request_repayment(
                borrower_id=aminas_loan.borrower_id, amount_cents=10_000, origin="repay", at=NOON
            )

    @pytest.mark.parametrize("cents", [0, 50, 10_050, 25_000_100])
    def test_refuses_what_the_rail_does_not_take(self, amina: Borrower, pot: SavingsAccount, cents: int) -> None:
        with pytest.raises(deposits.InvalidDeposit):
            ask(pot, amina, cents)

    def test_nobody_is_asked_to_save_for_somebody_else(self, brian: Borrower, pot: SavingsAccount) -> None:
        with pytest.raises(deposits.NotTheirAccount):
            ask(pot, brian)

    def test_a_closed_account_takes_none(self, amina: Borrower, pot: SavingsAccount) -> None:
        savings_instructions.close_account(account_id=pot.id, at=NOON)
        with pytest.raises(AccountClosed):
            ask(pot, amina)


class TestReceipt:
    def test_money_of_a_prompt_is_saved_once_and_pays_no_loan(
        self, rail: Operator, aminas_loan: Loan, pot: SavingsAccount, books_balance: Any
    ) -> None:
        attempt = sent(ask(pot, aminas_loan.borrower))
        assert [(order.purpose, order.account_reference) for order in rail.sent] == [
            ("save", selectors.paybill_account(pot, aminas_loan.borrower))
        ]
        for _ in range(2):
            settling.settle(attempt.id, paid(), at=LATER, source="stk")
        pay(selectors.paybill_account(pot, aminas_loan.borrower), 10_000, "SAV1", at=LATER)

        aminas_loan.refresh_from_db()
        assert (aminas_loan.outstanding_cents, in_transit(), saving.fresh(pot).balance_cents) == (53_000, 10_000, 0)
        assert selectors.on_its_way_cents(pot.id) == 10_000
        books_balance()
        for _ in range(2):
            confirm()
        assert (in_transit(), saving.fresh(pot).balance_cents, balance_cents("mpesa_paybill", "KES")) == (
            0,
            10_000,
            0,
        )
        assert not Case.objects.exists()
        books_balance()

    def test_the_paybill_road_may_come_first(
        self, rail: Operator, amina: Borrower, pot: SavingsAccount, books_balance: Any
    ) -> None:
        intent = ask(pot, amina)
        attempt = sent(intent)
        pay(rail.sent[0].account_reference, 10_000, "SAV1", at=LATER)
        settling.settle(attempt.id, paid(), at=LATER, source="stk")
        intent.refresh_from_db()
        assert (intent.state, Receipt.objects.get().attempt_id) == ("succeeded", attempt.id)
        assert SavingsInstruction.objects.get().amount_cents == 10_000
        assert not Case.objects.exists()
        books_balance()

    def test_a_payment_to_the_loan_is_no_answer_to_a_prompt_for_savings(
        self, rail: Operator, aminas_loan: Loan, pot: SavingsAccount
    ) -> None:
        attempt = sent(ask(pot, aminas_loan.borrower))
        pay(aminas_loan.reference, 10_000, "LOAN1", at=LATER, party="254711000101")
        settling.give_up_prompt(attempt.id, LATER + timedelta(hours=2))
        attempt.refresh_from_db()
        assert attempt.state == "failed"

    def test_a_prompt_whose_account_the_operator_lost_is_looked_at_by_a_person(
        self, rail: Operator, aminas_loan: Loan, pot: SavingsAccount
    ) -> None:
        attempt = sent(ask(pot, aminas_loan.borrower))
        pay("0711000101", 10_000, "SAV1", at=LATER)
        settling.settle(attempt.id, paid(), at=LATER, source="stk")
        aminas_loan.refresh_from_db()
        assert aminas_loan.outstanding_cents == 43_000
        assert [case.kind for case in Case.objects.all()] == ["receipt_mismatch"]

    def test_a_prompt_that_failed_says_how_to_save_otherwise(
        self, rail: Operator, amina: Borrower, pot: SavingsAccount
    ) -> None:
        attempt = sent(ask(pot, amina))
        settling.settle(attempt.id, Failed("1032", "cancelled"), at=LATER, source="stk")
        assert OutboxMessage.objects.filter(topic="repayment_not_made").count() == 1
        assert not SavingsInstruction.objects.exists()

    def test_a_mistyped_account_waits_in_suspense(self, amina: Borrower, pot: SavingsAccount) -> None:
        typed = selectors.paybill_account(pot, amina)
        wrong = f"{typed[:-1]}{(int(typed[-1]) + 1) % 10}"
        receipt = pay(wrong, 10_000, "SAV1")
        assert (receipt.state, receipt.borrower) == ("suspense", None)

    def test_what_the_holder_refuses_is_kept_for_who_paid(
        self, amina: Borrower, pot: SavingsAccount, books_balance: Any
    ) -> None:
        pay(selectors.paybill_account(pot, amina), 10_000, "SAV1")
        for _ in range(2):
            savings_instructions.reject_instruction(reference="deposit:daraja:SAV1", at=TOMORROW)
        assert (kept(amina), in_transit()) == (10_000, 0)
        assert OutboxMessage.objects.filter(topic="deposit_kept").count() == 1
        books_balance()

    def test_money_for_a_closed_account_is_kept_and_pays_no_loan(
        self, aminas_loan: Loan, pot: SavingsAccount, books_balance: Any
    ) -> None:
        savings_instructions.close_account(account_id=pot.id, at=NOON)
        pay(selectors.paybill_account(pot, aminas_loan.borrower), 10_000, "SAV1")
        aminas_loan.refresh_from_db()
        assert (kept(aminas_loan.borrower), aminas_loan.outstanding_cents) == (10_000, 53_000)
        books_balance()

    def test_where_we_hold_savings_it_counts_at_once(self, amina: Borrower, books_balance: Any) -> None:
        ours = saving.product("ours", partner="")
        pot = SavingsAccount.objects.create(
            borrower=amina, product_version=ours, currency="KES", accrued_on=NOON.date() - timedelta(days=1),
            period_on=NOON.date(), earns_from=NOON.date(), opened_at=NOON, used_on=NOON.date(),
        )  # fmt: skip
        pay(selectors.paybill_account(pot, amina), 10_000, "SAV1")
        assert (saving.fresh(pot).balance_cents, balance_cents("customer_savings", "KES")) == (10_000, -10_000)
        books_balance()

    def test_the_first_screen_says_that_it_came(self, amina: Borrower, pot: SavingsAccount) -> None:
        pay(selectors.paybill_account(pot, amina), 10_000, "SAV1")
        last = loan_selectors.last_event(amina.id, NOON)
        assert last is not None
        assert (last.kind, last.amount_cents) == ("saved", 10_000)
        assert loan_selectors.statement(amina.id) == []


class TestTakenBack:
    def test_money_that_the_operator_took_back_is_asked_of_the_holder_no_more(
        self, amina: Borrower, pot: SavingsAccount, books_balance: Any
    ) -> None:
        receipt = pay(selectors.paybill_account(pot, amina), 10_000, "SAV1")
        for _ in range(2):
            receipts.reverse_receipt(receipt_id=receipt.id, actor=None, reason="wrong number", at=LATER)
        assert (in_transit(), SavingsInstruction.objects.get().state) == (0, "rejected")
        with pytest.raises(savings_instructions.InstructionMismatch):
            confirm()
        books_balance()

    def test_what_the_holder_has_cannot_be_taken_back(self, amina: Borrower, pot: SavingsAccount) -> None:
        receipt = pay(selectors.paybill_account(pot, amina), 10_000, "SAV1")
        confirm()
        with pytest.raises(deposits.HandedOn):
            receipts.reverse_receipt(receipt_id=receipt.id, actor=None, reason="wrong number", at=TOMORROW)
        receipt.refresh_from_db()
        assert receipt.state == "allocated"

    def test_what_was_refused_and_released_can_be_given_to_its_owner(
        self, amina: Borrower, brian: Borrower, pot: SavingsAccount, books_balance: Any
    ) -> None:
        receipt = pay(selectors.paybill_account(pot, amina), 10_000, "SAV1")
        savings_instructions.reject_instruction(reference="deposit:daraja:SAV1", at=LATER)
        receipts.release_receipt(receipt_id=receipt.id, actor=None, reason="Brian paid", at=TOMORROW)
        receipts.match_receipt(
            receipt_id=receipt.id, borrower_id=brian.id, officer=None, reason="his slip", at=TOMORROW
        )
        assert (kept(amina), kept(brian)) == (0, 10_000)
        books_balance()


class TestGroup:
    @pytest.fixture
    def account(self, amina: Borrower, brian: Borrower) -> SavingsAccount:
        group = groups.form_group(
            name="Tumaini", members=[amina, brian], approvals_needed=1, product_code="jirani-group", at=NOON
        )
        return saving.fresh(SavingsAccount.objects.get(group=group))

    def test_a_contribution_carries_its_member(
        self, rail: Operator, brian: Borrower, account: SavingsAccount, books_balance: Any
    ) -> None:
        attempt = sent(ask(account, brian))
        told = Succeeded("SAV1", 10_000, brian.msisdn, LATER)
        settling.settle(attempt.id, told, at=LATER, source="stk")
        confirm()
        [movement] = saving.fresh(account).movements.all()
        assert movement.member is not None
        assert (movement.member.borrower_id, movement.amount_cents) == (brian.id, 10_000)
        books_balance()

    def test_who_has_left_pays_in_nothing_more(self, brian: Borrower, account: SavingsAccount) -> None:
        typed = selectors.paybill_account(account, brian)
        groups.leave(member_id=groups.member_of(account.group_id or 0, brian.id).id, at=NOON)
        pay(typed, 10_000, "SAV1")
        assert kept(brian) == 10_000
        with pytest.raises(deposits.NotTheirAccount):
            ask(account, brian)
