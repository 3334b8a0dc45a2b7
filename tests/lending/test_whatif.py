"""`whatif`: a scenario in, everything that follows out, with no server at hand."""

import json
import os
import subprocess
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from lending.rules import whatif
from tests.docs.examples import examples
from tests.docs.tables import REPOSITORY

SCENARIO: dict[str, Any] = {
    "terms": {
        "kind": "bullet",
        "currency": "KES",
        "min_cents": 20_000,
        "max_cents": 5_000_000,
        "term": {"installments": 1, "every": 30, "unit": "day"},
        "fees": [{"name": "fee", "rate": "0.05"}],
    },
    "principal_cents": 50_000,
    "events": [
        {"event": "disburse", "on": "2026-03-02", "amount_cents": 50_000},
        {"event": "pay", "on": "2026-03-12", "amount_cents": 20_000, "key": "receipt"},
    ],
}


def ask(told: bytes) -> subprocess.CompletedProcess[bytes]:
    """Run the command where no server answers."""
    nowhere = {"DATABASE_URL": "postgres://127.0.0.1:1/none", "REDIS_URL": "redis://127.0.0.1:1/0"}
    return subprocess.run(
        [sys.executable, "manage.py", "whatif"],
        input=told,
        capture_output=True,
        cwd=REPOSITORY,
        env=os.environ | nowhere,
        timeout=120,
        check=False,
    )


def changed(path: str, value: Any) -> dict[str, Any]:
    """Return the scenario with another value at a path; None takes it away."""
    scenario = deepcopy(SCENARIO)
    *steps, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    place: Any = scenario
    for step in steps:
        place = place[step]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return scenario


class TestCommand:
    def test_needs_no_server(self) -> None:
        done = ask(json.dumps(examples()[0].scenario).encode())
        assert (done.returncode, done.stderr) == (0, b"")
        assert json.loads(done.stdout) == whatif.run(examples()[0].scenario)

    def test_starts_none_either(self, tmp_path: Path) -> None:
        bare = {name: value for name, value in os.environ.items() if not name.endswith("_URL")}
        done = subprocess.run(
            [sys.executable, "manage.py", "whatif"],
            input=json.dumps(SCENARIO).encode(),
            capture_output=True,
            cwd=REPOSITORY,
            env=bare | {"JIRANI_VAR": str(tmp_path)},
            timeout=120,
            check=False,
        )
        assert done.returncode == 0
        assert {path.name for path in tmp_path.iterdir()} <= {"secrets.json", "secrets.lock"}

    @pytest.mark.parametrize(
        ("told", "said"),
        [
            (json.dumps(changed("terms.fees.0.rate", 0.05)).encode(), b"terms.fees[0].rate: must be a decimal"),
            (b"", b"(whole): must be JSON"),
            (b"[" * 100_000, b"(whole): must be JSON"),
            (b'{"a": NaN}', b"(whole): must be JSON"),
            (b'{"a": 1, "a": 2}', b"(whole): must be JSON in UTF-8: 'a' is there twice"),
            (b"\xff\xfe", b"(whole): must be JSON"),
        ],
        ids=["a float", "nothing", "a bottomless pit", "no number", "twice", "no text"],
    )
    def test_a_bad_scenario_is_refused_in_one_line(self, told: bytes, said: bytes) -> None:
        done = ask(told)
        assert (done.returncode, done.stdout) == (2, b"")
        assert done.stderr.startswith(said)
        assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize(
    ("scenario", "path"),
    [
        ([], "(whole)"),
        (None, "(whole)"),
        ({}, "terms"),
        ({"scenarios": 5}, "scenarios"),
        ({"scenarios": [], "terms": {}}, "terms"),
        ({"scenarios": [SCENARIO, changed("principal_cents", 0)]}, "scenarios[1].principal_cents"),
        (changed("terms.kind", "balloon"), "terms.kind"),
        (changed("principal_cents", -50_000), "principal_cents"),
        (changed("principal_cents", 500.0), "principal_cents"),
        (changed("principal_cents", 10_000), "principal_cents"),
        (changed("color", "red"), "color"),
        (changed("holidays", ["2026-02-30"]), "holidays[0]"),
        (changed("caps", {"max_apr": "0.5"}), "caps.max_apr"),
        (changed("caps", {"max_total_cost_rate": "0.04"}), "caps.max_total_cost_rate"),
        (changed("caps", {"in_duplum_from_days": 0}), "caps.in_duplum_from_days"),
        (changed("events", []), "quoted_on"),
        (changed("events.1", 5), "events[1]"),
        (changed("events.1.event", "steal"), "events[1].event"),
        (changed("events.1.on", None), "events[1].on"),
        (changed("events.1.on", "2026-02-29"), "events[1].on"),
        (changed("events.1.on", "31.3.2026"), "events[1].on"),
        (changed("events.1.on", "0001-01-01"), "events[1].on"),
        (changed("events.1.on", 20260312), "events[1].on"),
        (changed("events.1.amount_cents", 0), "events[1].amount_cents"),
        (changed("events.1.amount_cents", -1), "events[1].amount_cents"),
        (changed("events.1.amount_cents", 2.5), "events[1].amount_cents"),
        (changed("events.1.amount_cents", 10**31), "events[1].amount_cents"),
        (changed("events.1.currency", "UGX"), "events[1].currency"),
        (changed("events.1.key", "disburse:1"), "events[1].key"),
        (changed("events.1.installments", 3), "events[1].installments"),
        (changed("events.1", {"event": "reverse", "on": "2026-03-12", "of": "nothing"}), "events[1].of"),
        (changed("events.1", {"event": "reverse", "on": "2026-03-12"}), "events[1].of"),
        (changed("events.1", {"event": "extend", "on": "2026-03-12"}), "events[1].event"),
        (changed("events.1", {"event": "write_off", "on": "2026-03-01"}), "events[1].on"),
        (changed("events.1", {"event": "disburse", "on": "2026-03-12", "amount_cents": 50_000}), "events[1].event"),
        (changed("events.0.amount_cents", 40_000), "events[0].amount_cents"),
    ],
)
def test_a_fault_is_named_by_its_path(scenario: object, path: str) -> None:
    with pytest.raises(whatif.ScenarioRefused) as refused:
        whatif.run(scenario)
    assert refused.value.path == path


def test_many_scenarios_are_answered_in_their_order() -> None:
    dearer = changed("terms.fees.0.rate", "0.06")
    found = whatif.run({"scenarios": [SCENARIO, dearer]})["scenarios"]
    assert [one["key_facts"]["fee_cents"] for one in found] == [2_500, 3_000]
    assert found[0] == whatif.run(SCENARIO)


def test_an_event_told_late_shows_what_it_changes() -> None:
    told = deepcopy(SCENARIO)
    told["terms"]["penalties"] = [{"name": "late", "amount_cents": 500}]
    told["events"] += [
        {"event": "day_end", "on": "2026-04-02"},
        {"event": "pay", "on": "2026-04-01", "amount_cents": 32_500},
    ]
    late, last = whatif.run(told)["events"][2:]
    assert (late["days_past_due"], late["owed"]) == (1, {"penalty_cents": 500, "principal_cents": 32_500})
    assert (last["state"], last["outstanding_cents"], last["worst_days_past_due"]) == ("settled", 0, 0)
    assert last["postings"] == [
        {
            "kind": "repayment",
            "lines": [
                {"account": "mpesa_paybill", "debit_cents": 32_500},
                {"account": "principal_receivable", "credit_cents": 32_500},
            ],
        },
        {
            "kind": "penalty",
            "lines": [
                {"account": "penalty_receivable", "credit_cents": 500},
                {"account": "penalty_income", "debit_cents": 500},
            ],
        },
    ]


def test_every_posting_balances_and_adds_up_to_the_balances() -> None:
    for example in examples():
        found = whatif.run(example.scenario)
        sums: dict[str, int] = {}
        for event in found["events"]:
            for posting in event["postings"]:
                change = [
                    (line["account"], line.get("debit_cents", 0) - line.get("credit_cents", 0))
                    for line in posting["lines"]
                ]
                assert sum(cents for _, cents in change) == 0
                for account, cents in change:
                    sums[account] = sums.get(account, 0) + cents
        assert {account: cents for account, cents in sums.items() if cents} == found["balances"]
