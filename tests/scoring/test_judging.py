from dataclasses import replace

import numpy as np
import pytest

from scoring import judging
from tests.ml.conftest import book
from tests.scoring.conftest import NO_RIVAL


class TestObjections:
    def test_are_none_to_a_better_challenger(self, trained):
        assert judging.objections(trained, NO_RIVAL, book(300), has_rival=True, first=False) == []

    def test_are_those_of_the_comparison(self, trained):
        worse = replace(NO_RIVAL, better=False, why=("log-loss is higher",))
        assert judging.objections(trained, worse, book(300), has_rival=True, first=True) == ["log-loss is higher"]

    def test_keep_a_first_model_from_serving_unasked(self, trained):
        good = replace(trained, metrics={"test": {"auc": 0.7}})
        assert judging.objections(good, NO_RIVAL, book(300), has_rival=False, first=True) == []
        assert "--first" in judging.objections(good, NO_RIVAL, book(300), has_rival=False, first=False)[0]

    @pytest.mark.parametrize("auc", [0.54, float("nan")])
    def test_keep_a_first_model_that_knows_nothing_from_serving(self, trained, auc):
        blind = replace(trained, metrics={"test": {"auc": auc}})
        assert "AUC" in judging.objections(blind, NO_RIVAL, book(300), has_rival=False, first=True)[0]

    def test_keep_a_first_model_that_is_worse_than_the_plain_rate_from_serving(self, trained):
        good = replace(trained, metrics={"test": {"auc": 0.7}})
        lost = replace(NO_RIVAL, log_loss_gain=-0.02, better=False)
        assert "log-loss" in judging.objections(good, lost, book(300), has_rival=False, first=True)[0]

    def test_keep_a_first_model_that_could_not_be_judged_from_serving(self, trained):
        good = replace(trained, metrics={"test": {"auc": 0.7}})
        unjudged = replace(NO_RIVAL, challenger={}, better=False, why=("needs 200 later loans",))
        assert judging.objections(good, unjudged, book(300), has_rival=False, first=True) == [
            "needs 200 later loans"
        ]

    def test_keep_a_first_model_without_losses_from_serving(self, trained):
        spotless = replace(book(300), default=np.zeros(300, np.float32))
        assert "share lost" in judging.objections(trained, NO_RIVAL, spotless, has_rival=False, first=True)[-1]
