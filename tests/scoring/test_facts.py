"""What bounds a person, read as it stood when they asked, and what the computer answers to it."""

from datetime import timedelta

import pytest

from lending.models import Application, Borrower, ExplorationPot, Loan
from lending.selectors import limits
from lending.services import applications
from scoring import policy
from scoring.facts import explained_rung, facts_of, lot
from tests import factories
from tests.factories import NOON
from tests.scoring import history

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
pytestmark = pytest.mark.usefixtures("models_dir")


def asks(borrower, at=NOON, principal_cents=50_000):
    origin = f"ussd:test:{borrower.id}:{at.isoformat()}"
    return factories.apply(borrower, principal_cents, origin=origin, at=at)


def answered(application):
    decision = applications.decide(application.id, application.submitted_at)
    return decision.outcome, decision.reasons[0]["code"], decision.next_step


def refused_before(borrower, at):
    """An application that was declined at a moment."""
    application = asks(borrower, at)
    Application.objects.filter(id=application.id).update(state="declined")
    return application


class TestPace:
    def test_the_sixth_application_of_a_day_is_asked_to_wait_until_tomorrow(self, amina):
        for hours in range(5, 0, -1):
            refused_before(amina, NOON - hours * HOUR)
        assert answered(asks(amina)) == ("decline", "asked_often", "try_tomorrow")

    def test_being_told_to_wait_does_not_count_as_asking(self, amina):
        for hours in range(5, 0, -1):
            refused_before(amina, NOON - hours * HOUR)
        for minutes in range(3):
            assert answered(asks(amina, NOON + minutes * HOUR / 60))[1] == "asked_often"
        # The first of the five is a day old: four are left, however often they tried.
        assert answered(asks(amina, NOON + 19 * HOUR + HOUR / 60))[1] != "asked_often"

    def test_another_sim_of_the_same_person_counts_too(self, amina):
        second_sim = factories.register(msisdn="254711000199")
        for hours in range(5, 0, -1):
            refused_before(second_sim, NOON - hours * HOUR)
        assert answered(asks(amina))[1] == "asked_often"

    def test_somebody_else_s_do_not(self, amina, brian):
        for hours in range(5, 0, -1):
            refused_before(brian, NOON - hours * HOUR)
        assert answered(asks(amina))[1] != "asked_often"

    def test_two_loans_a_day_are_enough(self, amina, fixed_scorer):
        for hours in (8, 4):
            loan = factories.live_loan(amina, at=NOON - hours * HOUR)
            factories.pay("0711000101", loan.total_cents, f"R{hours}", at=NOON - (hours - 1) * HOUR)
        asked = asks(amina)
        assert limits.payouts_before(amina.identity_index, NOON) == (2, 2)
        facts = facts_of(asked, policy.IN_FORCE)
        answer = policy.judge({"loans_settled": 2.0}, 0.05, facts)
        assert (answer.outcome, answer.reasons[0].code, answer.next_step) == (
            "decline",
            "borrowed_often",
            "try_tomorrow",
        )

    def test_a_payout_that_failed_is_none(self, amina):
        history.loan(amina, NOON - 2 * HOUR)
        Loan.objects.update(state="not_paid_out")
        assert limits.payouts_before(amina.identity_index, NOON) == (0, 0)


class TestIncome:
    def test_is_the_median_of_three_months_of_thirty_days(self, amina):
        for days, cents in ((5, 900_000), (35, 4_000_000), (65, 1_000_000), (95, 7_000_000)):
            history.move(amina, NOON - days * DAY, cents)
        history.move(amina, NOON - 6 * DAY, 300_000, "cash_out")
        assert limits.monthly_inflows(amina.id, NOON) == [900_000, 4_000_000, 1_000_000]
        assert facts_of(asks(amina), policy.IN_FORCE).monthly_inflow_cents == 1_000_000

    def test_leaves_out_months_before_the_wallet_was_seen_and_counts_empty_ones(self, amina):
        history.move(amina, NOON - 40 * DAY, 900_000)
        assert limits.monthly_inflows(amina.id, NOON) == [0, 900_000]
        assert limits.monthly_inflows(amina.id, NOON - 41 * DAY) == []

    def test_of_a_wallet_that_was_never_seen_is_unknown(self, amina):
        assert facts_of(asks(amina), policy.IN_FORCE).monthly_inflow_cents is None


class TestBustOut:
    def test_a_rung_that_no_clean_loan_explains_is_not_lent_without_a_person(self, amina):
        Borrower.objects.filter(id=amina.id).update(rung=4, limit_cents=400_000)
        amina.refresh_from_db()
        assert facts_of(asks(amina), policy.IN_FORCE).explained_cents == 100_000

    def test_a_quick_climb_is_explained_up_to_three_rungs_a_month(self, amina):
        Borrower.objects.filter(id=amina.id).update(rung=5, limit_cents=600_000)
        amina.refresh_from_db()
        for loan in range(5):
            made = history.loan(amina, NOON - (35 - 6 * loan) * DAY, days_late=0)
            Loan.objects.filter(id=made.id).update(settled_at=NOON - (25 - 5 * loan) * DAY)
        assert facts_of(asks(amina), policy.IN_FORCE).explained_cents == 300_000
        assert explained_rung(amina, NOON + 30 * DAY, policy.IN_FORCE) == 5

    def test_a_burst_of_newcomers_from_one_block_of_numbers_is_counted(self, amina):
        for number in range(10):
            at = amina.registered_at + number * timedelta(minutes=7)
            factories.register(f"Person {'ABCDEFGHIJ'[number]}", f"25471100040{number}", f"3000000{number}", at=at)
        later = amina.registered_at + timedelta(days=1)
        assert limits.registered_alike(amina, later) == 9  # the tenth came an hour and three minutes later
        # Who registers after she has applied is not known yet: the third came 14 minutes after her.
        assert limits.registered_alike(amina, amina.registered_at + timedelta(minutes=14)) == 2
        far = factories.register("Far Away", "254733000101", "40000001", at=amina.registered_at)
        assert limits.registered_alike(far, later) == 0


class TestExposure:
    def test_counts_what_is_owed_on_every_number_lost_money_included(self, amina):
        second_sim = factories.register(msisdn="254711000199")
        lost = history.loan(second_sim, NOON - 300 * DAY, written_off_at=NOON - 100 * DAY)
        assert limits.owing_cents(amina.identity_index) == lost.outstanding_cents > 0


class TestWhatALoanEarns:
    def test_is_read_from_the_calculator_for_each_amount_that_may_be_named(self, amina):
        """In whole shillings, half up: 5 % of 350 and of 250 are not what they would be in proportion."""
        facts = facts_of(asks(amina), policy.IN_FORCE)
        assert facts.prices == {"50000": 2_500, "40000": 2_000, "35000": 1_800, "30000": 1_500, "25000": 1_300}
        assert facts.term_days == 30


class TestAPoorWeek:
    def test_is_the_lower_quartile_of_the_last_twelve(self, amina):
        history.steady_wallet(amina, NOON, weekly_cents=300_000, weeks=20)
        for day in (3, 10, 17, 24):
            history.move(amina, NOON - day * DAY + HOUR, 500_000)
        assert sorted(limits.weekly_inflows(amina.id, NOON)) == [300_000] * 8 + [800_000] * 4
        assert facts_of(asks(amina), policy.IN_FORCE).weekly_inflow_cents == 300_000

    def test_is_not_known_without_a_wallet(self, amina):
        assert facts_of(asks(amina), policy.IN_FORCE).weekly_inflow_cents is None


class TestTheLot:
    def test_is_the_same_whenever_it_is_asked_for_and_no_lot_of_another_key(self, settings):
        application = Application(reference="7KQ2AB")
        drawn = lot(application)
        assert drawn == lot(application) != lot(Application(reference="7KQ2AC"))
        settings.CALLBACK_KEY = "another"
        assert lot(application) != drawn

    def test_falls_evenly(self, settings):
        settings.CALLBACK_KEY = "the same in each run"
        lots = [lot(Application(reference=f"R{number}")) for number in range(2_000)]
        assert all(0 <= one < 1 for one in lots)
        # Three standard errors of a tenth of 2,000.
        assert abs(sum(one < 0.1 for one in lots) - 200) < 41

    def test_and_the_pot_are_among_the_facts(self, amina, brian):
        full = facts_of(asks(amina), policy.IN_FORCE)
        assert (full.pot_loans, full.pot_cents, full.drew_lately) == (10, 500_000, False)
        ExplorationPot.objects.create(country="KE", day=NOON.date(), loans=9, cents=460_000)
        facts = facts_of(asks(brian), policy.IN_FORCE)
        assert (facts.pot_loans, facts.pot_cents) == (1, 40_000)
