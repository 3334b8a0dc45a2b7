"""Who takes part in a contest: our network, the commissioning document's, and what the field uses.

Each fits one table and scores another, in a process of its own (`python -m ml.contestants`): some of the libraries
cannot live in one process, and so that the memory that each takes can be told. Trees find the number of their
rounds on a fifth that they do not learn from, and learn once more from all.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ml import tables
from ml.memory import peak_mib
from ml.tables import Table

Chances = npt.NDArray[np.floating]
Contestant = Callable[[Table, Table, int], Chances]
Scale = Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]

ROUNDS, PATIENCE, RATE = 3_000, 100, 0.03
HELD_BACK = 5


def network(train: Table, test: Table, seed: int) -> Chances:
    """Our network, by the recipe that fits the size of the table."""
    from ml.tabular import TableNetwork

    return TableNetwork.fit(train, seed=seed).predict(test)


def plain(train: Table, test: Table, seed: int) -> Chances:
    """The commissioning document's: two dense layers of 64, adam, 10 epochs, batches of 32."""
    import keras

    keras.utils.set_random_seed(seed)
    x, later = _dense(train, test)
    layers = [keras.Input((x.shape[1],)), *(keras.layers.Dense(64, "relu") for _ in range(2))]
    model = keras.Sequential([*layers, keras.layers.Dense(1, "sigmoid")])
    model.compile("adam", "binary_crossentropy")
    model.fit(x, train.y, epochs=10, batch_size=32, verbose=0)
    return np.asarray(model.predict(later, batch_size=4096, verbose=0)[:, 0], np.float64)


def logistic(train: Table, test: Table, seed: int) -> Chances:
    """Logistic regression on normal scores and one-hot categories; cross-validation chooses its penalty."""
    from sklearn.linear_model import LogisticRegressionCV
    from sklearn.preprocessing import QuantileTransformer

    scores = QuantileTransformer(output_distribution="normal", random_state=seed)
    x, later = _dense(train, test, scores.fit_transform, scores.transform)
    model = LogisticRegressionCV(
        Cs=[0.001, 0.01, 0.1, 1.0, 10.0], scoring="neg_log_loss", max_iter=2_000, random_state=seed
    )
    return np.asarray(model.fit(x, train.y).predict_proba(later)[:, 1])


def scorecard(train: Table, test: Table, seed: int) -> Chances:
    """A scorecard: optimal bins, weight of evidence, logistic regression."""
    from optbinning import BinningProcess
    from sklearn.linear_model import LogisticRegression

    names = [*train.number_names, *train.category_names]
    bins = BinningProcess(names, categorical_variables=list(train.category_names))
    x = bins.fit_transform(_frame(train), train.y.astype(int), metric="woe", metric_missing="empirical")
    later = bins.transform(_frame(test), metric="woe", metric_missing="empirical")
    model = LogisticRegression(max_iter=2_000).fit(np.asarray(x), train.y)
    return np.asarray(model.predict_proba(np.asarray(later))[:, 1])


def lightgbm(train: Table, test: Table, seed: int) -> Chances:
    """LightGBM with its own handling of missing values, and of categories."""
    import lightgbm as lgb

    # The places of all texts, unseen ones too: which of them to tell apart is its own affair.
    x, later = (np.column_stack([one.numbers, one.categories]) for one in (train, test))
    named = list(range(train.numbers.shape[1], x.shape[1]))
    settings = {
        "objective": "binary", "learning_rate": RATE, "num_leaves": 15, "min_child_samples": 20,
        "subsample": 0.8, "subsample_freq": 1, "colsample_bytree": 0.8, "reg_lambda": 1.0, "seed": seed,
        "verbose": -1, "num_threads": len(os.sched_getaffinity(0)), "deterministic": True, "force_row_wise": True,
    }  # fmt: skip
    learn, held = _held_back(train, seed)

    def data(rows: Any) -> Any:
        return lgb.Dataset(x[rows], train.y[rows], categorical_feature=named, free_raw_data=False)

    stop = lgb.early_stopping(PATIENCE, verbose=False)
    first = lgb.train(settings, data(learn), ROUNDS, valid_sets=[data(held)], callbacks=[stop])
    model = lgb.train(settings, data(np.arange(len(train))), max(1, first.best_iteration))
    return np.asarray(model.predict(later))


def xgboost(train: Table, test: Table, seed: int) -> Chances:
    """XGBoost, histograms, with its own handling of missing values, and of categories."""
    import xgboost as xgb

    settings = {
        "objective": "binary:logistic", "eval_metric": "logloss", "eta": RATE, "max_depth": 4, "subsample": 0.8,
        "colsample_bytree": 0.8, "min_child_weight": 5, "lambda": 1.0, "tree_method": "hist", "seed": seed,
    }  # fmt: skip
    learn, held = _held_back(train, seed)

    def data(table: Table) -> Any:
        return xgb.DMatrix(_frame(table), table.y, enable_categorical=True)

    first = xgb.train(
        settings, data(train.take(learn)), ROUNDS, evals=[(data(train.take(held)), "held")],
        early_stopping_rounds=PATIENCE, verbose_eval=False,
    )  # fmt: skip
    model = xgb.train(settings, data(train), first.best_iteration + 1)
    return np.asarray(model.predict(data(test)))


def catboost(train: Table, test: Table, seed: int) -> Chances:
    """CatBoost with its own handling of missing values, and of categories."""
    from catboost import CatBoostClassifier, Pool

    def pool(table: Table) -> Any:
        if not table.category_names:
            return Pool(table.numbers.astype(np.float32), table.y)
        frame = _frame(table)
        for name in table.category_names:
            frame[name] = frame[name].astype(object).fillna("")
        return Pool(frame, table.y, cat_features=list(table.category_names))

    settings = {
        "iterations": ROUNDS, "learning_rate": RATE, "depth": 6, "random_seed": seed, "verbose": False,
        "allow_writing_files": False,
    }  # fmt: skip
    learn, held = _held_back(train, seed)
    first = CatBoostClassifier(**settings).fit(
        pool(train.take(learn)), eval_set=pool(train.take(held)), early_stopping_rounds=PATIENCE
    )
    rounds = max(1, first.tree_count_)
    model = CatBoostClassifier(**settings | {"iterations": rounds}).fit(pool(train))
    return np.asarray(model.predict_proba(pool(test))[:, 1])


CONTESTANTS: dict[str, Contestant] = {
    "network": network,
    "logistic": logistic,
    "scorecard": scorecard,
    "lightgbm": lightgbm,
    "xgboost": xgboost,
    "catboost": catboost,
    "plain": plain,
}


def _frame(table: Table) -> Any:
    """Return a table as the libraries like it: categories by their texts, missing ones missing."""
    import pandas as pd

    columns: dict[str, Any] = dict(zip(table.number_names, table.numbers.T, strict=True))
    for name, places, texts in zip(table.category_names, table.categories.T, table.texts, strict=True):
        columns[name] = pd.Categorical.from_codes(places, categories=list(texts))
    return pd.DataFrame(columns)


def _dense(
    train: Table, test: Table, learn_scale: Scale | None = None, scale: Scale | None = None
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return numbers, medians where missing, marks of what is missing, and one-hot categories.

    Numbers are standardised unless another scale is given, as it is learnt and as it is used.
    """
    words = tables.Vocabulary.learn(train)
    usual = np.array([np.median(c[~np.isnan(c)]) if not np.isnan(c).all() else 0.0 for c in train.numbers.T])
    gaps = np.isnan(train.numbers).any(axis=0)

    def filled(table: Table) -> npt.NDArray[np.float64]:
        return np.where(np.isnan(table.numbers), usual, table.numbers)

    if learn_scale is None or scale is None:
        mean, spread = filled(train).mean(axis=0), filled(train).std(axis=0)
        learn_scale = scale = lambda numbers: (numbers - mean) / np.where(spread == 0, 1, spread)

    def dense(table: Table, scaled: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
        codes = words.codes(table)
        one_hot = [codes[:, [place]] == np.arange(len(known) + 1) for place, known in enumerate(words.known)]
        return np.column_stack([scaled, np.isnan(table.numbers)[:, gaps], *one_hot]).astype(np.float32)

    return dense(train, learn_scale(filled(train))), dense(test, scale(filled(test)))


def _held_back(train: Table, seed: int) -> tuple[tables.Rows, tables.Rows]:
    parts = tables.stratified(train.y, HELD_BACK, seed=seed)
    return np.flatnonzero(parts != 0), np.flatnonzero(parts == 0)


def main(argv: list[str] | None = None) -> int:
    """Fit one contestant to one fold; write what it says of the fold's test rows, and print what it took."""
    parser = argparse.ArgumentParser(prog="python -m ml.contestants", description=main.__doc__)
    parser.add_argument("name", choices=CONTESTANTS)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--folds", type=Path)
    parser.add_argument("--fold", required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args(argv)
    table = tables.read(asked.data)
    fold = next(one for one in tables.folds_of(table, asked.folds) if one.name == asked.fold)
    train, test = table.take(fold.train), table.take(fold.test)
    del table
    began, before_mib = time.monotonic(), peak_mib()
    chances = np.asarray(CONTESTANTS[asked.name](train, test, asked.seed), np.float64)
    took = time.monotonic() - began
    if chances.shape != (len(test),) or not ((chances >= 0) & (chances <= 1)).all():
        print(f"{asked.name} gave no chances from 0 to 1", file=sys.stderr)  # noqa: T201
        return 1
    np.save(asked.out, chances)
    peak = peak_mib()
    print(json.dumps({"seconds": round(took, 2), "peak_mib": peak, "read_mib": before_mib}))  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
