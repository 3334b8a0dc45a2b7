"""Our network on any table of numbers and categories."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ml import fit as fitting
from ml import tables
from ml.fit import Progress, Recipe
from ml.forward import scores
from ml.tables import Table, Vocabulary

# Beyond any bin, and short of what a float32 cannot hold.
FARTHEST = 1e30
# From so many rows on some rounds through all of them are enough, and finer bins pay; from so many, a smaller bag.
MANY_ROWS, VERY_MANY_ROWS = 30_000, 300_000
# So many rows are gone through in all where there are many: epochs times nets times rows.
MOST_STEPS = 7_000_000
FEWEST_EPOCHS, MOST_EPOCHS = 3, 30


@dataclass(frozen=True)
class TableNetwork:
    """A trained bag with what it takes to bring a table's categories to numbers."""

    vocabulary: Vocabulary
    fitted: fitting.Fitted

    @classmethod
    def fit(
        cls, train: Table, *, seed: int, recipe: Recipe | None = None, say: Progress = lambda part, what: None
    ) -> "TableNetwork":
        """Learn from a table by the recipe that fits its size, unless another is given."""
        recipe = recipe or recipe_for(len(train))
        # With what is rare one more: so each stands at an edge of its own.
        vocabulary = Vocabulary.learn(train, recipe.bins)
        parts = tables.stratified(train.y, max(recipe.nets, tables.FOLDS), seed=seed)
        unknown = np.full(len(train), np.nan)
        y = np.column_stack([train.y, unknown, np.full(len(train), -1), unknown]).astype(np.float32)
        x = _numbers(train, vocabulary)
        named = np.arange(x.shape[1]) >= train.numbers.shape[1]
        fitted = fitting.fit(x, y, parts, recipe, seed=seed, say=say, categories=named)
        return cls(vocabulary, fitted)

    def predict(self, table: Table) -> npt.NDArray[np.floating]:
        """Return the chance of a bad end of each row (n,)."""
        return scores(self.fitted.weights, _numbers(table, self.vocabulary))


def recipe_for(rows: int) -> Recipe:
    """Return how to train on so many rows: see docs/network.md for what each choice brings and costs."""
    if rows < MANY_ROWS:
        return Recipe(bins=8, nets=10, batch=64, learning_rate=5e-4)
    nets = 5 if rows < VERY_MANY_ROWS else 2
    epochs = min(MOST_EPOCHS, max(FEWEST_EPOCHS, MOST_STEPS // (rows * nets)))
    return Recipe(
        bins=128,
        nets=nets,
        dropout=0.1,
        batch=512,
        learning_rate=1.5e-3,
        falls=True,
        epochs=epochs,
        patience=epochs,
    )


def _numbers(table: Table, vocabulary: Vocabulary) -> npt.NDArray[np.float32]:
    a = table.numbers.shape[1]
    x = np.empty((len(table), a + table.categories.shape[1]), np.float32)
    np.clip(table.numbers, -FARTHEST, FARTHEST, out=x[:, :a], casting="same_kind")
    x[:, a:] = vocabulary.codes(table)
    return x
