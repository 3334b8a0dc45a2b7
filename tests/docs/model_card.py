"""The card that docs/model-card.md reads: of a model trained on people who do not exist.

    python -m tests.docs.model_card

draws the pictures of the page anew and prints the rows of its table.
"""

import sys
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ml import artifact, card, curves, forward, gate
from ml.plots import Plot, plots
from ml.train import Trained, train
from tests.ml.conftest import SMALL, for_epochs
from tests.ml.portfolio import portfolio

PICTURES = Path(__file__).resolve().parents[2] / "docs" / "model-card"
# KES 500 lent at a price of 50, 10 of it tax.
LENT, PRICE, TAX = 50_000, 5_000, 1_000
APPROVE_BELOW = 0.15
DOTS = 100


@cache
def example() -> card.Card:
    """Train both models, judge them on later loans as the gate does, and return the challenger's card."""
    book = portfolio(5_000, seed=21)
    champion = train(book.take(np.arange(500)), seed=1, plan=for_epochs(2))
    trained = train(book, seed=1, plan=replace(SMALL, shares=(0.5, 0.1, 0.1, 0.3)))
    later = book.take(gate.to_be_judged_on(book, trained.seen_until))
    on = gate.trial(scores_of(trained), scores_of(champion), later)
    money = gate.Money(currency=np.full(len(later), "KES"), earned=later.repaid_share * (LENT + PRICE) - LENT - TAX)
    facts = {
        "language": np.where(np.arange(len(later)) % 2 == 0, "en", "sw"),
        "loan": np.where(later.x[:, later.names.index("loans_taken")] > 0, "repeated", "first"),
    }
    by_group, small = gate.slices(on, facts, fair=frozenset({"language"}), approve_below=APPROVE_BELOW)
    measured = [
        *gate.accuracy(on), *gate.plausibility(on), gate.calibration(on),
        *gate.profit(on, money, approve_below=APPROVE_BELOW), *by_group,
    ]  # fmt: skip
    checks = [*gate.weigh(measured, len(later)), *small, gate.score_drift(on, is_better=True)]
    figures = curves.figures(
        on, later, scores_of(trained), trained.weights["encode/reference"],
        approve_below=APPROVE_BELOW, facts=facts, money=money,
    )  # fmt: skip
    manifest = artifact.manifest_of(trained, weights_sha256="", commit=None)
    return card.Card("example", manifest, asdict(gate.compare(on)), [asdict(each) for each in checks], figures)


def scores_of(trained: Trained) -> gate.ScoreRows:
    return lambda x: forward.scores(trained.weights, x)


def drawn() -> list[Plot]:
    """Return the plots of the example."""
    return plots(example().figures, example().checks)


def picture(plot: Plot) -> Path:
    """Return where the page finds a plot."""
    return PICTURES / f"{plot.title.lower().replace(',', '').replace(' ', '-')}.png"


def main() -> None:
    PICTURES.mkdir(exist_ok=True)
    with card.drawing():
        for plot in drawn():
            figure = Figure(figsize=card.SIZE, layout="constrained")
            FigureCanvasAgg(figure)
            plot.draw(figure.add_subplot())
            figure.savefig(picture(plot), dpi=DOTS, metadata={"Software": None})
            print(f"| {plot.title} | {plot.says} |")
    if sys.argv[1:]:
        card.write(example(), Path(sys.argv[1]))


if __name__ == "__main__":
    main()
