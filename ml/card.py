"""The model card: one page about one version for whoever answers for it, as HTML and as PDF.

It puts together what is known already: the facts of the version, the gate's checks, and the figures of `ml.curves`
from the day on which it was judged (Mitchell et al. 2019, "Model Cards for Model Reporting"). The same card gives
the same bytes. How to read it: docs/model-card.md.
"""

import base64
import io
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

from matplotlib import style
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ml import curves, files, paper
from ml.gate import RESAMPLES, SLICE_LOANS
from ml.paper import Table
from ml.plots import Plot, plots

# As wide as a phone shows without making the letters small; inches.
SIZE = (4.0, 3.0)
# What makes the files the same each time: no date, no random names inside, the letters that matplotlib brings.
STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.labelsize": 8,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 7,
    "svg.hashsalt": "jirani",
    "svg.fonttype": "path",
    "pdf.fonttype": 42,  # letters stay letters: they can be searched and copied
}
# The settings above are matplotlib's own for the process, and its fonts are not made for two threads.
_one_at_a_time = threading.Lock()


@dataclass(frozen=True)
class Card:
    """What a card says of one version.

    made: how it was made, under the names of the artifact's manifest and as far as it is known; `trained_at` in
    words. comparison, checks: `ml.gate.Comparison` and each `ml.gate.Check` as they are stored in JSON. figures: as
    `ml.curves.figures` returns them; empty where none were kept. beside: the champion of that day.
    """

    name: str
    made: Mapping[str, Any] = field(default_factory=dict)
    comparison: Mapping[str, Any] = field(default_factory=dict)
    checks: Sequence[Mapping[str, Any]] = ()
    figures: Mapping[str, Any] = field(default_factory=dict)
    beside: str = ""


@dataclass(frozen=True)
class Section:
    """One heading and what stands below it."""

    title: str
    blocks: Sequence[str | Table | Plot]


def write(card: Card, directory: Path) -> tuple[Path, Path]:
    """Write NAME.html and NAME.pdf to a directory, in place of what was there; return both paths."""
    directory.mkdir(parents=True, exist_ok=True)
    paths = directory / f"{card.name}.html", directory / f"{card.name}.pdf"
    for path, content in zip(paths, (html(card), pdf(card)), strict=True):
        files.write_whole(path, content)
    return paths


# --- what it says -------------------------------------------------------------------------------------------------
def sections(card: Card) -> list[Section]:
    """Return the whole card, in the order in which it is read."""
    return [
        Section("What it is", WHAT_IT_IS),
        Section("The version", [Table(("", ""), facts(card.made), (0.28, 0.72))]),
        Section("What it is meant for, and its limits", LIMITS),
        Section("How it was judged", list(judged(card))),
        Section("Plots", plots(card.figures, card.checks) or [no_plots(card.figures)]),
        *([Section("Groups too small to measure", [small])] if (small := small_groups(card.figures)) else []),
        Section("What it never knows", [*never_knows(card.checks), *ETHICS]),
    ]


WHAT_IT_IS = (
    "A neural network that answers one question about an application for a small loan: how likely is it that the "
    "loan will be more than 30 days late, or written off? It reads what is known of the applicant at that moment. "
    "A table of rules turns the chance into an answer, and where it is neither clear nor hopeless a loan officer "
    "decides.",
    "This card is for those who let the model serve, for officers who work with it, for auditors and supervisors. "
    "Its figures are those of the day on which the model was judged. How to read each plot: docs/model-card.md.",
)
LIMITS = (
    "Meant for short loans to individuals, of the products and in the countries whose loans it learnt from, at the "
    "moment of the application. Not meant for another lender, product or country, nor to set a price, to collect, "
    "to hire or to insure.",
    "Only loans that were made have an outcome. What the refused would have done nobody knows, and no figure here "
    "can say it.",
    "A loan teaches once 30 days have passed since its due date. What has changed since then the model has not "
    "seen.",
    f"Intervals bound what chance makes of these very loans: figures in 90 % of {RESAMPLES:,} resamples, shares "
    "after Wilson 1927. Another season may differ by more.",
)
ETHICS = (
    "Name, sex, language, religion, contacts and phone model are not among the numbers that it reads, nor what a "
    "customer does by right: a complaint, a call for help, a loan given back, an extension that the product "
    "grants.",
    "What is left out can still be stood in for by something else: therefore the figures by group. Groups are read "
    "from the books for these alone. Sex, age and region are in no table, so nothing can be said about them.",
    "Whoever took back the consent to scoring is neither scored nor learnt from. Every refusal has its reasons in "
    "words, and everybody may ask for a person.",
)


def facts(made: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return how the version was made, as far as it is known."""
    network, calibration = made.get("network") or {}, made.get("calibration") or {}
    until = made.get("seen_until")
    rows = (
        ("Trained", made.get("trained_at")),
        ("Loans", f"{made['loans']:,}" if "loans" in made else None),
        ("Latest decision seen", curves.day(until) if until else None),
        ("Data, SHA-256", made.get("data_sha256")),
        ("Code, commit", made.get("code_commit")),
        ("Seed", made.get("seed")),
        ("Features, version", made.get("features_version")),
        ("Network", ", ".join(f"{name} {value}" for name, value in sorted(network.items()))),
        ("Calibration", ", ".join(f"{name} {value:.3f}" for name, value in sorted(calibration.items()))),
        ("Weights, SHA-256", made.get("weights_sha256")),
    )
    return [(name, str(value)) for name, value in rows if value not in (None, "")]


def judged(card: Card) -> Iterator[str | Table]:
    """Yield on which loans it was judged, how good it was, and every check of the gate."""
    found = card.figures
    if "loans" in found:
        yield (
            f"On {found['loans']:,} loans that were decided after everything it learnt from, from "
            f"{found['decided_from']} to {found['decided_until']}; {found['defaults']:,} of them defaulted. "
            + (
                f"Beside it: {card.beside or 'the champion of that day'}."
                if found["drift"]
                else "There was no champion."
            )
        )
    ours, theirs = (card.comparison.get(side) or {} for side in ("challenger", "champion"))
    if ours:
        rows = [(SHOWN[name], shown(ours.get(name)), shown(theirs.get(name))) for name in SHOWN if name in ours]
        beside = card.beside or ("champion" if found.get("drift") else "the plain rate")
        yield Table(("Measure", card.name, beside), rows, (0.3, 0.35, 0.35))
    if card.checks:
        failed = sum(not check["passed"] for check in card.checks)
        yield f"{len(card.checks)} checks of the gate, {failed or 'none'} of them failed."
        yield Table(
            ("", "Check", "Figure", "Limit", "90 % of resamples"), [*map(as_row, card.checks)], CHECK_WIDTHS
        )


SHOWN = {
    "auc": "AUC", "gini": "Gini", "ks": "KS", "pr_auc": "PR-AUC", "log_loss": "Log-loss", "brier": "Brier score",
    "calibration_error": "Calibration error",
}  # fmt: skip
CHECK_WIDTHS = (0.09, 0.54, 0.1, 0.1, 0.17)


def shown(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def as_row(check: Mapping[str, Any]) -> tuple[str, ...]:
    """Return a check as a row, with figures that a person can compare."""
    low, high = check.get("interval") or (None, None)
    interval = "" if low is None else f"{amount(low)} to {amount(high)}"
    passed = "passed" if check["passed"] else "FAILED"
    return passed, check["words"], amount(check.get("figure")), amount(check.get("limit")), interval


def amount(value: float | None) -> str:
    """Return three digits of a small number and a large one whole."""
    return "" if value is None else f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.3g}"


def no_plots(found: Mapping[str, Any]) -> str:
    why = found.get("too_few", "no figures were kept when this version was judged")
    return f"No plot is drawn: {why}."


def small_groups(found: Mapping[str, Any]) -> str:
    """Return which groups have too few loans to say anything about, in words."""
    small = found.get("groups", {}).get("too_few", [])
    each = ", ".join(f"{one['fact']} {one['group']} ({one['loans']:,})" for one in small)
    return f"Fewer than {SLICE_LOANS} later loans each: {each}." if small else ""


def never_knows(checks: Sequence[Mapping[str, Any]]) -> list[str]:
    said = [check["words"] for check in checks if check["name"] == "protected_facts"]
    return [f"Looked for by name: {words}." for words in said]


# --- how it looks -------------------------------------------------------------------------------------------------
@contextmanager
def drawing() -> Iterator[None]:
    """Let one thread at a time draw in our style, and leave matplotlib as it was."""
    with _one_at_a_time, style.context(STYLE, after_reset=True):
        yield


def html(card: Card) -> bytes:
    """Return the card as one page that needs nothing else: no script, no font, no picture from elsewhere."""
    with drawing():
        body = "".join(
            f"<section><h2>{escape(section.title)}</h2>{''.join(map(as_html, section.blocks))}</section>"
            for section in sections(card)
        )
    return PAGE.format(name=escape(card.name), body=body).encode()


def pdf(card: Card) -> bytes:
    """Return the same as pages of A4, with text that can be searched."""
    with drawing(), paper.Paper(f"Model card: {card.name}") as pages:
        for section in sections(card):
            pages.heading(section.title)
            for block in section.blocks:
                pages.put(block)
    return pages.content


def as_html(block: str | Table | Plot) -> str:
    if isinstance(block, Plot):
        return (
            f'<figure><figcaption><h3>{escape(block.title)}</h3><p class="hint">{escape(block.hint)}</p>'
            f"<p>{escape(block.says)}</p></figcaption>"
            f'<img src="data:image/svg+xml;base64,{svg(block)}" alt="{escape(block.alt)}"></figure>'
        )
    return table_html(block) if isinstance(block, Table) else f"<p>{escape(block)}</p>"


def table_html(table: Table) -> str:
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in table.headers)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in table.rows)
    head = f"<thead><tr>{head}</tr></thead>" if any(table.headers) else ""
    return f'<div class="wide" tabindex="0"><table>{head}<tbody>{body}</tbody></table></div>'


def svg(plot: Plot) -> str:
    figure = Figure(figsize=SIZE, layout="constrained")
    FigureCanvasAgg(figure)
    plot.draw(figure.add_subplot())
    content = io.BytesIO()
    figure.savefig(content, format="svg", metadata={"Date": None})
    return base64.b64encode(content.getvalue()).decode()


PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>Model card: {name}</title>
<style>
body {{ margin: 0 auto; max-width: 62rem; padding: 1rem; font: 1rem/1.5 system-ui, sans-serif; color: #1a1a1a;
  background: #fff; overflow-wrap: break-word }}
h1 {{ font-size: 1.5rem; line-height: 1.25 }} h2 {{ font-size: 1.2rem; margin: 2rem 0 .5rem }}
h3 {{ font-size: 1rem; margin: 0 }}
p {{ max-width: 44rem; margin: .5rem 0 }} .hint {{ color: #595959 }}
figure {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(min(20rem, 100%), 1fr)); gap: 1rem;
  margin: 1rem 0; padding: 1rem 0; border-top: 1px solid #d9d9d9; break-inside: avoid }}
img {{ width: 100%; max-width: 32rem; height: auto }}
.wide {{ overflow-x: auto }} table {{ border-collapse: collapse; font-size: .875rem; width: 100% }}
th, td {{ text-align: left; vertical-align: top; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid #d9d9d9;
  overflow-wrap: anywhere }}
th, td:first-child {{ overflow-wrap: normal }} td:nth-child(n + 3) {{ white-space: nowrap }}
th:nth-child(2), td:nth-child(2) {{ min-width: 14rem }}
</style>
</head>
<body>
<main>
<h1>Model card: {name}</h1>
{body}
</main>
</body>
</html>
"""
