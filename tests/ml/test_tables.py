"""A table is read as it is, or refused in words; what is told apart in it comes from the rows to learn from."""

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ml import network, tables
from ml.tables import InvalidTable, Vocabulary
from ml.tabular import recipe_for


def written(directory, *, columns=None, label=(0, 1) * 20, **extra):
    """Write a table of 40 rows and return its directory."""
    data = {"a": np.arange(40.0), "b": ["x", None] * 20, "label": list(label)} | extra
    pq.write_table(pa.table(data), directory / "data.parquet")
    schema = {"label": "label", "columns": columns or {"a": "numeric", "b": "categorical"}}
    (directory / "schema.json").write_text(json.dumps(schema))
    return directory


def test_numbers_categories_and_what_is_missing_are_read(tmp_path):
    table = tables.read(written(tmp_path, a=[np.inf, None, *range(38)]))

    assert np.isnan(table.numbers[:2, 0]).all() and table.numbers[2, 0] == 0
    assert table.categories[:2, 0].tolist() == [0, tables.MISSING] and table.texts == (("x",),)
    assert (table.number_names, table.category_names, len(table)) == (("a",), ("b",), 40)


def test_a_table_of_numbers_alone_has_no_categories(tmp_path):
    table = tables.read(written(tmp_path, columns={"a": "numeric"}))

    assert table.categories.shape == (40, 0)
    assert Vocabulary.learn(table).codes(table).shape == (40, 0)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"columns": {"z": "numeric"}}, "lacks z"),
        ({"columns": {"a": "text"}}, "numeric or categorical, got text"),
        ({"columns": ["a"]}, "must name the label, and the kind of each column"),
        ({"label": (1,) * 40}, "must be 0 and 1, both"),
        ({"label": (0, 2) * 20}, "must be 0 and 1, both"),
        ({"columns": {"b": "numeric"}, "b": ["x"] * 40}, "b must hold numbers"),
    ],
)
def test_what_cannot_be_is_refused_in_words(tmp_path, changes, words):
    with pytest.raises(InvalidTable, match=words):
        tables.read(written(tmp_path, **changes))


def test_an_empty_directory_is_refused_in_words(tmp_path):
    with pytest.raises(InvalidTable, match=r"schema\.json must name"):
        tables.read(tmp_path)


def folds(tmp_path, lines):
    path = tmp_path / "folds.csv"
    path.write_text("row,fold\n" + "\n".join(f"{row},{fold}" for row, fold in lines))
    return tables.folds_of(tables.read(written(tmp_path)), path)


def test_numbered_folds_are_judged_in_turn(tmp_path):
    found = folds(tmp_path, [(row, row // 20) for row in range(40)])

    assert [one.name for one in found] == ["0", "1"]
    assert found[0].test.tolist() == list(range(20)) and found[0].train.tolist() == list(range(20, 40))


def test_one_split_leaves_out_what_is_unused(tmp_path):
    (only,) = folds(tmp_path, [(row, ["train", "test", "unused"][row % 3]) for row in range(40)])

    assert set(only.train) == set(range(0, 40, 3)) and set(only.test) == set(range(1, 40, 3))


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([(40, 0)], "row 40 is not one of 40"),
        ([("x", 0)], "needs the columns row and fold"),
        ([(0, 0), (0, 1)], "a row stands there twice"),
        ([(row, "train" if row % 2 else "valid") for row in range(40)], "one split has train, test and unused"),
        ([(0, "train"), (1, "train"), (2, "test"), (4, "test")], "needs both outcomes twice"),
        ([], "no fold"),
    ],
)
def test_folds_that_cannot_be_are_refused_in_words(tmp_path, lines, words):
    with pytest.raises(InvalidTable, match=words):
        folds(tmp_path, lines)


def test_without_a_file_there_are_five_of_the_same_share(tmp_path):
    table = tables.read(written(tmp_path))
    found = tables.folds_of(table, None, seed=3)

    assert [len(one.test) for one in found] == [8] * 5
    assert [table.y[one.test].mean() for one in found] == [0.5] * 5
    assert sorted(np.concatenate([one.test for one in found])) == list(range(40))
    again = tables.folds_of(table, None, seed=3)
    assert all((one.test == two.test).all() for one, two in zip(found, again, strict=True))


def test_a_number_may_be_a_category_and_is_missing_where_it_is_none(tmp_path):
    table = tables.read(written(tmp_path, columns={"b": "categorical"}, b=[1.0, np.nan] * 20))

    assert table.categories[:2, 0].tolist() == [0, tables.MISSING]


def test_texts_that_are_rare_or_new_share_a_number_and_missing_is_none(tmp_path):
    texts = ["often", "often", "good", "once"] * 10
    texts[3::4] = ["once", None, *(f"rare {n}" for n in range(8))]
    table = tables.read(written(tmp_path, columns={"b": "categorical"}, b=texts))
    words = Vocabulary.learn(table)

    assert words.known == ({"often": 1, "good": 2},)
    assert words.codes(table)[[0, 2, 3], 0].tolist() == [1, 2, 0] and np.isnan(words.codes(table)[7, 0])
    later = replace(table, categories=np.array([[1], [0], [-1]], np.int32), texts=(("good", "new"),), y=table.y[:3])
    assert words.codes(later)[:2, 0].tolist() == [0, 2] and np.isnan(words.codes(later)[2, 0])


@pytest.mark.parametrize("rows", [400, 40_000])
def test_so_many_texts_are_told_apart_as_have_an_edge_of_their_own(tmp_path, rows):
    bins = recipe_for(rows).bins
    texts = [f"town {n % (bins + 12)}" for n in range(rows * 2)]
    pq.write_table(pa.table({"b": texts, "label": [0, 1] * rows}), tmp_path / "data.parquet")
    (tmp_path / "schema.json").write_text(json.dumps({"columns": {"b": "categorical"}}))
    table = tables.read(tmp_path)
    codes = Vocabulary.learn(table, bins).codes(table).astype(np.float32)

    assert set(codes[:, 0]) == set(range(bins + 1))
    assert network.edges_of(np.sort(codes[:, 0]), bins).tolist() == list(range(bins + 1))


def test_what_it_costs_stays_within_bounds_however_many_rows_there_are():
    for rows in (200, 30_000, 100_000, 299_999, 300_000, 1_000_000):
        recipe = recipe_for(rows)
        assert recipe.nets * recipe.epochs * rows <= max(7_000_000, 3 * 2 * rows) or rows < 30_000
