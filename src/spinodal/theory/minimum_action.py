"""The likeliest way against a drift, and what it costs: geometric minimum action.

For dX = b(X) dt + sqrt(eps) sigma(X) dW with D = sigma sigma^T the cost of a path is the
Freidlin-Wentzell action, minimised over all durations (Heymann and Vanden-Eijnden 2008):

    S[phi] = int ( |phi'| |b(phi)| - phi' . b(phi) ) ds,   u . v = u^T D(phi)^-1 v,

which does not depend on how fast the path is passed. Its minimum over paths from an attractor to
x is the quasipotential V(x): mean times out of the attractor go as exp(min V / eps) and the density
as exp(-V / eps). With D = 1 and b = -grad U, V is twice the climb in U; in general it is no loss
and the way there is not the way back.

D must be invertible all along the path. Minibatch noise is not: at rank r it has r (inputs +
outputs - r) directions, and leaving its range costs infinitely much. Ask within the set on which
the noise lives (one amplitude per mode, say), or with some isotropic noise added.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize

from spinodal.errors import InputError
from spinodal.theory.roots import Array

Drift = Callable[[Array], Array]
"""Points (m, n) to drifts (m, n)."""
Diffusion = Callable[[Array], Array]
"""Points (m, n) to symmetric positive definite matrices D = sigma sigma^T, (m, n, n)."""

_COARSEST = 12


@dataclass(frozen=True, kw_only=True, eq=False)
class MinimumAction:
    """The cheapest path found between two points.

    `path` (points + 1, n) from start to end, evenly spaced in length. `action` is extrapolated from
    `points` and half as many segments, `error` the difference that this made; `residual` is the
    size of the action's gradient across the path, summed over its points, in units of action /
    length: 0 at a minimum. A minimum is local: another guess may find a cheaper way.
    """

    path: Array
    action: float
    error: float
    residual: float
    iterations: int
    converged: bool


def minimum_action(
    drift: Drift,
    diffusion: Diffusion,
    *,
    start: ArrayLike,
    end: ArrayLike,
    guess: ArrayLike | None = None,
    points: int = 64,
    tolerance: float = 1e-3,
) -> MinimumAction:
    """Minimise the action over paths from `start` to `end`, by default from the straight line.

    `guess` holds points of a first path, (m, n) with its ends. Segments are doubled up to `points`,
    at each level by L-BFGS on the midpoint rule, whose error falls as points^-2. `converged` says
    that the extrapolation changed the action by less than `tolerance` of it and that the residual
    is below 10 times that. The way out of an attractor ends at a saddle: beyond it costs nothing.
    """
    a, b = (np.atleast_1d(np.asarray(x, float)) for x in (start, end))
    if a.ndim != 1 or a.shape != b.shape or not np.isfinite([a, b]).all() or np.all(a == b):
        raise InputError(
            f"A path needs two different finite points of one dimension, got {start} and {end}."
        )
    if points < 2 * _COARSEST:
        raise InputError(f"A path needs at least {2 * _COARSEST} segments, got {points}.")
    first = np.array([a, b]) if guess is None else np.asarray(guess, float)
    if first.ndim != 2 or first.shape[1] != a.size or not (first[0] == a).all():
        raise InputError(f"The guess must have shape (points, {a.size}) and begin at the start.")
    if not (first[-1] == b).all():
        raise InputError("The guess must end at the end.")
    levels = [points]
    while levels[-1] >= 2 * _COARSEST:
        levels.append(levels[-1] // 2)
    path, actions, iterations = first, [], 0
    for segments in reversed(levels):
        path, steps = _relax(drift, diffusion, evenly(path, segments))
        iterations += steps
        actions.append(action(drift, diffusion, path))
    # The midpoint rule's error is of second order: two levels give the limit.
    ratio = (levels[0] / levels[1]) ** 2
    error = (actions[-1] - actions[-2]) / (ratio - 1)
    total = actions[-1] + error
    residual = _residual(drift, diffusion, path, total)
    return MinimumAction(
        path=path,
        action=float(total),
        error=float(abs(error)),
        residual=residual,
        iterations=iterations,
        converged=bool(abs(error) <= tolerance * abs(total) and residual <= 10 * tolerance),
    )


def action(drift: Drift, diffusion: Diffusion, path: ArrayLike) -> float:
    """S of the polygon through the rows of `path`, by the midpoint rule."""
    phi = np.asarray(path, float)
    _check_noise(diffusion, phi)
    middle, step = 0.5 * (phi[1:] + phi[:-1]), np.diff(phi, axis=0)
    return float(_cost(drift, diffusion, middle, step).sum())


def evenly(path: ArrayLike, segments: int) -> Array:
    """The same polygon with so many segments of equal length."""
    phi = np.asarray(path, float)
    length = np.append(0.0, np.cumsum(np.linalg.norm(np.diff(phi, axis=0), axis=1)))
    at = np.linspace(0, length[-1], segments + 1)
    columns = [np.interp(at, length, column) for column in phi.T]
    return np.asarray(np.column_stack(columns), dtype=float)


def _check_noise(diffusion: Diffusion, phi: Array) -> None:
    try:
        np.linalg.cholesky(diffusion(0.5 * (phi[1:] + phi[:-1])))
    except np.linalg.LinAlgError:
        raise InputError(
            "The noise must reach every direction on the way: D is not positive definite "
            "somewhere. Stay within the set on which the noise lives, or add isotropic noise."
        ) from None


def _parts(
    drift: Drift, diffusion: Diffusion, middle: Array, step: Array
) -> tuple[Array, Array, Array, Array]:
    """D^-1 v, D^-1 b, |v| and |b| of every segment v, in the metric of D^-1."""
    b = drift(middle)
    pairs = np.stack([step, b], axis=-1)
    both = np.asarray(np.linalg.solve(diffusion(middle), pairs), dtype=float)
    v, w = both[..., 0], both[..., 1]
    long = np.sqrt(np.maximum((v * step).sum(axis=1), 0))
    return v, w, long, np.sqrt(np.maximum((w * b).sum(axis=1), 0))


def _cost(drift: Drift, diffusion: Diffusion, middle: Array, step: Array) -> Array:
    """|v| |b| - v . b of every segment."""
    _, w, long, strong = _parts(drift, diffusion, middle, step)
    return long * strong - (w * step).sum(axis=1)


def _slopes(drift: Drift, diffusion: Diffusion, phi: Array) -> tuple[float, Array]:
    """S and its gradient at the inner points; derivatives of b and D by central differences."""
    middle, step = 0.5 * (phi[1:] + phi[:-1]), np.diff(phi, axis=0)
    v, w, long, strong = _parts(drift, diffusion, middle, step)
    total = float((long * strong - (w * step).sum(axis=1)).sum())
    by_step = (strong / np.maximum(long, 1e-300))[:, None] * v - w
    size, n = 1e-5 * max(float(np.abs(phi).max()), 1e-12), phi.shape[1]
    kicks = size * np.concatenate([np.eye(n), -np.eye(n)])
    moved = (middle + kicks[:, None]).reshape(-1, n)
    cost = _cost(drift, diffusion, moved, np.tile(step, (2 * n, 1))).reshape(2, n, -1)
    by_middle = (cost[0] - cost[1]).T / (2 * size)
    return total, 0.5 * (by_middle[1:] + by_middle[:-1]) + by_step[:-1] - by_step[1:]


def _relax(drift: Drift, diffusion: Diffusion, phi: Array) -> tuple[Array, int]:
    """A path of least action with nearly equal segments, and the iterations it took."""
    inner, scale = phi[1:-1].shape, action(drift, diffusion, phi)
    # The action leaves the spacing free; without a price for uneven segments points would gather.
    weight = 0.1 * max(scale, 1e-12)

    def objective(flat: Array) -> tuple[float, Array]:
        path = np.concatenate([phi[:1], flat.reshape(inner), phi[-1:]])
        value, slope = _slopes(drift, diffusion, path)
        step = np.diff(path, axis=0)
        square = (step**2).sum(axis=1)
        mean = square.mean()
        uneven = square / mean - 1
        value += weight * float((uneven**2).mean())
        # d uneven_k / d square_j = (delta_kj - (1 + uneven_k) / N) / mean
        by_square = 2 * weight / len(square) / mean * (uneven - (uneven * (1 + uneven)).mean())
        push = 2 * by_square[:, None] * step
        return value, (slope + push[:-1] - push[1:]).ravel()

    done = minimize(
        objective, phi[1:-1].ravel(), jac=True, method="L-BFGS-B",
        options={"maxiter": 2000, "maxcor": 30, "ftol": 1e-13, "gtol": 1e-9 * max(scale, 1e-12)},
    )  # fmt: skip
    path = np.concatenate([phi[:1], done.x.reshape(inner), phi[-1:]])
    return path, int(done.nit)


def _residual(drift: Drift, diffusion: Diffusion, path: Array, total: float) -> float:
    """Gradient across the path, summed over it; along it nothing is determined."""
    _, slope = _slopes(drift, diffusion, path)
    along = path[2:] - path[:-2]
    along /= np.linalg.norm(along, axis=1)[:, None]
    across = slope - (slope * along).sum(axis=1)[:, None] * along
    length = np.linalg.norm(np.diff(path, axis=0), axis=1).sum()
    return float(np.linalg.norm(across, axis=1).sum() * length / max(abs(total), 1e-300))
