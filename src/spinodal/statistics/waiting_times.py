"""Is the escape memoryless? A calibrated goodness of fit that knows about censoring."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from spinodal.errors import InputError
from spinodal.records import EscapeTimes

LEAST_EVENTS = 100
"""Below this many events the test is too weak to support a verdict: at 20 events it misses
half of the two-stage (Erlang-2) processes."""


@dataclass(frozen=True, kw_only=True)
class Memorylessness:
    """Result of `memorylessness`; `events` are those before the cut-off that were tested.

    `verdict` is 'untested' below LEAST_EVENTS whatever the p-value, else 'rejected' or
    'consistent'. `cutoff` is None where everything escaped; `p_value` and `statistic` are None
    below five events.
    """

    verdict: Literal["consistent", "rejected", "untested"]
    p_value: float | None
    statistic: float | None
    events: int
    cutoff: float | None
    level: float
    resamples: int

    def __str__(self) -> str:
        """What a paper would print."""
        p = "no p-value" if self.p_value is None else f"p = {self.p_value:.3g}"
        return f"memorylessness {self.verdict} ({p}, {self.events} events)"


def memorylessness(
    times: EscapeTimes,
    *,
    generator: np.random.Generator,
    cutoff: float | None = None,
    check_every: float = 0.0,
    by_dataset: bool = False,
    resamples: int = 999,
    level: float = 0.05,
) -> Memorylessness:
    """Anderson-Darling test of exponential escape times, conditional on events before a cut-off.

    The rate is events / exposure; given the number of events their times follow the exponential
    law truncated at the cut-off, whose distribution function turns them into uniform numbers.
    Because the rate is fitted the tabulated distribution does not hold (a textbook test with it
    almost never rejects): the p-value comes from `resamples` exponential data sets with the same
    numbers of events and of replicas still waiting, each with its own fitted rate.

    `cutoff`, in time units, defaults to the earliest censored time; later events count as still
    waiting. Replicas that diverged or escaped elsewhere before it are left out. `check_every` is
    the time between checks when escape was seen only at checks: within its check each event is
    placed at random, as an exponential law would. With `by_dataset` every data set has its own
    rate and the statistics are summed; pooled times from data sets that differ are not
    exponential even where each escape is memoryless.
    """
    if resamples < 19 or not 0 < level < 1:
        raise InputError(
            f"The test needs at least 19 resamples and a level between 0 and 1, got {resamples} "
            f"and {level:g}."
        )
    horizon = _cutoff(times, cutoff)
    groups = np.unique(times.dataset) if by_dataset else [None]
    observed, simulated, events = 0.0, np.zeros(resamples), 0
    for group in groups:
        member = np.ones(times.time.shape, bool) if group is None else times.dataset == group
        seen = times.time[member & times.escaped & (times.time <= horizon)]
        waiting = int((member & (times.time >= horizon)).sum()) - int((seen == horizon).sum())
        if seen.size < 2 or seen.sum() == 0:
            continue
        if check_every > 0:
            seen = _within_checks(generator, seen, waiting * horizon if waiting else 0, check_every)
        observed += float(_statistic(seen, waiting, horizon))
        simulated += _null(generator, seen, waiting, horizon, resamples)
        events += seen.size
    enough = events >= 5
    p_value = float((1 + (simulated >= observed).sum()) / (resamples + 1)) if enough else None
    if events < LEAST_EVENTS or p_value is None:
        verdict = "untested"
    else:
        verdict = "rejected" if p_value <= level else "consistent"
    return Memorylessness(
        verdict=verdict,
        p_value=p_value,
        statistic=observed if enough else None,
        events=events,
        cutoff=horizon if np.isfinite(horizon) else None,
        level=level,
        resamples=resamples,
    )


def anderson_darling(uniform: NDArray[np.float64]) -> NDArray[np.float64]:
    """A^2 of numbers that should be uniform on [0, 1], over the last axis.

    -n - sum (2i - 1) (ln u_(i) + ln(1 - u_(n + 1 - i))) / n
    """
    u = np.sort(np.clip(uniform, 1e-300, 1 - 1e-16), axis=-1)
    n = u.shape[-1]
    weight = 2 * np.arange(1, n + 1) - 1
    return -n - (weight * (np.log(u) + np.log1p(-u[..., ::-1]))).sum(axis=-1) / n


def _cutoff(times: EscapeTimes, cutoff: float | None) -> float:
    """The end of watching common to all, infinity when nothing was censored."""
    censored = times.time[times.status == "censored"]
    earliest = float(censored.min()) if censored.size else np.inf
    if cutoff is None:
        return earliest
    if not 0 < cutoff <= earliest:
        raise InputError(
            f"The cut-off must be positive and not beyond the earliest censored time "
            f"({earliest:g}), got {cutoff:g}; choose an earlier one."
        )
    return cutoff


def _statistic(seen: NDArray[np.float64], waiting: int, horizon: float) -> NDArray[np.float64]:
    """A^2 of event times (..., events) after the rate was fitted to them and those waiting."""
    exposure = seen.sum(axis=-1, keepdims=True) + (waiting * horizon if waiting else 0.0)
    rate = seen.shape[-1] / exposure
    return anderson_darling(np.expm1(-rate * seen) / np.expm1(-rate * horizon))


def _null(
    generator: np.random.Generator,
    seen: NDArray[np.float64],
    waiting: int,
    horizon: float,
    resamples: int,
) -> NDArray[np.float64]:
    """The statistic of exponential data with as many events and as many waiting."""
    rate = seen.size / (seen.sum() + (waiting * horizon if waiting else 0.0))
    size, statistics = max(1, 1_000_000 // seen.size), []
    for start in range(0, resamples, size):
        shape = (min(size, resamples - start), seen.size)
        drawn = -np.log1p(generator.random(shape) * np.expm1(-rate * horizon)) / rate
        statistics.append(_statistic(drawn, waiting, horizon))
    return np.concatenate(statistics)


def _within_checks(
    generator: np.random.Generator, seen: NDArray[np.float64], waited: float, interval: float
) -> NDArray[np.float64]:
    """Move each event from the check that saw it to a random time since the check before.

    Escape within an interval has probability p = events / checks under a memoryless law, and
    the time since the check before then follows 1 - (1 - p)**(t / interval), up to p.
    """
    p = min(seen.size * interval / (seen.sum() + waited), 1 - 1e-12)
    share = np.log1p(-p * generator.random(seen.size)) / np.log1p(-p)
    return np.maximum(seen - interval * (1 - share), 0.0)
