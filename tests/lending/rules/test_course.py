"""Until a loan turns, its course says what playing it day by day says, whatever has happened to it before."""

from datetime import date, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from lending.rules.arrears import classify
from lending.rules.facts import Caps, Contract, Course, Fact, Life
from lending.rules.life import play
from lending.rules.terms import read_terms
from tests.lending.rules.strategies import START, lives

DAY = timedelta(days=1)


def until_it_turns(course: Course, closed_on: date, at_most: int) -> list[date]:
    days = [closed_on + n * DAY for n in range(1, at_most + 1)]
    return [on for on in days if course.turns_on is None or on < course.turns_on]


def as_closing_keeps_it(life: Life, on: date) -> tuple[int, int, str, int]:
    """Return what close of business writes on an ordinary day: interest earned, days late, class and debt."""
    assert life.course
    late = max(0, (on - life.due_on).days) if life.due_on else 0
    earned = max(life.accrued_interest_cents, life.course.earned(on))
    return earned, late, classify(late), life.outstanding_cents


class TestEveryCourse:
    @settings(max_examples=120, deadline=None)
    @given(lives(), st.integers(0, 200))
    def test_says_what_the_days_do(self, drawn: tuple[Contract, list[Fact]], day: int) -> None:
        agreed, facts = drawn
        closed_on = START + day * DAY
        known = [fact for fact in facts if fact.on <= closed_on]
        standing = [fact for fact in known if fact.kind != "reverse" or fact.of in {one.key for one in known}]
        life = play(agreed, standing, closed_on)
        if life.course is None:
            assert life.state != "live"
            return
        assert life.course.turns_on is None or life.course.turns_on > closed_on
        for on in until_it_turns(life.course, closed_on, 40):
            lived = play(agreed, standing, on)
            assert as_closing_keeps_it(life, on) == (
                lived.accrued_interest_cents,
                lived.days_past_due,
                lived.classification,
                lived.outstanding_cents,
            ), on
            assert len(lived.installments) == len(life.installments)
            assert lived.non_performing == life.non_performing or not agreed.terms.grows_with_time


WEEKLY = {
    "kind": "flat",
    "currency": "KES",
    "min_cents": 1,
    "max_cents": 10**12,
    "term": {"installments": 3, "every": 1, "unit": "week"},
    "interest": {"rate": "0.10", "per": "term"},
    "penalties": [{"name": "Late", "rate": "0.02", "grace_days": 2, "every_days": 7}],
}


def turns(until: int, *facts: Fact) -> list[int]:
    """Return on which days since its payout a weekly loan turns, each found from the one before."""
    agreed = Contract(read_terms(WEEKLY), 300_000, Caps())
    out = Fact("payout", "disburse", START, amount_cents=300_000)
    found, closed_on = [], START
    while True:
        known = [fact for fact in facts if fact.on <= closed_on]
        course = play(agreed, [out, *known], closed_on).course
        if course is None or course.turns_on is None or course.turns_on > START + until * DAY:
            return found
        closed_on = course.turns_on
        found.append((closed_on - START).days)


def test_turns_when_the_next_installment_earns_and_when_a_penalty_falls() -> None:
    # Due on days 7, 14, 21: the second and the third earn from days 8 and 15. Each is penalised on its third day
    # late and each week after, so all of them on the same days.
    assert turns(40) == [8, 10, 15, 17, 24, 31, 38]


def test_an_installment_that_is_paid_in_time_is_not_penalised() -> None:
    first = Fact("pay", "pay", START + 7 * DAY, amount_cents=110_000)
    assert turns(16, first) == [8, 15]


def test_a_loan_with_nothing_ahead_turns_never() -> None:
    agreed = Contract(read_terms(WEEKLY | {"penalties": [], "interest": {}}), 300_000, Caps())
    life = play(agreed, [Fact("payout", "disburse", START, amount_cents=300_000)], START)
    assert life.course == Course()
