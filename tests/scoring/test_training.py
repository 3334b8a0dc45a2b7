from datetime import timedelta

import pytest

from lending.models import Consent, Loan
from lending.services import applications
from ml.data import MICROLOAN, NEITHER, OFFERS, SAVINGS
from scoring import features, training
from scoring.features import Asked
from tests import factories
from tests.factories import NOON
from tests.scoring import history

DAYS = timedelta(days=1)


class TestTrainingSet:
    @pytest.mark.parametrize(
        ("paid_out_before", "days_late", "default", "repaid_share"),
        [(100, 0, 0, 1.0), (100, 30, 0, 1.0), (100, 31, 1, 0.0), (100, None, 1, 0.0), (61, None, 1, 0.0)],
    )
    def test_knows_a_default_by_30_days_after_the_due_date(
        self, amina, paid_out_before, days_late, default, repaid_share
    ):
        history.loan(amina, NOON - paid_out_before * DAYS, days_late=days_late)
        learnt = training.training_set(NOON)
        assert (learnt.default.tolist(), learnt.repaid_share.tolist()) == ([default], [repaid_share])

    @pytest.mark.parametrize("days_late", [None, -20, 0])
    def test_waits_until_the_outcome_is_ripe_also_for_loans_repaid_early(self, amina, days_late):
        history.loan(amina, NOON - 60 * DAYS, days_late=days_late)  # due 30 days ago, not more
        assert len(training.training_set(NOON)) == 0
        assert len(training.training_set(NOON + DAYS)) == 1

    def test_sees_nothing_that_came_after_the_training_day(self, amina):
        loan = history.loan(amina, NOON - 70 * DAYS, days_late=45)
        then = training.training_set(NOON)
        Loan.objects.filter(id=loan.id).update(written_off_at=NOON + DAYS)
        history.repay(loan, NOON + DAYS, 10_000)
        again = training.training_set(NOON)
        assert again.sha256() == then.sha256()

    def test_counts_part_of_what_was_owed(self, amina):
        loan = history.loan(amina, NOON - 100 * DAYS)
        history.repay(loan, NOON - 60 * DAYS, loan.total_cents // 4)
        assert training.training_set(NOON).repaid_share.tolist() == [0.25]

    def test_leaves_out_who_took_back_consent_to_scoring(self, amina, brian):
        for person in (amina, brian):
            history.loan(person, NOON - 100 * DAYS, days_late=0)
        Consent.objects.filter(borrower=brian, purpose="scoring").update(withdrawn_at=NOON - DAYS)
        kept = Loan.objects.get(borrower=amina).application_id
        assert training.training_set(NOON).ids.tolist() == [str(kept)]

    @pytest.mark.parametrize(
        ("days", "state", "learns"),
        [(20, "live", False), (60, "live", False), (61, "live", True), (20, "approved", True)],
    )
    def test_leaves_out_a_loan_that_a_new_one_paid_off_before_its_outcome_was_known(
        self, amina, days, state, learns
    ):
        """The new one counts from its payout; 30 days after the due date, day 60, it is known what became of it."""
        lent_at = NOON - 100 * DAYS
        old = history.loan(amina, lent_at, days_late=days - 30)
        new = history.loan(amina, lent_at + days * DAYS)
        paid_out_at = new.disbursed_at if state == "live" else None
        Loan.objects.filter(id=new.id).update(
            refinances=old, refinanced_cents=10_000, state=state, disbursed_at=paid_out_at
        )
        assert (str(old.application_id) in training.training_set(NOON).ids) is learns

    def test_leaves_out_a_loan_with_a_number_that_cannot_be_true(self, amina, brian):
        """An officer may approve what the computer refused to score; the night after must still have a model."""
        for person in (amina, brian):
            history.loan(person, NOON - 100 * DAYS, days_late=0)
        history.move(amina, NOON - 110 * DAYS, 20_000_000_000)
        kept = Loan.objects.get(borrower=brian).application_id
        assert training.training_set(NOON).ids.tolist() == [str(kept)]

    def test_learns_from_the_row_that_the_decision_saw(self, amina, reigning):
        history.save(amina, NOON - 150 * DAYS, 5_000)
        application = history.loan(amina, NOON - 100 * DAYS, days_late=0).application
        decision = applications.decide(application.id, NOON)
        # The partner reports only now what Amina saved the day before.
        history.save(amina, application.submitted_at - DAYS, 70_000)

        served = features.from_json(decision.inputs["features"])
        assert training.training_set(NOON).x[0].tobytes() == served.tobytes()

    @pytest.mark.parametrize("version", ["", "older"])
    def test_builds_the_row_where_the_decision_kept_none_for_these_features(self, amina, fixed_scorer, version):
        application = history.loan(amina, NOON - 100 * DAYS, days_late=0).application
        factories.decide(application, "decline", inputs={"features": {"gone": 1}}, feature_version=version)
        assert training.training_set(NOON).x[0].tobytes() == built(application).tobytes()

    @pytest.mark.parametrize(
        ("days_late", "saves", "principal_cents", "offer"),
        [
            (7, False, 200_000, MICROLOAN),
            (8, False, 200_000, NEITHER),
            (8, True, 200_000, SAVINGS),
            (None, False, 200_000, NEITHER),
            (None, False, 100_000, SAVINGS),
        ],
    )
    def test_says_what_would_have_served_best(self, amina, days_late, saves, principal_cents, offer):
        history.loan(amina, NOON - 100 * DAYS, days_late=days_late, principal_cents=principal_cents)
        if saves:
            history.save(amina, NOON - 120 * DAYS, 5_000)
        assert OFFERS[training.training_set(NOON).best_offer[0]] == OFFERS[offer]

    def test_is_empty_before_the_first_loan(self, db):
        assert len(training.training_set(NOON)) == 0


def built(application):
    return features.build_one(Asked.of(application))
