"""How long the loss stays flat without any noise: plateaus below the spinodal, ghosts above it.

Under gradient flow the amplitude shared by the layers obeys da/dt = -E'(a)/L:

    da/dt = a [ signal a**(L-2) - s a**(2L-2) - weight_decay ].

Time t is learning_rate * steps. A start above the separatrix (the saddle's amplitude) is learned
after a plateau that diverges only logarithmically at the separatrix; a start below it decays and
never learns. A plateau is therefore no evidence of noise: it measures how large the amplitude was.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from spinodal.errors import InputError
from spinodal.theory import modes
from spinodal.theory.modes import checked, checked_depth
from spinodal.theory.roots import Array, depth_root

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(24)
_NODES, _WEIGHTS = 0.5 * (_NODES + 1), 0.5 * _WEIGHTS
_MOST_PANELS = 2**14


def separatrix(
    *,
    depth: int,
    signal: ArrayLike,
    weight_decay: ArrayLike,
    input_variance: ArrayLike = 1.0,
) -> Array:
    """Amplitude above which a noise-free start is learned: (saddle strength) ** (1/depth).

    0 at depth 1 and 2 where there is a learned point; NaN above the spinodal, where nothing is
    learned. About (weight_decay / signal) ** (1/(L-2)) at small weight decay.
    """
    depth = checked_depth(depth)
    points = modes.stationary_points(
        depth=depth, signal=signal, weight_decay=weight_decay, input_variance=input_variance
    )
    if depth < 3:
        return np.where(np.isnan(points.learned), np.nan, 0.0)[()]
    return depth_root(points.saddle, depth)


def plateau_time(
    *,
    amplitude: ArrayLike,
    depth: int,
    signal: ArrayLike,
    weight_decay: ArrayLike,
    input_variance: ArrayLike = 1.0,
    exact: bool = True,
    fraction: float = 0.5,
) -> Array:
    """Noise-free time from `amplitude` until the strength is `fraction` of the learned strength.

    Infinite at or below the separatrix and above the spinodal; 0 if already there. With
    exact=False the small-amplitude form of `plateau_time_small`. The exact time is an integral: in
    u = a**-(L-2) it is 1/(L-2) int du / (signal - s a**L - weight_decay u), whose only singularity,
    at the separatrix, is taken out by the substitution w = -ln(1 - u/u_separatrix).
    """
    if not 0 < fraction < 1:
        raise InputError(f"fraction must lie between 0 and 1, got {fraction:g}.")
    depth = checked_depth(depth)
    a0, eta, decay, s = np.broadcast_arrays(
        checked("amplitude", amplitude, positive=True),
        checked("signal", signal),
        checked("weight_decay", weight_decay),
        checked("input_variance", input_variance, positive=True),
    )
    if not exact:
        return plateau_time_small(amplitude=a0, depth=depth, signal=eta, weight_decay=decay)
    points = modes.stationary_points(depth=depth, signal=eta, weight_decay=decay, input_variance=s)
    wall = separatrix(depth=depth, signal=eta, weight_decay=decay, input_variance=s)
    goal = depth_root(fraction * points.learned, depth)
    time = np.where((a0 > wall) & ~np.isnan(points.learned), 0.0, np.inf)
    running = np.isfinite(time) & (a0 < goal)
    for i in zip(*np.nonzero(running), strict=True) if time.ndim else [()] * int(running):
        mode = float(eta[i]), float(decay[i]), float(s[i])
        time[i] = _flow_time(depth, *mode, float(a0[i]), float(goal[i]), float(wall[i]))
    return time[()]


def plateau_time_small(
    *, amplitude: ArrayLike, depth: int, signal: ArrayLike, weight_decay: ArrayLike
) -> Array:
    """Closed form for small amplitudes, da/dt = signal a**(L-1) - weight_decay a, depth >= 3.

    t = 1/((L-2) weight_decay) ln[ signal a**(L-2) / (signal a**(L-2) - weight_decay) ]

    The time until that flow diverges; it agrees with the exact one up to O(1/signal). Infinite at
    and below its separatrix (weight_decay / signal) ** (1/(L-2)), a little below the true one.

    At depth 3, learning rate 0.1, weight decay 0.0025 and signal 0.8, an amplitude of 0.0100 (a
    strength of 1e-6) waits 1500 steps.
    """
    depth = checked_depth(depth)
    if depth < 3:
        raise InputError(f"The small-amplitude plateau needs depth >= 3, got {depth}.")
    a0 = checked("amplitude", amplitude, positive=True)
    pull = checked("signal", signal) * a0 ** (depth - 2)
    decay = checked("weight_decay", weight_decay)
    with np.errstate(divide="ignore", invalid="ignore"):
        time = np.where(
            decay > 0,
            -np.log1p(-np.minimum(decay / pull, 1.0)) / ((depth - 2) * decay),
            1 / ((depth - 2) * pull),
        )
    return time[()]


def ghost_time(
    *,
    depth: int,
    signal: ArrayLike,
    weight_decay: ArrayLike,
    input_variance: ArrayLike = 1.0,
) -> Array:
    """Time spent passing the place where the learned point was, just above the spinodal.

    pi / (M sqrt(g (weight_decay - spinodal) l**(2/L - 1))), M = L l**(2 - 2/L),
    g = s (1 - 1/L) / l, at l = spinodal strength. Diverges as (weight_decay - spinodal)**(-1/2):
    a slow network there is a ghost, not a converged one. Leading order; the whole passage is
    `ghost_passage_time`. NaN at or below the spinodal and at depth < 3.
    """
    depth = checked_depth(depth)
    limit = modes.spinodal(depth, signal, input_variance=input_variance)
    excess = checked("weight_decay", weight_decay) - limit
    if depth < 3:
        return np.full(np.shape(excess), np.nan)[()]
    merged = modes.spinodal_strength(depth, signal, input_variance=input_variance)
    mobility = depth * merged ** (2 - 2 / depth)
    bend = np.asarray(input_variance) * (1 - 1 / depth) / merged
    with np.errstate(invalid="ignore", divide="ignore"):
        time = np.pi / (mobility * np.sqrt(bend * excess * merged ** (2 / depth - 1)))
    return np.where(excess > 0, time, np.nan)[()]


def ghost_passage_time(
    *,
    depth: int,
    signal: float,
    weight_decay: float,
    input_variance: float = 1.0,
    start: float | None = None,
    end: float | None = None,
) -> float:
    """Exact noise-free time for the strength to fall from `start` to `end` above the spinodal.

    By default from twice to half the spinodal strength. Depth >= 3.
    """
    depth = checked_depth(depth)
    limit = float(modes.spinodal(depth, signal, input_variance=input_variance))
    if depth < 3 or not weight_decay > limit:
        raise InputError(
            f"A ghost needs depth >= 3 and weight_decay above the spinodal {limit:.6g}, "
            f"got depth {depth} and weight_decay {weight_decay:g}."
        )
    merged = float(modes.spinodal_strength(depth, signal, input_variance=input_variance))
    start = 2 * merged if start is None else start
    end = 0.5 * merged if end is None else end
    if not 0 < end < start:
        raise InputError(f"The strength falls: 0 < end < start, got {start:g} to {end:g}.")
    # In z = ln(a / a_c) the decay rate is excess + h(z), where h >= 0 has a double zero at z = 0.
    # With z = width tan(angle) the narrow Lorentzian becomes a constant.
    excess, low, high = weight_decay - limit, 2 * depth - 2, depth - 2
    pull = signal * merged ** (high / depth)
    width = np.sqrt(2 * excess / (pull * high * depth))

    def integrand(angle: Array) -> Array:
        z = width * np.tan(angle)
        barrier = pull * (high / low * np.expm1(low * z) - np.expm1(high * z))
        return width * (1 + np.tan(angle) ** 2) / (excess + barrier)

    angles = (float(np.arctan(np.log(x / merged) / depth / width)) for x in (end, start))
    return _integral(integrand, *angles)


def _flow_time(
    depth: int, eta: float, decay: float, s: float, start: float, goal: float, wall: float
) -> float:
    """Time from amplitude `start` up to `goal`, both above the separatrix `wall`."""
    if depth < 3:
        # Logistic in the strength at depth 2, exponential relaxation at depth 1.
        top = eta / (s + decay) if depth == 1 else (eta - decay) / s
        x, y = start**depth, goal**depth
        approach = np.log((top - x) / (top - y))
        if depth == 1:
            return float(approach / (s + decay))
        return float((np.log(y / x) + approach) / (2 * (eta - decay)))
    power = depth - 2
    # All amplitudes as multiples of the goal: u then runs from 1 upwards and cannot overflow.
    first, ratio = (start / goal) ** -power, goal**power
    full = s * goal**depth

    def rest(u: Array) -> Array:
        """signal - s strength at u."""
        return eta - full * u ** (-depth / power)

    edge = (wall / goal) ** -power if wall > 0 else np.inf  # u at the separatrix
    if edge > 1e250:
        # No weight decay to speak of. In ln u tiny starts cost no more panels.
        return _integral(lambda v: np.exp(v) / rest(np.exp(v)), 0.0, np.log(first)) / (
            power * ratio
        )

    def integrand(log_w: Array) -> Array:
        # u = edge (1 - e^-w). The speed and the substitution vanish together at the separatrix,
        # so both are written as differences from it.
        w = np.exp(log_w)
        left = edge * np.exp(-w)
        rise = np.expm1(-depth / power * np.log(-np.expm1(-w)))
        return w * left / (decay / ratio * left - full * edge ** (-depth / power) * rise)

    from_goal, to_start = -np.log1p(-1 / edge), -np.log(-np.expm1(-power * np.log(start / wall)))
    return _integral(integrand, np.log(from_goal), np.log(to_start)) / (power * ratio)


def _integral(function: Callable[[Array], Array], low: float, high: float) -> float:
    """Composite Gauss-Legendre quadrature, panels doubled until twelve digits stand still."""
    previous, panels = np.inf, 4
    while panels <= _MOST_PANELS:
        edges = np.linspace(low, high, panels + 1)
        sizes = np.diff(edges)[:, None]
        total = float(np.sum(function(edges[:-1, None] + sizes * _NODES) * sizes * _WEIGHTS))
        if abs(total - previous) <= 1e-12 * abs(total):
            return total
        previous, panels = total, 2 * panels
    raise InputError("A flow-time integral did not settle: the start is too close to stationary.")
