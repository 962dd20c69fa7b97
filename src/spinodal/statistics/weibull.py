"""Escape that ages: Weibull times, with a covariate if there is one."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, special

from spinodal.errors import InputError
from spinodal.records import EscapeTimes
from spinodal.statistics.proportion import check_confidence
from spinodal.statistics.regression import log_total, profile
from spinodal.statistics.survival import check_watched


@dataclass(frozen=True, kw_only=True)
class WeibullFit:
    """P(T > t) = exp(-(t / scale)^shape), ln scale = log_scale + slope * x.

    Shape 1 is memoryless escape, above 1 the hazard grows with the time waited, below 1 it falls,
    as it does where fast and slow replicas are mixed. `low` and `high` limit the shape (profile
    likelihood). `slope` is 0 where no covariate was given.
    """

    shape: float
    low: float
    high: float
    log_scale: float
    slope: float
    log_likelihood: float
    confidence: float
    events: int
    replicas: int

    def __str__(self) -> str:
        """What a paper would print."""
        return (
            f"shape {self.shape:.3g} [{self.low:.3g}, {self.high:.3g}] at {self.confidence:.0%} "
            f"from {self.events} of {self.replicas}"
        )


def weibull_fit(
    times: EscapeTimes, *, x: ArrayLike | None = None, confidence: float = 0.95
) -> WeibullFit:
    """Maximum likelihood of shape and scale, the censored included.

    T^shape is exponential, so given the shape everything else is the exponential regression of
    `escape_laws`, exact up to one root; the shape maximises what is left, which has one maximum.
    Replicas that diverged are left out.
    """
    check_confidence(confidence)
    check_watched(times)
    everyone, kept = times, times.status != "diverged"
    along = np.zeros(int(kept.sum()))
    if x is not None:
        along = np.broadcast_to(np.asarray(x, float), times.time.shape)[kept]
    times = times.estimable
    t, escaped = times.time, times.escaped
    different = np.unique(t[t > 0]).size
    if times.events < 2 or different < 2 or np.any(t[escaped] == 0):
        raise InputError(
            f"A shape needs two escapes or more, at positive times that are not all the same; got "
            f"{times.events} escapes of {t.size} at {different} different positive times."
        )
    if np.ptp(along) > 0 and (
        np.ptp(along[escaped]) == 0 and along[escaped][0] in (along.min(), along.max())
    ):
        raise InputError(
            "Nothing escaped but at one end of the covariate, so its slope has no finite estimate; "
            "watch longer elsewhere, or leave the covariate out."
        )

    def value(log_shape: float) -> float:
        return _largest(math.exp(log_shape), t, escaped, along)

    centre, reach = 0.0, 3.0
    while True:
        found = optimize.minimize_scalar(
            lambda u: -value(u), bounds=(centre - reach, centre + reach), method="bounded",
            options={"xatol": 1e-10},
        )  # fmt: skip
        best = float(found.x)
        if abs(best - centre) < reach - 1e-3 or reach > 40:
            break
        reach *= 2
    if reach > 40:
        raise InputError(
            "The shape has no finite estimate: all escapes came at one time; check more often."
        )
    level = value(best) - float(special.ndtri((1 + confidence) / 2) ** 2) / 2
    low, high = (_limit(value, best, level, side) for side in (-1.0, 1.0))
    shape = math.exp(best)
    log_scale, slope = _scale(shape, t, escaped, along)
    return WeibullFit(
        shape=shape,
        low=math.exp(low),
        high=math.exp(high),
        log_scale=log_scale,
        slope=slope,
        log_likelihood=float(weibull_log_likelihood(shape, log_scale + slope * along, times)),
        confidence=confidence,
        events=times.events,
        replicas=everyone.status.size,
    )


def weibull_log_likelihood(
    shape: ArrayLike, log_scale: ArrayLike, times: EscapeTimes
) -> NDArray[np.float64]:
    """sum over escapes of ln hazard, minus sum of (t / scale)^shape over all that did not diverge.

    The hazard is (shape / scale) (t / scale)^(shape - 1). Shape and log_scale broadcast together,
    with the replicas as last axis; that axis is summed over.
    """
    times = times.estimable
    away = _logs(times.time) - np.asarray(log_scale, float)
    shape = np.asarray(shape, float)
    power = np.exp(shape * away).sum(axis=-1)
    seen = np.where(times.escaped, away, 0.0)
    hazard = np.log(shape) + (shape - 1) * seen - np.asarray(log_scale, float)
    return np.where(times.escaped, hazard, 0.0).sum(axis=-1) - power


def _largest(
    shape: float, t: NDArray[np.float64], escaped: NDArray[np.bool_], x: NDArray[np.float64]
) -> float:
    """Largest log-likelihood of Weibull times with this shape, over scale and slope.

    d ln(shape) + (shape - 1) sum ln t over the d escapes, plus that of the exponential times
    t^shape, in units of the geometric mean of the escapes.
    """
    d, logs = int(escaped.sum()), _logs(t)
    middle = float(logs[escaped].mean())
    away = logs - middle
    if np.ptp(x) == 0:
        peak = d * (math.log(d) - 1 - _log_sum(shape * away))
    else:
        z = (x - x.min()) / np.ptp(x)
        # A power can overflow where its logarithm does not: the exponent rides in the offset.
        *_, peak = profile(np.where(t > 0, 1.0, 0.0), escaped, z, -shape * away)
        # The offset entered as if each escape had been rescaled by it as well.
        peak -= shape * float(away[escaped].sum())
    return (
        peak + d * math.log(shape) + shape * float(away[escaped].sum()) - float(logs[escaped].sum())
    )


def _scale(
    shape: float, t: NDArray[np.float64], escaped: NDArray[np.bool_], x: NDArray[np.float64]
) -> tuple[float, float]:
    """ln scale at x = 0 and slope, given the shape."""
    logs, d = _logs(t), int(escaped.sum())
    slope = 0.0
    if np.ptp(x) > 0:
        z = (x - x.min()) / np.ptp(x)
        watched = np.where(t > 0, 1.0, 0.0)
        _, _, best, _ = profile(watched, escaped, z, -shape * (logs - logs[escaped].mean()))
        assert best is not None, "the slope is open, which was refused before"
        slope = best / float(np.ptp(x))
    total = log_total(np.where(t > 0, 1.0, 0.0), shape * logs - slope * x)
    return (total - math.log(d)) / shape, slope / shape


def _logs(t: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.log(t, out=np.full(t.shape, -np.inf), where=t > 0)


def _log_sum(logs: NDArray[np.float64]) -> float:
    return float(special.logsumexp(logs))


def _limit(value, best: float, level: float, side: float) -> float:
    """Where the log-likelihood has fallen to `level`, on one side of its maximum."""
    reach = 0.25
    while value(best + side * reach) > level:
        reach *= 2
    return float(optimize.brentq(lambda u: value(u) - level, best, best + side * reach))
