"""Changes of a loan: each is looked at first, does what it showed, posts it, and counts once."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import close_old_connections, connection
from django.db.models import F, Sum

from lending.invariants import BOOKS, SUB_LEDGERS, audit
from lending.ledger import balance_cents
from lending.models import Borrower, Case, Loan, LoanEvent, OutboxMessage, Posting, Proposal, Receipt
from lending.rules import calendar
from lending.rules.facts import FactRefused
from lending.selectors import contracts
from lending.selectors.metrics import REPORTS
from lending.services import changes, life, proposals, receipts
from tests import factories
from tests.factories import NOON, pay
from tests.lending.lending import happen, lend, product

WEEKLY = {
    "kind": "flat",
    "term": {"installments": 4, "unit": "week"},
    "interest": {"rate": "0.002", "per": "period"},
    "fees": [{"name": "Fee", "rate": "0.02"}],
    "tax": {"rate": "0.2"},
    "skips": 1,
    "extension": {"rate": "0.05", "every": 1, "unit": "week", "most_times": 1},
    "cooling_off_days": 2,
}
TOTAL = 50_000 + 4 * 100 + 1_000 + 200


def day(number: int) -> datetime:
    return NOON + timedelta(days=number)


@pytest.fixture
def loan(law: None) -> Loan:
    """KES 500 that fall due in four weeks."""
    return lend(product(WEEKLY), 50_000, NOON)


@pytest.fixture
def wambui(db: None) -> User:
    """An officer; she proposes."""
    return User.objects.create_user("wambui")


@pytest.fixture
def njeri(db: None) -> User:
    """A manager; she decides."""
    return User.objects.create_user("njeri")


Change = Callable[..., Loan]


@pytest.fixture
def change(wambui: User, njeri: User) -> Change:
    """Make a change as people do: with a second person where it takes one."""

    def make(loan: Loan, kind: str, at: datetime, **details: Any) -> Loan:
        if kind in changes.GRANTED:
            changes.change_loan(loan_id=loan.id, kind=kind, origin="wish", at=at, details=details, actor=wambui)
        else:
            proposed = propose(loan, kind, at, wambui, **details)
            proposals.decide(proposal_id=proposed.id, checker=njeri, approve=True, at=at + timedelta(hours=1))
        return contracts.with_contract().get(id=loan.id)

    return make


def propose(loan: Loan, kind: str, at: datetime, maker: User, **details: Any) -> Proposal:
    loan = contracts.with_contract().get(id=loan.id)
    return changes.propose_change(loan=loan, kind=kind, details=details, maker=maker, reason="her stall", at=at)


def look(loan: Loan, kind: str, at: datetime, **details: Any) -> dict[str, Any]:
    on = calendar.business_date(at, "Africa/Nairobi")
    return changes.preview(contracts.with_contract().get(id=loan.id), kind, details, on)


def stored(loan: Loan) -> tuple[Any, ...]:
    """Return everything that stands about a loan."""
    return (
        list(Loan.objects.filter(id=loan.id).values()),
        list(loan.events.values_list("key", flat=True)),
        list(loan.installments.order_by("number").values()),
        list(loan.postings.order_by("id").values_list("reference", flat=True)),
    )


def balances(loan: Loan) -> dict[str, int]:
    entries = loan.postings.values("entries__account").annotate(
        cents=Sum(F("entries__debit_cents") - F("entries__credit_cents"))
    )
    return {row["entries__account"]: row["cents"] for row in entries if row["cents"]}


def assert_receivables_hold() -> None:
    # These loans were paid out without a reservation.
    names = {one.name for one in (*BOOKS, *SUB_LEDGERS)} - {"payouts reserved are the loans on their way"}
    assert [found.line() for found in audit() if found.name in names and not found.holds] == []


CHANGES = [
    ("waive", 9, {"amount_cents": 1_500}),
    ("waive", 9, {"part": "fee"}),
    ("charge", 3, {"amount_cents": 1_000, "part": "fee", "due_on": "2026-03-20"}),
    ("reschedule", 40, {"due_on": "2026-05-01", "installments": 2}),
    ("write_off", 40, {}),
    ("charge_off", 40, {}),
    ("skip", 3, {}),
    ("extend", 3, {}),
    ("cancel", 1, {}),
    ("death", 9, {}),
]


@pytest.mark.parametrize(("kind", "number", "details"), CHANGES)
class TestEachChange:
    def test_changes_nothing_by_being_looked_at(
        self, loan: Loan, kind: str, number: int, details: dict[str, Any]
    ) -> None:
        before = stored(loan)
        look(loan, kind, day(number), **details)
        assert stored(loan) == before

    def test_does_and_posts_what_its_preview_showed(
        self, loan: Loan, change: Change, kind: str, number: int, details: dict[str, Any]
    ) -> None:
        shown = look(loan, kind, day(number), **details)["after"]
        changed = change(loan, kind, day(number), **details)
        # The preview shows the end of the day.
        life.replay(changed, day(number), day(number).date())
        changed.refresh_from_db()
        assert (changed.state, changed.outstanding_cents) == (shown["state"], shown["outstanding_cents"])
        assert changed.days_past_due == shown["days_past_due"]
        assert balances(changed) == shown["balances"]
        assert_receivables_hold()

    def test_counts_once(
        self, loan: Loan, change: Change, njeri: User, kind: str, number: int, details: dict[str, Any]
    ) -> None:
        change(loan, kind, day(number), **details)
        once = stored(loan)
        if kind in changes.GRANTED:
            change(loan, kind, day(number), **details)
        else:
            proposals.decide(proposal_id=Proposal.objects.get().id, checker=njeri, approve=True, at=day(number))
        assert stored(loan) == once


class TestTwoPeople:
    def test_nobody_makes_alone_what_takes_two(self, loan: Loan, wambui: User) -> None:
        with pytest.raises(changes.TwoPeopleNeeded):
            changes.change_loan(loan_id=loan.id, kind="waive", origin="x", at=NOON, actor=wambui)

    def test_what_the_product_grants_is_not_proposed(self, loan: Loan, wambui: User) -> None:
        with pytest.raises(ValueError, match="must be one of"):
            propose(loan, "skip", NOON, wambui)

    def test_a_loan_that_was_not_paid_out_is_not_changed(
        self, amina: Borrower, fixed_scorer: object, wambui: User
    ) -> None:
        factories.decide(factories.apply(amina))
        with pytest.raises(changes.NotALoanToChange, match="payout under way"):
            propose(Loan.objects.get(), "write_off", NOON, wambui)

    @pytest.mark.parametrize("kind", ["waive", "charge", "write_off", "charge_off", "reschedule", "settle"])
    def test_a_settled_loan_is_not_changed(self, loan: Loan, wambui: User, kind: str) -> None:
        happen(loan, "pay", day(1), amount_cents=TOTAL)
        with pytest.raises(changes.NotALoanToChange, match="is settled"):
            propose(loan, kind, day(2), wambui, amount_cents=100, due_on="2026-05-01")


class TestMoreTime:
    def test_a_rescheduled_loan_keeps_its_flag_and_its_worst_days_late(self, loan: Loan, change: Change) -> None:
        shown = look(loan, "reschedule", day(40), due_on="2026-05-01", installments=2)
        assert (shown["before"]["days_past_due"], shown["after"]["days_past_due"]) == (33, 0)
        assert [on for on, _ in shown["after"]["schedule"]] == ["2026-05-01", "2026-05-08", "2026-05-15"]
        changed = change(loan, "reschedule", day(40), due_on="2026-05-01", installments=2)
        assert (changed.days_past_due, changed.worst_days_past_due) == (0, 33)
        assert changed.restructured_on == day(40).date()

    def test_a_skip_moves_all_dates_and_there_is_one(self, loan: Loan, change: Change) -> None:
        shown = look(loan, "skip", day(3))
        assert [on for on, _ in shown["before"]["schedule"]] == [
            "2026-03-09", "2026-03-16", "2026-03-23", "2026-03-30",
        ]  # fmt: skip
        assert [on for on, _ in shown["after"]["schedule"]] == [
            "2026-03-16", "2026-03-23", "2026-03-30", "2026-04-06",
        ]  # fmt: skip
        change(loan, "skip", day(3))
        with pytest.raises(FactRefused, match="needs a skip, and the product gives 1"):
            changes.change_loan(loan_id=loan.id, kind="skip", origin="another wish", at=day(4))

    def test_what_the_product_grants_is_told_once(self, loan: Loan) -> None:
        for _ in range(2):
            changes.change_loan(loan_id=loan.id, kind="skip", origin="ussd:1", at=day(3))
        told = OutboxMessage.objects.get(topic="loan_changed")
        assert told.payload == {"loan_id": loan.id, "kind": "skip"}

    def test_a_wish_for_another_date_is_one_case_for_officers(self, loan: Loan) -> None:
        for wished in (day(20).date(), day(25).date()):
            changes.wish_another_date(loan_id=loan.id, due_on=wished, at=day(3))
        case = Case.objects.get(kind="plan_wish")
        assert "2026-03-22" in case.note and case.borrower == loan.borrower
        assert OutboxMessage.objects.filter(topic="plan_wish").count() == 1

    @pytest.mark.parametrize("wished", [3, 35])
    def test_a_wish_is_for_a_day_ahead_and_not_far(self, loan: Loan, wished: int) -> None:
        with pytest.raises(FactRefused, match="within 31 days"):
            changes.wish_another_date(loan_id=loan.id, due_on=day(wished).date(), at=day(3))

    def test_an_extension_costs_its_fee_and_has_a_ceiling(self, loan: Loan, change: Change) -> None:
        changed = change(loan, "extend", day(3))
        assert changed.outstanding_cents == TOTAL + 2_500 + 500
        assert Posting.objects.filter(loan=loan, kind="charge").count() == 1
        with pytest.raises(FactRefused, match="is allowed 1 times"):
            changes.change_loan(loan_id=loan.id, kind="extend", origin="another wish", at=day(4))
        assert Posting.objects.filter(loan=loan, kind="charge").count() == 1


class TestLessToPay:
    def test_an_agreed_amount_that_comes_in_time_closes_the_loan(
        self, aminas_loan: Loan, change: Change, books_balance: Callable[[], None]
    ) -> None:
        shown = look(aminas_loan, "settle", day(40), amount_cents=30_000, due_on="2026-04-20")
        assert (shown["after"]["state"], shown["after"]["balances"]["waiver_expense"]) == ("settled", 23_000)
        change(aminas_loan, "settle", day(40), amount_cents=30_000, due_on="2026-04-20")
        pay(aminas_loan.reference, 20_000, "FIRST", at=day(41))
        aminas_loan.refresh_from_db()
        assert (aminas_loan.state, aminas_loan.outstanding_cents) == ("live", 33_000)
        pay(aminas_loan.reference, 10_000, "SECOND", at=day(42))
        aminas_loan.refresh_from_db()
        assert (aminas_loan.state, balance_cents("waiver_expense", "KES")) == ("settled", 23_000)
        books_balance()

    def test_an_agreed_amount_that_comes_late_covers_what_it_covers(
        self, aminas_loan: Loan, change: Change
    ) -> None:
        change(aminas_loan, "settle", day(40), amount_cents=30_000, due_on="2026-04-12")
        pay(aminas_loan.reference, 30_000, at=day(42))
        aminas_loan.refresh_from_db()
        assert (aminas_loan.state, aminas_loan.outstanding_cents) == ("live", 23_000)

    def test_a_settlement_says_until_when(self, aminas_loan: Loan, wambui: User) -> None:
        with pytest.raises(FactRefused, match="due_on must say until when"):
            propose(aminas_loan, "settle", day(40), wambui, amount_cents=30_000)


class TestLosses:
    def test_a_write_off_leaves_nothing_receivable_and_later_money_is_a_recovery(
        self, aminas_loan: Loan, change: Change, books_balance: Callable[[], None]
    ) -> None:
        lost = change(aminas_loan, "write_off", day(200))
        assert (lost.state, lost.written_off_cents, balance_cents("principal_receivable", "KES")) == (
            "written_off",
            53_000,
            0,
        )
        pay(lost.reference, 10_000, at=day(210))
        # The tax in it is owed to the state.
        assert balance_cents("recovery_income", "KES") == -9_500
        books_balance()

    def test_a_charged_off_loan_is_still_owed_and_can_be_written_off(
        self, aminas_loan: Loan, change: Change, books_balance: Callable[[], None]
    ) -> None:
        kept = change(aminas_loan, "charge_off", day(100))
        assert (kept.state, kept.outstanding_cents) == ("charged_off", 53_000)
        lost = change(aminas_loan, "write_off", day(200))
        assert (lost.state, lost.written_off_cents) == ("written_off", 53_000)
        books_balance()

    def test_a_write_off_is_undone_by_its_reversal(
        self, aminas_loan: Loan, change: Change, books_balance: Callable[[], None]
    ) -> None:
        change(aminas_loan, "write_off", day(200))
        back = change(aminas_loan, "reverse", day(201), of=aminas_loan.events.get(kind="write_off").key)
        assert (back.state, back.outstanding_cents, back.written_off_at) == ("live", 53_000, None)
        assert balance_cents("write_off_expense", "KES") == 0
        books_balance()

    def test_a_death_counts_from_its_day_whenever_it_is_told(self, loan: Loan, change: Change) -> None:
        life.replay(loan, day(30), day(30).date())
        shown = look(loan, "death", day(31), died_on=day(9).date().isoformat())
        stopped = change(loan, "death", day(31), died_on=day(9).date().isoformat())
        assert stopped.stopped_on == day(9).date()
        assert stopped.outstanding_cents == TOTAL - 400 + 100 + 28 == shown["after"]["outstanding_cents"]
        assert_receivables_hold()

    def test_who_died_before_an_extension_does_not_pay_for_it(self, loan: Loan, change: Change) -> None:
        change(loan, "extend", day(9))
        stopped = change(loan, "death", day(31), died_on=day(8).date().isoformat())
        assert stopped.outstanding_cents == TOTAL - 400 + 100 + 14
        assert_receivables_hold()

    def test_what_was_paid_too_much_since_a_death_is_kept(self, loan: Loan, change: Change) -> None:
        receipt = pay(loan.reference, TOTAL, at=day(28))
        settled = change(loan, "death", day(31), died_on=day(9).date().isoformat())
        receipt.refresh_from_db()
        assert (settled.state, receipt.over_cents) == ("settled", 400 - 128)
        assert "death" not in changes.offered(settled)

    def test_a_death_stops_everything(self, loan: Loan, change: Change) -> None:
        stopped = change(loan, "death", day(9))
        assert stopped.stopped_on == day(9).date()
        life.replay(stopped, day(60), day(60).date())
        stopped.refresh_from_db()
        # Interest of the first week and of two days of the second was earned; the rest never will be.
        assert stopped.outstanding_cents == TOTAL - 400 + 100 + 28
        assert stopped.borrower.state == Borrower.State.DECEASED
        assert_receivables_hold()


class TestCancelling:
    def test_gives_back_what_was_received_within_the_cooling_off_days(self, loan: Loan, change: Change) -> None:
        changed = change(loan, "cancel", day(2))
        assert changed.outstanding_cents == 50_000
        happen(loan, "pay", day(3), amount_cents=50_000)
        changed.refresh_from_db()
        assert (changed.state, balances(changed).get("fee_income"), balances(changed).get("interest_income")) == (
            "cancelled",
            None,
            None,
        )

    def test_is_refused_afterwards(self, loan: Loan) -> None:
        with pytest.raises(FactRefused, match="must be within the cooling-off days"):
            changes.change_loan(loan_id=loan.id, kind="cancel", origin="", at=day(3))
        assert not loan.events.filter(kind="cancel").exists()


class TestUndoing:
    def test_money_given_to_the_wrong_loan_waits_for_its_owner_and_reaches_them(
        self, aminas_loan: Loan, brian: Borrower, change: Change, wambui: User, books_balance: Callable[[], None]
    ) -> None:
        brians = factories.live_loan(brian)
        receipt = pay(aminas_loan.reference, 53_000)
        back = change(aminas_loan, "reverse", day(1), of="receipt:daraja:SFC7XK2")
        receipt.refresh_from_db()
        assert (back.state, back.outstanding_cents) == ("live", 53_000)
        assert (receipt.state, receipt.borrower, receipt.over_cents) == ("suspense", None, 0)
        assert Case.objects.get(closed_at=None).receipt == receipt
        books_balance()
        receipts.match_receipt(
            receipt_id=receipt.id, borrower_id=brian.id, officer=wambui, reason="his slip", at=day(2)
        )
        brians.refresh_from_db()
        assert (brians.state, Case.objects.filter(closed_at=None).count()) == ("settled", 0)
        books_balance()

    def test_the_same_receipt_can_go_astray_twice(
        self, aminas_loan: Loan, brian: Borrower, change: Change, wambui: User, books_balance: Callable[[], None]
    ) -> None:
        brians = factories.live_loan(brian)
        receipt = pay(aminas_loan.reference, 10_000)
        for number, loan in enumerate((aminas_loan, brians)):
            change(loan, "reverse", day(number), of=receipt.repayment.event.key)
            owner = brian if loan == aminas_loan else aminas_loan.borrower
            receipts.match_receipt(
                receipt_id=receipt.id, borrower_id=owner.id, officer=wambui, reason="slip", at=day(number)
            )
            receipt = Receipt.objects.get()
        aminas_loan.refresh_from_db()
        brians.refresh_from_db()
        assert (aminas_loan.outstanding_cents, brians.outstanding_cents) == (43_000, 53_000)
        books_balance()

    def test_a_reversal_is_not_reversed(self, aminas_loan: Loan, change: Change, wambui: User) -> None:
        change(aminas_loan, "charge", day(1), amount_cents=1_000)
        change(aminas_loan, "reverse", day(2), of=aminas_loan.events.get(kind="charge").key)
        with pytest.raises(FactRefused, match="of must not name a reversal"):
            propose(aminas_loan, "reverse", day(3), wambui, of=aminas_loan.events.get(kind="reverse").key)

    def test_what_is_undone_is_not_undone_again(self, aminas_loan: Loan, change: Change, wambui: User) -> None:
        change(aminas_loan, "charge", day(1), amount_cents=1_000)
        key = aminas_loan.events.get(kind="charge").key
        change(aminas_loan, "reverse", day(2), of=key)
        with pytest.raises(FactRefused, match="names a fact that is reversed already"):
            propose(aminas_loan, "reverse", day(3), wambui, of=key)

    @pytest.mark.parametrize(
        ("of", "why"), [("nothing", "must name a fact of this loan"), ("disburse", "money that went out")]
    )
    def test_what_cannot_be_undone_is_refused_by_name(
        self, aminas_loan: Loan, wambui: User, of: str, why: str
    ) -> None:
        key = aminas_loan.events.get().key if of == "disburse" else of
        with pytest.raises(FactRefused, match=why):
            propose(aminas_loan, "reverse", day(1), wambui, of=key)

    def test_a_loan_is_not_opened_again_beside_another_one(
        self, aminas_loan: Loan, amina: Borrower, wambui: User, njeri: User
    ) -> None:
        pay(aminas_loan.reference, 53_000, at=day(1))
        other = factories.live_loan(amina, at=day(2))
        undo = propose(aminas_loan, "reverse", day(3), wambui, of="receipt:daraja:SFC7XK2")
        with pytest.raises(life.OpenLoanInTheWay, match=other.reference):
            proposals.decide(proposal_id=undo.id, checker=njeri, approve=True, at=day(3))
        undo.refresh_from_db()
        aminas_loan.refresh_from_db()
        assert (undo.state, aminas_loan.state) == ("pending", "settled")


class TestTheOperatorTakesMoneyBack:
    def take_back(self, receipt: Receipt, wambui: User, njeri: User, at: datetime) -> Receipt:
        proposed = changes.propose_receipt_reversal(receipt=receipt, maker=wambui, reason="their SMS", at=at)
        proposals.decide(proposal_id=proposed.id, checker=njeri, approve=True, at=at)
        return Receipt.objects.get(id=receipt.id)

    def test_takes_it_out_of_the_loan_again(
        self, aminas_loan: Loan, wambui: User, njeri: User, books_balance: Callable[[], None]
    ) -> None:
        taken = self.take_back(pay(aminas_loan.reference, 60_000), wambui, njeri, day(1))
        aminas_loan.refresh_from_db()
        assert (aminas_loan.state, aminas_loan.outstanding_cents) == ("live", 53_000)
        assert (taken.state, taken.over_cents, balance_cents("mpesa_paybill", "KES")) == ("reversed", 0, 0)
        books_balance()

    def test_takes_the_step_on_the_ladder_back_that_it_brought(
        self, aminas_loan: Loan, amina: Borrower, wambui: User, njeri: User
    ) -> None:
        limit, rungs = amina.limit_cents, []
        receipt = pay(aminas_loan.reference, 53_000, at=day(1))
        for step in (
            lambda: self.take_back(receipt, wambui, njeri, day(2)),
            lambda: pay(amina.msisdn, 53_000, "B"),
        ):
            amina.refresh_from_db()
            rungs.append(amina.rung)
            step()
        amina.refresh_from_db()
        assert [*rungs, amina.rung] == [1, 0, 1]
        assert amina.limit_cents > limit

    def test_takes_it_out_of_what_was_kept(
        self, amina: Borrower, wambui: User, njeri: User, books_balance: Callable[[], None]
    ) -> None:
        self.take_back(pay(amina.msisdn, 10_000), wambui, njeri, day(1))
        assert balance_cents("customer_overpayments", "KES") == 0
        books_balance()

    def test_takes_it_out_of_suspense_and_closes_the_case(
        self, law: None, wambui: User, njeri: User, books_balance: Callable[[], None]
    ) -> None:
        self.take_back(pay("nobody", 10_000), wambui, njeri, day(1))
        assert (balance_cents("suspense", "KES"), Case.objects.filter(closed_at=None).count()) == (0, 0)
        books_balance()

    def test_takes_it_out_of_a_loan_to_which_it_was_matched(
        self, aminas_loan: Loan, amina: Borrower, wambui: User, njeri: User, books_balance: Callable[[], None]
    ) -> None:
        receipt = pay("nobody", 10_000)
        receipts.match_receipt(
            receipt_id=receipt.id, borrower_id=amina.id, officer=wambui, reason="her slip", at=day(1)
        )
        self.take_back(receipt, wambui, njeri, day(2))
        aminas_loan.refresh_from_db()
        assert aminas_loan.outstanding_cents == 53_000
        books_balance()

    def test_is_money_received_until_it_was_taken_back(self, aminas_loan: Loan, wambui: User, njeri: User) -> None:
        receipt = pay(aminas_loan.reference, 10_000, at=day(1))
        self.take_back(receipt, wambui, njeri, day(31))
        months = REPORTS["cash_flow"].records(day(40).date())
        received = {str(row["month"])[:7]: row["received_cents"] for row in months if row["currency"] == "KES"}
        assert (received["2026-03"], received["2026-04"]) == (10_000, -10_000)

    def test_is_not_told_again(self, aminas_loan: Loan, wambui: User, njeri: User) -> None:
        taken = self.take_back(pay(aminas_loan.reference, 10_000), wambui, njeri, day(1))
        assert pay(aminas_loan.reference, 10_000).state == "reversed"
        with pytest.raises(receipts.NotCounted):
            changes.propose_receipt_reversal(receipt=taken, maker=wambui, reason="their SMS", at=day(2))
        with pytest.raises(receipts.NotCounted):
            receipts.release_receipt(receipt_id=taken.id, actor=wambui, reason="hers", at=day(2))


@pytest.mark.django_db(transaction=True)
def test_two_reversals_at_once_count_once(law: None, fixed_scorer: object) -> None:
    loan = factories.live_loan(factories.register())
    receipt = pay(loan.reference, 10_000)

    def take_back(_: int) -> str:
        close_old_connections()
        try:
            return receipts.reverse_receipt(receipt_id=receipt.id, actor=None, reason="SMS", at=day(1)).state
        finally:
            connection.close()

    with ThreadPoolExecutor(6) as pool:
        assert set(pool.map(take_back, range(6))) == {"reversed"}
    loan.refresh_from_db()
    assert (loan.outstanding_cents, LoanEvent.objects.filter(kind="reverse").count()) == (53_000, 1)
    assert balance_cents("mpesa_paybill", "KES") == 0
