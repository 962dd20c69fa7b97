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
    almost never rejects): the p-value comes from `resamples` simulations of as many memoryless
    replicas, watched as long, each with its own fitted rate.

    `cutoff`, in time units, defaults to the earliest censored time; later events count as still
    waiting. Replicas that escaped elsewhere before it are left out, and so are all that diverged.
    `check_every` is the time between checks when escape was seen only at checks: within its check
    each event is placed at random, as an exponential law would. With `by_dataset` every data set
    has its own rate and the statistics are summed; pooled times from data sets that differ are not
    exponential even where each escape is memoryless.
    """
    if resamples < 19 or not 0 < level < 1:
        raise InputError(
            f"The test needs at least 19 resamples and a level between 0 and 1, got {resamples} "
            f"and {level:g}."
        )
    times = times.estimable
    horizon = _cutoff(times, cutoff)
    groups = np.unique(times.dataset) if by_dataset else [None]
    observed, simulated, events = 0.0, np.zeros(resamples), 0
    for group in groups:
        member = np.ones(times.time.shape, bool) if group is None else times.dataset == group
        seen = times.time[member & times.escaped & (times.time <= horizon)]
        waiting = int((member & (times.time >= horizon)).sum() - (seen == horizon).sum())
        if seen.size == 0 or seen.sum() == 0:
            continue
        if check_every > 0:
            seen = _within_checks(generator, seen, waiting * horizon if waiting else 0, check_every)
            if not seen.sum() > 0:  # all at once, at the start of the first check
                continue
        replicas = seen.size + waiting
        observed += float(fitted_statistic(seen, replicas, horizon))
        simulated += null_statistics(generator, seen, replicas, horizon, resamples)
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
    """A^2 of numbers that should be uniform on [0, 1], over the last axis; NaN is no number.

    -n - sum ((2i - 1) ln u_(i) + (2n - 2i + 1) ln(1 - u_(i))) / n, and 0 for n = 0
    """
    u = np.sort(np.clip(uniform, 1e-300, 1 - 1e-16), axis=-1)  # NaN last
    n = np.isfinite(u).sum(axis=-1, keepdims=True)
    i = np.arange(1, u.shape[-1] + 1)
    terms = (2 * i - 1) * np.log(u) + (2 * (n - i) + 1) * np.log1p(-u)
    return -n[..., 0] - np.where(i <= n, terms, 0.0).sum(axis=-1) / np.maximum(n[..., 0], 1)


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


def fitted_statistic(
    seen: NDArray[np.float64], replicas: int, horizon: float
) -> NDArray[np.float64]:
    """A^2 of event times (..., events), NaN for padding, after the rate was fitted to them.

    The other `replicas` were still waiting at the horizon.
    """
    events = np.isfinite(seen).sum(axis=-1, keepdims=True)
    exposure = np.nansum(seen, axis=-1, keepdims=True)
    if np.isfinite(horizon):
        exposure = exposure + (replicas - events) * horizon
    rate = np.maximum(events, 1) / exposure
    return anderson_darling(np.expm1(-rate * seen) / np.expm1(-rate * horizon))


def null_statistics(
    generator: np.random.Generator,
    seen: NDArray[np.float64],
    replicas: int,
    horizon: float,
    resamples: int,
) -> NDArray[np.float64]:
    """The statistic of as many memoryless replicas with the fitted rate, cut off alike.

    The number of events varies as it does in an experiment: holding it fixed, while the rate is
    fitted with its help, rejects 6 % of memoryless escapes instead of 5 %.
    """
    waited = (replicas - seen.size) * horizon if replicas > seen.size else 0.0
    rate = seen.size / (seen.sum() + waited)
    escaped = -np.expm1(-rate * horizon)  # before the horizon
    size, statistics = max(1, 1_000_000 // seen.size), []
    for start in range(0, resamples, size):
        events = generator.binomial(replicas, escaped, size=min(size, resamples - start))
        uniform = generator.random((events.size, max(1, events.max())))
        drawn = -np.log1p(-uniform * escaped) / rate
        drawn[np.arange(drawn.shape[1]) >= events[:, np.newaxis]] = np.nan
        statistics.append(fitted_statistic(drawn, replicas, horizon))
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
