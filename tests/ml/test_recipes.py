"""A recipe fits the number of loans, or comes from a file that says nothing unknown."""

import json
from dataclasses import asdict

import pytest

from ml import recipes
from ml.recipes import InvalidRecipe
from ml.train import Plan


def test_a_small_book_has_the_nightly_recipe_and_a_large_one_fewer_epochs():
    assert recipes.by_size(10_000) == recipes.NIGHTLY
    many = [recipes.by_size(loans) for loans in (100_000, 400_000, 1_000_000, 20_000_000)]

    epochs = [recipe.epochs for recipe in many]
    assert epochs == sorted(epochs, reverse=True)
    assert epochs[-1] == recipes.FEWEST_EPOCHS
    assert 1_000_000 * many[2].epochs <= recipes.MOST_STEPS
    assert all(recipe.falls and recipe.patience == recipe.epochs for recipe in many)


def test_a_warm_start_is_short_and_slow_however_many_loans_there_are():
    for loans in (500, 100_000, 1_000_000, 5_000_000):
        usual = recipes.by_size(loans)
        warm = recipes.warm(usual, loans)
        assert 1 <= warm.epochs <= usual.epochs
        assert warm.epochs == 1 or warm.epochs * loans <= recipes.MOST_WARM_STEPS or loans < 100_000
        assert warm.learning_rate == usual.learning_rate * recipes.WARM_RATE
        assert warm.falls


def test_what_a_plan_asks_for_bounds_the_recipe():
    assert Plan(epochs=2, max_seconds=9).recipe_for(500).epochs == 2
    assert Plan(epochs=2, max_seconds=9).recipe_for(500).max_seconds == 9
    assert Plan(epochs=999).recipe_for(500) == recipes.NIGHTLY


def test_a_recipe_survives_its_file(tmp_path):
    found = recipes.of({"width": 32, "dropout": 0, "max_seconds": None, "falls": True})
    assert (found.width, found.members) == (32, recipes.NIGHTLY.members)
    for content in ({"recipe": asdict(found), "log_loss": 0.4, "trials": []}, asdict(found)):
        (tmp_path / "recipe.json").write_text(json.dumps(content))
        assert recipes.read(tmp_path / "recipe.json") == found


@pytest.mark.parametrize(("text", "words"), [
    ('{"widht": 32}', "a recipe has no widht; it has bins, embedding, width"),
    ('{"recipe": {"layers": 3}}', "a recipe has no layers"),
    ('{"recipe": 3}', "a recipe is an object, got int"),
    ('{"width": "wide"}', "width must be int from 1 up, got 'wide'"),
    ('{"width": 32.5}', "width must be int"),
    ('{"width": true}', "width must be int"),
    ('{"falls": 1}', "falls must be bool from 0 up, got 1"),
    ('{"dropout": -0.1}', "dropout must be float from 0 up, got -0.1"),
    ('{"dropout": NaN}', "dropout must be float"),
    ('{"width": 0}', "width must be int"),
    ("[1]", "a recipe is an object, got list"),
    ("{", "recipe.json: "),
])  # fmt: skip
def test_what_no_recipe_has_is_refused_in_words(tmp_path, text, words):
    (tmp_path / "recipe.json").write_text(text)
    with pytest.raises(InvalidRecipe) as refused:
        recipes.read(tmp_path / "recipe.json")
    assert words in str(refused.value)
