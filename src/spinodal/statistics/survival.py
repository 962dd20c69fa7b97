"""Rates and survival curves from escape times, the censored included."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from spinodal.errors import InputError
from spinodal.records import EscapeTimes, RateEstimate
from spinodal.statistics.proportion import check_confidence

if TYPE_CHECKING:  # it takes a second to load, and a rate does not need it
    from scipy import stats

EXACT_BELOW = 5
"""Fewer events than this get the exact interval instead of the likelihood-ratio one."""

Method = Literal["automatic", "likelihood_ratio", "exact", "fixed_events"]


class DivergedWarning(UserWarning):
    """More than one replica in a hundred diverged: leaving them out is no longer harmless."""


def rate_interval(
    events: ArrayLike,
    exposure: ArrayLike,
    *,
    confidence: float = 0.95,
    method: Method = "automatic",
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lower and upper limits of an exponential rate, elementwise, per unit of exposure.

    'likelihood_ratio': all rates k with 2 (d ln(d / kE) - d + kE) <= chi2_1(confidence), for d
    events in exposure E. 'exact': inverts the Poisson law of d (Garwood), which never promises
    too much but is wide. 'fixed_events': watching stopped at the d-th event, where 2kE follows
    chi2(2d) exactly. 'automatic': 'likelihood_ratio' from EXACT_BELOW events on, 'exact' below.

    Without events every method gives low = 0 and the one-sided high = -ln(1 - confidence) / E.
    """
    check_confidence(confidence)
    d, total = np.broadcast_arrays(np.asarray(events, float), np.asarray(exposure, float))
    if not np.all(total > 0) or not np.all(d >= 0):
        raise InputError(
            "A rate needs a positive exposure and a count of events that is not negative; "
            "give replicas that were watched for some time."
        )
    if method not in get_args(Method):
        raise InputError(f"Unknown method {method!r}; allowed are {list(get_args(Method))}.")
    tail, some = (1 - confidence) / 2, np.maximum(d, 1)
    if method == "fixed_events":
        low, high = special.gammaincinv(some, tail), special.gammaincinv(some, 1 - tail)
    else:
        low, high = special.gammaincinv(some, tail), special.gammaincinv(d + 1, 1 - tail)
        ratio = (d >= EXACT_BELOW) | (method == "likelihood_ratio")
        if method != "exact":
            quantile = special.ndtri(1 - tail) ** 2
            low = np.where(ratio, some * _ratio_limit(quantile / (2 * some), 0), low)
            high = np.where(ratio, some * _ratio_limit(quantile / (2 * some), -1), high)
    none = d == 0
    return (
        np.where(none, 0.0, low) / total,
        np.where(none, -np.log1p(-confidence), high) / total,
    )


def _ratio_limit(fall: NDArray[np.float64], branch: int) -> NDArray[np.float64]:
    """The x below (branch 0) or above (-1) one at which x - 1 - ln x = fall, elementwise."""
    # x = -W(-exp(-1 - fall)), but where W's branches meet, at x = 1, scipy's loses its digits
    # (and from 1e9 events on the upper branch altogether): there a series starts Newton's method.
    near, side = fall < 1e-2, np.where(branch == 0, -1.0, 1.0) * np.sqrt(2 * fall)
    x = np.where(near, 1 + side + side**2 / 3, -special.lambertw(-np.exp(-1 - fall), branch).real)
    for _ in range(3):
        x = np.where(near, x - (x - 1 - np.log1p(x - 1) - fall) * x / (x - 1), x)
    return x


def exponential_rate(
    times: EscapeTimes, *, confidence: float = 0.95, method: Method = "automatic"
) -> RateEstimate:
    """Maximum-likelihood rate of memoryless escape, replicas that did not escape included.

    rate = events / exposure, per time unit; see `rate_interval` for the limits. An escape elsewhere
    is a competing event: its exposure counts until then, as is right for a cause-specific rate.
    Replicas that diverged are left out, events and exposure: the step was too long for them all
    along. With more than 1 % of those there is a warning, with nothing else no estimate. All
    replicas are taken as independent with one rate: where they are nested in data sets,
    `bootstrap.rate_across_datasets` has the honest interval.
    """
    return rate_from_counts(
        times.events, times.exposure, times.status_counts, confidence=confidence, method=method
    )


def rate_from_counts(
    events: int,
    exposure: float,
    status_counts: dict[str, int],
    *,
    confidence: float = 0.95,
    method: Method = "automatic",
) -> RateEstimate:
    """`exponential_rate` where the times themselves are too many to hold: counts are enough.

    `exposure` is that of `EscapeTimes.exposure`, without the replicas that diverged.
    """
    _check_exposure(exposure, status_counts)
    low, high = rate_interval(events, exposure, confidence=confidence, method=method)
    return RateEstimate(
        rate=events / exposure,
        low=float(low),
        high=float(high),
        confidence=confidence,
        events=events,
        exposure=exposure,
        replicas=sum(status_counts.values()),
        method=_method_used(events, method),
        status_counts=status_counts,
    )


def check_watched(times: EscapeTimes) -> None:
    """Refuse replicas that were never at risk; warn when many of them diverged."""
    _check_exposure(times.exposure, times.status_counts)


def _check_exposure(exposure: float, status_counts: dict[str, int]) -> None:
    diverged, replicas = status_counts.get("diverged", 0), sum(status_counts.values())
    if diverged and diverged == replicas:
        raise InputError(
            f"All {replicas} replicas diverged, so there is nothing to estimate a rate from; use a "
            "smaller learning rate."
        )
    if exposure <= 0:
        raise InputError(
            f"The {replicas} replicas were watched for no time at all, so they say "
            "nothing about a rate; give at least one replica with a positive time."
        )
    if diverged > 0.01 * replicas:
        warnings.warn(
            f"{diverged} of {replicas} replicas diverged and are left out (more than 1 % is worth "
            "this warning): the estimate is that of the others, who may be special; use a smaller "
            "learning rate.",
            DivergedWarning,
            stacklevel=4,
        )


def _method_used(events: int, method: Method) -> str:
    """The name of the interval that `rate_interval` gave."""
    if events == 0:
        return "one_sided_bound"
    if method == "automatic":
        return "exact" if events < EXACT_BELOW else "likelihood_ratio"
    return method


@dataclass(frozen=True, kw_only=True)
class Quantile:
    """A quantile of the escape time; None is 'not reached within the watching time'.

    `low` is always a number: an escape time whose median was not reached is longer than that.
    """

    value: float | None
    low: float
    high: float | None
    confidence: float

    def __str__(self) -> str:
        """What a paper would print."""
        if self.value is None:
            return f"> {self.low:.4g} at {self.confidence:.0%}, not reached"
        high = "unbounded" if self.high is None else f"{self.high:.4g}"
        return f"{self.value:.4g} [{self.low:.4g}, {high}] at {self.confidence:.0%}"


@dataclass(frozen=True, kw_only=True, eq=False)
class SurvivalCurve:
    """Probability not to have escaped yet, constant from each `time` to the next.

    Arrays of one length, in order of time, from (0, 1) on; `low` and `high` are pointwise limits.
    """

    time: NDArray[np.float64]
    survival: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    confidence: float
    events: int
    replicas: int

    def quantile(self, escaped: float) -> Quantile:
        """Time by which the fraction `escaped` has escaped (Brookmeyer-Crowley limits)."""
        if not 0 < escaped < 1:
            raise InputError(f"A quantile lies strictly between 0 and 1, got {escaped:g}.")
        # 1e-12: a survival of 1 - k/n must not miss its own value by the last bit.
        reached = [
            np.flatnonzero(curve <= 1 - escaped + 1e-12)
            for curve in (self.low, self.survival, self.high)
        ]
        low, value, high = (float(self.time[i[0]]) if i.size else None for i in reached)
        return Quantile(
            value=value,
            low=float(self.time[-1]) if low is None else low,
            high=high,
            confidence=self.confidence,
        )

    @property
    def median(self) -> Quantile:
        """Time by which half have escaped."""
        return self.quantile(0.5)


def kaplan_meier(times: EscapeTimes, *, confidence: float = 0.95) -> SurvivalCurve:
    """Survival without assuming a law: Kaplan-Meier with pointwise log-log limits.

    The estimate is `scipy.stats.ecdf`. Its limits do not exist where the curve is exactly 1 or
    0: before the first escape, with n at risk, survival >= (1 - confidence)**(1/n) is used (one
    sided, exact), and at 0 the last upper limit is kept. Replicas that escaped elsewhere leave the
    risk set: this is survival in a world without competing events. Those that diverged are left
    out altogether, as in `exponential_rate`.
    """
    from scipy import stats

    check_confidence(confidence)
    check_watched(times)
    times = times.estimable
    result = stats.ecdf(censored_data(times)).sf
    at, survival = result.quantiles, result.probabilities
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # at survival 1 and 0; mended below
        limits = result.confidence_interval(confidence_level=confidence, method="log-log")
    # The stubs take the two limits for numbers; they are step functions like `result` itself.
    low = limits.low.probabilities.copy()  # pyright: ignore[reportAttributeAccessIssue]
    high = limits.high.probabilities.copy()  # pyright: ignore[reportAttributeAccessIssue]

    at_risk = times.status.size - np.searchsorted(np.sort(times.time), at, side="left")
    untouched, empty = survival >= 1, survival <= 0
    low[untouched] = (1 - confidence) ** (1 / at_risk[untouched])
    high[untouched] = 1.0
    low[empty] = 0.0
    if empty.any():
        first = int(np.argmax(empty))
        high[empty] = high[first - 1] if first else 1 - (1 - confidence) ** (1 / at_risk[0])
    if at[0] > 0:
        start = (1 - confidence) ** (1 / times.status.size)
        at, survival = np.append(0.0, at), np.append(1.0, survival)
        low, high = np.append(start, low), np.append(1.0, high)
    return SurvivalCurve(
        time=at,
        survival=survival,
        low=low,
        high=high,
        confidence=confidence,
        events=times.events,
        replicas=times.status.size,
    )


@dataclass(frozen=True, kw_only=True)
class LogRank:
    """Do two groups escape at the same hazard? A small `p_value` says no."""

    statistic: float
    p_value: float
    events: int


def log_rank(first: EscapeTimes, second: EscapeTimes) -> LogRank:
    """Log-rank comparison of two groups (`scipy.stats.logrank`), two-sided.

    Without a single event the groups cannot differ: statistic 0, p-value 1.
    """
    events = first.events + second.events
    if events == 0:
        return LogRank(statistic=0.0, p_value=1.0, events=0)
    from scipy import stats

    result = stats.logrank(censored_data(first), censored_data(second))
    return LogRank(statistic=float(result.statistic), p_value=float(result.pvalue), events=events)


def censored_data(times: EscapeTimes) -> stats.CensoredData:
    """Escape times as `scipy.stats` takes them: all but escapes censored, the diverged left out."""
    from scipy import stats

    times = times.estimable
    return stats.CensoredData.right_censored(times.time, ~times.escaped)
