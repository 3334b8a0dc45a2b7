"""docs/architecture.md and all pages: rooms, invariants, links, commands and paths are those of the repository."""

import re
import tomllib
from pathlib import Path

import pytest
from django.core.management import get_commands

from lending import invariants
from tests.docs.tables import REPOSITORY, checked_tables, pages

TABLES = checked_tables()
PYPROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)#\s]+)(?:#[^)]*)?\)")
PATH = re.compile(r"`((?:config|lending|ussd|scoring|ml|sandbox|docs|tests|fixtures|deploy)/[\w./-]*)`")


class TestHouse:
    def test_the_rooms_are_the_packages(self) -> None:
        rooms = [row["Room"] for row in TABLES["architecture.rooms"]]
        assert sorted(rooms) == sorted(PYPROJECT["tool"]["importlinter"]["root_packages"])

    def test_a_room_imports_what_the_page_allows(self) -> None:
        for row in TABLES["architecture.rooms"]:
            room, words = row["Room"], row["May import"]
            allowed = set(re.findall(r"\w+", words)) | {room}
            if words == "everything below":
                continue
            for path in (REPOSITORY / room).rglob("*.py"):
                imported = set(re.findall(r"^\s*(?:from|import) (\w+)", path.read_text(), flags=re.MULTILINE))
                assert imported & {other["Room"] for other in TABLES["architecture.rooms"]} <= allowed, path

    def test_the_invariants_are_those_of_the_audit(self) -> None:
        listed = [row["Invariant"] for row in TABLES["architecture.invariants"]]
        assert listed == [invariant.name for invariant in invariants.INVARIANTS]


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
class TestPages:
    def test_links_lead_somewhere(self, page: Path) -> None:
        for link in LINK.finditer(page.read_text()):
            target = link["target"]
            assert target.startswith("http") or (page.parent / target).exists(), target

    def test_paths_that_are_named_exist(self, page: Path) -> None:
        for named in PATH.findall(page.read_text()):
            assert (REPOSITORY / named).exists(), named

    def test_commands_that_are_named_exist(self, page: Path) -> None:
        text = page.read_text()
        for command in re.findall(r"manage\.py (\w+)", text):
            assert command in get_commands(), command
        makefile = (REPOSITORY / "Makefile").read_text()
        for target in re.findall(
            r"(?<![\w-])make ([a-z][a-z-]*)(?=[`\s.,;:)]*$|[`.,;:)]|  )", text, flags=re.MULTILINE
        ):
            assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), f"make {target}"
