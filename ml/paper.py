"""Headings, text, tables and plots one below the other on pages of A4, drawn by matplotlib."""

import io
import logging
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from ml.plots import Plot

# At the usual level it writes fifty lines about each letter form that a page needs.
logging.getLogger("fontTools").setLevel(logging.WARNING)

# Inches.
WIDTH, HEIGHT = 8.27, 11.69
SIDE, TOP, BOTTOM = 0.7, 0.7, 0.8
PLOT_WIDTH, PLOT_HEIGHT, GAP = 4.1, 2.95, 0.25
# Letters of DejaVu Sans in running text, as parts of their size; measured, on the safe side.
LETTER, LINE = 0.54, 1.4
TEXT, SMALL, HEADING, TITLE = 9.0, 7.5, 12.0, 16.0
POINTS = 72.0


@dataclass(frozen=True)
class Table:
    """Rows of text below headers; `widths` are the parts of the line that the columns take on paper."""

    headers: Sequence[str]
    rows: Sequence[Sequence[str]]
    widths: Sequence[float]


class Paper:
    """A document under way; `content` are its bytes once it is closed."""

    content: bytes = b""
    _page: Figure
    _down: float  # inches from the top

    def __init__(self, title: str) -> None:
        self._buffer, self._title, self._number = io.BytesIO(), title, 0
        # No date of today: the same card gives the same bytes.
        self._pages = PdfPages(self._buffer, metadata={"Title": title, "Creator": "Jirani", "CreationDate": None})

    def __enter__(self) -> "Paper":
        self._turn()
        self._write(self._title, TITLE, weight="bold")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        if kind is None:
            self._pages.savefig(self._page)
        self._pages.close()
        self.content = self._buffer.getvalue()

    def heading(self, text: str) -> None:
        """Begin a section, on the next page where only its heading would fit."""
        self._need(1.2)
        self._down += 0.15
        self._write(text, HEADING, weight="bold")

    def put(self, block: str | Table | Plot) -> None:
        if isinstance(block, Table):
            self._table(block)
        elif isinstance(block, Plot):
            self._plot(block)
        else:
            self._write(block, TEXT)
            self._down += 0.06

    def _table(self, table: Table) -> None:
        if any(table.headers):
            self._row(table.headers, table.widths, weight="bold")
        for row in table.rows:
            self._row(row, table.widths)
        self._down += 0.1

    def _row(self, cells: Sequence[str], widths: Sequence[float], weight: str = "normal") -> None:
        of_line = WIDTH - 2 * SIDE
        wrapped = [lines(cell, SMALL, part * of_line - 0.1) for cell, part in zip(cells, widths, strict=True)]
        height = max(len(cell) for cell in wrapped) * SMALL * LINE / POINTS + 0.03
        self._need(height)
        left = SIDE
        for cell, part in zip(wrapped, widths, strict=True):
            self._text(left, self._down, cell, SMALL, weight=weight)
            left += part * of_line
        self._down += height

    def _plot(self, plot: Plot) -> None:
        """Put a plot on the left, and what it says beside it."""
        self._need(PLOT_HEIGHT + 0.2)
        self._down += 0.1
        ax = self._page.add_axes((0.1, 0.1, 0.1, 0.1))
        plot.draw(ax)
        fit(ax, SIDE / WIDTH, 1 - (self._down + PLOT_HEIGHT) / HEIGHT, PLOT_WIDTH / WIDTH, PLOT_HEIGHT / HEIGHT)
        left, down = SIDE + PLOT_WIDTH + GAP, self._down
        for text, size, weight in (
            (plot.title, 10.0, "bold"),
            (plot.hint, SMALL, "normal"),
            (plot.says, SMALL, "normal"),
        ):
            wrapped = lines(text, size, WIDTH - SIDE - left)
            self._text(left, down, wrapped, size, weight=weight)
            down += len(wrapped) * size * LINE / POINTS + 0.08
        self._down = max(self._down + PLOT_HEIGHT, down) + 0.1

    def _write(self, text: str, size: float, weight: str = "normal") -> None:
        for line in lines(text, size, WIDTH - 2 * SIDE):
            self._need(size * LINE / POINTS)
            self._text(SIDE, self._down, [line], size, weight=weight)
            self._down += size * LINE / POINTS

    def _text(self, left: float, down: float, text: Sequence[str], size: float, weight: str = "normal") -> None:
        self._page.text(
            left / WIDTH, 1 - down / HEIGHT, "\n".join(text), size=size, weight=weight, va="top",
            linespacing=LINE / 1.17, parse_math=False,
        )  # fmt: skip

    def _need(self, height: float) -> None:
        if self._down + height > HEIGHT - BOTTOM:
            self._pages.savefig(self._page)
            self._turn()

    def _turn(self) -> None:
        self._number += 1
        self._page = Figure(figsize=(WIDTH, HEIGHT))
        FigureCanvasAgg(self._page)
        self._down = TOP
        self._text(SIDE, HEIGHT - 0.5, [f"{self._title}, page {self._number}"], SMALL)


def lines(text: str, size: float, width: float) -> list[str]:
    """Return text in lines that fit a width in inches."""
    return textwrap.wrap(text, max(int(width * POINTS / (size * LETTER)), 4)) or [""]


def fit(ax: Axes, left: float, bottom: float, width: float, height: float) -> None:
    """Let a plot with its labels fill a part of the page, in shares of the page."""
    figure = ax.get_figure(root=True)
    assert figure is not None
    wanted = Bbox.from_bounds(left, bottom, width, height)
    ax.set_position(wanted)
    inches = ax.get_tightbbox(figure.canvas.get_renderer())  # type: ignore[attr-defined]
    assert inches is not None
    taken = inches.transformed(figure.transFigure.inverted())
    ax.set_position(
        Bbox.from_extents(
            2 * wanted.x0 - taken.x0, 2 * wanted.y0 - taken.y0, 2 * wanted.x1 - taken.x1, 2 * wanted.y1 - taken.y1
        )
    )
