"""Which recipe the nightly training learns by: by the number of loans, from a file, or for a warm start.

What each size costs and brings, measured: docs/network.md, "Size is a budget".
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ml.fit import Recipe

# One net of four members, which a machine that serves customers trains within a minute on some ten thousand loans.
NIGHTLY = Recipe(embedding=4, width=48, members=4, nets=1, epochs=24, patience=5, learning_rate=2e-3)
# From so many loans on, a set number of rounds at a rate that falls, and less of the net is dropped out.
MANY_LOANS = 100_000
# So many loans are gone through at most, all rounds together: what fits into half an hour of two cores, in need of
# half of them for customers. A warm start has five minutes.
MOST_STEPS, MOST_WARM_STEPS = 6_000_000, 1_500_000
FEWEST_EPOCHS, MOST_WARM_EPOCHS = 3, 4
# A night's new loans may not undo what the others taught.
WARM_RATE = 0.1


class InvalidRecipe(ValueError):
    """A recipe that says what none can, in words."""


def by_size(loans: int) -> Recipe:
    """Return how to learn from so many loans."""
    if loans < MANY_LOANS:
        return NIGHTLY
    epochs = min(NIGHTLY.epochs, max(FEWEST_EPOCHS, MOST_STEPS // loans))
    return replace(NIGHTLY, batch=512, dropout=0.1, falls=True, epochs=epochs, patience=epochs)


def warm(recipe: Recipe, loans: int) -> Recipe:
    """Return how to go on from weights that were found by a recipe: a few rounds, at a smaller rate that falls."""
    epochs = min(recipe.epochs, MOST_WARM_EPOCHS, max(1, MOST_WARM_STEPS // max(1, loans)))
    rate = recipe.learning_rate * WARM_RATE
    return replace(recipe, epochs=epochs, patience=epochs, learning_rate=rate, falls=True)


def read(path: Path) -> Recipe:
    """Return the recipe in a JSON file: what `ml.tune` found, or only the values that differ from the usual ones.

    Raises:
        InvalidRecipe: says what the file has that no recipe has.
    """
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise InvalidRecipe(f"{path}: {error}") from error
    found = content.get("recipe", content) if isinstance(content, dict) else content
    if not isinstance(found, dict):
        raise InvalidRecipe(f"{path}: a recipe is an object, got {type(found).__name__}")
    return of(found)


def of(values: Mapping[str, Any]) -> Recipe:
    """Return the usual recipe with these values in place of its own.

    Raises:
        InvalidRecipe: a name that no recipe has, or a value of another kind, or below what there can be.
    """
    usual = asdict(NIGHTLY) | {"max_seconds": 0.0}
    if unknown := sorted(values.keys() - usual.keys()):
        raise InvalidRecipe(f"a recipe has no {', '.join(unknown)}; it has {', '.join(usual)}")
    for name, value in values.items():
        if name == "max_seconds" and value is None:
            continue
        kind = type(usual[name])
        # A whole number is a float, too; a truth is none, though Python counts with it.
        is_one = type(value) is kind or (kind is float and type(value) is int)
        least = 1 if kind is int and name != "epochs" else 0
        if not (is_one and value >= least and math.isfinite(value)):
            raise InvalidRecipe(f"{name} must be {kind.__name__} from {least} up, got {value!r}")
        if name == "dropout" and value >= 1:
            raise InvalidRecipe(f"dropout must be below 1, got {value!r}")
        if name == "learning_rate" and not value:
            raise InvalidRecipe("learning_rate must be above 0")
    return replace(NIGHTLY, **values)
