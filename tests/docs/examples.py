"""The worked examples of docs/domain/whatif.md: a scenario and the table of what follows from it."""

import json
import re
from dataclasses import dataclass
from typing import Any

from lending.rules.money import show
from tests.docs.tables import DOCS

PAGE = DOCS / "domain" / "whatif.md"
EXAMPLE = re.compile(r"^### (?P<title>\d+\. .*?)\n(?P<body>.*?)(?=^##|\Z)", re.MULTILINE | re.DOTALL)
SCENARIO = re.compile(r"```json\n(?P<json>.*?)```", re.DOTALL)
COLUMNS = ("On", "Event", "What it covers", "Owed after it", "Late", "Postings")


@dataclass(frozen=True)
class Example:
    """One example as the page tells it."""

    title: str
    scenario: dict[str, Any]
    rows: list[list[str]]


def examples() -> list[Example]:
    """Return the examples of the page, in order."""
    return [
        Example(
            found["title"],
            json.loads(SCENARIO.findall(found["body"])[0]),
            [_cells(line) for line in found["body"].splitlines() if re.match(r"\| \d{4}-", line)],
        )
        for found in EXAMPLE.finditer(PAGE.read_text())
    ]


def _cells(line: str) -> list[str]:
    return [cell.strip().replace("`", "") for cell in line.strip().strip("|").split("|")]


def rows_of(result: dict[str, Any]) -> list[list[str]]:
    """Return what `whatif` found as the page writes it."""
    return [
        [
            event["on"],
            " ".join([event["event"], *([plain(event["amount_cents"])] if "amount_cents" in event else [])]),
            _split(event),
            amounts(event["owed"]),
            str(event["days_past_due"]),
            "; ".join(f"{posting['kind']}: {_legs(posting['lines'])}" for posting in event["postings"]),
        ]
        for event in result["events"]
    ]


def plain(cents: int) -> str:
    return show(cents, "").replace("- ", "-").strip()


def amounts(due: dict[str, Any]) -> str:
    """Return amounts by kind: "fee 25, principal 500"."""
    kinds = [f"{name.removesuffix('_cents')} {plain(due[name])}" for name in due if name.endswith("_cents")]
    return ", ".join(kinds) or "nothing"


def _split(event: dict[str, Any]) -> str:
    parts = [f"{part['why']} {part['installment']}: {amounts(part)}" for part in event["split"]]
    parts += [f"over: {plain(event['over_cents'])}"] if "over_cents" in event else []
    return "; ".join(parts)


def _legs(lines: list[dict[str, Any]]) -> str:
    """Return debits plain and credits with a minus."""
    return ", ".join(
        f"{line['account']} {plain(line['debit_cents'] if 'debit_cents' in line else -line['credit_cents'])}"
        for line in lines
    )
