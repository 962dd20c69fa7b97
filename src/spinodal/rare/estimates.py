"""What splitting says: a rate with an interval from independent repetitions, and its warnings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict
from scipy.stats import t as student

HEAVY = 1.0
"""Relative variance of a single repetition from which tails count as heavy.

A lower level would not make what is not warned of safer: among samples of a skewed law those with
the least scatter are those that have missed its large values. So the interval's upper end carries
the tail, and the level only says from where on to look twice.
"""

ANCESTORS = 20
"""Crossings, of all repetitions, from which at least those that arrive should descend."""

COPIES = 32
"""Copies of a repetition below which all of them soon descend from one."""

SHARE, EXTINCT, FEW = 0.5, 0.1, 5
"""A share of one repetition, a part of extinct ones and a number of repetitions that are told."""


@dataclass(frozen=True, kw_only=True)
class Repetition:
    """One independent estimate: rate = flux * probability, per unit of time.

    `crossings` were seen while the basin was watched, of which `arrivals` reached the target by
    themselves; `rounds` of splitting; `ancestors`: crossings from which those that arrived descend.
    """

    rate: float
    flux: float
    probability: float
    crossings: int
    arrivals: int
    rounds: int
    ancestors: int
    extinct: bool


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Mean of independent estimates with its interval, and what speaks against it."""

    mean: float
    low: float
    high: float
    relative_error: float
    relative_variance: float
    largest_share: float
    heavy_tails: bool
    warning: str


@dataclass(frozen=True, kw_only=True)
class SplittingRate:
    """An escape rate per unit of time by splitting: 1 / (mean first-passage time).

    `low` and `high` rest on the scatter of independent repetitions; where nobody arrived there is
    no bound, and `high` is infinite. `flux` counts crossings of the
    first level per unit of time, with the relative standard error `flux_error`; `probability` is
    the chance to arrive before returning. `steps` were made in all, pilot included, per copy.
    `extinctions`: repetitions in which nobody arrived; they count as zeros. `heavy_tails` says that
    the interval promises too much, and `warning` why (empty: nothing to warn of).
    """

    rate: float
    low: float
    high: float
    confidence: float
    flux: float
    flux_error: float
    probability: float
    relative_error: float
    relative_variance: float
    largest_share: float
    repetitions: tuple[Repetition, ...]
    copies: int
    extinctions: int
    steps: int
    time_per_step: float
    floor: float
    first_level: float
    burn_in: int
    heavy_tails: bool
    warning: str
    method: str = "splitting"

    __pydantic_config__ = ConfigDict(ser_json_inf_nan="constants")  # a record keeps infinities

    @property
    def mean_time(self) -> float:
        """Mean first-passage time; infinite where nobody arrived."""
        return 1 / self.rate if self.rate > 0 else math.inf

    @property
    def brute_force_steps(self) -> float:
        """Steps by which waiting would have had the same relative error: tau / error^2."""
        if self.rate == 0 or self.relative_error == 0:
            return math.nan
        return self.mean_time / self.time_per_step / self.relative_error**2

    @property
    def gain(self) -> float:
        """How many times fewer steps than waiting at equal accuracy."""
        return self.brute_force_steps / self.steps

    def plain(self) -> dict[str, Any]:
        """All fields, and `mean_time` and `gain`, with None for what is not a finite number."""
        values = {**asdict(self), "mean_time": self.mean_time, "gain": self.gain}
        return {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in values.items()
        }

    def __str__(self) -> str:
        """What a paper would print."""
        if self.rate == 0:
            return (
                f"no rate and no bound: nobody arrived in {len(self.repetitions)} repetitions of "
                f"splitting, {self.steps:.3g} steps; {self.warning}"
            )
        said = f"; {self.warning}" if self.warning else ""
        return (
            f"{self.rate:.3g} [{self.low:.3g}, {self.high:.3g}] at {self.confidence:.0%} from "
            f"{len(self.repetitions)} repetitions of splitting, {self.steps:.3g} steps{said}"
        )


def spread(
    values: Sequence[float],
    confidence: float,
    *,
    extinct: int = 0,
    ancestors: int | None = None,
    copies: int | None = None,
) -> Spread:
    """Mean m of n independent non-negative estimates of relative variance v, with an interval

        ln m - t sqrt(v / n)   to   ln m + t sqrt(u / n + u^2 / (2 (n - 1))),

    t of Student's law. Estimates of a small probability are skewed to the right, much as log-normal
    ones: on the logarithm the interval leans the right way, and its upper end carries Cox's term
    for a variance that is itself estimated, because a sample without its rare large values has too
    small a mean and too small a scatter together. For the same reason u is the larger of v and of
    the relative variance (1 + w) / (1 - z) - 1 of a log-normal law, where w = exp(variance of the
    logarithms) - 1 and z is the part of zeros: logarithms show a long tail before it is met. For
    log-normal estimates the interval holds at any v from five repetitions on
    (benchmarks/calibration/heavy_tails.py).

    `extinct` repetitions of `copies` had nobody arrive; those who arrived descend from `ancestors`
    crossings in all. Without two values, or a positive one, the interval is (0, infinity).
    """
    x = np.asarray(values, dtype=float)
    count, mean = len(x), float(x.mean())
    if count < 2 or mean <= 0:
        return Spread(
            mean=mean, low=0.0, high=math.inf, relative_error=math.inf,
            relative_variance=math.inf, largest_share=1.0, heavy_tails=True,
            warning="Nobody arrived in any repetition, which bounds nothing: use more copies, or "
            "a better score."
            if mean <= 0
            else "One repetition says nothing of its own error: repeat it.",
        )  # fmt: skip
    scaled = x / mean
    variance = float(scaled.var(ddof=1))
    tail = max(variance, _log_normal_variance(x))
    error = math.sqrt(variance / count)
    quantile = float(student.ppf(0.5 + confidence / 2, count - 1))
    upper = quantile * math.sqrt(tail / count + tail**2 / (2 * (count - 1)))
    share = float(x.max() / x.sum())
    complaints = []
    if tail > HEAVY:
        complaints.append(
            f"single estimates scatter by {math.sqrt(tail):.1f} times their mean, so that rare "
            "large ones may not have been seen"
        )
    if share > max(SHARE, 2 / count):
        complaints.append(f"one of {count} repetitions makes {share:.0%} of the sum")
    if extinct > EXTINCT * count:
        complaints.append(f"nobody arrived in {extinct} of {count} repetitions")
    if ancestors is not None and ancestors < ANCESTORS:
        complaints.append(
            f"all that arrived descend from {ancestors} crossings of the first level, fewer than "
            f"{ANCESTORS}"
        )
    if copies is not None and copies < COPIES:
        complaints.append(f"{copies} copies are few, where {COPIES} or more are advised")
    if count < FEW:
        complaints.append(f"{count} repetitions are few to judge their scatter by")
    heavy = bool(complaints)
    warning = ""
    if heavy:
        warning = (
            f"The interval may be too narrow, because {'; '.join(complaints)}: use more copies, "
            "more repetitions or a better score."
        )
    return Spread(
        mean=mean,
        low=mean * math.exp(-quantile * error),
        high=mean * math.exp(min(upper, 300.0)),
        relative_error=error,
        relative_variance=variance,
        largest_share=share,
        heavy_tails=heavy,
        warning=warning,
    )


def _log_normal_variance(x: NDArray[np.float64]) -> float:
    """Relative variance of the log-normal law, with zeros, that has these logarithms' variance."""
    positive = x[x > 0]
    if len(positive) < 2:
        return 0.0
    spread_of_logs = min(float(np.log(positive).var(ddof=1)), 200.0)
    return math.exp(spread_of_logs) * len(x) / len(positive) - 1
