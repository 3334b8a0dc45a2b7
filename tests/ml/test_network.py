"""How numbers are divided into bins, and what stands for where they are among the others."""

import numpy as np
import pytest

from ml import network


def test_quantiles_are_the_edges_of_a_number_that_seldom_repeats():
    edges = network.edges_of(np.arange(1_000, dtype=np.float32), 4)
    np.testing.assert_allclose(edges, [0, 249.75, 499.5, 749.25, 999])


def test_of_few_values_each_is_an_edge():
    known = np.sort(np.tile(np.array([0, 1, 5], np.float32), 50))
    np.testing.assert_array_equal(network.edges_of(known, 8), [0, 1, 5])


@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_value_that_many_rows_share_leaves_the_others_their_bins(share):
    rng = np.random.default_rng(1)
    many = int(1_000 * share)
    known = np.sort(np.concatenate([np.zeros(many), 1 + rng.exponential(50, 1_000 - many)]).astype(np.float32))
    edges = network.edges_of(known, 8)

    assert edges[0] == 0 and edges[1] == known[many], "what is shared, and the smallest of the others"
    assert len(edges) == 9
    above = np.histogram(known[many:], edges[1:])[0]
    assert above.max() - above.min() <= 2


def test_however_often_values_repeat_there_are_no_more_bins_than_asked_for():
    rng = np.random.default_rng(2)
    for seed in range(20):
        values = np.random.default_rng(seed).integers(0, 40, 500) ** rng.integers(1, 4)
        assert len(network.edges_of(np.sort(values.astype(np.float32)), 8)) <= 9
