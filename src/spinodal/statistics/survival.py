"""Rates and survival curves from escape times, the censored included."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from spinodal.errors import InputError
from spinodal.records import EscapeTimes, RateEstimate
from spinodal.statistics.proportion import check_confidence
from spinodal.statistics.rate_limits import (
    EXACT_BELOW,
    Method,
    median_unbiased_rate,
    rate_interval,
)
from spinodal.statistics.risk import RiskTable, checked_entry, risk_table

if TYPE_CHECKING:  # it takes a second to load, and a rate does not need it
    from scipy import stats


class DivergedWarning(UserWarning):
    """More than one replica in a hundred diverged: leaving them out is no longer harmless."""


def exponential_rate(
    times: EscapeTimes,
    *,
    confidence: float = 0.95,
    method: Method = "automatic",
    entry: ArrayLike | None = None,
    estimate: Literal["likelihood", "median_unbiased"] = "likelihood",
) -> RateEstimate:
    """Maximum-likelihood rate of memoryless escape, replicas that did not escape included.

    rate = events / exposure, per time unit; see `rate_interval` for the limits. An escape elsewhere
    is a competing event: its exposure counts until then, as is right for a cause-specific rate.
    Replicas that diverged are left out, events and exposure: the step was too long for them all
    along. With more than 1 % of those there is a warning, with nothing else no estimate. All
    replicas are taken as independent with one rate: where they are nested in data sets,
    `bootstrap.rate_across_datasets` has the honest interval.

    `entry`, shape (replicas,), is when watching began, in time units (delayed entry): exposure
    counts from there. The choice must not look ahead: a replica that enters when it is found on the
    plateau may, one that enters because it will escape may not. `estimate` 'median_unbiased' takes
    the rate from `median_unbiased_rate`, for few events.
    """
    exposure = times.exposure
    if entry is not None:
        waited = (times.time - checked_entry(times, entry))[times.status != "diverged"]
        exposure = math.fsum(waited.tolist())
    found = rate_from_counts(
        times.events, exposure, times.status_counts, confidence=confidence, method=method
    )
    if estimate == "likelihood":
        return found
    if estimate != "median_unbiased":
        raise InputError(
            f"The estimate must be 'likelihood' or 'median_unbiased', got {estimate!r}."
        )
    middle = median_unbiased_rate(times.events, exposure, fixed_events=method == "fixed_events")
    return replace(found, rate=float(middle))


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
    if not math.isfinite(exposure):
        raise InputError(
            f"The {replicas} replicas were watched for a time that is not finite; give the time at "
            "which watching ended."
        )
    if 0 < exposure < 1e-306 * replicas:
        raise InputError(
            f"Times that add up to {exposure:g} have rates beyond the largest number; give them in "
            "a smaller unit."
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


def kaplan_meier(
    times: EscapeTimes, *, confidence: float = 0.95, entry: ArrayLike | None = None
) -> SurvivalCurve:
    """Survival without assuming a law: Kaplan-Meier with pointwise log-log limits.

    The estimate is `scipy.stats.ecdf`. Its limits do not exist where the curve is exactly 1 or
    0: before the first escape, with n at risk, survival >= (1 - confidence)**(1/n) is used (one
    sided, exact), and at 0 the last upper limit is kept. Replicas that escaped elsewhere leave the
    risk set: this is survival in a world without competing events. Those that diverged are left
    out altogether, as in `exponential_rate`.

    With `entry`, shape (replicas,), each replica is at risk from then on only, and the curve is
    survival given that nothing happened before the earliest entry. Where few have entered yet the
    limits are wide, and where the only one at risk escapes the curve falls to 0 and stays there:
    start it where several are at risk.
    """
    check_confidence(confidence)
    check_watched(times)
    if entry is not None:
        entry = checked_entry(times, entry)[times.status != "diverged"]
    times = times.estimable
    table = risk_table(times, entry)
    at, at_risk = table.time, table.at_risk
    survival, low, high = (
        _product_limit(table, confidence) if entry is not None else _ecdf(times, confidence)
    )
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


def _ecdf(times: EscapeTimes, confidence: float) -> tuple[NDArray, NDArray, NDArray]:
    """Survival and its limits at all times, from scipy."""
    from scipy import stats

    result = stats.ecdf(censored_data(times)).sf
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # at survival 1 and 0; mended by the caller
        limits = result.confidence_interval(confidence_level=confidence, method="log-log")
    # The stubs take the two limits for numbers; they are step functions like `result` itself.
    low = limits.low.probabilities.copy()  # pyright: ignore[reportAttributeAccessIssue]
    high = limits.high.probabilities.copy()  # pyright: ignore[reportAttributeAccessIssue]
    return result.probabilities, low, high


def _product_limit(table: RiskTable, confidence: float) -> tuple[NDArray, NDArray, NDArray]:
    """The same with delayed entry, which scipy does not have."""
    d, n = table.escaped, table.at_risk
    with np.errstate(divide="ignore", invalid="ignore"):  # where nobody is left, or nothing fell
        survival = np.cumprod(1.0 - d / np.maximum(n, 1))
        spread = np.sqrt(np.cumsum(np.where(d > 0, d / (n * (n - d)), 0.0)))
        half = special.ndtri((1 + confidence) / 2) * spread / np.log(survival)
        low, high = survival ** np.exp(-half), survival ** np.exp(half)
    return survival, low, high


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
