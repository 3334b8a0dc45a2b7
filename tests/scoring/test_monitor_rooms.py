"""Officers and Prometheus see what the nightly check has found."""

import re
from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse

from scoring.models import HealthCheck, HealthFigure
from scoring.monitor import night
from scoring.monitor.figures import OTHERS, PROMISES
from tests.factories import NOON
from tests.lending.admin.conftest import staff

ON = NOON.date() - timedelta(days=1)
SWAHILI = {"fact": "language", "group": "sw"}


def figure(measure: str, state: str, words: str, **more: object) -> HealthFigure:
    return HealthFigure(measure=measure, state=state, words=words, version="m1", n=300, **more)


@pytest.fixture
def checked(law) -> HealthCheck:
    """One measure rings in one language, one feature is to be looked at, the rest is well, told or too few."""
    made = HealthCheck.objects.create(business_date=ON, checked_at=NOON)
    rows = [
        figure("calibration", "alarm", "language sw: 1.86 times", value=1.86, threshold=1.2, **SWAHILI),
        figure("feature_drift", "warn", "PSI 0.03", value=0.03, threshold=0.01, fact="feature", group="month"),
        figure("auc", "too_few", "3 of 60 loans lost"),
        figure("loss", "ok", "80 of 300 loans lost", value=0.25, low=0.2, high=0.3),
        figure("model_age", "ok", "trained 3 days ago", value=3.0, threshold=90.0),
    ]
    for row in rows:
        row.night = made
    HealthFigure.objects.bulk_create(rows)
    night.call_somebody(rows, NOON)
    return made


@pytest.fixture
def officer(law) -> Client:
    return staff("wambui", "Loan officers")


def page(of: Client, made: HealthCheck) -> str:
    return of.get(reverse("admin:scoring_healthcheck_change", args=[made.pk])).content.decode()


def first_page(of: Client) -> str:
    return of.get(reverse("admin:index")).content.decode()


def test_the_first_page_has_a_card_only_when_something_rings(law, officer):
    assert "Model alarms" not in first_page(officer)
    night.call_somebody([figure("auc", "alarm", "AUC 0.512")], NOON)
    assert "Model alarms" in first_page(officer)
    assert reverse("admin:scoring_healthcheck_changelist") in first_page(officer)


def test_nobody_sees_the_card_who_may_not_look(checked):
    assert "Model alarms" not in first_page(staff("stranger"))


def test_a_night_shows_what_rings_with_its_runbook_and_every_figure(checked, officer):
    shown = page(officer, checked)
    assert shown.index("language sw: 1.86 times") < shown.index("PSI 0.03")
    for words in (
        PROMISES,
        OTHERS,
        "1.86 ×",
        "1.20 ×",
        "Too few to tell",
        "25.0%",
        "20.0% to 30.0%",
        "feature month",
    ):
        assert words in shown, words


def test_what_is_only_told_is_not_called_well(checked, officer):
    row = re.search(r"<tr><td[^>]*>Share lost</td>.*?</tr>", page(officer, checked))
    assert row and "Well" not in row.group() and "everybody" in row.group()


def test_the_figures_are_listed_by_measure_and_date(checked, officer):
    asked = {"measure": "calibration", "night__business_date__gte": str(ON)}
    listed = officer.get(reverse("admin:scoring_healthfigure_changelist"), asked).content.decode()
    assert "language sw" in listed and "feature month" not in listed


def test_prometheus_is_told_of_the_latest_night(checked, client: Client):
    def metric(name: str) -> float:
        text = client.get("/metrics").content.decode()
        found = re.search(rf"^jirani_model_{re.escape(name)} (\S+)$", text, flags=re.MULTILINE)
        assert found, name
        return float(found.group(1))

    assert metric('alarms{measure="calibration"}') == 1
    assert metric('warnings{measure="feature_drift"}') == 1
    assert metric('alarms{measure="auc"}') == 0
    # The real clock is at least months after the made-up night.
    assert metric("check_age_seconds") > 86_400
    HealthCheck.objects.create(business_date=ON + timedelta(days=1), checked_at=NOON)
    assert metric('alarms{measure="calibration"}') == 0


def test_before_the_first_model_nothing_is_late(law, client: Client):
    assert "\njirani_model_check_age_seconds 0.0\n" in client.get("/metrics").content.decode()
