"""Escapes that were seen only at looks: the exact likelihood, and what ignoring it costs."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, special

from spinodal.errors import InputError
from spinodal.records import EscapeTimes
from spinodal.statistics.proportion import check_confidence
from spinodal.statistics.rate_limits import EXACT_BELOW, rate_bound
from spinodal.statistics.survival import check_watched

COARSE = 0.1
"""Looks further apart than this fraction of the mean escape time deserve the exact likelihood."""


@dataclass(frozen=True, kw_only=True)
class LookedAtRate:
    """An escape rate per time unit from escapes seen only at looks.

    `rate` and `high` are None where every replica escaped before its first look: any rate that is
    high enough explains that, and `low` is one-sided. Without events `rate` and `low` are 0 and
    `high` is one-sided. `naive` is events / exposure, which takes the look for the escape, and
    `bias` its relative error in the limit of many events, None where there is no rate.
    """

    rate: float | None
    low: float
    high: float | None
    confidence: float
    events: int
    replicas: int
    naive: float
    bias: float | None

    @property
    def coarse(self) -> bool:
        """Are the looks more than COARSE of the mean escape time apart?"""
        return self.bias is None or self.bias < float(look_bias(COARSE, 1.0))

    def __str__(self) -> str:
        """What a paper would print."""
        rests = f"at {self.confidence:.0%} from {self.events} of {self.replicas}"
        if self.rate is None or self.high is None:
            return f"> {self.low:.3g} {rests}, one-sided: all escaped before their first look"
        if self.events == 0:
            return f"< {self.high:.3g} {rests}, one-sided"
        warning = f"; taking looks for escapes would give {self.bias:+.0%}" if self.coarse else ""
        return f"{self.rate:.3g} [{self.low:.3g}, {self.high:.3g}] {rests}{warning}"


def look_bias(check_every: ArrayLike, rate: ArrayLike) -> NDArray[np.float64]:
    """Relative bias of events / exposure where escape is seen only every `check_every`.

    (1 - exp(-x)) / x - 1 with x = rate * check_every, elementwise: -x / 2 for frequent looks, -5 %
    at a tenth of the mean escape time. It is the limit of many events, whatever the horizon, if
    censoring happens at looks as well.
    """
    x = np.asarray(rate, float) * np.asarray(check_every, float)
    if not np.all((x >= 0) & np.isfinite(x)):
        raise InputError("Rates and times between looks must be finite and not negative.")
    return np.where(x > 0, -np.expm1(-x) / np.where(x > 0, x, 1.0), 1.0) - 1


def looked_at_rate(
    times: EscapeTimes, *, check_every: ArrayLike, confidence: float = 0.95
) -> LookedAtRate:
    """Exponential rate by the exact likelihood of escapes seen at looks.

    L(k) = product over escapes of P(t - check_every < T <= t), over all others of P(T > t), with
    P(T > t) = exp(-k t). `check_every` is the time between the look that saw the escape and the one
    before, one number or one for each replica; longer than the escape time it stands for 0. It is
    concave in k, so the maximum and the likelihood-ratio limits are root findings. Below
    EXACT_BELOW events at equal looks the limits are exact instead (Clopper-Pearson on the chance of
    escape between two looks). Replicas that diverged are left out.
    """
    check_confidence(confidence)
    check_watched(times)
    gap = np.broadcast_to(np.asarray(check_every, float), times.time.shape)
    if not np.all((gap > 0) & np.isfinite(gap)):
        raise InputError(
            "The time between looks must be positive and finite; where escapes were seen as they "
            "happened use survival.exponential_rate."
        )
    everyone, kept = times, times.status != "diverged"
    times, gap = times.estimable, gap[kept]
    if np.any(times.time[times.escaped] == 0):
        raise InputError(
            "An escape at time 0 was seen before any time had passed; leave out what had escaped "
            "at the start."
        )
    events, exposure = times.events, times.exposure
    gap = np.minimum(gap, times.time)[times.escaped]
    # In units of the mean exposure, so that no unit of time overflows.
    unit = exposure / times.status.size
    sure = math.fsum((times.time / unit).tolist()) - math.fsum((gap / unit).tolist())
    rate, low, high = _limits(gap / unit, max(sure, 0.0), events, confidence)
    return LookedAtRate(
        rate=None if rate is None else rate / unit,
        low=low / unit,
        high=None if high is None else high / unit,
        confidence=confidence,
        events=events,
        replicas=everyone.status.size,
        naive=events / exposure,
        bias=_bias(gap / unit, rate),
    )


def _bias(gap: NDArray[np.float64], rate: float | None) -> float | None:
    """`look_bias` at the mean time between the looks of the escapes; 0 without any."""
    if rate is None or gap.size == 0:
        return None if rate is None else 0.0
    return float(look_bias(gap.mean(), rate))


def _limits(
    gap: NDArray[np.float64], sure: float, events: int, confidence: float
) -> tuple[float | None, float, float | None]:
    """Best rate and limits, from the gaps of the events and the time that surely was waited."""
    if events == 0:
        return 0.0, 0.0, float(rate_bound(0, sure, side="upper", confidence=confidence))
    spread, weight = np.unique(gap, return_counts=True)

    def deficit(log_rate: float, best: float) -> float:
        return 2 * (best - look_log_likelihood(log_rate, spread, weight, sure))

    if sure <= 1e-12 * float(gap.sum()):
        # Everything escaped before its first look: below this rate that is less likely than 5 %.
        unlikely = math.log1p(-confidence)
        low = _root(lambda x: unlikely - look_log_likelihood(x, spread, weight, sure), 0.0)
        return None, math.exp(low), None
    if spread.size == 1:
        looks = sure / float(spread[0]) + events
        best = math.log(-math.log1p(-events / looks) / float(spread[0]))
        if events < EXACT_BELOW:
            tail = (1 - confidence) / 2
            p = special.betaincinv(
                [events, events + 1], [looks - events + 1, looks - events], [tail, 1 - tail]
            )
            low, high = -np.log1p(-p) / spread[0]
            return math.exp(best), float(low), float(high)
    else:
        best = _root(lambda x: _slope(x, spread, weight, sure), 0.0)
    level = float(special.ndtri((1 + confidence) / 2) ** 2)
    top = look_log_likelihood(best, spread, weight, sure)
    width = 1.0
    while deficit(best - width, top) < level or deficit(best + width, top) < level:
        width *= 2
    low, high = (
        float(optimize.brentq(lambda x: deficit(x, top) - level, best, end, xtol=1e-13))
        for end in (best - width, best + width)
    )
    return math.exp(best), math.exp(low), math.exp(high)


def look_log_likelihood(
    log_rate: float, gap: NDArray[np.float64], weight: NDArray[np.int64], sure: float
) -> float:
    """ln L at exp(log_rate): sum of ln(1 - exp(-k gap)) over escapes, minus k times `sure`."""
    k = math.exp(log_rate)
    return float(weight @ np.log(-np.expm1(-k * gap)) - k * sure)


def _slope(
    log_rate: float, gap: NDArray[np.float64], weight: NDArray[np.int64], sure: float
) -> float:
    """d ln L / d ln k over k, falling in k."""
    k = math.exp(log_rate)
    return float(weight @ (gap / np.expm1(np.minimum(k * gap, 700.0))) - sure)


def _root(function, start: float) -> float:
    """Where a falling function vanishes, searched outwards from `start`."""
    left = right = start
    while function(left) < 0:
        left -= 2
    while function(right) > 0:
        right += 2
    return float(optimize.brentq(function, left, right, xtol=1e-13)) if left < right else left
