"""Data sets with escape rates of their own: how much they differ, and what is typical."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, special

from spinodal.errors import InputError
from spinodal.records import EscapeTimes
from spinodal.statistics.proportion import check_confidence
from spinodal.statistics.rate_limits import rate_bound
from spinodal.statistics.survival import check_watched

NODES, WEIGHTS = (np.asarray(part) for part in special.roots_hermitenorm(21))
"""Gauss-Hermite rule of the integral over one data set's rate, centred on where its mass is."""

LARGEST = 8.0
"""A standard deviation of ln rate beyond which it is called unbounded: factors of thousands."""


@dataclass(frozen=True, kw_only=True)
class FrailRate:
    """Escape rate over data sets whose rates scatter log-normally.

    `rate` is the median of the rates ('typical') or their mean, see `average`; `sd` is the standard
    deviation of ln rate between data sets, None where the data allow any. `sd_high` is None where
    nothing limits it. Without events `rate`, `low` and `sd_low` are 0, `high` is a one-sided bound
    that takes the data sets for alike, and `sd` is None.
    """

    rate: float
    low: float
    high: float
    sd: float | None
    sd_low: float
    sd_high: float | None
    average: str
    confidence: float
    events: int
    datasets: int
    replicas: int

    def __str__(self) -> str:
        """What a paper would print."""
        if self.events == 0:
            return (
                f"< {self.high:.3g} at {self.confidence:.0%}, one-sided, if {self.datasets} data "
                "sets are alike"
            )
        sd = "unknown" if self.sd is None else f"{self.sd:.2g}"
        high = "unbounded" if self.sd_high is None else f"{self.sd_high:.2g}"
        return (
            f"{self.rate:.3g} [{self.low:.3g}, {self.high:.3g}] at {self.confidence:.0%} from "
            f"{self.events} events in {self.datasets} data sets, sd of ln rate {sd} "
            f"[{self.sd_low:.2g}, {high}]"
        )


def frail_rate(
    times: EscapeTimes,
    *,
    confidence: float = 0.95,
    average: Literal["typical", "mean"] = "typical",
) -> FrailRate:
    """Rate and scatter of ln rate = mu + sd * (standard normal), one draw per data set.

    A data set with d events in exposure E has likelihood <rate^d exp(-rate E)>, averaged over the
    normal law by quadrature; those without events say their share. 'typical' is exp(mu), 'mean'
    exp(mu + sd^2 / 2). Its interval is a profile likelihood, with the level m ln(1 + t^2 / (m - 1))
    of m data sets, t Student's quantile for m - 1 degrees of freedom, in place of chi2: exact where
    the data sets' own rates are well known, and wide enough where they are not. The limits of `sd`,
    and its estimate, come from the likelihood with mu integrated out, which does not count the mean
    as known. Ten data sets or more for a claim about a task.
    """
    check_confidence(confidence)
    check_watched(times)
    if average not in ("typical", "mean"):
        raise InputError(f"The average must be 'typical' or 'mean', got {average!r}.")
    everyone, times = times, times.estimable
    names, index = np.unique(times.dataset, return_inverse=True)
    m = names.size
    if m < 2:
        raise InputError(
            "One data set says nothing about how data sets differ; give escape times from at "
            "least two, ten or more for a claim about the task."
        )
    d = np.bincount(index, weights=times.escaped, minlength=m).astype(float)
    exposure = np.bincount(index, weights=times.time, minlength=m).astype(float)
    low, sd_low, rate, sd, sd_high = 0.0, 0.0, 0.0, None, None
    if times.events == 0:
        high = float(rate_bound(0, times.exposure, side="upper", confidence=confidence))
    else:
        unit = times.exposure / times.events
        scaled = exposure / unit
        log_rate, log_low, log_high = _rate_limits(d, scaled, confidence, average)
        rate, low, high = (math.exp(v) / unit for v in (log_rate, log_low, log_high))
        sd, sd_low, sd_high = _sd_limits(d, scaled, confidence)
    return FrailRate(
        rate=rate,
        low=low,
        high=high,
        sd=sd,
        sd_low=sd_low,
        sd_high=sd_high,
        average=average,
        confidence=confidence,
        events=times.events,
        datasets=m,
        replicas=everyone.status.size,
    )


def frail_log_likelihood(
    mu: ArrayLike, sd: ArrayLike, events: NDArray[np.float64], exposure: NDArray[np.float64]
) -> NDArray[np.float64]:
    """ln likelihood of events and exposure (datasets,) at mu and sd, which broadcast together.

    sum over data sets of ln <exp(d (mu + sd z) - E exp(mu + sd z))>, z standard normal: adaptive
    Gauss-Hermite quadrature, its nodes placed on the maximum of the integrand in z and scaled with
    its curvature there.
    """
    mu, sd = np.broadcast_arrays(np.asarray(mu, float), np.asarray(sd, float))
    mu, sd = mu[..., None], sd[..., None]
    with np.errstate(over="ignore"):
        # The maximum solves z = sd (d - E exp(mu + sd z)): with W Lambert's function, of ln
        # argument sd^2 d + mu + ln(E sd^2), it is z = sd d - W / sd.
        argument = sd**2 * events + mu + np.log(np.maximum(exposure * sd**2, 1e-300))
        w = special.wrightomega(argument)
        z = np.where(sd > 0, sd * events - w / np.where(sd > 0, sd, 1.0), 0.0)
        width = 1 / np.sqrt(1 + w)
        at = z[..., None] + width[..., None] * NODES
        log_rate = mu[..., None] + sd[..., None] * at
        logs = (
            events[:, None] * log_rate
            - exposure[:, None] * np.exp(np.minimum(log_rate, 700.0))
            - at**2 / 2
            + NODES**2 / 2
        )
    top = logs.max(axis=-1)
    share = np.exp(logs - top[..., None]) @ (WEIGHTS / math.sqrt(2 * math.pi))
    return (top + np.log(share * width)).sum(axis=-1)


def _rate_limits(
    d: NDArray[np.float64], exposure: NDArray[np.float64], confidence: float, average: str
) -> tuple[float, float, float]:
    """ln of the rate and its limits: profile likelihood over the sd."""
    m, half = d.size, 0.5 if average == "mean" else 0.0

    def profiled(log_rate: float) -> float:
        """Largest likelihood at this rate: a grid of sds, twice refined around its best."""
        sds, best = _grid(0.0, LARGEST), -math.inf
        for _ in range(3):
            values = frail_log_likelihood(log_rate - half * sds**2, sds, d, exposure)
            k = int(np.argmax(values))
            best = max(best, float(values[k]))
            sds = np.linspace(sds[max(k - 1, 0)], sds[min(k + 1, sds.size - 1)], 9)
        return best

    start = math.log(d.sum() / exposure.sum())
    found = optimize.minimize_scalar(
        lambda v: -profiled(v), bracket=(start - 0.5, start + 0.5), options={"xtol": 1e-5}
    )
    best, top = float(found.x), -float(found.fun)
    t = float(special.stdtrit(m - 1, (1 + confidence) / 2))
    level = m * math.log1p(t**2 / (m - 1))

    def deficit(v: float) -> float:
        return 2 * (top - profiled(v)) - level

    limits = []
    for side in (-1.0, 1.0):
        reach = 0.5
        while deficit(best + side * reach) < 0 and reach < 300:
            reach *= 2
        end = best + side * reach
        limits.append(float(optimize.brentq(deficit, best, end, xtol=1e-4)) if reach < 300 else end)
    return best, limits[0], limits[1]


def _sd_limits(
    d: NDArray[np.float64], exposure: NDArray[np.float64], confidence: float
) -> tuple[float | None, float, float | None]:
    """Estimate and limits of the sd from the likelihood with mu integrated out."""
    sds = _grid(0.0, LARGEST)
    values = integrated_log_likelihood(sds, d, exposure)
    k = int(np.argmax(values))
    fine = np.linspace(sds[max(k - 1, 0)], sds[min(k + 1, sds.size - 1)], 21)
    finer = integrated_log_likelihood(fine, d, exposure)
    best, top = float(fine[np.argmax(finer)]), float(finer.max())
    level = top - float(special.ndtri((1 + confidence) / 2) ** 2) / 2

    def excess(sd: float) -> float:
        return float(integrated_log_likelihood(np.array([sd]), d, exposure)[0]) - level

    low = 0.0 if excess(0.0) > 0 else float(optimize.brentq(excess, 0.0, best, xtol=1e-4))
    open_end = best > LARGEST - 0.1 or excess(LARGEST) > 0
    high = None if open_end else float(optimize.brentq(excess, best, LARGEST, xtol=1e-4))
    return (None if best > LARGEST - 0.1 else best), low, high


def integrated_log_likelihood(
    sds: NDArray[np.float64], events: NDArray[np.float64], exposure: NDArray[np.float64]
) -> NDArray[np.float64]:
    """ln of the integral of the likelihood over mu, for each sd, shape (sds,)."""
    centre = math.log(events.sum() / exposure.sum())
    mu = centre + np.linspace(-1, 1, 61)[:, None] * (
        6 / math.sqrt(float(events.sum())) + 3 * sds + 2 * sds**2
    )
    logs = frail_log_likelihood(mu, sds, events, exposure)
    return special.logsumexp(logs, axis=0) + np.log(mu[1] - mu[0])


def _grid(low: float, high: float) -> NDArray[np.float64]:
    """Dense near 0, where differences are small."""
    return low + (high - low) * np.linspace(0, 1, 25) ** 2
