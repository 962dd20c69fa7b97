"""Several ways out of one trap: how often each is taken, and at what rate."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from spinodal.errors import InputError
from spinodal.records import EscapeTimes
from spinodal.statistics.proportion import check_confidence
from spinodal.statistics.risk import RiskTable, checked_entry, risk_table
from spinodal.statistics.survival import rate_interval

Cause = Literal["escaped", "escaped_elsewhere", "diverged"]
CAUSES: tuple[Cause, ...] = ("escaped", "escaped_elsewhere", "diverged")
"""The ways in which waiting ends; censoring is none of them."""


@dataclass(frozen=True, kw_only=True, eq=False)
class CumulativeIncidence:
    """Probability to have ended by this cause, constant from each `time` to the next.

    Arrays of one length, in order of time, from (0, 0) on; `low` and `high` are pointwise limits.
    """

    cause: Cause
    time: NDArray[np.float64]
    probability: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    confidence: float
    events: int
    replicas: int


def cumulative_incidence(
    times: EscapeTimes, *, confidence: float = 0.95, entry: ArrayLike | None = None
) -> dict[Cause, CumulativeIncidence]:
    """Aalen-Johansen estimate of all causes: F_c(t) = sum up to t of S(just before) d_c / n.

    S is the Kaplan-Meier survival of all causes together, d_c the number that ended by cause c of
    n at risk; the F_c and S add up to 1. Divergence is a cause like the others: whoever diverged
    was not lost by chance, and neither leaving it out nor calling it censored is right where causes
    are compared. 1 - Kaplan-Meier of one cause with the others censored is not this probability but
    a larger one, that of a world without the others.

    Limits are (1 - F)^exp(+-z sd / ((1 - F) ln(1 - F))) below 1, with the variance of the delta
    method; for a cause not yet seen the exact one-sided 1 - (1 - confidence)^(1/n). `entry` is
    when watching began, as in `survival.kaplan_meier`.
    """
    check_confidence(confidence)
    if times.status.size == 0:
        raise InputError("There are no replicas, so no cause has a probability; give at least one.")
    table = risk_table(times, None if entry is None else checked_entry(times, entry))
    n, d = np.maximum(table.at_risk, 1), table.events
    after = np.cumprod(1 - d / n)
    before = np.append(1.0, after[:-1])
    found: dict[Cause, CumulativeIncidence] = {}
    for cause in CAUSES:
        own = getattr(table, cause)
        probability = np.cumsum(before * own / n)
        low, high = _limits(table, before, own, probability, confidence)
        at = table.time
        if at[0] > 0:
            start = -np.expm1(np.log1p(-confidence) / n[0])
            at, probability = np.append(0.0, at), np.append(0.0, probability)
            low, high = np.append(0.0, low), np.append(min(start, high[0]), high)
        found[cause] = CumulativeIncidence(
            cause=cause,
            time=at,
            probability=probability,
            low=low,
            high=high,
            confidence=confidence,
            events=int(own.sum()),
            replicas=times.status.size,
        )
    return found


def _limits(
    table: RiskTable,
    before: NDArray[np.float64],
    own: NDArray[np.float64],
    probability: NDArray[np.float64],
    confidence: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Pointwise limits of one cause's probability."""
    n, d = np.maximum(table.at_risk, 1), table.events
    # Var F(t) = sum (F(t) - F_i)^2 d / (n (n - d)) + sum S^2 d_c (n - d_c) / n^3
    #            - 2 sum (F(t) - F_i) S d_c / n^2, over times i up to t, multiplied out so that
    # running sums do. After the last one at risk has ended F stays, so its n - d = 0 never counts.
    left = n - d
    all_causes = np.divide(d, n * left, out=np.zeros_like(d), where=left > 0)
    cross = before * own / n**2
    f, total = probability, np.cumsum
    variance = (
        f**2 * total(all_causes)
        - 2 * f * total(f * all_causes)
        + total(f**2 * all_causes)
        + total(before**2 * own * (n - own) / n**3)
        - 2 * (f * total(cross) - total(f * cross))
    )
    inner = (f > 0) & (f < 1)
    safe = np.where(inner, f, 0.5)
    half = special.ndtri((1 + confidence) / 2) * np.sqrt(np.maximum(variance, 0))
    power = np.exp(half / ((1 - safe) * -np.log1p(-safe)))
    low = np.where(inner, -np.expm1(np.log1p(-safe) / power), 0.0)
    high = np.where(inner, -np.expm1(np.log1p(-safe) * power), 1.0)
    unseen = f <= 0
    high[unseen] = -np.expm1(np.log1p(-confidence) / n[unseen])
    certain = f >= 1
    if certain.any():
        first = int(np.argmax(certain))
        low[certain] = low[first - 1] if first else (1 - confidence) ** (1 / n[0])
    return low, np.maximum.accumulate(high)


@dataclass(frozen=True, kw_only=True)
class CauseRate:
    """Rate of one cause per time unit among those still at risk, one-sided without events."""

    cause: Cause
    rate: float
    low: float
    high: float
    confidence: float
    events: int
    exposure: float

    def __str__(self) -> str:
        """What a paper would print."""
        if self.events == 0:
            return f"{self.cause} < {self.high:.3g} at {self.confidence:.0%}, one-sided (0 events)"
        return (
            f"{self.cause} {self.rate:.3g} [{self.low:.3g}, {self.high:.3g}] at "
            f"{self.confidence:.0%} from {self.events} events"
        )


def cause_specific_rates(
    times: EscapeTimes, *, confidence: float = 0.95, entry: ArrayLike | None = None
) -> dict[Cause, CauseRate]:
    """events of the cause / exposure of everybody, with the limits of `survival.rate_interval`.

    The exposure of all counts until whatever ended them, divergence too, so that the rates add up
    to that of leaving at all, and each one over their sum is the share that it takes in the end.
    (`survival.exponential_rate` leaves the diverged out instead.)
    """
    began = np.zeros(times.time.shape) if entry is None else checked_entry(times, entry)
    exposure = math.fsum((times.time - began).tolist())
    if not 0 < exposure < math.inf:
        raise InputError(
            f"Watching {times.status.size} replicas for {exposure:g} time units in all gives no "
            "rate; give replicas with positive, finite times."
        )
    found: dict[Cause, CauseRate] = {}
    for cause in CAUSES:
        events = int((times.status == cause).sum())
        low, high = rate_interval(events, exposure, confidence=confidence)
        found[cause] = CauseRate(
            cause=cause,
            rate=events / exposure,
            low=float(low),
            high=float(high),
            confidence=confidence,
            events=events,
            exposure=exposure,
        )
    return found
