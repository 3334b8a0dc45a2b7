"""Tables of the documentation, read so that tests can hold them to the code.

A table that is checked stands below a line `<!-- checked: NAME -->`, which no reader sees. Cells come back as
text without backticks; the functions at the end read figures out of them.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import time, timedelta
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from typing import Any

from lending.rules import money

REPOSITORY = Path(__file__).resolve().parents[2]
DOCS = REPOSITORY / "docs"
MARK = re.compile(r"<!-- checked: (?P<name>[\w.]+) -->")
UNITS = {
    "s": timedelta(seconds=1),
    "min": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "days": timedelta(days=1),
}


@dataclass(frozen=True)
class Row:
    """One line of a checked table."""

    page: str
    line: int
    cells: dict[str, str]

    def __getitem__(self, column: str) -> str:
        return self.cells[column]

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def pages() -> list[Path]:
    """Return every page of the documentation, the README first."""
    return [REPOSITORY / "README.md", *sorted(DOCS.rglob("*.md"))]


def checked_tables() -> dict[str, list[Row]]:
    """Return the rows of every checked table by its name; tables of one name are one list."""
    found: dict[str, list[Row]] = {}
    for page in pages():
        for name, rows in tables_of(page):
            found.setdefault(name, []).extend(rows)
    return found


def tables_of(page: Path) -> Iterator[tuple[str, list[Row]]]:
    """Yield name and rows of the checked tables of one page.

    Raises:
        ValueError: below a mark there is no table.
    """
    lines = page.read_text().splitlines() if page.exists() else []
    for number, line in enumerate(lines):
        if mark := MARK.fullmatch(line.strip()):
            rows = list(_rows(page, lines, number + 1))
            if not rows:
                raise ValueError(f"{page.name}:{number + 1}: no table below the mark {mark['name']}")
            yield mark["name"], rows


def _rows(page: Path, lines: list[str], start: int) -> Iterator[Row]:
    columns: list[str] = []
    for number, line in enumerate(lines[start:], start + 1):
        if not line.startswith("|"):
            return
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if not columns:
            columns = cells
        elif set(line) - set("|-: "):
            assert len(cells) == len(columns), f"{page.name}:{number} has {len(cells)} cells, not {len(columns)}"
            yield Row(page.name, number, dict(zip(columns, map(_plain, cells), strict=True)))


def _plain(cell: str) -> str:
    """Return a cell that is code as a whole without its backticks."""
    return cell[1:-1] if re.fullmatch(r"`[^`]+`", cell) else cell


# --- what a cell says ---------------------------------------------------------------------------------------
def cents(cell: str) -> int:
    """Return the cents of `KES 1,000`, `1,000`, `0` or nothing."""
    plain = cell.removeprefix("KES").strip()
    return 0 if plain in ("", "0") else money.parse(plain)


def share(cell: str) -> Decimal:
    """Return `7.5 %` as 0.075."""
    return Decimal(cell.removesuffix("%").strip()) / 100


def days(cell: str) -> int:
    """Return the number in front of "days" or "days late"."""
    found = re.match(r"\d+", cell)
    assert found, f"no number in {cell!r}"
    return int(found[0])


def figure(cell: str) -> Any:
    """Return what a figure means: cents, a share, a length of time, a number, a list of these, or the text."""
    if ", " in cell:
        return [figure(part) for part in cell.split(", ")]
    if cell.startswith("KES "):
        return cents(cell)
    if cell.endswith("%"):
        return share(cell)
    number, _, unit = cell.partition(" ")
    if unit in UNITS:
        return int(number) * UNITS[unit]
    return Decimal(cell) if re.fullmatch(r"-?\d+(\.\d+)?", cell) else cell


def value_at(path: str) -> Any:
    """Return what stands at a dotted path in the code, or at `FILE.json#a.b` in a fixture."""
    if "#" in path:
        file, _, keys = path.partition("#")
        return _walk(json.loads((REPOSITORY / file).read_text()), keys.split("."))
    parts = path.split(".")
    for cut in range(len(parts) - 1, 0, -1):
        try:
            return _walk(import_module(".".join(parts[:cut])), parts[cut:])
        except ModuleNotFoundError:
            continue
    raise LookupError(path)


def _walk(value: Any, keys: list[str]) -> Any:
    for key in keys:
        if isinstance(value, list):
            value = value[int(key)]
        else:
            value = value[key] if isinstance(value, dict) else getattr(value, key)
    return value


def same(told: Any, real: Any) -> bool:
    """Say whether a figure of the documentation is the one of the code, whatever type carries it there."""
    if isinstance(real, list | tuple):
        return isinstance(told, list) and len(told) == len(real) and all(map(same, told, real))
    if isinstance(told, timedelta):
        return told == (real if isinstance(real, timedelta) else timedelta(days=int(real)))
    if isinstance(real, time):
        return bool(told == real.isoformat("minutes"))
    if isinstance(told, Decimal | int):
        return told == Decimal(str(real))
    return bool(told == real)
