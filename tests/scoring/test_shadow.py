"""A shadow scores live decisions and decides nothing; who lets it serve afterwards."""

import shutil
from dataclasses import asdict, replace
from datetime import timedelta

import numpy as np
import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction
from django.test import Client
from django.urls import reverse

from lending.models import Case, Decision, Proposal
from lending.services import applications, proposals
from ml.artifact import ArtifactRefused
from scoring import features, promotion, registry, scorecard, shadow, tasks, worker
from scoring.features import Asked
from scoring.models import ModelVersion, PipelineRun, Promotion, ShadowScore
from scoring.shadow import Beside
from tests import factories
from tests.factories import NOON
from tests.lending.admin.conftest import staff
from tests.ml.conftest import with_weights
from tests.scoring import history
from tests.scoring.conftest import NO_RIVAL
from tests.scoring.test_decide import let_lots_decide, set_thresholds

MINUTE = timedelta(minutes=1)


def stern(trained, intercept: float = 9.0):
    """Return a network that expects nearly everybody to default."""
    return with_weights(trained, {"calibrate/intercept": np.float32(intercept)})


def stand(trained, at=NOON - 5 * MINUTE) -> ModelVersion:
    version = registry.register(trained, comparison=NO_RIVAL, at=at)
    registry.stand(version, registry.CHALLENGER, at=at)
    registry.stand(version, registry.SHADOW, at=at)
    return version


@pytest.fixture
def strict(reigning, trained) -> ModelVersion:
    return stand(stern(trained))


def decided(borrower, origin: str = "1", at=NOON) -> Decision:
    history.steady_wallet(borrower, at)
    application = factories.apply(borrower, origin=f"ussd:shadow:{borrower.id}:{origin}", at=at)
    return applications.decide(application.id, at)


class TestScoring:
    def test_is_of_live_decisions_by_the_very_vector_that_they_saw(self, amina, brian, strict):
        decisions = [decided(person) for person in (amina, brian)]
        assert shadow.score_new(NOON + MINUTE) == 2
        scorer = worker.load(strict.name).scorer
        for decision in decisions:
            kept = decision.shadow_score
            vector, happened = shadow.features.told(decision.inputs)
            assert kept.version == strict
            chance = float(scorer.predict(vector[None], happened[None]).default[0])
            assert kept.score == pytest.approx(chance, abs=1e-6)
            assert kept.score > 0.9 and not kept.approves

    def test_changes_nothing_of_a_decision(self, amina, reigning, trained, monkeypatch):
        set_thresholds(monkeypatch, approve_below=0.98, refer_below=0.99)
        decision = decided(amina)
        before = Decision.objects.values().get(id=decision.id)
        stand(stern(trained), at=NOON - MINUTE)
        shadow.score_new(NOON + MINUTE)
        kept = ShadowScore.objects.get()
        assert (kept.champion_approves, kept.approves) == (True, False)
        assert Decision.objects.values().get(id=decision.id) == before
        assert before["outcome"] == "approve" and before["model_version"] == reigning.name

    def test_approves_as_the_champion_does_where_it_says_the_same(self, amina, reigning, trained, monkeypatch):
        """By both outputs: what is lost with a defaulter is the model's word, not the usual."""
        far = {"approve_below": 0.98, "refer_below": 0.99, "usual_loss_share": 1.0, "least_loss_share": 0.0}
        history.steady_wallet(amina, NOON)
        vector = features.build_one(Asked(amina.id, NOON, 50_000))
        said = worker.serving().scorer.predict(vector[None])
        own = 1 - float(said.repaid_share[0])
        set_thresholds(monkeypatch, loss_rate_target=(own + float(said.default[0])) / 2, **far)
        decision = decided(amina)
        stand(trained, at=NOON - MINUTE)
        assert shadow.score_new(NOON + MINUTE) == 1
        kept = ShadowScore.objects.get()
        assert kept.score == pytest.approx(decision.score, abs=1e-6)
        assert decision.outcome == "approve" and (kept.champion_approves, kept.approves) == (True, True)

    def test_counts_an_approval_that_lending_held_back_and_none_by_lot(
        self, amina, brian, reigning, trained, monkeypatch, settings
    ):
        let_lots_decide(monkeypatch, 1 - 1e-9)
        by_lot = decided(amina)
        settings.COMPUTER_APPROVES = False
        set_thresholds(monkeypatch, approve_below=0.98, refer_below=0.99)
        held_back = decided(brian)
        assert (by_lot.outcome, held_back.outcome) == ("approve", "refer")
        stand(trained, at=NOON - MINUTE)
        shadow.score_new(NOON + MINUTE)
        kept = ShadowScore.objects.order_by("decision_id")
        assert [(one.champion_approves, one.approves) for one in kept] == [(False, False), (True, True)]

    @pytest.mark.parametrize(
        "damage",
        [
            {"events": [["nothing"]]},
            {"features": {"unheard_of": 1.0}},
            {"policy": {"a_number_of_old": 1}},
        ],
        ids=str,
    )
    def test_goes_on_past_what_cannot_be_read(self, amina, brian, strict, damage, monkeypatch):
        broken, good = decided(amina), decided(brian)
        broken.inputs |= damage
        monkeypatch.setattr(shadow, "unscored", lambda standing: [broken, good])
        assert shadow.score_new(NOON + MINUTE) == 1
        assert ShadowScore.objects.get().decision == good

    def test_repeats_safely(self, amina, brian, strict):
        decided(amina)
        assert [shadow.score_new(NOON + MINUTE) for _ in range(2)] == [1, 0]
        decided(brian)
        assert shadow.score_new(NOON + 2 * MINUTE) == 1
        assert ShadowScore.objects.count() == 2

    def test_of_two_workers_at_once_counts_once(self, amina, strict, monkeypatch):
        decided(amina)
        both_saw = list(shadow.unscored(registry.alias(registry.SHADOW)))
        monkeypatch.setattr(shadow, "unscored", lambda standing: both_saw)
        shadow.score_new(NOON + MINUTE)
        shadow.score_new(NOON + MINUTE)
        assert ShadowScore.objects.count() == 1
        with pytest.raises(IntegrityError), transaction.atomic():
            ShadowScore.objects.create(
                decision=both_saw[0], version=strict, score=0.1, approves=True, champion_approves=True,
                scored_at=NOON,
            )  # fmt: skip

    def test_leaves_out_what_was_decided_before_it_stood_or_without_a_model(
        self, amina, brian, reigning, trained, monkeypatch
    ):
        decided(amina)
        stand(stern(trained), at=NOON + MINUTE)
        monkeypatch.setattr(worker, "serving", lambda: None)
        without = decided(brian, at=NOON + 2 * MINUTE)
        assert (without.outcome, without.model_version) == ("refer", scorecard.VERSION)
        assert shadow.score_new(NOON + 3 * MINUTE) == 0

    def test_is_nobody_s_without_a_shadow(self, amina, reigning):
        decided(amina)
        assert shadow.score_new(NOON) == 0
        tasks.follow_shadow(queue="scoring")
        assert not ShadowScore.objects.exists()

    def test_that_fails_touches_no_decision(self, amina, brian, strict, reigning, models_dir):
        """Its files are lost: a person gets one case, and the champion goes on."""
        decided(amina)
        shutil.rmtree(models_dir / strict.artifact)
        for minutes in (1, 2):
            assert shadow.score_new(NOON + minutes * MINUTE) == 0
        assert Case.objects.get().subject_key == f"model:{strict.name}"
        assert decided(brian).model_version == reigning.name


class TestBeside:
    def test_counts_only_what_this_champion_decided(self, amina, brian, strict, reigning, trained, monkeypatch):
        set_thresholds(monkeypatch, approve_below=0.98, refer_below=0.99)
        first, second = decided(amina), decided(brian)
        shadow.score_new(NOON + MINUTE)
        seen = shadow.beside(strict, reigning)
        assert (seen.decisions, seen.approved_champion, seen.approved_shadow) == (2, 1.0, 0.0)
        assert (seen.lent_champion_cents, seen.lent_shadow_cents) == (100_000, 0)
        expected = round(50_000 * (first.score + second.score))
        assert seen.lost_champion_cents == pytest.approx(expected, abs=1)
        assert seen.points == 100
        assert seen.exposure_percent == -100
        assert seen.mean_shadow > 0.9 > seen.mean_champion
        another = registry.register(trained, comparison=NO_RIVAL, at=NOON + MINUTE)
        assert shadow.beside(strict, another) == Beside()

    @pytest.mark.parametrize(("changes", "words"), [
        ({}, []),
        ({"decisions": 199}, ["needs 200 live decisions, got 199"]),
        ({"approved_shadow": 0.43}, []),
        ({"approved_shadow": 0.44}, ["percentage points"]),
        ({"approved_shadow": 0.36}, ["percentage points"]),
        ({"lent_shadow_cents": 110_00}, []),
        ({"lent_shadow_cents": 111_00}, ["would lend 11 % more"]),
        ({"lent_shadow_cents": 10_00}, []),
        ({"lent_champion_cents": 0}, ["would lend inf % more"]),
    ])  # fmt: skip
    def test_says_from_where_on_two_people_are_needed(self, settings, changes, words):
        little = Beside(
            decisions=200, approved_champion=0.40, approved_shadow=0.40, lent_champion_cents=100_00,
            lent_shadow_cents=100_00,
        )  # fmt: skip
        against = shadow.too_risky_alone(replace(little, **changes))
        assert len(against) == len(words)
        assert all(word in said for word, said in zip(words, against, strict=True))

    def test_is_held_to_the_limits_of_the_settings(self, settings):
        seen = Beside(
            decisions=9, approved_champion=0.1, approved_shadow=0.9, lent_champion_cents=1, lent_shadow_cents=3
        )
        settings.SHADOW_DECISIONS, settings.PROMOTE_ALONE_POINTS = 9, 80
        settings.PROMOTE_ALONE_EXPOSURE_PERCENT = 200
        assert shadow.too_risky_alone(seen) == []


# --- two people -----------------------------------------------------------------------------------------------
@pytest.fixture
def people(db) -> list[User]:
    return [User.objects.create_user(name) for name in ("mwende", "kamau")]


@pytest.fixture
def left(strict, people) -> PipelineRun:
    """A run that the pipeline has left to two people, with what the shadow showed."""
    run = PipelineRun.objects.create(
        business_date=NOON.date(), number=1, started_at=NOON, finished_at=NOON, state="for_people",
        version=strict, why="would approve less",
    )  # fmt: skip
    seen = Beside(decisions=250, approved_champion=0.40, approved_shadow=0.31)
    run.steps.create(name="promote", state="done", started_at=NOON, report=asdict(seen))
    Case.objects.create(kind="model_waits", subject_key=f"model:{strict.name}", opened_at=NOON)
    return run


def propose(version: ModelVersion, maker: User) -> Proposal:
    return promotion.propose(version, maker=maker, reason="Losses rose.", at=NOON)


class TestTwoPeople:
    def test_let_a_model_serve(self, left, strict, reigning, people):
        mwende, kamau = people
        waiting = propose(strict, mwende)
        assert registry.champion() == reigning
        proposals.decide(proposal_id=waiting.id, checker=kamau, approve=True, at=NOON + MINUTE)

        assert registry.champion() == strict
        kept = Promotion.objects.first()
        assert (kept.actor, kept.reason) == (kamau, "proposed by mwende: Losses rose.")
        left.refresh_from_db()
        assert left.state == "promoted"
        assert Case.objects.get().closed_by == kamau

    def test_see_what_would_change(self, left, strict, reigning, people):
        rows = propose(strict, people[0]).preview["rows"]
        assert rows[0] == ["Decides", reigning.name, strict.name]
        assert ["Approved", "40.0%", "31.0%"] in rows

    def test_are_two(self, left, strict, reigning, people):
        mwende, _ = people
        waiting = propose(strict, mwende)
        with pytest.raises(proposals.SamePerson):
            proposals.decide(proposal_id=waiting.id, checker=mwende, approve=True, at=NOON)
        with pytest.raises(IntegrityError, match="proposal_decided_by_another"), transaction.atomic():
            Proposal.objects.filter(id=waiting.id).update(state="approved", checker=mwende, decided_at=NOON)
        assert registry.champion() == reigning

    def test_may_refuse(self, left, strict, reigning, people):
        waiting = propose(strict, people[0])
        proposals.decide(proposal_id=waiting.id, checker=people[1], approve=False, remark="Too stern.", at=NOON)
        assert registry.champion() == reigning

    def test_decide_about_what_they_saw(self, left, strict, trained, people):
        """Another champion came in between."""
        waiting = propose(strict, people[0])
        other = registry.register(trained, comparison=NO_RIVAL, at=NOON + MINUTE)
        registry.promote(other.name, at=NOON + MINUTE)
        with pytest.raises(proposals.Overtaken), transaction.atomic():
            proposals.decide(proposal_id=waiting.id, checker=people[1], approve=True, at=NOON + 2 * MINUTE)
        assert registry.champion() == other

    def test_are_not_asked_about_files_that_are_refused(self, left, strict, reigning, people, models_dir):
        waiting = propose(strict, people[0])
        (models_dir / strict.artifact / "manifest.hmac").unlink()
        with pytest.raises(proposals.Overtaken, match="cannot be read"), transaction.atomic():
            proposals.decide(proposal_id=waiting.id, checker=people[1], approve=True, at=NOON)
        assert registry.champion() == reigning
        with pytest.raises(ArtifactRefused):
            promotion.preview({"name": strict.name})

    def test_do_so_in_the_officers_rooms(self, law, left, strict, reigning):
        officer, manager = staff("wambui", "Loan officers"), staff("otieno", "Managers")
        page = reverse("admin:scoring_modelversion_change", args=[strict.pk])
        assert "Propose to let it serve" in officer.get(page).content.decode()
        assert press(officer, strict, "propose", reason="Losses rose.").status_code == 302
        waiting = Proposal.objects.get()
        shown = manager.get(reverse("admin:lending_proposal_change", args=[waiting.pk])).content.decode()
        assert "Let a model serve" in shown and reigning.name in shown and "31.0%" in shown
        assert press(manager, waiting, "approve", remark="").status_code == 302
        assert registry.champion() == strict
        assert "Propose to let it serve" not in officer.get(page).content.decode()

    def test_alone_an_officer_does_not_decide(self, law, left, strict, reigning):
        officer = staff("wambui", "Loan officers")
        press(officer, strict, "propose", reason="Losses rose.")
        assert press(officer, Proposal.objects.get(), "approve", remark="").status_code == 403
        assert press(staff("njeri", "Auditors"), strict, "propose", reason="x").status_code == 403
        assert registry.champion() == reigning


def press(client: Client, row, action: str, **typed: str):  # type: ignore[no-untyped-def]
    """Send the dialog of an action on the page of a row."""
    label = row._meta
    address = reverse(f"admin:{label.app_label}_{label.model_name}_{action}", args=[row.pk])
    return client.post(address, typed | {"_form_submitted": "1"})


class TestOnePerson:
    def test_lets_a_shadow_serve_that_changes_little(self, strict, monkeypatch, settings):
        settings.SHADOW_HOURS = 0
        seen = Beside(decisions=300, approved_champion=0.5, approved_shadow=0.5)
        monkeypatch.setattr(shadow, "beside", lambda version, champion: seen)
        call_command("models", "promote", strict.name)
        assert registry.champion() == strict

    def test_waits_until_the_shadow_has_stood_long_enough(self, strict, reigning, monkeypatch):
        seen = Beside(decisions=300, approved_champion=0.5, approved_shadow=0.5)
        monkeypatch.setattr(shadow, "beside", lambda version, champion: seen)
        with pytest.raises(promotion.TwoPeopleNeeded, match="in the shadow until 2026-03-03"):
            promotion.promote_alone(strict.name, at=NOON, reason="x")

    def test_does_not_bring_back_what_was_rolled_back(self, strict, reigning, monkeypatch, settings):
        settings.SHADOW_HOURS = 0
        seen = Beside(decisions=300, approved_champion=0.5, approved_shadow=0.5)
        monkeypatch.setattr(shadow, "beside", lambda version, champion: seen)
        promotion.promote_alone(strict.name, at=NOON, reason="x")
        registry.rollback(at=NOON, reason="declines everybody")
        with pytest.raises(promotion.TwoPeopleNeeded, match="was rolled back"):
            promotion.promote_alone(strict.name, at=NOON, reason="x")
        assert registry.champion() == reigning

    def test_does_not_let_a_shadow_serve_that_changes_much(self, strict, reigning, monkeypatch):
        seen = Beside(decisions=300, approved_champion=0.5, approved_shadow=0.7)
        monkeypatch.setattr(shadow, "beside", lambda version, champion: seen)
        with pytest.raises(CommandError, match="percentage points"):
            call_command("models", "promote", strict.name)
        assert registry.champion() == reigning
