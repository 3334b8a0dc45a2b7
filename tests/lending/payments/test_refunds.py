"""What a customer paid too much goes back: once, whole, and not before it is known that it left."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, close_old_connections, connection, transaction

from lending.ledger import balance_cents
from lending.models import (
    AuditEvent,
    Borrower,
    Case,
    Loan,
    OutboxMessage,
    PaymentAttempt,
    PaymentIntent,
    Receipt,
    Refund,
    RefundPart,
    SavingsGroup,
)
from lending.payments import engine, settling
from lending.ports import Failed, Succeeded, Unknown
from lending.selectors import overpayments
from lending.services import changes, proposals, receipts, refunds, savings, savings_instructions
from lending.services.saved_overpayments import NotTheirAccount, save_overpayment
from tests import factories
from tests.factories import NOON, pay
from tests.lending import saving
from tests.lending.payments.operator import Operator

MSISDN = "254711000101"
LATER = NOON + timedelta(hours=1)


@pytest.fixture
def overpaid(aminas_loan: Loan) -> Loan:
    """Amina's loan of KES 530, for which she paid 600."""
    pay(aminas_loan.reference, 60_000)
    aminas_loan.refresh_from_db()
    return aminas_loan


def kept(borrower: Borrower) -> int:
    return overpayments.kept_cents(borrower.identity_index)


def owed_to_customers() -> int:
    return -balance_cents("customer_overpayments", "KES")


def ask(borrower: Borrower, origin: str = "ussd:test:7") -> Refund:
    return refunds.refund_to_wallet(borrower_id=borrower.id, origin=origin, at=LATER)


def arrives(refund: Refund, receipt_no: str = "SGBACK1", cents: int | None = None) -> str:
    """Let the operator say that a refund reached the wallet."""
    assert refund.intent is not None
    attempt = refund.intent.attempts.latest("number")
    told = Succeeded(receipt_no, cents or refund.amount_cents, MSISDN, LATER + timedelta(minutes=1))
    return settling.settle(attempt.id, told, at=LATER + timedelta(minutes=1), source="b2c")


class TestToTheWallet:
    def test_goes_out_once_and_is_a_fact_of_the_loan(
        self, overpaid: Loan, rail: Operator, books_balance: Callable[[], None]
    ) -> None:
        refund = ask(overpaid.borrower)
        assert (refund.amount_cents, refund.state, kept(overpaid.borrower)) == (7_000, "open", 0)
        assert owed_to_customers() == 7_000, "until it has left, we owe it"
        for _ in range(3):
            engine.run_due(LATER)
        assert [(order.amount_cents, order.purpose, order.msisdn) for order in rail.sent] == [
            (7_000, "refund", MSISDN)
        ]
        for _ in range(3):
            arrives(refund)
        refund.refresh_from_db()
        assert (refund.state, owed_to_customers(), kept(overpaid.borrower)) == ("succeeded", 0, 0)
        fact = overpaid.events.get(kind="refund")
        assert fact.details == {"amount_cents": 7_000, "account": "mpesa_payout"}
        assert OutboxMessage.objects.filter(topic="refund_given").count() == 1
        assert AuditEvent.objects.get(action="given_back").detail["cents"] == 7_000
        books_balance()

    def test_the_same_word_gives_back_once(self, overpaid: Loan, rail: Operator) -> None:
        assert ask(overpaid.borrower) == ask(overpaid.borrower)
        assert PaymentIntent.objects.filter(purpose="refund").count() == 1

    def test_its_id_is_committed_before_the_call(self, overpaid: Loan, rail: Operator) -> None:
        refund = ask(overpaid.borrower)
        seen: list[str] = []

        def look(order: Any) -> Unknown:
            seen.append(PaymentAttempt.objects.get(provider_ref=order.provider_ref).state)
            return Unknown("ReadTimeout")

        rail.submit.append(look)
        engine.run_due(LATER)
        assert seen == ["submitting"]
        refund.refresh_from_db()
        assert (refund.state, kept(overpaid.borrower)) == ("open", 0), "unknown keeps it reserved"

    def test_what_is_unknown_is_never_sent_again_nor_asked_for_anew(self, overpaid: Loan, rail: Operator) -> None:
        rail.submit.append(Unknown("ReadTimeout"))
        refund = ask(overpaid.borrower)
        for minutes in (0, 1, 5, 15, 60, 200, 400, 800, 1_440, 2_880):
            engine.run_due(LATER + timedelta(minutes=minutes))
        assert len(rail.sent) == 1
        with pytest.raises(refunds.RefundUnderWay):
            ask(overpaid.borrower, "ussd:test:8")
        assert Case.objects.filter(kind="payout_unknown").count() == 1
        arrives(refund)
        assert (len(rail.sent), owed_to_customers()) == (1, 0)

    def test_a_certain_failure_leaves_it_with_us_and_says_so(
        self, overpaid: Loan, rail: Operator, books_balance: Callable[[], None]
    ) -> None:
        refund = ask(overpaid.borrower)
        rail.submit.append(Failed("2001", "The initiator is not allowed"))
        engine.run_due(LATER)
        refund.refresh_from_db()
        assert (refund.state, owed_to_customers(), kept(overpaid.borrower)) == ("failed", 7_000, 7_000)
        assert OutboxMessage.objects.filter(topic="refund_failed").count() == 1
        books_balance()
        again = ask(overpaid.borrower, "ussd:test:8")
        engine.run_due(LATER)
        arrives(again)
        assert owed_to_customers() == 0

    def test_a_late_success_is_booked_and_what_it_gave_too_much_is_a_case(
        self, overpaid: Loan, rail: Operator, books_balance: Callable[[], None]
    ) -> None:
        first = ask(overpaid.borrower)
        rail.submit.append(Failed("2001", "no"))
        engine.run_due(LATER)
        second = ask(overpaid.borrower, "ussd:test:8")
        engine.run_due(LATER)
        arrives(second, "SGBACK2")
        assert arrives(first) == "late success"
        assert owed_to_customers() == -7_000, "the customer owes it to us now"
        assert Case.objects.get(kind="refunded_too_much").subject_key == f"loan:{overpaid.id}"
        with pytest.raises(refunds.NothingKept):
            ask(overpaid.borrower, "ussd:test:9")
        books_balance()

    def test_one_payment_for_a_loan_and_for_money_that_found_none(
        self, overpaid: Loan, rail: Operator, books_balance: Callable[[], None]
    ) -> None:
        beside = pay(MSISDN, 3_000, "SFC7XK3", at=NOON + timedelta(minutes=5))
        refund = ask(overpaid.borrower)
        assert refund.amount_cents == 10_000
        assert {(part.loan_id, part.receipt_id, part.amount_cents) for part in refund.parts.all()} == {
            (overpaid.id, None, 7_000),
            (None, beside.id, 3_000),
        }
        engine.run_due(LATER)
        arrives(refund)
        assert (owed_to_customers(), kept(overpaid.borrower)) == (0, 0)
        books_balance()

    def test_goes_to_a_person_whichever_of_their_numbers_paid(self, overpaid: Loan, rail: Operator) -> None:
        second = factories.register("Amina Wanjiru", "254711000199", "23456781")
        pay("254711000199", 2_000, "SFC7XK4")
        refund = ask(second)
        assert (refund.amount_cents, refund.intent and refund.intent.msisdn) == (9_000, "254711000199")

    def test_a_loan_paid_early_is_not_given_back_while_its_payout_is_under_way(
        self, amina: Borrower, fixed_scorer: object, rail: Operator
    ) -> None:
        application = factories.apply(amina)
        factories.decide(application)
        pay(MSISDN, 10_000)
        with pytest.raises(refunds.LoanUnderWay):
            ask(amina)

    def test_what_is_on_its_way_back_does_not_repay_the_next_loan(
        self, amina: Borrower, fixed_scorer: object, rail: Operator, books_balance: Callable[[], None]
    ) -> None:
        pay(MSISDN, 3_000, at=LATER)
        refund = ask(amina)
        loan = factories.live_loan(amina, at=NOON)  # approved before that money came, told after it
        assert loan.outstanding_cents == 53_000
        engine.run_due(LATER)
        arrives(refund)
        assert owed_to_customers() == 0
        books_balance()

    @pytest.mark.parametrize("state", ["blocked", "deceased"])
    def test_is_not_the_word_of_who_cannot_speak(self, overpaid: Loan, state: str) -> None:
        Borrower.objects.update(state=state)
        with pytest.raises(refunds.NotTheirWord):
            ask(overpaid.borrower)

    def test_nothing_is_nothing(self, aminas_loan: Loan) -> None:
        with pytest.raises(refunds.NothingKept):
            ask(aminas_loan.borrower)


class TestPostgresRefuses:
    def test_a_second_one_on_its_way_to_the_same_person(self, overpaid: Loan) -> None:
        ask(overpaid.borrower)
        pay(MSISDN, 3_000, "SFC7XK3")
        with pytest.raises(IntegrityError, match="refund_one_open_per_person"), transaction.atomic():
            refunds.reserve(overpaid.borrower, "savings", "another", 3_000, LATER)

    def test_more_than_is_kept(self, overpaid: Loan) -> None:
        refund = ask(overpaid.borrower)
        for part in ({"loan": overpaid}, {"receipt": Receipt.objects.get()}):
            with pytest.raises(IntegrityError, match="kept, "), transaction.atomic():
                RefundPart.objects.create(refund=refund, amount_cents=7_001, **part)

    def test_a_success_that_becomes_a_failure(self, overpaid: Loan, rail: Operator) -> None:
        refund = ask(overpaid.borrower)
        engine.run_due(LATER)
        arrives(refund)
        with pytest.raises(IntegrityError, match="cannot become failed"), transaction.atomic():
            Refund.objects.update(state="failed", given_at=None)


class TestWhatIsUndoneMeanwhile:
    def test_waits_until_the_refund_is_known(self, overpaid: Loan, rail: Operator) -> None:
        refund = ask(overpaid.borrower)
        receipt = Receipt.objects.get()
        with pytest.raises(refunds.RefundUnderWay):
            receipts.reverse_receipt(receipt_id=receipt.id, actor=None, reason="theirs", at=LATER)
        with pytest.raises(refunds.RefundUnderWay):
            changes.preview(overpaid, "reverse", {"of": receipts.key_of(receipt)}, LATER.date())
        engine.run_due(LATER)
        arrives(refund)
        receipts.reverse_receipt(receipt_id=receipt.id, actor=None, reason="theirs", at=LATER)
        assert Case.objects.get(kind="refunded_too_much").note == "7000 given back, 0 kept"

    def test_money_that_found_no_loan_and_went_back_is_a_case_when_the_operator_takes_it(
        self, amina: Borrower, rail: Operator, books_balance: Callable[[], None]
    ) -> None:
        receipt = pay(MSISDN, 3_000)
        refund = ask(amina)
        engine.run_due(LATER)
        arrives(refund)
        receipts.reverse_receipt(receipt_id=receipt.id, actor=None, reason="theirs", at=LATER)
        assert Case.objects.get(kind="refunded_too_much").subject_key == f"receipt:{receipt.id}"
        assert (kept(amina), owed_to_customers()) == (-3_000, -3_000)
        books_balance()


class TestTooLittle:
    """No rail pays cents."""

    @pytest.fixture
    def cents(self, amina: Borrower, fixed_scorer: object) -> Callable[[int], Loan]:
        """Return a loan under a tolerance, paid KES 70.30 or something else too much."""

        def lent(tolerance_cents: int, over_cents: int = 7_030) -> Loan:
            terms = factories.usual_product().terms
            factories.next_version(terms=terms | {"closing_tolerance_cents": tolerance_cents})
            loan = factories.live_loan(amina)
            pay(loan.reference, 53_000 + over_cents)
            return loan

        return lent

    def test_a_rest_within_the_tolerance_is_closed_when_the_rest_has_gone(
        self, cents: Any, rail: Operator, books_balance: Callable[[], None]
    ) -> None:
        loan = cents(50)
        refund = ask(loan.borrower)
        assert refund.amount_cents == 7_000
        engine.run_due(LATER)
        arrives(refund)
        assert (owed_to_customers(), balance_cents("small_balances", "KES")) == (0, -30)
        assert sorted(loan.events.filter(kind="refund").values_list("details__account", flat=True)) == [
            "mpesa_payout",
            "small_balances",
        ]
        assert OutboxMessage.objects.filter(topic="refund_given").count() == 1, "nobody is told of 30 cents"
        books_balance()

    def test_without_a_tolerance_it_stays_the_customers(self, cents: Any, rail: Operator) -> None:
        loan = cents(0)
        ask(loan.borrower)
        assert (kept(loan.borrower), balance_cents("small_balances", "KES")) == (30, 0)

    @pytest.mark.parametrize("tolerance_cents", [0, 50])
    def test_alone_it_is_no_refund(self, cents: Any, tolerance_cents: int) -> None:
        with pytest.raises(refunds.TooLittle):
            ask(cents(tolerance_cents, 30).borrower)

    def test_two_officers_close_what_is_left_of_who_died(
        self, cents: Any, rail: Operator, books_balance: Callable[[], None]
    ) -> None:
        loan = cents(50, 30)
        Borrower.objects.update(state="deceased")
        wambui, njeri = (User.objects.create_user(name) for name in ("wambui", "njeri"))
        word = refunds.propose_refund(borrower=loan.borrower, maker=wambui, reason="estate", at=LATER)
        assert word.preview == {"kept_cents": 30, "payable_cents": 0, "rounded_cents": 30, "left_cents": 0}
        proposals.decide(proposal_id=word.id, checker=njeri, approve=True, at=LATER)
        assert (owed_to_customers(), balance_cents("small_balances", "KES"), rail.sent) == (0, -30, [])
        books_balance()


class TestTwoOfficers:
    def test_give_back_at_their_word(self, overpaid: Loan, rail: Operator) -> None:
        wambui, njeri = (User.objects.create_user(name) for name in ("wambui", "njeri"))
        Borrower.objects.update(state="deceased")
        word = refunds.propose_refund(borrower=overpaid.borrower, maker=wambui, reason="heirs", at=LATER)
        assert (word.preview["payable_cents"], Refund.objects.count()) == (7_000, 0)
        with pytest.raises(proposals.SamePerson):
            proposals.decide(proposal_id=word.id, checker=wambui, approve=True, at=LATER)
        proposals.decide(proposal_id=word.id, checker=njeri, approve=True, at=LATER)
        refund = Refund.objects.get()
        assert (refund.origin, refund.actor, refund.amount_cents) == (f"proposal:{word.id}", wambui, 7_000)

    def test_not_when_the_customer_was_quicker(self, overpaid: Loan) -> None:
        wambui, njeri = (User.objects.create_user(name) for name in ("wambui", "njeri"))
        word = refunds.propose_refund(borrower=overpaid.borrower, maker=wambui, reason="asked", at=LATER)
        ask(overpaid.borrower)
        with pytest.raises(proposals.Overtaken):
            proposals.decide(proposal_id=word.id, checker=njeri, approve=True, at=LATER)
        assert Refund.objects.count() == 1


class TestIntoSavings:
    def account(self, borrower: Borrower) -> Any:
        return saving.pot(borrower, "jirani-save")

    def save(self, account: Any) -> Refund:
        return save_overpayment(account_id=account.id, origin="ussd:test:7", at=LATER)

    def confirm(self, refund: Refund) -> None:
        savings_instructions.confirm_instruction(
            reference=refund.instruction.reference,  # type: ignore[union-attr]
            amount_cents=refund.amount_cents,
            partner_reference="UB1",
            moved_at=LATER,
            value_on=LATER.date(),
            at=LATER,
        )

    def test_counts_when_the_partner_confirms_it(self, overpaid: Loan, books_balance: Callable[[], None]) -> None:
        account = self.account(overpaid.borrower)
        refund = self.save(account)
        assert self.save(account) == refund
        assert (refund.state, owed_to_customers(), kept(overpaid.borrower)) == ("open", 7_000, 0)
        for _ in range(2):
            self.confirm(refund)
        account.refresh_from_db()
        assert (owed_to_customers(), account.balance_cents, -balance_cents("savings_owed", "KES")) == (
            0,
            7_000,
            7_000,
        )
        assert overpaid.events.get(kind="refund").details["account"] == "mpesa_paybill"
        books_balance()

    def test_a_partner_who_rejects_leaves_it_with_us(
        self, overpaid: Loan, books_balance: Callable[[], None]
    ) -> None:
        refund = self.save(self.account(overpaid.borrower))
        savings_instructions.reject_instruction(reference=refund.instruction.reference, at=LATER)  # type: ignore[union-attr]
        refund.refresh_from_db()
        assert (refund.state, kept(overpaid.borrower), owed_to_customers()) == ("failed", 7_000, 7_000)
        books_balance()

    def test_is_there_at_once_where_we_hold_it_ourselves_cents_included(
        self, aminas_loan: Loan, books_balance: Callable[[], None]
    ) -> None:
        pay(aminas_loan.reference, 60_030)
        account = self.account(aminas_loan.borrower)
        account.partner = ""
        account.save()
        refund = self.save(account)
        account.refresh_from_db()
        assert (refund.state, account.balance_cents, owed_to_customers()) == ("succeeded", 7_030, 0)
        assert balance_cents("mpesa_paybill", "KES") == 60_030, "the money has not moved"
        books_balance()

    def test_not_into_an_account_that_is_closing(self, overpaid: Loan) -> None:
        account = self.account(overpaid.borrower)
        savings_instructions.close_account(account_id=account.id, at=NOON)
        with pytest.raises(savings.AccountClosed):
            self.save(account)
        assert kept(overpaid.borrower) == 7_000

    def test_not_into_a_groups_account(self, overpaid: Loan) -> None:
        group = SavingsGroup.objects.create(name="Tumaini", formed_at=NOON)
        account = savings.open_account(product_code="jirani-group", group=group, at=NOON)
        with pytest.raises(NotTheirAccount):
            self.save(account)


@pytest.mark.django_db(transaction=True)
def test_asked_for_twice_at_once_it_goes_out_once(law: None, fixed_scorer: object) -> None:
    loan = factories.live_loan(factories.register())
    pay(loan.reference, 60_000)
    account = saving.pot(loan.borrower, "jirani-save")

    def tries(way: Callable[[], Refund]) -> str:
        close_old_connections()
        try:
            return way().way
        except refunds.RefundUnderWay:
            return "under way"
        finally:
            connection.close()

    ways = [
        lambda: ask(loan.borrower, "ussd:test:1"),
        lambda: ask(loan.borrower, "ussd:test:1"),
        lambda: ask(loan.borrower, "ussd:test:2"),
        lambda: save_overpayment(account_id=account.id, origin="ussd:test:3", at=LATER),
    ]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(tries, ways))
    assert Refund.objects.count() == 1
    assert PaymentIntent.objects.filter(purpose="refund").count() <= 1
    assert kept(loan.borrower) == 0


def test_a_receipt_that_went_to_somebody_else_keeps_what_it_keeps_there(
    aminas_loan: Loan, brian: Borrower, books_balance: Callable[[], None]
) -> None:
    """Given to Amina's loan by mistake, then kept for Brian, who has none: her next payment leaves it alone."""
    receipt = pay(aminas_loan.reference, 3_000)
    receipts.release_receipt(receipt_id=receipt.id, actor=None, reason="Brian's", at=LATER)
    receipts.match_receipt(receipt_id=receipt.id, borrower_id=brian.id, officer=None, reason="his", at=LATER)
    pay(aminas_loan.reference, 10_000, "SFC7XK3", at=LATER)
    receipt.refresh_from_db()
    assert (receipt.over_cents, kept(brian)) == (3_000, 3_000)
    books_balance()
