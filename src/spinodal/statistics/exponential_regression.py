"""Likelihood of counts in exposures whose logarithmic mean time is linear, by Newton's method."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

Vector = NDArray[np.float64]


def log_likelihood(events: Vector, exposure: Vector, log_time: Vector) -> NDArray[np.float64]:
    """-sum (events * log_time + exposure * exp(-log_time)) over the last axis."""
    expected = exposure * np.exp(-np.maximum(log_time, -700.0))
    return -(events * log_time + expected).sum(axis=-1)


def saturated(events: ArrayLike, exposure: ArrayLike) -> NDArray[np.float64]:
    """The log-likelihood of a cell at its own best rate, elementwise.

    events ln(events / exposure) - events, and 0 without events
    """
    d, total = np.asarray(events, dtype=float), np.asarray(exposure, dtype=float)
    return np.asarray(special.xlogy(d, d / total) - d, dtype=float)


def maximise(
    events: Vector, exposure: Vector, columns: NDArray[np.float64], offset: Vector
) -> tuple[Vector, Vector]:
    """The parameters of log_time = offset + columns @ parameters, and the log-likelihood there.

    `events` and `exposure` have shape (..., cells), `columns` (cells, parameters). Concave, so
    Newton's method with halved steps finds the maximum from anywhere; the parameters are NaN where
    there is none (the likelihood rises for ever). Leading axes are separate fits.
    """
    d, total = np.broadcast_arrays(np.atleast_1d(events), np.atleast_1d(exposure))
    if columns.shape[1] == 0:
        empty = np.zeros((*d.shape[:-1], 0))
        return empty, log_likelihood(d, total, np.broadcast_to(offset, d.shape))
    theta = _start(d, total, columns, offset)
    value = log_likelihood(d, total, offset + theta @ columns.T)
    settled = np.zeros(value.shape, dtype=bool)
    for _ in range(40):
        expected = total * np.exp(-np.maximum(offset + theta @ columns.T, -700.0))
        gradient = (expected - d) @ columns
        hessian = np.einsum("...c,ci,cj->...ij", expected, columns, columns)
        step = _solved(hessian, gradient)
        # A Newton step of the maximum shrinks quadratically; the decrement is its own measure.
        decrement = np.einsum("...i,...i->...", step, gradient)
        settled = decrement < 1e-18 * (1 + d.sum(axis=-1))
        if np.all(settled | ~np.isfinite(decrement)):
            break
        size, trial, new = np.ones(value.shape), theta, value
        for _ in range(30):
            trial = theta + size[..., None] * step
            new = log_likelihood(d, total, offset + trial @ columns.T)
            worse = ~(new >= value - 1e-12 * np.abs(value)) & ~settled
            if not np.any(worse):
                break
            size = np.where(worse, size / 2, size)
        theta, value = np.where(settled[..., None], theta, trial), np.where(settled, value, new)
    theta = np.where(settled[..., None], theta, np.nan)
    return theta, np.where(settled, value, np.nan)


def _start(d: Vector, total: Vector, columns: NDArray[np.float64], offset: Vector) -> Vector:
    """Least squares on the logarithmic mean times, weighted by the number of events."""
    weight = np.where(total > 0, d + 1e-3, 0.0)
    crude = np.log(np.maximum(total, 1e-300)) - np.log(d + 0.5) - offset
    square = np.einsum("...c,ci,cj->...ij", weight, columns, columns)
    return _solved(square, np.einsum("...c,ci->...i", weight * crude, columns))


def _solved(matrix: NDArray[np.float64], right: Vector) -> Vector:
    """matrix^-1 right, with a ridge far below rounding where the matrix is singular."""
    size = matrix.shape[-1]
    trace = np.trace(matrix, axis1=-2, axis2=-1)
    ridge = 1e-15 * np.where(np.isfinite(trace), trace, 1.0) + 1e-290
    with np.errstate(all="ignore"):
        matrix = np.where(np.isfinite(matrix), matrix, 0.0) + ridge[..., None, None] * np.eye(size)
        return np.linalg.solve(matrix, right[..., None])[..., 0].astype(float)


def limit(
    deficit: Callable[[float], float], level: float, *, start: float, step: float
) -> float | None:
    """Where `deficit`, 0 at `start` and growing, reaches `level`; None if it never does.

    Half the logarithmic likelihood ratio is nearly a parabola, so the search goes along its
    root, with `step` as the first guess (its sign is the direction).
    """
    goal = np.sqrt(level)
    inside, below = start, -goal
    outside, above = start + step, _root(deficit(start + step)) - goal
    for _ in range(60):
        if above >= 0:
            break
        inside, below = outside, above
        outside = start + 2 * (outside - start)
        above = _root(deficit(outside)) - goal
    else:
        return None
    side, middle = 0, outside
    for _ in range(100):  # Illinois: a secant that keeps the bracket
        middle = (inside * above - outside * below) / (above - below)
        if not np.isfinite(middle):
            middle = (inside + outside) / 2
        here = _root(deficit(middle)) - goal
        if abs(here) < 1e-9 * goal or abs(outside - inside) <= 1e-14 * abs(middle):
            return float(middle)
        if here > 0:
            outside, above = middle, here
            below, side = (below / 2, 1) if side == 1 else (below, 1)
        else:
            inside, below = middle, here
            above, side = (above / 2, -1) if side == -1 else (above, -1)
    return float(middle)


def _root(value: float) -> float:
    return float(np.sqrt(max(value, 0.0))) if np.isfinite(value) else 1e150
