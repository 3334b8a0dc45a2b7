"""The examples in docstrings and pages are run."""

import doctest
from importlib import import_module
from pathlib import Path

import pytest

from tests.docs.tables import REPOSITORY, pages

PACKAGES = ("config", "lending", "ussd", "scoring", "ml", "sandbox")


def modules_with_examples() -> list[str]:
    """Return the modules whose source holds an example, by name."""
    files = (path for package in PACKAGES for path in sorted((REPOSITORY / package).rglob("*.py")))
    return [_name(path) for path in files if ">>> " in path.read_text()]


def _name(path: Path) -> str:
    return ".".join(path.relative_to(REPOSITORY).with_suffix("").parts)


def test_the_rules_carry_examples() -> None:
    assert {"lending.rules.money", "lending.rules.pricing"} <= set(modules_with_examples())


@pytest.mark.parametrize("name", modules_with_examples())
def test_the_examples_of_a_module_hold(name: str) -> None:
    outcome = doctest.testmod(import_module(name))
    assert outcome.attempted
    assert not outcome.failed


def test_the_examples_of_the_pages_hold() -> None:
    for page in pages():
        outcome = doctest.testfile(str(page), module_relative=False)
        assert not outcome.failed, page
