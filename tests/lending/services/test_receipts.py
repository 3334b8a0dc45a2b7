"""Money in: counted once, allocated, kept or held."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Event

import pytest
from django.contrib.auth import get_user_model
from django.db import close_old_connections, connection, transaction

from lending.ledger import balance_cents
from lending.models import (
    Allocation,
    Borrower,
    Case,
    Loan,
    OutboxMessage,
    PaymentAttempt,
    PaymentIntent,
    Receipt,
    Repayment,
)
from lending.selectors import loans as loan_selectors
from lending.services import receipts
from tests import factories
from tests.factories import NOON, pay

pytestmark = pytest.mark.usefixtures("fixed_scorer")


class TestRecordReceipt:
    def test_pays_fee_and_tax_before_principal(self, aminas_loan: Loan, books_balance: Callable[[], None]) -> None:
        receipt = pay(aminas_loan.reference, 10_000)
        allocation = Allocation.objects.get(event_key=receipt.repayment.event.key)
        assert (allocation.fee_cents, allocation.tax_cents, allocation.principal_cents) == (2_500, 500, 7_000)
        aminas_loan.refresh_from_db()
        assert aminas_loan.outstanding_cents == 43_000
        books_balance()

    def test_a_repeated_callback_returns_the_receipt_on_record(
        self, aminas_loan: Loan, books_balance: Callable[[], None]
    ) -> None:
        first, again = pay(aminas_loan.reference, 10_000), pay(aminas_loan.reference, 10_000)
        assert first.id == again.id
        assert Repayment.objects.count() == 1
        assert OutboxMessage.objects.filter(topic="repayment_received").count() == 1
        books_balance()

    def test_a_number_in_small_letters_is_the_one_in_capitals(
        self, aminas_loan: Loan, books_balance: Callable[[], None]
    ) -> None:
        first = pay(aminas_loan.reference, 10_000, "sfc7xk2")
        assert pay(aminas_loan.reference, 10_000, "SFC7XK2").id == first.id
        assert Receipt.objects.get().receipt_no == "SFC7XK2"
        books_balance()

    def test_settles_the_loan_and_raises_the_limit_one_rung(
        self, aminas_loan: Loan, amina: Borrower, books_balance: Callable[[], None]
    ) -> None:
        pay(aminas_loan.reference, 53_000, at=NOON + timedelta(days=20))
        aminas_loan.refresh_from_db()
        amina.refresh_from_db()
        assert (aminas_loan.state, aminas_loan.outstanding_cents) == ("settled", 0)
        assert (amina.rung, amina.limit_cents) == (1, 150_000)
        books_balance()

    def test_paying_nine_days_late_keeps_the_lateness_and_lowers_the_rung(self, brian: Borrower) -> None:
        Borrower.objects.filter(id=brian.id).update(rung=3, limit_cents=300_000)
        brian.refresh_from_db()
        loan = factories.live_loan(brian)
        pay(loan.reference, 53_000, at=NOON + timedelta(days=39))
        loan.refresh_from_db()
        brian.refresh_from_db()
        assert (loan.worst_days_past_due, brian.rung) == (9, 1)

    def test_keeps_what_is_over_for_the_customer(
        self, aminas_loan: Loan, books_balance: Callable[[], None]
    ) -> None:
        receipt = pay(aminas_loan.reference, 60_000)
        assert receipt.over_cents == 7_000
        assert -balance_cents("customer_overpayments", "KES") == 7_000
        books_balance()

    def test_holds_money_that_fits_nobody_until_a_person_says_whose_it_is(
        self, aminas_loan: Loan, amina: Borrower, books_balance: Callable[[], None]
    ) -> None:
        receipt = pay("MAMA MBOGA", 53_000)
        assert receipt.state == "suspense" and -balance_cents("suspense", "KES") == 53_000
        assert Case.objects.get().kind == "unmatched_receipt"
        books_balance()

        officer = get_user_model().objects.create_user("wambui")
        receipts.match_receipt(
            receipt_id=receipt.id, borrower_id=amina.id, officer=officer, reason="Her sister paid", at=NOON
        )
        aminas_loan.refresh_from_db()
        assert (aminas_loan.state, balance_cents("suspense", "KES")) == ("settled", 0)
        assert Case.objects.get().closed_at is not None
        assert [line.kind for line in loan_selectors.statement(amina.id)].count("repaid") == 1
        books_balance()

    def test_the_same_receipt_with_another_amount_changes_nothing_and_asks_a_person(
        self, aminas_loan: Loan, books_balance: Callable[[], None]
    ) -> None:
        pay(aminas_loan.reference, 10_000)
        again = pay(aminas_loan.reference, 20_000)
        assert again.amount_cents == 10_000
        assert Case.objects.get().kind == "receipt_mismatch"
        books_balance()

    @pytest.mark.parametrize("amount_cents", [0, -100])
    def test_refuses_no_money(self, law: None, amount_cents: int) -> None:
        with pytest.raises(ValueError, match="must be positive"):
            pay("x", amount_cents)

    @pytest.mark.parametrize(
        "account", ["254711000101", "0711000101", "+254 711 000 101", "711000101", "00254711000101"]
    )
    def test_finds_the_borrower_by_the_number_in_any_form(self, amina: Borrower, account: str) -> None:
        assert pay(account, 1_000).borrower_id == amina.id

    def test_finds_a_payer_known_only_by_hash(self, amina: Borrower) -> None:
        assert pay("", 1_000, party=amina.msisdn_sha256).borrower_id == amina.id

    @pytest.mark.parametrize(
        ("typed", "kept"),
        [
            ("ID 31234578", "ID ******78"),
            ("0711000999", "0711000999"),
            ("0711 000 101", "0711 000 101"),
            ("711000101", "711000101"),
            ("RENT 14B", "RENT 14B"),
        ],
    )
    def test_masks_only_what_can_be_a_national_id(self, amina: Borrower, typed: str, kept: str) -> None:
        assert pay(typed, 1_000).account_reference == kept

    def test_what_is_kept_of_a_national_id_is_kept_as_it_is(self, amina: Borrower) -> None:
        kept = receipts.as_kept("23456781", NOON)
        assert receipts.as_kept(kept, NOON) == kept
        assert receipts.borrower_of_account(kept) == amina

    @pytest.mark.parametrize("account", ["", "٥٠٠", "'; DROP TABLE", "{0}", "🙂", "0" * 40])
    def test_odd_accounts_are_nobodys(self, amina: Borrower, account: str) -> None:
        assert pay(account, 1_000).state == "suspense"


class TestOrderOfArrival:
    def test_a_repayment_known_before_its_payout_is_applied_when_the_payout_is(
        self, amina: Borrower, books_balance: Callable[[], None]
    ) -> None:
        factories.decide(factories.apply(amina))
        loan = Loan.objects.get()
        early = pay(amina.msisdn, 53_000, at=NOON + timedelta(hours=2))
        assert early.over_cents == 53_000
        loan = factories.pay_out(loan, at=NOON + timedelta(hours=1))
        early.refresh_from_db()
        assert (loan.state, loan.outstanding_cents, early.over_cents) == ("settled", 0, 0)
        assert balance_cents("customer_overpayments", "KES") == 0
        assert not OutboxMessage.objects.filter(topic="loan_disbursed").exists()
        books_balance()

    @pytest.mark.parametrize("payout_known_first", [True, False])
    def test_a_repayment_counts_from_the_payout_on_whichever_is_known_first(
        self, amina: Borrower, payout_known_first: bool, books_balance: Callable[[], None]
    ) -> None:
        factories.decide(factories.apply(amina))
        loan = Loan.objects.get()
        if payout_known_first:
            factories.pay_out(loan, at=NOON + timedelta(hours=1))
        pay(amina.msisdn, 53_000, at=NOON + timedelta(minutes=30))
        if not payout_known_first:
            factories.pay_out(loan, at=NOON + timedelta(hours=1))
        loan.refresh_from_db()
        assert loan.settled_at == loan.repayments.get().received_at == NOON + timedelta(hours=1)
        books_balance()

    def test_money_kept_from_before_the_loan_stays_the_customers(self, amina: Borrower) -> None:
        pay(amina.msisdn, 10_000, "OLD1", at=NOON - timedelta(days=3))
        assert factories.live_loan(amina).outstanding_cents == 53_000

    @pytest.mark.parametrize("order", [(8, 33), (33, 8)])
    def test_two_halves_settle_the_loan_alike_in_any_order(
        self, aminas_loan: Loan, amina: Borrower, order: tuple[int, int], books_balance: Callable[[], None]
    ) -> None:
        for day in order:
            pay(aminas_loan.reference, 26_500, f"HALF{day}", at=NOON + timedelta(days=day))
        aminas_loan.refresh_from_db()
        amina.refresh_from_db()
        assert (aminas_loan.worst_days_past_due, amina.rung) == (3, 0)
        assert aminas_loan.settled_at == NOON + timedelta(days=33)
        books_balance()


class TestWhoseMoney:
    def test_money_for_the_persons_other_number_pays_their_loan(
        self, aminas_loan: Loan, books_balance: Callable[[], None]
    ) -> None:
        factories.register(msisdn="254711000199")
        pay("0711000199", 53_000)
        aminas_loan.refresh_from_db()
        assert aminas_loan.state == "settled"
        books_balance()

    def test_money_after_a_write_off_is_recovered_and_clears_the_name(
        self, aminas_loan: Loan, books_balance: Callable[[], None]
    ) -> None:
        factories.write_off(aminas_loan, at=NOON + timedelta(days=220))
        pay(aminas_loan.reference, 60_000, at=NOON + timedelta(days=300))
        aminas_loan.refresh_from_db()
        assert (aminas_loan.state, aminas_loan.outstanding_cents) == ("written_off", 0)
        assert aminas_loan.settled_at is not None
        assert -balance_cents("recovery_income", "KES") == 52_500
        assert -balance_cents("customer_overpayments", "KES") == 7_000
        books_balance()

    def test_one_receipt_pays_for_one_prompt(self, aminas_loan: Loan, amina: Borrower) -> None:
        first, second = (prompt(amina, number) for number in (1, 2))
        pay(aminas_loan.reference, 10_000, attempt=first)
        with pytest.raises(receipts.ReceiptTaken):
            pay(aminas_loan.reference, 10_000, attempt=second)
        assert Case.objects.get().kind == "receipt_mismatch"
        assert Receipt.objects.get().attempt_id == first.id


def prompt(borrower: Borrower, number: int) -> PaymentAttempt:
    intent = PaymentIntent.objects.create(
        purpose="collect",
        business_key=f"collect:test:{number}",
        provider="daraja",
        borrower=borrower,
        msisdn=borrower.msisdn,
        amount_cents=10_000,
        currency="KES",
        due_at=NOON,
        created_at=NOON,
    )
    return PaymentAttempt.objects.create(intent=intent, number=1, provider="daraja", created_at=NOON)


@pytest.mark.django_db(transaction=True)
def test_eight_callbacks_at_once_count_the_money_once(law: None, fixed_scorer: object) -> None:
    loan = factories.live_loan(factories.register())

    def call_back(_: int) -> int:
        close_old_connections()
        try:
            return pay(loan.reference, 10_000).id
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        made = set(pool.map(call_back, range(8)))
    loan.refresh_from_db()
    assert len(made) == 1
    assert (Receipt.objects.count(), Repayment.objects.count(), loan.outstanding_cents) == (1, 1, 43_000)


@pytest.mark.django_db(transaction=True)
def test_two_prompts_that_claim_one_receipt_at_once_do_not_both_get_it(law: None, fixed_scorer: object) -> None:
    amina = factories.register()
    loan = factories.live_loan(amina)
    first, second = (prompt(amina, number) for number in (1, 2))
    pay(loan.reference, 10_000)

    def claim_second() -> bool:
        try:
            pay(loan.reference, 10_000, attempt=second)
        except receipts.ReceiptTaken:
            return False
        finally:
            connection.close()
        return True

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            pay(loan.reference, 10_000, attempt=first)
            claimed = pool.submit(claim_second)
            wait_until_somebody_waits_for_a_lock()
        assert not claimed.result()
    assert Receipt.objects.get().attempt_id == first.id


def wait_until_somebody_waits_for_a_lock() -> None:
    for _ in range(500):
        with connection.cursor() as cursor:
            cursor.execute("SELECT FROM pg_locks WHERE NOT granted")
            if cursor.fetchone() is not None:
                return
        Event().wait(0.02)
    raise AssertionError("nobody waits for a lock")
