"""One mode at any depth: loss, stationary points, spinodal, coexistence, barriers.

A mode is one singular direction of the data. In a balanced deep linear network every layer carries
the same amplitude of it, and strength = amplitude ** depth is its share of the end-to-end map:

    E(strength) = s/2 (strength - signal/s)**2 + (depth weight_decay / 2) strength**(2/depth),

s = input_variance. The factor `depth` is there because each of the layers pays the same price.
The convention is that of E = 1/2 E||y - W x||**2 + (weight_decay/2) sum_l ||W_l||**2; an article
that leaves the factor out means `weight_decay / depth` here.

All functions work elementwise on arrays that broadcast; `depth` is one integer. Points are
strengths; NaN stands where a point does not exist:

* depth 1: the loss is convex and strength 0 is not stationary: `learned` only, no spinodal
  (infinite weight decay), no barrier.
* depth 2: `learned` merges continuously with `trivial` at the spinodal = coexistence = signal; no
  `saddle`, no barriers.
* depth >= 3: `saddle` and `learned` exist below the spinodal (strictly) and merge there at a
  finite strength. At weight decay 0 `saddle` has merged with `trivial`, which is then no minimum.
"""

from __future__ import annotations

import operator
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from spinodal.errors import InputError
from spinodal.theory.roots import Array, depth_root, log_deviations, sum_of_deviations


class StationaryPoints(NamedTuple):
    """Strengths of the three stationary points of one mode; NaN where one does not exist."""

    trivial: Array
    saddle: Array
    learned: Array


def checked_depth(depth: int) -> int:
    """`depth` as an int, or an InputError."""
    try:
        value = 0 if isinstance(depth, bool) else operator.index(depth)
    except TypeError:
        value = 0
    if value < 1:
        raise InputError(f"depth counts layers and must be a whole number >= 1, got {depth!r}.")
    return value


def checked(name: str, values: ArrayLike, *, positive: bool = False) -> Array:
    """`values` as floats, or an InputError unless all are finite and >= 0 (> 0 if `positive`)."""
    array = np.asarray(values, dtype=float)
    good = np.isfinite(array) & ((array > 0) if positive else (array >= 0))
    if not np.all(good):
        allowed = "positive" if positive else "non-negative"
        offender = np.ravel(array)[np.ravel(~good)][0]
        raise InputError(f"{name} must be finite and {allowed}, got {offender:g}.")
    return array


def loss(
    strength: ArrayLike,
    *,
    depth: int,
    signal: ArrayLike,
    weight_decay: ArrayLike,
    input_variance: ArrayLike = 1.0,
) -> Array:
    """Loss of the mode at `strength` >= 0 (the balanced network's, its cheapest realisation).

    E = s/2 (strength - signal/s)**2 + (depth weight_decay / 2) strength**(2/depth)
    """
    depth = checked_depth(depth)
    amplitude = depth_root(checked("strength", strength), depth)
    return loss_along_amplitude(
        amplitude,
        depth=depth,
        signal=signal,
        weight_decay=weight_decay,
        input_variance=input_variance,
    )


def loss_along_amplitude(
    amplitude: ArrayLike,
    *,
    depth: int,
    signal: ArrayLike,
    weight_decay: ArrayLike,
    input_variance: ArrayLike = 1.0,
) -> Array:
    """E(a) = s/2 (a**L - signal/s)**2 + (L weight_decay / 2) a**2, a in every one of L layers."""
    depth, eta, decay, s = _mode(depth, signal, weight_decay, input_variance)
    a = np.asarray(amplitude, dtype=float)
    return 0.5 * s * (a**depth - eta / s) ** 2 + 0.5 * depth * decay * a**2


def slope(
    amplitude: ArrayLike,
    *,
    depth: int,
    signal: ArrayLike,
    weight_decay: ArrayLike,
    input_variance: ArrayLike = 1.0,
) -> Array:
    """dE/da = L [ s a**(2L-1) - signal a**(L-1) + weight_decay a ].

    Under gradient flow each layer's amplitude obeys da/dt = -slope / L.
    """
    depth, eta, decay, s = _mode(depth, signal, weight_decay, input_variance)
    a = np.asarray(amplitude, dtype=float)
    return depth * (a ** (depth - 1) * (s * a**depth - eta) + decay * a)


def curvature(
    amplitude: ArrayLike,
    *,
    depth: int,
    signal: ArrayLike,
    weight_decay: ArrayLike,
    input_variance: ArrayLike = 1.0,
) -> Array:
    """Curvature of the loss along the radial direction of weight space, (d2E/da2) / L.

    (2L-1) s a**(2L-2) - (L-1) signal a**(L-2) + weight_decay, for a unit step shared by the L
    layers (the distance in weight space is sqrt(L) da). At a stationary point a > 0 it equals
    L s a**(2L-2) - (L-2) weight_decay: positive at `learned`, negative at `saddle`, 0 at the
    spinodal.
    """
    depth, eta, decay, s = _mode(depth, signal, weight_decay, input_variance)
    a = np.asarray(amplitude, dtype=float)
    value = (2 * depth - 1) * s * a ** (2 * depth - 2) + decay
    return value - (depth - 1) * eta * a ** (depth - 2) if depth > 1 else value


def spinodal(depth: int, signal: ArrayLike, *, input_variance: ArrayLike = 1.0) -> Array:
    """Weight decay above which only the trivial point is left.

    A non-zero stationary point solves (signal - s strength) strength**(1 - 2/L) = weight_decay, so
    the spinodal is the maximum of the left side, reached at `spinodal_strength`:

        s L/(2(L-1)) (signal/s) spinodal_strength**(1 - 2/L).

    Depth 2: the maximum sits at strength 0, the points merge continuously (second order), and the
    spinodal is the signal. Depth >= 3: first order. Depth 1: infinite, learning never stops.
    """
    depth, eta, _, s = _mode(depth, signal, 0.0, input_variance)
    if depth == 1:
        return np.broadcast_to(np.where(eta > 0, np.inf, 0.0), np.broadcast(eta, s).shape)[()]
    return _decay_scale(depth, eta, s) * depth / (2 * (depth - 1)) * _critical(depth)


def spinodal_strength(depth: int, signal: ArrayLike, *, input_variance: ArrayLike = 1.0) -> Array:
    """Strength at which `saddle` and `learned` merge: (signal/s) (L-2)/(2(L-1)); NaN at depth 1."""
    depth, eta, _, s = _mode(depth, signal, 0.0, input_variance)
    return eta / s * ((depth - 2) / (2 * (depth - 1)) if depth > 1 else np.nan)


def coexistence(depth: int, signal: ArrayLike, *, input_variance: ArrayLike = 1.0) -> Array:
    """Weight decay at which `learned` and `trivial` have the same loss.

    spinodal * 2**(2 - 2/L) / L: below the spinodal for L >= 3, equal to it at L = 2; infinite at
    L = 1.
    """
    depth = checked_depth(depth)
    ratio = 1.0 if depth == 1 else 2 ** (2 - 2 / depth) / depth
    return spinodal(depth, signal, input_variance=input_variance) * ratio


def coexistence_strength(
    depth: int, signal: ArrayLike, *, input_variance: ArrayLike = 1.0
) -> Array:
    """Strength of `learned` at coexistence, twice the spinodal strength; NaN at depth 1."""
    return 2 * spinodal_strength(depth, signal, input_variance=input_variance)


def maximal_barrier(depth: int, signal: ArrayLike, *, input_variance: ArrayLike = 1.0) -> Array:
    """The limit of `barrier_out` at the spinodal: signal**2 (L-2)**2 / (8 s (L-1)).

    No weight decay makes learning this mode costlier. 0 at depth 2, NaN at depth 1.
    """
    depth, eta, _, s = _mode(depth, signal, 0.0, input_variance)
    return eta**2 / s * ((depth - 2) ** 2 / (8 * (depth - 1)) if depth > 1 else np.nan)


def stationary_points(
    *,
    depth: int,
    signal: ArrayLike,
    weight_decay: ArrayLike,
    input_variance: ArrayLike = 1.0,
) -> StationaryPoints:
    """All stationary points of the mode as strengths; see the module for which exist when.

    Closed forms at depth 1 to 4, bracketed roots beyond, every root finished by Newton's method
    in a variable that keeps its relative accuracy. Near the spinodal the saddle and the learned
    strength are known to about eps / sqrt(1 - weight_decay / spinodal), as any answer must be.
    """
    depth, eta, decay, s = _mode(depth, signal, weight_decay, input_variance)
    eta, decay, s = np.broadcast_arrays(eta, decay, s)
    nothing = np.full(eta.shape, np.nan)
    if depth == 1:
        return StationaryPoints(nothing[()], nothing[()], (eta / (s + decay))[()])
    trivial = np.zeros(eta.shape)
    if depth == 2:
        learned = np.where(decay < eta, (eta - decay) / s, np.nan)
        return StationaryPoints(trivial[()], nothing[()], learned[()])
    saddle_xi, learned_xi = _deviations(depth, eta, decay, s)
    critical = spinodal_strength(depth, eta, input_variance=s)
    return StationaryPoints(trivial[()], critical * saddle_xi[0], critical * (1 + learned_xi))


def saddle(
    *,
    depth: int,
    signal: ArrayLike,
    weight_decay: ArrayLike,
    input_variance: ArrayLike = 1.0,
) -> Array:
    """Strength of the saddle; an InputError that names the spinodal where there is none."""
    points = stationary_points(
        depth=depth, signal=signal, weight_decay=weight_decay, input_variance=input_variance
    )
    if depth < 3:
        raise InputError(
            f"A saddle needs depth >= 3, got depth {depth}: there the loss of one mode has a "
            "single minimum and no barrier."
        )
    _refuse_missing("saddle", points.saddle, depth, signal, weight_decay, input_variance)
    return points.saddle


def learned(
    *,
    depth: int,
    signal: ArrayLike,
    weight_decay: ArrayLike,
    input_variance: ArrayLike = 1.0,
) -> Array:
    """Strength of the learned point; an InputError that names the spinodal where there is none."""
    points = stationary_points(
        depth=depth, signal=signal, weight_decay=weight_decay, input_variance=input_variance
    )
    _refuse_missing("learned point", points.learned, depth, signal, weight_decay, input_variance)
    return points.learned


def barrier_out(
    *,
    depth: int,
    signal: ArrayLike,
    weight_decay: ArrayLike,
    input_variance: ArrayLike = 1.0,
) -> Array:
    """Loss at `saddle` minus loss at `trivial`: 1/2 saddle [(L-2) signal - (L-1) s saddle].

    NaN where there is no saddle (depth < 3, at or above the spinodal).
    """
    depth, eta, _, s = _mode(depth, signal, weight_decay, input_variance)
    points = stationary_points(
        depth=depth, signal=signal, weight_decay=weight_decay, input_variance=input_variance
    )
    return 0.5 * points.saddle * ((depth - 2) * eta - (depth - 1) * s * points.saddle)


def barrier_back(
    *,
    depth: int,
    signal: ArrayLike,
    weight_decay: ArrayLike,
    input_variance: ArrayLike = 1.0,
) -> Array:
    """Loss at `saddle` minus loss at `learned`; NaN where there is no saddle.

    With strength = spinodal_strength (1 + xi) it is
    s (L-1)/2 spinodal_strength**2 (xi_learned - xi_saddle)(xi_learned + xi_saddle), which keeps
    its digits near the spinodal, where it vanishes as (spinodal - weight_decay)**(3/2).
    """
    depth, eta, decay, s = _mode(depth, signal, weight_decay, input_variance)
    eta, decay, s = np.broadcast_arrays(eta, decay, s)
    if depth < 3:
        return np.full(eta.shape, np.nan)[()]
    (_, below), above = _deviations(depth, eta, decay, s)
    total = sum_of_deviations(depth, below, above)
    critical = spinodal_strength(depth, eta, input_variance=s)
    return 0.5 * (depth - 1) * s * critical**2 * (above - below) * total


def gap(
    *,
    depth: int,
    signal: ArrayLike,
    weight_decay: ArrayLike,
    input_variance: ArrayLike = 1.0,
) -> Array:
    """Loss at `learned` minus loss at `trivial` (strength 0); negative below coexistence.

    1/2 learned [(L-2) signal - (L-1) s learned]; NaN where there is no learned point. At depth 1
    strength 0 is not stationary, and the gap is still measured from there.
    """
    depth, eta, decay, s = _mode(depth, signal, weight_decay, input_variance)
    eta, decay, s = np.broadcast_arrays(eta, decay, s)
    points = stationary_points(depth=depth, signal=eta, weight_decay=decay, input_variance=s)
    if depth < 3:
        # The general form would subtract equal numbers; here signal - s learned is known exactly.
        return -0.5 * points.learned * (eta if depth == 1 else eta - decay)
    _, xi = _deviations(depth, eta, decay, s)
    return 0.25 * (depth - 2) * eta * points.learned * (1 - xi)


def _mode(
    depth: int, signal: ArrayLike, weight_decay: ArrayLike, input_variance: ArrayLike
) -> tuple[int, Array, Array, Array]:
    return (
        checked_depth(depth),
        checked("signal", signal),
        checked("weight_decay", weight_decay),
        checked("input_variance", input_variance, positive=True),
    )


def _decay_scale(depth: int, eta: Array, s: Array) -> Array:
    """The unit of weight decay, s (signal/s)**(2 - 2/L), by an integer power of an exact root."""
    unit = eta / s
    root = depth_root(unit, depth)
    return np.where(unit > 0, eta * unit / np.where(root > 0, root, 1.0) ** 2, 0.0)[()]


def _critical(depth: int) -> float:
    return 1.0 if depth == 2 else ((depth - 2) / (2 * (depth - 1))) ** ((depth - 2) / depth)


def _deviations(
    depth: int, eta: Array, decay: Array, s: Array
) -> tuple[tuple[Array, Array], Array]:
    """((saddle/s_c, saddle/s_c - 1), learned/s_c - 1), each to full relative accuracy."""
    limit = spinodal(depth, eta, input_variance=s)
    exists = decay < limit
    safe = np.where(exists & (decay > 0), limit, 1.0)
    # Near the spinodal the difference is exact (Sterbenz) while the quotient is rounded.
    with np.errstate(divide="ignore", over="ignore"):
        close = -np.log1p(-(safe - np.where(exists, decay, 0.5 * safe)) / safe)
        far = np.log(safe / np.where(decay > 0, decay, 1.0))
    distance = np.where(decay > 0.5 * limit, close, np.where(decay > 0, far, np.inf))
    u, v = log_deviations(depth, np.where(exists, distance, np.nan))
    return (np.exp(u), np.expm1(u)), -np.expm1(v) * depth / (depth - 2)


def _refuse_missing(
    what: str,
    points: Array,
    depth: int,
    signal: ArrayLike,
    weight_decay: ArrayLike,
    input_variance: ArrayLike,
) -> None:
    missing = np.isnan(points)
    if not np.any(missing):
        return
    where = tuple(np.argwhere(missing)[0])
    eta, decay, s = (
        float(np.broadcast_to(np.asarray(value, dtype=float), np.shape(points))[where])
        for value in (signal, weight_decay, input_variance)
    )
    limit = float(spinodal(depth, eta, input_variance=s))
    raise InputError(
        f"No {what} exists at weight_decay {decay:g}: it needs weight_decay below the spinodal, "
        f"{limit:.6g} at depth {depth} and signal {eta:g}; lower weight_decay or raise the signal."
    )
