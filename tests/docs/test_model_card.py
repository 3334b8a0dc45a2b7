"""docs/model-card.md reads a card that exists: its figures are made again, and every plot is explained."""

import re

import pytest

from tests.docs.model_card import drawn, picture
from tests.docs.tables import DOCS, checked_tables

PAGE = (DOCS / "model-card.md").read_text()
ROWS = {row["Plot"]: row["What the card says"] for row in checked_tables()["card.example"]}
NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")


def numbers(text: str) -> list[float]:
    return [float(each.replace(",", "")) for each in NUMBER.findall(text)]


def test_the_table_says_what_the_card_says() -> None:
    """The words to the letter; the numbers nearly, as another processor rounds otherwise. What is earned is the
    small rest of large sums."""
    said = {plot.title: plot.says for plot in drawn()}
    assert list(ROWS) == list(said)
    for title, says in said.items():
        assert NUMBER.sub("#", ROWS[title]) == NUMBER.sub("#", says)
        close = 1_000 if title.endswith(", KES") else 0.02
        assert numbers(ROWS[title]) == pytest.approx(numbers(says), rel=0.1, abs=close), title


def test_every_plot_is_explained_and_shown() -> None:
    for plot in drawn():
        heading = plot.title.removesuffix(", KES")
        section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
        assert f"](model-card/{picture(plot).name})" in section
        assert picture(plot).exists() and "*Reading it:*" in section
