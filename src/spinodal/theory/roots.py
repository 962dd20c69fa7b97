"""The stationary equation of one mode without dimensions, solved to the last digits.

A non-zero stationary point of one mode at depth L >= 3 solves

    (signal - strength) * strength**kappa = weight_decay,    kappa = 1 - 2/L,

for unit input variance. Measured from the spinodal, where strength = s_c = signal kappa/(1+kappa),
only depth and one ratio are left. With strength = s_c (1 + xi):

    log1p(-kappa xi) + kappa log1p(xi) = -distance,    distance = ln(spinodal / weight_decay) > 0,

xi in (-1, 0) at the saddle and in (0, 1/kappa) at the learned point. Signals of 1e-6 and 1e6 are
the same problem, and differences of strengths near the spinodal are differences of small xi.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

_NEWTON_STEPS = 100
_EPS = float(np.finfo(float).eps)


def depth_root(values: ArrayLike, depth: int) -> Array:
    """`values ** (1 / depth)` to the last digit, elementwise, for values >= 0.

    The exponent 1/depth is rounded, which costs log(value) digits' worth of error; one Newton step
    on `root ** depth` (an exact integer power) takes it back.
    """
    x = np.asarray(values, dtype=float)
    root = x ** (1.0 / depth)
    usable = (root > 0) & np.isfinite(root)
    safe = np.where(usable, root, 1.0)
    # Written with a quotient, because safe ** (depth - 1) alone may underflow at depth 50.
    correction = safe * (1.0 - np.where(usable, x, 1.0) / _power(safe, depth)) / depth
    return np.where(usable, safe - np.where(np.isfinite(correction), correction, 0.0), root)[()]


def _power(base: Array, exponent: int) -> Array:
    with np.errstate(under="ignore", divide="ignore", over="ignore"):
        power = base**exponent
    return np.where(power == 0.0, np.nan, power)


def log_deviations(depth: int, distance: ArrayLike) -> tuple[Array, Array]:
    """Where the two non-zero stationary points lie, as logarithms; depth >= 3, elementwise.

    Returns (u, v) with strength_saddle = s_c exp(u) and
    signal - strength_learned = (signal - s_c) exp(v): the variables in which each point keeps its
    relative accuracy when the weight decay goes to 0 (distance to infinity). NaN for
    distance <= 0; minus infinity at weight decay 0.
    """
    distance = np.asarray(distance, dtype=float)
    exists, finite = distance > 0, np.isfinite(distance)
    ell = np.where(exists & finite, distance, 1.0)
    kappa = (depth - 2) / depth
    curvature = kappa * (1 + kappa)

    # Both left sides are concave and increasing, so the parabola at the spinodal bounds the root
    # from above and the asymptote at weight decay 0 bounds it from below.
    saddle_low = -(ell + np.log1p(kappa)) / kappa
    saddle_high = -np.sqrt(2 * ell / curvature)
    learned_low = -ell - kappa * np.log1p(1 / kappa)
    learned_high = -np.sqrt(2 * ell * kappa / (1 + kappa))

    if depth in (3, 4):
        saddle, learned = _closed_form(depth, ell)
    else:
        near = ell < 0.5
        saddle = np.where(near, saddle_high, saddle_low)
        learned = np.where(near, learned_high, learned_low)

    def saddle_equation(u: Array) -> tuple[Array, Array]:
        xi = np.expm1(u)
        return np.log1p(-kappa * xi) + kappa * u + ell, -curvature * xi / (1 - kappa * xi)

    def learned_equation(v: Array) -> tuple[Array, Array]:
        xi = -np.expm1(v) / kappa
        return v + kappa * np.log1p(xi) + ell, (1 + kappa) * xi / (1 + xi)

    saddle = polish(saddle_equation, saddle, saddle_low, saddle_high)
    learned = polish(learned_equation, learned, learned_low, learned_high)
    edge = np.where(exists, -np.inf, np.nan)
    keep = exists & finite
    return np.where(keep, saddle, edge), np.where(keep, learned, edge)


def sum_of_deviations(depth: int, below: ArrayLike, above: ArrayLike) -> Array:
    """xi_saddle + xi_learned = below + above, without their cancellation near the spinodal.

    There the two are nearly opposite and the sum is of second order. With middle m and half
    distance h, equal left sides at m - h and m + h say

        atanh(kappa h / (1 - kappa m)) = kappa atanh(h / (1 + m)),

    whose leading terms are subtracted by hand; what is left is a contraction for m.
    """
    kappa = (depth - 2) / depth
    half = 0.5 * (np.asarray(above, dtype=float) - below)
    close = np.abs(half) < 0.05
    h = np.where(close, half, 0.0)

    def excess(z: Array) -> Array:
        """atanh(z)/z - 1 for |z| < 0.1."""
        x = z * z
        return x / 3 + x**2 / 5 + x**3 / 7 + x**4 / 9 + x**5 / 11 + x**6 / 13 + x**7 / 15

    m = np.zeros_like(h)
    for _ in range(8):
        up, down = 1 + m, 1 - kappa * m
        m = (down * excess(h / up) - up * excess(kappa * h / down)) / (1 + kappa)
    return np.where(close, 2 * m, np.asarray(above) + below)[()]


def polish(
    equation: Callable[[Array], tuple[Array, Array]], start: Array, low: Array, high: Array
) -> Array:
    """Newton's method kept inside brackets, elementwise; `equation` gives value and slope.

    The value must be negative at `low` and not negative at `high`. A step that would leave the
    shrinking bracket is replaced by its midpoint, so convergence never depends on the start.
    """
    low, high = np.array(low, dtype=float), np.array(high, dtype=float)
    x = np.clip(start, low, high)
    for _ in range(_NEWTON_STEPS):
        value, slope = equation(x)
        low, high = np.where(value < 0, x, low), np.where(value >= 0, x, high)
        with np.errstate(divide="ignore", invalid="ignore"):
            proposal = x - value / slope
        inside = (proposal >= low) & (proposal <= high)
        proposal = np.where(inside, proposal, 0.5 * (low + high))
        done = np.abs(proposal - x) <= 4 * _EPS * (1 + np.abs(x))
        x = proposal
        if np.all(done):
            break
    return x


def _closed_form(depth: int, distance: Array) -> tuple[Array, Array]:
    """The logarithms of `log_deviations` from Ferrari (depth 3) or Cardano (depth 4)."""
    kappa = (depth - 2) / depth
    critical = kappa / (1 + kappa)
    ratio = np.exp(-distance)
    if depth == 3:
        decay = ratio * 0.75 * critical ** (1 / 3)
        saddle, learned = ferrari(1.0, decay)
        saddle, learned = saddle**3, learned**3
    else:
        # s**3 - s + decay = 0 for s = amplitude**2, in angles measured from the saddle so that
        # nothing cancels when the weight decay goes to 0.
        decay = ratio * 2 / 27**0.5
        angle = np.arcsin(ratio) / 3
        saddle = (2 / 3**0.5 * np.sin(angle)) ** 2
        learned = (2 / 3**0.5 * np.cos(np.pi / 6 + angle)) ** 2
    tiny = np.finfo(float).tiny
    # 1 - learned = decay / learned**kappa without the subtraction.
    missing = decay / learned**kappa
    return (
        np.log(np.maximum(saddle, tiny) / critical),
        np.log(np.maximum(missing, tiny) * (1 + kappa)),
    )


def ferrari_resolvent(signal: ArrayLike, weight_decay: ArrayLike) -> Array:
    """Real root m of the resolvent 8 m**3 - 8 weight_decay m - signal**2 = 0 of depth 3.

    m = cbrt(signal**2/16 + R) + cbrt(signal**2/16 - R), R**2 = signal**4/256 - weight_decay**3/27.
    Below the spinodal only (R real).
    """
    signal, decay = np.asarray(signal, dtype=float), np.asarray(weight_decay, dtype=float)
    half = signal**2 / 16
    larger = np.cbrt(half + np.sqrt(np.maximum(half**2 - decay**3 / 27, 0.0)))
    # The two cube roots multiply to weight_decay / 3, which spares the cancelling one.
    return larger + decay / (3 * larger)


def ferrari(signal: ArrayLike, weight_decay: ArrayLike) -> tuple[Array, Array]:
    """Amplitudes (saddle, learned) at depth 3: positive roots of a**4 - signal a + weight_decay.

    The quartic is (a**2 - p a + q)(a**2 + p a + q'), p = sqrt(2 m), q q' = weight_decay.
    """
    signal, decay = np.asarray(signal, dtype=float), np.asarray(weight_decay, dtype=float)
    p = np.sqrt(2 * ferrari_resolvent(signal, decay))
    q = 2 * decay / (p**2 + signal / p)
    learned = (p + np.sqrt(np.maximum(p**2 - 4 * q, 0.0))) / 2
    return q / learned, learned
