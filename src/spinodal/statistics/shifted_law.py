"""A lag during which nothing escapes, then exponential waiting: the same in every setting."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from spinodal.statistics.designs import Design
from spinodal.statistics.exponential_regression import saturated
from spinodal.statistics.law_likelihood import Likelihood
from spinodal.statistics.rate_limits import rate_interval

Limits = tuple[float | None, float | None, float | None]


@dataclass(frozen=True, kw_only=True)
class LagFit:
    """Parameters as (estimate, low, high), and the agreement with the settings' own rates."""

    parameters: dict[str, Limits]
    log_likelihood: float
    events: int
    log_mean: tuple[float | None, ...]
    misfit: float | None
    scatter: float


def fit_lag(
    likelihood: Likelihood,
    strata: list[tuple[str, NDArray[np.bool_]]],
    *,
    confidence: float,
) -> LagFit | None:
    """Maximum likelihood of t = lag + exponential; None where no waiting is left after the lag.

    With E(s) the time at risk after s, the likelihood of D escapes, -D ln(E(lag) / D) - D, grows
    with the lag up to the first escape, which is the estimate. There it has a corner: twice its
    logarithmic ratio falls by a chi-square of two degrees of freedom, so the limits are
    E(low) = E(lag) (1 - confidence)^(-1 / (D - 1)), exact without censoring, and the first escape.

    This is the shifted exponential as one law among those of `laws`, of one lag over settings and
    data sets, comparable by its likelihood. `lag.lagged_rate` is for the times of one setting: it
    takes the bias out of the lag, keeps the promise of its limits under a common cut-off, and
    tests whether there is a lag at all.
    """
    parameters: dict[str, Limits] = {}
    value, deviance, spare, events = 0.0, 0.0, 0, 0
    log_mean = np.full(likelihood.design.count, np.nan)
    for suffix, member in strata:
        part = likelihood.design.select(member)
        first = float(part.time[part.escaped].min())
        d = part.events.sum(axis=0)
        own = part.exposure_after(first).sum(axis=0)
        after, total = float(own.sum()), float(d.sum())
        # Rounding leaves something of times that are all the same.
        if not after > 1e-12 * float(part.exposure.sum()):
            return None
        parameters["log_prefactor" + suffix] = _log_mean(total, after, confidence)
        parameters["lag" + suffix] = _lag(part, first, after, total, confidence)
        one_rate = float(saturated(total, after))
        value += one_rate
        log_mean[member] = np.log(first + after / total)
        watched = own > 0
        deviance += 2 * max(0.0, float(saturated(d[watched], own[watched]).sum()) - one_rate)
        spare += int(watched.sum()) - 1
        events += int(total)
    excess = max(0.0, deviance - spare) / events
    return LagFit(
        parameters=parameters,
        log_likelihood=float(value),
        events=events,
        log_mean=tuple(log_mean.tolist()),
        misfit=float(special.chdtrc(spare, deviance)) if spare > 0 else None,
        scatter=float(np.sqrt(excess)),
    )


def _log_mean(events: float, after: float, confidence: float) -> Limits:
    low, high = rate_interval(events, after, confidence=confidence)
    return float(np.log(after / events)), float(-np.log(high)), float(-np.log(low))


def _lag(part: Design, first: float, after: float, events: float, confidence: float) -> Limits:
    if events < 2:
        return first, 0.0, first
    goal = after * (1 - confidence) ** (-1 / (events - 1))

    def lacking(lag: float) -> float:
        return float(part.exposure_after(lag).sum()) - goal

    if lacking(0.0) <= 0:
        return first, 0.0, first
    return first, float(optimize.brentq(lacking, 0.0, first, xtol=1e-15 * first + 1e-300)), first
