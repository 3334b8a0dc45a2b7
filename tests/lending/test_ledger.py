"""The books, and what PostgreSQL refuses whatever Python says."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.utils import InternalError
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from lending import ledger
from lending.ledger import (
    ReferenceReused,
    UnbalancedPosting,
    balance_cents,
    make_checkpoints,
    post,
    reverse,
)
from lending.models import Checkpoint, Entry, Loan, Posting
from lending.rules.accounting import Line, capital, credit, debit
from tests import factories
from tests.factories import NOON
from tests.lending.posters import SlowWriter, elsewhere, fund, waiting_for


@pytest.mark.usefixtures("law", "fixed_scorer")
class TestPost:
    def test_posts_the_same_event_once(self) -> None:
        assert fund().id == fund().id
        assert Entry.objects.count() == 2

    def test_refuses_a_reference_reused_for_other_money(self) -> None:
        fund()
        with pytest.raises(ReferenceReused):
            fund(2_000)

    def test_refuses_a_reference_reused_for_another_loan(self, aminas_loan: Loan) -> None:
        fund()
        facts = {"kind": "capital", "reference": "capital:1", "occurred_at": NOON, "currency": "KES"}
        with pytest.raises(ReferenceReused):
            post(**facts, lines=capital(1_000), loan=aminas_loan)

    @pytest.mark.parametrize(
        "lines",
        [[debit("mpesa_payout", 5), credit("paid_in_capital", 4)], [debit("mpesa_payout", 5)], []],
    )
    def test_refuses_legs_that_do_not_balance(self, lines: list[Line]) -> None:
        with pytest.raises(UnbalancedPosting):
            post(kind="capital", reference="x", occurred_at=NOON, currency="KES", lines=lines)

    def test_a_reversal_is_a_mirror_that_points_to_the_original_and_happens_once(self) -> None:
        original = fund()
        mirror = reverse(original, reference="undo:1", occurred_at=NOON)
        assert reverse(original, reference="undo:2", occurred_at=NOON).id == mirror.id
        assert mirror.reverses_id == original.id
        assert balance_cents("mpesa_payout", "KES") == 0

    def test_a_checkpoint_changes_no_balance(self) -> None:
        fund()
        make_checkpoints(NOON)
        fund(500, "capital:2")
        assert balance_cents("mpesa_payout", "KES") == 1_500

    def test_a_checkpoint_tells_the_days_apart_and_counts_nothing_twice(self) -> None:
        fund()
        fund(500, "capital:2", at=NOON - timedelta(days=1))
        assert make_checkpoints(NOON) == 4
        assert make_checkpoints(NOON) == 0
        fund(30, "capital:3", at=NOON - timedelta(days=1))
        assert make_checkpoints(NOON) == 2
        days = Checkpoint.objects.filter(account_id="mpesa_payout").order_by("id")
        assert sorted(days.values_list("business_date__day", "debit_cents")) == [(1, 30), (1, 500), (2, 1_000)]
        assert balance_cents("mpesa_payout", "KES") == 1_530


@pytest.mark.django_db(transaction=True)
class TestWhileSomebodyPosts:
    def test_a_checkpoint_waits_for_who_came_before_and_nobody_waits_for_it(
        self, law: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(ledger, "PATIENCE_SECONDS", 60)
        with ThreadPoolExecutor(2) as pool:
            slow = SlowWriter(pool)
            fund(500, "quick")
            checkpoint = elsewhere(pool, make_checkpoints, NOON)
            for number in range(20):
                fund(1, f"meanwhile:{number}")
            assert not checkpoint.done()
            slow.commits()
            assert checkpoint.result(20) == 2
        assert Checkpoint.objects.filter(account_id="mpesa_payout", debit_cents__gte=1_500).exists()
        assert balance_cents("mpesa_payout", "KES") == 1_520

    def test_two_checkpoints_at_once_count_each_entry_once(self, law: None) -> None:
        fund()
        with ThreadPoolExecutor(2) as pool:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute("LOCK TABLE lending_checkpoint IN EXCLUSIVE MODE")
                both = [elsewhere(pool, make_checkpoints, NOON) for _ in range(2)]
                while waiting_for("lending_checkpoint") < 2:
                    assert not any(one.done() for one in both)
            assert sorted(one.result(20) for one in both) == [0, 2]
        assert balance_cents("mpesa_payout", "KES") == 1_000

    def test_an_open_transaction_that_never_ends_costs_a_checkpoint_and_nothing_else(
        self, law: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(ledger, "PATIENCE_SECONDS", 0.05)
        with ThreadPoolExecutor(1) as pool:
            slow = SlowWriter(pool)
            fund(500, "quick")
            assert make_checkpoints(NOON) == 0
            assert balance_cents("mpesa_payout", "KES") == 500
            slow.commits()
        assert make_checkpoints(NOON) == 2
        assert balance_cents("mpesa_payout", "KES") == 1_500


@pytest.mark.usefixtures("law")
class TestPostgresRefuses:
    def test_an_unbalanced_posting_even_by_raw_sql(self) -> None:
        posting = fund()
        with pytest.raises(IntegrityError, match="does not balance"), transaction.atomic():
            Entry.objects.create(posting=posting, account_id="mpesa_payout", currency="KES", debit_cents=1)
            _check_deferred()

    def test_a_leg_that_comes_alone_after_the_posting_was_found_to_balance(self) -> None:
        posting = fund()
        _check_deferred()
        with pytest.raises(IntegrityError, match="does not balance in KES"), transaction.atomic():
            Entry.objects.create(posting=posting, account_id="mpesa_payout", currency="KES", credit_cents=1)
            _check_deferred()

    def test_legs_that_balance_only_over_two_currencies(self) -> None:
        posting = fund()
        pair = (("mpesa_payout", "KES", "debit_cents"), ("paid_in_capital", "UGX", "credit_cents"))
        with pytest.raises(IntegrityError, match="does not balance in"), transaction.atomic():
            Entry.objects.bulk_create(
                Entry(posting=posting, account_id=account, currency=currency, **{side: 5})
                for account, currency, side in pair
            )
            _check_deferred()

    def test_legs_of_two_postings_that_balance_only_together(self) -> None:
        first, second = fund(1_000, "first"), fund(1_000, "second")
        with pytest.raises(IntegrityError, match="does not balance"), transaction.atomic():
            Entry.objects.bulk_create(
                [
                    Entry(posting=first, account_id="mpesa_payout", currency="KES", debit_cents=5),
                    Entry(posting=second, account_id="paid_in_capital", currency="KES", credit_cents=5),
                ]
            )
            _check_deferred()

    @pytest.mark.parametrize(
        ("posting_id", "account", "says"),
        [(0, "mpesa_payout", "there is no posting 0"), (None, "nowhere", "there is no account nowhere")],
    )
    def test_entries_of_nothing(self, posting_id: int | None, account: str, says: str) -> None:
        known = fund().id
        with pytest.raises(IntegrityError, match=says), transaction.atomic():
            Entry.objects.bulk_create(
                Entry(posting_id=known if posting_id is None else posting_id, account_id=account, currency="KES",
                      **{side: 5})
                for side in ("debit_cents", "credit_cents")
            )  # fmt: skip

    @pytest.mark.parametrize(
        "statement",
        [
            "INSERT INTO lending_posting (kind, reference, event_key, loan_id, occurred_at, business_date,"
            " booked_at) VALUES ('penalty', 'of no loan', '', 0, now(), current_date, now())",
            "INSERT INTO lending_installment (loan_id, number, source, event_key, starts_on, due_on, earned_cents,"
            " principal_cents, interest_cents, fee_cents, tax_cents, penalty_cents)"
            " VALUES (0, 1, 'plan', '', current_date, current_date, 0, 1, 0, 0, 0, 0)",
        ],
        ids=["posting", "installment"],
    )
    def test_what_is_of_no_loan(self, statement: str) -> None:
        with (
            pytest.raises(IntegrityError, match="there is no loan 0"),
            transaction.atomic(),
            connection.cursor() as cursor,
        ):
            cursor.execute(statement)

    @pytest.mark.parametrize(
        "statement",
        [
            "DELETE FROM lending_account WHERE code = 'suspense'",
            "UPDATE lending_account SET code = 'other' WHERE code = 'suspense'",
            "DELETE FROM lending_loan",
            "UPDATE lending_loan SET id = id + 1000",
        ],
    )
    def test_the_loss_of_what_the_books_point_to(self, aminas_loan: Loan, statement: str) -> None:
        with (
            pytest.raises((IntegrityError, InternalError), match="is history"),
            transaction.atomic(),
            connection.cursor() as cursor,
        ):
            cursor.execute(statement)

    def test_a_posting_without_entries(self) -> None:
        with pytest.raises(IntegrityError, match="fewer than two"), transaction.atomic():
            Posting.objects.create(
                kind="capital", reference="bare", occurred_at=NOON, business_date=NOON.date(), booked_at=NOON
            )
            _check_deferred()

    @pytest.mark.parametrize(
        "statement",
        [
            "UPDATE lending_entry SET debit_cents = debit_cents + 1",
            "DELETE FROM lending_entry",
            "UPDATE lending_posting SET reference = 'other'",
            "DELETE FROM lending_posting",
        ],
    )
    def test_any_change_of_history(self, statement: str) -> None:
        fund()
        with (
            pytest.raises((IntegrityError, InternalError), match="is history"),
            transaction.atomic(),
            connection.cursor() as cursor,
        ):
            cursor.execute(statement)

    @pytest.mark.parametrize("table", ["receipt", "repayment", "paymentattempt"])
    def test_the_loss_of_what_says_that_money_moved(
        self, fixed_scorer: object, aminas_loan: Loan, table: str
    ) -> None:
        factories.pay(aminas_loan.reference, 10_000)
        with (
            pytest.raises((IntegrityError, InternalError), match="is history: DELETE"),
            transaction.atomic(),
            connection.cursor() as cursor,
        ):
            cursor.execute(f"DELETE FROM lending_{table}")

    @pytest.mark.parametrize(
        "table",
        [
            "entry",
            "posting",
            "auditevent",
            "allocation",
            "decision",
            "receipt",
            "repayment",
            "paymentattempt",
            "account",
            "installment",
            "loan",
        ],
    )
    def test_the_emptying_of_history(self, table: str) -> None:
        """By a trigger of the table's own: CASCADE reaches others that would refuse, and they come after it."""
        fund()
        _check_deferred()
        with (
            pytest.raises((IntegrityError, InternalError), match=f"^lending_{table} is history: TRUNCATE"),
            transaction.atomic(),
            connection.cursor() as cursor,
        ):
            cursor.execute(f"TRUNCATE lending_{table} CASCADE")

    def test_a_leg_on_both_sides(self) -> None:
        posting = fund()
        with pytest.raises(IntegrityError, match="entry_is_debit_or_credit"), transaction.atomic():
            Entry.objects.create(
                posting=posting, account_id="mpesa_payout", currency="KES", debit_cents=1, credit_cents=1
            )


@pytest.mark.django_db(transaction=True)
def test_a_posting_takes_no_more_entries_once_it_is_committed(law: None) -> None:
    with transaction.atomic():
        with transaction.atomic():
            posting = fund()
        pair = (("mpesa_payout", 5, 0), ("paid_in_capital", 0, 5))
        for account, debits, credits in pair:  # in their own savepoint, but in the posting's transaction
            with transaction.atomic():
                Entry.objects.create(
                    posting=posting, account_id=account, currency="KES", debit_cents=debits, credit_cents=credits
                )
    late = [
        Entry(posting=posting, account_id=account, currency="KES", debit_cents=debits, credit_cents=credits)
        for account, debits, credits in pair
    ]
    with pytest.raises(IntegrityError, match="takes no more entries"):
        Entry.objects.bulk_create(late)
    assert Entry.objects.count() == 4


def _check_deferred() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("SET CONSTRAINTS ALL DEFERRED")


ACCOUNTS = ("mpesa_payout", "mpesa_paybill", "suspense", "fee_income", "paid_in_capital")


class Ledger(RuleBasedStateMachine):
    """Post, repeat, reverse and checkpoint in any order beside a model of plain sums."""

    @initialize()
    def start(self) -> None:
        self.transaction = transaction.atomic()
        self.transaction.__enter__()
        self.balances = dict.fromkeys(ACCOUNTS, 0)
        self.posted: list[tuple[Posting, str, str, int]] = []
        self.reversed: set[int] = set()

    def teardown(self) -> None:
        if hasattr(self, "transaction"):
            transaction.set_rollback(True)
            self.transaction.__exit__(None, None, None)

    @rule(
        ends=st.sampled_from([(a, b) for a in ACCOUNTS for b in ACCOUNTS if a != b]),
        cents=st.integers(1, 10**9),
    )
    def post_something(self, ends: tuple[str, str], cents: int) -> None:
        to, source = ends
        posting = post(
            kind="capital",
            reference=f"machine:{len(self.posted)}",
            occurred_at=NOON,
            currency="KES",
            lines=[debit(to, cents), credit(source, cents)],
        )
        self.posted.append((posting, to, source, cents))
        self.balances[to] += cents
        self.balances[source] -= cents

    @precondition(lambda self: getattr(self, "posted", None))
    @rule(which=st.integers(0, 10**6))
    def repeat(self, which: int) -> None:
        posting, to, source, cents = self.posted[which % len(self.posted)]
        again = post(
            kind="capital",
            reference=posting.reference,
            occurred_at=NOON,
            currency="KES",
            lines=[debit(to, cents), credit(source, cents)],
        )
        assert again.id == posting.id

    @precondition(lambda self: getattr(self, "posted", None))
    @rule(which=st.integers(0, 10**6))
    def reverse_one(self, which: int) -> None:
        posting, to, source, cents = self.posted[which % len(self.posted)]
        reverse(Posting.objects.get(id=posting.id), reference=f"undo:{posting.id}", occurred_at=NOON)
        if posting.id not in self.reversed:
            self.reversed.add(posting.id)
            self.balances[to] -= cents
            self.balances[source] += cents

    @rule()
    def checkpoint(self) -> None:
        make_checkpoints(NOON)

    @invariant()
    def balances_are_the_sums_of_the_story(self) -> None:
        if hasattr(self, "balances"):
            assert {code: balance_cents(code, "KES") for code in ACCOUNTS} == self.balances
            _check_deferred()


@pytest.mark.django_db
def test_the_ledger_follows_any_story(law: None) -> None:
    run_state_machine_as_test(
        Ledger, settings=hypothesis_settings(max_examples=25, stateful_step_count=20, deadline=None)
    )
