"""Likelihood of exponential times whose logarithmic mean is a line, one slope at a time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize

from spinodal.errors import InputError
from spinodal.records import STATUSES


def checked_columns(
    times: ArrayLike, status: ArrayLike, x: ArrayLike, offset: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.float64], NDArray[np.float64]]:
    """Times, escaped, x and offset as vectors of one length, or the reason why not.

    Replicas that diverged are left out.
    """
    t, names = np.asarray(times, dtype=float), np.asarray(status)
    try:
        along = np.broadcast_to(np.asarray(x, dtype=float), t.shape)
        known = np.broadcast_to(np.asarray(offset, dtype=float), t.shape)
    except ValueError:
        along = known = np.empty(0)
    if t.ndim != 1 or names.shape != t.shape or along.shape != t.shape:
        raise InputError(
            "Times, statuses, inverse temperatures and offsets must be vectors of one length."
        )
    unknown = sorted(set(names.tolist()) - set(STATUSES))
    if unknown:
        raise InputError(f"Unknown statuses {unknown}; allowed are {list(STATUSES)}.")
    if not (np.all(t >= 0) and np.all(np.isfinite([t, along, known])) and np.any(t > 0)):
        raise InputError(
            "Times must be non-negative, not all zero, and everything finite; found otherwise."
        )
    escaped = names == "escaped"
    if not escaped.any():
        raise InputError(
            f"None of {t.size} replicas escaped, so a law of the escape time has nothing to fit: "
            "watch longer, raise the temperature, or report the one-sided bound of "
            "survival.exponential_rate."
        )
    kept = names != "diverged"
    return t[kept], escaped[kept], along[kept], known[kept]


def log_total(t: NDArray[np.float64], exponent: NDArray[np.float64]) -> float:
    """Logarithm of sum t exp(exponent), free of overflow."""
    watched = t > 0
    return _log_sum(np.log(t[watched]) + exponent[watched])


def _log_sum(logs: NDArray[np.float64]) -> float:
    """ln sum exp; scipy's logsumexp does the same at twenty times the cost on short vectors."""
    top = logs.max()
    return float(top + np.log(np.exp(logs - top).sum()))


def profile(
    t: NDArray[np.float64],
    escaped: NDArray[np.bool_],
    z: NDArray[np.float64],
    known: NDArray[np.float64],
) -> tuple[Callable[[float], float], float, float | None, float]:
    """Profile likelihood of the slope b in units of z, after the intercept was eliminated.

    Per event it is -f(b) up to a constant, f(b) = ln sum t exp(-b (z - mean z of events) - known),
    which is convex. Returns the deficit f(b) - min f, the sign of an open side, the best b (None
    where f falls for ever) and the maximal log-likelihood.
    """
    watched, centre = t > 0, z[escaped].mean()
    events, side = int(escaped.sum()), 0.0
    log_weight, away = np.log(t[watched]) - known[watched], z[watched] - centre

    def f(b: float) -> float:
        return _log_sum(log_weight - b * away)

    def falling(b: float) -> float:
        """-f'(b): the mean of `away`, weighted by the events expected of each replica."""
        logs = log_weight - b * away
        weight = np.exp(logs - logs.max())
        return float(weight @ away / weight.sum())

    best: float | None = None
    for end, sign in ((z[watched].min(), 1.0), (z[watched].max(), -1.0)):
        if np.all(z[escaped] == end):
            side = sign
            lowest = log_total(np.where(z == end, t, 0.0), -known)
            break
    else:
        left, right = -1.0, 1.0
        while falling(left) < 0:
            left *= 2
        while falling(right) > 0:
            right *= 2
        best = float(optimize.brentq(falling, left, right, xtol=1e-14, rtol=1e-14))
        lowest = f(best)
    peak = events * (np.log(events) - 1 - lowest) - known[escaped].sum()
    return lambda b: f(b) - lowest, side, best, float(peak)


def limit_of(
    deficit: Callable[[float], float], level: float, *, start: float, direction: float
) -> float:
    """Slope at which the deficit reaches `level`, going from `start` in `direction`."""
    inside = start
    while deficit(inside) > level:  # only on an open side, where `start` is not the best slope
        inside = start - direction * (1 + 2 * abs(inside - start))
    reach = 1.0
    while deficit(inside + direction * reach) < level:
        reach *= 2
    return float(
        optimize.brentq(
            lambda b: deficit(b) - level, inside, inside + direction * reach, xtol=1e-13
        )
    )
