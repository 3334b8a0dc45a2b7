from datetime import timedelta

import numpy as np
import pytest

from lending.models import Borrower, Consent, Loan
from ml.features import NAMES
from scoring import features, training
from scoring.features import Asked, UnknownBorrower
from tests import factories
from tests.factories import NOON
from tests.scoring import history

DAYS = timedelta(days=1)
HOURS = timedelta(hours=1)


def as_of_noon(borrower: Borrower, requested_cents: int = 60_000) -> dict[str, float | None]:
    return features.to_json(features.build_one(borrower.id, NOON, requested_cents))


@pytest.fixture
def amina_with_a_past(amina: Borrower) -> Borrower:
    """Two loans repaid, one 4 days early in two parts and one 9 days late; saves; wallet shared."""
    history.loan(amina, NOON - 150 * DAYS, days_late=-4, principal_cents=40_000, parts=2)
    history.loan(amina, NOON - 100 * DAYS, days_late=9, principal_cents=50_000)
    history.save(amina, NOON - 100 * DAYS, 9_000)
    history.save(amina, NOON - 20 * DAYS, 5_000)
    history.save(amina, NOON - 6 * DAYS, 2_000)
    history.save(amina, NOON - 5 * DAYS, 1_000, "withdrawal")
    history.move(amina, NOON - 80 * DAYS, 100_000)
    history.move(amina, NOON - 10 * DAYS, 300_000, "cash_in")
    history.move(amina, NOON - 3 * DAYS - 9 * HOURS, 20_000, "airtime")  # 03:00 in Nairobi
    history.move(amina, NOON - 3 * DAYS, 80_000, "sent")
    return amina


class TestTheNumbers:
    def test_are_those_worked_out_by_hand(self, amina_with_a_past):
        row = as_of_noon(amina_with_a_past)

        assert row["days_since_registered"] == 200
        assert (row["loans_taken"], row["loans_settled"], row["defaults_90"]) == (2, 2, 0)
        assert (row["on_time_share"], row["early_share"], row["on_time_streak"]) == (0.5, 0.5, 0)
        assert (row["worst_days_late"], row["mean_days_late"], row["last_days_late"]) == (9, 2.5, 9)
        assert row["days_since_last_settled"] == 61
        assert row["part_payments_mean"] == 1.5
        assert (row["principal_last_cents"], row["principal_growth"]) == (50_000, 1.25)

        assert (row["savings_balance_cents"], row["savings_deposits_90d"]) == (15_000, 2)
        assert (row["savings_deposited_90d_cents"], row["savings_withdrawn_90d_cents"]) == (7_000, 1_000)
        assert (row["days_since_last_deposit"], row["savings_weeks_12"]) == (6, 2)

        assert (row["wallet_in_30d_cents"], row["wallet_in_90d_cents"]) == (300_000, 400_000)
        assert (row["wallet_out_30d_cents"], row["airtime_30d_cents"]) == (100_000, 20_000)
        assert (row["wallet_ins_30d"], row["wallet_active_days_30d"]) == (1, 2)
        assert row["days_since_last_inflow"] == 10
        assert row["wallet_night_share"] == 0.25
        assert row["wallet_trend"] == 2.25
        weeks = np.array([0] * 10 + [100_000, 300_000])
        assert row["wallet_in_variation"] == np.float32(weeks.std() / weeks.mean())

        assert (row["requested_cents"], row["requested_to_last"]) == (60_000, np.float32(1.2))
        assert row["requested_to_inflow"] == np.float32(0.2)
        assert (row["hour_local"], row["day_of_month"]) == (12, 2)

    def test_of_a_newcomer_are_missing_and_not_zero(self, brian):
        row = as_of_noon(brian)

        assert (row["loans_taken"], row["loans_settled"], row["defaults_90"]) == (0, 0, 0)
        known = {name for name, value in row.items() if value is not None}
        assert known == {
            "days_since_registered", "loans_taken", "loans_settled", "defaults_90",
            "requested_cents", "hour_local", "day_of_month",
        }  # fmt: skip

    def test_say_nothing_of_a_wallet_that_was_not_shared(self, amina_with_a_past):
        Consent.objects.filter(borrower=amina_with_a_past, purpose="wallet").update(withdrawn_at=NOON - DAYS)
        row = as_of_noon(amina_with_a_past)

        assert [name for name in NAMES if name.startswith("wallet") and row[name] is not None] == []
        assert row["requested_to_inflow"] is None
        assert row["savings_balance_cents"] == 15_000

    def test_count_an_open_loan_as_late_as_it_stood_and_not_as_it_ended(self, amina):
        history.loan(amina, NOON - 75 * DAYS, days_late=60)  # settled 15 days after NOON
        row = as_of_noon(amina)

        assert (row["loans_settled"], row["worst_days_late"], row["defaults_90"]) == (0, 45, 1)
        assert row["mean_days_late"] is None

    def test_count_the_streak_from_the_latest_loan_back(self, amina):
        for start, late in ((190, 3), (150, 0), (110, -1), (70, 0)):
            history.loan(amina, NOON - start * DAYS, days_late=late)
        assert as_of_noon(amina)["on_time_streak"] == 3

    def test_judge_lateness_by_the_local_day(self, amina):
        loan = history.loan(amina, NOON - 60 * DAYS, days_late=0)
        # 23:30 in Nairobi on the due date is still the due date there, and 20:30 in UTC.
        Loan.objects.filter(id=loan.id).update(settled_at=history.at_noon(loan.due_on) + 11.5 * HOURS)
        assert as_of_noon(amina)["last_days_late"] == 0
        Loan.objects.filter(id=loan.id).update(settled_at=history.at_noon(loan.due_on) + 12.5 * HOURS)
        assert as_of_noon(amina)["last_days_late"] == 1


class TestTime:
    @pytest.mark.parametrize("when", [timedelta(0), timedelta(seconds=1), 40 * DAYS])
    def test_lets_no_fact_of_the_moment_or_later_in(self, amina_with_a_past, when):
        amina = amina_with_a_past
        before = features.build_one(amina.id, NOON, 60_000)

        history.loan(amina, NOON + when, days_late=40, principal_cents=90_000)
        for kind in ("deposit", "withdrawal"):
            history.save(amina, NOON + when, 70_000, kind)
        for kind in ("received", "cash_in", "airtime", "sent"):
            history.move(amina, NOON + when, 80_000, kind)
        history.repay(Loan.objects.filter(borrower=amina).earliest("id"), NOON + when, 100)
        Consent.objects.filter(borrower=amina, purpose="wallet").update(withdrawn_at=NOON + when)
        Loan.objects.filter(borrower=amina).update(
            written_off_at=NOON + when, days_past_due=99, worst_days_past_due=99, fee_cents=9
        )

        assert features.build_one(amina.id, NOON, 60_000).tobytes() == before.tobytes()

    def test_lets_a_settlement_in_only_once_it_has_happened(self, amina):
        loan = history.loan(amina, NOON - 40 * DAYS, days_late=-3)
        settled_at = loan.settled_at
        at_that_moment = features.to_json(features.build_one(amina.id, settled_at, 1))
        just_after = features.to_json(features.build_one(amina.id, settled_at + timedelta(microseconds=1), 1))
        assert (at_that_moment["loans_settled"], just_after["loans_settled"]) == (0, 1)


class TestOneStatement:
    def test_gives_the_training_set_the_very_rows_that_were_served(self, amina_with_a_past, brian):
        history.loan(brian, NOON - 120 * DAYS, days_late=20)
        history.steady_wallet(brian, NOON - 120 * DAYS)
        learnt = training.training_set(NOON)

        assert len(learnt) == 3
        for loan in Loan.objects.select_related("application"):
            asked = loan.application
            served = features.build_one(asked.borrower_id, asked.submitted_at, asked.principal_cents)
            assert learnt.x[list(learnt.ids).index(str(asked.id))].tobytes() == served.tobytes()

    def test_answers_in_the_order_in_which_it_was_asked(self, amina_with_a_past, brian):
        asked = [
            Asked(person.id, NOON - n * DAYS, n) for n in (90, 30, 60) for person in (brian, amina_with_a_past)
        ]
        together = features.build(asked)
        alone = np.stack([features.build([row])[0] for row in asked])
        assert together.tobytes() == alone.tobytes()

    def test_does_not_depend_on_the_block_size(self, amina_with_a_past, monkeypatch):
        asked = [Asked(amina_with_a_past.id, NOON - n * DAYS, 50_000) for n in range(7)]
        whole = features.build(asked)
        monkeypatch.setattr(features, "BLOCK", 3)
        assert features.build(asked).tobytes() == whole.tobytes()

    def test_refuses_somebody_who_is_not_in_the_books(self, amina):
        with pytest.raises(UnknownBorrower, match="no borrower 999"):
            features.build([Asked(amina.id, NOON, 1), Asked(999, NOON, 1)])

    def test_of_nobody_is_an_empty_table(self, db):
        assert features.build([]).shape == (0, 35)


def test_json_brings_the_same_float32_back(amina_with_a_past):
    vector = features.build_one(amina_with_a_past.id, NOON, 33_333)
    assert features.from_json(features.to_json(vector)).tobytes() == vector.tobytes()


def test_numbers_are_never_name_number_or_language(amina, law):
    """The vector of two people with the same facts is the same, whoever they are."""
    twin = factories.register("Zawadi Ätieno", "255711999999", "87654321", language="sw")
    for person in (amina, twin):
        history.loan(person, NOON - 60 * DAYS, days_late=2)
        history.steady_wallet(person, NOON)
    assert features.build_one(amina.id, NOON, 5).tobytes() == features.build_one(twin.id, NOON, 5).tobytes()
