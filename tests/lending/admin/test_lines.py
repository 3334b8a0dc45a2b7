"""An officer draws from a line, closes it, and records a day's sales, at the customer's wish."""

from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from lending.models import Borrower, Draw, Loan, LoanEvent, PaymentIntent, ProductVersion
from lending.services import applications
from tests import factories
from tests.lending.admin.test_changes import page, send, send_twice
from tests.stories.test_cash_advance import ADVANCE
from tests.stories.test_credit_line import LINE


def made(borrower: Borrower, terms: dict[str, object]) -> Loan:
    """Return what was approved under other terms an hour ago."""
    at = timezone.now() - timedelta(hours=1)
    ordinary = factories.like_the_usual()
    version = ProductVersion.objects.create(
        **ordinary | {"id": None, "code": "another", "terms": ordinary["terms"] | terms}
    )
    application = applications.submit(
        borrower_id=borrower.id, principal_cents=100_000, product_version_id=version.id,
        shown=factories.shown(at), origin="ussd:other", at=at,
    )  # fmt: skip
    factories.decide(application, at=at, limit_cents=100_000)
    return Loan.objects.get()


@pytest.fixture
def line(amina: Borrower, fixed_scorer: object) -> Loan:
    return made(amina, LINE)


class TestLine:
    def test_a_draw_is_looked_at_and_then_paid_out_once(self, officer: Client, line: Loan) -> None:
        shown = send(officer, line, "grant_draw", amount_cents="600", reason="She came by.").content.decode()
        assert "Nothing has happened yet" in shown
        for words in ("KES 1,000", "KES 564", "KES 600"):
            assert words in shown
        assert not Draw.objects.exists()
        answer = send_twice(officer, line, "grant_draw", amount_cents="600", reason="She came by.")
        assert "the payout is under way" in answer.content.decode()
        assert PaymentIntent.objects.get().amount_cents == 56_400
        again = send_twice(officer, line, "grant_draw", amount_cents="200", reason="She came again.")
        assert "an earlier draw is on its way" in again.content.decode()

    @pytest.mark.parametrize(
        ("typed", "said"),
        [("1,100", "the free is 100000 cents"), ("-1", "Write an amount above 0"), ("1", "The loan: must be from")],
    )
    def test_what_cannot_be_drawn_is_refused_in_a_sentence(
        self, officer: Client, line: Loan, typed: str, said: str
    ) -> None:
        shown = send(officer, line, "grant_draw", amount_cents=typed, reason="x").content.decode()
        if "Nothing has happened yet" in shown:
            shown = send_twice(officer, line, "grant_draw", amount_cents=typed, reason="x").content.decode()
        assert said in shown
        assert not Draw.objects.exists()

    def test_it_is_closed_with_a_reason(self, officer: Client, line: Loan) -> None:
        assert "Close the line" in officer.get(page(line)).content.decode()
        answer = send(officer, line, "grant_close_line", reason="She asked for it.").content.decode()
        assert "the line is closed" in answer and "Line closed" in answer
        assert "Close the line" not in officer.get(page(line)).content.decode()


def test_a_days_sales_are_recorded_once(officer: Client, amina: Borrower, fixed_scorer: object) -> None:
    loan = factories.pay_out(made(amina, ADVANCE), at=timezone.now())
    day = timezone.localdate().isoformat()
    for _ in range(2):
        answer = send(officer, loan, "grant_sales", sold_on=day, sales_cents="1,500", reference="31")
        assert "Recorded." in answer.content.decode()
    assert LoanEvent.objects.get(kind="sales").details == {"amount_cents": 150_000}
    assert loan.installments.get(event_key__startswith="sales:").total_cents == 15_000


def test_an_ordinary_loan_offers_none_of_it(officer: Client, aminas_loan: Loan) -> None:
    shown = officer.get(page(aminas_loan)).content.decode()
    for act in ("grant_draw", "grant_close_line", "grant_sales"):
        assert reverse(f"admin:lending_loan_{act}", args=[aminas_loan.pk]) not in shown
