"""Which process loads a model, and when. The proof with a real worker is in test_worker_process.py."""

import re
import subprocess
import sys

import pytest

from lending.models import Case
from scoring import registry, worker
from tests.factories import NOON
from tests.scoring.conftest import another
from tests.scoring.test_registry import REFUSED


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def champion(clock: Clock) -> worker.Champion:
    return worker.Champion(clock=clock)


class TestChampion:
    def test_is_nobody_until_one_is_promoted(self, shelved, champion, clock):
        assert champion.current() is None
        registry.promote(shelved.name, at=NOON)
        clock.seconds += 1
        assert champion.current().name == shelved.name

    def test_follows_a_promotion_within_a_second_and_loads_once(self, reigning, trained, champion, clock):
        first = champion.current()
        challenger = another(trained)
        registry.promote(challenger.name, at=NOON)

        clock.seconds += 0.9
        assert champion.current() is first
        clock.seconds += 0.2
        second = champion.current()
        assert second.name == challenger.name
        clock.seconds += 60
        assert champion.current() is second

    def test_asks_the_database_at_most_once_a_second(self, reigning, champion, django_assert_num_queries):
        champion.current()
        with django_assert_num_queries(0):
            for _ in range(100):
                champion.current()

    @pytest.mark.parametrize("spoil", REFUSED, ids=lambda spoil: spoil.__name__)
    def test_keeps_the_old_one_and_opens_one_case_when_the_new_one_is_refused(
        self, reigning, trained, champion, clock, models_dir, spoil
    ):
        old = champion.current()
        challenger = another(trained)
        registry.promote(challenger.name, at=NOON)
        spoil(models_dir / challenger.artifact)

        for _ in range(5):
            clock.seconds += 1
            assert champion.current() is old
        case = Case.objects.get()
        assert case.subject_key == f"model:{challenger.name}"
        assert reigning.name in case.note

    def test_follows_a_rollback(self, reigning, trained, champion, clock):
        registry.promote(another(trained).name, at=NOON)
        assert champion.current().name != reigning.name
        registry.rollback(at=NOON)
        clock.seconds += 1
        assert champion.current().name == reigning.name

    def test_keeps_the_old_one_whatever_goes_wrong_with_the_new_one(self, reigning, trained, clock):
        def load(name: str) -> worker.Served:
            if name != reigning.name:
                raise MemoryError
            return worker.load(name)

        champion = worker.Champion(load, clock)
        old = champion.current()
        registry.promote(another(trained).name, at=NOON)
        clock.seconds += 1
        assert champion.current() is old
        assert Case.objects.count() == 1

    def test_tries_a_refused_one_again_after_a_minute(self, reigning, trained, champion, clock, models_dir):
        champion.current()
        challenger = another(trained)
        registry.promote(challenger.name, at=NOON)
        hidden = (models_dir / challenger.name).rename(models_dir / "hidden")
        clock.seconds += 1
        champion.current()
        hidden.rename(models_dir / challenger.name)
        clock.seconds += 59
        assert champion.current().name == reigning.name
        clock.seconds += 2
        assert champion.current().name == challenger.name


class TestLoading:
    @pytest.mark.parametrize("path", ["tables", "keras"])
    def test_says_what_it_took_and_how_near_the_answers_are(self, reigning, settings, caplog, path):
        settings.SERVING_PATH = path
        with caplog.at_level("INFO", logger="scoring.worker"):
            assert worker.load(reigning.name).scorer.path == path
        line = (
            rf"model {reigning.name} loaded by {path} in \d+\.\d+ s, \d\.\de[-+]0\d from Keras as it was trained; "
        )
        assert re.search(line + r"this process held [1-9]\d* MiB, now [1-9]\d*$", caplog.text, re.MULTILINE)


class TestProcesses:
    @pytest.mark.parametrize("queues", [["money", "messages"], ["default"]])
    def test_of_other_queues_refuse_to_score(self, reigning, monkeypatch, queues):
        start_child(monkeypatch, queues)
        with pytest.raises(worker.NotAScoringProcess):
            worker.serving()

    def test_of_the_queue_scoring_have_the_model_before_the_first_task(self, reigning, monkeypatch):
        start_child(monkeypatch, ["scoring"])
        assert worker.champion._served.name == reigning.name

    def test_come_up_without_a_model_too(self, db, models_dir, monkeypatch):
        start_child(monkeypatch, ["scoring"])
        assert worker.serving() is None

    @pytest.mark.parametrize(
        "names", ["config.web", "scoring.decide, scoring.tasks, lending.tasks", "scoring.pipeline, scoring.shadow"]
    )
    def test_that_only_import_us_stay_without_tensorflow(self, names):
        code = f"import django; django.setup(); import {names}, sys; print(int('tensorflow' in sys.modules))"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
        assert (done.stdout.strip(), done.returncode) == ("0", 0), done.stderr


def start_child(monkeypatch, queues: list[str]) -> None:
    """Do in this process what a worker does in its child."""
    monkeypatch.setattr(worker, "_queues", frozenset(queues))
    monkeypatch.setattr(worker, "_may_load", True)
    worker.prepare_process()


def test_a_promotion_wakes_the_scoring_workers_to_load_it(shelved, monkeypatch, django_capture_on_commit_callbacks):
    sent = []
    monkeypatch.setattr("lending.wake.current_app.send_task", lambda task, **how: sent.append((task, how["queue"])))
    with django_capture_on_commit_callbacks(execute=True):
        registry.promote(shelved.name, at=NOON)
    assert sent == [("scoring.tasks.follow_champion", "scoring")]
