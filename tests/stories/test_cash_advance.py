"""A cash advance: a fee known beforehand, repaid with a share of each day's sales; the books hold at every step."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from lending import closing
from lending.models import Borrower, Entry, Loan, LoanEvent, ProductVersion
from lending.selectors import loans
from lending.services import applications, sales
from tests import factories
from tests.factories import NOON
from tests.lending.test_loan_closing import assert_as_the_rules_say

DAY = timedelta(days=1)
ADVANCE = {
    "kind": "sales_share",
    "term": {"installments": 1, "every": 60, "unit": "day"},
    "fees": [{"name": "Fee", "rate": "0.05"}],
    "sales_share": {"share": "0.10", "max_daily_cents": 20_000},
}


@pytest.fixture
def advance(amina: Borrower, fixed_scorer: object) -> Loan:
    """Amina's stall has KES 1,000 in advance, for KES 1,060 out of a tenth of its sales, KES 200 a day at most."""
    ordinary = factories.like_the_usual()
    made = ordinary | {"id": None, "code": "jirani-till", "terms": ordinary["terms"] | ADVANCE}
    application = applications.submit(
        borrower_id=amina.id,
        principal_cents=100_000,
        product_version_id=ProductVersion.objects.create(**made).id,
        shown=factories.shown(NOON),
        origin="ussd:till",
        at=NOON,
    )
    factories.decide(application, limit_cents=100_000)
    return factories.pay_out(Loan.objects.get())


def sold(loan: Loan, cents: int, days: int, reference: str = "", at: datetime | None = None) -> sales.Recorded:
    on = NOON.date() + days * DAY
    return sales.record_sales(
        loan_id=loan.id,
        sales_cents=cents,
        sold_on=on,
        source="till-7",
        reference=reference or on.isoformat(),
        at=at or NOON + days * DAY + timedelta(hours=6),
    )


def booked(account: str) -> int:
    return sum(entry.debit_cents - entry.credit_cents for entry in Entry.objects.filter(account=account))


def test_is_repaid_out_of_sales_and_its_fee_is_earned_on_the_way(
    advance: Loan, books_balance: Callable[[], None]
) -> None:
    assert (advance.outstanding_cents, booked("deferred_fee_income"), booked("fee_income")) == (106_000, -5_000, 0)
    paid = 0
    for day in range(1, 7):
        at = NOON + day * DAY
        closing.close_until_yesterday(at)
        share = sold(advance, 150_000 + 20_000 * day, day).share_cents
        assert share == min(20_000, 15_000 + 2_000 * day, 106_000 - paid)
        if share:
            factories.pay(advance.reference, share, f"SHARE{day}", at=at + timedelta(hours=8))
        paid += share
        books_balance()
    advance.refresh_from_db()
    assert (advance.state, paid, advance.days_past_due) == ("settled", 106_000, 0)
    assert (booked("deferred_fee_income"), booked("fee_income")) == (0, -5_000)


def test_a_share_that_was_not_paid_is_late_and_closes_as_the_rules_say(
    advance: Loan, books_balance: Callable[[], None]
) -> None:
    sold(advance, 100_000, 2)
    closing.close_until_yesterday(NOON + 5 * DAY)
    advance.refresh_from_db()
    assert advance.days_past_due == 2
    assert_as_the_rules_say(advance, NOON.date() + 4 * DAY)
    assert 0 < -booked("fee_income") < 5_000
    books_balance()


def test_a_day_told_late_is_played_in_its_place(advance: Loan, books_balance: Callable[[], None]) -> None:
    sold(advance, 100_000, 5)
    sold(advance, 50_000, 2, at=NOON + 6 * DAY)
    due = [(item.due_on, owed.total) for item, owed in loans.dues(advance)]
    assert sorted(due)[:2] == [(NOON.date() + 2 * DAY, 5_000), (NOON.date() + 5 * DAY, 10_000)]
    assert sum(cents for _, cents in due) == 106_000
    books_balance()


def test_two_tills_share_the_most_of_a_day(advance: Loan) -> None:
    assert [sold(advance, 150_000, 2, reference).share_cents for reference in ("a", "b", "c")] == [15_000, 5_000, 0]


def test_the_same_settlement_counts_once(advance: Loan) -> None:
    assert sold(advance, 100_000, 2) == sold(advance, 100_000, 2, at=NOON + 9 * DAY)
    assert LoanEvent.objects.filter(kind="sales").count() == 1
    with pytest.raises(sales.ToldOtherwise, match="was 100000 cents"):
        sold(advance, 200_000, 2)


def test_a_day_without_sales_asks_for_nothing(advance: Loan) -> None:
    assert sold(advance, 0, 2).share_cents == 0


@pytest.mark.parametrize(
    ("cents", "days", "said"),
    [(100, -1, "was not paid out on"), (100, 3, "is yet to come"), (-1, 1, "must be 0 cents or more")],
)
def test_what_cannot_be_is_refused(advance: Loan, cents: int, days: int, said: str) -> None:
    with pytest.raises(sales.SalesRefused, match=said):
        sold(advance, cents, days, at=NOON + 2 * DAY)
    assert not LoanEvent.objects.filter(kind="sales").exists()


def test_an_ordinary_loan_has_no_sales(aminas_loan: Loan) -> None:
    with pytest.raises(sales.SalesRefused, match="is no cash advance"):
        sold(aminas_loan, 100, 1)
