"""Rates between phases: known numbers, closed forms, exact quadrature, detailed balance."""

from __future__ import annotations

from math import gamma, log, pi, prod, sqrt
from typing import TypedDict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spinodal.errors import InputError
from spinodal.theory import free_energy, kramers, modes, orbits, roots


class Net(TypedDict):
    depth: int
    width: int
    signals: tuple[float, ...]
    weight_decay: float


PAPER: Net = {"depth": 3, "width": 10, "signals": (0.9, 0.8), "weight_decay": 0.32}
FOUR: Net = {"depth": 4, "width": 6, "signals": (0.9, 0.8, 0.7), "weight_decay": 0.15}


def _one(width: int) -> Net:
    return {"depth": 3, "width": width, "signals": (0.8,), "weight_decay": 0.32}


REFERENCE = [
    # network, temperature, lower rank, up, ln tau, printed digits after the point
    (PAPER, 0.001, 1, True, 7.039543186069, 12),
    (PAPER, 0.0005, 1, True, 29.94782747217, 11),
    (PAPER, 0.001, 1, False, 18.36342396961, 11),
    (PAPER, 0.0005, 1, False, 27.19240406631, 11),
    (PAPER, 0.001, 0, True, 0.1372705103, 10),
    (PAPER, 0.0005, 0, True, 15.33271598525, 11),
    (PAPER, 0.001, 0, False, 59.19821961489, 11),
    (_one(1), 0.004, 0, True, 9.646684066774, 12),
    (_one(4), 0.0022, 0, True, 6.221947714718, 12),
    (FOUR, 0.002, 1, True, 3.397754067774, 12),
]


@pytest.mark.parametrize("case", REFERENCE)
def test_known_times_are_met_to_their_last_digit(case: tuple):
    network, temperature, rank, up, expected, digits = case
    rate = kramers.log_rate_up if up else kramers.log_rate_down
    found = -rate(**network, temperature=temperature, rank=rank).log_rate
    assert found == pytest.approx(expected, abs=1.01 * 10.0**-digits)


def sphere(n: int) -> float:
    return 2 * pi ** ((n + 1) / 2) / gamma((n + 1) / 2)


def closed_forms(
    network: Net, temperature: float, rank: int, inputs: int, outputs: int
) -> tuple[float, float]:
    """ln rates up and down from the formulas of the docstrings, written out once more."""
    depth, width, decay = network["depth"], network["width"], network["weight_decay"]
    eta = sorted(network["signals"], reverse=True)
    eta += [0.0] * (min(inputs, outputs) - len(eta))
    signal, lost = eta[rank], depth - 2
    mode = {"depth": depth, "signal": signal, "weight_decay": decay}
    top = float(modes.saddle(**mode)) ** (1 / depth)
    far = float(modes.learned(**mode)) ** (1 / depth)
    held = [
        float(modes.learned(depth=depth, signal=s, weight_decay=decay)) ** (1 / depth)
        for s in eta[:rank]
    ]
    mu, mu_far = (depth * a ** (2 * depth - 2) - (depth - 2) * decay for a in (top, far))
    turns = (depth - 1) * (width - rank - 1)
    square = (
        2 * (depth - 1) * log(sphere(width - 1 - rank))
        + turns * log(2 * top**2 / (2 * pi * temperature))
        + log(prod(1 - (top / a) ** 2 for a in held))
        - (depth - 1) * (width - rank) * log(2 * decay)
        + (inputs + outputs + 2 * width - 4 * rank - 2 + lost * (2 * width - 2 * rank - 1))
        * log(decay)
        - log(abs(mu))
        - log(prod((signal**2 - s**2) * top ** (2 * lost) for s in eta[rank + 1 :]))
        - abs(inputs - outputs) * log(signal * top**lost)
    )
    up = log(abs(mu) / (2 * pi)) + square / 2 - float(modes.barrier_out(**mode)) / temperature
    others = (inputs + outputs) / 2 - rank - 1
    down = (
        log(sqrt(abs(mu) * mu_far) / (2 * pi))
        + (turns - lost * others) * log(top / far)
        + sum(0.5 * log((a**2 - top**2) / (a**2 - far**2)) for a in held)
        - float(modes.barrier_back(**mode)) / temperature
    )
    return up, down


@settings(max_examples=25, deadline=None)
@given(
    depth=st.integers(3, 6),
    width=st.integers(1, 12),
    signals=st.sets(st.integers(10, 40), min_size=1, max_size=4),
    share=st.floats(0.02, 0.98),
    temperature=st.floats(1e-4, 1e-2),
    spare=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    data=st.data(),
)
def test_spectra_and_valleys_give_the_closed_forms(
    depth, width, signals, share, temperature, spare, data
):
    eta = tuple(s / 20 for s in signals)
    rank = data.draw(st.integers(0, min(len(eta), width) - 1))
    decay = share * float(modes.spinodal(depth, sorted(eta)[::-1][rank]))
    network: Net = {"depth": depth, "width": width, "signals": eta, "weight_decay": decay}
    inputs, outputs = (len(eta) + more for more in spare)
    expected = closed_forms(network, temperature, rank, inputs, outputs)
    shape = {"inputs": inputs, "outputs": outputs}
    common = {**network, "temperature": temperature, "rank": rank, **shape}
    up, down = kramers.log_rate_up(**common), kramers.log_rate_down(**common)
    np.testing.assert_allclose([up.log_rate, down.log_rate], expected, rtol=1e-9, atol=1e-9)
    ratio = kramers.log_occupation_ratio(**common)
    # The ratio knows no saddle: what the two rates say about it must cancel.
    assert up.log_rate - down.log_rate == pytest.approx(ratio, rel=1e-9, abs=1e-8)


def test_at_width_one_the_rate_is_the_textbook_formula_times_its_exits():
    # sqrt(w |mu|) / (2 pi) per saddle, and the signs of the weights make 2^(L-1) of them.
    for depth in (3, 4):
        mode = {"depth": depth, "signal": 0.8, "weight_decay": 0.15}
        a = float(roots.depth_root(modes.saddle(**mode), depth))
        bend = abs(float(modes.curvature(a, **mode)))
        # L trivial directions of curvature decay; at the saddle L-1 imbalances of 2 decay.
        expected = 2 ** (depth - 1) / (2 * pi) * sqrt(bend * 0.15**depth / 0.3 ** (depth - 1))
        found = kramers.log_rate_up(
            depth=depth, width=1, signals=0.8, weight_decay=0.15, temperature=0.003, rank=0
        )
        barrier = float(modes.barrier_out(**mode))
        assert found.log_rate == pytest.approx(log(expected) - barrier / 0.003, rel=1e-12)
        assert found.rotations == 0 == found.expansion


def test_the_corrected_rate_and_the_plain_one_meet_in_the_cold():
    gaps = []
    for temperature in (4e-4, 2e-4, 1e-4):
        network = {**_one(4), "temperature": temperature, "rank": 0}
        up, down = kramers.log_rate_up(**network), kramers.log_rate_down(**network)
        assert up.corrected_log_rate is not None
        assert down.corrected_log_rate is not None
        gaps.append([up.log_rate - up.corrected_log_rate, down.log_rate - down.corrected_log_rate])
    first, second, third = np.array(gaps)
    np.testing.assert_allclose(first / second, 2, rtol=0.15)
    np.testing.assert_allclose(second / third, 2, rtol=0.08)


@pytest.mark.parametrize("temperature", [0.0005, 0.002])
def test_corrected_rates_at_width_one_are_exact_radially(temperature: float):
    # Without rotations the correction is the ratio of exact and harmonic radial integrals, the
    # trivial well being exactly harmonic in all but the fit; exact times go to the learned point.
    network = {**_one(1), "temperature": temperature, "rank": 0}
    mode = {"depth": 3, "signal": 0.8, "weight_decay": 0.32}
    down = kramers.log_rate_down(**network).corrected_log_rate
    assert down is not None

    def loss(radius):
        return modes.loss_along_amplitude(radius / np.sqrt(3), **mode)

    a_s, a_u = (float(x) ** (1 / 3) for x in (modes.saddle(**mode), modes.learned(**mode)))
    exact = free_energy.log_first_passage_time(
        loss,
        start=sqrt(3) * a_u,
        absorbing=sqrt(3) * 0.35 * a_s,
        reflecting=sqrt(3) * 3,
        temperature=temperature,
    )
    # exp(-barrier/T) is what the start within the learned well costs: 1e-8 and 1e-2
    assert -down == pytest.approx(exact, abs=2 * np.exp(-0.00883 / temperature))


def test_the_flag_tells_where_the_formula_holds():
    cold, hot = (kramers.log_rate_up(**PAPER, temperature=t, rank=1) for t in (3e-5, 0.001))
    assert cold.valid
    # six times too fast although the barrier is 28 T and the expansion 0.08
    assert not hot.valid
    assert hot.expansion < kramers.NARROW
    assert hot.corrected_log_rate == pytest.approx(hot.log_rate - 1.436, abs=1e-3)
    melted = kramers.log_rate_up(**PAPER, temperature=0.002, rank=1)
    assert melted.corrected_log_rate is None
    assert not melted.valid
    assert not kramers.log_rate_up(**_one(1), temperature=0.01, rank=0).valid


def discrete_escape_rate(step: float, temperature: float) -> float:
    """Inverse mean time of x -> x - h V'(x) + sqrt(2Th) xi, V = x^4/4 - x^2/2, from -1 past 0.9."""
    x, size = np.linspace(-2.4, 0.9, 900, retstep=True)
    shift = x - (x - step * (x**3 - x))[:, None]
    kernel = size * np.exp(-(shift**2) / (4 * temperature * step))
    kernel /= np.sqrt(4 * np.pi * temperature * step)
    time = np.linalg.solve(np.eye(x.size) - kernel, np.full(x.size, step))
    return float(1 / time[np.argmin(np.abs(x + 1))])


def test_discrete_steps_speed_escape_up_by_a_quarter_of_the_curvatures_difference():
    # The rule behind step_size_correction on an exactly solvable chain: well 2, saddle 1.
    slopes = []
    for temperature in (0.04, 0.03):
        h = np.array([0.0125, 0.025, 0.05])
        rates = [discrete_escape_rate(step, temperature) for step in h]
        first, second = np.diff(np.log(rates)) / np.diff(h)
        slopes.append(first - (second - first) / (h[2] - h[0]) * (h[0] + h[1]))
    np.testing.assert_allclose(slopes, (2 - 1) / 4, atol=0.02)


def test_the_step_size_correction_sums_the_curvatures_of_spectra():
    # Width 1, rank 0: L decays in the trap; at the saddle L-1 imbalances of 2 decay, and mu.
    mode = {"depth": 3, "signal": 0.8, "weight_decay": 0.32}
    a = float(modes.saddle(**mode)) ** (1 / 3)
    mu = abs(float(modes.curvature(a, **mode)))
    found = kramers.step_size_correction(**_one(1), learning_rate=0.1, rank=0)
    assert found == pytest.approx(0.1 / 4 * (3 * 0.32 - 4 * 0.32 - mu), rel=1e-12)
    back = kramers.step_size_correction(**_one(1), learning_rate=0.1, rank=0, up=False)
    far = float(modes.curvature(float(modes.learned(**mode)) ** (1 / 3), **mode))
    assert back == pytest.approx(0.1 / 4 * (far - mu), rel=1e-12)


def test_the_volume_of_a_rank_one_valley_is_measured_by_its_tangents():
    # One active mode at depth 3: (u, v) run over two spheres; the tangent of u moves W_1 and W_2.
    a, width = 0.7, 5
    expected = 2 * log(sphere(width - 1)) + 2 * (width - 1) * log(sqrt(2) * a)
    assert orbits.log_orbit_volume([a], depth=3, width=width) == pytest.approx(expected, rel=1e-13)


def test_the_volume_of_a_rank_two_valley_is_measured_by_its_tangents():
    a, depth, width = np.array([0.9, 0.6]), 4, 3
    core = np.zeros((width, width))
    core[[0, 1], [0, 1]] = a
    layers = [core[:, :2], *[core] * (depth - 2), core[:2]]
    tangents = []
    for hidden in range(depth - 1):
        for i in range(width):
            for j in range(i):
                turn = np.zeros((width, width))
                turn[i, j], turn[j, i] = 1, -1
                moved = [np.zeros_like(layer) for layer in layers]
                moved[hidden] = turn @ layers[hidden]
                moved[hidden + 1] = -layers[hidden + 1] @ turn
                tangents.append(np.concatenate([m.ravel() for m in moved]))
    gram = np.array(tangents) @ np.array(tangents).T
    levels = np.linalg.eigvalsh(gram)
    frames = (depth - 1) * (log(sphere(2)) + log(sphere(1)))
    expected = frames + 0.5 * np.log(levels).sum()
    found = orbits.log_orbit_volume(a, depth=depth, width=width)
    assert found == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"weight_decay": 0.36}, "spinodal"),
        ({"depth": 2}, "no barrier between phases at depth 2"),
        ({"rank": 2}, "rank 0 to 1"),
        ({"signals": (0.8, 0.8)}, "must differ"),
        ({"temperature": 0.0}, "positive"),
        ({"temperature": float("nan")}, "positive"),
        ({"weight_decay": 0.0}, "positive"),
        ({"inputs": 1}, "as many inputs and outputs"),
    ],
)
def test_transitions_that_do_not_exist_are_refused(change: dict, words: str):
    arguments = {**PAPER, "temperature": 0.001, "rank": 1, **change}
    for rate in (kramers.log_rate_up, kramers.log_rate_down, kramers.log_occupation_ratio):
        with pytest.raises(InputError, match=words):
            rate(**arguments)


def test_amplitudes_that_make_no_valley_are_refused():
    for amplitudes, words in (([0.5, 0.5], "differ"), ([-1.0], "positive"), ([1, 2], "width")):
        with pytest.raises(InputError, match=words):
            orbits.log_orbit_volume(amplitudes, depth=3, width=1 if words == "width" else 3)
