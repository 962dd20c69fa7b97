"""Gradient noise: Isserlis against numbers and samples, and where the noise is exactly zero."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import assert_consistent
from hypothesis import given
from hypothesis import strategies as st

from spinodal.errors import InputError
from spinodal.theory import gradient_noise as noise
from spinodal.theory import modes

SXX = np.array([[1.0, 0.3], [0.3, 0.8]])
SYX = np.array([[0.7, 0.2], [0.1, 0.6]])
SYY = np.array([[1.2, 0.1], [0.1, 0.9]])
W = np.array([[0.4, -0.1], [0.2, 0.3]])


def balanced(strengths: list[float], *, depth: int = 3, width: int = 10, p: int = 2):
    """Layers that share the strengths equally, each mode on a unit of its own."""
    sizes = [p, *[width] * (depth - 1), p]
    layers = []
    for rows, columns in zip(sizes[1:], sizes[:-1], strict=True):
        layer = np.zeros((rows, columns))
        for i, strength in enumerate(strengths):
            layer[i, i] = strength ** (1 / depth)
        layers.append(layer)
    return layers


def rank_one(weight_decay: float = 0.32):
    strength = float(modes.learned(depth=3, signal=0.9, weight_decay=weight_decay))
    layers = balanced([strength])
    w = np.diag([strength, 0.0])
    covariance = noise.gaussian_covariance(w, np.eye(2), np.diag([0.9, 0.8]), np.eye(2))
    return layers, noise.lifted(layers, covariance), strength


def random_layers(rng: np.random.Generator, sizes: list[int]):
    return [rng.normal(size=(a, b)) for a, b in zip(sizes[1:], sizes[:-1], strict=True)]


def test_isserlis_in_a_correlated_example():
    c = noise.gaussian_covariance(W, SXX, SYX, SYY).reshape(2, 2, 2, 2)
    assert np.trace(c.reshape(4, 4)) == pytest.approx(2.9102, abs=1e-14)
    assert c[0, 1, 1, 0] == pytest.approx(0.1008, abs=1e-14)


def test_gaussian_samples_have_the_covariance_of_isserlis():
    rng = np.random.default_rng(5)
    joint = np.block([[SXX, SYX.T], [SYX, SYY]])
    n = 400_000
    draws = rng.standard_normal((n, 4)) @ np.linalg.cholesky(joint).T
    x, y = draws[:, :2], draws[:, 2:]
    exact = noise.gaussian_covariance(W, SXX, SYX, SYY)
    g = np.einsum("ni,nj->nij", x @ W.T - y, x).reshape(n, -1)
    g -= (W @ SXX - SYX).ravel()
    for i in range(4):
        for j in range(i, 4):
            product = g[:, i] * g[:, j]
            assert_consistent(product.mean(), exact[i, j], product.std() / np.sqrt(n))


def test_layer_gradients_of_single_samples_have_the_lifted_covariance():
    rng = np.random.default_rng(6)
    layers = random_layers(rng, [2, 3, 4, 2])
    x, y = rng.standard_normal((50, 2)), rng.standard_normal((50, 2))
    product = layers[2] @ layers[1] @ layers[0]
    rows = []
    for a, b in zip(x, y, strict=True):
        g = np.outer(product @ a - b, a)
        rows.append(
            np.concatenate(
                [
                    ((layers[2] @ layers[1]).T @ g).ravel(),
                    (layers[2].T @ g @ layers[0].T).ravel(),
                    (g @ (layers[1] @ layers[0]).T).ravel(),
                ]
            )
        )
    direct = np.cov(np.array(rows).T, bias=True)
    lifted = noise.lifted(layers, noise.sample_covariance(product, x, y))
    np.testing.assert_allclose(lifted, direct, atol=1e-10)


def test_trace_and_radial_noise_of_the_rank_one_trap():
    layers, c, strength = rank_one()
    assert np.trace(c) == pytest.approx(1.1392964037914, abs=1e-12)
    assert noise.mode_trace(strength, depth=3, signals=(0.9, 0.8)) == pytest.approx(
        np.trace(c), rel=1e-14
    )
    radial = noise.along(c, noise.radial_direction(layers))
    assert radial == pytest.approx(0.6083829060137924, abs=1e-13)
    # n^T C n = L a^(2L-2) S(strength) with S(strength) = Var(strength x^2 - x y)
    spread = 2 * strength**2 - 4 * 0.9 * strength + 1 + 0.81
    assert radial == pytest.approx(3 * strength ** (4 / 3) * spread, rel=1e-13)


def test_no_sample_makes_noise_along_a_direction_that_raises_the_rank():
    layers, c, _ = rank_one()
    raising = noise.rank_raising_directions(layers, 1)
    assert len(raising) == 140 - 2 - 2 - 1
    assert np.abs(raising @ c).max() == 0.0
    np.testing.assert_allclose(raising @ raising.T, np.eye(len(raising)), atol=1e-14)


@given(
    rank=st.integers(0, 3),
    seed=st.integers(0, 2**32 - 1),
)
def test_noise_of_a_rotated_low_rank_state_fills_r_times_inputs_plus_outputs_minus_r(rank, seed):
    rng = np.random.default_rng(seed)
    layers = balanced([0.9, 0.6, 0.4][:rank], depth=4, width=5, p=3)
    turns = [np.linalg.qr(rng.normal(size=(5, 5)))[0] for _ in range(3)]
    for i, turn in enumerate(turns):
        layers[i], layers[i + 1] = turn @ layers[i], layers[i + 1] @ turn.T
    w = layers[3] @ layers[2] @ layers[1] @ layers[0]
    c = noise.lifted(layers, noise.gaussian_covariance(w, np.eye(3), 0.5 * np.eye(3), np.eye(3)))
    assert np.linalg.matrix_rank(c, tol=1e-12) == rank * (6 - rank)
    raising = noise.rank_raising_directions(layers, rank)
    assert np.abs(raising @ c).max(initial=0.0) < 1e-14


def test_in_the_trivial_state_nothing_is_noisy():
    layers = balanced([])
    c = noise.gaussian_covariance(np.zeros((2, 2)), np.eye(2), np.diag([0.9, 0.8]), np.eye(2))
    assert np.abs(noise.lifted(layers, c)).max() == 0.0


def test_matched_temperatures():
    _, c, _ = rank_one()
    trace = np.trace(c)
    paper = noise.trace_temperature(trace, learning_rate=0.08, batch_size=64, weights=140)
    assert paper == pytest.approx(0.08 * trace / (2 * 64 * 140))
    # Isotropic noise of variance 2 T lr per weight has the trace of lr^2 C / B.
    assert 2 * paper * 0.08 * 140 == pytest.approx(0.08**2 * trace / 64)
    assert noise.direction_temperature(0.6, learning_rate=0.08, batch_size=64) == pytest.approx(
        0.08 * 0.6 / 128
    )


def test_a_full_batch_without_replacement_has_no_noise():
    factor = noise.batch_covariance_factor
    assert factor("without", batch_size=512, samples=512) == 0.0
    assert factor("without", batch_size=1, samples=512) == factor(
        "replacement", batch_size=1, samples=512
    )
    assert factor("fresh", batch_size=64, samples=None) == 1 / 64


def test_a_batch_without_replacement_has_the_stated_variance():
    values = np.array([1.0, 2.0, 4.0, 8.0, -3.0])
    pairs = [(a + b) / 2 for i, a in enumerate(values) for b in values[i + 1 :]]
    expected = noise.batch_covariance_factor("without", batch_size=2, samples=5) * values.var()
    assert np.var(pairs) == pytest.approx(expected, rel=1e-12)


def test_shuffled_epochs_cancel_their_noise():
    end, average = noise.reshuffling_ratio(0.08 * 0.32, samples=512, batch_size=64)
    assert end == pytest.approx(0.003522545443697, rel=1e-10)
    assert average == pytest.approx(0.06481104923018, rel=1e-10)


@given(rate=st.floats(1e-5, 1e-3), batches=st.integers(2, 12))
def test_the_slow_noise_of_shuffled_epochs_falls_with_the_square_of_the_rate(rate, batches):
    rate /= batches
    end, average = noise.reshuffling_ratio(rate, samples=12 * batches, batch_size=12)
    n = 12 * batches / (12 * batches - 1)
    assert end == pytest.approx(rate**2 * (batches**2 - 1) / 12 * n, rel=5e-3)
    assert average == pytest.approx(rate * (batches**2 - 1) / (3 * batches) * n, rel=5e-3)


def test_long_epochs_make_as_much_noise_as_independent_batches():
    end, average = noise.reshuffling_ratio(0.5, samples=60_000, batch_size=10)
    assert end == pytest.approx(1, rel=2e-3)
    assert average == pytest.approx(1, rel=2e-3)


@pytest.mark.parametrize(
    "call",
    [
        lambda: noise.gaussian_covariance(np.eye(3), SXX, SYX, SYY),
        lambda: noise.sample_covariance(np.eye(2), np.ones((4, 2)), np.ones((3, 2))),
        lambda: noise.jacobian([np.ones((3, 2)), np.ones((2, 4))]),
        lambda: noise.along(np.eye(2), [0.0, 0.0]),
        lambda: noise.radial_direction(balanced([0.5]), mode=2),
        lambda: noise.batch_covariance_factor("without", batch_size=5, samples=4),
        lambda: noise.reshuffling_ratio(0.1, samples=10, batch_size=3),
    ],
)
def test_what_cannot_be_is_refused(call):
    with pytest.raises(InputError):
        call()
