"""Mean passage times of a reversible diffusion on a grid, in logarithms.

The diffusion has density exp(-f) and diagonal mobility D_k(x) along each axis, f in units of T:

    generator  Q h = sum over axes  exp(f) d_k (exp(-f) D_k d_k h)

Cells are boxes; the flux between neighbours is Scharfetter and Gummel's, so the chain on the cells
is reversible with respect to exp(-f) exactly, at any slope of f. Its mean times are found without
loss of digits however high the barrier: what lies far below the pass is pooled into one state.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import label
from scipy.sparse import coo_matrix, csc_matrix
from scipy.sparse.linalg import splu
from scipy.special import logsumexp

from spinodal.theory.roots import Array

POOLED = 14.0
"""Cells so far below the pass are in equilibrium with each other: an error of e**-14."""

DEEP = 18.0
"""Least depth of the valley below the pass at which it is pooled."""

CUT = 12.0
"""Cells so far above the pass are left out, at a relative error of about e**-12."""


class Grid(NamedTuple):
    """Boxes of one spacing: heights f (in T), mobilities per axis, target cells.

    `height` has any number of axes; each of `mobility` has its shape.
    """

    height: Array
    mobility: tuple[Array, ...]
    target: NDArray[np.bool_]
    spacing: float


def pass_height(grid: Grid, well: tuple[int, ...]) -> float:
    """Least height that must be climbed from the cell `well` to reach the target."""
    f = grid.height
    low, high = float(f[well]), float(np.nanmax(f))
    for _ in range(60):
        middle = 0.5 * (low + high)
        if high - low < 1e-9 * max(1.0, abs(high)):
            break
        if grid.target[_reached(f, middle, well)].any():
            high = middle
        else:
            low = middle
    return high


def log_mean_time(grid: Grid, *, well: tuple[int, ...], start: tuple[int, ...]) -> float:
    """ln of the mean time from `start` until the target, in units of 1 / mobility.

    Where the valley of `well` is deeper than `DEEP`, cells more than `POOLED` below the pass are
    one state A and the time is that from A, exactly sum(exp(-f) q) / capacity with the committor
    q between A and the target; the start inside the valley then does not matter.
    """
    f, ceiling = grid.height, pass_height(grid, well)
    inside = _reached(f, ceiling + CUT, well) & ~grid.target
    deep = ceiling - float(f[well]) > DEEP
    pool = _reached(f, ceiling - POOLED, well) if deep else np.zeros_like(inside)
    free = inside & ~pool
    number = np.full(f.shape, -1)
    number[free] = np.arange(free.sum())
    size = int(free.sum())
    exits, fed = np.zeros(size), np.zeros(size)
    rows, columns, rates = [], [], []
    for axis in range(f.ndim):
        for here, there in _neighbours(f.ndim, axis):
            known = free[here] & (inside | grid.target)[there]
            where, to = number[here][known], number[there][known]
            mean = np.sqrt(grid.mobility[axis][here][known] * grid.mobility[axis][there][known])
            rate = mean / grid.spacing**2 * _bernoulli(f[there][known] - f[here][known])
            np.add.at(exits, where, rate)
            pooled = pool[there][known]
            np.add.at(fed, where[pooled], rate[pooled])
            rows.append(where[to >= 0])
            columns.append(to[to >= 0])
            rates.append(rate[to >= 0])
    diagonal = np.arange(size)
    matrix = coo_matrix(
        (
            np.concatenate([*(-r for r in rates), exits]),
            (np.concatenate([*rows, diagonal]), np.concatenate([*columns, diagonal])),
        ),
        shape=(size, size),
    )
    solve = _solver(csc_matrix(matrix))
    if not deep:
        time = solve(np.ones(size))
        return float(np.log(time[_nearest(free, start)]))
    return _pooled_time(f, free, pool, solve(fed), fed)


def _pooled_time(
    f: Array, free: NDArray[np.bool_], pool: NDArray[np.bool_], q: Array, fed: Array
) -> float:
    """ln(sum of exp(-f) q / capacity); the capacity is the flux that leaves A and never returns.

    Near A the committor is 1 - O(e**-POOLED), so 1 - q keeps nine digits.
    """
    valley = np.concatenate([-f[pool], -f[free] + np.log(np.maximum(q, 1e-300))])
    # Reversibility: the rate from A into a cell times exp(-f_A) is the rate back times exp(-f).
    leaves = fed > 0
    flux = logsumexp(-f[free][leaves], b=fed[leaves] * (1 - q[leaves]))
    return float(logsumexp(valley) - flux)


def _solver(matrix: csc_matrix) -> Callable[[Array], Array]:
    """Direct and without pivoting, which M-matrices do not need."""
    return splu(
        matrix,
        permc_spec="MMD_AT_PLUS_A",
        diag_pivot_thresh=0.0,
        options={"SymmetricMode": True},
    ).solve


def _neighbours(axes: int, axis: int) -> list[tuple[tuple[slice, ...], tuple[slice, ...]]]:
    """Slices of all cells and of their neighbours up and down one axis."""
    whole = [slice(None)] * axes
    lower, upper = list(whole), list(whole)
    lower[axis], upper[axis] = slice(None, -1), slice(1, None)
    return [(tuple(lower), tuple(upper)), (tuple(upper), tuple(lower))]


def _bernoulli(x: Array) -> Array:
    """x / (e**x - 1), the weight of a step that climbs by x."""
    x = np.clip(x, -700, 700)
    flat = np.abs(x) < 1e-8
    return np.where(flat, 1 - x / 2, x / np.expm1(np.where(flat, 1.0, x)))


def _reached(f: Array, level: float, cell: tuple[int, ...]) -> NDArray[np.bool_]:
    """Cells connected with `cell` through cells not higher than `level`."""
    parts, _ = label(f <= level)
    return (parts == parts[cell]) & (parts > 0)


def _nearest(free: NDArray[np.bool_], start: tuple[int, ...]) -> int:
    """Number of the free cell nearest to `start`."""
    cells = np.argwhere(free)
    return int(np.argmin(np.sum((cells - np.array(start)) ** 2, axis=1)))
