from dataclasses import asdict
from datetime import timedelta

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from lending import ports
from lending.models import Application, Borrower, Consent, Decision, Loan
from lending.services import applications
from ml.data import OFFERS
from ml.features import VERSION, InvalidFeature
from ml.predict import Prediction
from scoring import decide, features, policy, scorecard, worker
from tests import factories
from tests.factories import NOON
from tests.scoring import history

DAYS = timedelta(days=1)


class TestAssess:
    def test_approves_amina_by_the_network_and_stores_the_verdict_whole(self, amina, reigning, monkeypatch):
        let_through(monkeypatch)
        history.loan(amina, NOON - 100 * DAYS, days_late=-2)
        history.steady_wallet(amina, NOON)
        decision = decided(amina)

        assert decision.outcome == "approve"
        assert 0 < decision.score < 1
        assert decision.model_version == reigning.name
        assert (decision.feature_version, decision.policy_version) == (VERSION, policy.IN_FORCE.version)
        assert decision.inputs["features"]["loans_settled"] == 1
        assert decision.inputs["facts"]["limit_cents"] == decision.limit_cents
        assert sum(decision.offer.values()) == pytest.approx(1, abs=1e-6)
        assert Loan.objects.get(application=decision.application).state == "approved"

    def test_is_the_scorer_that_settings_name(self):
        assert isinstance(ports.credit_scorer(), decide.KerasScorer)

    def test_judges_as_of_the_application_and_not_as_of_now(self, amina, reigning):
        history.steady_wallet(amina, NOON)
        application = factories.apply(amina)
        soon = decide.scorer().assess(application.id, NOON + timedelta(seconds=1))
        history.move(amina, NOON + timedelta(hours=1), 900_000)
        later = decide.scorer().assess(application.id, NOON + 3 * DAYS)
        assert later == soon

    def test_declines_with_reasons_of_what_hurt_the_score(self, amina, reigning, monkeypatch):
        set_thresholds(monkeypatch, approve_below=0.0, refer_below=1e-9)
        history.loan(amina, NOON - 80 * DAYS, days_late=20)
        history.steady_wallet(amina, NOON)
        decision = decided(amina)

        assert (decision.outcome, decision.limit_cents) == ("decline", 0)
        assert decision.reasons and decision.next_step

    def test_names_a_smaller_amount_when_the_network_would_take_that(self, amina, reigning, monkeypatch):
        history.steady_wallet(amina, NOON)
        monkeypatch.setattr(worker.Scorer, "predict", defaults_above(30_000))
        decision = decided(amina)
        assert (decision.outcome, decision.next_step, decision.limit_cents) == ("decline", "ask_less", 30_000)


class TestWithoutAModel:
    """The scorecard stands in, and lends again only what a clean payer has repaid; all else a person decides."""

    def test_the_scorecard_lends_again_what_was_repaid_in_time(self, amina, models_dir):
        decision = decided(well_known(amina), principal_cents=40_000)
        assert (decision.outcome, decision.model_version) == ("approve", scorecard.VERSION)
        assert 0 < decision.score < policy.IN_FORCE.scorecard_below
        assert decide.replays(decision)

    def test_more_than_was_repaid_refers(self, amina, models_dir):
        self.is_referred(decided(well_known(amina), principal_cents=60_000))

    def test_a_newcomer_refers(self, amina, models_dir):
        self.is_referred(decided(amina))

    @pytest.mark.parametrize("failure", [RuntimeError("out of memory"), ValueError("shape")])
    def test_a_network_that_fails_refers(self, amina, reigning, monkeypatch, failure):
        def fail(self, x):
            raise failure

        monkeypatch.setattr(worker.Scorer, "predict", fail)
        monkeypatch.setattr(worker.Scorer, "warm", lambda self: None)
        self.is_referred(decided(amina))

    @pytest.mark.parametrize("nonsense", [np.nan, -0.5, 1.5])
    def test_a_network_that_answers_nonsense_refers(self, amina, reigning, monkeypatch, nonsense):
        said = Prediction(*(np.full(shape, nonsense, np.float32) for shape in ((1,), (1,), (1, 3), (1,))))
        monkeypatch.setattr(worker.Scorer, "predict", lambda self, x, events: said)
        self.is_referred(decided(amina))

    def test_a_damaged_artifact_refers_and_opens_a_case(self, amina, reigning, models_dir):
        (models_dir / reigning.name / "weights.npz").write_bytes(b"damaged")
        self.is_referred(decided(amina))

    def is_referred(self, decision):
        assert (decision.outcome, decision.model_version) == ("refer", scorecard.VERSION)
        assert decision.reasons == [{"code": "data_missing", "values": {}}]
        assert decision.next_step == "wait_officer"
        assert decide.replays(decision)


class TestWithoutAScore:
    """Where no row can be built or nobody may be scored, a person decides."""

    def test_a_row_that_cannot_be_true_refers_and_names_the_feature(self, amina, reigning, monkeypatch):
        def impossible(*args):
            raise InvalidFeature("wallet_in_30d_cents", -5, "0 or more")

        monkeypatch.setattr(features, "build_one", impossible)
        decision = decided(amina)
        self.is_referred(decision)
        assert decision.inputs["invalid_feature"] == "wallet_in_30d_cents"

    def test_a_decision_of_a_policy_without_a_scorecard_replays_without_it(self, amina, models_dir, monkeypatch):
        set_thresholds(monkeypatch, scorecard_below=0.0)
        self.is_referred(decided(well_known(amina), principal_cents=40_000))

    def test_no_consent_to_scoring_refers_and_builds_no_features(self, brian, reigning):
        Consent.objects.filter(borrower=brian, purpose="scoring").update(withdrawn_at=NOON - DAYS)
        decision = decided(brian)
        assert (decision.outcome, decision.reasons[0]["code"]) == ("refer", "not_consented")
        assert (decision.score, decision.inputs["features"], decision.model_version) == (None, None, "")

    def is_referred(self, decision):
        assert (decision.outcome, decision.score, decision.model_version) == ("refer", None, "")
        assert decision.reasons == [{"code": "data_missing", "values": {}}]
        assert decision.next_step == "wait_officer"
        assert decide.replays(decision)


class TestFacts:
    def test_find_the_person_behind_another_sim(self, amina, brian, reigning):
        """Brian registered Amina's ID on his number: her default and her open loan are his."""
        application = factories.apply(brian)
        brian.identity_index = amina.identity_index
        brian.save()
        history.loan(amina, NOON - 45 * DAYS)
        decision = applications.decide(application.id, NOON)
        assert (decision.outcome, decision.reasons[0]) == (
            "decline",
            {"code": "open_arrears", "values": {"days": 15}},
        )

    def test_refer_one_identity_under_two_names(self, amina, brian, reigning):
        brian.identity_index = amina.identity_index
        brian.save()
        assert decided(brian).reasons[0]["code"] == "data_missing"

    def test_remember_a_default_for_the_cooling_off_only(self, amina, models_dir):
        history.loan(amina, NOON - 160 * DAYS, days_late=31)  # settled 99 days ago
        assert decided(amina).reasons[0]["code"] == "data_missing"

    def test_decline_a_default_of_late(self, amina, models_dir):
        history.loan(amina, NOON - 100 * DAYS, days_late=31)  # settled 39 days ago
        assert decided(amina).reasons[0] == {"code": "defaulted_before", "values": {"days": 39}}

    def test_decline_while_a_write_off_is_unpaid(self, amina, models_dir):
        history.loan(amina, NOON - 190 * DAYS, written_off_at=NOON - 20 * DAYS)
        assert decided(amina).reasons[0] == {"code": "defaulted_before", "values": {}}


class TestReplay:
    def test_gives_the_same_bytes_when_everything_else_has_changed(self, amina, reigning, monkeypatch):
        history.loan(amina, NOON - 100 * DAYS, days_late=3)
        history.steady_wallet(amina, NOON)
        decision = decided(amina)
        Consent.objects.all().update(withdrawn_at=NOON)
        history.move(amina, NOON - DAYS, 7_000_000)
        set_thresholds(monkeypatch, approve_below=0.0, refer_below=1e-9, version="later")

        again = decide.replay(Decision.objects.get(id=decision.id))
        assert decide.as_bytes(asdict(again)) == decide.as_bytes(applications.verdict_of(decision))

    def test_gives_the_same_bytes_for_a_decline_with_reasons(self, amina, reigning, monkeypatch):
        set_thresholds(monkeypatch, approve_below=0.0, refer_below=1e-9)
        history.loan(amina, NOON - 80 * DAYS, days_late=20)
        history.steady_wallet(amina, NOON)
        assert decide.replays(decided(amina))

    def test_gives_the_same_bytes_when_the_borrower_was_blocked_meanwhile(self, amina, reigning, monkeypatch):
        let_through(monkeypatch)
        history.steady_wallet(amina, NOON)
        application = factories.apply(amina)
        Borrower.objects.filter(id=amina.id).update(state="blocked")
        decision = applications.decide(application.id, NOON)

        assert (decision.outcome, decision.inputs["held_back"]) == ("refer", "not_active")
        assert decide.replays(decision)

    def test_gives_the_same_bytes_when_another_sim_was_quicker(self, amina, reigning, monkeypatch):
        let_through(monkeypatch)
        second_sim = factories.register(msisdn="254711000199")
        asked = [factories.apply(person, origin=f"ussd:test:{person.id}") for person in (amina, second_sim)]
        for person in (amina, second_sim):
            history.steady_wallet(person, NOON)
        first, second = (applications.decide(application.id, NOON) for application in asked)

        assert (first.outcome, second.outcome) == ("approve", "decline")
        assert decide.replays(first) and decide.replays(second)

    def test_gives_the_same_bytes_by_the_path_that_decided(self, amina, reigning, settings):
        history.steady_wallet(amina, NOON)
        settings.SERVING_PATH = "keras"
        decision = decided(amina)
        assert decision.inputs["path"] == "keras"

        settings.SERVING_PATH = "tables"
        decide._load_for_replay.cache_clear()
        assert decide.replays(decision)
        decide._load_for_replay(reigning.name, "keras")
        assert decide._load_for_replay.cache_info().hits == 1, "asked by another path"

    def test_gives_the_same_bytes_when_it_was_told_to_save(self, amina, reigning, monkeypatch):
        history.steady_wallet(amina, NOON)
        monkeypatch.setattr(worker.Scorer, "predict", offers_savings)
        decision = decided(amina)
        target = decision.step_values["amount_cents"]
        assert (decision.next_step, target % policy.IN_FORCE.save_step_cents) == ("save_weekly", 0)
        assert 0 < target <= policy.IN_FORCE.save_most_share * decision.inputs["facts"]["weekly_inflow_cents"]
        assert decide.replays(decision)

    def test_gives_the_same_bytes_when_the_amount_would_not_pay(self, amina, reigning, monkeypatch):
        set_thresholds(monkeypatch, approve_below=1.0, refer_below=1.0, least_profit_cents=10**9)
        history.steady_wallet(amina, NOON)
        decision = decided(amina)
        assert decision.outcome == "decline" and decision.score < 1
        assert decision.inputs["facts"]["prices"]["50000"] == 2_500
        assert decide.replays(decision)

    @pytest.mark.parametrize(
        ("share", "outcome", "propensity"), [(1.0, "approve", 1.0), (1e-12, "refer", 1 - 1e-12)]
    )
    def test_gives_the_same_bytes_when_a_lot_decided(
        self, amina, reigning, monkeypatch, share, outcome, propensity
    ):
        let_lots_decide(monkeypatch, share)
        decision = decided(amina)
        assert (decision.outcome, decision.propensity) == (outcome, propensity)
        assert decide.replays(decision)

    def test_gives_the_same_bytes_when_the_pot_was_empty_by_then(self, amina, brian, reigning, monkeypatch):
        let_lots_decide(monkeypatch, 1.0, explore_loans_per_day=1)
        judged = [
            decide.scorer().assess(factories.apply(who, origin=who.msisdn).id, NOON) for who in (amina, brian)
        ]
        assert [verdict.exploration is not None for verdict in judged] == [True, True]
        in_turn = iter(judged)
        monkeypatch.setattr(decide.KerasScorer, "assess", lambda *_: next(in_turn))
        first, second = (
            applications.decide(application.id, NOON) for application in Application.objects.order_by("id")
        )
        assert (first.outcome, second.outcome, second.inputs["lot_void"]) == ("approve", "refer", "pot_empty")
        assert decide.replays(first) and decide.replays(second)

    def test_gives_the_same_bytes_when_the_computer_was_stopped(self, amina, reigning, monkeypatch, settings):
        settings.COMPUTER_APPROVES = False
        let_through(monkeypatch)
        history.steady_wallet(amina, NOON)
        decision = decided(amina)
        assert (decision.outcome, decision.inputs["held_back"]) == ("refer", "computer_stopped")
        assert decide.replays(decision)

    @pytest.mark.parametrize("share", [1.0, 0.9, 1e-12])
    def test_gives_the_same_bytes_when_a_lot_was_void(self, amina, reigning, monkeypatch, settings, share):
        """Drawn or not: nothing that a lot says could have been lent."""
        settings.COMPUTER_APPROVES = False
        let_lots_decide(monkeypatch, share)
        decision = decided(amina)
        assert (decision.outcome, decision.propensity) == ("refer", 1.0)
        assert decision.inputs["lot_void"] == "computer_stopped"
        assert decide.replays(decision)

    def test_notices_an_altered_input(self, amina, reigning):
        history.steady_wallet(amina, NOON)
        decision = decided(amina)
        decision.inputs["features"]["wallet_in_90d_cents"] = 3.0
        assert not decide.replays(decision)

    def test_command_shows_it(self, amina, reigning, capsys):
        decision = decided(amina)
        call_command("replay_decision", str(decision.application_id))
        call_command("replay_decision", "--all", "5")
        printed = capsys.readouterr().out
        assert printed.count(": same") == 2
        assert "1 of 1 replayed to the same bytes" in printed

    def test_command_ends_badly_when_a_decision_differs(self, amina, models_dir, capsys, monkeypatch):
        decided(amina)
        # Rules that were taken away without a new version of the policy.
        monkeypatch.setattr(policy, "RULES", (policy.drawn_to_learn, policy.nothing_against))
        with pytest.raises(SystemExit):
            call_command("replay_decision", "--all", "1")
        assert 'outcome: "refer" became "approve"' in capsys.readouterr().out

    def test_command_says_which_decisions_came_before_this_policy(self, amina, fixed_scorer, capsys):
        factories.decide(factories.apply(amina), "decline", policy_version="starter")
        with pytest.raises(SystemExit):
            call_command("replay_decision", "--all", "1")
        assert "cannot be replayed: policy starter" in capsys.readouterr().out

    @pytest.mark.parametrize("arguments", [[], ["1", "--all", "2"], ["999"]])
    def test_command_refuses_what_it_cannot_find(self, db, arguments):
        with pytest.raises(CommandError):
            call_command("replay_decision", *arguments)


def decided(borrower, principal_cents: int = 50_000) -> Decision:
    application = factories.apply(borrower, principal_cents, origin=f"ussd:{timezone.now().timestamp()}:1")
    return Decision.objects.get(id=applications.decide(application.id, NOON).id)


def well_known(borrower: Borrower) -> Borrower:
    """Return a borrower who has repaid KES 500 early three times and has a steady wallet."""
    for days in (300, 200, 100):
        history.loan(borrower, NOON - days * DAYS, days_late=-2)
    history.steady_wallet(borrower, NOON)
    return borrower


def let_through(monkeypatch) -> None:
    """Let any score pass: the small network of these tests knows nothing of real borrowers."""
    set_thresholds(monkeypatch, approve_below=1.0, refer_below=1.0)


def set_thresholds(monkeypatch, **changes) -> None:
    """Let these numbers alone decide: neither money nor a lot has a say."""
    changes = {"least_profit_cents": None, "loss_rate_target": 1.0, "explore_share": 0.0} | changes
    monkeypatch.setattr(policy, "IN_FORCE", type(policy.IN_FORCE)(**(asdict(policy.IN_FORCE) | changes)))


def let_lots_decide(monkeypatch, share: float, **changes) -> None:
    """Leave every first loan to a lot that is drawn with this chance."""
    set_thresholds(
        monkeypatch, approve_below=0.0, refer_below=1.0, explore_share=share, explore_below=1.0, **changes
    )


def offers_savings(self, x, events=None):
    """Stand in for predict() of a network that would rather see everybody save."""
    offer = np.tile(np.array([name == "savings" for name in OFFERS], np.float32), (len(x), 1))
    return Prediction(
        *(np.full(len(x), value, np.float32) for value in (0.9, 0.2)), offer, np.ones(len(x), np.float32)
    )


def defaults_above(cents: int):
    """Return a predict() of a network that trusts amounts up to `cents` and nothing above."""

    def predict(self, x, events=None):
        column = x[:, features.features.NAMES.index("requested_cents")]
        chance = np.where(column > cents, 0.9, 0.01).astype(np.float32)
        return Prediction(chance, 1 - chance, np.full((len(x), 3), 1 / 3, np.float32), chance)

    return predict
