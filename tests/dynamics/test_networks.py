"""Networks: order parameters, exact low-rank sets, and sums in a fixed order."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spinodal.dynamics.networks import (
    Network,
    dead_amplitudes,
    effective_rank,
    end_to_end,
    multiply,
    project_to_rank,
    singular_values,
    strengths,
)


@given(
    st.integers(1, 6), st.integers(1, 9), st.integers(1, 6), st.integers(2, 5), st.integers(0, 99)
)
def test_products_add_in_ascending_order_one_operation_at_a_time(m, k, n, replicas, seed):
    rng = np.random.default_rng(seed)
    a, b = rng.standard_normal((m, k, replicas)), rng.standard_normal((k, n, replicas))
    total = a[:, 0, None] * b[None, 0]
    for i in range(1, k):
        total = total + a[:, i, None] * b[None, i]
    np.testing.assert_array_equal(multiply(a, b), total)


@given(st.integers(1, 5), st.integers(1, 7), st.booleans())
def test_parameters_are_counted_layer_by_layer(depth, width, biases):
    network = Network(depth=depth, width=width, biases=biases)
    layers = network.initial(2, 3, seed=1, replicas=range(2))
    masks = network.trainable(2, 3)
    trained = sum(layer[..., 0].size for layer in layers)
    if masks is not None:
        trained = sum(int(mask.sum()) for mask in masks)
    assert network.parameters(2, 3) == trained


def test_the_network_of_the_paper_has_140_weights_and_162_with_biases():
    assert Network(depth=3, width=10).parameters(2, 2) == 140
    assert Network(depth=3, width=10, biases=True).parameters(2, 2) == 162


def test_initial_weights_have_the_stated_spread():
    layers = Network(depth=3, width=10, initial_scale=2.0).initial(
        2, 2, seed=5, replicas=range(400)
    )
    values = np.concatenate([layer.ravel() for layer in layers])
    assert abs(values.var() / 0.4 - 1) * np.sqrt(values.size / 2) < 4


def test_strengths_of_two_by_two_maps_are_singular_values():
    rng = np.random.default_rng(1)
    matrices = rng.standard_normal((200, 2, 2)) * rng.choice([1, 1e-9], (200, 1, 1))
    np.testing.assert_allclose(
        singular_values(matrices), np.linalg.svd(matrices)[1], rtol=1e-12, atol=1e-28
    )
    assert not singular_values(np.zeros((1, 2, 2))).any()


def test_effective_rank_counts_equal_modes_and_is_zero_without_any():
    values = np.array([[1.0, 0.7, 0.0, 0.9], [0.0, 0.7, 0.0, 0.1]])
    ranks = effective_rank(values)
    np.testing.assert_allclose(ranks[:3], [1, 2, 0], rtol=1e-12)
    assert 1 < ranks[3] < 2


@pytest.mark.parametrize("rank", [0, 1, 2])
def test_projection_leaves_exactly_the_rank_asked_for_and_keeps_what_has_it(rank):
    layers = Network(width=6).initial(3, 3, seed=1, replicas=range(4))
    low = project_to_rank(layers, rank)
    assert not dead_amplitudes(low, rank)[1:-1].any()
    assert (strengths(low)[rank:] < 1e-15).all()
    again = project_to_rank(low, rank)
    np.testing.assert_allclose(end_to_end(again), end_to_end(low), atol=1e-13)
    dead = [layer[rank:, rank:] for layer in low[1:-1]]
    assert not any(block.any() for block in dead)
