"""A credit line: opened once, drawn as far as it is free, repaid and drawn again; the books hold at every step."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction

from lending import closing
from lending.models import (
    Borrower,
    CountryPack,
    Draw,
    Loan,
    OutboxMessage,
    PaymentAttempt,
    PaymentIntent,
    ProductVersion,
)
from lending.rules.caps import AgainstLaw
from lending.rules.pricing import LoanRefused
from lending.selectors import contracts, products
from lending.services import applications, life, lines
from lending.services import loans as payouts
from tests import factories
from tests.factories import NOON
from tests.lending.rules.packs import changed, invented
from tests.lending.test_loan_closing import assert_as_the_rules_say
from ussd.notices import decision_words, disbursed_words, not_disbursed_words

LINE = {
    "kind": "credit_line",
    "draw": "flat",
    "term": {"installments": 2, "every": 15, "unit": "day"},
    "fees": [{"name": "Fee", "rate": "0.05", "charged": "deducted"}],
}
DAY = timedelta(days=1)


@pytest.fixture
def version(law: None) -> ProductVersion:
    """A line of KES 1,000 to 50,000, repaid in two parts; a fee of 5 % is kept back from each draw."""
    ordinary = factories.like_the_usual()
    made = ordinary | {"id": None, "code": "jirani-line", "name": "Jirani line", "terms": ordinary["terms"] | LINE}
    return ProductVersion.objects.create(**made)


def ask(borrower: Borrower, version: ProductVersion, cents: int = 100_000, at: datetime = NOON) -> Any:
    application = applications.submit(
        borrower_id=borrower.id,
        principal_cents=cents,
        product_version_id=version.id,
        shown=factories.shown(at),
        origin=f"ussd:line:{borrower.id}:{version.id}",
        at=at,
    )
    return factories.decide(application, at=at, limit_cents=cents)


@pytest.fixture
def line(amina: Borrower, version: ProductVersion, fixed_scorer: object) -> Loan:
    """Amina has a line of KES 1,000."""
    ask(amina, version)
    return Loan.objects.get()


def draw(line: Loan, cents: int, origin: str = "1", at: datetime = NOON) -> Draw:
    return lines.take_draw(loan_id=line.id, amount_cents=cents, origin=origin, at=at)


def attempt_of(draw: Draw, state: str, at: datetime) -> PaymentAttempt:
    PaymentIntent.objects.filter(id=draw.intent_id).update(state=state)
    return PaymentAttempt.objects.create(
        intent_id=draw.intent_id, number=1, provider="daraja", state=state, created_at=at,
        completed_at=at if state == "succeeded" else None,
    )  # fmt: skip


def arrive(draw: Draw, at: datetime = NOON, times: int = 1) -> Loan:
    attempt = attempt_of(draw, "succeeded", at)
    for _ in range(times):
        loan = payouts.payout_succeeded(
            attempt_id=attempt.id, receipt_no=f"DRAW{draw.pk}", amount_cents=draw.received_cents,
            completed_at=at, at=at,
        )  # fmt: skip
    return loan


def fresh(line: Loan) -> Loan:
    return contracts.with_contract().get(id=line.id)


class TestOpen:
    def test_nothing_is_paid_out_or_owed_until_it_is_drawn(
        self, line: Loan, books_balance: Callable[[], None]
    ) -> None:
        assert (line.state, line.credit_limit_cents, line.principal_cents) == ("undrawn", 100_000, 0)
        assert not PaymentIntent.objects.exists()
        assert lines.free_cents(line) == 100_000
        decision = line.application.decision  # type: ignore[union-attr]
        assert decision_words(decision).startswith("Approved. You may draw up to KES 1,000")
        books_balance()

    def test_one_line_for_one_person(self, line: Loan, amina: Borrower, version: ProductVersion) -> None:
        other = ProductVersion.objects.filter(id=version.id).values().get() | {"id": None, "code": "line-2"}
        with pytest.raises(IntegrityError, match="loan_one_line_per_identity"), transaction.atomic():
            ask(amina, ProductVersion.objects.create(**other))

    def test_the_phone_still_offers_the_ordinary_loan(self, line: Loan) -> None:
        assert products.product_in_force("KE", NOON.date()).code == "jirani-30"


class TestDraw:
    def test_arrives_without_the_fee_and_is_owed_whole(self, line: Loan, books_balance: Callable[[], None]) -> None:
        taken = draw(line, 60_000)
        assert (taken.received_cents, taken.total_cents) == (56_400, 60_000)
        assert fresh(line).state == "approved" and fresh(line).on_its_way_cents == 56_400
        books_balance()
        loan = arrive(taken, times=2)  # the operator repeats itself
        assert (loan.state, loan.principal_cents, loan.outstanding_cents) == ("live", 60_000, 60_000)
        assert [item.due_on - NOON.date() for item in loan.installments.all()] == [15 * DAY, 30 * DAY]
        assert lines.free_cents(loan) == 40_000
        assert disbursed_words(loan, taken).startswith("KES 564 is in your M-PESA")
        assert OutboxMessage.objects.filter(topic="loan_disbursed").count() == 1
        books_balance()

    def test_is_drawn_again_while_the_first_is_owed_and_after_all_is_repaid(
        self, line: Loan, books_balance: Callable[[], None]
    ) -> None:
        arrive(draw(line, 60_000))
        second = draw(line, 40_000, "2", NOON + DAY)
        factories.pay(line.reference, 60_000, "ALL1", at=NOON + DAY)
        assert fresh(line).state == "approved"  # nothing is owed, and money is on its way
        arrive(second, NOON + DAY)
        loan = fresh(line)
        assert (loan.state, loan.principal_cents, loan.outstanding_cents) == ("live", 100_000, 40_000)
        books_balance()
        factories.pay(line.reference, 40_000, "ALL2", at=NOON + 2 * DAY)
        assert (fresh(line).state, fresh(line).settled_at) == ("undrawn", None)
        assert lines.free_cents(fresh(line)) == 100_000
        arrive(draw(line, 100_000, "3", NOON + 3 * DAY), NOON + 3 * DAY)
        assert (fresh(line).state, fresh(line).outstanding_cents) == ("live", 100_000)
        books_balance()

    def test_each_draw_has_a_plan_that_closes_and_replays_alike(
        self, line: Loan, books_balance: Callable[[], None]
    ) -> None:
        arrive(draw(line, 60_000))
        arrive(draw(line, 40_000, "2", NOON + 5 * DAY), NOON + 5 * DAY)
        due = sorted((item.due_on - NOON.date()).days for item in line.installments.all())
        assert due == [15, 20, 30, 35]
        closing.close_until_yesterday(NOON + 22 * DAY)
        loan = fresh(line)
        assert loan.days_past_due == 6
        assert_as_the_rules_say(loan, (NOON + 21 * DAY).date())
        books_balance()
        before = (loan.installments.count(), loan.postings.count())
        with transaction.atomic():
            life.replay(loan, NOON + 22 * DAY)
        assert (loan.installments.count(), loan.postings.count()) == before

    def test_the_same_wish_pays_once(self, line: Loan) -> None:
        assert draw(line, 60_000) == draw(line, 60_000)
        assert PaymentIntent.objects.count() == 1

    def test_a_payout_that_fails_leaves_the_line_as_it_was_and_may_still_arrive(
        self, line: Loan, books_balance: Callable[[], None]
    ) -> None:
        taken = draw(line, 60_000)
        attempt = attempt_of(taken, "failed", NOON)
        for _ in range(2):
            loan = payouts.payout_failed(attempt_id=attempt.id, code="2040", text="", at=NOON)
        assert (loan.state, lines.free_cents(loan)) == ("undrawn", 100_000)
        assert "You owe nothing" in not_disbursed_words(loan, taken)
        books_balance()
        PaymentAttempt.objects.filter(id=attempt.id).update(state="succeeded", completed_at=NOON)
        PaymentIntent.objects.update(state="succeeded")
        loan = payouts.payout_succeeded(
            attempt_id=attempt.id, receipt_no="LATE", amount_cents=56_400, completed_at=NOON, at=NOON + DAY
        )
        assert (loan.state, loan.outstanding_cents) == ("live", 60_000)
        books_balance()

    def test_the_audit_finds_a_line_that_is_not_its_draws(self, line: Loan) -> None:
        arrive(draw(line, 60_000))
        Draw.objects.update(fee_cents=1)
        with pytest.raises(CommandError, match="what is charged is what the customer accepted"):
            call_command("audit_books", verbosity=0)


class TestRefusals:
    def test_more_than_is_free(self, line: Loan) -> None:
        arrive(draw(line, 60_000))
        with pytest.raises(lines.AboveFree) as refused:
            draw(line, 40_100, "2")
        assert refused.value.free_cents == 40_000

    @pytest.mark.parametrize("cents", [0, -100, 100, 30_050])
    def test_no_amount_that_is_lent(self, line: Loan, cents: int) -> None:
        with pytest.raises(LoanRefused):
            draw(line, cents)

    def test_while_another_is_on_its_way(self, line: Loan) -> None:
        draw(line, 30_000)
        with pytest.raises(lines.DrawRefused, match="an earlier draw is on its way"):
            draw(line, 30_000, "2")

    def test_while_something_is_late(self, line: Loan) -> None:
        arrive(draw(line, 60_000))
        draw_on = NOON + 16 * DAY
        with pytest.raises(lines.DrawRefused, match="late"):
            draw(line, 30_000, "2", draw_on)

    def test_by_who_may_not_borrow(self, line: Loan) -> None:
        Borrower.objects.update(state=Borrower.State.BLOCKED)
        with pytest.raises(lines.DrawRefused, match="may not borrow"):
            draw(line, 30_000)

    def test_beside_another_open_loan(self, line: Loan, amina: Borrower) -> None:
        factories.live_loan(amina, at=NOON)
        with pytest.raises(lines.DrawRefused, match="another open loan"):
            draw(line, 30_000)

    def test_of_an_ordinary_loan(self, aminas_loan: Loan) -> None:
        with pytest.raises(lines.DrawRefused, match="no credit line"):
            draw(aminas_loan, 30_000)

    def test_above_what_the_law_lets_one_person_owe(
        self, amina: Borrower, version: ProductVersion, fixed_scorer: object
    ) -> None:
        rules = changed("ke", exposure=invented(max_total_cents=82_000))
        CountryPack.objects.create(country="KE", version=2, effective_on=NOON.date(), rules=rules)
        values = ProductVersion.objects.filter(id=version.id).values().get() | {"id": None, "version": 2}
        on_top = values["terms"] | {"fees": [{"name": "Fee", "rate": "0.05"}]}
        ask(amina, ProductVersion.objects.create(**values | {"terms": on_top, "approved_on": "2024-01-01"}), 80_000)
        line = Loan.objects.get()
        arrive(draw(line, 40_000))
        with pytest.raises(AgainstLaw, match=r"exposure\.max_total_cents allows 82000, got 82400"):
            draw(line, 40_000, "2")


class TestClose:
    @pytest.fixture
    def wambui(self, law: None) -> User:
        return User.objects.create_user("wambui")

    def test_nothing_is_drawn_any_more(self, line: Loan, wambui: User, books_balance: Callable[[], None]) -> None:
        for _ in range(2):
            closed = lines.close_line(loan_id=line.id, actor=wambui, reason="She asked for it.", at=NOON)
        assert closed.state == "closed"
        with pytest.raises(lines.DrawRefused, match="closed"):
            draw(line, 30_000)
        books_balance()

    def test_not_while_something_is_owed_or_on_its_way(self, line: Loan, wambui: User) -> None:
        taken = draw(line, 30_000)
        for act in (arrive, lambda _: None):
            with pytest.raises(lines.SomethingIsOwed):
                lines.close_line(loan_id=line.id, actor=wambui, reason="x", at=NOON)
            act(taken)
