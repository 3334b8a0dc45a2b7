"""The model's health as docs/operations.md and deploy/alerts.yaml tell it is that of the code, with runbooks."""

import json
import re
from typing import Any

import pytest
import yaml

from lending.management.commands import sweep
from scoring.monitor import applicants, matured, running
from scoring.monitor.figures import FALSE_ALARMS, LEAST, MEASURES
from tests.docs.tables import REPOSITORY, checked_tables
from ussd import sessions

PAGE = (REPOSITORY / "docs" / "operations.md").read_text()
MEASURED = {row["Measure"]: row for row in checked_tables()["operations.measures"]}
RULES = [
    rule
    for group in yaml.safe_load((REPOSITORY / "deploy" / "alerts.yaml").read_text())["groups"]
    for rule in group["rules"]
]
OF_MODEL = [rule for rule in RULES if "jirani_model_alarms" in rule["expr"]]


def anchor(heading: str) -> str:
    """Return the address of a heading as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


SECTIONS = {
    anchor(heading): text for heading, text in re.findall(r"^#+ (.+)\n((?:(?!^#).*\n?)*)", PAGE, flags=re.MULTILINE)
}


def measures_of(rule: dict[str, Any]) -> list[str]:
    named = re.search(r'measure=~?"([^"]+)"', rule["expr"])
    return named.group(1).split("|") if named else []


class TestMeasures:
    def test_are_those_of_the_code(self) -> None:
        assert list(MEASURED) == list(MEASURES)

    def test_that_can_ring_say_when_and_have_a_runbook(self) -> None:
        rings = {name for name, row in MEASURED.items() if row["An alarm"]}
        assert rings == {name for name, measure in MEASURES.items() if measure.runbook}
        assert {anchor(MEASURES[name].runbook) for name in rings} <= set(SECTIONS)

    def test_are_held_to_the_limits_of_the_code(self) -> None:
        said = {
            name: [
                float(number) for number in re.findall(r"\d+\.?\d*", f"{row['To be looked at']} {row['An alarm']}")
            ]
            for name, row in MEASURED.items()
        }
        percent = lambda limits: [round(100 * limit, 6) for limit in limits]  # noqa: E731
        expected: dict[str, list[float]] = {
            "auc": [matured.AUC_TOLERANCE, matured.LEAST_AUC, matured.COIN],
            "score_drift": [applicants.SMALL_PSI],
            "feature_drift": [applicants.SMALL_PSI],
            "missing": percent([applicants.MUCH_MISSING]),
            "impossible": percent([applicants.MANY_IMPOSSIBLE]),
            "parity": [applicants.MOST_APART],
            "model_age": [*running.MODEL_AGE],
            "learnt_age": [*running.LEARNT_AGE],
            "training_silence": [*running.TRAINING_SILENCE],
            "no_better": [*running.NO_BETTER],
            "answer_median": [running.ON_SCREEN],
            "answer_slowest": [running.ON_SCREEN, running.HELPED_OUT],
            "wait_slowest": [running.ON_SCREEN, running.HELPED_OUT],
            "model_slowest": [*running.MODEL_SLOW],
            "fallback": percent(running.FALLBACK),
            "data_missing": percent(running.DATA_MISSING),
            "overturned": percent(running.OVERTURNED),
        }
        assert {name: numbers for name, numbers in said.items() if numbers} == expected
        assert (matured.MOST_TIMES, FALSE_ALARMS, LEAST) == (1.25, 0.01, 200)
        assert (matured.DAYS, applicants.DAYS, running.DAYS) == (13 * 7, 4 * 7, 7)
        assert (matured.LEAST_LOST, running.LEAST_TIMED) == (20, 50)

    def test_of_waiting_are_those_of_the_screen_and_the_sweep(self) -> None:
        assert running.ON_SCREEN == sessions.DECISION_S
        assert sweep.SCORING_PATIENCE.total_seconds() == running.HELPED_OUT

    def test_are_taken_where_no_customer_waits(self) -> None:
        schedule = json.loads((REPOSITORY / "fixtures" / "schedule.json").read_text())
        row = next(row for row in schedule if row["task"] == "scoring.tasks.monitor_nightly")
        assert (row["queue"], row["crontab"]) == ("training", "40 1,6,7 * * *")


class TestAlerts:
    @pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule["alert"]))
    def test_one_is_about_a_metric_that_is_served_and_names_a_runbook_that_is_there(
        self, rule: dict[str, Any], client: Any, law: None
    ) -> None:
        served = client.get("/metrics").content.decode()
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
        assert rule["labels"]["severity"] in ("info", "warning", "critical") and rule["annotations"]["summary"]
        (metric,) = re.findall(r"jirani_\w+", rule["expr"])
        for measure in measures_of(rule) or [""]:
            label = f'{{measure="{measure}"}}' if measure else ""
            assert f"\n{metric}{label} " in served
        page, _, heading = rule["annotations"]["runbook"].partition("#")
        assert page == "docs/operations.md" and heading in SECTIONS

    def test_each_measure_that_rings_has_one_whose_runbook_is_its_own(self) -> None:
        named = [(measure, rule["annotations"]["runbook"]) for rule in OF_MODEL for measure in measures_of(rule)]
        rings = {name: anchor(measure.runbook) for name, measure in MEASURES.items() if measure.runbook}
        assert dict(named) == {name: f"docs/operations.md#{heading}" for name, heading in rings.items()}
        assert len(named) == len(rings)

    @pytest.mark.parametrize("rule", OF_MODEL, ids=lambda rule: str(rule["alert"]))
    def test_the_runbook_says_what_it_means_and_what_to_do(self, rule: dict[str, Any]) -> None:
        told = SECTIONS[rule["annotations"]["runbook"].partition("#")[2]]
        assert told.lstrip().startswith(f"`{rule['alert']}`. ")
        for words in ("Look first", "Do: "):
            assert words in told.replace("\n", " ")
        assert "roll" in told.lower()
