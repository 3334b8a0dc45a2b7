"""The account of a decision: what counted, what would turn it, and what became of others like it."""

import subprocess
import sys
from dataclasses import asdict, replace
from datetime import timedelta

import numpy as np
import pytest

from lending import ports
from lending.admin.account import shown
from lending.models import Application, Borrower, Consent, Decision
from lending.services import applications
from ml import features as feature_list
from ml import recourse
from ml.artifact import ArtifactRefused
from ml.explain import Contribution
from ml.recourse import DAYS, Means, Plan
from scoring import account, decide, events, features, policy, worker
from scoring.features import Asked
from tests import factories
from tests.factories import NOON
from tests.scoring import history
from tests.scoring.test_decide import let_through, set_thresholds

DAY = timedelta(days=1)
AT = {name: place for place, name in enumerate(feature_list.NAMES)}


@pytest.fixture(autouse=True)
def no_weights_of_another_test():
    account._weights_of.cache_clear()


@pytest.fixture
def refused(amina, reigning, monkeypatch) -> Decision:
    """Amina's refusal, a little above the line that the model draws for less."""
    history.loan(amina, NOON - 80 * DAY, days_late=20)
    history.steady_wallet(amina, NOON)
    history.save(amina, NOON - 20 * DAY, 10_000)
    return decided_just_above(amina, monkeypatch)


def decided_just_above(borrower, monkeypatch, principal_cents=80_000, share=0.97) -> Decision:
    """Decide with the line so close below the score that something within reach can turn it."""
    application = factories.apply(borrower, principal_cents, origin=f"ussd:{borrower.id}:1")
    asked = Asked.of(application)
    vector, happened = features.build_one(asked), events.build_one(asked)
    score = float(worker.serving().scorer.predict(vector[None], happened[None]).default[0])
    set_thresholds(monkeypatch, approve_below=score * share, refer_below=score * share)
    return Decision.objects.get(id=applications.decide(application.id, NOON).id)


def given(decision: Decision) -> ports.Account:
    found = ports.decision_account()(decision.application_id, NOON)
    assert found is not None
    return found


class TestWhatCounted:
    def test_is_told_for_and_against_the_strongest_first_beside_what_is_usual(self, refused):
        found = given(refused)
        assert found.against and found.in_favour
        assert [c.log_odds for c in found.against] == sorted((c.log_odds for c in found.against), reverse=True)
        assert [c.log_odds for c in found.in_favour] == sorted(c.log_odds for c in found.in_favour)
        assert all(c.log_odds > 0 for c in found.against) and all(c.log_odds < 0 for c in found.in_favour)
        kept = refused.inputs["features"]
        told = {c.name: c.value for c in (*found.against, *found.in_favour)}
        assert told.pop("last_events") == len(refused.inputs["events"]) > 0
        assert all(value == kept[name] for name, value in told.items())

    def test_is_the_same_as_the_decision_kept(self, refused):
        """The plain path ranks as the compiled network did when it decided."""
        served = worker.serving()
        vector, happened = features.told(refused.inputs)
        by_network = decide.against(lambda x: served.scorer.predict(x, happened[None]).default, served, vector)
        told = [c.name for c in given(refused).against if c.name in by_network]
        assert told == [name for name in by_network if name in told] and told

    def test_is_nothing_without_a_score(self, amina, models_dir):
        decision = applications.decide(factories.apply(amina).id, NOON)
        assert account.account_of(decision.application_id, NOON) is None

    def test_of_another_policy_is_nothing(self, amina, fixed_scorer):
        decision = factories.decide(factories.apply(amina), "decline")
        assert account.account_of(decision.application_id, NOON) is None

    def test_a_damaged_model_raises(self, refused, models_dir):
        (models_dir / refused.model_version / "weights.npz").write_bytes(b"damaged")
        with pytest.raises(ArtifactRefused):
            account.account_of(refused.application_id, NOON)


class TestWhatWouldTurnIt:
    def test_turns_it_when_it_is_done(self, refused):
        """Judged again by the compiled network and the whole policy, with the change in the inputs."""
        behind = account.Behind.of(refused)
        found = account.turning(behind, account.means_of(behind))
        assert found and given(refused).ways[0].chance == found[0].chance
        assert decide.verdict(refused.inputs, worker.serving()).outcome == "decline"
        facts = policy.Facts(**refused.inputs["facts"])
        for way in found[:3]:
            changed = {
                "features": features.to_json(way.row), "facts": asdict(account.facts_after(facts, way.plan))
            }  # fmt: skip
            again = decide.verdict(refused.inputs | changed, worker.serving())
            assert again.outcome == "approve"
            assert again.score == pytest.approx(way.chance, abs=1e-5)

    def test_where_it_is_another_amount_one_for_this_amount_follows(self, refused, monkeypatch):
        less = recourse.Way(Plan(asks_cents=40_000), np.zeros(1, np.float32), 0.1, 0.1)
        other = replace(less, plan=Plan(asks_cents=30_000, reads_terms=True))
        saves = replace(less, plan=Plan(weekly_cents=5_000, months=2))
        monkeypatch.setattr(account, "turning", lambda *_: [less, other, saves])
        first, second = given(refused).ways
        assert first.steps == (ports.Reason("ask_less", {"amount_cents": 40_000}),)
        assert second.steps == (ports.Reason("save_weekly", {"amount_cents": 5_000, "months": 2}),)

    def test_is_nothing_where_nothing_does_it(self, amina, reigning, monkeypatch):
        history.steady_wallet(amina, NOON)
        decision = decided_just_above(amina, monkeypatch, share=1e-6)
        assert given(decision).ways == ()

    def test_is_nothing_where_it_was_approved(self, amina, reigning, monkeypatch):
        history.loan(amina, NOON - 100 * DAY, days_late=-2)
        history.steady_wallet(amina, NOON)
        decision = decided_just_above(amina, monkeypatch, principal_cents=50_000, share=2)
        assert decision.outcome == "approve" and given(decision).ways == ()

    def test_is_nothing_where_lending_held_an_approval_back(self, amina, reigning, monkeypatch):
        let_through(monkeypatch)
        history.steady_wallet(amina, NOON)
        application = factories.apply(amina)
        Borrower.objects.filter(id=amina.id).update(state="blocked")
        decision = Decision.objects.get(id=applications.decide(application.id, NOON).id)
        assert (decision.outcome, given(decision).ways) == ("refer", ())
        page = shown(Application.objects.get(id=application.id))
        assert "held back: this customer may not borrow now" in page and "None was found" not in page

    def test_are_looked_for_where_only_the_pot_was_empty(self, refused):
        found = given(refused).ways
        refused.inputs["lot_void"] = "pot_empty"
        assert found and account.ways_to_yes(account.Behind.of(refused)) == found

    def test_of_a_rule_is_what_the_rule_lets_through(self, amina, reigning, monkeypatch):
        """A rule refused and not the score: to ask for no more than the income carries would have done."""
        history.loan(amina, NOON - 100 * DAY, days_late=-2)
        history.steady_wallet(amina, NOON, weekly_cents=25_000)
        decision = decided_just_above(amina, monkeypatch, share=2)
        assert decision.reasons[0]["code"] == "amount_high_for_inflow"
        (step,) = given(decision).ways[0].steps
        assert step.code == "ask_less" and step.values["amount_cents"] <= decision.limit_cents

    def test_nobody_whose_savings_shall_not_count_is_told_to_save(self, refused, amina):
        def saves() -> bool:
            return bool(account.means_of(account.Behind.of(refused)).weekly_cents)

        assert saves()
        Consent.objects.create(
            borrower=amina, purpose="savings", granted=False, text_version="1", language="en", given_at=NOON
        )
        assert not saves()

    def test_is_said_in_steps(self):
        vector = np.zeros(len(feature_list.NAMES), np.float32)
        vector[AT["wallet_in_30d_cents"]] = 100_000
        plan = Plan(weekly_cents=5_000, more_inflow=0.25, repaid=2, reads_terms=True, asks_cents=30_000, months=2)
        said = list(account.steps_of(plan, vector, Means(loan_cents=20_000)))
        assert [(step.code, dict(step.values)) for step in said] == [
            ("save_weekly", {"amount_cents": 5_000, "months": 2}),
            ("use_wallet", {"amount_cents": 25_000, "months": 2}),
            ("repay_in_time", {"loans": 2, "amount_cents": 20_000}),
            ("read_terms", {}),
            ("ask_less", {"amount_cents": 30_000}),
        ]
        vector[AT["loans_open"]] = 1
        assert dict(next(account.steps_of(Plan(repaid=1, months=1), vector, Means())).values) == {"loans": 1}
        assert next(account.steps_of(Plan(months=3), vector, Means())) == ports.Reason("wait", {"months": 3})


class TestWhatIsForetoldComesTrue:
    """Amina does what a plan says; the SQL then finds the numbers that were foretold."""

    MEANS = Means(loan_cents=30_000)

    def foretold_and_found(self, amina, plan, then) -> tuple[dict, dict]:
        application = factories.apply(amina)
        before = features.build_one(Asked.of(application))
        then(amina)
        later = Asked(amina.id, NOON + plan.months * DAYS * DAY, 50_000)
        foretold = recourse.after(before, plan, self.MEANS)
        return features.to_json(foretold), features.to_json(features.build_one(later))

    @pytest.mark.parametrize("saved_before", [False, True])
    def test_saving_each_week(self, amina, saved_before):
        if saved_before:
            history.save(amina, NOON - 20 * DAY, 5_000)

        def saves(amina):
            for week in range(4):
                history.save(amina, NOON + (29 - 7 * week) * DAY, 5_000)

        told, found = self.foretold_and_found(amina, Plan(weekly_cents=5_000, months=1), saves)
        same = ["savings_balance_cents", "savings_deposits_90d", "savings_deposited_90d_cents", "savings_pots",
                "days_since_last_deposit", "savings_deposit_mean_cents", "requested_to_savings",
                "savings_net_90d_cents", "days_since_registered", "applications", "applications_90d"]  # fmt: skip
        # Where she saved before, she is foretold to go on; here she does not.
        same += [] if saved_before else ["savings_deposits_30d", "savings_weeks_12", "savings_weeks_26"]
        assert {name: told[name] for name in same} == pytest.approx({name: found[name] for name in same})

    def test_repaying_a_loan_in_time(self, amina):
        def repays(amina):
            history.loan(amina, NOON + DAY / 1_000, days_late=-1)

        history.loan(amina, NOON - 80 * DAY, days_late=20, principal_cents=30_000)
        told, found = self.foretold_and_found(amina, Plan(repaid=1, months=1), repays)
        # The helper lends 500; what was foretold is a loan of 300, so amounts are not compared.
        same = (
            "loans_taken", "loans_settled", "loans_open", "on_time_share", "on_time_streak", "early_share",
            "worst_days_late", "mean_days_late", "last_days_late", "late_streak", "late_of_last_3",
            "late_week_share", "part_payments_mean", "payments", "loans_365d",
        )  # fmt: skip
        assert {name: told[name] for name in same} == pytest.approx({name: found[name] for name in same})


class TestSimilarCases:
    """Amina has been with us for 200 days, and here nothing else counts."""

    def past(
        self,
        number: int,
        *,
        days: float = 200.0,
        days_late: int | None = 0,
        days_ago: int = 100,
        version: str = "",
        score: float | None = 0.1,
    ) -> Decision:
        """Write a past loan of somebody else who had been with us for so many days."""
        borrower = factories.register(f"Borrower {number}", f"2547113{number:05d}", f"3456{number:04d}")
        lent = history.loan(borrower, NOON - days_ago * DAY, days_late=days_late)
        kept = dict.fromkeys(feature_list.NAMES) | {"days_since_registered": days} if score else None
        return Decision.objects.create(
            application=lent.application, outcome="approve", score=score, limit_cents=50_000, reasons=[],
            feature_version=version or feature_list.VERSION, policy_version="1", decided_at=lent.approved_at,
            inputs={"features": kept}, model_version="m",
        )  # fmt: skip

    @pytest.fixture(autouse=True)
    def only_the_time_with_us_counts(self, amina, monkeypatch):
        effects = tuple(
            Contribution(name, 0.0, float(name == "days_since_registered")) for name in feature_list.NAMES
        )
        monkeypatch.setattr(account, "explain", lambda *_: effects)
        history.steady_wallet(amina, NOON)

    def test_are_the_likest_with_what_became_of_them(self, amina, reigning, monkeypatch):
        known = [(20, 0), (450, 45), (190, -3), (215, 31), (201, 30), (180, None), (150, 2)]
        past = [self.past(n, days=days, days_late=late) for n, (days, late) in enumerate(known)]
        found = given(decided_just_above(amina, monkeypatch)).similar
        assert [one.application_id for one in found] == [past[n].application_id for n in (4, 2, 3, 5, 6)]
        assert [one.days_late for one in found] == [30, -3, 31, None, 2]
        assert [one.repaid for one in found] == [True, True, False, False, True]

    def test_leave_out_whose_outcome_is_not_known_and_her_own(self, amina, reigning, monkeypatch):
        ripe = self.past(1)
        self.past(2, days_late=-20, days_ago=50)  # repaid, and 30 days have not passed since it was due
        other_sim = self.past(3).application.borrower
        other_sim.identity_index = amina.identity_index
        other_sim.save()
        self.past(4, version="of other features")
        self.past(7, score=None)
        given_back = self.past(5).application.loan
        given_back.state = "cancelled"
        given_back.save()
        decision = decided_just_above(amina, monkeypatch)
        self.past(6)  # decided only afterwards
        assert [one.application_id for one in given(decision).similar] == [ripe.application_id]

    def test_take_one_statement(self, amina, reigning, monkeypatch, django_assert_num_queries):
        for n in range(7):
            self.past(n)
        refused = decided_just_above(amina, monkeypatch)
        # The decision, the savings' consent, the model's row, and all past cases.
        with django_assert_num_queries(4):
            given(refused)


def test_the_web_process_needs_no_tensorflow():
    """In a process of its own: giving account imports no TensorFlow."""
    code = (
        "import django, os, sys; os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'config.settings'); "
        "django.setup(); import scoring.account; sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_application_is_read_only(refused):
    """Giving account changes nothing that a replay compares."""
    before = Decision.objects.values().get(id=refused.id), Application.objects.values().get(decision=refused)
    given(refused)
    assert before == (
        Decision.objects.values().get(id=refused.id),
        Application.objects.values().get(decision=refused),
    )
    assert decide.replays(Decision.objects.get(id=refused.id))
