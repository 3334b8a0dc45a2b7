"""docs/domain/whatif.md: its ten examples follow from the program, and its lists are complete."""

import re
from typing import get_args

import pytest

from lending.rules import whatif
from lending.rules.terms import Terms
from tests.docs.examples import PAGE, Example, examples, rows_of


def test_there_are_ten() -> None:
    assert [example.title.split(".")[0] for example in examples()] == [str(n) for n in range(1, 11)]


@pytest.mark.parametrize("example", examples(), ids=lambda example: example.title)
def test_an_example_says_what_the_program_finds(example: Example) -> None:
    found = rows_of(whatif.run(example.scenario))
    assert example.rows == found


def _first_cells(title: str) -> set[str]:
    section = PAGE.read_text().split(f"\n## {title}\n")[1].split("\n## ")[0]
    cells = re.findall(r"^\| (`.*?) \|", section, flags=re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}


def test_every_field_and_event_is_listed() -> None:
    assert _first_cells("Terms") == set(Terms.model_fields)
    assert _first_cells("The scenario") == set(whatif.Frame.model_fields)
    assert _first_cells("Events") == set(get_args(whatif.EventKind))
