"""Money in: counted once, allocated, kept or held."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model
from django.db import close_old_connections, connection

from lending.ledger import balance_cents
from lending.models import Borrower, Case, Loan, OutboxMessage, Receipt, Repayment
from lending.services import receipts
from tests import factories
from tests.factories import NOON, pay

pytestmark = pytest.mark.usefixtures("fixed_scorer")


class TestRecordReceipt:
    def test_pays_fee_and_tax_before_principal(self, aminas_loan: Loan, books_balance: Callable[[], None]) -> None:
        receipt = pay(aminas_loan.reference, 10_000)
        allocation = receipt.repayment.allocations.get()
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

    @pytest.mark.parametrize("account", ["", "٥٠٠", "'; DROP TABLE", "{0}", "🙂", "0" * 40])
    def test_odd_accounts_are_nobodys(self, amina: Borrower, account: str) -> None:
        assert pay(account, 1_000).state == "suspense"


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
