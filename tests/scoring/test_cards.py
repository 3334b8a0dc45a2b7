"""The card of a version shows the day on which it was judged, to those who may look at models."""

import subprocess
import sys

import numpy as np
import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from ml import gate
from ml.artifact import without_nan
from ml.curves import figures
from scoring import cards, judging, registry
from scoring.models import ModelVersion, PipelineRun
from tests.factories import NOON
from tests.lending.admin.conftest import staff
from tests.ml.conftest import book
from tests.scoring.conftest import another


@pytest.fixture(scope="session")
def seen(trained):
    """What was seen when the network was judged: the comparison and the report."""
    later = book(400, seed=8)
    score = judging.scores_of(trained.weights)
    on = gate.trial(score, lambda x: np.full(len(x), 0.3), later)
    drawn = figures(on, later, score, trained.weights["encode/reference"], approve_below=0.15)
    checks = [judging.as_json(check) for check in gate.weigh(gate.plausibility(on), 400)]
    return gate.compare(on), without_nan({"checks": checks, "card": drawn | {"network": {"width": 16}}})


@pytest.fixture
def judged(db, models_dir, trained, seen) -> ModelVersion:
    comparison, report = seen
    return registry.register(trained, comparison=comparison, at=NOON, report=report)


def address(version: ModelVersion, action: str) -> str:
    return reverse(f"admin:scoring_modelversion_{action}", args=[version.pk])


class TestCard:
    def test_says_what_the_registry_knows(self, judged):
        card = cards.html(judged).decode()
        assert judged.name in card and judged.sha256 in card and judged.data_sha256 in card
        assert "width 16" in card and "On 400 loans that were decided after everything it learnt from" in card
        assert f"{judged.comparison['challenger']['auc']:.4f}" in card
        assert card.count("<img") == 6

    def test_needs_neither_files_nor_loans_and_stays_the_same(self, judged, models_dir):
        before = cards.html(judged)
        for left in (models_dir / judged.artifact).iterdir():
            left.unlink()
        assert cards.html(ModelVersion.objects.get()) == before

    def test_names_the_champion_of_its_day(self, judged, trained):
        older = another(trained, hours=2)
        run = PipelineRun.objects.create(business_date=NOON.date(), number=1, started_at=NOON, version=judged)
        report = {"champion": older.name, "has_rival": True}
        run.steps.create(name="judge", state="done", started_at=NOON, report=report)
        assert cards.card_of(judged).beside == older.name
        assert f"Beside it: {older.name}" in cards.html(judged).decode()

    def test_of_a_version_from_before_there_were_cards_is_without_plots(self, shelved):
        card = cards.html(shelved).decode()
        assert "no figures were kept when this version was judged" in card and "<img" not in card


class TestCommand:
    def test_writes_both_files(self, judged, tmp_path, capsys):
        call_command("models", "card", judged.name, "--out", str(tmp_path))
        written = [tmp_path / f"{judged.name}.html", tmp_path / f"{judged.name}.pdf"]
        assert capsys.readouterr().out.split() == [str(path) for path in written]
        assert written[0].read_bytes() == cards.html(judged)
        assert written[1].read_bytes().startswith(b"%PDF")

    def test_needs_a_name_that_there_is(self, db):
        with pytest.raises(CommandError, match="card needs the name of a version"):
            call_command("models", "card")
        with pytest.raises(CommandError, match="no model is named nobody"):
            call_command("models", "card", "nobody")


class TestOfficersRoom:
    def test_offers_page_and_paper(self, judged, law):
        officer = staff("wambui", "Loan officers")
        room = officer.get(address(judged, "change")).content.decode()
        assert address(judged, "card_page") in room and address(judged, "card_pdf") in room
        page, paper = (officer.get(address(judged, action)) for action in ("card_page", "card_pdf"))
        assert page.content == cards.html(judged)
        assert paper["Content-Type"] == "application/pdf" and paper.content.startswith(b"%PDF")
        assert paper["Content-Disposition"] == f'attachment; filename="model-card-{judged.name}.pdf"'

    def test_offers_them_of_the_one_that_serves_too_but_no_proposal(self, judged, law):
        registry.promote(judged.name, at=NOON)
        room = staff("wambui", "Loan officers").get(address(judged, "change")).content.decode()
        assert address(judged, "card_page") in room and "Propose to let it serve" not in room

    def test_shows_the_checks_without_the_curves(self, judged, law):
        room = staff("wambui", "Loan officers").get(address(judged, "change")).content.decode()
        assert "cannot tell who repays" in room and "&quot;roc&quot;" not in room

    @pytest.mark.parametrize("action", ["card_page", "card_pdf"])
    def test_is_closed_to_whoever_may_not_look(self, judged, law, action):
        assert staff("guest").get(address(judged, action)).status_code == 403
        assert Client().get(address(judged, action)).status_code == 302

    def test_knows_no_card_of_a_version_that_is_not_there(self, law):
        absent = reverse("admin:scoring_modelversion_card_page", args=[404])
        assert staff("wambui", "Loan officers").get(absent).status_code == 404


def test_whoever_does_not_draw_never_loads_what_draws():
    asked = "import sys, django; django.setup(); import scoring.admin, scoring.pipeline; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", asked],
        cwd=settings.BASE_DIR,
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    assert "scoring.cards" in done.stdout.split() and "matplotlib" not in done.stdout.split()
