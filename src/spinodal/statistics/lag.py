"""A wait that cannot end at once: a fixed lag, then escape without memory."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize

from spinodal.errors import InputError
from spinodal.records import EscapeTimes
from spinodal.statistics.proportion import check_confidence
from spinodal.statistics.rate_limits import rate_interval
from spinodal.statistics.survival import check_watched

EXACT_UP_TO = 1000
"""With more events before the cut-off than this, the law of many events is used for the lag."""


@dataclass(frozen=True, kw_only=True)
class LaggedRate:
    """T = lag + an exponential time: both parameters with intervals, and a test of lag = 0.

    `lag` is the first escape less the mean time in which one of so many escapes, not below 0;
    `lag_low` is one-sided (confidence), and the first escape, `lag_high`, limits the lag for
    certain. `rate` is that after the first escape; with a single event it is 0 and `high` a
    one-sided bound. `statistic` is the likelihood ratio of lag = 0, 2 events ln(exposure / exposure
    after the first escape), and `p_value` its calibrated, not its chi2, significance; None with a
    single event, which cannot tell a lag from a slow rate.
    """

    lag: float
    lag_low: float
    lag_high: float
    rate: float
    low: float
    high: float
    statistic: float
    p_value: float | None
    log_likelihood: float
    confidence: float
    events: int
    replicas: int

    def __str__(self) -> str:
        """What a paper would print."""
        p = "no p-value" if self.p_value is None else f"p = {self.p_value:.2g} for no lag"
        return (
            f"lag {self.lag:.3g} [{self.lag_low:.3g}, {self.lag_high:.3g}], then rate "
            f"{self.rate:.3g} [{self.low:.3g}, {self.high:.3g}] at {self.confidence:.0%} "
            f"from {self.events} of {self.replicas} ({p})"
        )


def lagged_rate(times: EscapeTimes, *, confidence: float = 0.95) -> LaggedRate:
    """Lag and rate of T = lag + Exponential(rate), the censored included.

    The likelihood rate^d exp(-rate * sum of max(t - lag, 0)) rises with the lag up to the first
    escape, so its maximum is not regular: 2 ln(likelihood ratio) is nowhere near chi2. Exact
    instead: given d escapes before a common cut-off and the sum of their times, memoryless escapes
    are uniform on the simplex they fill, and the chance that all of them come after x is a ratio of
    volumes (see `first_after`). That is the test of lag = 0, and inverted it limits the lag.
    After the first escape the others wait as if from the start, so the rate has d - 1 events in the
    exposure from there on.

    Where censoring has no common cut-off before which something escaped, the exposure takes the
    place of the clock: the first of d events of a Poisson process on it, conservatively as if it
    ended with an event. Replicas that diverged are left out.

    For one setting; over several settings `laws` fits one lag to all (`shifted_law.fit_lag`).
    """
    check_confidence(confidence)
    check_watched(times)
    everyone, times = times, times.estimable
    seen = np.sort(times.time[times.escaped])
    if seen.size == 0:
        raise InputError(
            f"None of {times.status.size} replicas escaped, so there is no first escape to limit a "
            "lag; watch longer, or report the one-sided bound of survival.exponential_rate."
        )
    first, d = float(seen[0]), seen.size
    exposure, after = times.exposure, _after(times.time, first)
    if after <= 0:
        raise InputError(
            f"Nobody was watched beyond the first escape, at time {first:g}, so nothing is known "
            "about the rate after a lag; check more often, or give more replicas."
        )
    low, high = rate_interval(d - 1, after, confidence=confidence)
    # The mean time to the first of those then at risk is the bias of the first escape.
    waiting = int((times.time >= first).sum())
    p = None if d < 2 else chance_of_lag(times, 0.0)
    return LaggedRate(
        lag=max(0.0, first - (after / d) / waiting),
        lag_low=_lowest(times, first, 1 - confidence),
        lag_high=first,
        rate=(d - 1) / after,
        low=float(low),
        high=float(high),
        statistic=2 * d * math.log(exposure / after),
        p_value=p,
        log_likelihood=float(lagged_log_likelihood(first, d / after, times)),
        confidence=confidence,
        events=d,
        replicas=everyone.status.size,
    )


def lagged_log_likelihood(
    lag: ArrayLike, rate: ArrayLike, times: EscapeTimes
) -> NDArray[np.float64]:
    """d ln(rate) - rate * sum of max(t - lag, 0), and -inf for a lag beyond the first escape.

    Elementwise in lag and rate, which broadcast together.
    """
    lag, rate = np.broadcast_arrays(np.asarray(lag, float), np.asarray(rate, float))
    waited = np.maximum(times.time - lag[..., None], 0.0).sum(axis=-1)
    first = times.time[times.escaped].min(initial=np.inf)
    value = times.events * np.log(rate) - rate * waited
    return np.where(lag <= first, value, -np.inf)


def chance_of_lag(times: EscapeTimes, lag: float) -> float:
    """Probability of a first escape as late as the one seen, if `lag` is the true one.

    Of memoryless escapes from `lag` on, given their number and the sum of their times.
    """
    status, t = times.status, times.time - lag
    late = t > 0
    t, status = t[late], status[late]
    seen, lost = t[status == "escaped"], t[status != "escaped"]
    cutoff = float(lost.min()) if lost.size else math.inf
    inside = seen[seen < cutoff]
    first = float(seen.min())
    if inside.size > 1 and first < cutoff and inside.size <= EXACT_UP_TO:
        return first_after(first, inside, cutoff)
    d, exposure = seen.size, math.fsum(t.tolist())
    before = math.fsum(np.minimum(t, first).tolist())
    return (1 - before / exposure) ** (d - 1) if before < exposure else 0.0


def first_after(x: float, seen: NDArray[np.float64], cutoff: float) -> float:
    """P(all of d times > x), given their sum, for exponential times below `cutoff`, any rate.

    With s their sum the joint law is uniform, and the chance a ratio of volumes
    (1 - x/C)^(d-1) f_d((s - d x) / (C - x)) / f_d(s / C), with f_d the density of the sum of d
    uniform numbers; without a cut-off (1 - d x / s)^(d-1).
    """
    d, total = seen.size, math.fsum(seen.tolist())
    left = total - d * x
    if left <= 0:
        return 0.0
    if not math.isfinite(cutoff):
        return (left / total) ** (d - 1)
    log = (d - 1) * math.log1p(-x / cutoff)
    log += log_irwin_hall(left / (cutoff - x), d) - log_irwin_hall(total / cutoff, d)
    return math.exp(min(log, 0.0))


def log_irwin_hall(y: float, d: int) -> float:
    """ln density at y of the sum of d numbers uniform on [0, 1], for 0 < y < d.

    f_m(y) = (y f_{m-1}(y) + (m - y) f_{m-1}(y - 1)) / (m - 1): positive terms only, so no digits
    are lost; the scale is taken out on the way, so that nothing underflows.
    """
    y = min(y, d - y)  # symmetric, and the smaller side needs fewer terms
    if y <= 0:
        return -math.inf
    at = y - math.floor(y) + np.arange(math.floor(y) + 1)
    density, log = np.where(at < 1, 1.0, 0.0), 0.0
    for m in range(2, d + 1):
        grown = at * density
        grown[1:] += (m - at[1:]) * density[:-1]  # beyond m the density is 0
        density = grown / (m - 1)
        if m % 32 == 0:
            scale = float(density.max())
            density, log = density / scale, log + math.log(scale)
    last = float(density[-1])
    return log + math.log(last) if last > 0 else -math.inf


def _after(t: NDArray[np.float64], start: float) -> float:
    """Exposure from `start` on."""
    return math.fsum(np.maximum(t - start, 0.0).tolist())


def _lowest(times: EscapeTimes, first: float, level: float) -> float:
    """The lag from which a first escape as late as this has probability `level`."""

    def excess(share: float) -> float:
        return chance_of_lag(times, share * first) - level

    if times.events < 2 or first == 0 or excess(0.0) >= 0:
        return 0.0
    # At the first escape itself the probability is 1.
    return first * float(optimize.brentq(excess, 0.0, 1 - 1e-12, xtol=1e-9))
