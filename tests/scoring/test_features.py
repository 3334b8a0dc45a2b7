from datetime import timedelta

import numpy as np
import pytest

from lending.models import Application, Borrower, Consent, Loan, Promise
from ml.features import NAMES, PROTECTED
from scoring import features, training
from scoring.features import Asked, UnknownBorrower, Vector
from scoring.sources import COLUMNS, SOURCES
from tests import factories
from tests.factories import NOON
from tests.scoring import history

DAYS = timedelta(days=1)
HOURS = timedelta(hours=1)


def as_of_noon(borrower: Borrower, requested_cents: int = 60_000) -> dict[str, float | None]:
    return features.to_json(at_noon(borrower, requested_cents))


def at_noon(borrower: Borrower, requested_cents: int = 60_000) -> Vector:
    return features.build_one(Asked(borrower.id, NOON, requested_cents))


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

    def test_tell_how_loans_followed_each_other_and_were_paid(self, amina_with_a_past):
        row = as_of_noon(amina_with_a_past)

        assert (row["loans_90d"], row["loans_365d"], row["loans_open"], row["loans_written_off"]) == (0, 2, 0, 0)
        assert (row["principal_mean_cents"], row["principal_max_cents"]) == (45_000, 50_000)
        assert (row["repaid_max_cents"], row["repaid_total_cents"], row["on_time_max_cents"]) == (
            50_000, 90_000, 40_000,
        )  # fmt: skip
        assert (row["days_since_first_loan"], row["days_since_last_loan"]) == (150, 100)
        assert (row["gap_mean_days"], row["gap_last_days"]) == (24, 24)
        assert (row["term_used_mean"], row["term_used_last"]) == (
            np.float32((26 / 30 + 39 / 30) / 2), np.float32(39 / 30),
        )  # fmt: skip
        assert (row["days_late_spread"], row["days_late_shift"]) == (6.5, 0)
        assert (row["late_of_last_3"], row["late_streak"], row["late_week_share"]) == (1, 1, 0.5)
        assert row["days_since_last_late"] == 61

        assert (row["payments"], row["days_since_last_payment"], row["payment_mean_cents"]) == (3, 61, 31_800)
        assert row["paid_by_due_share"] == np.float32(42_400 / 95_400)
        assert row["first_payment_mean"] == np.float32((25 / 30 + 39 / 30) / 2)
        assert (row["unprompted_share"], row["payment_hour_mean"]) == (1, 12)
        assert row["payment_night_share"] == 0
        assert (row["promises"], row["promises_kept_share"]) == (0, None)
        assert (row["requested_to_repaid_max"], row["requested_to_savings"]) == (np.float32(1.2), 4)

    def test_tell_how_somebody_saves(self, amina_with_a_past):
        row = as_of_noon(amina_with_a_past)

        assert (row["savings_weeks_26"], row["savings_deposits_30d"], row["savings_withdrawals_90d"]) == (3, 2, 1)
        assert (row["days_since_last_withdrawal"], row["savings_deposit_mean_cents"]) == (5, 3_500)
        assert row["savings_deposit_variation"] == np.float32(1_500 / 3_500)
        assert (row["savings_net_90d_cents"], row["savings_growth"]) == (6_000, np.float32(15 / 9))
        assert (row["savings_age_days"], row["savings_pots"], row["sweep_on"]) == (200, 1, 0)
        assert (row["group_member"], row["group_deposits_90d"]) == (0, None)

        history.let_sweep(amina_with_a_past, NOON - 9 * DAYS)
        member = history.join_group(amina_with_a_past, NOON - 99 * DAYS)
        for days in (95, 50, 8):
            history.pay_group(member, NOON - days * DAYS)
        history.join_group(amina_with_a_past, NOON - 99 * DAYS, left_at=NOON - DAYS)
        row = as_of_noon(amina_with_a_past)
        assert (row["sweep_on"], row["group_member"], row["group_deposits_90d"]) == (1, 1, 2)
        assert row["savings_balance_cents"] == 15_000

    def test_tell_how_money_flows(self, amina_with_a_past):
        row = as_of_noon(amina_with_a_past)

        assert (row["wallet_in_7d_cents"], row["wallet_ins_90d"], row["wallet_outs_30d"]) == (0, 2, 2)
        assert (row["wallet_in_mean_cents"], row["wallet_in_max_cents"]) == (200_000, 300_000)
        assert (row["wallet_in_max_share"], row["cash_in_share"]) == (0.75, 0.75)
        assert (row["wallet_in_weeks_12"], row["wallet_best_week_share"]) == (2, 0.75)
        assert (row["wallet_in_gap_days"], row["wallet_month_end_share"]) == (70, 0)
        assert (row["wallet_out_90d_cents"], row["wallet_out_trend"], row["wallet_out_to_in"]) == (100_000, 3, 0.25)
        assert (row["cash_out_share"], row["bills_share"], row["sent_share"]) == (0, 0, np.float32(0.8))
        assert (row["wallet_net_30d_cents"], row["wallet_net_90d_cents"]) == (200_000, 300_000)
        assert row["wallet_active_days_90d"] == 3
        assert (row["days_since_last_outflow"], row["wallet_age_days"]) == (3, 80)
        assert (row["airtime_90d_cents"], row["airtime_buys_30d"]) == (20_000, 1)
        assert row["requested_to_mean_inflow"] == np.float32(0.45)

    def test_tell_what_the_business_book_says(self, amina):
        history.line(amina, NOON - 80 * DAYS, "sale", 300_000)
        history.line(amina, NOON - 16 * DAYS, "sale", 100_000)
        history.line(amina, NOON - 16 * DAYS, "stock", 40_000)
        history.line(amina, NOON - 2 * DAYS, "credit_given", 200_000)
        history.line(amina, NOON - 2 * DAYS, "credit_paid", 50_000)
        history.line(amina, NOON - 2 * DAYS, "expense", 60_000)
        history.take_back(history.line(amina, NOON - DAYS, "sale", 900_000), NOON - HOURS)
        row = as_of_noon(amina)

        assert (row["book_age_days"], row["days_since_last_line"], row["book_days_30d"]) == (80, 2, 2)
        assert (row["book_sold_30d_cents"], row["book_spent_30d_cents"]) == (300_000, 100_000)
        assert (row["book_left_30d_cents"], row["book_margin_30d"]) == (200_000, np.float32(2 / 3))
        assert (row["book_trend"], row["book_credit_share"]) == (1.5, np.float32(1 / 3))
        assert (row["book_owed_cents"], row["book_weeks_8"]) == (150_000, 2)
        weeks = np.array([0] * 6 + [100_000, 200_000])
        assert row["book_variation"] == np.float32(weeks.std() / weeks.mean())
        assert row["requested_to_left"] == np.float32(0.3)

    def test_tell_what_the_application_says_and_how_it_came_about(self, amina_with_a_past):
        row = as_of_noon(amina_with_a_past)
        assert (row["month"], row["days_to_month_end"]) == (3, 29)
        assert (row["applications"], row["applications_30d"], row["applications_90d"]) == (2, 0, 0)
        assert (row["hesitation_mean_s"], row["terms_read_share"]) == (30, 0)
        assert row["days_since_last_application"] == np.float32(100 + 1 / 1_440)
        assert (row["hesitation_s"], row["terms_read"], row["price_share"], row["refinances"]) == (None,) * 4

        own = history.loan(amina_with_a_past, NOON + timedelta(minutes=1)).application
        Application.objects.filter(id=own.id).update(terms_read=True, apr=72)
        row = features.to_json(features.build_one(Asked.of(Application.objects.get(id=own.id))))
        assert (row["hesitation_s"], row["terms_read"], row["refinances"]) == (30, 1, 0)
        assert (row["price_share"], row["price_per_year"]) == (np.float32(0.06), 72)
        assert row["applications"] == 2

    def test_count_a_promise_as_it_was_judged_by_then(self, amina_with_a_past):
        loan = Loan.objects.filter(borrower=amina_with_a_past).latest("id")
        history.promise(loan, NOON - 70 * DAYS, kept=True)
        history.promise(loan, NOON - 66 * DAYS, kept=False)
        history.promise(loan, NOON - 64 * DAYS, kept=True, judged_at=NOON + DAYS)
        row = as_of_noon(amina_with_a_past)
        assert (row["promises"], row["promises_kept_share"]) == (3, 0.5)

    def test_know_a_person_by_other_numbers_and_a_changed_sim(self, amina, brian):
        Borrower.objects.filter(id=brian.id).update(identity_index=amina.identity_index)
        history.loan(brian, NOON - 90 * DAYS, days_late=0)
        history.change_sim(amina, NOON - 12 * DAYS)
        row = as_of_noon(amina)
        assert (row["numbers"], row["loans_by_other_numbers"], row["days_since_sim_changed"]) == (2, 1, 12)
        assert (row["loans_taken"], row["payments"]) == (0, 0)

    def test_of_a_newcomer_are_missing_and_not_zero(self, brian):
        row = as_of_noon(brian)

        assert (row["loans_taken"], row["loans_settled"], row["defaults_90"]) == (0, 0, 0)
        known = {name for name, value in row.items() if value is not None}
        assert known == {
            "days_since_registered", "loans_taken", "loans_settled", "defaults_90", "loans_90d", "loans_365d",
            "loans_open", "loans_written_off", "repaid_total_cents", "payments", "promises", "group_member",
            "requested_cents", "hour_local", "day_of_month", "month", "days_to_month_end",
            "applications", "applications_30d", "applications_90d", "numbers", "loans_by_other_numbers",
        }  # fmt: skip

    def test_say_nothing_of_a_wallet_that_was_not_shared(self, amina_with_a_past):
        Consent.objects.filter(borrower=amina_with_a_past, purpose="wallet").update(withdrawn_at=NOON - DAYS)
        row = as_of_noon(amina_with_a_past)

        assert [name for name in NAMES if name.startswith("wallet") and row[name] is not None] == []
        assert row["requested_to_inflow"] is None
        assert row["savings_balance_cents"] == 15_000

    def test_say_nothing_of_savings_that_shall_not_count(self, amina_with_a_past):
        Consent.objects.create(
            borrower=amina_with_a_past, purpose="savings", granted=False, text_version="1", language="en",
            given_at=NOON - DAYS,
        )  # fmt: skip
        row = as_of_noon(amina_with_a_past)

        assert [name for name in NAMES if name.startswith("savings") and row[name] is not None] == []
        assert (row["requested_to_savings"], row["wallet_in_30d_cents"]) == (None, 300_000)

    def test_count_no_loan_that_was_given_back_and_no_line(self, amina):
        history.cancel(history.loan(amina, NOON - 60 * DAYS, days_late=-30), NOON - 60 * DAYS)
        line = history.loan(amina, NOON - 90 * DAYS, days_late=0)
        Loan.objects.filter(id=line.id).update(credit_limit_cents=50_000)
        before = at_noon(amina)
        assert (as_of_noon(amina)["loans_taken"], as_of_noon(amina)["payments"]) == (0, 0)

        history.cancel(history.loan(amina, NOON - 40 * DAYS, days_late=0), NOON)
        assert as_of_noon(amina)["loans_taken"] == 1
        assert features.to_json(before)["loans_settled"] == 0

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
        before = at_noon(amina)

        # Asked for a minute before its payout.
        history.loan(amina, NOON + when + timedelta(minutes=1), days_late=40, principal_cents=90_000)
        for kind in ("deposit", "withdrawal"):
            history.save(amina, NOON + when, 70_000, kind)
        for kind in ("received", "cash_in", "airtime", "sent"):
            history.move(amina, NOON + when, 80_000, kind)
        first = Loan.objects.filter(borrower=amina).earliest("id")
        history.repay(first, NOON + when, 100)
        history.promise(first, NOON + when, kept=True)
        history.line(amina, NOON + when, "sale", 500_000)
        history.line(amina, NOON + when, "expense", 300_000)
        history.pay_group(history.join_group(amina, NOON + when), NOON + when)
        history.let_sweep(amina, NOON + when)
        history.change_sim(amina, NOON + when)
        twin = factories.register("Amina W", "254711777777", "87654321", at=NOON + when)
        Borrower.objects.filter(id=twin.id).update(identity_index=amina.identity_index)
        Consent.objects.filter(borrower=amina, purpose="wallet").update(withdrawn_at=NOON + when)
        Loan.objects.filter(borrower=amina).update(
            written_off_at=NOON + when, days_past_due=99, worst_days_past_due=99, fee_cents=9
        )

        assert at_noon(amina).tobytes() == before.tobytes()

    @pytest.mark.parametrize("when", [timedelta(0), timedelta(seconds=1), 40 * DAYS])
    def test_does_not_see_what_later_becomes_of_an_earlier_fact(self, amina, when):
        """Each of these rows was there before and is changed or joined by another one later."""
        history.save(amina, NOON - 9 * DAYS, 9_000)
        history.let_sweep(amina, NOON - 9 * DAYS, withdrawn_at=None)
        member = history.join_group(amina, NOON - 30 * DAYS)
        sold = history.line(amina, NOON - 3 * DAYS, "sale", 500_000)
        loan = history.loan(amina, NOON - 45 * DAYS)
        history.promise(loan, NOON - 9 * DAYS, kept=None)
        before = at_noon(amina)

        history.take_back(sold, NOON + when)
        history.extend(loan, NOON + when, 30)
        Promise.objects.filter(loan=loan).update(state="kept", judged_at=NOON + when)
        type(member).objects.filter(id=member.id).update(left_at=NOON + when)
        Loan.objects.filter(id=loan.id).update(settled_at=NOON + when, written_off_at=NOON + when)
        amina.savings_accounts.get().sweep_mandates.update(withdrawn_at=NOON + when)
        assert at_noon(amina).tobytes() == before.tobytes()
        assert features.to_json(before)["worst_days_late"] == 15

    def test_knows_an_extension_from_the_moment_it_was_granted(self, amina):
        loan = history.loan(amina, NOON - 45 * DAYS)
        history.extend(loan, NOON - 20 * DAYS, 7)
        assert as_of_noon(amina)["worst_days_late"] == 8

    def test_lets_a_settlement_in_only_once_it_has_happened(self, amina):
        loan = history.loan(amina, NOON - 40 * DAYS, days_late=-3)
        settled_at = loan.settled_at
        at_that_moment = features.to_json(features.build_one(Asked(amina.id, settled_at, 1)))
        after = Asked(amina.id, settled_at + timedelta(microseconds=1), 1)
        just_after = features.to_json(features.build_one(after))
        assert (at_that_moment["loans_settled"], just_after["loans_settled"]) == (0, 1)


class TestOneStatement:
    def test_gives_the_training_set_the_very_rows_that_were_served(self, amina_with_a_past, brian):
        history.loan(brian, NOON - 120 * DAYS, days_late=20)
        history.steady_wallet(brian, NOON - 120 * DAYS)
        learnt = training.training_set(NOON)

        assert len(learnt) == 3
        for loan in Loan.objects.select_related("application"):
            served = features.build_one(Asked.of(loan.application))
            assert learnt.x[list(learnt.ids).index(str(loan.application_id))].tobytes() == served.tobytes()

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
        assert features.build([]).shape == (0, len(NAMES))


def test_json_brings_the_same_float32_back(amina_with_a_past):
    vector = at_noon(amina_with_a_past, 33_333)
    assert features.from_json(features.to_json(vector)).tobytes() == vector.tobytes()


def test_every_declared_feature_has_one_column_and_every_column_is_declared():
    assert set(COLUMNS) == set(NAMES)
    assert sum(len(source.columns) for source in SOURCES) == len(NAMES)


def test_what_fairness_is_tested_by_is_in_no_column():
    """Not as a name, and not as a field of a table that any column or join reads."""
    sql = features.SQL.lower()
    for fact in PROTECTED:
        assert fact.name not in NAMES
        assert fact.name not in sql
    for field in ("full_name", "msisdn", "purpose = 'service'", "key_facts_language"):
        assert field not in sql


def test_numbers_are_never_name_number_or_language(amina, law):
    """The vector of two people with the same facts is the same, whoever they are."""
    twin = factories.register("Zawadi Ätieno", "255711999999", "87654321", language="sw")
    for person in (amina, twin):
        history.loan(person, NOON - 60 * DAYS, days_late=2)
        history.steady_wallet(person, NOON)
    assert at_noon(amina, 5).tobytes() == at_noon(twin, 5).tobytes()
