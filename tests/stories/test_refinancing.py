"""A new loan pays off the open one: one payout, two loans that change places, and nobody is owed or pays twice."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction
from django.db.models import Sum

from lending import closing
from lending.models import Allocation, Borrower, Entry, Loan, PaymentAttempt, PaymentIntent, ProductVersion, Receipt
from lending.rules.facts import FactRefused
from lending.selectors import contracts, limits, refinancing
from lending.selectors.loans import statement
from lending.services import applications, changes, deaths, life, receipts
from lending.services import loans as payouts
from lending.services.refinancing import RefinancingRefused
from scoring import facts as scored
from scoring import policy
from tests import factories
from tests.factories import NOON
from tests.lending.admin.conftest import staff
from tests.lending.admin.test_work import press
from tests.lending.test_loan_closing import assert_as_the_rules_say
from ussd.notices import disbursed_words, not_disbursed_words

DAY = timedelta(days=1)
TERMS = {
    "kind": "level",
    "term": {"installments": 2, "every": 15, "unit": "day"},
    "interest": {"rate": "0.001", "per": "day"},
    "fees": [],
    "refinance": {"repaid_share": "0.40"},
}


@pytest.fixture
def version(law: None) -> ProductVersion:
    """A loan in two parts at a thousandth a day; a new one may pay off an open one of which 40 % is repaid."""
    ordinary = factories.like_the_usual()
    made = ordinary | {"id": None, "code": "jirani-level", "name": "Jirani level"}
    return ProductVersion.objects.create(**made | {"terms": ordinary["terms"] | TERMS})


def ask(borrower: Borrower, version: ProductVersion, cents: int, at: datetime, old: Loan | None = None) -> Loan:
    application = applications.submit(
        borrower_id=borrower.id, principal_cents=cents, product_version_id=version.id, shown=factories.shown(at),
        origin=f"ussd:again:{at.isoformat()}", at=at, refinances_id=old.id if old else None,
    )  # fmt: skip
    factories.decide(application, at=at, limit_cents=cents)
    return Loan.objects.get(application=application)


def fresh(loan: Loan) -> Loan:
    return contracts.with_contract().get(id=loan.id)


@pytest.fixture
def old(amina: Borrower, version: ProductVersion, fixed_scorer: object) -> Loan:
    """Amina owes the second half of KES 800."""
    Borrower.objects.update(rung=3, limit_cents=200_000)
    loan = factories.pay_out(ask(amina, version, 80_000, NOON))
    first = loan.installments.get(number=1)
    factories.pay(loan.reference, first.total_cents, "FIRST", at=NOON + 15 * DAY)
    return fresh(loan)


AGAIN = NOON + 16 * DAY


@pytest.fixture
def new(amina: Borrower, version: ProductVersion, old: Loan) -> Loan:
    """KES 1,000 is on its way to her, less what the old loan takes."""
    return ask(amina, version, 100_000, AGAIN, old)


def test_a_death_waits_for_the_loan_that_is_on_its_way(amina: Borrower, new: Loan) -> None:
    case = deaths.report(reporter="254722000999", deceased=amina.msisdn, language="en", at=AGAIN)
    officer = staff("wambui", "Loan officers")
    said = press(officer, "case", "confirm_death", case.pk, resolution="Seen.").content.decode()
    assert f"loan {new.reference}, which pays this one off, is on its way. Give that payout up" in said
    amina.refresh_from_db()
    assert amina.state == "active"


class TestTopUp:
    def test_what_is_left_is_paid_out_and_the_loans_change_places(
        self, old: Loan, new: Loan, books_balance: Callable[[], None]
    ) -> None:
        owed = contracts.payoff(old, AGAIN.date()).total
        assert new.refinanced_cents == -(-owed // 100) * 100 < old.outstanding_cents + 100
        assert PaymentIntent.objects.get(loan=new).amount_cents == 100_000 - new.refinanced_cents
        assert (fresh(old).state, new.state) == ("live", "approved")
        books_balance()
        for _ in range(2):  # the operator repeats itself
            factories.pay_out(new, at=AGAIN) if fresh(new).state == "approved" else None
        assert (fresh(old).state, fresh(old).outstanding_cents) == ("settled", 0)
        assert (fresh(new).state, fresh(new).principal_cents) == ("live", 100_000)
        assert fresh(new).outstanding_cents == new.total_cents > 100_000
        moved = Entry.objects.filter(account="refinancing")
        assert sum(entry.debit_cents - entry.credit_cents for entry in moved) == 0
        books_balance()

    def test_the_message_says_what_was_paid_off(self, old: Loan, new: Loan) -> None:
        factories.pay_out(new, at=AGAIN)
        said = disbursed_words(fresh(new))
        assert said.startswith(f"KES {new.received_cents // 100} is in your M-PESA")
        assert said.endswith(f"It paid off your loan {old.reference}.")
        lines = [(line.kind, line.amount_cents) for line in statement(new.borrower_id)]
        assert lines[:2] == [("paid_out", new.received_cents), ("refinanced", new.refinanced_cents)]

    def test_the_preview_is_what_is_done(self, old: Loan, version: ProductVersion, amina: Borrower) -> None:
        seen = refinancing.refinancing(old, version, 100_000, AGAIN.date())
        new = ask(amina, version, 100_000, AGAIN, old)
        assert (seen.why, seen.received_cents, seen.refinanced_cents) == (
            "",
            new.received_cents,
            new.refinanced_cents,
        )
        assert seen.priced.total_cents == new.total_cents

    def test_both_replay_and_close_alike(self, old: Loan, new: Loan, books_balance: Callable[[], None]) -> None:
        factories.pay_out(new, at=AGAIN)
        closing.close_until_yesterday(AGAIN + 20 * DAY)
        assert_as_the_rules_say(fresh(new), (AGAIN + 19 * DAY).date())
        for loan in (old, new):
            before = (loan.installments.count(), loan.postings.count())
            with transaction.atomic():
                life.replay(fresh(loan), AGAIN + 20 * DAY)
            assert (loan.installments.count(), loan.postings.count()) == before
        books_balance()

    def test_it_is_no_step_on_the_ladder_and_no_clean_loan(self, amina: Borrower, old: Loan, new: Loan) -> None:
        factories.pay_out(new, at=AGAIN)
        amina.refresh_from_db()
        assert amina.rung == 3
        assert limits.clean_loan_days(amina.identity_index, AGAIN + DAY) == []

    def test_nobody_undoes_it(self, old: Loan, new: Loan) -> None:
        factories.pay_out(new, at=AGAIN)
        paid_off = fresh(old).events.get(kind="settle")
        assert paid_off not in changes.undoable(fresh(old))
        with pytest.raises(FactRefused, match="must not name money that went out"):
            changes.preview(fresh(old), "reverse", {"of": paid_off.key}, AGAIN.date())


class TestMeanwhile:
    def test_a_night_passes_and_its_interest_is_waived(
        self, old: Loan, new: Loan, books_balance: Callable[[], None]
    ) -> None:
        closing.close_until_yesterday(AGAIN + 4 * DAY)
        later = AGAIN + 4 * DAY
        assert contracts.payoff(fresh(old), later.date()).total > new.refinanced_cents
        factories.pay_out(new, at=later)
        assert (fresh(old).state, fresh(old).over_cents) == ("settled", 0)
        assert fresh(new).state == "live"
        waived = Allocation.objects.filter(installment__loan=old, kind="waived").aggregate(
            principal=Sum("principal_cents"), interest=Sum("interest_cents")
        )
        assert waived["principal"] == 0 < waived["interest"]
        books_balance()

    def test_something_is_repaid_and_what_is_too_much_is_kept(
        self, old: Loan, new: Loan, books_balance: Callable[[], None]
    ) -> None:
        factories.pay(old.reference, 10_000, "SECOND", at=AGAIN + timedelta(hours=1))
        factories.pay_out(new, at=AGAIN + timedelta(hours=2))
        assert fresh(old).state == "settled"
        assert 10_000 <= fresh(old).over_cents < 10_100
        books_balance()

    def test_what_was_paid_before_we_heard_of_the_payout_is_paid_on_the_new_loan(
        self, old: Loan, new: Loan, books_balance: Callable[[], None]
    ) -> None:
        factories.pay(old.reference, 5_000, "EARLY", at=AGAIN + timedelta(minutes=5))
        told_at = AGAIN + timedelta(minutes=10)
        attempt = PaymentAttempt.objects.create(
            intent=PaymentIntent.objects.get(loan=new), number=1, provider="daraja", state="succeeded",
            created_at=AGAIN, completed_at=AGAIN,
        )  # fmt: skip
        PaymentIntent.objects.filter(loan=new).update(state="succeeded")
        payouts.payout_succeeded(
            attempt_id=attempt.id,
            receipt_no="OUT2",
            amount_cents=new.received_cents,
            completed_at=AGAIN,
            at=told_at,
        )
        assert (fresh(old).state, fresh(new).outstanding_cents) == ("settled", new.total_cents - 5_000)
        receipt = Receipt.objects.get(receipt_no="EARLY")
        assert (receipt.over_cents, receipt.repayment.loan_id) == (0, new.id)
        books_balance()

    def test_what_it_was_reckoned_on_stays_until_the_payout_is_known(
        self, amina: Borrower, old: Loan, new: Loan
    ) -> None:
        first = Receipt.objects.get(receipt_no="FIRST")
        for undo in (receipts.reverse_receipt, receipts.release_receipt):
            with pytest.raises(refinancing.RefinancingUnderWay, match=new.reference):
                undo(receipt_id=first.id, actor=None, reason="Not hers.", at=AGAIN)
        for kind in ("charge_off", "reschedule", "death"):
            with pytest.raises(refinancing.RefinancingUnderWay):
                changes.preview(fresh(old), kind, {}, AGAIN.date())
        factories.pay_out(new, at=AGAIN)
        with pytest.raises(life.OpenLoanInTheWay):
            receipts.reverse_receipt(receipt_id=first.id, actor=None, reason="Not hers.", at=AGAIN)

    def test_the_payout_fails_and_the_old_loan_stays(
        self, old: Loan, new: Loan, books_balance: Callable[[], None]
    ) -> None:
        intent = PaymentIntent.objects.get(loan=new)
        attempt = PaymentAttempt.objects.create(
            intent=intent, number=1, provider="daraja", state="failed", created_at=AGAIN
        )
        PaymentIntent.objects.filter(id=intent.id).update(state="failed")
        payouts.payout_failed(attempt_id=attempt.id, code="2040", text="", at=AGAIN)
        assert (fresh(old).state, fresh(new).state) == ("live", "not_paid_out")
        assert "What you owe is unchanged" in not_disbursed_words(fresh(new))
        books_balance()
        # It arrives after all.
        PaymentAttempt.objects.filter(id=attempt.id).update(state="succeeded", completed_at=AGAIN)
        PaymentIntent.objects.filter(id=intent.id).update(state="succeeded")
        payouts.payout_succeeded(
            attempt_id=attempt.id, receipt_no="LATE", amount_cents=new.received_cents, completed_at=AGAIN,
            at=AGAIN + DAY,
        )  # fmt: skip
        assert (fresh(old).state, fresh(new).state) == ("settled", "live")
        books_balance()

    def test_the_old_loan_is_repaid_before_it_is_decided(
        self, amina: Borrower, version: ProductVersion, old: Loan, books_balance: Callable[[], None]
    ) -> None:
        application = applications.submit(
            borrower_id=amina.id, principal_cents=100_000, product_version_id=version.id,
            shown=factories.shown(AGAIN), origin="ussd:again", at=AGAIN, refinances_id=old.id,
        )  # fmt: skip
        factories.pay(old.reference, old.outstanding_cents, "REST", at=AGAIN)
        decision = factories.decide(application, at=AGAIN, limit_cents=100_000)
        assert (decision.outcome, decision.inputs["held_back"]) == ("decline", "refinanced_otherwise")
        books_balance()


class TestDecision:
    def test_the_old_loan_is_neither_in_the_way_nor_counted_beside_it(
        self, amina: Borrower, version: ProductVersion, old: Loan
    ) -> None:
        asked: dict[str, Any] = {
            "borrower_id": amina.id, "principal_cents": 100_000, "product_version_id": version.id,
            "shown": factories.shown(AGAIN), "at": AGAIN,
        }  # fmt: skip
        application = applications.submit(**asked, origin="ussd:again", refinances_id=old.id)
        told = scored.facts_of(application, policy.IN_FORCE)
        assert (told.has_open_loan, told.owing_cents) == (False, 0)


class TestRefusals:
    def refuse(self, borrower: Borrower, version: ProductVersion, old: Loan, at: datetime = AGAIN) -> str:
        with pytest.raises(RefinancingRefused) as refused:
            ask(borrower, version, 100_000, at, old)
        return refused.value.why

    def test_who_is_late(self, amina: Borrower, version: ProductVersion, old: Loan) -> None:
        assert self.refuse(amina, version, old, NOON + 31 * DAY) == "late"

    def test_who_repaid_too_little(self, amina: Borrower, version: ProductVersion, fixed_scorer: object) -> None:
        Borrower.objects.update(rung=3, limit_cents=200_000)
        loan = factories.pay_out(ask(amina, version, 80_000, NOON))
        assert self.refuse(amina, version, loan, NOON + DAY) == "repaid_little"

    def test_a_product_that_grants_none(self, amina: Borrower, version: ProductVersion, old: Loan) -> None:
        values = ProductVersion.objects.filter(id=version.id).values().get()
        terms = {name: part for name, part in values["terms"].items() if name != "refinance"}
        plain = ProductVersion.objects.create(
            **values | {"id": None, "code": "plain", "version": 3, "terms": terms}
        )
        assert self.refuse(amina, plain, old) == "not_granted"

    def test_what_would_leave_nothing(self, amina: Borrower, version: ProductVersion, old: Loan) -> None:
        with pytest.raises(RefinancingRefused, match="nothing would be left to pay out"):
            ask(amina, version, 30_000, AGAIN, old)

    def test_somebody_else_s_loan(self, amina: Borrower, version: ProductVersion, old: Loan) -> None:
        brian = factories.register("Brian Kiptoo", "254711000055", "55555555")
        Borrower.objects.filter(id=brian.id).update(rung=3, limit_cents=200_000)
        assert self.refuse(brian, version, old) == "not_open"

    def test_without_naming_it_an_open_loan_is_in_the_way(
        self, amina: Borrower, version: ProductVersion, old: Loan
    ) -> None:
        with pytest.raises(applications.HasOpenLoan):
            ask(amina, version, 100_000, AGAIN)

    def test_a_second_one_while_the_first_is_asked_for(
        self, amina: Borrower, version: ProductVersion, old: Loan
    ) -> None:
        asked: dict[str, Any] = {
            "borrower_id": amina.id, "principal_cents": 100_000, "product_version_id": version.id,
            "shown": factories.shown(AGAIN), "at": AGAIN, "refinances_id": old.id,
        }  # fmt: skip
        applications.submit(**asked, origin="ussd:1")
        with pytest.raises(applications.AlreadyApplied):
            applications.submit(**asked, origin="ussd:2")

    def test_a_loan_that_is_late_by_the_time_that_an_officer_looks(
        self, amina: Borrower, version: ProductVersion, old: Loan
    ) -> None:
        application = applications.submit(
            borrower_id=amina.id, principal_cents=100_000, product_version_id=version.id,
            shown=factories.shown(AGAIN), origin="ussd:again", at=AGAIN, refinances_id=old.id,
        )  # fmt: skip
        factories.decide(application, "refer", at=AGAIN)
        officer = User.objects.create_user("wambui")
        with pytest.raises(RefinancingRefused, match="late"):
            applications.review(
                application_id=application.id, officer=officer, approve=True, reason="Good.", at=NOON + 40 * DAY
            )

    def test_a_second_one_while_the_first_is_on_its_way(
        self, amina: Borrower, version: ProductVersion, old: Loan, new: Loan
    ) -> None:
        with pytest.raises(applications.HasOpenLoan):
            ask(amina, version, 100_000, AGAIN + DAY, old)
        values = Loan.objects.filter(id=new.id).values().get() | {"id": None, "reference": "TWICE"}
        values |= {"application_id": None, "origin": "test:1"}
        with pytest.raises(IntegrityError, match="loan_refinanced_by_one"), transaction.atomic():
            Loan.objects.create(**values)
        with pytest.raises(IntegrityError, match="loan_one_open_per"), transaction.atomic():
            Loan.objects.create(**values | {"refinances_id": None, "refinanced_cents": 0})

    def test_the_audit_finds_one_that_lent_another_amount(self, old: Loan, new: Loan) -> None:
        factories.pay_out(new, at=AGAIN)
        Loan.objects.filter(id=new.id).update(refinanced_cents=new.refinanced_cents + 100)
        with pytest.raises(CommandError, match="a loan that pays off another one lent what it paid off"):
            call_command("audit_books", verbosity=0)
