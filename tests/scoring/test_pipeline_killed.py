"""Kill -9 at every step: the run is called again and ends as if nothing had happened.

Real processes on a real PostgreSQL, a real network, real files.
"""

import os
import signal
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from django.conf import settings

from lending.models import AuditEvent, Case
from scoring import pipeline, registry
from scoring.models import ModelVersion, PipelineRun, Promotion
from tests.factories import NOON
from tests.scoring import killed, portfolio
from tests.scoring.conftest import NO_RIVAL
from tests.stack import database_url

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]
NAMES = [step.name for step in pipeline.STEPS]
POINTS = [f"{name}:{when}" for name in NAMES for when in killed.WHEN]
for more in killed.MORE:
    POINTS.insert(POINTS.index(f"{more.partition(':')[0]}:after"), more)
TONIGHT, TOMORROW = NOON, NOON + timedelta(days=1)


@pytest.fixture
def shelf(settings, tmp_path) -> Path:
    settings.MODELS_DIR = tmp_path / "models"
    return settings.MODELS_DIR


@pytest.fixture
def champion(law, shelf, trained) -> ModelVersion:
    version = registry.register(trained, comparison=NO_RIVAL, at=NOON - timedelta(days=9))
    return registry.promote(version.name, at=NOON - timedelta(days=9))


@pytest.fixture
def loans(champion) -> None:
    portfolio.lend(400, NOON)


def environment(**changes: str) -> dict[str, str]:
    """Return the environment of a child: this test's database and files, and a shadow that has seen enough."""
    place = {"DATABASE_URL": database_url(), "MODELS_DIR": str(settings.MODELS_DIR)}
    return os.environ | place | {"SHADOW_HOURS": "0", "SHADOW_DECISIONS": "0"} | changes


def command(at: datetime, point: str = "") -> list[str]:
    return [sys.executable, "-m", "tests.scoring.killed", at.isoformat(), *([point] if point else [])]


def call(at: datetime, point: str = "", **changes: str) -> int:
    """Call the pipeline in a process of its own; return its exit status."""
    done = subprocess.run(
        command(at, point),
        cwd=settings.BASE_DIR,
        env=environment(**changes),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stderr[-3000:]
    return done.returncode


def left_on(shelf: Path) -> list[str]:
    """Return every file and directory, hidden ones too."""
    return sorted(str(path.relative_to(shelf)) for path in shelf.rglob("*"))


def test_a_run_killed_at_every_step_ends_as_one_that_was_left_alone(loans, champion, shelf):
    assert call(TONIGHT) == 0
    undisturbed = PipelineRun.objects.get()
    assert undisturbed.version == registry.champion()

    for count, point in enumerate(POINTS):
        assert call(TOMORROW + timedelta(minutes=count), point) == -signal.SIGKILL, f"nothing died at {point}"
        assert registry.open_champion() is not None, f"nobody can serve after a death at {point}"
    # What the last death left of an ended run, the next call clears away.
    assert call_again(TOMORROW + timedelta(hours=1)) is None

    run = PipelineRun.objects.get(business_date=TOMORROW.date())
    assert (run.state, run.number) == ("promoted", 1)
    assert list(run.steps.values_list("name", "state")) == [(name, "done") for name in NAMES]
    assert run.version == registry.champion()
    # The loans of both nights are the same, and so is what was learnt from them, to the last bit.
    assert run.version.data_sha256 == undisturbed.version.data_sha256
    assert run.version.sha256 == undisturbed.version.sha256
    assert run.version.metrics == undisturbed.version.metrics
    assert ModelVersion.objects.count() == Promotion.objects.count() == 3
    assert AuditEvent.objects.filter(subject=f"model:{run.version.name}", action="model_promoted").count() == 1
    assert AuditEvent.objects.filter(subject=f"model:{run.version.name}", action="model_shadow").count() == 1
    versions = (champion, undisturbed.version, run.version)
    files = ("", "/manifest.hmac", "/manifest.json", "/weights.npz")
    assert left_on(shelf) == sorted(["runs", *(f"{one.artifact}{file}" for one in versions for file in files)])


def call_again(at: datetime) -> PipelineRun | None:
    return pipeline.retrain(at, nightly=True)


def test_two_processes_at_once_make_one_run(loans, shelf):
    """Two beats, or a person beside beat: one works, the other one finds it at work or done."""
    both = [
        subprocess.Popen(
            command(TONIGHT), cwd=settings.BASE_DIR, env=environment(), stderr=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    said = [process.communicate(timeout=300)[1] for process in both]
    assert 0 in [process.returncode for process in both], said
    assert PipelineRun.objects.get().state == "promoted"
    assert ModelVersion.objects.count() == Promotion.objects.count() == 2


@pytest.mark.parametrize("point", ["features:in", "promote:in"])
def test_a_night_after_a_death_goes_on_with_the_run_before_its_own(loans, champion, shelf, point):
    assert call(TONIGHT, point) == -signal.SIGKILL
    assert registry.champion() == champion
    assert call(TOMORROW) == 0
    runs = PipelineRun.objects.order_by("business_date")
    assert [(run.business_date, run.state) for run in runs] == [
        (TONIGHT.date(), "promoted"), (TOMORROW.date(), "promoted"),
    ]  # fmt: skip
    assert [row.version for row in Promotion.objects.all()] == [runs[1].version, runs[0].version, champion]


@pytest.mark.parametrize("point", ["promote:in", "promote:after", "promote:done"])
def test_what_is_left_to_two_people_is_left_to_them_after_a_death(loans, champion, shelf, point):
    too_few = {"SHADOW_DECISIONS": "1", "SHADOW_DAYS_AT_MOST": "0"}
    assert call(TONIGHT, point, **too_few) == -signal.SIGKILL
    run = PipelineRun.objects.get()
    if point != "promote:done":
        assert (run.state, registry.alias(registry.SHADOW).version) == ("running", run.version)
        assert call(TONIGHT + timedelta(minutes=20), **too_few) == 0
    run.refresh_from_db()
    assert (run.state, registry.alias(registry.SHADOW)) == ("for_people", None)
    assert registry.alias(registry.CHALLENGER).version == run.version
    assert registry.champion() == champion
    assert Case.objects.get(kind="model_waits").subject_key == f"model:{run.version.name}"
