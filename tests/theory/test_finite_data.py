"""Phases of a finite sample: two routes to rank 1, gradients, limits and small data sets."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import minimize

from spinodal.errors import InputError
from spinodal.theory import finite_data, modes

Array = NDArray[np.float64]
Branch = Literal["learned", "saddle"]
BRANCHES: tuple[tuple[Branch, int], ...] = (("learned", 0), ("saddle", 1))
ENDS: tuple[Branch, Branch] = ("learned", "saddle")
seeds = st.integers(0, 2**32 - 1)


def sample(seed: int, count: int, signals: tuple[float, ...] = (0.9, 0.8)) -> tuple[Array, Array]:
    """Second moments (xx, yx) of `count` Gaussian pairs with these population signals."""
    rng = np.random.default_rng(seed)
    eta = np.array(signals)
    x = rng.standard_normal((count, len(eta)))
    y = x * eta + rng.standard_normal((count, len(eta))) * np.sqrt(1 - eta**2)
    return x.T @ x / count, y.T @ x / count


def relative_gradient(matrix: Array, sxx: Array, syx: Array, depth: int, decay: float) -> float:
    """Largest component of the gradient of F along maps of the same rank, per unit signal."""
    left, strengths, right = np.linalg.svd(matrix)
    rank = int(np.sum(strengths > 1e-12 * strengths[0]))
    gradient = left.T @ (matrix @ sxx - syx) @ right.T
    index = np.arange(rank)
    gradient[index, index] += decay * strengths[:rank] ** (2 / depth - 1)
    gradient[rank:, rank:] = 0
    return float(np.abs(gradient).max() / np.abs(syx).max())


@settings(max_examples=20, deadline=None)
@given(seed=seeds, depth=st.integers(3, 6), count=st.sampled_from([30, 512]))
def test_minima_and_saddles_of_every_rank_are_stationary_with_index_zero_and_one(
    seed, depth, count
):
    sxx, syx = sample(seed, count)
    limits = finite_data.empirical_spinodals(sxx, syx, depth=depth)
    decay = 0.7 * float(limits.min())
    for rank in (1, 2):
        for branch, index in BRANCHES:
            matrix = finite_data.stationary_rank(
                sxx, syx, depth=depth, rank=rank, weight_decay=decay, branch=branch
            )
            assert relative_gradient(matrix, sxx, syx, depth, decay) < 1e-11
            found = finite_data.stationary_index(matrix, sxx, syx, depth=depth, weight_decay=decay)
            assert found == index


@settings(max_examples=20, deadline=None)
@given(seed=seeds, depth=st.integers(3, 6))
def test_the_rank_one_spinodal_is_the_top_of_the_ridge_path(seed, depth):
    sxx, syx = sample(seed, 200)
    path = finite_data.ridge_path_rank1(sxx, syx, depth=depth, ridge=np.geomspace(1e-3, 1e3, 4001))
    top = int(np.argmax(path.weight_decay))
    assert 0 < top < 4000
    # The grid misses the maximum by its curvature times the squared step, below 1e-5.
    limit = finite_data.empirical_spinodals(sxx, syx, depth=depth)[0]
    assert limit == pytest.approx(path.weight_decay[top], rel=1e-5)
    assert limit >= path.weight_decay[top] * (1 - 1e-12)
    for position, branch in zip((top - 300, top + 300), ENDS, strict=True):
        matrix = finite_data.stationary_rank(
            sxx, syx, depth=depth, rank=1, weight_decay=path.weight_decay[position], branch=branch
        )
        assert np.linalg.norm(matrix, 2) == pytest.approx(path.strength[position], rel=1e-8)


@settings(max_examples=20, deadline=None)
@given(
    depth=st.integers(2, 8),
    signals=st.sampled_from([(0.9, 0.8), (0.5, 1.5), (1.0, 0.7, 0.5), (0.9, 1.2, 0.95)]),
    variance=st.floats(0.3, 3),
    angle=st.floats(0, 3),
)
def test_a_common_frame_reduces_to_the_modes(depth, signals, variance, angle):
    eta = np.array(signals)
    turn = np.eye(len(eta))
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    sxx, syx = variance * np.eye(len(eta)), np.diag(eta) @ turn.T
    limits = np.sort(modes.spinodal(depth, eta, input_variance=variance))[::-1]
    found = finite_data.empirical_spinodals(sxx, syx, depth=depth)
    np.testing.assert_allclose(found, limits, rtol=1e-9)
    decay = 0.6 * limits[-1]
    predicted = finite_data.empirical_modes(sxx, syx, depth=depth, weight_decay=decay)
    ordered = np.sort(eta)[::-1]
    mode = {
        "depth": depth,
        "signal": ordered,
        "weight_decay": decay,
        "input_variance": variance,
    }
    points = modes.stationary_points(**mode)
    np.testing.assert_allclose(predicted.learned, points.learned, rtol=1e-8)
    np.testing.assert_allclose(predicted.saddle, points.saddle, rtol=1e-8)
    np.testing.assert_allclose(predicted.barrier_out, modes.barrier_out(**mode), atol=1e-11)
    np.testing.assert_allclose(predicted.barrier_back, modes.barrier_back(**mode), atol=1e-11)


def test_unequal_variances_on_common_axes_reduce_to_the_modes():
    eta, variances = np.array([0.9, 0.8]), np.array([1.2, 0.9])
    limits = modes.spinodal(4, eta, input_variance=variances)
    found = finite_data.empirical_spinodals(np.diag(variances), np.diag(eta), depth=4)
    np.testing.assert_allclose(np.sort(found), np.sort(limits), rtol=1e-9)


def test_exactly_tied_signals_share_their_spinodal():
    found = finite_data.empirical_spinodals(np.eye(2), 0.8 * np.eye(2), depth=3)
    np.testing.assert_allclose(found, modes.spinodal(3, 0.8), rtol=1e-6)


def test_the_ridge_path_of_common_axes_is_elementary():
    path = finite_data.ridge_path_rank1(
        np.diag([1.2, 0.9]), np.diag([0.9, 0.5]), depth=3, ridge=[[0.1, 1.0], [2.0, 10.0]]
    )
    np.testing.assert_allclose(path.strength, 0.9 / (1.2 + path.ridge), rtol=1e-14)
    np.testing.assert_allclose(path.weight_decay, path.ridge * path.strength ** (4 / 3))


@settings(max_examples=10, deadline=None)
@given(seed=seeds)
def test_more_outputs_or_inputs_than_modes_are_allowed(seed):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((60, 4))
    y = x @ rng.standard_normal((4, 3)) + rng.standard_normal((60, 3))
    sxx, syx = x.T @ x / 60, y.T @ x / 60
    limits = finite_data.empirical_spinodals(sxx, syx, depth=3)
    assert limits.shape == (3,)
    decay = 0.5 * float(limits[2])
    matrix = finite_data.stationary_rank(sxx, syx, depth=3, rank=3, weight_decay=decay)
    assert matrix.shape == (3, 4)
    assert relative_gradient(matrix, sxx, syx, 3, decay) < 1e-11


@pytest.mark.parametrize("seed", range(5))
def test_descent_on_layers_finds_the_predicted_full_rank_minimum(seed):
    # An independent route: minimise the loss over the layers themselves, nothing balanced.
    sxx, syx = sample(seed, 100)
    decay = 0.5 * float(finite_data.empirical_spinodals(sxx, syx, depth=3).min())
    matrix = finite_data.stationary_rank(sxx, syx, depth=3, rank=2, weight_decay=decay)

    def objective(theta: Array) -> tuple[float, Array]:
        first, second, third = theta.reshape(3, 2, 2)
        product = third @ second @ first
        error = product @ sxx - syx
        value = 0.5 * np.sum((product @ sxx) * product) - np.sum(product * syx)
        slope = [
            (third @ second).T @ error,
            third.T @ error @ first.T,
            error @ (second @ first).T,
        ]
        return float(value + decay / 2 * theta @ theta), np.ravel(slope) + decay * theta

    start = np.ravel([np.eye(2)] * 3) + 0.1 * np.random.default_rng(seed).standard_normal(12)
    result = minimize(objective, start, jac=True, method="BFGS", options={"gtol": 1e-9})
    first, second, third = result.x.reshape(3, 2, 2)
    np.testing.assert_allclose(third @ second @ first, matrix, atol=1e-6)
    loss = finite_data.empirical_loss(
        matrix, sxx, syx, np.zeros((2, 2)), depth=3, weight_decay=decay
    )
    assert loss == pytest.approx(result.fun, abs=1e-12)


def test_empirical_barriers_are_differences_of_the_empirical_loss():
    sxx, syx = sample(7, 512)
    syy, decay = np.eye(2), 0.25
    predicted = finite_data.empirical_modes(sxx, syx, depth=3, weight_decay=decay)

    def height(rank: int, branch: Branch) -> float:
        matrix = finite_data.stationary_rank(
            sxx, syx, depth=3, rank=rank, weight_decay=decay, branch=branch
        )
        return finite_data.empirical_loss(matrix, sxx, syx, syy, depth=3, weight_decay=decay)

    tops = [height(rank, "saddle") for rank in (1, 2)]
    feet = [height(rank, "learned") for rank in (0, 1, 2)]
    assert feet[0] == 1.0
    np.testing.assert_allclose(predicted.barrier_out, np.subtract(tops, feet[:2]), atol=1e-14)
    np.testing.assert_allclose(predicted.barrier_back, np.subtract(tops, feet[1:]), atol=1e-14)


def test_past_its_spinodal_a_mode_has_no_points():
    sxx, syx = sample(3, 512)
    limits = finite_data.empirical_spinodals(sxx, syx, depth=3)
    decay = float(limits.mean())
    predicted = finite_data.empirical_modes(sxx, syx, depth=3, weight_decay=decay)
    assert np.isfinite(predicted.saddle[0])
    assert np.isnan([predicted.saddle[1], predicted.learned[1], predicted.barrier_out[1]]).all()
    with pytest.raises(InputError, match=f"spinodal of this sample, {limits[1]:.6g}"):
        finite_data.stationary_rank(sxx, syx, depth=3, rank=2, weight_decay=decay)


def test_effective_signals_are_the_signals_of_uncorrelated_unit_inputs():
    found = finite_data.effective_signals(np.eye(2), np.diag([0.8, 0.9]), depth=3)
    np.testing.assert_allclose(found, [0.9, 0.8], rtol=1e-10)


def test_a_large_sample_has_population_spinodals():
    sxx, syx = sample(11, 200_000)
    # Standard errors of empirical moments are about 1/sqrt(200 000) = 0.002.
    found = finite_data.empirical_spinodals(sxx, syx, depth=3)
    np.testing.assert_allclose(found, modes.spinodal(3, [0.9, 0.8]), atol=0.012)


def test_at_depth_one_the_stationary_map_is_ridge_regression():
    sxx, syx = sample(1, 50)
    matrix = finite_data.stationary_rank(sxx, syx, depth=1, rank=2, weight_decay=0.3)
    np.testing.assert_allclose(matrix @ (sxx + 0.3 * np.eye(2)), syx, atol=1e-14)
    assert np.all(np.isinf(finite_data.empirical_spinodals(sxx, syx, depth=1)))


def test_data_with_one_mode_has_one_spinodal():
    limits = finite_data.empirical_spinodals(np.eye(2), np.diag([0.9, 0.0]), depth=3)
    np.testing.assert_allclose(limits, [float(modes.spinodal(3, 0.9)), 0.0])


@pytest.mark.parametrize(
    ("sxx", "syx", "complaint"),
    [
        (np.eye(3), np.eye(2), "shape"),
        (np.eye(2) * np.nan, np.eye(2), "finite"),
        ([[1.0, 0.5], [0.0, 1.0]], np.eye(2), "symmetric"),
    ],
)
def test_impossible_moments_are_refused(sxx, syx, complaint):
    with pytest.raises(InputError, match=complaint):
        finite_data.empirical_spinodals(sxx, syx, depth=3)
