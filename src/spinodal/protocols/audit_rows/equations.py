"""The paper's equations as it prints them, with k = 2 / depth; right or wrong, none is corrected.

Everything the package computes goes through its own formulas; these are only compared with them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def stationarity_2(
    strength: ArrayLike, *, depth: int, signal: ArrayLike, weight_decay: ArrayLike
) -> Array:
    """Left side of equation (2): strength - signal + weight_decay * strength**(k - 1)."""
    strength = np.asarray(strength, dtype=float)
    force = np.asarray(weight_decay, dtype=float) * np.power(strength, 2 / depth - 1)
    return np.asarray(strength - np.asarray(signal) + force)


def critical_strength_3(*, depth: int, signal: ArrayLike) -> Array:
    """Critical strength of equations (3) and (9): signal * (1 - k) / (2 - k)."""
    k = 2 / depth
    return np.asarray(signal, dtype=float) * (1 - k) / (2 - k)


def critical_decay_3(*, depth: int, signal: ArrayLike) -> Array:
    """Critical regularisation of equation (3): (signal - strength_c) * strength_c**(1 - k)."""
    strength = critical_strength_3(depth=depth, signal=signal)
    return (np.asarray(signal) - strength) * strength ** (1 - 2 / depth)


def barrier_10(
    strength: ArrayLike, *, depth: int, signal: ArrayLike, weight_decay: ArrayLike
) -> Array:
    """Barrier of equation (10): fit at `strength` minus fit at 0, plus L beta/2 strength**k."""
    strength, signal = np.asarray(strength, dtype=float), np.asarray(signal)
    price = 0.5 * depth * np.asarray(weight_decay) * strength ** (2 / depth)
    return 0.5 * (strength - signal) ** 2 - 0.5 * signal**2 + price


def log_time_11(saddle: ArrayLike, well: ArrayLike, *, barrier: float, temperature: float) -> float:
    """Logarithm of the time of equation (11); the unstable direction comes first in `saddle`.

    2 pi / |w_1| sqrt( prod_1^D |w_saddle| / prod_1^(D-1) w_well ) exp(barrier / temperature)
    """
    top, bottom = np.abs(np.asarray(saddle, dtype=float)), np.asarray(well, dtype=float)
    ratio = np.sum(np.log(top)) - np.sum(np.log(bottom[:-1]))
    return float(np.log(2 * np.pi / top[0]) + 0.5 * ratio + barrier / temperature)


def effective_barrier_12(
    saddle: ArrayLike, well: ArrayLike, *, barrier: float, temperature: float
) -> float:
    """Effective barrier of equation (12): barrier - T/2 sum ln(|w_saddle| / w_well)."""
    logs = np.log(np.abs(np.asarray(saddle, dtype=float)) / np.asarray(well, dtype=float))
    return float(barrier - 0.5 * temperature * np.sum(logs))
