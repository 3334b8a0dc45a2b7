"""The steps of a retraining, each on real loans. Killed processes are in test_pipeline_killed.py."""

import json
import threading
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction

from lending.models import Application, Case, Loan
from ml.data import Dataset
from ml.train import Learnt, Lineage, Plan, train
from scoring import judging, pipeline, registry, shadow, tasks, training
from scoring.judging import Judgement
from scoring.models import ModelVersion, PipelineRun, Promotion
from tests.factories import NOON
from tests.scoring import portfolio
from tests.scoring.conftest import NO_RIVAL
from tests.scoring.portfolio import PLAN

DAY = timedelta(days=1)
NAMES = [step.name for step in pipeline.STEPS]
LOANS = 560


@pytest.fixture
def loans(law) -> None:
    portfolio.lend(LOANS, NOON)


class Gate:
    """Says what a test needs, and keeps what it was asked to judge by. The real one has tests of its own."""

    better = True

    def __init__(self) -> None:
        self.loans: list[Dataset] = []

    def judge(self, trained, reigning, loans, *, first, has_rival, any_size):  # type: ignore[no-untyped-def]
        self.loans.append(loans)
        return Judgement(self.better, ("made for a test",), NO_RIVAL, {"checks": {"auc": 0.7}})


@pytest.fixture
def gate(monkeypatch) -> Gate:
    gate = Gate()
    monkeypatch.setattr(judging, "judge", gate.judge)
    return gate


@pytest.fixture(autouse=True)
def learnt_before(monkeypatch) -> None:
    """Let the same loans, seed and plan give what they gave before: TensorFlow compiles once for all tests here."""

    def learn(loans, *, seed, plan, progress, parent):  # type: ignore[no-untyped-def]
        key = (loans.x.tobytes(), loans.default.tobytes(), seed, repr(plan), parent and parent.sha256)
        if key not in _learnt:
            _learnt[key] = real(loans, seed=seed, plan=plan, progress=progress, parent=parent)
        return _learnt[key]

    real = pipeline.learn
    monkeypatch.setattr(pipeline, "learn", learn)


_learnt: dict[tuple[object, ...], Learnt] = {}


@pytest.fixture
def no_shadow(settings) -> None:
    """A shadow that has seen enough at once."""
    settings.SHADOW_HOURS, settings.SHADOW_DECISIONS = 0, 0


def retrain(at=NOON, **asked) -> PipelineRun:
    return pipeline.retrain(at, plan=PLAN, **asked)


def states(run: PipelineRun) -> dict[str, str]:
    return dict(run.steps.values_list("name", "state"))


class TestFirst:
    def test_makes_a_champion_of_the_first_loans(self, loans, models_dir, gate):
        said: list[str] = []
        run = pipeline.retrain(NOON, first=True, plan=PLAN, say=said.append)

        champion = registry.champion()
        assert (run.state, run.version, run.loans) == ("promoted", champion, LOANS), run.why
        assert states(run) == dict.fromkeys(NAMES, "done")
        assert list(run.steps.values_list("name", flat=True)) == NAMES
        assert champion.metrics["test"]["auc"] > 0.6
        assert champion.data_sha256 == training.training_set(NOON).sha256()
        assert f"{champion.name} promoted" in said[-1]
        assert Promotion.objects.get().reason == run.why[:300]

    def test_trains_what_the_command_line_would_train(self, loans, models_dir):
        run = retrain(first=True)
        here = train(training.training_set(NOON), seed=1, plan=PLAN)
        kept = registry.open_artifact(run.version.name)
        assert kept.weights.keys() == here.weights.keys()
        for path, weight in here.weights.items():
            np.testing.assert_array_equal(kept.weights[path], weight)
        assert kept.manifest["metrics"] == here.metrics

    def test_leaves_nothing_but_the_model(self, loans, models_dir):
        run = retrain(first=True)
        assert sorted(path.name for path in models_dir.iterdir()) == [run.version.name, "runs"]
        assert list(pipeline.runs_directory().iterdir()) == []

    def test_serves_only_at_the_lender_s_word(self, loans, models_dir):
        run = retrain()
        assert run.state == "shelved"
        assert "--first" in run.why
        assert registry.champion() is None

    def test_replaces_a_champion_whose_files_are_refused(self, loans, models_dir, reigning, gate):
        """Lost files, another signing key, other features: nobody serves, and there must be a way on."""
        (models_dir / reigning.artifact / "weights.npz").write_bytes(b"lost")
        run = retrain(first=True)
        assert (run.state, registry.champion()) == ("promoted", run.version)

    def test_command_does_nothing_when_somebody_serves_already(self, reigning, capsys):
        call_command("retrain", "--first")
        assert f"{reigning.name} serves already" in capsys.readouterr().out
        assert not PipelineRun.objects.exists()


class TestRefusedData:
    @pytest.mark.parametrize(("loans", "share", "why"), [
        (0, 0.5, "needs 100 loans with known outcomes, got 0"),
        (99, 0.5, "needs 100 loans with known outcomes, got 99"),
        (120, 0.0, "share lost must be from 0.1% to 70%, got 0.00%"),
    ])  # fmt: skip
    def test_is_said_in_words_and_the_champion_stays(self, law, models_dir, reigning, loans, share, why):
        portfolio.lend(loans, NOON, people=1, lost=share)
        run = retrain()
        assert (run.state, run.version) == ("refused", None)
        assert why in run.why
        assert states(run) == {"ingest": "done", "validate": "refused"}
        assert registry.champion() == reigning
        assert why in Case.objects.get(kind="bad_task").note

    def test_is_an_error_for_the_command(self, law, models_dir):
        with pytest.raises(CommandError, match="needs 100 loans"):
            call_command("retrain")

    @pytest.mark.parametrize(("before", "any_size", "state"), [
        (LOANS // 2 - 60, False, "refused"), (LOANS * 3, False, "refused"), (LOANS, False, "shelved"),
        (LOANS * 3, True, "shelved"),
    ])  # fmt: skip
    def test_is_what_differs_by_more_than_half_from_the_last_run(
        self, loans, models_dir, reigning, gate, before, any_size, state
    ):
        gate.better = False
        ended = {"state": "shelved", "why": "x", "finished_at": NOON, "started_at": NOON - DAY, "loans": before}
        PipelineRun.objects.create(business_date=NOON.date() - DAY, number=1, **ended)
        run = retrain(any_size=any_size)
        assert run.state == state, run.why
        assert ("--any-size" in run.why) is (state == "refused")

    def test_holds_numbers_that_cannot_be(self, loans, models_dir):
        known = training.outcomes(NOON)
        spoilt = {
            "an application twice": replace(known, application_ids=np.ones_like(known.application_ids)),
            "amounts of nothing": replace(known, requested_cents=np.zeros_like(known.requested_cents)),
            "applications later than the run": replace(known, submitted_us=known.submitted_us * 2),
            "shares repaid": replace(known, repaid_share=np.full(len(known), np.nan)),
            "days late": replace(known, days_late=np.where(np.arange(len(known)) < 3, np.nan, known.days_late)),
        }
        assert pipeline.wrong_outcomes(known, NOON) == []
        for what, wrong in spoilt.items():
            assert what in pipeline.wrong_outcomes(wrong, NOON)[0]

    def test_has_too_many_vectors_that_cannot_be_true(self, loans, models_dir):
        few = Loan.objects.order_by("id")[: LOANS // 10].values("application_id")
        Application.objects.filter(id__in=few).update(principal_cents=10**14)
        run = retrain(first=True)
        assert run.state == "refused"
        assert "numbers that cannot be true" in run.why


class TestOneByOne:
    """A run that stops at each step in turn and is called again."""

    @pytest.mark.parametrize("name", NAMES)
    def test_a_step_that_fails_is_on_record_and_begins_again(
        self, loans, models_dir, reigning, gate, no_shadow, monkeypatch, name
    ):
        place = NAMES.index(name)
        broken = replace(pipeline.STEPS[place], do=lambda work: 1 / 0)
        steps = pipeline.STEPS
        monkeypatch.setattr(pipeline, "STEPS", (*steps[:place], broken, *steps[place + 1 :]))
        with pytest.raises(ZeroDivisionError):
            retrain()
        run = PipelineRun.objects.get()
        assert run.state == "running"
        assert run.why.startswith(f"{name}: ZeroDivisionError")
        assert states(run) == {**dict.fromkeys(NAMES[:place], "done"), name: "failed"}
        assert registry.champion() == reigning
        made = dict(run.steps.filter(state="done").values_list("name", "sha256"))

        monkeypatch.setattr(pipeline, "STEPS", steps)
        again = retrain(NOON + timedelta(minutes=20))
        assert (again.id, again.state, again.version) == (run.id, "promoted", registry.champion())
        assert ModelVersion.objects.count() == 2 == Promotion.objects.count()
        assert made.items() <= dict(run.steps.values_list("name", "sha256")).items(), "what was done stays"
        assert not run.steps.filter(name__in=made, started_at__gt=NOON).exists(), "and is not done again"

    def test_a_step_that_never_ends_ends_the_run(self, loans, models_dir, monkeypatch):
        run = pipeline.begin(NOON.date(), NOON, plan=PLAN)
        run.steps.create(name="ingest", started_at=NOON, tries=pipeline.MOST_TRIES)
        assert pipeline.go_on(run, NOON).state == "failed"
        assert "5 times and never ended" in run.why
        assert Case.objects.get().subject_key == "pipeline"

    @pytest.mark.parametrize("spoil", [lambda path: path.write_bytes(b"x"), lambda path: path.unlink()])
    def test_a_lost_file_is_made_again_with_all_that_rests_on_it(self, loans, models_dir, gate, monkeypatch, spoil):
        steps = pipeline.STEPS
        monkeypatch.setattr(pipeline, "STEPS", steps[: NAMES.index("judge")])
        run = retrain()
        before = dict(run.steps.values_list("name", "sha256"))
        spoil(pipeline.Work(run, NOON, print).path("features"))

        monkeypatch.setattr(pipeline, "STEPS", steps)
        later = NOON + timedelta(minutes=20)
        retrain(later)
        after = dict(run.steps.values_list("name", "sha256"))
        assert {name: after[name] for name in before} == before, "the same data, the same seed, the same bytes"
        began = dict(run.steps.values_list("name", "started_at"))
        assert began["validate"] == NOON and began["features"] == began["train"] == later

    def test_loans_of_other_features_are_read_again(self, loans, models_dir, gate, monkeypatch):
        steps = pipeline.STEPS
        monkeypatch.setattr(pipeline, "STEPS", steps[: NAMES.index("train")])
        run = retrain()
        row = run.steps.get(name="features")
        row.report["feature_version"] = "another"
        row.save()
        pipeline.forget_lost_files(pipeline.Work(run, NOON, print))
        assert list(run.steps.values_list("name", flat=True)) == ["ingest", "validate"]

    def test_files_hold_no_pickles(self, loans, models_dir, monkeypatch):
        monkeypatch.setattr(pipeline, "STEPS", pipeline.STEPS[: NAMES.index("judge")])
        run = retrain()
        made = sorted(pipeline.Work(run, NOON, print).directory.iterdir())
        assert [path.name for path in made] == ["calibrate.npz", "features.npz", "ingest.npz", "train.npz"]
        for path in made:
            with np.load(path, allow_pickle=False) as arrays:
                assert all(arrays[name].dtype.kind in "biufU" for name in arrays.files)


class TestWarmStart:
    @pytest.fixture
    def served(self, loans, models_dir, gate, no_shadow) -> PipelineRun:
        return retrain(first=True)

    def lineage(self, run: PipelineRun) -> Lineage:
        return Lineage(**registry.open_artifact(run.version.name).manifest["lineage"])

    def test_begins_at_the_weights_of_the_champion_and_says_so_in_the_manifest(self, served):
        run = retrain(NOON + DAY, nightly=True)

        assert (self.lineage(served).parent_sha256, self.lineage(served).warm_starts) == ("", 0)
        assert (self.lineage(run).parent_sha256, self.lineage(run).warm_starts) == (served.version.sha256, 1)
        kept, before = (registry.open_artifact(one.version.name) for one in (run, served))
        np.testing.assert_array_equal(kept.weights["encode/low"], before.weights["encode/low"])
        assert kept.manifest["plan"] == before.manifest["plan"], "a warm start follows from it"

    def test_is_not_made_by_the_first_training_of_a_week(self, served):
        days = pipeline.FRESH_EVERY_DAYS
        assert self.lineage(retrain(NOON + (days - 1) * DAY)).warm_starts == 1
        assert self.lineage(retrain(NOON + days * DAY)).warm_starts == 0
        assert self.lineage(retrain(NOON + (days + 1) * DAY)).warm_starts == 1

    def test_is_not_made_where_a_fresh_one_is_asked_for(self, served):
        run = pipeline.retrain(NOON + DAY, plan=replace(PLAN, fresh=True))
        assert self.lineage(run).warm_starts == 0

    def test_is_not_made_from_a_model_whose_files_are_refused(self, served, models_dir):
        (models_dir / served.version.artifact / "weights.npz").write_bytes(b"lost")
        assert self.lineage(retrain(NOON + DAY)).warm_starts == 0


@pytest.mark.parametrize("plan", [PLAN, Plan(), Plan(epochs=3, max_seconds=9.5, fresh=True, gap_days=30)])
def test_a_plan_survives_its_row(db, plan):
    row = pipeline.begin(NOON.date(), NOON, plan=plan)
    assert pipeline.plan_from(PipelineRun.objects.get(id=row.id).plan) == plan


class TestShelved:
    def test_keeps_the_report_of_the_gate(self, loans, models_dir, reigning, gate):
        gate.better = False
        run = retrain()
        assert (run.state, run.why) == ("shelved", "made for a test")
        assert registry.champion() == reigning
        assert run.version.report == {"checks": {"auc": 0.7}}
        assert registry.state(run.version) == "Shelved"
        assert list(pipeline.runs_directory().iterdir()) == []

    def test_judges_beside_the_champion_on_all_loans(self, loans, models_dir, reigning, gate):
        retrain()
        assert gate.loans[0].sha256() == training.training_set(NOON).sha256()


class TestInTheShadow:
    @pytest.fixture
    def waiting(self, loans, models_dir, reigning, gate) -> PipelineRun:
        return retrain()

    def test_waits_for_a_day(self, waiting, reigning):
        assert (waiting.state, states(waiting)["promote"]) == ("waiting", "waiting")
        assert "in the shadow until 2026-03-03" in waiting.why
        assert registry.champion() == reigning
        assert registry.alias(registry.SHADOW).version == registry.alias(registry.CHALLENGER).version
        assert list(pipeline.runs_directory().iterdir()) == [], "a shadow needs no files of its run"

    def test_keeps_other_trainings_waiting(self, waiting):
        for hours in (1, 23.9):
            again = retrain(NOON + timedelta(hours=hours), nightly=True)
            assert again.id == waiting.id
        assert PipelineRun.objects.count() == ModelVersion.objects.count() - 1 == 1

    def test_waits_for_enough_live_decisions(self, waiting):
        run = retrain(NOON + 2 * DAY)
        assert (run.id, run.state) == (waiting.id, "waiting")
        assert "0 of 200 live decisions" in run.why

    def test_is_left_to_two_people_when_a_week_brought_too_few(self, waiting, reigning):
        pipeline.go_on(waiting, NOON + 7 * DAY)
        assert waiting.state == "for_people"
        assert registry.champion() == reigning
        assert registry.alias(registry.SHADOW) is None
        assert registry.alias(registry.CHALLENGER).version == waiting.version
        case = Case.objects.get(kind="model_waits")
        assert (case.subject_key, "200 live decisions" in case.note) == (f"model:{waiting.version.name}", True)

    def test_serves_when_little_changes(self, waiting, monkeypatch):
        seen = shadow.Beside(decisions=300, approved_champion=0.50, approved_shadow=0.52)
        monkeypatch.setattr(shadow, "beside", lambda version, champion: seen)
        pipeline.go_on(waiting, NOON + DAY)
        assert (waiting.state, registry.champion()) == ("promoted", waiting.version)
        assert "approves 52.0% against 50.0%" in waiting.why
        assert waiting.steps.get(name="promote").report["points"] == pytest.approx(2)

    @pytest.mark.parametrize(("changes", "words"), [
        ({"approved_shadow": 0.54}, "would approve 54.0% where 50.0% are approved, more than 3 percentage points"),
        ({"approved_shadow": 0.46}, "would approve 46.0%"),
        ({"lent_shadow_cents": 112_00}, "would lend 12 % more, the limit is 10 %"),
    ])  # fmt: skip
    def test_is_left_to_two_people_above_the_risk_limit(self, waiting, reigning, monkeypatch, changes, words):
        little = shadow.Beside(
            decisions=300, approved_champion=0.5, approved_shadow=0.5, lent_champion_cents=100_00,
            lent_shadow_cents=100_00,
        )  # fmt: skip
        monkeypatch.setattr(shadow, "beside", lambda version, champion: replace(little, **changes))
        pipeline.go_on(waiting, NOON + DAY)
        assert (waiting.state, registry.champion()) == ("for_people", reigning)
        assert words in waiting.why

    def test_is_shelved_when_another_champion_came(self, waiting, reigning, trained):
        other = registry.register(trained, comparison=NO_RIVAL, at=NOON + timedelta(hours=9))
        registry.promote(other.name, at=NOON + timedelta(hours=9))
        pipeline.go_on(waiting, NOON + DAY)
        assert waiting.state == "shelved"
        assert f"judged beside {reigning.name}" in waiting.why
        assert registry.alias(registry.SHADOW) is None

    def test_is_left_to_two_people_after_a_rollback(self, waiting, reigning, trained, monkeypatch):
        """It was trained on nearly the same loans as what was rolled back, and may be as bad."""
        other = registry.register(trained, comparison=NO_RIVAL, at=NOON + timedelta(hours=9))
        registry.promote(other.name, at=NOON + timedelta(hours=9))
        registry.rollback(at=NOON + timedelta(hours=10), reason="declines everybody")
        registry.stand(waiting.version, registry.SHADOW, at=NOON)
        seen = shadow.Beside(decisions=300, approved_champion=0.5, approved_shadow=0.5)
        monkeypatch.setattr(shadow, "beside", lambda version, champion: seen)
        pipeline.go_on(waiting, NOON + DAY)
        assert (waiting.state, registry.champion()) == ("for_people", reigning)
        assert f"{reigning.name} came back by a rollback" in waiting.why

    def test_is_shelved_where_its_rival_cannot_serve_any_more(self, waiting, reigning, models_dir):
        (models_dir / reigning.artifact / "weights.npz").write_bytes(b"lost")
        pipeline.go_on(waiting, NOON + DAY)
        assert waiting.state == "shelved"
        assert "cannot serve any more" in waiting.why

    def test_is_shelved_at_a_person_s_word(self, waiting, reigning):
        call_command("models", "shelve", waiting.version.name)
        pipeline.go_on(waiting, NOON + DAY)
        assert (waiting.state, waiting.why) == ("shelved", "taken out of the shadow")

    def test_makes_room_for_the_next_night(self, waiting, reigning):
        call_command("models", "shelve", waiting.version.name)
        later = retrain(NOON + DAY, nightly=True)
        assert (later.id != waiting.id, later.business_date) == (True, NOON.date() + DAY)
        assert later.state == "waiting"


class TestClaim:
    def test_of_a_date_is_one_row(self, db):
        run = pipeline.begin(NOON.date(), NOON)
        with pytest.raises(IntegrityError), transaction.atomic():
            PipelineRun.objects.create(business_date=run.business_date, number=1, started_at=NOON)

    def test_of_a_night_waits_for_the_first_model(self, loans, models_dir, gate):
        assert not pipeline.is_due(NOON)

    def test_of_a_night_is_made_once_however_often_beat_calls(self, loans, models_dir, reigning, gate):
        gate.better = False
        assert pipeline.is_due(NOON)
        first = retrain(nightly=True)
        assert not pipeline.is_due(NOON + timedelta(hours=1))
        assert retrain(NOON + timedelta(hours=1), nightly=True) is None
        assert pipeline.is_due(NOON + DAY)
        by_hand = retrain(NOON + timedelta(hours=2))
        assert (first.number, by_hand.number) == (1, 2)

    @pytest.mark.django_db(transaction=True)
    def test_lets_one_process_in_at_a_time(self):
        outcomes: list[str] = []

        def another_process() -> None:
            try:
                with pipeline.only_one():
                    outcomes.append("in")
            except pipeline.Busy:
                outcomes.append("busy")
            connection.close()

        def run() -> None:
            thread = threading.Thread(target=another_process)
            thread.start()
            thread.join()

        with pipeline.only_one():
            run()
        run()
        assert outcomes == ["busy", "in"]


class TestNightly:
    @pytest.fixture
    def runs(self, monkeypatch) -> list[tuple[str, ...]]:
        runs: list[tuple[str, ...]] = []
        monkeypatch.setattr(tasks, "run_retraining", lambda *arguments: runs.append(arguments))
        return runs

    def test_starts_a_process_while_there_is_something_to_do(self, reigning, runs):
        tasks.retrain_nightly()
        assert runs == [("--nightly", "--fit-seconds", "1200")]

    def test_starts_none_when_the_night_has_had_its_run(self, db, runs, monkeypatch):
        monkeypatch.setattr(tasks.timezone, "now", lambda: NOON)
        done = {"state": "shelved", "why": "x", "finished_at": NOON, "started_at": NOON}
        PipelineRun.objects.create(business_date=NOON.date(), number=1, **done)
        tasks.retrain_nightly()
        assert runs == []

    def test_is_called_again_the_same_night_in_a_queue_of_its_own(self):
        schedule = json.loads((settings.BASE_DIR / "fixtures" / "schedule.json").read_text())
        row = next(row for row in schedule if row["task"].endswith("retrain_nightly"))
        minutes, hours = (part.split(",") for part in row["crontab"].split()[:2])
        assert len(minutes) * len(hours) > 1
        assert row["queue"] == "training"

    def test_outlasts_no_message(self):
        """A training may take longer than the broker waits: its message is gone by then, and PostgreSQL knows."""
        assert settings.CELERY_BROKER_TRANSPORT_OPTIONS["visibility_timeout"] < tasks.LIMIT_SECONDS
        assert tasks.retrain_nightly.acks_late is False
        assert tasks.FIT_SECONDS < tasks.LIMIT_SECONDS


class TestTheProcess:
    def test_that_ends_badly_is_an_error(self, monkeypatch):
        monkeypatch.setattr(tasks, "LIMIT_SECONDS", 30)
        with pytest.raises(tasks.RetrainingFailed):
            tasks.run_retraining("--no-such-option")

    def test_that_takes_too_long_is_ended(self, monkeypatch):
        monkeypatch.setattr(tasks, "LIMIT_SECONDS", 1)
        with pytest.raises(tasks.RetrainingFailed):
            tasks.run_retraining()
