"""A closed period: closed by two, for ever, and what comes late goes into the open one."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime, timedelta

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction

from lending import chain, closing, ledger
from lending.models import AuditEvent, Entry, Loan, PeriodClosing, Posting
from lending.services.periods import PeriodNotClosed, close_period
from tests.factories import NAIROBI, NOON, pay
from tests.lending.posters import SlowWriter, elsewhere, fund, waiting_for

MARCH = date(2026, 3, 31)
APRIL = datetime(2026, 4, 2, 9, 0, tzinfo=NAIROBI)
LATE = datetime(2026, 3, 20, 23, 59, tzinfo=NAIROBI)


@pytest.fixture
def closed_days(law: None) -> None:
    """The close of business has run for every day of March."""
    closing.close_business(MARCH, APRIL)


def wambui() -> User:
    return User.objects.get_or_create(username="wambui")[0]


def njeri() -> User:
    return User.objects.get_or_create(username="njeri")[0]


def close(last_on: date = MARCH, at: datetime = APRIL) -> PeriodClosing:
    return close_period(last_on=last_on, maker=wambui(), checker=njeri(), at=at)


@pytest.mark.usefixtures("closed_days")
class TestClosePeriod:
    def test_closes_over_the_head_of_the_chain_and_tells_the_trail(self) -> None:
        posting = fund()
        closed = close()
        assert (closed.head_posting_id, closed.head_hash) == (posting.id, chain.head().hash)
        event = AuditEvent.objects.get(action="period_closed")
        assert (event.actor, event.detail["maker"]) == (njeri(), wambui().pk)

    def test_closing_again_returns_the_closing_on_record(self) -> None:
        assert close().id == close().id
        assert AuditEvent.objects.filter(action="period_closed").count() == 1

    @pytest.mark.parametrize(
        ("last_on", "why"),
        [
            (APRIL.date(), "is not over"),
            (APRIL.date() + timedelta(days=30), "is not over"),
            (MARCH - timedelta(days=1), "closed until 2026-03-31 already"),
            (APRIL.date() - timedelta(days=1), "close of business of 2026-04-01 has not run"),
        ],
    )
    def test_refuses_a_date(self, last_on: date, why: str) -> None:
        close()
        with pytest.raises(PeriodNotClosed, match=why):
            close(last_on)

    def test_refuses_one_person_alone(self) -> None:
        with pytest.raises(PeriodNotClosed, match="needs two people"):
            close_period(last_on=MARCH, maker=wambui(), checker=wambui(), at=APRIL)
        with pytest.raises(IntegrityError, match="period_closed_by_two"), transaction.atomic():
            PeriodClosing.objects.create(
                last_on=MARCH, maker=wambui(), checker=wambui(), head_posting_id=0, head_hash=b"", closed_at=APRIL
            )

    def test_is_never_undone(self) -> None:
        close()
        with pytest.raises(IntegrityError, match="is history"), transaction.atomic():
            PeriodClosing.objects.all().delete()


class TestLateFact:
    def test_is_booked_on_the_first_open_day_with_its_own_moment(
        self, aminas_loan: Loan, closed_days: None, books_balance: Callable[[], None]
    ) -> None:
        close()
        pay(aminas_loan.reference, 53_000, at=LATE)
        booked = Posting.objects.get(kind="repayment")
        assert (booked.occurred_at, booked.business_date) == (LATE, date(2026, 4, 1))
        aminas_loan.refresh_from_db()
        assert (aminas_loan.settled_at, aminas_loan.worst_days_past_due) == (LATE, 0)
        books_balance()

    def test_a_fact_of_the_open_period_keeps_its_day(self, closed_days: None) -> None:
        close()
        assert fund(at=APRIL).business_date == APRIL.date()


@pytest.mark.usefixtures("closed_days")
class TestPostgresRefuses:
    def test_a_posting_dated_into_a_closed_period(self) -> None:
        close()
        with pytest.raises(IntegrityError, match="closed until 2026-03-31"), transaction.atomic():
            Posting.objects.create(
                kind="capital", reference="x", occurred_at=LATE, business_date=MARCH, booked_at=APRIL
            )

    def test_entries_added_to_a_posting_of_a_closed_period_even_if_they_balance(self) -> None:
        posting = fund()
        close()
        with pytest.raises(IntegrityError, match="closed until 2026-03-31"), transaction.atomic():
            Entry.objects.bulk_create(
                Entry(posting=posting, account_id=account, currency="KES", **{side: 5})
                for account, side in (("suspense", "debit_cents"), ("fee_income", "credit_cents"))
            )


@pytest.mark.django_db(transaction=True)
class TestWhileSomebodyPosts:
    @pytest.fixture(autouse=True)
    def _closed(self, closed_days: None) -> None:
        wambui(), njeri()

    def test_a_posting_that_began_before_is_waited_for_and_stands_in_the_period(self) -> None:
        with ThreadPoolExecutor(2) as pool:
            slow = SlowWriter(pool)
            closed = elsewhere(pool, close)
            while not waiting_for("lending_posting"):
                assert not closed.done()
            slow.commits()
            assert closed.result(20).head_posting_id == Posting.objects.get(reference="slow").id
        assert Posting.objects.get(reference="slow").business_date == NOON.date()

    def test_a_posting_that_has_found_its_day_open_keeps_it_open(self) -> None:
        with ThreadPoolExecutor(1) as pool:
            about_to_post = SlowWriter(pool, lambda: ledger.open_day(MARCH))
            with pytest.raises(PeriodNotClosed, match="too busy"):
                close()
            about_to_post.commits()

    def test_a_writer_who_never_ends_keeps_the_period_open_and_holds_up_nobody_for_long(self) -> None:
        with ThreadPoolExecutor(1) as pool:
            slow = SlowWriter(pool)
            with pytest.raises(PeriodNotClosed, match="too busy"):
                close()
            assert fund(reference="next").business_date == NOON.date()
            slow.commits()
        assert close().last_on == MARCH
