"""Entropy, the thermal spinodal, and passage times against closed forms and limits."""

from __future__ import annotations

from typing import TypedDict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import erfcx

from spinodal.errors import InputError
from spinodal.theory import free_energy, modes, roots


class Mode(TypedDict):
    depth: int
    signal: float
    weight_decay: float


def a_mode(depth: int, signal: float, fraction: float) -> Mode:
    return {
        "depth": depth,
        "signal": signal,
        "weight_decay": float(fraction * modes.spinodal(depth, signal)),
    }


depths = st.integers(3, 10)
signals = st.floats(0.1, 10)
fractions = st.floats(0.05, 0.95)


def test_rotations_count_the_hidden_channels_still_dead():
    count = free_energy.hidden_rotations
    assert count(depth=3, width=10, rank=0) == 18
    assert count(depth=3, width=10, rank=1) == 16
    assert count(depth=3, width=1, rank=0) == count(depth=1, width=4, rank=0) == 0
    with pytest.raises(InputError, match="rank 0 to 1, got 2"):
        count(depth=3, width=2, rank=2)


@given(depth=depths, signal=signals, fraction=fractions, rotations=st.integers(1, 100))
def test_the_thermal_spinodal_is_the_steepest_entropic_slope_before_the_saddle(
    depth, signal, fraction, rotations
):
    mode = a_mode(depth, signal, fraction)
    top = roots.depth_root(modes.saddle(**mode), depth)
    a = np.linspace(0, float(top), 2001)
    push = a * modes.slope(a, **mode) / rotations
    found = free_energy.thermal_spinodal(**mode, rotations=rotations)
    assert np.argmax(push) not in (0, 2000)
    assert found >= push.max() * (1 - 1e-12)
    assert found == pytest.approx(push.max(), rel=1e-4)


def test_thermal_spinodals_of_the_paper_network():
    mode = {"depth": 3, "signal": [0.9, 0.8]}
    for decay, rotations, expected in (
        (0.32, 1, [0.01857, 0.02403]),
        (0.32, [18, 16], [0.00103, 0.00150]),
        (0.20, [18, 16], [2.46e-4, 3.51e-4]),
    ):
        found = free_energy.thermal_spinodal(**mode, weight_decay=decay, rotations=rotations)
        np.testing.assert_allclose(found, expected, rtol=4e-3)
    edge = free_energy.thermal_spinodal(**mode, weight_decay=[0.2, 0.4], rotations=[0, 3])
    np.testing.assert_array_equal(edge, [np.inf, np.nan])


@given(
    depth=depths,
    signal=signals,
    fraction=fractions,
    rotations=st.integers(1, 50),
    ratio=st.floats(1e-6, 0.999),
)
def test_below_the_thermal_spinodal_the_free_energy_has_two_wells_and_a_barrier(
    depth, signal, fraction, rotations, ratio
):
    mode = a_mode(depth, signal, fraction)
    limit = free_energy.thermal_spinodal(**mode, rotations=rotations)
    heated = {**mode, "temperature": ratio * float(limit), "rotations": rotations}
    well, barrier, learned = free_energy.free_energy_points(**heated)
    trivial, saddle, bare = modes.stationary_points(**mode)
    assert trivial < well < barrier < saddle < bare < learned
    heat = ratio * float(limit) * rotations
    amplitude = roots.depth_root([well, barrier, learned], depth)
    np.testing.assert_allclose(
        amplitude * modes.slope(amplitude, **mode), heat, rtol=1e-6, atol=1e-12 * signal**2
    )
    energies = free_energy.free_energy(amplitude, **heated)
    out, back = free_energy.free_energy_barriers(**heated)
    size = 1e-12 * depth * signal**2
    assert out == pytest.approx(energies[1] - energies[0], rel=1e-8, abs=size)
    assert back == pytest.approx(energies[1] - energies[2], rel=1e-8, abs=size)
    assert 0 < out < modes.barrier_out(**mode)
    assert back > modes.barrier_back(**mode)


@given(depth=depths, signal=signals, fraction=fractions)
def test_the_free_energy_barrier_vanishes_at_the_thermal_spinodal_as_a_power_three_halves(
    depth, signal, fraction
):
    mode = a_mode(depth, signal, fraction)
    limit = float(free_energy.thermal_spinodal(**mode, rotations=4))
    distance = np.array([1e-4, 1e-5])
    out, _ = free_energy.free_energy_barriers(
        **mode, temperature=limit * (1 - distance), rotations=4
    )
    assert out[0] / out[1] == pytest.approx(10**1.5, rel=0.01)
    above = free_energy.free_energy_barriers(**mode, temperature=limit * 1.001, rotations=4)
    assert np.isnan(above).all()


@given(depth=depths, signal=signals, fraction=fractions)
def test_without_heat_the_free_energy_is_the_loss(depth, signal, fraction):
    mode = a_mode(depth, signal, fraction)
    bare = modes.barrier_out(**mode), modes.barrier_back(**mode)
    for temperature, rotations in ((0.0, 5), (0.1, 0)):
        found = free_energy.free_energy_barriers(
            **mode, temperature=temperature, rotations=rotations
        )
        np.testing.assert_allclose(found, bare, rtol=1e-9)


def test_one_curve_for_all_weight_decays_at_width_ten():
    # Barrier of F in units of T, and passage time in steps at learning rate 0.05.
    table = {
        0.35: (21.9, 25.2, 2.2e12, 4e13),
        0.5: (9.9, 11.4, 1.5e7, 5e7),
        0.65: (4.3, 4.9, 6e4, 1.2e5),
    }
    for ratio, (low, high, fast, slow) in table.items():
        for decay in (0.2, 0.28, 0.32):
            for signal, rotations in ((0.9, 18), (0.8, 16)):
                mode: Mode = {"depth": 3, "signal": signal, "weight_decay": decay}
                hot = ratio * float(free_energy.thermal_spinodal(**mode, rotations=rotations))
                heated = {"temperature": hot, "rotations": rotations}
                out, _ = free_energy.free_energy_barriers(**mode, **heated)
                assert low - 0.1 < out / hot < high + 0.1
                steps = free_energy.mode_first_passage_time(**mode, **heated) / 0.05
                assert 0.95 * fast < steps < 1.05 * slow


def test_free_diffusion_takes_the_square_of_the_distance():
    # From a wall at 0 to 1: tau = 1 / (2T); from 0.3 with the wall at 0: (1 - 0.09) / (2T).
    for start, square in ((0.0, 1.0), (0.3, 0.91)):
        time = free_energy.first_passage_time(
            np.zeros_like, start=start, absorbing=1.0, reflecting=0.0, temperature=0.25
        )
        assert time == pytest.approx(2 * square, rel=1e-12)


@settings(deadline=None)
@given(push=st.floats(-40, 40), temperature=st.floats(0.1, 2))
def test_a_constant_force_has_its_closed_form(push, temperature):
    # V = f x with a wall at 0 and exit at 1: tau = (T/f**2) (e^{f/T} - 1) - 1/f.
    g = push / temperature
    # Near g = 0 the closed form cancels; its series does not.
    unit = 0.5 + g / 6 + g**2 / 24 if abs(g) < 1e-4 else (np.expm1(g) - g) / g**2
    time = free_energy.first_passage_time(
        lambda x: push * x, start=0.0, absorbing=1.0, reflecting=0.0, temperature=temperature
    )
    assert time == pytest.approx(unit / temperature, rel=1e-8)


def test_a_harmonic_well_agrees_with_its_error_functions():
    # V = x**2/2, no wall: tau = sqrt(pi/2) int_{-u}^{v} e^{y**2/2} (1 + erf(y/sqrt 2)) dy / ...
    temperature = 0.3
    low, high = (x / np.sqrt(2 * temperature) for x in (-0.5, 1.2))
    closed = np.sqrt(np.pi) * quad(lambda y: erfcx(-y), low, high, epsabs=0, epsrel=1e-13)[0]
    time = free_energy.first_passage_time(
        lambda x: 0.5 * x**2, start=-0.5, absorbing=1.2, temperature=temperature
    )
    assert time == pytest.approx(closed, rel=1e-10)


def test_leaving_downwards_is_the_mirror_image():
    def tilted(x: np.ndarray) -> np.ndarray:
        return (x**2 - 1) ** 2 + 0.2 * x

    up = free_energy.first_passage_time(
        tilted, start=-1.0, absorbing=0.5, reflecting=-2.0, temperature=0.1
    )
    down = free_energy.first_passage_time(
        lambda x: tilted(-x), start=1.0, absorbing=-0.5, reflecting=2.0, temperature=0.1
    )
    assert up == pytest.approx(down, rel=1e-14)


def test_passages_add_up():
    # A path meets every point between start and target, so mean times are additive.
    def double_well(x: np.ndarray) -> np.ndarray:
        return x**4 / 4 - x**2 / 2

    def leg(start: float, end: float) -> float:
        return free_energy.first_passage_time(
            double_well, start=start, absorbing=end, temperature=0.05
        )

    assert leg(-1, 0.2) + leg(0.2, 1) == pytest.approx(leg(-1, 1), rel=1e-9)


def test_kramers_error_halves_when_temperature_halves():
    error = []
    for temperature in (0.04, 0.02, 0.01):
        log_time = free_energy.log_first_passage_time(
            lambda x: x**4 / 4 - x**2 / 2, start=-1.0, absorbing=1.0, temperature=temperature
        )
        kramers = np.log(2 * np.pi / np.sqrt(2)) + 0.25 / temperature
        error.append(abs(np.expm1(log_time - kramers)))
    np.testing.assert_allclose(np.divide(error[:-1], error[1:]), 2, rtol=0.25)


def test_very_cold_passages_stay_finite_in_logarithms():
    cold = {"start": -1.0, "absorbing": 1.0, "temperature": 2e-4}
    log_time = free_energy.log_first_passage_time(lambda x: x**4 / 4 - x**2 / 2, **cold)
    assert log_time == pytest.approx(0.25 / 2e-4 + np.log(np.pi * np.sqrt(2)), rel=1e-5)
    assert free_energy.first_passage_time(lambda x: x**4 / 4 - x**2 / 2, **cold) == np.inf


def test_a_mode_passes_faster_the_more_it_can_rotate():
    mode: Mode = {"depth": 3, "signal": 0.8, "weight_decay": 0.32}
    times = [
        free_energy.mode_first_passage_time(**mode, temperature=0.002, rotations=n)
        for n in (0, 2, 4, 6)
    ]
    assert np.all(np.diff(times) < 0)


def test_a_single_channel_follows_kramers_law_when_cold():
    # tau = pi / sqrt(weight_decay |bend|) e^{barrier/T}: the well ends at the wall at 0, where the
    # cubic term of the loss leaves an error of order sqrt(T).
    mode: Mode = {"depth": 3, "signal": 0.8, "weight_decay": 0.32}
    bend = modes.curvature(roots.depth_root(modes.saddle(**mode), 3), **mode)
    error = []
    for temperature in (8e-4, 2e-4, 5e-5):
        time = free_energy.mode_first_passage_time(**mode, temperature=temperature, rotations=0)
        kramers = np.log(np.pi / np.sqrt(0.32 * -bend)) + modes.barrier_out(**mode) / temperature
        error.append(abs(np.expm1(np.log(time) - kramers)))
    assert 2 <= error[0] / error[1] <= 4
    assert error[1] / error[2] == pytest.approx(2, rel=0.2)
    assert error[2] < 0.02


def test_above_the_thermal_spinodal_there_is_no_passage_to_speak_of():
    mode: Mode = {"depth": 3, "signal": 0.8, "weight_decay": 0.32}
    assert np.isnan(free_energy.mode_first_passage_time(**mode, temperature=0.0016, rotations=16))
    # From a stated start the passage is drift, and still a number.
    drift = free_energy.mode_first_passage_time(**mode, temperature=0.0016, rotations=16, start=0.1)
    assert 0 < drift < 1e3


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"temperature": 0.0}, "temperature"),
        ({"absorbing": -1.0}, "differ"),
        ({"reflecting": 0.0}, "wall"),
        ({"reflecting": -np.inf}, "does not confine"),
    ],
)
def test_impossible_passages_are_refused(change, complaint):
    passage = {"start": -1.0, "absorbing": 1.0, "reflecting": -2.0, "temperature": 0.1}
    with pytest.raises(InputError, match=complaint):
        free_energy.first_passage_time(lambda x: 0 * x, **(passage | change))


@pytest.mark.parametrize(
    ("signal", "weight_decay", "temperature"),
    [(2.166, 0.196, 2.3e-6), (2.166, 0.196, 1e-5), (2.166, 0.03, 1e-7), (2.166, 0.03, 3e-8)],
)
def test_a_slide_of_a_million_temperatures_behind_the_barrier_needs_no_million_panels(
    signal, weight_decay, temperature
):
    """The wait is additive: to the saddle's far side, then down; and follows exp(barrier / T)."""
    mode = {"depth": 3, "signal": signal, "weight_decay": weight_decay, "rotations": 18}
    tau = free_energy.mode_first_passage_time(temperature=temperature, **mode)
    barrier = free_energy.free_energy_barriers(temperature=temperature, **mode)[0] / temperature
    points = free_energy.free_energy_points(temperature=temperature, **mode)
    beyond = free_energy.mode_first_passage_time(
        temperature=temperature, **mode, start=float(2 * points.barrier) ** (1 / 3)
    )
    to_there = free_energy.mode_first_passage_time(
        temperature=temperature, **mode, target=float(2 * points.barrier) ** (1 / 3)
    )
    np.testing.assert_allclose(to_there + beyond, tau, rtol=1e-7)
    assert 0.1 < np.log(tau) / (barrier + 3) < 10


def test_slide_and_general_quadrature_agree_where_both_work():
    def downhill(x):
        return -x - 0.3 * x**2

    general = free_energy._log_double_integral(downhill, np.linspace(-0.5, 1, 6001), 4000, 1e-3)
    both = free_energy.log_first_passage_time(
        downhill, start=0, absorbing=1, reflecting=-0.5, temperature=1e-3
    )
    np.testing.assert_allclose(both, general, rtol=1e-9)
