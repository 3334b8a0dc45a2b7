"""A contest on one table: every contestant in a process of its own, the figures those of its test rows."""

import json
from dataclasses import replace
from io import StringIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from django.core.management import CommandError, call_command

from ml import contestants, evaluate, measures, tables
from ml.evaluate import Contest, Run


@pytest.fixture
def directory(tmp_path):
    """A table of 400 rows in which a number and a category drive what becomes of them, in two folds."""
    rng = np.random.default_rng(8)
    a, b = rng.normal(size=400), rng.choice(["market", "farm", "none"], 400)
    bad = rng.random(400) < 1 / (1 + np.exp(1 - 2 * a - 1.5 * (b == "farm")))
    columns = {"a": np.where(rng.random(400) < 0.1, np.nan, a), "b": b, "noise": rng.normal(size=400)}
    pq.write_table(pa.table({**columns, "bad": bad.astype(np.int8)}), tmp_path / "data.parquet")
    kinds = {"a": "numeric", "noise": "numeric", "b": "categorical"}
    (tmp_path / "schema.json").write_text(json.dumps({"label": "bad", "columns": kinds}))
    (tmp_path / "folds.csv").write_text("row,fold\n" + "\n".join(f"{row},{row % 2}" for row in range(400)))
    return tmp_path


def test_one_that_cannot_take_part_says_why_and_the_others_go_on(directory, tmp_path, monkeypatch, capsys):
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho 'ModuleNotFoundError: No module named catboost' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(evaluate, "PEERS_PYTHON", broken)
    out = tmp_path / "figures.json"
    asked = ["--data", str(directory), "--only", "catboost", "plain", "--json", str(out)]

    assert evaluate.main(asked) == 0
    said = capsys.readouterr().out
    assert "catboost   took no part: ModuleNotFoundError: No module named catboost" in said
    (figures,) = json.loads(out.read_text())
    assert figures["took_no_part"] == {"catboost": "ModuleNotFoundError: No module named catboost"}
    assert figures["contestants"]["plain"]["auc"]["mean"] > 0.75
    assert figures["contestants"]["plain"]["seconds"] > 0


@pytest.mark.parametrize("name", ["network", "plain"])
def test_nobody_sees_what_became_of_the_rows_that_they_are_judged_on(directory, name):
    table = tables.read(directory)
    fold = tables.folds_of(table, directory / "folds.csv")[0]
    train, test = table.take(fold.train), table.take(fold.test)
    chances = contestants.CONTESTANTS[name](train, test, 1)

    assert measures.auc(test.y, chances) > 0.75
    again = contestants.CONTESTANTS[name](train, replace(test, y=1 - test.y), 1)
    np.testing.assert_array_equal(again, chances)


def test_it_is_said_who_is_better_who_is_level_and_who_is_worse(directory):
    table = tables.read(directory)
    folds = tables.folds_of(table, directory / "folds.csv")
    truth = 1 / (
        1
        + np.exp(
            1
            - 2 * np.nan_to_num(table.numbers[:, 0])
            - 1.5 * (np.array(table.texts[0])[table.categories[:, 0]] == "farm")
        )
    )
    said = {"network": truth, "logistic": np.full(400, table.y.mean()), "plain": truth}
    runs = [Run(name, {fold.name: p[fold.test] for fold in folds}) for name, p in said.items()]
    lines = list(evaluate.report(Contest("made", table.y, folds, runs)))

    beside = {line.split()[0]: line for line in lines[lines.index("") if "" in lines else -2 :]}
    assert beside["logistic"].count("better") == 2
    assert beside["plain"].count("level") == 2
    turned = [Run("network", runs[1].chances), Run("plain", runs[0].chances)]
    assert list(evaluate.report(Contest("made", table.y, folds, turned)))[-1].count("worse") == 2
    ranks = list(evaluate.ranks([Contest("made", table.y, folds, runs), Contest("made", table.y, folds, runs)]))
    assert ranks[1].startswith("network") and ranks[-1].startswith("logistic")
    fell_out = [replace(runs[0], failed="no memory"), *runs[1:]]
    ranks = list(evaluate.ranks([Contest("made", table.y, folds, runs), Contest("made", table.y, folds, fell_out)]))
    assert ranks[1].startswith("plain") and "network    2.00" in ranks


def test_the_command_of_the_project_is_the_same(directory, tmp_path):
    out = StringIO()
    call_command("evaluate", data=directory, only=["plain"], stdout=out, stderr=StringIO())
    assert "mean over 2 folds" in out.getvalue() and "plain" in out.getvalue()
    with pytest.raises(CommandError, match=r"there is no data\.parquet"):
        call_command("evaluate", data=tmp_path / "nowhere", stdout=StringIO(), stderr=StringIO())
