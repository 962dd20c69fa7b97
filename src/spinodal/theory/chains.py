"""Products of the lengths along a chain of random layers: densities and conditional mobilities.

A direction goes through hidden layers of `width` units; each layer has the length a_k that it gives
to the direction, in equilibrium the length of `width` normal numbers of variance tau =
T / weight_decay. The rates of `amplitudes` need the law of their product Q, and averages of
1 / (a_1^2 ... a_j^2) at fixed Q, far out in the tails.
"""

from __future__ import annotations

import numpy as np
from scipy.interpolate import CubicSpline

from spinodal.theory.roots import Array

_FAST = 1e6
"""Largest mobility kept: what moves so fast is in equilibrium."""


def log_chain_densities(
    lowest: float, highest: float, *, layers: int, width: int, variance: float, tilts: int
) -> tuple[CubicSpline, ...]:
    """ln of int prod a_k^w exp(-a_k^2 / (2 tau)) / (a_1^2 ... a_j^2) at fixed Q, per d ln Q.

    Functions of ln Q from `lowest` to `highest`, Q the product of `layers` lengths of `width`
    normal numbers of variance tau: for j = 0 the density of ln Q itself, then up to j = `tilts`,
    all up to one common constant. For two layers the first is w ln Q + ln K_0(Q/tau), the second
    (w-1) ln Q + ln K_1(Q/tau). By convolutions in ln a on a uniform grid: everything is smooth, so
    the trapezoidal rule converges geometrically.
    """
    reach = np.exp(highest / layers)
    wide = np.log(12 * np.sqrt(variance) + 1.5 * reach)
    step = min(0.05, 0.3 * np.sqrt(variance) / reach)
    down = step * np.arange(int((layers * wide - lowest) / step) + 4)

    def length(tilted: bool) -> Array:
        x = wide - down
        return (width - 2 * tilted) * x - np.exp(2 * x) / (2 * variance)

    splines = []
    for j in range(tilts + 1):
        tilted = [True] * j + [False] * (layers - j)
        row = length(tilted[0])
        for more in tilted[1:]:
            # Entry i stands for i steps below the highest sum: a product of power series.
            factor = length(more)
            terms = (row[: i + 1] + factor[i::-1] for i in range(down.size))
            row = np.array([(high := t.max()) + np.log(np.exp(t - high).sum()) for t in terms])
        splines.append(CubicSpline((layers * wide - down)[::-1], row[::-1]))
    return tuple(splines)


def mobilities(
    density: Array, z: Array, *, layers: int, width: int, variance: float
) -> tuple[Array, Array]:
    """(D_z, D_m) / T along z = Q^(1/(L-1)) and m, averaged at fixed Q; as `amplitudes` derives."""
    x = (width - 1) * variance
    e = np.exp(density - density[0])
    sides = layers // 2, layers - layers // 2
    across = np.ones_like(z)
    along = np.zeros_like(z)
    for n in sides:
        for k in range(1, n + 1):
            across += x**k * e[k]
            along += sum(x ** (j - 1) * e[j] for j in range(1, k + 1))
    # Near Q = 0 directions turn at once; any large number will do there.
    return np.minimum(along * (z / layers) ** 2, _FAST), np.minimum(across, _FAST)
