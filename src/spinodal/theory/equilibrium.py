"""Exact equilibrium of a deep linear network with one input and one output under additive noise.

Density exp(-E / T) over all weights, E = 1/2 (strength - signal)^2 + (weight_decay / 2) |theta|^2.
Follow the input through the layers: a_1 = |W_1|, a_l = |W_l h_{l-1}| with h the unit vector reached
so far, and last the number m = W_L h_{L-1}. The other weights are free Gaussians, whatever the a
are, so

    p(a_1 ... a_{L-1}, m) ~ exp(-F / T),
    F = 1/2 (m prod a - signal)^2 + (weight_decay / 2) (sum a^2 + m^2) - T (width - 1) sum ln a,

and the last number is Gaussian once the product q = a_1 ... a_{L-1} is given, with the mean
signal q / (weight_decay + q^2) and the variance T / (weight_decay + q^2). What is left is one
integral over ln q, whose weight is the (L-1)-fold convolution of the density of ln a.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from spinodal.errors import InputError
from spinodal.theory import modes
from spinodal.theory.modes import checked_depth
from spinodal.theory.roots import Array

_DEEP = 300.0
"""Prices, in units of T, beyond all that fitting can gain, at which the grid ends."""

_NOTHING = 40.0
"""Amplitudes whose weight is below exp(-40) of the typical ones' are left out on the small side."""


def log_phase_ratio(
    *,
    depth: int,
    width: int,
    signal: float,
    weight_decay: float,
    temperature: float,
    dividing: float | None = None,
) -> float:
    """ln of the equilibrium probability of a strength above `dividing` over that below.

    `dividing` defaults to the strength of the bare saddle. Detailed balance ties the rates to it:
    with phases that are left much more slowly than they relax,

        rate_up / rate_down = exp(log_phase_ratio).

    One input, one output. Accurate to 1e-9: even grids sum smooth decaying densities exactly but
    for terms that vanish faster than any power of the step.
    An InputError above the spinodal, where there is nothing to divide, unless `dividing` is given.
    """
    depth = checked_depth(depth)
    if depth < 2 or width < 1:
        raise InputError(
            f"Equilibrium is computed for depth >= 2 and width >= 1, got {depth} and {width}."
        )
    modes.checked("temperature", temperature, positive=True)
    modes.checked("weight_decay", weight_decay, positive=True)
    if dividing is None:
        dividing = float(modes.saddle(depth=depth, signal=signal, weight_decay=weight_decay))
    log_q, log_weight = _log_product_density(depth, width, weight_decay, temperature, signal)
    q = np.exp(log_q)
    stiffness = weight_decay + q**2
    # The integral over the last number: a Gaussian normalisation and what the fit has gained.
    log_weight = log_weight - 0.5 * np.log(stiffness)
    log_weight += 0.5 * signal**2 * (q**2 / stiffness) / temperature
    distance = (dividing / q - signal * q / stiffness) * np.sqrt(stiffness / temperature)
    above = np.logaddexp.reduce(log_weight + special.log_ndtr(-distance))
    below = np.logaddexp.reduce(log_weight + special.log_ndtr(distance))
    return float(above - below)


def log_density(
    strengths: ArrayLike,
    *,
    depth: int,
    width: int,
    signal: float,
    weight_decay: float,
    temperature: float,
) -> Array:
    """ln of the equilibrium density of the strength, one input and one output, normalised.

    The strength may be negative: it is the end-to-end number W_L ... W_1.
    """
    lam = np.asarray(strengths, dtype=float)[..., None]
    depth = checked_depth(depth)
    log_q, log_weight = _log_product_density(depth, width, weight_decay, temperature, signal)
    q = np.exp(log_q)
    stiffness = weight_decay + q**2
    log_weight = log_weight - 0.5 * np.log(stiffness)
    log_weight += 0.5 * signal**2 * (q**2 / stiffness) / temperature
    log_weight -= np.logaddexp.reduce(log_weight)
    spread = q * np.sqrt(temperature / stiffness)
    z = (lam - signal * q**2 / stiffness) / spread
    terms = log_weight - np.log(spread) - 0.5 * np.log(2 * np.pi) - 0.5 * z**2
    return np.asarray(np.logaddexp.reduce(terms, axis=-1))


def _log_product_density(
    depth: int, width: int, weight_decay: float, temperature: float, signal: float
) -> tuple[Array, Array]:
    """Grid of ln q and, up to a constant, ln of the weight of ln q = ln a_1 + ... + ln a_{L-1}.

    In units of sqrt(T / weight_decay) one ln a has the density exp(width y - exp(2y) / 2), whatever
    the temperature, so that one convolution serves many weight decays.
    """
    # Up: until the price outweighs all that fitting the signal can ever gain, and more.
    gain = 0.5 * signal**2 / temperature
    high = 0.5 * np.log(2 * (_DEEP + gain) + width)
    # The learned phase is a peak in ln q some sqrt(T) wide.
    fineness = max(5, int(np.ceil(-np.log2(0.35 * np.sqrt(temperature)))))
    y, log_weight = _chi_product(depth - 1, width, fineness, int(np.ceil(4 * high)))
    return y + 0.5 * (depth - 1) * np.log(temperature / weight_decay), log_weight


@lru_cache(maxsize=64)
def _chi_product(factors: int, width: int, fineness: int, high: int) -> tuple[Array, Array]:
    """ln of the density of the logarithm of a product of independent chi variables.

    On a grid of step 2^-fineness, each variable's logarithm up to high / 4.
    """
    step = 2.0**-fineness
    typical = 0.5 * np.log(width)
    first = np.floor((typical - _NOTHING / width - 1) / step)
    one = step * np.arange(first, np.ceil(high / 4 / step) + 1)
    log_one = width * one - 0.5 * np.exp(2 * one)
    log_one -= log_one.max()
    total, log_total = one, log_one
    for _ in range(factors - 1):
        log_total = _log_convolution(log_total, log_one)
        total = total[0] + one[0] + step * np.arange(len(log_total))
    return total, log_total


def _log_convolution(first: Array, second: Array) -> Array:
    """ln of the convolution of exp(first) and exp(second): sums of positive terms, none cancels."""
    out = np.full(len(first) + len(second) - 1, -np.inf)
    for shift, weight in enumerate(second):
        part = out[shift : shift + len(first)]
        np.logaddexp(part, first + weight, out=part)
    return out
