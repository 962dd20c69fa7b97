"""Noise-free times against adaptive quadrature, a differential equation solver and limits."""

from __future__ import annotations

from typing import TypedDict

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.integrate import quad, solve_ivp

from spinodal.errors import InputError
from spinodal.theory import modes, plateau, roots


class Mode(TypedDict):
    depth: int
    signal: float
    weight_decay: float
    input_variance: float


def flow_time(mode: Mode, start: float, end: float) -> float:
    """Time between two amplitudes by adaptive quadrature of dt = -L da / E'(a)."""
    return quad(
        lambda z: -mode["depth"] * np.exp(z) / modes.slope(np.exp(z), **mode),
        np.log(start),
        np.log(end),
        epsabs=0,
        epsrel=1e-10,
        limit=500,
    )[0]


@settings(deadline=None)
@given(
    depth=st.integers(1, 8),
    signal=st.floats(0.2, 5),
    variance=st.floats(0.5, 2),
    fraction=st.floats(0.0, 0.95),
    above=st.floats(1.001, 3),
)
def test_plateau_times_are_those_of_adaptive_quadrature(depth, signal, variance, fraction, above):
    limit = float(modes.spinodal(max(depth, 2), signal, input_variance=variance))
    mode: Mode = {
        "depth": depth,
        "signal": signal,
        "weight_decay": fraction * limit,
        "input_variance": variance,
    }
    wall = float(plateau.separatrix(**mode))
    start = above * wall if wall > 0 else 0.01 * above * signal
    end = float(roots.depth_root(0.5 * modes.learned(**mode), depth))
    assume(start < end * 0.999)
    time = plateau.plateau_time(amplitude=start, **mode)
    assert time == pytest.approx(flow_time(mode, start, end), rel=1e-7)


def test_the_plateau_is_that_of_gradient_flow():
    mode: Mode = {"depth": 3, "signal": 0.8, "weight_decay": 0.2, "input_variance": 1.0}
    start = 1.05 * float(plateau.separatrix(**mode))
    goal = float(roots.depth_root(0.5 * modes.learned(**mode), 3))

    time = float(plateau.plateau_time(amplitude=start, **mode))
    flow = solve_ivp(
        lambda _, a: -modes.slope(a, **mode) / 3, (0, time), [start], rtol=1e-11, atol=1e-13
    )
    assert flow.y[0, -1] == pytest.approx(goal, rel=1e-8)


def test_fifteen_hundred_epochs_come_from_a_strength_of_one_millionth():
    # Learning rate 0.1, one full-batch step per epoch: 150 time units.
    start = {"amplitude": 0.0100, "depth": 3, "signal": 0.8, "weight_decay": 0.0025}
    assert plateau.plateau_time_small(**start) / 0.1 == pytest.approx(1500, rel=0.002)
    assert plateau.plateau_time(**start) / 0.1 == pytest.approx(1500, rel=0.01)
    assert plateau.plateau_time(**start, exact=False) == plateau.plateau_time_small(**start)


@given(depth=st.integers(3, 6), signal=st.floats(0.3, 3))
def test_the_closed_form_is_right_up_to_a_bounded_time(depth, signal):
    # The plateau grows as a**-(L-2) while the difference stays of order one over the signal.
    amplitude = np.array([1e-2, 1e-3])
    decay = 0.5 * signal * amplitude ** (depth - 2)
    mode = {"amplitude": amplitude, "depth": depth, "signal": signal, "weight_decay": decay}
    small, exact = plateau.plateau_time_small(**mode), plateau.plateau_time(**mode)
    assert np.all(np.abs(small - exact) * signal ** (1 + (depth - 2) / depth) < 10)
    assert np.all(small > 10 ** (depth - 2) / signal)


def test_at_the_separatrix_the_plateau_diverges_as_a_logarithm():
    mode: Mode = {"depth": 3, "signal": 0.8, "weight_decay": 0.3, "input_variance": 1.0}
    wall = float(plateau.separatrix(**mode))
    distance = np.array([1e-3, 1e-5, 1e-7])
    time = plateau.plateau_time(amplitude=wall * (1 + distance), **mode)
    # Each decade costs ln 10 over the growth rate at the saddle, -curvature.
    rate = -float(modes.curvature(wall, **mode))
    np.testing.assert_allclose(np.diff(time), np.log(100) / rate, rtol=2e-3)
    below = plateau.plateau_time(amplitude=wall * (1 - distance), **mode)
    assert np.all(np.isinf(below))


def test_nothing_is_learned_above_the_spinodal():
    mode: Mode = {"depth": 3, "signal": 0.8, "weight_decay": 0.36, "input_variance": 1.0}
    assert plateau.plateau_time(amplitude=0.9, **mode) == np.inf
    assert np.isnan(plateau.separatrix(**mode))


def test_a_start_beyond_the_goal_has_no_plateau():
    times = plateau.plateau_time(
        amplitude=[0.01, 0.9, 2.0], depth=3, signal=0.8, weight_decay=0.3, fraction=0.5
    )
    np.testing.assert_array_equal(times, [np.inf, 0.0, 0.0])


def test_shallow_networks_have_elementary_times():
    # Depth 2 is logistic in the strength with rate 2 (signal - weight_decay).
    time = plateau.plateau_time(amplitude=1e-3, depth=2, signal=0.8, weight_decay=0.3, fraction=0.5)
    assert time == pytest.approx(np.log((0.5 - 1e-6) / 1e-6) / (2 * 0.5), rel=1e-12)
    time = plateau.plateau_time(amplitude=0.1, depth=1, signal=0.9, weight_decay=0.5)
    assert time == pytest.approx(np.log((0.6 - 0.1) / 0.3) / 1.5, rel=1e-12)


def test_the_ghost_of_the_paper_setting():
    decay = float(modes.spinodal(3, 0.8)) + 0.001
    time = plateau.ghost_time(depth=3, signal=0.8, weight_decay=decay)
    assert time == pytest.approx(118, abs=1)
    assert time / 0.64 == pytest.approx(185, abs=1)  # epochs of 8 steps at learning rate 0.08


@pytest.mark.parametrize("depth", [3, 4, 6])
def test_the_ghost_formula_is_the_leading_order_of_the_passage(depth):
    limit = float(modes.spinodal(depth, 0.8, input_variance=1.3))
    gap = []
    for excess in (1e-4, 1e-6, 1e-8):
        mode: Mode = {
            "depth": depth,
            "signal": 0.8,
            "weight_decay": limit * (1 + excess),
            "input_variance": 1.3,
        }
        gap.append(plateau.ghost_passage_time(**mode) / plateau.ghost_time(**mode) - 1)
    # The rest of the passage takes a fixed time, one more decade of the ghost per two of excess.
    np.testing.assert_allclose(np.divide(gap[:-1], gap[1:]), 10, rtol=0.1)


def test_the_ghost_passage_is_that_of_adaptive_quadrature():
    mode: Mode = {"depth": 4, "signal": 0.8, "weight_decay": 0.29, "input_variance": 1.0}
    found = plateau.ghost_passage_time(**mode, start=0.5, end=0.05)
    start, end = (float(roots.depth_root(x, 4)) for x in (0.5, 0.05))
    assert found == pytest.approx(flow_time(mode, start, end), rel=1e-9)


def test_ghosts_live_above_the_spinodal_of_deep_networks_only():
    assert np.isnan(plateau.ghost_time(depth=3, signal=0.8, weight_decay=0.3))
    assert np.isnan(plateau.ghost_time(depth=2, signal=0.8, weight_decay=0.9))
    with pytest.raises(InputError, match=r"0\.350882"):
        plateau.ghost_passage_time(depth=3, signal=0.8, weight_decay=0.3)
    with pytest.raises(InputError, match="depth >= 3"):
        plateau.plateau_time_small(amplitude=0.1, depth=2, signal=0.8, weight_decay=0.1)
    with pytest.raises(InputError, match="amplitude"):
        plateau.plateau_time(amplitude=0.0, depth=3, signal=0.8, weight_decay=0.1)
