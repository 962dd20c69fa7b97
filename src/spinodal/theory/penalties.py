"""A concave penalty on one coefficient: stationary points, two spinodals, barriers, all exact.

Regression on orthonormal features treats every coefficient by itself. With the logarithmic penalty,

    E(w) = 1/2 (w - signal)**2 + (weight_decay scale**2 / 2) ln(1 + w**2 / scale**2),

small coefficients pay (weight_decay / 2) w**2, as under ridge regression, and large ones hardly
more for growing further: what is switched on is shrunk little. Stationary points solve the cubic

    (w - signal)(scale**2 + w**2) + weight_decay scale**2 w = 0.

Where signal > sqrt(27) scale there are two minima between two spinodals of the weight decay: above
the upper one only `off` is left, below the lower one only `on`, and between them lies `saddle`.
Weaker signals switch on smoothly. Everything is elementwise on arrays that broadcast; NaN stands
where a point does not exist.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from spinodal.theory.modes import checked
from spinodal.theory.roots import Array

SMOOTH_BELOW = float(np.sqrt(27.0))
"""Signals below this many scales switch on without a jump."""


class Coefficients(NamedTuple):
    """The stationary points of one coefficient; NaN where one does not exist."""

    off: Array
    saddle: Array
    on: Array


def log_penalty_loss(
    coefficient: ArrayLike, *, signal: ArrayLike, weight_decay: ArrayLike, scale: ArrayLike
) -> Array:
    """E(w) = 1/2 (w - signal)**2 + (weight_decay scale**2 / 2) ln(1 + w**2 / scale**2)."""
    b, decay, s = _problem(signal, weight_decay, scale)
    w = np.asarray(coefficient, dtype=float)
    return 0.5 * (w - b) ** 2 + 0.5 * decay * s**2 * np.log1p((w / s) ** 2)


def log_penalty_slope(
    coefficient: ArrayLike, *, signal: ArrayLike, weight_decay: ArrayLike, scale: ArrayLike
) -> Array:
    """dE/dw = w - signal + weight_decay w / (1 + w**2 / scale**2)."""
    b, decay, s = _problem(signal, weight_decay, scale)
    w = np.asarray(coefficient, dtype=float)
    return w - b + decay * w / (1 + (w / s) ** 2)


def log_penalty_curvature(
    coefficient: ArrayLike, *, weight_decay: ArrayLike, scale: ArrayLike
) -> Array:
    """d2E/dw2 = 1 + weight_decay (1 - w**2/scale**2) / (1 + w**2/scale**2)**2."""
    _, decay, s = _problem(0.0, weight_decay, scale)
    u = (np.asarray(coefficient, dtype=float) / s) ** 2
    return 1 + decay * (1 - u) / (1 + u) ** 2


def log_penalty_spinodals(*, signal: ArrayLike, scale: ArrayLike) -> tuple[Array, Array]:
    """Weight decays at which `on` appears (lower) and disappears (upper); NaN below sqrt(27).

    On the curve weight_decay(w) = (signal - w)(scale**2 + w**2) / (scale**2 w) the two turning
    points solve 2 w**3 - signal w**2 + signal scale**2 = 0; the larger root is where the saddle
    meets `on` (upper), the smaller one where it meets `off` (lower).
    """
    b, _, s = _problem(signal, 0.0, scale)
    b, s = np.broadcast_arrays(b, s)
    lower, upper = ((b - w) * (s**2 + w**2) / (s**2 * w) for w in _turning(b, s))
    return lower[()], upper[()]


def log_penalty_points(
    *, signal: ArrayLike, weight_decay: ArrayLike, scale: ArrayLike
) -> Coefficients:
    """All stationary points.

    Below sqrt(27) scales of signal, where nothing jumps, the one point is called `on` when it lies
    above signal / 3, where the jump would be, else `off`.
    """
    b, decay, s = np.broadcast_arrays(*_problem(signal, weight_decay, scale))
    # w**3 - b w**2 + s**2 (1 + decay) w - b s**2 = 0, moved to t = w - b/3: t**3 + p t + q = 0.
    p = s**2 * (1 + decay) - b**2 / 3
    q = b * (s**2 * (1 + decay) / 3 - 2 * b**2 / 27 - s**2)
    discriminant = (q / 2) ** 2 + (p / 3) ** 3
    three = discriminant < 0
    depth = np.sqrt(np.where(three, -p / 3, 1.0))
    angle = np.arccos(np.clip(np.where(three, -q / (2 * depth**3), 0.0), -1, 1)) / 3
    roots = [2 * depth * np.cos(angle - 2 * np.pi * k / 3) + b / 3 for k in (0, 1, 2)]
    root = np.sqrt(np.where(three, 0.0, discriminant))
    # Of the two cube roots the one without cancellation, then the other from their product.
    large = np.cbrt(-q / 2 - np.where(q > 0, root, -root))
    single = large - np.where(large == 0, 0.0, p / (3 * np.where(large == 0, 1.0, large))) + b / 3
    above = single > b / 3
    raw = (
        np.where(three, roots[2], np.where(above, np.nan, single)),
        np.where(three, roots[1], np.nan),
        np.where(three, roots[0], np.where(above, single, np.nan)),
    )
    return Coefficients(*(_polished(w, b, decay, s)[()] for w in raw))


def log_penalty_barriers(
    *, signal: ArrayLike, weight_decay: ArrayLike, scale: ArrayLike
) -> tuple[Array, Array]:
    """(saddle minus off, saddle minus on): to switch the coefficient on, and off again."""
    off, saddle, on = log_penalty_points(signal=signal, weight_decay=weight_decay, scale=scale)
    given = {"signal": signal, "weight_decay": weight_decay, "scale": scale}
    top = log_penalty_loss(saddle, **given)
    return top - log_penalty_loss(off, **given), top - log_penalty_loss(on, **given)


def _problem(
    signal: ArrayLike, weight_decay: ArrayLike, scale: ArrayLike
) -> tuple[Array, Array, Array]:
    return (
        checked("signal", signal),
        checked("weight_decay", weight_decay),
        checked("scale", scale, positive=True),
    )


def _turning(b: Array, s: Array) -> tuple[Array, Array]:
    """The two positive roots of 2 w**3 - b w**2 + b s**2 = 0, ascending; NaN where none."""
    # With w = b/6 + t: t**3 - 3 (b/6)**2 t + (b s**2 / 2 - 2 (b/6)**3) = 0.
    r = b / 6
    exists = b > SMOOTH_BELOW * s
    safe = np.where(exists, r, s)
    angle = np.arccos(np.clip(1 - b * s**2 / (4 * safe**3), -1, 1)) / 3
    found = [
        np.where(exists, r + 2 * r * np.cos(angle - 2 * np.pi * k / 3), np.nan) for k in (1, 0)
    ]
    return found[0], found[1]


def _polished(w: Array, b: Array, decay: Array, s: Array) -> Array:
    """Two Newton steps on the cubic, where it is not at a double root."""
    for _ in range(2):
        value = (w - b) * (s**2 + w**2) + decay * s**2 * w
        slope = 3 * w**2 - 2 * b * w + s**2 * (1 + decay)
        steep = np.abs(slope) > 1e-6 * (w**2 + s**2 * (1 + decay))
        w = w - np.where(steep, value / np.where(steep, slope, 1.0), 0.0)
    return w
