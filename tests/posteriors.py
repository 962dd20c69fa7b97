"""Priors, simulators and posteriors of the estimators, for simulation-based calibration.

Each case draws its parameter from the prior, draws escape times, and evaluates the posterior with
the likelihood of the package on a grid or in closed form. Mistakes that people make with censored
times are planted between the two.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from spinodal.records import EscapeTimes
from spinodal.statistics.frailty import frail_log_likelihood
from spinodal.statistics.lag import lagged_log_likelihood
from spinodal.statistics.regression import log_total
from spinodal.statistics.survival import exponential_rate
from spinodal.statistics.weibull import weibull_log_likelihood

DRAWS = 99
SHAPE, RATE = 3.0, 3.0
"""Gamma prior of every rate: mean 1."""


class Drawn(NamedTuple):
    """The true parameter, the times, and what goes with them (the same for every replica lost)."""

    truth: float
    times: EscapeTimes
    x: NDArray[np.float64]


class Case(NamedTuple):
    """A simulator and the posterior's distribution function at the truth."""

    draw: Callable[[np.random.Generator], Drawn]
    below: Callable[[Drawn], float]


def table(time: ArrayLike, cutoff: ArrayLike, dataset: ArrayLike = 0) -> EscapeTimes:
    """Times with those beyond the cut-off censored there."""
    time = np.asarray(time, dtype=float)
    return EscapeTimes(
        replica=np.arange(time.size),
        dataset=np.broadcast_to(np.asarray(dataset, dtype=np.int64), time.shape),
        steps=np.arange(time.size),
        time=np.minimum(time, cutoff),
        status=np.where(time <= cutoff, "escaped", "censored"),
    )


def dropped(drawn: Drawn) -> Drawn:
    """The first mistake: only those that escaped are looked at."""
    return drawn._replace(times=drawn.times.select(drawn.times.escaped),
                          x=drawn.x[drawn.times.escaped])  # fmt: skip


def clipped(drawn: Drawn) -> Drawn:
    """The second mistake: the end of watching is taken for an escape."""
    t = drawn.times
    return drawn._replace(
        times=EscapeTimes(
            replica=t.replica, dataset=t.dataset, steps=t.steps, time=t.time,
            status=np.full(t.status.shape, "escaped"),
        )
    )  # fmt: skip


def ranks(
    case: Case,
    simulations: int,
    generator: np.random.Generator,
    mistake: Callable[[Drawn], Drawn] = lambda drawn: drawn,
) -> NDArray[np.int64]:
    """Rank of the truth among DRAWS draws from the posterior, for each simulation."""
    found = []
    for _ in range(simulations):
        u = case.below(mistake(case.draw(generator)))
        # How many of the draws fall below a value with posterior probability u below it.
        found.append(generator.binomial(DRAWS, min(max(u, 0.0), 1.0)))
    return np.array(found)


def _on_grid(grid: NDArray[np.float64], log: NDArray[np.float64], truth: float) -> float:
    """Distribution function at `truth` of the density exp(log) on a uniform grid."""
    density = np.exp(log - log.max())
    cumulative = np.append(0.0, np.cumsum((density[1:] + density[:-1]) / 2))
    return float(np.interp(truth, grid, cumulative / cumulative[-1]))


def _draw_rate(g: np.random.Generator) -> Drawn:
    rate = g.gamma(SHAPE) / RATE
    return Drawn(rate, table(g.exponential(1 / rate, 20), 0.8), np.zeros(20))


def _below_rate(drawn: Drawn) -> float:
    times = drawn.times
    if times.status.size == 0:  # the mistake left nothing
        return float(special.gammainc(SHAPE, RATE * drawn.truth))
    found = exponential_rate(times)
    return float(special.gammainc(SHAPE + found.events, (RATE + found.exposure) * drawn.truth))


def _draw_shifted(g: np.random.Generator) -> tuple[float, float, Drawn]:
    lag, rate = g.random(), g.gamma(SHAPE) / RATE
    return lag, rate, Drawn(0.0, table(lag + g.exponential(1 / rate, 12), 1.5), np.zeros(12))


def _draw_lag(g: np.random.Generator) -> Drawn:
    lag, _, drawn = _draw_shifted(g)
    return drawn._replace(truth=lag)


def _draw_rate_after_lag(g: np.random.Generator) -> Drawn:
    _, rate, drawn = _draw_shifted(g)
    return drawn._replace(truth=float(np.log(rate)))


def _lag_and_rate(drawn: Drawn) -> tuple[NDArray, NDArray, NDArray]:
    """Lags, ln rates and ln posterior, with a uniform prior of the lag on [0, 1]."""
    first = drawn.times.time[drawn.times.escaped].min(initial=np.inf)
    lags, logs = np.linspace(0, min(1.0, first), 201), np.linspace(-5, 2.5, 121)
    log = lagged_log_likelihood(lags[:, None], np.exp(logs), drawn.times)
    return lags, logs, log + SHAPE * logs - RATE * np.exp(logs)


def _below_lag(drawn: Drawn) -> float:
    lags, _, log = _lag_and_rate(drawn)
    return _on_grid(lags, special.logsumexp(log, axis=1), drawn.truth)


def _below_rate_after_lag(drawn: Drawn) -> float:
    _, logs, log = _lag_and_rate(drawn)
    return _on_grid(logs, special.logsumexp(log, axis=0), drawn.truth)


def _draw_shape(g: np.random.Generator) -> Drawn:
    log_shape, log_scale = 0.4 * g.standard_normal(), 0.5 * g.standard_normal()
    times = np.exp(log_scale) * g.weibull(np.exp(log_shape), 20)
    return Drawn(log_shape, table(times, 1.0), np.zeros(20))


def _below_shape(drawn: Drawn) -> float:
    """Normal priors of ln shape (sd 0.4) and ln scale (sd 0.5)."""
    shapes, scales = np.linspace(-2, 2, 161), np.linspace(-2.5, 2.5, 101)
    log = weibull_log_likelihood(np.exp(shapes)[:, None, None], scales[None, :, None], drawn.times)
    log = log - (scales / 0.5) ** 2 / 2
    return _on_grid(shapes, special.logsumexp(log, axis=1) - (shapes / 0.4) ** 2 / 2, drawn.truth)


def _draw_slope(g: np.random.Generator) -> Drawn:
    rate, slope, x = g.gamma(SHAPE) / RATE, g.standard_normal(), np.repeat([0.0, 0.5, 1.0, 1.5], 8)
    return Drawn(slope, table(g.exponential(np.exp(slope * x) / rate), 1.0), x)


def _below_slope(drawn: Drawn) -> float:
    """Standard normal prior of the slope of ln tau; the rate at x = 0 is integrated out."""
    times, x = drawn.times, drawn.x
    slopes = np.linspace(-5, 5, 401)
    if times.status.size == 0:
        return float(special.ndtr(drawn.truth))
    total = np.array([log_total(times.time, -slope * x) for slope in slopes])
    log = -slopes * x[times.escaped].sum()
    log = log - (SHAPE + times.events) * np.logaddexp(np.log(RATE), total) - slopes**2 / 2
    return _on_grid(slopes, log, drawn.truth)


def _draw_scatter(g: np.random.Generator) -> Drawn:
    mu, sd = 0.5 * g.standard_normal(), g.exponential(0.6)
    dataset = np.repeat(np.arange(8), 4)
    rate = np.exp(mu + sd * g.standard_normal(8))[dataset]
    return Drawn(sd, table(g.exponential(1 / rate), 1.0, dataset), np.zeros(32))


def _below_scatter(drawn: Drawn) -> float:
    """Exponential prior of the sd of ln rate (mean 0.6), normal prior of its mean (sd 0.5)."""
    times = drawn.times
    events = np.bincount(times.dataset, weights=times.escaped, minlength=8).astype(float)
    exposure = np.bincount(times.dataset, weights=times.time, minlength=8).astype(float)
    sds, mus = np.linspace(0, 4, 81), np.linspace(-2, 2, 33)
    log = frail_log_likelihood(mus, sds[:, None], events, exposure) - (mus / 0.5) ** 2 / 2
    return _on_grid(sds, special.logsumexp(log, axis=1) - sds / 0.6, drawn.truth)


CASES = {
    "exponential": Case(_draw_rate, _below_rate),
    "shifted: lag": Case(_draw_lag, _below_lag),
    "shifted: rate": Case(_draw_rate_after_lag, _below_rate_after_lag),
    "Weibull": Case(_draw_shape, _below_shape),
    "regression slope": Case(_draw_slope, _below_slope),
    "frailty sd": Case(_draw_scatter, _below_scatter),
}
MISTAKES = {"drop": dropped, "clip": clipped}
