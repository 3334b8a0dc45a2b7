"""The notice before a bad record: to whom it is owed, what it is about, and when the record may follow."""

from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any

import pytest

from lending import closing
from lending.models import Borrower, BureauNotice, JobRun, Loan, OutboxMessage
from lending.selectors.metrics import REPORTS
from lending.services import bureau, preferences
from tests import factories
from tests.factories import NAIROBI, NOON, pay
from tests.ussd.test_sms import Aggregator, aggregator
from ussd import notices, sms
from ussd.models import Sms

__all__ = ["aggregator"]
AGREED = factories.CONSENTS | {"bureau": True}
# The loan of 2 March is due on 1 April; on 1 May it is 30 days late.
WARNED_ON = date(2026, 5, 1)


def at(day: date, hour: int = 12) -> datetime:
    return datetime(day.year, day.month, day.day, hour, tzinfo=NAIROBI)


def owe(day: date = WARNED_ON) -> int:
    return bureau.owe_notices(day, at(day))


def is_listed(loan: Loan, on: date) -> bool:
    return loan.reference in {record["AccountNumber"] for record in REPORTS["bureau"].records(on)}


@pytest.fixture
def lent(law: None, fixed_scorer: object) -> Callable[..., Loan]:
    """Return Brian's loan, KES 1,500 unless told otherwise."""

    def lend(principal_cents: int = 150_000, consents: Any = AGREED) -> Loan:
        brian = factories.register("Brian Otieno", "254711000102", "23456782", consents=consents)
        Borrower.objects.update(limit_cents=200_000)
        return factories.live_loan(brian, principal_cents)

    return lend


class TestOwing:
    def test_is_owed_once_and_told_once(self, lent: Callable[..., Loan]) -> None:
        loan = lent()
        assert owe(WARNED_ON - timedelta(days=1)) == 0
        assert [owe(), owe(), owe(WARNED_ON + timedelta(days=1))] == [1, 0, 0]
        notice = BureauNotice.objects.get()
        assert (notice.loan, notice.unpaid_since, notice.owed_cents) == (loan, date(2026, 4, 1), 159_000)
        assert OutboxMessage.objects.get(topic="bureau_notice").payload == {"notice_id": notice.id}

    def test_the_close_of_the_day_before_owes_it(self, lent: Callable[..., Loan]) -> None:
        lent()
        closing.close_business(WARNED_ON - timedelta(days=1), at(WARNED_ON, 1))
        assert JobRun.objects.get().result["bureau_notices"] == BureauNotice.objects.count() == 1

    @pytest.mark.parametrize("principal_cents", [20_000, 94_300])
    def test_is_not_owed_for_what_the_law_calls_little(
        self, lent: Callable[..., Loan], principal_cents: int
    ) -> None:
        assert lent(principal_cents).outstanding_cents <= 100_000
        assert owe() == 0

    def test_is_not_owed_by_who_never_agreed(self, lent: Callable[..., Loan]) -> None:
        lent(consents=factories.CONSENTS)
        assert owe() == 0

    def test_is_not_owed_about_who_died(self, lent: Callable[..., Loan]) -> None:
        loan = lent()
        loan.borrower.state = "deceased"
        loan.borrower.save()
        assert owe() == 0

    def test_is_not_owed_where_the_law_says_nothing(self, lent: Callable[..., Loan], settings: Any) -> None:
        lent()
        settings.COUNTRY = "UG"
        assert owe() == 0

    def test_is_owed_anew_after_a_repayment(self, lent: Callable[..., Loan]) -> None:
        loan = lent()
        owe()
        pay(loan.reference, 10_000, at=at(date(2026, 5, 10)))
        assert [owe(date(2026, 5, 11)), owe(date(2026, 5, 12))] == [1, 0]
        assert list(BureauNotice.objects.order_by("id").values_list("repayments", flat=True)) == [0, 1]


class TestListing:
    @pytest.fixture
    def loan(self, lent: Callable[..., Loan]) -> Loan:
        loan = lent()
        owe()
        return loan

    def deliver(self, day: date = WARNED_ON) -> None:
        bureau.notice_delivered(BureauNotice.objects.latest("id").id, at(day))

    def test_comes_when_the_notice_is_old_enough(self, loan: Loan) -> None:
        assert not is_listed(loan, date(2026, 6, 30)), "no notice was delivered"
        self.deliver()
        self.deliver(WARNED_ON + timedelta(days=9))  # the network repeats itself: the first word stands
        assert [is_listed(loan, date(2026, 5, 30)), is_listed(loan, date(2026, 5, 31))] == [False, True]

    def test_never_after_a_payment_without_a_new_notice(self, loan: Loan) -> None:
        self.deliver()
        pay(loan.reference, 10_000, at=at(date(2026, 5, 10)))
        assert not is_listed(loan, date(2026, 6, 30))
        owe(date(2026, 5, 12))
        self.deliver(date(2026, 5, 12))
        assert [is_listed(loan, date(2026, 6, 10)), is_listed(loan, date(2026, 6, 11))] == [False, True]
        assert is_listed(loan, date(2026, 5, 9)) is False

    def test_a_payment_that_was_taken_back_was_none(self, loan: Loan) -> None:
        self.deliver()
        receipt = pay(loan.reference, 10_000, at=at(date(2026, 5, 10)))
        factories.receipts.reverse_receipt(
            receipt_id=receipt.id, actor=None, reason="theirs", at=at(date(2026, 5, 11))
        )
        assert is_listed(loan, date(2026, 5, 31))

    def test_a_loan_that_was_written_off_keeps_its_notice(self, loan: Loan) -> None:
        self.deliver()
        factories.write_off(loan, at=at(date(2026, 5, 20)))
        assert is_listed(loan, date(2026, 5, 31))

    def test_what_was_repaid_is_a_good_record(self, loan: Loan) -> None:
        pay(loan.reference, 159_000, at=at(date(2026, 5, 10)))
        [record] = list(REPORTS["bureau"].records(date(2026, 5, 31)))
        assert (record["AccountStatus"], record["OverdueBalance"]) == ("A", "0.00")


class TestTelling:
    @pytest.fixture
    def notice(self, lent: Callable[..., Loan]) -> BureauNotice:
        lent()
        owe()
        return BureauNotice.objects.get()

    def tell(self, notice: BureauNotice, when: datetime) -> Sms | None:
        notices.send_notice(topic="bureau_notice", payload={"notice_id": notice.id}, at=when)
        return Sms.objects.filter(kind="bureau_notice").first()

    def test_names_the_amount_the_day_and_the_way_to_pay(
        self, notice: BureauNotice, aggregator: Aggregator
    ) -> None:
        sent = self.tell(notice, at(WARNED_ON))
        assert sent is not None and sent.text == (
            f"Jirani: KES 1,590, ref {notice.loan.reference}, is late. If you do not pay by 31 May, "
            "a credit bureau (CRB) will know. Dial *384*77# to pay all or a part."
        )

    def test_counts_from_the_report_of_its_delivery(self, notice: BureauNotice, aggregator: Aggregator) -> None:
        sent = self.tell(notice, at(WARNED_ON))
        notice.refresh_from_db()
        assert sent is not None and notice.delivered_at is None
        for day in (2, 3):
            sms.take_report(
                message_id=Sms.objects.get().provider_message_id, status="Success", failure_reason="", network="",
                at=at(date(2026, 5, day)),
            )  # fmt: skip
        notice.refresh_from_db()
        assert notice.delivered_at == at(date(2026, 5, 2))

    def test_waits_for_the_morning_and_is_not_stopped(self, notice: BureauNotice, aggregator: Aggregator) -> None:
        preferences.stop(msisdn="254711000102", at=NOON)
        assert self.tell(notice, at(WARNED_ON, 3)) is None
        again = OutboxMessage.objects.exclude(reference=f"bureau_notice:{notice.id}").get(topic="bureau_notice")
        assert again.due_at == at(WARNED_ON, 8)
        assert self.tell(notice, again.due_at) is not None

    def test_says_nothing_of_what_was_paid_meanwhile(self, notice: BureauNotice, aggregator: Aggregator) -> None:
        pay(notice.loan.reference, 1_000, at=at(WARNED_ON, 9))
        assert self.tell(notice, at(WARNED_ON)) is None
