"""Clouds around a minimum: both equations solved, simulated, and temperatures that differ."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import assert_consistent

from spinodal.errors import InputError
from spinodal.theory import gradient_noise
from spinodal.theory.stationary_noise import (
    excess_temperature,
    loss_excess,
    stationary_covariance,
)

H = np.array([[0.9, 0.3, 0.0], [0.3, 0.5, 0.1], [0.0, 0.1, 0.2]])
C = np.array([[1.0, 0.4, 0.1], [0.4, 0.7, 0.0], [0.1, 0.0, 0.3]])
STEP = {"learning_rate": 0.4, "batch_size": 5}


def test_the_cloud_solves_the_discrete_and_the_continuous_equation():
    s = stationary_covariance(H, C, **STEP)
    np.testing.assert_allclose(H @ s + s @ H - 0.4 * H @ s @ H, 0.08 * C, atol=1e-15)
    # One step takes the cloud to itself: (1 - lr H) S (1 - lr H) + lr^2 C / B = S.
    map_ = np.eye(3) - 0.4 * H
    np.testing.assert_allclose(map_ @ s @ map_ + 0.4**2 / 5 * C, s, atol=1e-15)
    s = stationary_covariance(H, C, **STEP, discrete=False)
    np.testing.assert_allclose(H @ s + s @ H, 0.08 * C, atol=1e-15)


def test_one_mode_has_the_known_variance_and_excess():
    s = stationary_covariance([[0.7]], [[1.3]], learning_rate=0.2, batch_size=8)
    assert s[0, 0] == pytest.approx(0.2 * 1.3 / (8 * 0.7 * (2 - 0.2 * 0.7)), rel=1e-14)
    assert loss_excess([[0.7]], s) == pytest.approx(0.35 * s[0, 0])


def test_simulated_batches_have_this_cloud_and_this_excess():
    rng = np.random.default_rng(3)
    kicks = np.linalg.cholesky(C / 5)
    theta = np.zeros((20_000, 3))
    for _ in range(120):
        theta = theta - 0.4 * (theta @ H + rng.standard_normal(theta.shape) @ kicks.T)
    excess = 0.5 * np.einsum("ni,ij,nj->n", theta, H, theta)
    s = stationary_covariance(H, C, **STEP)
    assert_consistent(excess.mean(), loss_excess(H, s), excess.std() / np.sqrt(len(excess)))


def test_isotropic_noise_is_a_temperature_and_all_ways_to_read_it_agree():
    rate, size, c = 1e-4, 5, 0.8
    s = stationary_covariance(H, c * np.eye(3), learning_rate=rate, batch_size=size)
    temperature = rate * c / (2 * size)
    np.testing.assert_allclose(s, temperature * np.linalg.inv(H), rtol=1e-3, atol=1e-10)
    step = {"learning_rate": rate, "batch_size": size}
    assert excess_temperature(H, s) == pytest.approx(temperature, rel=1e-3)
    assert gradient_noise.trace_temperature(3 * c, weights=3, **step) == pytest.approx(temperature)
    other = stationary_covariance(H, C, learning_rate=rate, batch_size=size)
    by_trace = gradient_noise.trace_temperature(np.trace(C), weights=3, **step)
    along = gradient_noise.direction_temperature(gradient_noise.along(C, [1, 0, 0]), **step)
    # By the excess: tr(H S) / D = lr tr C / (2 B D), the trace's, for small steps.
    assert excess_temperature(H, other) == pytest.approx(float(by_trace), rel=1e-3)
    assert abs(along / by_trace - 1) > 0.1


def test_directions_without_curvature_and_noise_stay_where_they_are():
    h, c = np.diag([0.5, 0.0]), np.diag([1.0, 0.0])
    s = stationary_covariance(h, c, **STEP)
    assert s[1, 1] == 0
    assert s[0, 0] > 0
    assert excess_temperature(h, s) == pytest.approx(0.5 * s[0, 0])


@pytest.mark.parametrize(
    "call",
    [
        lambda: stationary_covariance(np.diag([0.5, 0.0]), np.eye(2), **STEP),
        lambda: stationary_covariance(np.diag([0.5, -0.1]), np.eye(2), **STEP),
        lambda: stationary_covariance(np.diag([0.5, 5.0]), np.eye(2), **STEP),
        lambda: stationary_covariance(np.eye(2), np.eye(3), **STEP),
        lambda: stationary_covariance(np.eye(2), np.eye(2), learning_rate=0.0, batch_size=1),
        lambda: excess_temperature(np.zeros((2, 2)), np.eye(2)),
    ],
)
def test_what_cannot_be_is_refused(call):
    with pytest.raises(InputError):
        call()
