"""Close of business in SQL does to a loan what the rules say, to the cent, whatever the terms and the payments."""

from datetime import date, timedelta
from random import Random

import pytest

from lending import closing, loan_closing
from lending.invariants import SUB_LEDGERS, audit
from lending.models import Case, CountryPack, Installment, JobRun, Loan, Posting
from lending.rules.allocation import total_of
from lending.rules.facts import Course
from lending.rules.life import play
from lending.selectors import contracts, loans
from lending.services import life
from tests.lending.lending import happen, lend, noon, product
from tests.lending.rules.packs import changed, invented

START = noon(2026, 1, 5)
INTEREST = {"rate": "0.36", "per": "year", "day_count": "act/365"}
MONTHS = {"installments": 3, "every": 1, "unit": "month"}
PENALTY = {"name": "Late", "rate": "0.02", "of": "overdue_installment", "grace_days": 2, "every_days": 7}
# One of each kind of terms whose days SQL closes.
TERMS = {
    "bullet": {"fees": [{"name": "Fee", "rate": "0.05"}], "tax": {"rate": "0.20"}},
    "bullet with interest": {"interest": INTEREST},
    "weekly, flat, a weekly penalty": {
        "kind": "flat",
        "term": {"installments": 4, "every": 1, "unit": "week"},
        "interest": {"rate": "0.10", "per": "term"},
        "penalties": [PENALTY],
    },
    "level, one penalty in all": {
        "kind": "level",
        "term": MONTHS,
        "interest": INTEREST,
        "penalties": [PENALTY | {"every_days": 0, "of": "overdue_principal", "rate": "0.10"}],
    },
    "a fixed penalty a day, taxed and capped": {
        "kind": "equal_principal",
        "term": MONTHS,
        "interest": INTEREST,
        "tax": {"kind": "vat", "rate": "0.16"},
        "penalties": [
            {
                "name": "Late",
                "amount_cents": 3_333,
                "every_days": 1,
                "taxed": True,
                "cap_rate": "0.07",
                "grace_days": 0,
            }
        ],
        "rounding": {"unit_cents": 1, "mode": "half_even"},
    },
    "a penalty on the balance, until the law stops it": {
        "term": {"installments": 1, "every": 14, "unit": "day"},
        "penalties": [
            {"name": "Late", "rate": "0.013", "of": "balance", "every_days": 1, "taxed": False, "cap_cents": 90_001}
        ],
        "rounding": {"unit_cents": 100, "mode": "up"},
    },
}
# What SQL leaves to Python.
SINGLY = {
    "a credit line": {
        "kind": "credit_line",
        "draw": "flat",
        "term": {"installments": 4, "every": 1, "unit": "week"},
        "penalties": [PENALTY | {"cap_rate": "0.03"}],
    },
    "two penalties": {"penalties": [PENALTY, PENALTY | {"name": "Very late", "grace_days": 20}]},
    "a fee over the term": {"fees": [{"name": "Fee", "rate": "0.05", "earned": "over_term"}]},
}


def assert_as_the_rules_say(loan: Loan, on: date) -> None:
    """Hold a stored loan to its life as the rules play it."""
    loan = contracts.with_contract().get(id=loan.id)
    lived = play(contracts.contract_of(loan), contracts.facts_of(life.events_of(loan)), on)
    stored = {
        "state": loan.state,
        "owed": total_of(due for _, due in loans.dues(loan)),
        "outstanding": loan.outstanding_cents,
        "accrued": loan.accrual_cents,
        "late": loan.days_past_due if loan.aged_on == on else lived.days_past_due,
        "worst": loan.worst_days_past_due,
        "since": loan.unpaid_since,
        "class": loan.classification,
        "rows": sorted(_row(item) for item in loan.installments.all()),
    }
    assert stored == {
        "state": lived.state,
        "owed": lived.owed,
        "outstanding": lived.outstanding_cents,
        "accrued": lived.accrued_interest_cents,
        "late": lived.days_past_due,
        "worst": lived.worst_days_past_due,
        "since": lived.due_on,
        "class": lived.classification,
        "rows": sorted((i.source, i.due_on, i.due.total, i.event_key) for i in lived.installments),
    }
    assert loan.next_action_on is None or loan.next_action_on > on
    if loan.room_cents is not None:
        assert (loan.room_cents, loan.non_performing) == (lived.room_cents, lived.non_performing)
    if lived.course and loan.aged_on == on:
        assert_on_course(loan, lived.course)


def assert_on_course(loan: Loan, course: Course) -> None:
    """Hold the course of a stored loan to that of the rules: it turns no later, and earns the same until then."""
    assert course.turns_on is None or (loan.turns_on is not None and loan.turns_on <= course.turns_on)
    stored = Course(loan.course_base_cents, loan.course_cents, loan.course_from, loan.course_days, loan.turns_on)
    for on in (loan.aged_on + timedelta(days=n) for n in range(1, 40)):
        if loan.turns_on is None or on < loan.turns_on:
            assert max(loan.accrued_cents, stored.earned(on)) == max(loan.accrued_cents, course.earned(on)), on


def _row(item: Installment) -> tuple[str, date, int, str]:
    return item.source, item.due_on, item.total_cents, item.event_key


def receivables_hold() -> None:
    broken = [
        one.line() for one in audit() if one.name in {each.name for each in SUB_LEDGERS[:6]} and not one.holds
    ]
    assert not broken


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1,))])
@pytest.mark.parametrize("terms", [*TERMS.values(), *SINGLY.values()], ids=[*TERMS, *SINGLY])
def test_closes_each_day_as_the_rules_say(law: None, terms: dict[str, object], seed: int) -> None:
    luck, version = Random(seed), product(terms)
    lent = [lend(version, luck.randrange(1_000_00, 9_999_99), START + timedelta(days=n)) for n in range(3)]
    for day in range(75):
        on = START.date() + timedelta(days=day)
        for loan in lent:
            if luck.random() < 0.04 and loan.disbursed_at and loan.disbursed_at.date() <= on:
                happen(loan, "pay", START + timedelta(days=day), amount_cents=luck.randrange(1_00, 3_000_00))
        closing.close_business(on, START + timedelta(days=day + 1))
        if day % 7 == 0 or day == 74:
            for loan in lent:
                if loan.disbursed_at and loan.disbursed_at.date() <= on:
                    assert_as_the_rules_say(loan, on)
    receivables_hold()


@pytest.mark.parametrize("in_duplum", [True, False])
def test_penalties_stop_at_the_cap_of_the_law_on_them(law: None, in_duplum: bool) -> None:
    late = invented(bases=["overdue_installment"], max_rate_of_principal="0.05")
    others: dict[str, object] = {"price_caps": None} | ({} if in_duplum else {"in_duplum": None})
    pack = CountryPack.objects.create(
        country="KE", version=2, effective_on=START.date(), rules=changed("ke", penalties=late, **others)
    )
    terms = TERMS["weekly, flat, a weekly penalty"] | {
        "tax": {"kind": "vat", "rate": "0.16"},
        "penalties": [PENALTY | {"rate": "0.07", "taxed": True}],
    }
    loan = lend(product(terms), 300_000, START, pack=pack)
    for day in range(60):
        closing.close_business(START.date() + timedelta(days=day), START + timedelta(days=day + 1))
        assert_as_the_rules_say(loan, START.date() + timedelta(days=day))
    penalties = loan.installments.filter(source="penalty")
    assert sum(item.total_cents for item in penalties) == 15_000
    loan.refresh_from_db()
    assert loan.room_cents == 0
    life.replay(contracts.with_contract().get(id=loan.id), START + timedelta(days=61))
    assert penalties.count() == loan.installments.filter(source="penalty").count()
    receivables_hold()


def test_what_was_earned_until_a_plan_is_made_anew_is_booked_on_that_day(law: None) -> None:
    """Of flat interest the new plan holds it as earned, and may have nothing more to earn for weeks."""
    loan = lend(product(TERMS["weekly, flat, a weekly penalty"]), 400_000, START)
    changed = START + timedelta(days=11)
    closing.close_business(changed.date() - timedelta(days=1), changed)
    happen(loan, "reschedule", changed, due_on=(changed.date() + timedelta(days=7)).isoformat())
    closing.close_business(changed.date(), changed + timedelta(days=1))
    assert_as_the_rules_say(loan, changed.date())


def test_an_installment_of_which_only_an_old_penalty_is_left_is_late_all_the_same(law: None) -> None:
    """A plan that is made anew takes the penalties along, and they may be what is paid last of it."""
    terms = TERMS["weekly, flat, a weekly penalty"] | {
        "interest": {"rate": "0.02", "per": "term"},
        "penalties": [PENALTY | {"rate": "0.01", "of": "balance"}],
        "allocation": {"past_due": ["fee", "tax", "interest", "principal", "penalty"]},
    }
    loan, first = lend(product(terms), 400_000, START), START.date()
    moved_to, penalised = first + timedelta(days=18), first + timedelta(days=21)
    for day in range(40):
        if day == 11:
            happen(loan, "reschedule", START + timedelta(days=day), due_on=moved_to.isoformat())
        if day == 19:
            due = loan.installments.get(source="plan", due_on=moved_to)
            assert due.penalty_cents > 0
            paid = due.total_cents - due.penalty_cents
            happen(loan, "pay", START + timedelta(days=day), amount_cents=paid)
        closing.close_business(first + timedelta(days=day), START + timedelta(days=day + 1))
        assert_as_the_rules_say(loan, first + timedelta(days=day))
    assert loan.installments.filter(source="penalty", due_on=penalised).exists()
    receivables_hold()


def test_a_replay_after_closing_writes_nothing(law: None) -> None:
    loan = lend(product(TERMS["a fixed penalty a day, taxed and capped"]), 500_000, START)
    for day in range(50):
        closing.close_business(START.date() + timedelta(days=day), START + timedelta(days=day + 1))
    before = (Posting.objects.count(), Installment.objects.count())
    life.replay(contracts.with_contract().get(id=loan.id), START + timedelta(days=50))
    assert (Posting.objects.count(), Installment.objects.count()) == before


def test_a_payment_told_late_takes_back_the_penalties_that_it_spares(law: None) -> None:
    terms = {"penalties": [PENALTY]}
    loan = lend(product(terms), 500_000, START)
    for day in range(60):
        closing.close_business(START.date() + timedelta(days=day), START + timedelta(days=day + 1))
    loan.refresh_from_db()
    assert loan.outstanding_cents > 500_000
    happen(loan, "pay", START + timedelta(days=30), amount_cents=500_000)
    loan.refresh_from_db()
    assert (loan.state, loan.outstanding_cents, loan.worst_days_past_due) == ("settled", 0, 0)
    receivables_hold()


def test_touches_only_loans_with_something_to_do(law: None) -> None:
    lend(product(TERMS["bullet"]), 500_000, START)
    assert closing.close_business(START.date() + timedelta(days=3), START)
    assert JobRun.objects.get().result["aged"] == 0


def test_a_loan_that_cannot_be_played_holds_up_no_date(law: None, monkeypatch: pytest.MonkeyPatch) -> None:
    loan = lend(product(SINGLY["two penalties"]), 500_000, START)
    monkeypatch.setattr(life, "MAX_FACTS", 0)
    late = START.date() + timedelta(days=40)
    assert closing.close_business(late, START + timedelta(days=41))
    case = Case.objects.get()
    assert (case.kind, case.subject_key) == ("bad_task", f"close:loan:{loan.id}")
    monkeypatch.undo()
    assert closing.close_business(late + timedelta(days=1), START + timedelta(days=42))
    assert_as_the_rules_say(loan, late + timedelta(days=1))


def test_catches_up_days_that_were_missed(law: None) -> None:
    terms = TERMS["weekly, flat, a weekly penalty"]
    daily, late = (lend(product(terms), 500_000, START) for _ in range(2))
    for day in range(0, 45):
        closing.close_business(START.date() + timedelta(days=day), START)
    happen(late, "pay", START + timedelta(days=45), amount_cents=1_00)
    assert_as_the_rules_say(daily, START.date() + timedelta(days=44))
    assert_as_the_rules_say(late, START.date() + timedelta(days=44))


def test_knows_what_sql_cannot_close(law: None) -> None:
    from lending.selectors.products import terms_of

    assert all(loan_closing.in_sets(terms_of(product(terms))) for terms in TERMS.values())
    assert not any(loan_closing.in_sets(terms_of(product(terms))) for terms in SINGLY.values())
