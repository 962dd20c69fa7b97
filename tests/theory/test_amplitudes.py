"""The reduced generator: its averages, its limits, its bounds, and times that are known exactly."""

from __future__ import annotations

from math import log, sqrt

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import kve

from spinodal.errors import InputError
from spinodal.theory import amplitudes, chains, finite_volume, free_energy, kramers
from spinodal.theory.finite_volume import Grid

Array = NDArray[np.float64]

ONE = {"depth": 3, "signal": 0.8, "weight_decay": 0.32}


def chain_at(points: Array, *, layers: int, width: int, variance: float, tilts: int) -> Array:
    q = np.log(points)
    splines = chains.log_chain_densities(
        float(q.min()), float(q.max()), layers=layers, width=width, variance=variance, tilts=tilts
    )
    return np.array([spline(q) for spline in splines])


@pytest.mark.parametrize("width", [1, 3, 10])
@pytest.mark.parametrize("variance", [0.002, 0.05])
def test_products_of_two_lengths_follow_bessel_functions(width: int, variance: float):
    q = np.linspace(0.1, 1.1, 40) ** 2
    found = chain_at(q, layers=2, width=width, variance=variance, tilts=2)
    expected = [
        (width - j) * np.log(q) + np.log(kve(j % 2, q / variance)) - q / variance for j in range(3)
    ]
    constant = found[0, 0] - expected[0][0]
    np.testing.assert_allclose(found - expected, constant, rtol=0, atol=1e-6)


def gradients(layers: int, width: int, middle: int, rng: np.random.Generator) -> tuple[float, ...]:
    """(Q, m, |grad Q|^2, |grad m|^2) at a random network of `layers` + 1 layers, by differences."""
    sizes = [(width, 1), *[(width, width)] * (layers - 1), (1, width)]
    theta = rng.standard_normal(sum(a * b for a, b in sizes))
    cuts = np.cumsum([a * b for a, b in sizes])[:-1]

    def coordinates(x: Array) -> Array:
        parts = [p.reshape(s) for p, s in zip(np.split(x, cuts), sizes, strict=True)]
        below, above = np.ones((1, 1)), np.ones((1, 1))
        for part in parts[:middle]:
            below = part @ below
        for part in parts[:middle:-1]:
            above = above @ part
        q = np.linalg.norm(below) * np.linalg.norm(above)
        return np.array([float(q), (above @ parts[middle] @ below).item() / q])

    step = 1e-5
    slope = [
        (coordinates(theta + e) - coordinates(theta - e)) / (2 * step)
        for e in step * np.eye(theta.size)
    ]
    q, m = coordinates(theta)
    squares = np.sum(np.square(slope), axis=0)
    return float(q), float(m), float(squares[0]), float(squares[1])


@pytest.mark.parametrize(("layers", "middle"), [(2, 1), (3, 1)])
def test_mobilities_are_the_mean_squared_gradients_of_the_coordinates(layers: int, middle: int):
    width, draws = 3, 400
    rng = np.random.default_rng(2)
    seen = np.array([gradients(layers, width, middle, rng) for _ in range(draws)])
    q = seen[:, 0]
    z = q ** (1 / layers)
    tilts = layers - layers // 2
    density = chain_at(q, layers=layers, width=width, variance=1.0, tilts=tilts)
    along, across = chains.mobilities(density, z, layers=layers, width=width, variance=1.0)
    # dz/dQ = z / (layers Q); relative to the prediction the mean must be 1
    for measured, predicted in (
        (seen[:, 2] * (z / (layers * q)) ** 2, along),
        (seen[:, 3], across),
    ):
        ratio = measured / predicted
        # Heavy tails at small Q: bounded weights, the same for both, keep the error honest.
        weight = np.minimum(1.0, q) ** 2
        error = weight * (ratio - 1)
        assert abs(error.mean()) < 4 * error.std() / sqrt(draws)
        assert error.std() / sqrt(draws) < 0.06


def test_at_width_one_no_direction_turns():
    density = chain_at(np.array([0.1, 0.5]), layers=2, width=1, variance=0.01, tilts=1)
    z = np.sqrt([0.1, 0.5])
    _, across = chains.mobilities(density, z, layers=2, width=1, variance=0.01)
    np.testing.assert_array_equal(across, 1)


@pytest.mark.parametrize("direction", ["up", "down"])
@pytest.mark.parametrize(
    ("width", "rank", "others", "depth", "signal"),
    [
        (1, 0, (), 3, 0.8),
        (4, 0, (), 3, 0.8),
        (5, 1, (0.9,), 3, 0.8),
        (3, 0, (0.6,), 3, 0.8),
        (3, 1, (1.0, 0.6), 4, 0.8),
    ],
)
def test_eyring_and_kramers_are_met_in_the_cold(width, rank, others, depth, signal, direction):
    decay = 0.3 if depth == 3 else 0.18
    network = {"depth": depth, "width": width, "weight_decay": decay, "rank": rank}
    rate = kramers.log_rate_up if direction == "up" else kramers.log_rate_down
    gaps = []
    for temperature in (6e-4, 3e-4):
        found = amplitudes.passage(
            **network,
            signal=signal,
            other_signals=others,
            temperature=temperature,
            direction=direction,
        )
        assert found.grid_error < 0.03
        plain = rate(**network, signals=(signal, *others), temperature=temperature).log_rate
        gaps.append(found.log_time + plain)
    # first order in T: halved with it, up to the grid's error
    assert abs(gaps[1] - 0.5 * gaps[0]) < 0.03 + 0.12 * abs(gaps[0])


def test_detailed_balance_holds_beyond_the_leading_order():
    # Both directions cross one pass: the ratio of their times is that of the valleys' weights,
    # here from sums of the exact density of Q and the Gaussian integral over m.
    width, temperature = 4, 0.0012
    up, down = (
        amplitudes.log_mean_time(**ONE, width=width, temperature=temperature, direction=d)
        for d in ("up", "down")
    )
    variance = temperature / 0.32
    z = np.linspace(2e-3, 1.4, 1500)
    m = np.linspace(-0.5, 1.6, 1500)
    s = z[:, None] ** 2 * m
    density = chain_at(z**2, layers=2, width=width, variance=variance, tilts=0)[0]
    height = ((s - 0.8) ** 2 + 0.32 * m**2) / (2 * temperature) - (density - np.log(z))[:, None]
    weight = np.exp(height.min() - height)
    top = float(free_energy.free_energy_points(**ONE, temperature=temperature, rotations=6).barrier)
    ratio = weight[s > top].sum() / weight[s < top].sum()
    assert down - up == pytest.approx(log(ratio), abs=0.03)


def test_fewer_coordinates_are_faster():
    # A coarser family of functions cannot lower the capacity: the strength alone, whose mean
    # squared gradient is L E[Q^2 | s], must leave the trap sooner than (Q, m).
    for width, temperature in ((2, 0.003), (4, 0.0016), (10, 0.0007)):
        full = amplitudes.log_mean_time(**ONE, width=width, temperature=temperature)
        assert 0 < full - strength_alone(width, temperature) < 0.25


def strength_alone(width: int, temperature: float) -> float:
    """ln of the mean passage time of the strength s = Q m as the only coordinate."""
    variance = temperature / 0.32
    q = np.exp(np.linspace(log(1e-5), log(3.0), 1500))
    density = chain_at(q, layers=2, width=width, variance=variance, tilts=0)[0]
    learned = float(free_energy.modes.learned(**ONE))
    s = np.linspace(-0.2 * learned, learned, 1401)
    logs = density - 0.5 * (s[:, None] / q) ** 2 / variance
    peak = logs.max(axis=1, keepdims=True)
    mass = np.exp(logs - peak) / q
    law = np.log(mass.sum(axis=1)) + peak[:, 0]
    pull = 3 * (mass * q**2).sum(axis=1) / mass.sum(axis=1)  # |grad s|^2 at fixed s
    height = (s - 0.8) ** 2 / (2 * temperature) - law
    grid = Grid(
        height=height, mobility=(temperature * pull,), target=s >= learned, spacing=s[1] - s[0]
    )
    zero = (int(np.argmin(np.abs(s))),)
    well = (int(np.argmin(np.where(s < 0.05, height, np.inf))),)
    return finite_volume.log_mean_time(grid, well=well, start=zero)


@pytest.mark.parametrize("temperature", [0.02, 0.01])
def test_times_of_one_coordinate_are_the_exact_quadrature(temperature: float):
    # 0.25 / T = 12 is solved directly, 25 with a pooled valley.
    x = np.linspace(-2.2, 2.2, 2201)
    height = (x**4 / 4 - x**2 / 2) / temperature
    grid = Grid(
        height=height,
        mobility=(np.full_like(x, temperature),),
        target=x >= 1 - 1e-9,
        spacing=x[1] - x[0],
    )
    at = (int(np.argmin(np.abs(x + 1))),)
    exact = free_energy.log_first_passage_time(
        lambda y: y**4 / 4 - y**2 / 2, start=-1.0, absorbing=1.0, temperature=temperature
    )
    assert finite_volume.log_mean_time(grid, well=at, start=at) == pytest.approx(exact, abs=2e-3)
    assert finite_volume.pass_height(grid, at) == pytest.approx(0.0, abs=1e-3)


def test_pooling_the_valley_changes_nothing(monkeypatch: pytest.MonkeyPatch):
    case = {**ONE, "width": 4, "temperature": 0.0012}
    pooled = amplitudes.log_mean_time(**case)
    monkeypatch.setattr(finite_volume, "DEEP", 100.0)
    # 1e-5 from the pool, and the start at zero weights, a little outside the valley's bottom
    assert amplitudes.log_mean_time(**case) == pytest.approx(pooled, abs=1e-3)


def test_times_beyond_all_waiting_are_finite_and_ordered():
    times = [amplitudes.log_mean_time(**ONE, width=10, temperature=t) for t in (6e-4, 4e-4, 3e-4)]
    assert 15 < times[0] < times[1] < times[2]
    assert times[2] > log(1e20)


def test_above_the_thermal_spinodal_the_time_is_that_of_a_drift():
    hot = amplitudes.log_mean_time(**ONE, width=10, temperature=0.002)
    assert log(5) < hot < log(200)


def test_a_walk_seen_seldom_overshoots():
    case = {**ONE, "width": 2, "temperature": 0.004}
    always, seldom = (amplitudes.log_mean_time(**case, look_every=t) for t in (0.0, 1.0))
    assert 0.005 < seldom - always < 0.2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"depth": 2}, "no barrier at depth 2"),
        ({"temperature": 0.0}, "positive"),
        ({"weight_decay": 0.0}, "positive"),
        ({"weight_decay": 0.36}, "spinodal"),
        ({"rank": 1}, "as many other_signals"),
        ({"rank": 1, "other_signals": (0.7,)}, "stronger"),
        ({"other_signals": (0.9,)}, "weaker"),
        ({"inputs": 1, "outputs": 1, "other_signals": (0.5,)}, "as many inputs"),
        ({"direction": "sideways"}, "'up' or 'down'"),
        ({"target": -1.0}, "positive strength"),
        ({"look_every": float("nan")}, "finite"),
        ({"width": 0}, "width 0"),
    ],
)
def test_impossible_passages_are_refused(change: dict, words: str):
    with pytest.raises(InputError, match=words):
        amplitudes.passage(**{**ONE, "width": 3, "temperature": 0.002, **change})
