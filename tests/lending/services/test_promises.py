"""Promises to pay: one at a time, judged when their day is closed, and told to a person when they are broken."""

from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from django.db import IntegrityError

from lending import closing
from lending.models import Borrower, Case, Loan, OutboxMessage, Promise
from lending.selectors import promises as selectors
from lending.services import promises, receipts
from lending.services.promises import PromiseRefused
from tests import factories
from tests.factories import NOON, pay

LATE = NOON + timedelta(days=33)  # the loan was due three days before
UNTIL = LATE.date() + timedelta(days=4)
pytestmark = pytest.mark.usefixtures("aminas_loan")


def promised(borrower: Borrower, cents: int = 20_000, until: date = UNTIL, **changes: Any) -> Promise:
    asked = {
        "borrower_id": borrower.id,
        "amount_cents": cents,
        "promised_on": until,
        "origin": "ussd:1",
        "at": LATE,
    }
    return promises.make_promise(**(asked | changes))


def closed(on: date) -> None:
    at = datetime.combine(on + timedelta(days=1), NOON.timetz())
    assert closing.close_business(on, at)


def word(promise: Promise) -> str:
    promise.refresh_from_db()
    return promise.state


class TestMaking:
    def test_is_taken_once_and_confirmed_once(self, amina: Borrower) -> None:
        promise = promised(amina)
        assert promised(amina) == promise
        assert (promise.state, promise.channel) == ("open", "phone")
        assert OutboxMessage.objects.filter(topic="promise_made").count() == 1

    def test_is_one_at_a_time_whoever_takes_it(self, amina: Borrower, admin_user: Any) -> None:
        promised(amina)
        with pytest.raises(PromiseRefused, match="promised"):
            promised(amina, origin="ussd:2", taker=admin_user)
        with pytest.raises(IntegrityError, match="promise_one_open"):
            Promise.objects.create(
                loan=Loan.objects.get(), borrower=amina, origin="x", amount_cents=1, promised_on=UNTIL,
                channel="phone", made_at=LATE,
            )  # fmt: skip

    def test_is_refused_where_nothing_is_owed(self, amina: Borrower) -> None:
        pay(amina.msisdn, 53_000)
        with pytest.raises(PromiseRefused, match="nothing_owed"):
            promised(amina)

    def test_can_be_given_for_a_loan_that_was_written_off(self, amina: Borrower, aminas_loan: Loan) -> None:
        factories.write_off(aminas_loan, at=LATE)
        assert promised(amina, 53_000).loan == aminas_loan


class TestJudging:
    def test_waits_for_its_day(self, amina: Borrower) -> None:
        promise = promised(amina)
        closed(UNTIL - timedelta(days=1))
        assert word(promise) == "open" and selectors.holds(promise.loan_id, UNTIL)

    def test_is_kept_by_parts_that_came_in_time(self, amina: Borrower) -> None:
        promise = promised(amina)
        pay(amina.msisdn, 5_000, "ONE", at=LATE + timedelta(days=1))
        pay(amina.msisdn, 15_000, "TWO", at=LATE + timedelta(days=4))
        closed(UNTIL)
        assert word(promise) == "kept" and not Case.objects.exists()

    def test_is_broken_by_money_of_before_or_after_and_a_person_is_told(
        self, amina: Borrower, books_balance: Callable[[], None]
    ) -> None:
        pay(amina.msisdn, 20_000, "BEFORE", at=LATE - timedelta(hours=1))
        promise = promised(amina)
        pay(amina.msisdn, 20_000, "AFTER", at=LATE + timedelta(days=5))
        closed(UNTIL)
        case = Case.objects.get(kind="promise_broken")
        assert word(promise) == "broken" and "KES 200" in case.note and case.borrower == amina
        assert not promises.judge_promises(UNTIL, LATE)  # a second time it changes nothing
        books_balance()

    def test_hears_of_a_payment_late_and_closes_the_case(self, amina: Borrower) -> None:
        promise = promised(amina)
        closed(UNTIL)
        receipt = pay(amina.msisdn, 20_000, at=LATE + timedelta(days=2))
        closed(UNTIL + timedelta(days=1))
        assert word(promise) == "kept" and Case.objects.get().closed_at is not None

        receipts.reverse_receipt(receipt_id=receipt.id, actor=None, reason="taken back", at=LATE)
        closed(UNTIL + timedelta(days=2))
        assert word(promise) == "broken" and Case.objects.filter(closed_at=None).count() == 1

    def test_of_two_that_were_broken_a_third_is_for_an_officer(self, amina: Borrower, admin_user: Any) -> None:
        for number in range(2):
            at = LATE + timedelta(days=2 * number)
            promised(amina, origin=f"ussd:{number}", at=at, until=at.date() + timedelta(days=1))
            closed(at.date() + timedelta(days=1))
        with pytest.raises(PromiseRefused, match="officer"):
            promised(amina, origin="ussd:3", at=LATE + timedelta(days=5), until=UNTIL + timedelta(days=5))
        taken = promised(
            amina,
            origin="officer:1",
            taker=admin_user,
            at=LATE + timedelta(days=5),
            until=UNTIL + timedelta(days=5),
        )
        assert (taken.state, taken.channel, taken.taker) == ("open", "officer", admin_user)
