"""Diffusions in one dimension whose noise depends on the place: committor and mean passage time.

    dx = b(x) dt + sqrt(v(x)) dW    (Ito: kicks have the variance at the place they start from)

With psi(x) = -int^x 2 b / v the scale function is s' = exp(psi): s(x(t)) has no drift, so that the
probability to reach `high` before `low` is (s(x) - s(low)) / (s(high) - s(low)), and

    tau = int_start^absorbing dy exp(psi(y)) int_wall^y dz 2/v(z) exp(-psi(z))

is the mean time from `start` to `absorbing` with a reflecting wall behind. Both are exact. psi
varies by barrier over noise, so every sum stays in logarithms. `free_energy.first_passage_time` is
the case v = 2T with the potential in closed form; here only b and v are asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.polynomial import legendre
from scipy.special import logsumexp

from spinodal.errors import InputError
from spinodal.theory.roots import Array

Field = Callable[[Array], Array]
"""Drift or variance: an array of positions in, an array of the same shape out."""

_X, _W = legendre.leggauss(16)
_NODES, _WEIGHTS = 0.5 * (_X + 1), 0.5 * _W


def _partial_integrals() -> Array:
    """Row i integrates the polynomial through the values at all nodes from 0 to node i."""
    degrees = np.arange(len(_X))
    # int_-1^x P_k = (P_{k+1} - P_{k-1}) / (2k + 1), and 1 + x for k = 0.
    values = legendre.legvander(_X, len(_X))
    integrals = (values[:, 1:] - np.column_stack([-values[:, 0], values[:, :-2]])) / (
        2 * degrees + 1
    )
    return 0.5 * integrals @ np.linalg.inv(values[:, :-1])


_PART = _partial_integrals()
_CONVERGED, _MOST_PANELS = 3e-11, 2**13


def log_mean_time(
    drift: Field,
    variance: Field,
    *,
    start: float,
    absorbing: float,
    reflecting: float | None = None,
) -> float:
    """Natural logarithm of the mean time from `start` until `absorbing` is first met.

    `reflecting` is a wall behind the start; None asks for a diffusion that comes back by itself,
    and what lies so far out that nothing is lost (less than e**-45 of the time) is left out. Panels
    are halved until the answer stands still, to about ten digits of the time.
    """
    _check_ends(start, absorbing)
    if absorbing < start:  # leave upwards in the mirror image
        wall = None if reflecting is None else -reflecting
        return log_mean_time(
            lambda x: -drift(-x), lambda x: variance(-x),
            start=-start, absorbing=-absorbing, reflecting=wall,
        )  # fmt: skip
    if reflecting is not None and not reflecting <= start:
        raise InputError(
            f"The reflecting wall must lie behind the start {start:g} as seen from {absorbing:g}, "
            f"got {reflecting:g}."
        )
    way = np.linspace(start, absorbing, 17)
    if reflecting is None:
        back = _far_out(drift, variance, start, absorbing - start)
    else:
        back = np.linspace(reflecting, start, 17) if reflecting < start else np.array([start])
    edges, first = np.append(back[:-1], way), len(back) - 1

    def estimates() -> Iterator[float]:
        pieces = 1
        while pieces * len(edges) <= _MOST_PANELS:
            yield _log_time(drift, variance, _finer(edges, pieces), first * pieces)
            pieces *= 2

    return _settled(estimates(), "The passage-time integral")


def mean_time(
    drift: Field,
    variance: Field,
    *,
    start: float,
    absorbing: float,
    reflecting: float | None = None,
) -> float:
    """`exp(log_mean_time(...))`; infinite beyond the range of floats."""
    log_time = log_mean_time(
        drift, variance, start=start, absorbing=absorbing, reflecting=reflecting
    )
    return float(np.exp(log_time)) if log_time < 709 else float("inf")


def log_committor(drift: Field, variance: Field, *, start: float, low: float, high: float) -> float:
    """Natural logarithm of the probability to reach `high` before `low` from `start` in between.

    ln int_low^start exp(psi) - ln int_low^high exp(psi).
    """
    if not (np.isfinite([low, start, high]).all() and low <= start <= high and low < high):
        raise InputError(
            f"A committor needs low <= start <= high and low < high, got {low:g}, {start:g} and "
            f"{high:g}."
        )
    if start in (low, high):
        return 0.0 if start == high else -np.inf
    edges = np.append(np.linspace(low, start, 17), np.linspace(start, high, 17)[1:])
    # Near a place without noise psi is steep: panels that matter are halved until they settle.
    while len(edges) <= _MOST_PANELS:
        log_rule, psi, _, _, left = _tables(drift, variance, edges)
        parts = logsumexp(log_rule + psi - left, axis=1)
        gains = np.diff(left[:, 0])
        log_rule, psi, _, _, left = _tables(drift, variance, _finer(edges, 2))
        log_rule, psi = log_rule.reshape(len(parts), -1), psi.reshape(len(parts), -1)
        halves = logsumexp(log_rule + psi - left[::2], axis=1)
        # What psi gains in panels that do not matter shifts all others alike.
        errors = np.abs(parts - halves) + np.append(np.abs(gains - np.diff(left[::2, 0])), 0.0)
        halves += left[::2, 0]
        below = edges[:-1] < start
        share = halves - np.where(below, logsumexp(halves[below]), logsumexp(halves[~below]))
        rounding = 64 * np.finfo(float).eps * np.abs(left).max()
        rough = (errors > 1e-11 + rounding) & (share > -40)
        if not rough.any():
            return float(logsumexp(halves[below]) - logsumexp(halves))
        middles = 0.5 * (edges[:-1] + edges[1:])
        edges = np.sort(np.append(edges, middles[rough]))
    raise InputError(
        "The committor's integral did not settle: drift and variance must be smooth and finite on "
        "the way."
    )


def scale_exponent(drift: Field, variance: Field, *, start: float, end: float) -> float:
    """psi(end) - psi(start) = -int_start^end 2 b / v: what exp(psi) gains on the way."""
    edges = np.linspace(start, end, 17)

    def estimates() -> Iterator[float]:
        pieces = 1
        while pieces * len(edges) <= _MOST_PANELS:
            fine = _finer(edges, pieces)
            x = fine[:-1, None] + np.diff(fine)[:, None] * _NODES
            slope = -2 * drift(x) / variance(x)
            yield float((np.diff(fine)[:, None] * _WEIGHTS * slope).sum())
            pieces *= 2

    return _settled(estimates(), "The scale function")


def _check_ends(start: float, absorbing: float) -> None:
    if not (np.isfinite(start) and np.isfinite(absorbing) and start != absorbing):
        raise InputError(f"start and absorbing must differ, got {start:g} and {absorbing:g}.")


def _finer(edges: Array, pieces: int) -> Array:
    """Every panel cut into so many."""
    at = np.arange(pieces * (len(edges) - 1) + 1) / pieces
    return np.interp(at, np.arange(len(edges)), edges)


def _tables(
    drift: Field, variance: Field, edges: Array
) -> tuple[Array, Array, Array, Array, Array]:
    """ln of the rule's weights, psi, ln 2/v, sizes, psi at left edges: rows are panels."""
    size = np.diff(edges)[:, None]
    x = edges[:-1, None] + size * _NODES
    v = variance(x)
    if not (np.all(v > 0) and np.all(np.isfinite(v))):
        raise InputError(
            "The noise must not vanish on the way: a place without noise is passed by the drift "
            "alone or never."
        )
    slope = -2 * drift(x) / v
    at_left = np.append(0.0, np.cumsum(size[:, 0] * (slope @ _WEIGHTS)))[:-1]
    psi = at_left[:, None] + size * (slope @ _PART.T)
    return np.log(size) + np.log(_WEIGHTS), psi, np.log(2 / v), size, at_left[:, None]


def _log_time(drift: Field, variance: Field, edges: Array, first: int) -> float:
    """ln tau on these panels; the outer integral begins at panel number `first`."""
    log_rule, psi, log_rate, size, _ = _tables(drift, variance, edges)
    level = (log_rate - psi).max(axis=1, keepdims=True)
    density = np.exp(log_rate - psi - level)  # at most one: the largest of its panel is the unit
    whole = np.log(density @ _WEIGHTS * size[:, 0]) + level[:, 0]
    below = np.append(-np.inf, np.logaddexp.accumulate(whole)[:-1])
    with np.errstate(divide="ignore", invalid="ignore"):
        piece = np.log(np.maximum(size * (density @ _PART.T), 0)) + level
    inner = np.logaddexp(below[:, None], piece)
    return float(logsumexp((log_rule + psi + inner)[first:]))


def _far_out(drift: Field, variance: Field, start: float, reach: float) -> Array:
    """Edges from where nothing is lost any more up to the start, in growing panels."""
    edges = [start]
    for number in range(400):
        edges.append(edges[-1] - reach / 8 * 1.15**number)
        log_rule, psi, log_rate, _, _ = _tables(drift, variance, np.array(edges[::-1]))
        weights = logsumexp(log_rule + log_rate - psi, axis=1)
        # Even if the weight fell only as slowly as the panels grow, the rest would not matter.
        if weights[0] + np.log(number + 1.0) < weights.max() - 45 and number > 8:
            return np.array(edges[::-1])
    raise InputError("The diffusion does not come back behind the start; give a reflecting wall.")


def _settled(estimates: Iterator[float], what: str) -> float:
    """The first of the estimates that agrees with the one before."""
    previous = np.nan
    for value in estimates:
        if abs(value - previous) < _CONVERGED * max(1.0, abs(value)):
            return value
        previous = value
    raise InputError(
        f"{what} did not settle: drift and variance must be smooth and finite on the way."
    )
