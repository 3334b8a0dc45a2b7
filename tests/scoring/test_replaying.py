"""Another policy over past decisions: what it would have approved, and what can be known of the outcomes."""

import json
from dataclasses import asdict, replace
from datetime import timedelta

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from django.db import InternalError

from lending.models import Decision
from ml.gate import MOST_WEIGHT, Trial, with_and_without
from scoring import decide, judging, policy, replaying
from scoring.replaying import Again, Past, report, weights_of
from tests import factories
from tests.factories import NOON
from tests.ml.conftest import book
from tests.scoring import history
from tests.scoring.test_decide import set_thresholds

LOTS = 0.1


def lived_through(n: int = 6_000, *, seed: int = 1, people: int | None = None) -> tuple[Past, np.ndarray]:
    """Return a year of a lender who approves below 15 % and lends by lot up to 35 %, and the scores, all true.

    Every loan costs what is lent when it defaults and earns a tenth when it does not.
    """
    rng = np.random.default_rng(seed)
    scores = rng.random(n) * 0.5
    possible = np.where(scores < 0.15, 1.0, np.where(scores < 0.35, LOTS, 0.0))
    made = rng.random(n) < possible
    bad = made & (rng.random(n) < scores)
    lent = np.where(made, 50_000.0, 0.0)
    past = Past(
        people=np.char.mod("%d", np.arange(n) % (people or n)),
        languages=np.where(np.arange(n) % 2, "en", "sw"),
        currencies=np.full(n, "KES"),
        asked=np.full(n, 50_000.0),
        approved=made,
        possible=possible,
        known=made,
        defaulted=bad,
        lent=lent,
        lost=np.where(bad, lent, 0.0),
        earned=np.where(bad, -lent, lent / 10),
    )
    return past, scores


def approving(scores: np.ndarray, below: float) -> Again:
    approve = (scores < below).astype(float)
    return Again(approve, np.zeros(len(scores)), 1 - approve)


class TestReport:
    def test_finds_the_losses_of_a_looser_policy_where_its_own_survivors_do_not(self):
        """Below 25 % the mean of the chances is 12.5 %; of those lent to, mostly below 15 %, it is far less."""
        past, scores = lived_through()
        figures = report(past, approving(scores, 0.25))["figures"]
        value, low, high = figures["defaulted"]
        assert low < 0.125 < high and value == pytest.approx(0.125, abs=0.02)
        assert figures["defaulted_as_it_was"][2] < 0.125
        assert figures["defaulted_unweighted"][2] < low + 0.02
        assert figures["profit_rate_KES"][0] == pytest.approx(0.1 - 1.1 * value)
        assert figures["approved"][0] == pytest.approx(0.5, abs=0.02)

    def test_says_of_which_loans_nothing_can_be_known(self):
        past, scores = lived_through()
        known = report(past, approving(scores, 0.25))["known"]
        assert known["never_lent_share"] == 0 and known["known_share"] == pytest.approx(1)
        assert known["effective_loans"] < known["known_loans"]
        beyond = report(past, approving(scores, 0.5))["known"]
        assert beyond["never_lent_share"] == pytest.approx(0.3, abs=0.02)

        unripe = replace(past, known=past.known & (np.arange(len(past)) < len(past) / 2))
        assert report(unripe, approving(scores, 0.25))["known"]["not_ripe_share"] == pytest.approx(0.5, abs=0.05)

    def test_knows_nothing_of_a_policy_that_lends_only_to_others(self):
        past, scores = lived_through(500)
        others = Again((scores > 0.4).astype(float), np.zeros(500), np.zeros(500))
        found = report(past, others)
        assert found["figures"]["defaulted"] is None and found["figures"]["loss_rate_KES"] is None
        assert found["known"]["never_lent_share"] == 1
        json.dumps(found, allow_nan=False)

    def test_counts_a_borrower_of_many_loans_as_one(self):
        apart, scores = lived_through(2_000)
        together, _ = lived_through(2_000, people=20)
        widths = [
            np.ptp(report(past, approving(scores, 0.15))["figures"]["approved_as_it_was"][1:])
            for past in (apart, replace(together, approved=np.arange(2_000) % 20 < 8))
        ]
        assert widths[1] > 3 * widths[0]

    def test_cuts_a_weight_that_would_speak_for_too_many(self):
        past, scores = lived_through(500)
        rare = replace(past, possible=np.where(past.possible == LOTS, 0.001, past.possible))
        again = approving(scores, 0.35)
        assert weights_of(rare, again).max() == MOST_WEIGHT
        lots = int((rare.known & (rare.possible == 0.001)).sum())
        assert report(rare, again)["known"]["cut_weights"] == lots > 0

    def test_sets_the_groups_beside_each_other(self):
        past, _ = lived_through(2_000)
        approve = np.where(past.languages == "sw", 0.5, 1.0)
        figures = report(past, Again(approve, np.zeros(2_000), 1 - approve))["figures"]
        assert figures["approved_beside_the_best_language_sw"][0] == 0.5
        assert figures["approved_beside_the_best_language_en"][0] == 1.0


class TestTheGate:
    def test_counts_a_loan_by_lot_as_those_who_drew_none(self):
        """A model that is right of everybody below 15 % and says 10 % of all others: plainly fine, weighted not."""
        past, scores = lived_through()
        made = past.known
        said = np.where(scores < 0.15, scores, 0.10)[made]
        on = Trial(past.defaulted[made].astype(float), said, scores[made], has_champion=True)
        found = with_and_without(on, past.possible[made])
        assert found["loans_by_lot"] == int((past.possible[made] < 1).sum())
        assert found["speak_for"] == pytest.approx(6_000 * 0.7, rel=0.1)
        wrong, right = (found[name]["weighted"] for name in ("challenger", "champion"))
        assert right["default_rate"] == pytest.approx(0.175, abs=0.02)
        assert right["mean_chance"] == pytest.approx(0.175, abs=0.02)
        assert wrong["mean_chance"] < 0.10
        gaps = {
            how: found["challenger"][how]["log_loss"] - found["champion"][how]["log_loss"]
            for how in ("plain", "weighted")
        }
        assert gaps["weighted"] > 2 * gaps["plain"] > 0

    def test_reads_the_chance_of_a_loan_from_its_decision(self, amina, brian, reigning, monkeypatch):
        set_thresholds(monkeypatch, approve_below=1.0, refer_below=1.0)
        a_year_of(amina, propensity=0.1)
        a_year_of(brian)
        mine, other = Decision.objects.order_by("id").values_list("application_id", flat=True)
        loans = book(3, seed=1)
        loans = replace(loans, ids=np.array([str(other), str(mine), "0"]))
        assert judging.propensities(loans).tolist() == [1.0, 0.1, 1.0]

    def test_weighs_nothing_where_no_lot_decided(self):
        on = Trial(np.array([0.0, 1.0]), np.array([0.1, 0.4]), np.array([0.5, 0.5]), has_champion=False)
        found = with_and_without(on, np.ones(2))
        assert found["loans_by_lot"] == 0 and "champion" not in found
        assert found["challenger"]["plain"] == found["challenger"]["weighted"]


class TestPolicyNamed:
    def test_is_the_one_in_force_or_one_that_decided(self, amina, reigning, monkeypatch):
        assert replaying.policy_named("") == replaying.policy_named(policy.IN_FORCE.version) == policy.IN_FORCE
        set_thresholds(monkeypatch, version="looser", refer_below=0.9)
        a_year_of(amina)
        monkeypatch.undo()
        assert replaying.policy_named("looser").refer_below == 0.9
        with pytest.raises(replaying.PolicyRefused):
            replaying.policy_named("never heard of")

    def test_of_other_numbers_than_today_s_is_refused_in_words(self, amina, fixed_scorer):
        kept = {"policy": {"version": "old", "a_number_of_old": 1}}
        factories.decide(factories.apply(amina), policy_version="old", inputs=kept)
        with pytest.raises(replaying.PolicyRefused, match="a_number_of_old"):
            replaying.policy_named("old")

    @pytest.mark.parametrize(
        "text",
        [
            '{"approve": 0.1}',
            '{"approve_below": "0.1"}',
            '{"approve_below": true}',
            "[]",
            "{",
            '{"serve_cents": null}',
            '{"serve_cents": 0.5}',
            '{"serve_cents": -1}',
            '{"offer_step_cents": 0}',
            '{"approve_below": NaN}',
            '{"explore_share": 1.1}',
            '{"refer_below": -0.1}',
        ],
    )
    def test_refuses_what_no_policy_has(self, tmp_path, text):
        file = tmp_path / "policy.json"
        file.write_text(text)
        with pytest.raises(replaying.PolicyRefused):
            replaying.policy_named(str(file))


class TestTheCommand:
    def test_of_the_same_policy_says_what_was(self, amina, brian, reigning, monkeypatch, capsys):
        set_thresholds(monkeypatch, approve_below=1.0, refer_below=1.0)
        a_year_of(amina, days_late=(-2, 0, 3))
        a_year_of(brian, days_late=(40,))
        found = replayed(capsys)
        assert (found["decisions"], found["people"], found["cannot_be_judged_again"]) == (4, 2, 0)
        figures = found["figures"]
        assert figures["approved"][0] == figures["approved_as_it_was"][0] == 1
        assert figures["defaulted"][0] == figures["defaulted_as_it_was"][0] == 0.25
        assert found["known"]["known_share"] == 1

    def test_of_another_policy_says_what_would_be_and_writes_nothing(
        self, amina, reigning, monkeypatch, capsys, tmp_path
    ):
        set_thresholds(monkeypatch, approve_below=1.0, refer_below=1.0)
        a_year_of(amina)
        before = Decision.objects.values().get()
        file = tmp_path / "nobody.json"
        file.write_text('{"approve_below": 0.0, "refer_below": 1.0}')
        found = replayed(capsys, policy=str(file), model="champion")
        assert (found["figures"]["approved"][0], found["figures"]["referred"][0]) == (0, 1)
        assert found["figures"]["defaulted"] is None
        assert found["model"] == reigning.name
        assert Decision.objects.values().get() == before

    def test_counts_what_cannot_be_judged_again_and_speaks_in_words(self, amina, reigning, monkeypatch, capsys):
        set_thresholds(monkeypatch, approve_below=1.0, refer_below=1.0)
        a_year_of(amina, feature_version="another")
        call_command("replay_policy", "--from", "2025-01-01", "--to", "2026-12-31")
        assert "1 cannot be judged again" in capsys.readouterr().out

    @pytest.mark.parametrize("said", [{"model": "unknown"}, {"policy": "unknown"}, {"policy": "unknown.json"}])
    def test_refuses_what_it_does_not_know(self, amina, reigning, monkeypatch, said):
        set_thresholds(monkeypatch, approve_below=1.0, refer_below=1.0)
        a_year_of(amina)
        with pytest.raises(CommandError):
            call_command("replay_policy", "--from", "2025-01-01", "--to", "2026-12-31", **said)

    def test_is_kept_from_writing_by_postgresql(self, amina, reigning, monkeypatch):
        def write(*_: object, **__: object) -> None:
            Decision.objects.update(limit_cents=1)

        monkeypatch.setattr(replaying, "replayed", write)
        with pytest.raises(InternalError, match="read-only"):
            call_command("replay_policy", "--from", "2025-01-01")


def replayed(capsys, **said: str) -> dict:  # type: ignore[no-untyped-def]
    call_command("replay_policy", "--from", "2025-01-01", "--to", "2026-12-31", json=True, **said)
    return json.loads(capsys.readouterr().out)


def a_year_of(borrower, days_late: tuple[int, ...] = (-2,), **changes: object) -> None:  # type: ignore[no-untyped-def]
    """Write loans of a borrower, each decided by the network as it stood then."""
    for age, late in enumerate(days_late):
        at = NOON - timedelta(days=20 + 40 * age)
        history.steady_wallet(borrower, at)
        loan = history.loan(borrower, at, days_late=late, principal_cents=20_000)
        verdict = decide.scorer().assess(loan.application_id, at)
        kept = {name: getattr(verdict, name) for name in KEPT}
        reasons = [asdict(reason) for reason in verdict.reasons]
        Decision.objects.create(application=loan.application, decided_at=at, reasons=reasons, **kept | changes)


KEPT = (
    *("outcome", "score", "offer", "limit_cents", "inputs", "next_step", "step_values", "propensity"),
    *("model_version", "feature_version", "policy_version"),
)
