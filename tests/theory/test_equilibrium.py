"""Phases weigh what Boltzmann says: the one-output network's equilibrium, exactly."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, special

from spinodal.errors import InputError
from spinodal.theory import modes
from spinodal.theory.equilibrium import log_density, log_phase_ratio

NETWORK = {"depth": 3, "width": 4, "signal": 0.8, "weight_decay": 0.335, "temperature": 0.0013}


def bessel(width: int, signal: float, decay: float, temperature: float, dividing: float) -> float:
    """The same ratio at depth 3, where the product of two lengths has a Bessel density."""

    def weight(log_q: float, sign: float) -> float:
        q = np.exp(log_q)
        stiffness = decay + q * q
        log = width * log_q + np.log(special.k0e(decay * q / temperature))
        log += -decay * q / temperature - 0.5 * np.log(stiffness)
        log += 0.5 * signal**2 * q * q / stiffness / temperature
        z = (dividing / q - signal * q / stiffness) * np.sqrt(stiffness / temperature)
        return float(np.exp(log + special.log_ndtr(-sign * z) - 20))

    parts = [
        integrate.quad(
            weight, -40, 1.5, args=(s,), epsabs=0, epsrel=1e-12, limit=800, points=[-4, -2, -0.7]
        )[0]
        for s in (1.0, -1.0)
    ]
    return float(np.log(parts[0] / parts[1]))


@pytest.mark.parametrize(
    ("width", "decay", "temperature"),
    [(4, 0.335, 0.0013), (1, 0.32, 0.006), (10, 0.3365, 0.0009), (3, 0.3226, 0.0025)],
)
def test_at_depth_three_the_ratio_is_an_integral_over_a_bessel_function(
    width: int, decay: float, temperature: float
) -> None:
    point = {"depth": 3, "signal": 0.8, "weight_decay": decay}
    found = log_phase_ratio(width=width, temperature=temperature, **point)
    expected = bessel(width, 0.8, decay, temperature, float(modes.saddle(**point)))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-8)


@pytest.mark.parametrize("depth", [2, 3, 4])
def test_the_density_of_the_strength_integrates_to_one_and_to_the_same_ratio(depth: int) -> None:
    point = {"depth": depth, "width": 3, "signal": 0.5, "weight_decay": 0.3, "temperature": 0.02}
    below, above = 0.2 - np.geomspace(1e-6, 2, 2000)[::-1], np.geomspace(0.2, 3, 1000)
    below = np.sort(np.concatenate([below, -np.geomspace(1e-9, 0.1, 1500)]))
    parts = [integrate.trapezoid(np.exp(log_density(x, **point)), x) for x in (below, above)]
    assert abs(sum(parts) - 1) < 2e-3
    ratio = log_phase_ratio(dividing=0.2, **point)
    assert abs(np.log(parts[1] / parts[0]) - ratio) < 5e-3


def test_a_sample_of_the_weights_has_the_density() -> None:
    # Free weights are Gaussian; the fit is a weight that importance sampling can carry.
    rng = np.random.default_rng(3)
    temperature, decay, signal, width, n = 0.2, 0.5, 0.7, 3, 400_000
    scale = np.sqrt(temperature / decay)
    first = scale * rng.standard_normal((n, width))
    middle = scale * rng.standard_normal((n, width, width))
    last = scale * rng.standard_normal((n, width))
    strength = np.einsum("ni,nij,nj->n", last, middle, first)
    weight = np.exp(-0.5 * (strength - signal) ** 2 / temperature)
    weight /= weight.sum()
    share = weight[strength > 0.3].sum()
    error = np.sqrt((weight**2 * ((strength > 0.3) - share) ** 2).sum())
    ratio = log_phase_ratio(
        depth=3, width=width, signal=signal, weight_decay=decay, temperature=temperature,
        dividing=0.3,
    )  # fmt: skip
    assert abs(special.expit(ratio) - share) < 4 * error


@given(st.floats(0.2, 5.0), st.integers(1, 6))
def test_scaling_the_loss_and_the_temperature_alike_changes_nothing(
    factor: float, width: int
) -> None:
    # In units of the strength: E -> factor^2 E for strengths factor times as large, at depth 2
    # where an amplitude scales with the square root of a strength.
    plain = log_phase_ratio(
        depth=2, width=width, signal=0.8, weight_decay=0.3, temperature=0.02, dividing=0.2
    )
    scaled = log_phase_ratio(
        depth=2,
        width=width,
        signal=0.8 * factor,
        weight_decay=0.3 * factor,
        temperature=0.02 * factor**2,
        dividing=0.2 * factor,
    )
    assert abs(plain - scaled) < 1e-8


def test_cold_networks_of_width_one_weigh_the_loss_and_the_curvatures() -> None:
    # Laplace: ln ratio -> gap / T plus the logarithm of the curvatures' ratio; both signs of an
    # odd number of amplitudes make 2^(L-1) learned points for one trivial one.
    point = {"depth": 3, "signal": 0.8, "weight_decay": 0.3}
    points = modes.stationary_points(**point)
    a = float(points.learned) ** (1 / 3)
    radial = 3 * a**4 - 0.3
    laplace = 2 * np.log(2) + 0.5 * np.log(0.3**3 / (radial * 0.6**2))
    gap = float(modes.gap(**point))
    for temperature, near in ((2e-3, 0.2), (7e-4, 0.07)):
        found = log_phase_ratio(width=1, temperature=temperature, **point)
        assert abs(found - (laplace - gap / temperature)) < near


def test_weight_decay_and_heat_favour_the_trivial_phase_and_signal_the_learned_one() -> None:
    base = log_phase_ratio(**NETWORK)
    assert log_phase_ratio(**{**NETWORK, "weight_decay": 0.34}) < base
    assert log_phase_ratio(**{**NETWORK, "signal": 0.81}) > base


def test_what_has_no_saddle_or_no_room_is_refused() -> None:
    with pytest.raises(InputError, match="spinodal"):
        log_phase_ratio(**{**NETWORK, "weight_decay": 0.4})
    with pytest.raises(InputError, match="depth >= 2"):
        log_phase_ratio(**{**NETWORK, "depth": 1})
