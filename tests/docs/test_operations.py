"""docs/operations.md is held to the code both ways: nothing unlisted, nothing that is not there."""

import ast
import json
import re
from typing import Any

import pytest
from django.urls import URLPattern, URLResolver, get_resolver

from config import demo, environment, health
from lending import outbox
from lending.admin.borrowers import BorrowerAdmin
from lending.admin.cases import CaseAdmin
from lending.admin.loans import LoanAdmin
from lending.admin.payments import ReceiptAdmin
from lending.admin.products import ProductVersionAdmin
from lending.admin.savings_products import SavingsProductVersionAdmin
from lending.management.commands import sweep
from lending.payments import breaker, engine
from lending.services import changes, corrections, products, proposals, refunds, savings_terms
from scoring import pipeline, promotion
from scoring.admin import ModelVersionAdmin
from tests.docs.tables import REPOSITORY, Row, checked_tables
from ussd import sessions

TABLES = checked_tables()
SETTINGS = REPOSITORY / "config" / "settings.py"
REQUIRED = object()
COMPUTED = object()
# How the page says a default that is worked out.
COMPUTED_DEFAULTS = {
    "JIRANI_VAR": "`var/` in the repository",
    "MODELS_DIR": "`models` in `JIRANI_VAR`",
    "SECURE_COOKIES": "the opposite of `DEBUG`",
}
# What the operating system sets, not the operator.
NOT_OURS = {"PATH"}


def settings_in_code() -> dict[str, Any]:
    """Return every setting that config/settings.py reads, with its default."""
    found = {}
    for call in ast.walk(ast.parse(SETTINGS.read_text())):
        if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)):
            continue
        if not (isinstance(call.func.value, ast.Name) and call.func.value.id == "env"):
            continue
        name = ast.literal_eval(call.args[0])
        defaults = [keyword.value for keyword in call.keywords if keyword.arg == "default"]
        found[name] = _literal(defaults[0]) if defaults else REQUIRED
    return found


def _literal(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except ValueError:
        return COMPUTED


def spelled(name: str, default: Any) -> str:
    """Return a default as the page writes it."""
    if default is REQUIRED:
        return "required"
    if default is COMPUTED:
        return COMPUTED_DEFAULTS[name]
    if default in ("", []):
        return "empty"
    return ",".join(default) if isinstance(default, list) else str(default)


class TestSettings:
    def test_every_setting_is_listed_once_and_none_besides(self) -> None:
        listed = [row["Setting"] for row in TABLES["operations.settings"]]
        assert sorted(listed) == sorted(settings_in_code())

    @pytest.mark.parametrize("row", TABLES["operations.settings"], ids=lambda row: row["Setting"])
    def test_a_setting_has_the_default_that_is_listed(self, row: Row) -> None:
        name = row["Setting"]
        assert row["Default"] == spelled(name, settings_in_code()[name])
        assert row["What it is"]

    def test_what_is_secret_is_marked(self) -> None:
        marked = {row["Setting"] for row in TABLES["operations.settings"] if row["Secret"] == "yes"}
        assert marked == set(environment.SECRETS) | {"DATABASE_URL", "REDIS_URL"}

    def test_a_setting_that_names_a_secret_is_made_up_for_a_checkout(self) -> None:
        pattern = re.compile(r"SECRET|KEY|PASS|PEPPER|CREDENTIAL")
        assert {name for name in settings_in_code() if pattern.search(name)} == set(environment.SECRETS)

    def test_what_the_demo_reads_besides_is_listed(self) -> None:
        read = set()
        for path in (REPOSITORY / "config").glob("*.py"):
            read |= set(re.findall(r"environ(?:\.get\(|\[)[\"'](\w+)", path.read_text()))
            read |= set(re.findall(r"_set_if_unset\([\"'](\w+)", path.read_text()))
        extra = read - set(settings_in_code()) - NOT_OURS - {"DJANGO_SETTINGS_MODULE"}
        listed = {row["Setting"]: row["Default"] for row in TABLES["operations.demo_settings"]}
        assert extra == set(listed)

    def test_the_demos_ports_are_those_that_are_listed(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
    ) -> None:
        for row in TABLES["operations.demo_settings"]:
            monkeypatch.delenv(row["Setting"], raising=False)
        environment.fill(tmp_path)
        for row in TABLES["operations.demo_settings"]:
            assert environment.os.environ[row["Setting"]] == row["Default"]


class TestProcesses:
    def test_the_processes_are_those_that_the_demo_starts(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("WEB_PORT", "8000")
        started = {child.name: " ".join(child.command) for child in [demo.web(), *demo.workers()]}
        listed = {row["Process"]: row["Command"] for row in TABLES["operations.processes"]}
        assert listed.keys() == started.keys()
        for name, command in listed.items():
            assert _words(command) <= _words(started[name]), name

    def test_the_processes_are_those_of_the_compose_file(self) -> None:
        compose = (
            (REPOSITORY / "deploy" / "compose.yaml")
            .read_text()
            .partition("services:")[2]
            .partition("volumes:\n  p")[0]
        )
        services = set(re.findall(r"^  ([a-z]+):$", compose, flags=re.MULTILINE))
        assert services - {"postgres", "redis", "migrate"} == {
            row["Process"] for row in TABLES["operations.processes"]
        }

    def test_the_example_of_an_environment_names_settings_and_all_required_ones(self) -> None:
        example = (REPOSITORY / "deploy" / "jirani.env.example").read_text()
        named = set(re.findall(r"^#? ?([A-Z_]+)=", example, flags=re.MULTILINE)) - {
            "POSTGRES_PASSWORD",
            "REDIS_PASSWORD",
        }
        known = settings_in_code()
        required = {name for name, default in known.items() if default is REQUIRED}
        assert named <= set(known)
        # The compose file itself sets the servers' addresses.
        assert required - named == {"DATABASE_URL", "REDIS_URL"}

    def test_the_callback_addresses_are_those_of_the_web_server(self) -> None:
        listed = {row["Address"].lstrip("/") for row in TABLES["operations.callbacks"]}
        served = {re.sub(r"<str:(\w+)>", r"<\1>", path) for path in _paths(get_resolver().url_patterns)}
        assert listed == {path for path in served if path.startswith("gateways/africastalking/")}


def _words(command: str) -> set[str]:
    """Return the words of a command that say what runs: no directories, no interpreter."""
    return {word.rsplit("/", 1)[-1] for word in command.split()} - {"python"}


def _paths(patterns: list[Any], above: str = "") -> list[str]:
    paths = []
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            paths += _paths(pattern.url_patterns, above + str(pattern.pattern))
        elif isinstance(pattern, URLPattern):
            paths.append(above + str(pattern.pattern))
    return paths


class TestGroups:
    def test_the_groups_are_those_of_the_fixture(self) -> None:
        groups = json.loads((REPOSITORY / "fixtures" / "groups.json").read_text())
        rights = {
            name: {one.removeprefix("lending.change_") for one in group["may"]} for name, group in groups.items()
        }
        acts = {
            "proposes": "lending.add_proposal",
            "decides": "proposal",
            "products": "lending.add_productversion",
            "savings": "lending.add_savingsproductversion",
        }
        table = TABLES["operations.groups"]
        listed = {
            row["Group"]: set(re.findall(r"[a-z]+", row["May change"])) - {"nothing"}
            | {acts[word] for word in re.findall(r"[a-z]+", row["Acts of two people"])}
            for row in table
        }
        assert listed == rights

    def test_the_acts_of_two_people_are_those_of_the_code(self) -> None:
        listed = {row["Act"]: row["Where it is proposed"] for row in TABLES["operations.two_people"]}
        assert listed.keys() == proposals.ACTS.keys()
        shown = {
            f"loan_{kind}": getattr(LoanAdmin, f"propose_{kind}").short_description for kind in changes.TWO_PEOPLE
        }
        shown[refunds.ACT] = BorrowerAdmin.give_back.short_description
        shown[changes.RECEIPT_REVERSAL] = ReceiptAdmin.take_out.short_description
        shown[products.ACT] = ProductVersionAdmin.propose_version.short_description
        shown[savings_terms.ACT] = SavingsProductVersionAdmin.propose_version.short_description
        shown[corrections.ACT] = CaseAdmin.propose_correction.short_description
        shown[promotion.ACT] = ModelVersionAdmin.propose.short_description
        for act, words in shown.items():
            assert f'"{words}"' in listed[act]


class TestTraining:
    def test_the_steps_are_those_of_the_code(self) -> None:
        rows = {row["Step"]: row for row in TABLES["operations.steps"]}
        assert list(rows) == [step.name for step in pipeline.STEPS]
        for figure in (f"{pipeline.LEAST_LOANS} loans", "by half", "0.1 % to 70 %"):
            assert figure in rows["validate"]["What it does"]
        assert (pipeline.ROWS_CHANGE, pipeline.LOSS_SHARES) == (0.5, (0.001, 0.70))
        assert f"{pipeline.MOST_IMPOSSIBLE:.0%}".replace("%", " %") in rows["features"]["What it does"]

    def test_the_page_tells_how_often_the_night_is_called(self) -> None:
        schedule = json.loads((REPOSITORY / "fixtures" / "schedule.json").read_text())
        crontab = next(row["crontab"] for row in schedule if row["task"].endswith("retrain_nightly"))
        assert crontab == "10,30,50 2,3,4,5 * * *"
        page = (REPOSITORY / "docs" / "operations.md").read_text()
        assert "every twenty minutes between 2 and 6" in page
        assert pipeline.MOST_TRIES == 5 and "is tried five times" in page


class TestFigures:
    def test_the_metrics_are_those_that_are_served(self, client: Any, law: None) -> None:
        text = client.get("/metrics").content.decode()
        served = set(re.findall(r"^(jirani_\w+)(?: |{measure=)", text, flags=re.MULTILINE))
        assert served == {row["Metric"] for row in TABLES["operations.metrics"]}
        assert health.metrics.__name__ == "metrics"

    def test_the_fault_table_tells_the_figures_of_the_code(self) -> None:
        told = " ".join(cell for row in TABLES["operations.faults"] for cell in row.cells.values())
        patience = int(sweep.SCORING_PATIENCE.total_seconds())
        every = sweep.Command().create_parser("manage.py", "sweep").get_default("every")
        for sentence in (
            f"payments and messages every {every:.0f} s",
            f"takes over decisions after {patience} s",
            f"`sweep` decides after {patience} s",
            f'"The answer comes by SMS" after {sessions.DECISION_S:.0f} s',
            f"its lease runs out after {int(engine.LEASE.total_seconds())} s",
            f"prompts that waited {int(engine.PROMPT_STALE_AFTER.total_seconds() // 60)} min are dropped",
            f"pauses from {int(breaker.FIRST_PAUSE.total_seconds())} s to "
            f"{int(breaker.LONGEST_PAUSE.total_seconds() // 60)} min",
            f"after {outbox.MAX_TRIES} tries it is parked",
        ):
            assert sentence in told
        assert outbox.LEASE == engine.LEASE


def test_every_marked_table_of_the_page_is_checked() -> None:
    checked = {
        "settings",
        "demo_settings",
        "processes",
        "callbacks",
        "metrics",
        "faults",
        "groups",
        "two_people",
        "steps",
        "measures",
    }
    assert {name for name in TABLES if name.startswith("operations.")} == {f"operations.{one}" for one in checked}
