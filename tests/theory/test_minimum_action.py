"""Cheapest paths: twice the climb under isotropic noise, Lyapunov's matrix without a loss."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import solve_continuous_lyapunov

from spinodal.errors import InputError
from spinodal.theory import quasipotential
from spinodal.theory.minimum_action import action, evenly, minimum_action
from spinodal.theory.noisy_mode import NoisyMode

MODE = NoisyMode(depth=3, signal=0.8, weight_decay=0.32)


def constant(matrix):
    return lambda x: np.broadcast_to(np.asarray(matrix, float), (len(x), *np.shape(matrix)))


def valley(x):
    """-grad U of U = (x^2 - 1)^2 / 4 + (y - x^2 / 2)^2 / 2: the way over (0, 0) is bent."""
    off = x[:, 1] - 0.5 * x[:, 0] ** 2
    return -np.stack([x[:, 0] ** 3 - x[:, 0] - x[:, 0] * off, off], axis=1)


def test_a_loss_under_isotropic_noise_costs_twice_the_climb():
    found = minimum_action(valley, constant(np.eye(2)), start=[-1, 0.5], end=[0, 0], points=32)
    assert found.converged
    assert found.action == pytest.approx(2 * 0.25, rel=1e-5)
    # Uphill it follows the gradient, which bends away from the straight line.
    middle, step = 0.5 * (found.path[1:] + found.path[:-1]), np.diff(found.path, axis=0)
    slope = valley(middle)
    sine = np.abs(step[:, 0] * slope[:, 1] - step[:, 1] * slope[:, 0])
    sine /= np.linalg.norm(step, axis=1) * np.linalg.norm(slope, axis=1)
    assert sine[2:-2].max() < 0.02
    assert np.abs(found.path[:, 1] + 0.5 * found.path[:, 0]).max() > 0.05
    hot = minimum_action(valley, constant(2 * np.eye(2)), start=[-1, 0.5], end=[0, 0], points=32)
    assert hot.action == pytest.approx(0.25, rel=1e-5)


def test_downhill_is_free():
    down = np.linspace([MODE.saddle], [MODE.learned], 30)
    assert abs(action(MODE.drift, lambda a: MODE.variance(a)[..., None], down)) < 1e-15


def test_a_rotating_linear_drift_has_the_quasipotential_of_lyapunovs_equation():
    a = np.array([[1.0, -0.8], [0.6, 0.5]])
    root = np.array([[0.7, 0.1], [0.0, 0.4]])
    noise = root @ root.T
    end = np.array([0.5, -0.3])
    covariance = solve_continuous_lyapunov(a, noise)
    exact = 0.5 * end @ np.linalg.solve(covariance, end)
    found = minimum_action(lambda x: -x @ a.T, constant(noise), start=[0, 0], end=end, points=32)
    assert found.action == pytest.approx(exact, rel=5e-4)
    straight = action(lambda x: -x @ a.T, constant(noise), np.linspace([0, 0], end, 200))
    assert straight > 1.05 * exact  # the cheapest way spirals


def test_one_amplitude_under_minibatch_noise_equals_the_quadrature():
    found = minimum_action(
        MODE.drift,
        lambda a: MODE.variance(a)[..., None],
        start=MODE.learned,
        end=MODE.saddle,
        points=32,
    )
    assert found.converged
    assert found.action == pytest.approx(quasipotential.diffusion_exponent(MODE), rel=1e-5)


def test_layers_stay_balanced_on_the_cheapest_way_under_mixed_noise():
    noise, temperature = 0.02, 2e-3

    def drift(a):
        strength = a.prod(axis=1, keepdims=True)
        return -((strength - 0.8) * strength / a + 0.32 * a)

    def diffusion(a):
        strength = a.prod(axis=1)
        push = strength[:, None] / a
        shared = noise * MODE.spread(strength)[:, None, None] * push[:, :, None] * push[:, None, :]
        return shared + 2 * temperature * np.eye(3)

    ends = np.array([[MODE.learned] * 3, [MODE.saddle] * 3])
    guess = evenly(ends, 10)
    guess[1:-1] += 0.02 * np.sin(np.linspace(0.3, 2.8, 9))[:, None] * np.array([1, -1, 0.5])
    found = minimum_action(drift, diffusion, start=ends[0], end=ends[1], guess=guess, points=32)
    exact = quasipotential.mixed_exponent(MODE, noise=noise, temperature=temperature)
    assert found.action == pytest.approx(exact, rel=1e-5)
    assert np.ptp(found.path, axis=1).max() < 1e-6


def test_evenly_spaced_points_lie_on_the_path():
    bent = evenly([[0, 0], [1, 0], [1, 2]], 6)
    np.testing.assert_allclose(np.linalg.norm(np.diff(bent, axis=0), axis=1), 0.5)
    np.testing.assert_allclose(bent[2], [1, 0], atol=1e-12)


@pytest.mark.parametrize(
    "call",
    [
        lambda: minimum_action(valley, constant(np.eye(2)), start=[0, 0], end=[0, 0]),
        lambda: minimum_action(valley, constant(np.eye(2)), start=[0, 0], end=[1, 0], points=8),
        lambda: minimum_action(valley, constant(np.diag([1.0, 0.0])), start=[0, 0], end=[1, 0]),
        lambda: minimum_action(
            valley, constant(np.eye(2)), start=[0, 0], end=[1, 0], guess=[[0, 1], [1, 0]]
        ),
    ],
)
def test_what_cannot_be_is_refused(call):
    with pytest.raises(InputError):
        call()
