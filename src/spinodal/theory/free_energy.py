"""Entropy of the hidden rotations: free energy of a mode, thermal spinodal, exact passage times.

Under additive noise of temperature T, d theta = -grad E dt + sqrt(2T) dB, the state is a cloud. A
mode that grows gains room: its hidden directions can turn among the w - r - 1 still unused ones at
each of the L - 1 hidden layers, N_z = (L-1)(w-r-1) rotations in all, and each arc is proportional
to the amplitude a. So the weight-space radius r = sqrt(L) a feels

    F(a) = E(a) - T N_z ln a        dr = -F'(r) dt + sqrt(2T) dB,

up to a constant. The barrier of F is lower than that of E and is gone at the thermal spinodal,
usually far below T = barrier_out: near and above it the delay is entropic drift, not activation.
The reduction takes the other directions as quickly relaxed and their widths as constant, which
is exact in the limit T -> 0 only. At temperatures that simulations reach it is a tenth too slow at
width 1 and, because the trivial valley is wider than it takes it to be, up to four times too fast
at width 10; `amplitudes` keeps what is left out here and errs by a few per cent.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from spinodal.errors import InputError
from spinodal.theory import modes
from spinodal.theory.modes import checked, checked_depth
from spinodal.theory.roots import Array, depth_root, polish

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(16)
_NODES, _WEIGHTS = 0.5 * (_NODES + 1), 0.5 * _WEIGHTS
_CONVERGED = 1e-11
_MOST_PANELS = 4096


class FreeEnergyPoints(NamedTuple):
    """Strengths of the stationary points of F; all NaN at and above the thermal spinodal."""

    well: Array
    barrier: Array
    learned: Array


def hidden_rotations(*, depth: int, width: int, rank: int) -> int:
    """N_z = (L-1)(w-r-1): rotations gained when the mode after rank `rank` is learned."""
    depth = checked_depth(depth)
    if not 0 <= rank < width:
        raise InputError(
            f"A network of width {width} learns a next mode from rank 0 to {width - 1}, got {rank}."
        )
    return (depth - 1) * (width - rank - 1)


def free_energy(
    amplitude: ArrayLike,
    *,
    depth: int,
    signal: ArrayLike,
    weight_decay: ArrayLike,
    temperature: ArrayLike,
    rotations: ArrayLike,
    input_variance: ArrayLike = 1.0,
) -> Array:
    """F(a) = E(a) - T N_z ln a, elementwise; plus infinity at amplitude 0 if N_z T > 0."""
    a = np.asarray(amplitude, dtype=float)
    heat = checked("temperature", temperature) * checked("rotations", rotations)
    energy = modes.loss_along_amplitude(
        a, depth=depth, signal=signal, weight_decay=weight_decay, input_variance=input_variance
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        entropy = np.where(heat > 0, heat * np.log(a), 0.0)
    return energy - entropy


def thermal_spinodal(
    *,
    depth: int,
    signal: ArrayLike,
    weight_decay: ArrayLike,
    rotations: ArrayLike,
    input_variance: ArrayLike = 1.0,
) -> Array:
    """Temperature at which the barrier of F disappears: max of a E'(a) / N_z over a < a_saddle.

    The maximum solves the stationary equation of a mode with half the signal and weight decay
    divided by the depth, and equals ((L-2) weight_decay a**2 - L s a**(2L)) / N_z at its saddle.
    Infinite without rotations; NaN where there is no saddle (depth < 3, above the spinodal).
    """
    peak = _steepest(checked_depth(depth), signal, weight_decay, input_variance)
    n = checked("rotations", rotations)
    eta, decay, s, n = np.broadcast_arrays(signal, weight_decay, input_variance, n)
    exists = ~np.isnan(
        modes.stationary_points(
            depth=depth, signal=eta, weight_decay=decay, input_variance=s
        ).saddle
    )
    push = (depth - 2) * decay * depth_root(peak, depth) ** 2 - depth * s * peak**2
    with np.errstate(divide="ignore", invalid="ignore"):
        limit = np.where(n > 0, push / n, np.inf)
    return np.where(exists, limit, np.nan)[()]


def free_energy_points(
    *,
    depth: int,
    signal: ArrayLike,
    weight_decay: ArrayLike,
    temperature: ArrayLike,
    rotations: ArrayLike,
    input_variance: ArrayLike = 1.0,
) -> FreeEnergyPoints:
    """Strengths where a E'(a) = T N_z: the well near 0, the barrier, the learned point of F.

    The well sits near a**2 = N_z T / (L weight_decay), the barrier below the bare saddle, the
    learned point above the bare one. Without heat (N_z T = 0) these are the bare points.
    """
    depth = checked_depth(depth)
    heat = checked("temperature", temperature) * checked("rotations", rotations)
    eta, decay, s, heat = np.broadcast_arrays(
        np.asarray(signal, dtype=float), weight_decay, input_variance, heat
    )
    bare = modes.stationary_points(depth=depth, signal=eta, weight_decay=decay, input_variance=s)
    critical = thermal_spinodal(
        depth=depth, signal=eta, weight_decay=decay, rotations=1.0, input_variance=s
    )
    found = [np.where(np.isnan(bare.saddle), np.nan, np.asarray(point)) for point in bare]
    warm, lost = (heat > 0) & (heat < critical), heat >= critical
    for point in found:
        point[lost] = np.nan
    if np.any(warm):
        hot = _heated(depth, eta[warm], decay[warm], s[warm], heat[warm])
        for point, values in zip(found, hot, strict=True):
            point[warm] = values
    return FreeEnergyPoints(*(point[()] for point in found))


def free_energy_barriers(
    *,
    depth: int,
    signal: ArrayLike,
    weight_decay: ArrayLike,
    temperature: ArrayLike,
    rotations: ArrayLike,
    input_variance: ArrayLike = 1.0,
) -> tuple[Array, Array]:
    """(out, back): F at its barrier minus F at the well, and minus F at the learned point.

    NaN at and above the thermal spinodal, and where the loss has no barrier. Without heat these
    are `modes.barrier_out` and `modes.barrier_back`.
    """
    well, top, learned = free_energy_points(
        depth=depth,
        signal=signal,
        weight_decay=weight_decay,
        temperature=temperature,
        rotations=rotations,
        input_variance=input_variance,
    )
    heat = checked("temperature", temperature) * checked("rotations", rotations)
    eta, decay = checked("signal", signal), checked("weight_decay", weight_decay)
    s = checked("input_variance", input_variance, positive=True)

    def climb(foot: Array) -> Array:
        with np.errstate(divide="ignore", invalid="ignore"):
            gained = np.where(heat > 0, heat / depth * np.log(top / foot), 0.0)
        roots = depth_root(top, depth), depth_root(foot, depth)
        price = 0.5 * depth * decay * (roots[0] ** 2 - roots[1] ** 2)
        fit = (top - foot) * (0.5 * s * (top + foot) - eta)
        return fit + price - gained

    # The bare difference keeps its digits near the spinodal, where the general one cannot.
    back = modes.barrier_back(
        depth=depth, signal=signal, weight_decay=weight_decay, input_variance=input_variance
    )
    return climb(well), np.where(heat > 0, climb(learned), back)[()]


def first_passage_time(
    potential: Callable[[Array], Array],
    *,
    start: float,
    absorbing: float,
    temperature: float,
    reflecting: float = -np.inf,
) -> float:
    """Mean time of dx = -V'(x) dt + sqrt(2T) dW from `start` until it first meets `absorbing`.

    tau = (1/T) int_start^absorbing dy e^{V(y)/T} int_reflecting^y dz e^{-V(z)/T}

    exactly, by quadrature; see `log_first_passage_time`. Infinite beyond the range of floats.
    """
    log_time = log_first_passage_time(
        potential, start=start, absorbing=absorbing, temperature=temperature, reflecting=reflecting
    )
    return float(np.exp(log_time)) if log_time < 709 else float("inf")


def log_first_passage_time(
    potential: Callable[[Array], Array],
    *,
    start: float,
    absorbing: float,
    temperature: float,
    reflecting: float = -np.inf,
) -> float:
    """Natural logarithm of `first_passage_time`, to about ten digits of the time.

    `potential` maps an array of positions to an array of energies. The wall `reflecting` lies
    behind the start; minus infinity (or plus, when leaving downwards) asks for a potential that
    confines. exp(V/T) overflows long before the product with exp(-V/T) does, so every sum stays in
    logarithms. Panels are doubled until the answer stands still.
    """
    if not (np.isfinite(temperature) and temperature > 0):
        raise InputError(f"temperature must be finite and positive, got {temperature:g}.")
    if not (np.isfinite(start) and np.isfinite(absorbing) and start != absorbing):
        raise InputError(f"start and absorbing must differ, got {start:g} and {absorbing:g}.")
    if absorbing < start:  # leave upwards in the mirror image
        wall = np.inf if reflecting == -np.inf else reflecting
        return log_first_passage_time(
            lambda x: potential(-x),
            start=-start,
            absorbing=-absorbing,
            temperature=temperature,
            reflecting=-wall,
        )
    if not reflecting <= start:
        raise InputError(
            f"The reflecting wall must lie behind the start {start:g} as seen from {absorbing:g}, "
            f"got {reflecting:g}."
        )
    if np.isinf(reflecting):
        reflecting = _negligible(potential, start, absorbing, temperature)
    # Exponents are known to the rounding of the energies, divided by T, and no better.
    scale = float(np.abs(potential(np.array([start, absorbing]))).max())
    converged = max(_CONVERGED, 32 * np.finfo(float).eps * scale / temperature)
    descent = -np.inf
    peak, end = _over_the_barrier(potential, start, absorbing, temperature)
    if end < absorbing:
        slide = _descent_time(potential, peak, end, absorbing, temperature, 10 * converged)
        descent = np.log(slide)
    previous, panels = np.inf, 16
    while panels <= _MOST_PANELS:
        edges = np.linspace(start, end, panels + 1)
        if reflecting < start:
            edges = np.append(np.linspace(reflecting, start, panels, endpoint=False), edges)
        log_time = _log_double_integral(potential, edges, panels, temperature)
        if abs(log_time - previous) < converged:
            return float(np.logaddexp(log_time, descent))
        previous, panels = log_time, 2 * panels
    raise InputError(
        f"The passage-time integral did not settle with {_MOST_PANELS} panels: the potential must "
        "be smooth and finite between the wall and the target; raise the temperature or bring the "
        "wall closer."
    )


def mode_first_passage_time(
    *,
    depth: int,
    signal: float,
    weight_decay: float,
    temperature: float,
    rotations: int,
    input_variance: float = 1.0,
    start: float | None = None,
    target: float | None = None,
) -> float:
    """Mean time for one mode to be learned under additive noise, in units of learning_rate steps.

    In r = sqrt(L) a with potential F, wall at 0. `start` and `target` are amplitudes; by default
    from the well of F (amplitude 0 without rotations) to the bare learned amplitude, which lies a
    little inside the learned well of F. NaN at and above the thermal spinodal (unless `start` says
    where from) and where there is no learned point: the passage is then drift.
    """
    depth = checked_depth(depth)
    mode = {
        "depth": depth,
        "signal": signal,
        "weight_decay": weight_decay,
        "input_variance": input_variance,
    }
    heated = {**mode, "temperature": temperature, "rotations": rotations}
    if start is None:
        start = float(depth_root(free_energy_points(**heated).well, depth))
    if target is None:
        target = float(depth_root(modes.stationary_points(**mode).learned, depth))
    if np.isnan(start) or np.isnan(target):
        return float("nan")
    return first_passage_time(
        lambda radius: free_energy(radius / np.sqrt(depth), **heated),
        start=np.sqrt(depth) * start,
        absorbing=np.sqrt(depth) * target,
        reflecting=0.0,
        temperature=temperature,
    )


def _steepest(
    depth: int, signal: ArrayLike, weight_decay: ArrayLike, input_variance: ArrayLike
) -> Array:
    """Strength below the saddle at which a E'(a) is largest.

    a E'(a) = L (s a**(2L) - signal a**L + weight_decay a**2) has its extremes where
    s a**(2L-2) - (signal/2) a**(L-2) + weight_decay/L = 0: a stationary equation again.
    """
    return modes.stationary_points(
        depth=depth,
        signal=0.5 * np.asarray(signal, dtype=float),
        weight_decay=np.asarray(weight_decay, dtype=float) / depth,
        input_variance=input_variance,
    ).saddle


def _heated(
    depth: int, eta: Array, decay: Array, s: Array, heat: Array
) -> tuple[Array, Array, Array]:
    """Strengths (well, barrier, learned) of F below the thermal spinodal; vectors."""
    bare = modes.stationary_points(depth=depth, signal=eta, weight_decay=decay, input_variance=s)
    middle = np.log(_steepest(depth, eta, decay, s))

    def equation(sign: float) -> Callable[[Array], tuple[Array, Array]]:
        def push(log_strength: Array) -> tuple[Array, Array]:
            x, price = np.exp(log_strength), decay * np.exp(2 * log_strength / depth)
            value = depth * (x * (s * x - eta) + price) - heat
            return sign * value, sign * (depth * x * (2 * s * x - eta) + 2 * price)

        return push

    # Each bracket is known: without the fit the well would be lower; above `top` the fit alone
    # outweighs the heat.
    low = 0.5 * depth * np.log(heat / (depth * decay))
    top = np.log((eta + np.sqrt(eta**2 + 4 * s * heat / depth)) / (2 * s))
    return (
        np.exp(polish(equation(1.0), low, low, middle)),
        np.exp(polish(equation(-1.0), np.log(bare.saddle), middle, np.log(bare.saddle))),
        np.exp(polish(equation(1.0), np.log(bare.learned), np.log(bare.learned), top)),
    )


def _negligible(
    potential: Callable[[Array], Array], start: float, absorbing: float, temperature: float
) -> float:
    """A wall so far up the potential that nothing is lost behind it (a weight below e**-60)."""
    reach = absorbing - start
    for _ in range(60):
        wall = start - reach
        heights = potential(np.linspace(wall, absorbing, 513))
        if heights[0] - heights.min() > 60 * temperature:
            return wall
        reach *= 1.5
    raise InputError("The potential does not confine behind the start; give a reflecting wall.")


def _over_the_barrier(
    potential: Callable[[Array], Array], start: float, absorbing: float, temperature: float
) -> tuple[float, float]:
    """The highest point, and where the slide begins: 60 T below, if it is downhill from there on.

    Below it nobody comes back, and the rest of the way is a single integral. The target itself
    where the way does not end in such a slide.
    """
    x = np.linspace(start, absorbing, 4097)
    height = potential(x) / temperature
    peak = int(np.argmax(height))
    below = np.flatnonzero(height[peak:] < height[peak] - 60)
    if len(below) == 0:
        return float(x[peak]), absorbing
    first = peak + int(below[0])
    downhill = bool((np.diff(height[first:]) < 0).all())
    if not downhill:
        return float(x[peak]), absorbing
    near, far = x[first - 1], x[first]  # the grid may be much coarser than 60 T
    for _ in range(60):
        middle = 0.5 * (near + far)
        high = potential(np.array([middle]))[0] / temperature > height[peak] - 60
        near, far = (middle, far) if high else (near, middle)
    return float(x[peak]), float(far)


def _descent_time(
    potential: Callable[[Array], Array],
    peak: float,
    start: float,
    end: float,
    temperature: float,
    converged: float,
) -> float:
    """Mean time of a slide: the integral over y of e^{V(y)/T} times that of e^{-V/T} above y.

    Only what stands within 45 T above y counts there, a layer that shrinks with T, so the inner
    rule is stretched to it and the outer one need not resolve it.
    """
    # Slow near both ends, where the slope is small: panels shrink geometrically towards them.
    halves = 0.5 ** np.arange(1, 40)
    coarse = np.concatenate([[0.0], halves[::-1], 1 - halves[1:], [1.0]])
    previous = np.inf
    for parts in (1, 2, 4, 8, 16):
        fine = np.interp(
            np.arange(parts * (len(coarse) - 1) + 1) / parts, np.arange(len(coarse)), coarse
        )
        edges = start + (end - start) * fine
        y = edges[:-1, None] + np.diff(edges)[:, None] * _NODES
        level = potential(y)
        low, high = np.zeros_like(y), y - peak
        for _ in range(80):
            middle = 0.5 * (low + high)
            near = potential(y - middle) - level < 45 * temperature
            low, high = np.where(near, middle, low), np.where(near, high, middle)
        pieces = (np.arange(8)[:, None] + _NODES).reshape(-1) / 8
        depth = y[..., None] - high[..., None] * pieces
        inside = np.exp((level[..., None] - potential(depth)) / temperature)
        inner = high * (inside * np.tile(_WEIGHTS / 8, 8)).sum(axis=-1) / temperature
        time = float((np.diff(edges)[:, None] * _WEIGHTS * inner).sum())
        if abs(time / previous - 1) < converged:
            return time
        previous = time
    raise InputError("The slide from the barrier to the target did not settle: is it smooth?")


def _log_double_integral(
    potential: Callable[[Array], Array], edges: Array, panels: int, temperature: float
) -> float:
    """ln tau with composite Gauss-Legendre panels; the last `panels` carry the outer integral.

    The inner integral up to an outer node is a sum over whole panels plus a Gauss rule on the
    piece below the node: only positive terms, so small pieces keep their relative accuracy.
    """
    left, size = edges[:-1], np.diff(edges)
    nodes = left[:, None] + size[:, None] * _NODES
    energy = potential(nodes) / temperature
    log_rule = np.log(size)[:, None] + np.log(_WEIGHTS)
    whole = np.logaddexp.reduce(log_rule - energy, axis=1)
    below = np.append(-np.inf, np.logaddexp.accumulate(whole)[:-1])[-panels:]

    left, size = left[-panels:], size[-panels:]
    nodes, energy, log_rule = nodes[-panels:], energy[-panels:], log_rule[-panels:]
    pieces = left[:, None, None] + size[:, None, None] * np.multiply.outer(_NODES, _NODES)
    log_piece = np.logaddexp.reduce(
        np.log(_WEIGHTS) - potential(pieces) / temperature, axis=2
    ) + np.log(size[:, None] * _NODES)
    inner = np.logaddexp(below[:, None], log_piece)
    return float(np.logaddexp.reduce(log_rule + energy + inner, axis=None)) - float(
        np.log(temperature)
    )
