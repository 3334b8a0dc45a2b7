import json
from dataclasses import asdict, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.features import NAMES
from scoring.policy import CODES, IN_FORCE, NEXT_STEPS, RULES, Facts, judge, reasons_from, speaks_truly
from scoring.policy import Asking as PolicyAsking

# Amina: two loans repaid, KES 5,000 a month into her wallet, on the rung of KES 1,500.
AMINA = Facts(
    requested_cents=100_000,
    total_cents=106_000,
    limit_cents=150_000,
    min_cents=20_000,
    first_rung_cents=100_000,
    automatic_cents=1_600_000,
    explained_cents=150_000,
    max_share_of_inflow="0.50",
    may_score=True,
    shares_wallet=True,
    monthly_inflow_cents=500_000,
)
HER_FEATURES = {"loans_settled": 2.0, "principal_last_cents": 80_000.0}
NEW = {"loans_settled": 0.0}
UNSEEN = replace(AMINA, monthly_inflow_cents=None)
GOOD, GREY, BAD = 0.05, 0.20, 0.60

# What is different from Amina's case -> outcome, first reason, next step. In order of precedence: each row
# also carries what would trigger every row below it, and the upper one wins.
REFUSALS = [
    ("no_consent", {"may_score": False}, GOOD, "refer", "not_consented", "allow_scoring"),
    (
        "late_elsewhere",
        {"days_in_arrears": 3, "has_open_loan": True},
        GOOD,
        "decline",
        "open_arrears",
        "pay_on_time",
    ),
    ("loan_elsewhere", {"has_open_loan": True}, GOOD, "decline", "open_loan", "pay_on_time"),
    ("written_off", {"unpaid_write_off": True}, GOOD, "decline", "defaulted_before", "pay_on_time"),
    ("defaulted_lately", {"days_since_default": 89}, GOOD, "decline", "defaulted_before", "save_weekly"),
    ("asked_today", {"applications_in_day": 5}, GOOD, "decline", "asked_often", "try_tomorrow"),
    ("asked_all_week", {"applications_in_week": 12}, GOOD, "decline", "asked_often", "try_next_week"),
    ("borrowed_today", {"payouts_in_day": 2}, GOOD, "decline", "borrowed_often", "try_tomorrow"),
    ("borrowed_all_week", {"payouts_in_week": 5}, GOOD, "decline", "borrowed_often", "try_next_week"),
    ("no_rung", {"limit_cents": 19_999}, GOOD, "decline", "limit_reached", "try_later"),
    ("above_limit", {"requested_cents": 160_000}, GOOD, "decline", "limit_reached", "ask_less"),
    ("owes_elsewhere", {"owing_cents": 60_000}, GOOD, "decline", "owes_enough", "ask_less"),
    ("owes_all", {"owing_cents": 140_000}, GOOD, "decline", "owes_enough", "pay_on_time"),
    ("conflict", {"identity_in_conflict": True}, GOOD, "refer", "data_missing", "wait_officer"),
    ("not_scored", {}, None, "refer", "data_missing", "wait_officer"),
    ("too_risky", {}, BAD, "decline", "score_low", "try_later"),
    ("grey", {}, GREY, "refer", "score_low", "wait_officer"),
    (
        "climbed_fast",
        {"explained_cents": 99_999, "first_rung_cents": 50_000},
        GOOD,
        "refer",
        "climbed_fast",
        "wait_officer",
    ),
    ("top_rung", {"automatic_cents": 99_999}, GOOD, "refer", "asked_above_policy", "wait_officer"),
]


@pytest.mark.parametrize(
    ("changes", "score", "outcome", "reason", "step"), [row[1:] for row in REFUSALS], ids=[r[0] for r in REFUSALS]
)
def test_each_refusal_has_its_reason_and_its_next_step(changes, score, outcome, reason, step):
    answer = judge(HER_FEATURES, score, replace(AMINA, **changes))
    assert (answer.outcome, answer.reasons[0].code, answer.next_step) == (outcome, reason, step)


@pytest.mark.parametrize("upper", range(len(REFUSALS) - 1), ids=[row[0] for row in REFUSALS[:-1]])
def test_a_rule_wins_over_every_rule_below_it(upper):
    _, changes, score, outcome, reason, _ = REFUSALS[upper]
    for _, lower_changes, lower_score, *_ in REFUSALS[upper + 1 :]:
        # A rule above the score's own must win whatever the score; the score's rules need theirs.
        answer = judge(HER_FEATURES, lower_score if changes else score, replace(AMINA, **(lower_changes | changes)))
        assert (answer.outcome, answer.reasons[0].code) == (outcome, reason)


class TestApproval:
    def test_is_given_when_nothing_speaks_against_it(self):
        answer = judge(HER_FEATURES, GOOD, AMINA)
        assert (answer.outcome, answer.limit_cents, answer.reasons) == ("approve", 150_000, ())

    @pytest.mark.parametrize("score", [None, float("nan"), float("inf"), -0.1, 1.1])
    def test_is_never_given_without_a_chance_of_default(self, score):
        assert judge(HER_FEATURES, score, AMINA).outcome == "refer"
        assert judge({}, score, AMINA).outcome == "refer"

    @pytest.mark.parametrize(
        ("score", "outcome"),
        [(IN_FORCE.approve_below, "refer"), (IN_FORCE.refer_below, "decline"), (1.0, "decline"), (0.0, "approve")],
    )
    def test_ends_exactly_at_the_policy_s_numbers(self, score, outcome):
        assert judge(HER_FEATURES, score, AMINA).outcome == outcome

    @given(
        score=st.none() | st.floats(allow_nan=True),
        settled=st.integers(0, 3),
        flags=st.fixed_dictionaries(
            {
                "requested_cents": st.integers(1, 10**7),
                "limit_cents": st.integers(0, 10**7),
                "may_score": st.booleans(),
                "shares_wallet": st.booleans(),
                "days_in_arrears": st.integers(0, 2),
                "unpaid_write_off": st.booleans(),
                "days_since_default": st.none() | st.integers(0, 400),
                "monthly_inflow_cents": st.none() | st.integers(0, 10**9),
                "owing_cents": st.integers(0, 10**6),
                "payouts_in_day": st.integers(0, 3),
            }
        ),
        against=st.lists(st.sampled_from(NAMES), max_size=6),
        safer=st.none() | st.integers(20_000, 10**7),
    )
    def test_is_within_every_ceiling_and_every_other_answer_has_words(self, score, settled, flags, against, safer):
        facts = replace(AMINA, **flags, total_cents=flags["requested_cents"] + 100)
        features = {"loans_settled": settled, "principal_last_cents": 50_000}
        answer = judge(features, score, facts, against=against, safer_cents=safer)

        if answer.outcome == "approve":
            assert facts.may_score and score is not None and 0 <= score < IN_FORCE.approve_below
            assert facts.requested_cents <= answer.limit_cents <= facts.limit_cents
        else:
            assert answer.reasons and answer.next_step
            assert answer.next_step != "ask_less" or facts.min_cents <= answer.limit_cents <= facts.limit_cents
        assert answer.limit_cents >= 0


class TestIncome:
    def test_bounds_the_amount_by_the_country_s_share_and_names_one_that_fits(self):
        answer = judge(HER_FEATURES, GOOD, replace(AMINA, monthly_inflow_cents=150_000))
        assert (answer.outcome, answer.next_step) == ("decline", "ask_less")
        # Half of 1,500 is 750 to repay: 707 of principal with its fee, rounded down to 50s.
        assert (answer.limit_cents, answer.reasons[0]) == (
            70_000,
            ("amount_high_for_inflow", {"amount_cents": 70_000}),
        )

    def test_too_low_for_the_smallest_loan_says_so(self):
        answer = judge(HER_FEATURES, GOOD, replace(AMINA, monthly_inflow_cents=30_000))
        assert (answer.outcome, answer.reasons[0].code, answer.next_step) == ("decline", "low_inflow", "use_wallet")

    def test_that_is_not_shared_leaves_what_was_repaid_before(self):
        repaid_before = replace(UNSEEN, requested_cents=80_000, total_cents=84_800)
        assert judge(HER_FEATURES, GOOD, repaid_before).outcome == "approve"
        answer = judge(HER_FEATURES, GOOD, UNSEEN)
        assert (answer.outcome, answer.reasons[0].code) == ("refer", "no_wallet_history")

    def test_that_was_not_seen_yet_leaves_who_repaid_a_small_loan_no_less_than_a_newcomer(self):
        repaid_less = HER_FEATURES | {"principal_last_cents": 20_000.0}
        like_a_newcomer = replace(UNSEEN, requested_cents=50_000, total_cents=53_000)
        assert judge(NEW, GOOD, like_a_newcomer).outcome == "approve"
        assert judge(repaid_less, GOOD, like_a_newcomer).outcome == "approve"
        more = replace(UNSEEN, requested_cents=55_000, total_cents=58_300)
        assert judge(repaid_less, GOOD, more).outcome == "refer"
        unshared = replace(like_a_newcomer, shares_wallet=False)
        assert judge(repaid_less, GOOD, unshared).outcome == "refer"

    def test_is_not_looked_at_without_consent_to_the_wallet(self):
        answer = judge(HER_FEATURES, GOOD, replace(AMINA, monthly_inflow_cents=100, shares_wallet=False))
        assert answer.reasons[0].code == "no_wallet_history"

    def test_carries_what_is_owed_already_too(self):
        tight = replace(AMINA, monthly_inflow_cents=250_000)  # half is 1,250; 1,060 of it for this loan
        assert judge(HER_FEATURES, GOOD, replace(tight, owing_cents=19_000)).outcome == "approve"
        answer = judge(HER_FEATURES, GOOD, replace(tight, owing_cents=19_100))
        assert (answer.reasons[0].code, answer.limit_cents) == ("amount_high_for_inflow", 95_000)


class TestFirstLoan:
    def test_stays_on_the_first_rung(self):
        answer = judge(NEW, GOOD, AMINA)
        assert (answer.outcome, answer.limit_cents) == ("approve", 100_000)
        answer = judge(NEW, GOOD, replace(AMINA, requested_cents=120_000))
        assert (answer.reasons[0].code, answer.next_step, answer.limit_cents) == (
            "new_customer",
            "ask_less",
            100_000,
        )

    def test_with_a_wallet_not_seen_yet_is_small(self):
        small = replace(UNSEEN, requested_cents=50_000, total_cents=53_000)
        assert judge(NEW, GOOD, small).outcome == "approve"
        assert judge(NEW, GREY, small).outcome == "refer"
        answer = judge(NEW, GOOD, UNSEEN)
        assert (answer.outcome, answer.reasons[0].code) == ("refer", "no_wallet_history")

    def test_without_a_wallet_is_the_smallest_or_an_officer_s(self):
        smallest = replace(AMINA, requested_cents=20_000, total_cents=21_200, shares_wallet=False)
        assert judge(NEW, GOOD, smallest).outcome == "approve"
        assert judge(NEW, GOOD, replace(smallest, requested_cents=25_000, total_cents=26_500)).outcome == "refer"
        assert judge(NEW, BAD, smallest).outcome == "decline"


class TestBustOut:
    def test_a_newcomer_from_a_burst_of_numbers_is_seen_by_a_person(self):
        burst = replace(AMINA, registered_alike=IN_FORCE.alike_referred)
        answer = judge(NEW, GOOD, burst)
        assert (answer.outcome, answer.reasons[0].code) == ("refer", "many_alike")
        assert judge(HER_FEATURES, GOOD, burst).outcome == "approve"
        assert judge(NEW, GOOD, replace(burst, registered_alike=IN_FORCE.alike_referred - 1)).outcome == "approve"

    def test_what_the_climb_explains_and_the_first_rung_are_lent_without_a_person(self):
        climbed = replace(AMINA, explained_cents=100_000, first_rung_cents=20_000)
        assert judge(HER_FEATURES, GOOD, climbed).outcome == "approve"
        first = replace(AMINA, explained_cents=0)
        assert judge(HER_FEATURES, GOOD, first).outcome == "approve"


class TestReasons:
    def test_follow_what_hurt_most_and_repeat_nothing(self):
        her = HER_FEATURES | {"worst_days_late": 9.0, "part_payments_mean": 3.0}
        against = ["worst_days_late", "last_days_late", "savings_balance_cents", "savings_weeks_12", "wallet_trend"]
        answer = judge(her, BAD, AMINA, against=against)
        assert [reason.code for reason in answer.reasons] == ["late_before", "few_savings", "dropping_income"]
        assert answer.reasons[0].values == {"days": 9}
        assert answer.next_step == "pay_on_time"

    def test_never_say_what_is_not_true_of_the_borrower(self):
        against = ["worst_days_late", "defaults_90", "part_payments_mean", "wallet_night_share", "hour_local"]
        never_late = HER_FEATURES | {"worst_days_late": 0.0, "defaults_90": 0.0, "part_payments_mean": 1.0}
        assert [r.code for r in judge(never_late, BAD, AMINA, against=against).reasons] == ["score_low"]

    @pytest.mark.parametrize(
        ("feature", "value", "usual", "speaks"),
        [
            ("savings_balance_cents", 100.0, 500.0, True),
            ("savings_balance_cents", 900.0, 500.0, False),
            ("savings_balance_cents", None, 500.0, True),
            ("savings_balance_cents", 900.0, None, False),
            ("wallet_in_variation", 0.2, 0.5, False),
            ("wallet_in_variation", 0.9, 0.5, True),
            ("wallet_in_variation", 0.9, None, True),
            ("worst_days_late", 3.0, 5.0, True),
        ],
    )
    def test_speak_only_in_the_direction_of_their_sentence(self, feature, value, usual, speaks):
        assert speaks_truly(feature, value, usual) is speaks

    def test_name_the_smaller_amount_that_the_model_would_have_approved(self):
        answer = judge(HER_FEATURES, BAD, AMINA, against=["requested_to_inflow"], safer_cents=60_000)
        assert (answer.outcome, answer.next_step, answer.limit_cents) == ("decline", "ask_less", 60_000)
        assert answer.reasons == (("amount_high_for_inflow", {"amount_cents": 60_000}),)

    @pytest.mark.parametrize("feature", NAMES)
    def test_have_a_next_step_whatever_hurt(self, feature):
        for features in (HER_FEATURES, NEW, dict.fromkeys(NAMES, 5.0)):
            for facts in (AMINA, UNSEEN):
                said = reasons_from(PolicyAsking(features, BAD, facts, IN_FORCE, [feature]))
                assert all(reason.code in NEXT_STEPS for reason in said) and said

    def test_speak_only_of_declared_features(self):
        assert set(CODES) <= set(NAMES)


def test_the_last_rule_always_answers():
    assert RULES[-1](PolicyAsking({}, None, AMINA, IN_FORCE)) is not None


def test_facts_and_policy_come_back_from_json():
    assert Facts(**json.loads(json.dumps(asdict(AMINA)))) == AMINA
    assert type(IN_FORCE)(**json.loads(json.dumps(asdict(IN_FORCE)))) == IN_FORCE
